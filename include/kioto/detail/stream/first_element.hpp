// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <kioto/async_generator.hpp>
#include <kioto/config.hpp>
#include <kioto/detail/stream/next_outcome.hpp>
#include <kioto/detail/task/branch.hpp>
#include <kioto/detail/task/combinator.hpp>
#include <kioto/stream/stream.hpp>

namespace kioto::detail {

/// Waits until one of several streams has an element. The branches are their `next()`; once there
/// is an element the others are asked to stop, which costs them nothing: a generator pauses.
/// Whatever comes meanwhile is kept by who owns the streams.
class first_element : public combinator {
 protected:
  first_element() noexcept = default;
  first_element(first_element&&) noexcept = default;
  ~first_element() = default;

  /// The stream with this index has an element or has ended. True: there is one to hand over.
  virtual bool arrived(std::size_t index) noexcept = 0;
  /// Nothing is to be waited for: there is an element, or all have ended.
  [[nodiscard]] virtual bool is_over() const noexcept = 0;

 private:
  bool settle(branch_strand& branch) noexcept override {
    return branch.outcome_ != outcome::stopped && arrived(branch.index_);
  }
  attempt conclude() noexcept override { return is_over() ? attempt::ready : attempt::stopped; }
};

/// Whether what waits in `next()` is kept by the stream when it is withdrawn. That of a task would
/// be lost with its frame, and with it the place in whatever queue it waits in.
template <class S>
inline constexpr bool keeps_its_waits = leaf<awaiter_of<next_of<S>>>;

/// The arrivals of a stream whose `next()` is a task, so that it pauses and is not stopped.
template <class S>
async_generator<next_outcome<stream_element<S>>> arrivals_of(S stream) {
  for (;;) {
    next_outcome<stream_element<S>> came;
    KIOTO_TRY {
      auto next = co_await stream.next();
      came.receive([&next]() -> auto&& { return std::move(next); });
    }
    KIOTO_CATCH_ALL { came.fail(std::current_exception()); }
    if (came.is_end()) co_return;
    co_yield std::move(came);
  }
}

/// What takes part in a race for a stream: the stream itself, or its arrivals.
template <class S>
using racer =
    std::conditional_t<keeps_its_waits<S>, S, async_generator<next_outcome<stream_element<S>>>>;

template <class S>
racer<S> make_racer(S&& stream) {
  if constexpr (keeps_its_waits<S>)
    return std::move(stream);
  else
    return arrivals_of<S>(std::move(stream));
}

/// One branch of a race.
template <class Racer>
class race_branch {
 public:
  /// Asks the stream. What that throws is what comes of it, in its turn.
  branch_strand& begin(Racer& stream, std::size_t index) noexcept {
    KIOTO_TRY { return branch_.template emplace<1>(stream.next()).prepare(index); }
    KIOTO_CATCH_ALL { return branch_.template emplace<2>(std::current_exception()).prepare(index); }
  }
  /// The branch has ended with an outcome.
  template <class T>
  void deliver(next_outcome<T>& to) noexcept {
    if (auto* const failed = std::get_if<2>(&branch_))
      to.receive([failed]() -> std::optional<T> { std::rethrow_exception(failed->error()); });
    else
      to.receive([this] { return std::get_if<1>(&branch_)->take(); });
  }
  void reset() noexcept { branch_.template emplace<0>(); }

 private:
  class failed_branch final : public leaf_operation {
   public:
    explicit failed_branch(std::exception_ptr error) noexcept : error_(std::move(error)) {}
    branch_strand& prepare(std::size_t index) noexcept {
      strand_ = &branch_;
      branch_.current_ = this;
      branch_.index_ = static_cast<std::uint32_t>(index);
      return branch_;
    }
    attempt try_or_wait() noexcept override { return attempt::ready; }
    bool cancel() noexcept override { return true; }
    [[nodiscard]] const std::exception_ptr& error() const noexcept { return error_; }

   private:
    std::exception_ptr error_;
    branch_strand branch_;
  };

  std::variant<std::monostate, branch_of<next_of<Racer>>, failed_branch> branch_;
};

}  // namespace kioto::detail
