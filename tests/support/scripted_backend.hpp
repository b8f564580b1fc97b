// SPDX-License-Identifier: MIT
#pragma once

// A backend from scratch: the example of docs/design/extending.md, which shows parts of this.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include <kioto/detail/net/reactor.hpp>

namespace kioto_test {

namespace detail = kioto::detail;
namespace net = kioto::net;

/// The system is the test: it says what becomes ready.
class scripted_backend final : public detail::reactor_backend {
 public:
  /// Any thread: the system reports `what` of a descriptor, if it watches it.
  void report(int fd, net::ready what) {
    {
      const std::lock_guard lock(mutex_);
      const auto watched = tokens_.find(fd);
      if (watched == tokens_.end()) return;
      events_.emplace_back(watched->second, what);
    }
    news_.notify_one();
  }

  std::error_code add(int fd, detail::registration& target) noexcept override {
    const std::lock_guard lock(mutex_);
    tokens_[fd] = target.token();
    return {};
  }
  std::error_code remove(int fd) noexcept override {
    const std::lock_guard lock(mutex_);
    const auto watched = tokens_.find(fd);
    if (watched == tokens_.end()) return std::make_error_code(std::errc::bad_file_descriptor);
    std::erase_if(events_, [&](const event& e) { return e.first == watched->second; });
    tokens_.erase(watched);
    return {};
  }

  std::size_t turn(std::optional<std::chrono::nanoseconds> timeout,
                   std::size_t limit) noexcept override {
    std::deque<event> now;
    {
      std::unique_lock lock(mutex_);
      const auto has_news = [this] { return unparked_ || !events_.empty(); };
      if (timeout)
        news_.wait_for(lock, *timeout, has_news);
      else
        news_.wait(lock, has_news);
      unparked_ = false;
      for (; now.size() != limit && !events_.empty(); events_.pop_front())
        now.push_back(events_.front());
    }
    std::size_t count = 0;
    for (const auto& [token, what] : now) {
      // Null: of an earlier life of the registration.
      detail::registration* const target = detail::registration::of_token(token);
      if (target == nullptr) continue;
      target->dispatch(what);  // without a lock: what it wakes may call add() and remove()
      ++count;
    }
    return count;
  }

  void unpark() noexcept override {
    {
      const std::lock_guard lock(mutex_);
      unparked_ = true;
    }
    news_.notify_one();
  }
  [[nodiscard]] const char* name() const noexcept override { return "scripted"; }

 private:
  using event = std::pair<std::uint64_t, net::ready>;  // the token, and what is ready

  std::mutex mutex_;
  std::condition_variable news_;
  std::map<int, std::uint64_t> tokens_;
  std::deque<event> events_;
  bool unparked_ = false;
};

}  // namespace kioto_test
