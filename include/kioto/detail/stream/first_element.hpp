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

/// Waits until one of several streams has an element. The branches are their `next()` operations;
/// once there is an element the others are asked to stop, which loses nothing: a generator pauses.
/// Elements that arrive meanwhile are kept by the owner of the streams.
class first_element : public combinator {
 protected:
  first_element() noexcept = default;
  first_element(first_element&&) noexcept = default;
  ~first_element() = default;

  /// Called when the stream with this index has an element or has ended. Returns true if there is
  /// an element to return.
  virtual bool arrived(std::size_t index) noexcept = 0;
  /// Returns true if there is nothing to wait for: there is an element, or all streams have ended.
  [[nodiscard]] virtual bool is_over() const noexcept = 0;

 private:
  bool settle(branch_strand& branch) noexcept override {
    return branch.outcome_ != outcome::stopped && arrived(branch.index_);
  }
  // As a branch of a select that has lost, it leaves the elements to the next call of `next()`.
  // Within a frame, which may end with the streams in it, what has arrived counts.
  attempt conclude() noexcept override {
    const bool is_left = strand_->frame_ == nullptr && is_withdrawn();
    return is_over() && !is_left ? attempt::ready : attempt::stopped;
  }
};

/// Whether a stream keeps its wait when `next()` is withdrawn. If `next()` is a task, the wait
/// would be lost with its frame, and with it the place in the queue it waits in.
template <class S>
inline constexpr bool keeps_its_waits = leaf<awaiter_of<next_of<S>>>;

/// The outcomes of a stream whose `next()` is a task, as a generator, which pauses instead of being
/// stopped.
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

/// The participant in the race for a stream: the stream itself, or the generator of its outcomes.
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
  /// Calls `next()` of the stream. If that throws, the exception becomes the outcome of the branch.
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
