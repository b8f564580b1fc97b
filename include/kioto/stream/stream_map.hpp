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
#include <kioto/detail/stream/stream_wait.hpp>
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
  [[nodiscard]] bool has_ended() const noexcept { return ended; }
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
class stream_map_operation;

template <class K, class S>
struct stream_map_state {
  using entry = stream_map_entry<K, S>;

  void insert(K&& key, S&& stream) {
    entries.push_back(std::make_unique<entry>(std::move(key), std::move(stream)));
    ++live;
  }
  [[nodiscard]] std::size_t size() const noexcept { return live; }
  /// One that is no longer in `entries`. Its stream, unless that has ended.
  std::optional<S> let_go(entry& taken) {
    if (taken.ended) return std::nullopt;
    --live;
    taken.let_go();
    if (!taken.result.is_end()) {
      intrusive_queue<entry> others;
      while (entry* e = arrived.pop_front())
        if (e != &taken) others.push_back(e);
      arrived = std::move(others);
    }
    return std::move(taken.stream);
  }
  [[nodiscard]] auto next() noexcept { return stream_map_operation<K, S>(*this); }

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

template <class K, class S>
struct standing_map_entry final : stream_wait<S, stream_element<S>> {
  standing_map_entry(K&& k, S&& s) : key(std::move(k)), stream(std::in_place, std::move(s)) {
    this->bind(*stream);
  }
  standing_map_entry(const standing_map_entry&) = delete;
  standing_map_entry& operator=(const standing_map_entry&) = delete;
  ~standing_map_entry() override { this->reset(); }  // before the stream

  K key;
  std::optional<S> stream;  ///< none after its end
};

template <class K, class S>
class standing_map_operation;

/// The same, of streams whose waits stand.
template <class K, class S>
struct standing_map_state {
  using entry = standing_map_entry<K, S>;

  standing_map_state() noexcept = default;
  standing_map_state(standing_map_state&& other) noexcept
      : entries(std::move(other.entries)), waits(std::move(other.waits)) {}
  standing_map_state& operator=(standing_map_state&& other) noexcept {
    standing_map_state before(std::move(*this));
    entries = std::exchange(other.entries, {});
    waits = std::move(other.waits);
    return *this;
  }
  ~standing_map_state() {
    for (const auto& e : entries) waits->let_go(*e);
  }

  void insert(K&& key, S&& stream) {
    if (waits == nullptr) waits = std::make_unique<standing_waits>();
    entries.push_back(std::make_unique<entry>(std::move(key), std::move(stream)));
    waits->add(*entries.back());
  }
  [[nodiscard]] std::size_t size() const noexcept { return waits == nullptr ? 0 : waits->live(); }
  std::optional<S> let_go(entry& taken) {
    waits->remove(taken);
    taken.reset();
    if (taken.has_ended()) return std::nullopt;
    return std::move(taken.stream);
  }
  [[nodiscard]] auto next() noexcept { return standing_map_operation<K, S>(*this); }

  /// Streams that have ended go at once; their entries, when they are more than the others.
  void drop_ended() noexcept {
    bool some = false;
    while (standing_wait* const w = waits->pop_ended()) {
      static_cast<entry*>(w)->stream.reset();
      some = true;
    }
    if (some && entries.size() / 2 >= size())
      std::erase_if(entries, [](const auto& e) { return e->has_ended(); });
  }

  std::vector<std::unique_ptr<entry>> entries;
  std::unique_ptr<standing_waits> waits;  ///< none before the first stream
};

template <class K, class S>
class [[nodiscard]] standing_map_operation final
    : public standing_operation<standing_map_operation<K, S>> {
  using base = standing_operation<standing_map_operation>;

 public:
  explicit standing_map_operation(standing_map_state<K, S>& state) noexcept
      : base(nullptr), state_(&state) {}
  standing_map_operation(standing_map_operation&&) noexcept = default;

  attempt try_or_wait() noexcept override {
    this->waits_ = state_->waits.get();
    return base::try_or_wait();
  }
  std::optional<std::pair<K, stream_element<S>>> await_resume() {
    if (this->waits_ == nullptr) return std::nullopt;
    state_->drop_ended();
    auto* const arrived = static_cast<standing_map_entry<K, S>*>(this->waits_->arrived());
    if (arrived == nullptr) return std::nullopt;
    K key = std::as_const(arrived->key);  // if this throws, nothing has been taken
    this->waits_->take_arrived();
    return std::optional<std::pair<K, stream_element<S>>>(std::in_place, std::move(key),
                                                          *arrived->result().take());
  }

 private:
  standing_map_state<K, S>* state_;
};

template <class K, class S>
using stream_map_state_of =
    std::conditional_t<standing_stream<S>, std::type_identity<standing_map_state<K, S>>,
                       std::type_identity<stream_map_state<K, S>>>::type;

}  // namespace detail

/// A changing set of streams with keys. It is a stream of their elements, each with the key of its
/// stream.
///
/// - A stream that has ended is removed. `next()` is empty when no stream is left; streams may be
///   inserted afterwards.
/// - Fair: streams that are always ready take turns.
/// - What an element costs does not depend on how many streams wait, if the waits of `S` stay armed
///   from one element to the next: see `merge`. Otherwise each element withdraws and repeats them.
/// - Each stream keeps its place in the queue it waits in, as in `merge`.
/// - Errors: what a stream throws, from `next()`; the stream stays. That includes what the call of
///   its `next()` throws, and what moving its element throws; that element is lost.
/// - Cancellation and in a select: nothing is lost.
/// - Lifetime: the map must be neither changed nor moved while `next()` is awaited.
/// - Thread safety: one task at a time.
template <class K, class S>
class stream_map {
  static_assert(stream<S>);
  using state_type = detail::stream_map_state_of<K, S>;
  using entry = typename state_type::entry;

 public:
  static constexpr detail::standing stands =
      detail::standing_stream<S> ? detail::standing::if_owned : detail::standing::never;

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
    state_.insert(std::move(key), std::move(stream));
    return before;
  }
  std::optional<S> remove(const K& key) {
    const auto found = find(key);
    if (found == state_.entries.end()) return std::nullopt;
    const std::unique_ptr<entry> taken = std::move(*found);
    state_.entries.erase(found);
    return state_.let_go(*taken);
  }
  [[nodiscard]] bool contains(const K& key) const {
    return std::any_of(state_.entries.begin(), state_.entries.end(),
                       [&key](const auto& e) { return !e->has_ended() && e->key == key; });
  }
  [[nodiscard]] std::size_t size() const noexcept { return state_.size(); }
  [[nodiscard]] bool empty() const noexcept { return state_.size() == 0; }
  [[nodiscard]] std::vector<K> keys() const {
    std::vector<K> all;
    for (const auto& e : state_.entries)
      if (!e->has_ended()) all.push_back(e->key);
    return all;
  }

  /// Waits for an element of any of the streams; see the class for its result and errors.
  [[nodiscard]] auto next() noexcept { return state_.next(); }

 private:
  auto find(const K& key) {
    return std::find_if(state_.entries.begin(), state_.entries.end(),
                        [&key](const auto& e) { return e->key == key; });
  }

  state_type state_;
};

}  // namespace kioto
