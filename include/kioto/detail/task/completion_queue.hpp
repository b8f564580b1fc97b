// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/base/sync_policy.hpp>

namespace kioto::detail {

/// A queue of nodes from any thread to one consumer, which may wait for the next: one word that is
/// both the list and the decision which producer wakes the consumer.
///
/// States: *empty*, *waiting* (empty, and the consumer sleeps), *closed* (the consumer is
/// destroyed), or a list of nodes, newest first. `Node` has a public member `Node* queue_next`.
///
/// Invariants:
/// - Q1 Exactly one party takes the queue out of *waiting*, by a read-modify-write: the consumer,
///   or the producer that then wakes it. The consumer continues only when it was woken.
/// - Q2 A producer whose push returns `queued` touches nothing afterwards: the consumer may be
///   destroyed. One that has to wake the consumer may access it until it has done so.
/// - Q3 Nothing enters a closed queue; the producer keeps its node.
///
/// Memory order: a push releases the node, taking the list acquires it. Waiting releases what the
/// consumer prepared to the producer that wakes it; closing does so to producers that come too
/// late.
template <class Sync, class Node>
class basic_completion_queue {
 public:
  enum class pushed : std::uint8_t { queued, wake, closed };

  basic_completion_queue() : word_(empty) {}
  basic_completion_queue(const basic_completion_queue&) = delete;
  basic_completion_queue& operator=(const basic_completion_queue&) = delete;

  /// Any thread.
  [[nodiscard]] pushed push(Node* node) noexcept {
    std::uintptr_t old = word_.load(std::memory_order_acquire);
    for (;;) {
      if (old == closed) return pushed::closed;
      node->queue_next = is_list(old) ? reinterpret_cast<Node*>(old) : nullptr;
      if (word_.compare_exchange_weak(old, reinterpret_cast<std::uintptr_t>(node),
                                      std::memory_order_acq_rel, std::memory_order_acquire))
        return old == waiting ? pushed::wake : pushed::queued;
    }
  }

  /// Consumer: begins to wait. Returns false if there are nodes.
  [[nodiscard]] bool wait() noexcept {
    std::uintptr_t expected = empty;
    return word_.compare_exchange_strong(expected, waiting, std::memory_order_acq_rel,
                                         std::memory_order_relaxed);
  }
  /// Consumer: stops waiting. Returns false if a producer is about to wake it.
  [[nodiscard]] bool stop_waiting() noexcept {
    std::uintptr_t expected = waiting;
    return word_.compare_exchange_strong(expected, empty, std::memory_order_acq_rel,
                                         std::memory_order_relaxed);
  }
  /// Consumer: takes all nodes, in the order in which they came. Does not end a wait.
  [[nodiscard]] intrusive_queue<Node> take() noexcept {
    if (!is_list(word_.load(std::memory_order_relaxed))) return {};
    return in_order(word_.exchange(empty, std::memory_order_acq_rel));
  }
  /// Consumer, not waiting: closes the queue and takes the last nodes.
  [[nodiscard]] intrusive_queue<Node> close() noexcept {
    return in_order(word_.exchange(closed, std::memory_order_acq_rel));
  }

 private:
  static constexpr std::uintptr_t empty = 0;
  static constexpr std::uintptr_t waiting = 1;
  static constexpr std::uintptr_t closed = 2;
  static constexpr bool is_list(std::uintptr_t word) noexcept { return word > closed; }

  static intrusive_queue<Node> in_order(std::uintptr_t word) noexcept {
    intrusive_queue<Node> nodes;
    Node* node = is_list(word) ? reinterpret_cast<Node*>(word) : nullptr;
    while (node != nullptr) {
      Node* const older = node->queue_next;
      nodes.push_front(node);
      node = older;
    }
    return nodes;
  }

  typename Sync::template atomic<std::uintptr_t> word_;
};

}  // namespace kioto::detail
