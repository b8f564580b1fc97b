// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/stream/first_element.hpp>
#include <kioto/detail/stream/next_outcome.hpp>
#include <kioto/detail/task/branch.hpp>
#include <kioto/stream/stream.hpp>

namespace kioto {
namespace detail {

template <class K, class S>
struct stream_map_entry {
  using racer_type = racer<streams::ref_stream<S>>;

  stream_map_entry(K&& k, S&& s)
      : key(std::move(k)),
        stream(std::move(s)),
        racing(make_racer(streams::ref_stream<S>(stream))) {}
  /// The stream is removed: a paused next() of it is destroyed first.
  void let_go() noexcept {
    branch.reset();
    if constexpr (!keeps_its_waits<streams::ref_stream<S>>) racing = racer_type();
  }

  K key;
  S stream;
  stream_map_entry* queue_next = nullptr;
  next_outcome<stream_element<S>> result;
  racer_type racing;  // asks `stream`
  race_branch<racer_type> branch;
  bool ended = false;
};

template <class K, class S>
struct stream_map_state {
  using entry = stream_map_entry<K, S>;

  std::vector<std::unique_ptr<entry>> entries;
  intrusive_queue<entry> arrived;
  std::size_t live = 0;   ///< entries that have not ended
  std::size_t first = 0;  ///< the entry that is asked first
};

template <class K, class S>
class [[nodiscard]] stream_map_operation final : public first_element {
  using state_type = stream_map_state<K, S>;

 public:
  explicit stream_map_operation(state_type& state) noexcept : state_(&state) {}
  stream_map_operation(stream_map_operation&& other) noexcept
      : first_element(static_cast<first_element&&>(other)), state_(other.state_) {}

  attempt try_or_wait() noexcept override {
    state_type& s = *state_;
    if (is_over()) return attempt::ready;
    chain branches;
    const std::size_t size = s.entries.size();
    if (s.first >= size) s.first = 0;
    for (std::size_t i = s.first; i != size; ++i) add(i, branches);
    for (std::size_t i = 0; i != s.first; ++i) add(i, branches);
    ++s.first;
    return start(branches);
  }
  std::optional<std::pair<K, stream_element<S>>> await_resume() {
    state_type& s = *state_;
    if (s.entries.size() != s.live)
      std::erase_if(s.entries, [](const auto& e) { return e->ended; });
    auto* entry = s.arrived.front();
    if (entry == nullptr) return std::nullopt;
    K key = std::as_const(entry->key);  // if copying throws, nothing has been taken
    s.arrived.pop_front();
    return std::optional<std::pair<K, stream_element<S>>>(std::in_place, std::move(key),
                                                          *entry->result.take());
  }

 private:
  void add(std::size_t index, chain& branches) noexcept {
    auto& entry = *state_->entries[index];
    if (entry.ended) return;
    branches.add(entry.branch.begin(entry.racing, index));
  }
  bool arrived(std::size_t index) noexcept override {
    auto& entry = *state_->entries[index];
    entry.branch.deliver(entry.result);
    if (!entry.result.is_end()) {
      state_->arrived.push_back(&entry);
      return true;
    }
    entry.ended = true;
    --state_->live;
    return false;
  }
  [[nodiscard]] bool is_over() const noexcept override {
    return !state_->arrived.empty() || state_->live == 0;
  }

  state_type* state_;
};

}  // namespace detail

/// A changing set of streams with keys. It is a stream of their elements, each with the key of its
/// stream.
///
/// - A stream that has ended is removed. `next()` is empty when no stream is left; streams may be
///   inserted afterwards.
/// - Fair: each `next()` asks another stream first. Its cost grows with the number of streams.
/// - Each stream keeps its place in the queue it waits in, as in `merge`.
/// - Errors: what a stream throws, from `next()`; the stream stays. That includes what the call of
///   its `next()` throws, and what moving its element throws; that element is lost.
/// - Cancellation and in a select: nothing is lost.
/// - Lifetime: the map must be neither changed nor moved while `next()` is awaited.
/// - Thread safety: one task at a time.
template <class K, class S>
class stream_map {
  static_assert(stream<S>);
  using state_type = detail::stream_map_state<K, S>;
  using entry = typename state_type::entry;

 public:
  stream_map() = default;
  stream_map(stream_map&& other) noexcept : state_(std::exchange(other.state_, state_type())) {}
  stream_map& operator=(stream_map&& other) noexcept {
    state_ = std::exchange(other.state_, state_type());
    return *this;
  }
  ~stream_map() = default;

  /// Adds a stream. Returns the one that had the key before, if any; elements of it that have
  /// arrived and were not taken are dropped.
  std::optional<S> insert(K key, S stream) {
    std::optional<S> before = remove(key);
    state_.entries.push_back(std::make_unique<entry>(std::move(key), std::move(stream)));
    ++state_.live;
    return before;
  }
  std::optional<S> remove(const K& key) {
    const auto found = find(key);
    if (found == state_.entries.end()) return std::nullopt;
    const std::unique_ptr<entry> taken = std::move(*found);
    state_.entries.erase(found);
    if (taken->ended) return std::nullopt;
    --state_.live;
    taken->let_go();
    if (!taken->result.is_end()) {
      detail::intrusive_queue<entry> others;
      while (entry* e = state_.arrived.pop_front())
        if (e != taken.get()) others.push_back(e);
      state_.arrived = std::move(others);
    }
    return std::move(taken->stream);
  }
  [[nodiscard]] bool contains(const K& key) const {
    return std::any_of(state_.entries.begin(), state_.entries.end(),
                       [&key](const auto& e) { return !e->ended && e->key == key; });
  }
  [[nodiscard]] std::size_t size() const noexcept { return state_.live; }
  [[nodiscard]] bool empty() const noexcept { return state_.live == 0; }
  [[nodiscard]] std::vector<K> keys() const {
    std::vector<K> all;
    for (const auto& e : state_.entries)
      if (!e->ended) all.push_back(e->key);
    return all;
  }

  /// Waits for an element of any of the streams; see the class for its result and errors.
  [[nodiscard]] auto next() noexcept { return detail::stream_map_operation<K, S>(state_); }

 private:
  auto find(const K& key) {
    return std::find_if(state_.entries.begin(), state_.entries.end(),
                        [&key](const auto& e) { return e->key == key; });
  }

  state_type state_;
};

}  // namespace kioto
