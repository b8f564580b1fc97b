// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <kioto/detail/stream/first_element.hpp>
#include <kioto/detail/stream/next_outcome.hpp>
#include <kioto/detail/task/branch.hpp>
#include <kioto/stream/stream.hpp>

namespace kioto {
namespace detail {

template <class... S>
class merge_operation;

/// Several streams, and the elements that have arrived but were not taken yet.
template <class... S>
class merge_stream {
 public:
  using element = std::common_type_t<stream_element<S>...>;
  static constexpr std::size_t size = sizeof...(S);

  explicit merge_stream(std::in_place_t, S&&... streams)
      : streams_(make_racer<S>(std::move(streams))...) {
    live_.fill(true);
  }
  [[nodiscard]] merge_operation<S...> next() noexcept { return merge_operation<S...>(*this); }

 private:
  friend merge_operation<S...>;

  [[nodiscard]] bool has_arrived() const noexcept { return waiting_ != 0; }
  [[nodiscard]] bool has_ended() const noexcept { return ended_ == size; }

  /// The branch has ended with an outcome of `next()`. Returns true if there is an element, or an
  /// exception to rethrow.
  template <class Branch>
  bool receive(std::size_t index, Branch& branch) noexcept {
    branch.deliver(arrivals_[index]);
    if (arrivals_[index].is_end()) {
      live_[index] = false;
      ++ended_;
      return false;
    }
    order_[waiting_++] = static_cast<unsigned char>(index);
    return true;
  }

  std::optional<element> take() {
    if (waiting_ == 0) return std::nullopt;  // all streams have ended
    const std::size_t index = order_[0];
    --waiting_;
    for (std::size_t i = 0; i != waiting_; ++i) order_[i] = order_[i + 1];
    first_ = index + 1 == size ? 0 : index + 1;  // that stream is asked last now
    return arrivals_[index].take();
  }

  std::tuple<racer<S>...> streams_;
  std::array<next_outcome<element>, size> arrivals_;
  std::array<bool, size> live_;
  std::array<unsigned char, size> order_{};  ///< of `arrivals_`, in order of arrival
  std::size_t waiting_ = 0;
  std::size_t ended_ = 0;
  std::size_t first_ = 0;  ///< which stream is asked first
};

template <class... S>
class [[nodiscard]] merge_operation final : public first_element {
  using stream_type = merge_stream<S...>;

 public:
  explicit merge_operation(stream_type& stream) noexcept : stream_(&stream) {}
  merge_operation(merge_operation&& other) noexcept
      : first_element(static_cast<first_element&&>(other)), stream_(other.stream_) {}

  attempt try_or_wait() noexcept override {
    if (is_over()) return attempt::ready;
    chain branches;
    for (std::size_t i = stream_->first_; i != stream_type::size; ++i) add(i, branches);
    for (std::size_t i = 0; i != stream_->first_; ++i) add(i, branches);
    return start(branches);
  }
  std::optional<typename stream_type::element> await_resume() { return stream_->take(); }

 private:
  template <class F>
  void at(std::size_t index, F&& f) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      static_cast<void>(((I == index && (f.template operator()<I>(), true)) || ...));
    }(std::index_sequence_for<S...>());
  }
  void add(std::size_t index, chain& branches) noexcept {
    if (!stream_->live_[index]) return;
    at(index, [&]<std::size_t I>() {
      branches.add(std::get<I>(branches_).begin(std::get<I>(stream_->streams_), I));
    });
  }
  bool arrived(std::size_t index) noexcept override {
    bool element = false;
    at(index, [&]<std::size_t I>() { element = stream_->receive(I, std::get<I>(branches_)); });
    return element;
  }
  [[nodiscard]] bool is_over() const noexcept override {
    return stream_->has_arrived() || stream_->has_ended();
  }

  stream_type* stream_;
  std::tuple<race_branch<racer<S>>...> branches_;
};

}  // namespace detail

namespace streams {

/// The elements of several streams, in the order in which they arrive. Ends when all have ended.
///
/// - Fair: the stream that has just had its turn is asked last.
/// - Each stream keeps its place in the queue it waits in (for a lock, a permit, room in a
///   channel), although each element withdraws and repeats the waits of the others. So the cost of
///   an element grows with the number of streams that wait.
/// - Errors: what a stream throws, from `next()`; the others continue. That includes what the call
///   of its `next()` throws, and what moving its element throws; that element is lost.
/// - Cancellation and in a select: nothing is lost. Elements that arrived at the same time are kept
///   for the following `next()`. A stream whose `next()` is a task pauses, as a generator does.
/// - Lifetime: lvalue streams are referred to, rvalues are moved in. Must not be moved while
///   `next()` is awaited. Allocates nothing but a frame for each stream whose `next()` is a task.
/// - Thread safety: the streams are asked on the strand of the awaiting task, never in parallel.
///
/// `auto all = merge(stream_of(std::move(rx)), stream_of(interval(1s)) | map(tick_message));`
template <class... S>
  requires(stream<std::remove_cvref_t<S>> && ...)
[[nodiscard]] auto merge(S&&... streams) {
  static_assert(sizeof...(S) > 0 && sizeof...(S) < 256);
  return detail::merge_stream<detail::all_of<S>...>(std::in_place,
                                                    detail::all(std::forward<S>(streams))...);
}

}  // namespace streams
}  // namespace kioto
