// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <cstdio>
#include <exception>
#include <utility>

#include <kioto/config.hpp>

namespace kioto::detail {

/// Ends the program: an object was destroyed or assigned to while operations wait on it, which
/// would use freed memory.
[[noreturn]] KIOTO_NOINLINE inline void die_in_use() noexcept {
  std::fputs(
      "kioto: an object was destroyed, or assigned to, while an operation on it was waiting: it "
      "outlives the wait\n",
      stderr);
  std::terminate();
}

template <class T, class Tag>
class intrusive_list;

/// Base of the elements of an `intrusive_list<T, Tag>`. A type may have several such bases with
/// different tags. The owner keeps the element alive and in place while it is linked.
template <class Tag = void>
class list_node {
 public:
  constexpr list_node() noexcept = default;
  list_node(const list_node&) = delete;
  list_node& operator=(const list_node&) = delete;

  /// Returns true while the element is in a list.
  [[nodiscard]] bool is_linked() const noexcept { return next_ != nullptr; }

 protected:
  ~list_node() { assert(!is_linked() && "a linked element must not be destroyed"); }

 private:
  template <class, class>
  friend class intrusive_list;

  void link_before(list_node& position) noexcept {
    assert(!is_linked());
    prev_ = position.prev_;
    next_ = &position;
    prev_->next_ = this;  // NOLINT(clang-analyzer-core.NullDereference): `position` is in a list
    position.prev_ = this;
  }
  void unlink() noexcept {
    assert(is_linked());
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = nullptr;
    next_ = nullptr;
  }

  list_node* prev_ = nullptr;
  list_node* next_ = nullptr;
};

/// Doubly linked list of objects that have the base `list_node<Tag>`. Owns nothing, allocates
/// nothing, every operation is O(1). `T` may be incomplete where the list is a member.
///
/// Thread safety: none; a list and its elements are one object.
template <class T, class Tag = void>
class intrusive_list {
  using node = list_node<Tag>;

 public:
  constexpr intrusive_list() noexcept { reset(); }
  intrusive_list(const intrusive_list&) = delete;
  intrusive_list& operator=(const intrusive_list&) = delete;
  ~intrusive_list() {
    if (!empty()) [[unlikely]]
      die_in_use();
    reset_end();
  }

  [[nodiscard]] bool empty() const noexcept { return end_.next_ == &end_; }
  /// The first and the last element; null if the list is empty.
  [[nodiscard]] T* front() noexcept { return empty() ? nullptr : item(end_.next_); }
  [[nodiscard]] T* back() noexcept { return empty() ? nullptr : item(end_.prev_); }
  /// The only element, if the list has exactly one; otherwise null.
  [[nodiscard]] T* only() noexcept {
    return end_.next_ == end_.prev_ && !empty() ? item(end_.next_) : nullptr;
  }
  /// The element after a linked one; null after the last.
  [[nodiscard]] T* next(T& element) noexcept {
    node* following = static_cast<node&>(element).next_;
    return following == &end_ ? nullptr : item(following);
  }

  void push_back(T& element) noexcept { static_cast<node&>(element).link_before(end_); }
  void push_front(T& element) noexcept { static_cast<node&>(element).link_before(*end_.next_); }

  /// Inserts an element in front of a linked one.
  static void insert_before(T& where, T& element) noexcept {
    static_cast<node&>(element).link_before(static_cast<node&>(where));
  }

  /// Removes and returns the first element; null if there is none.
  T* pop_front() noexcept {
    T* element = front();
    if (element != nullptr) erase(*element);
    return element;
  }
  /// Removes and returns the last element; null if there is none.
  T* pop_back() noexcept {
    T* element = back();
    if (element != nullptr) erase(*element);
    return element;
  }

  /// Removes all elements and calls `f` with each, in order. `f` may insert its element again, but
  /// must not touch elements that have not been visited yet; what it inserts into this list stays
  /// in it.
  template <class F>
  void consume(F&& f) {
    if (empty()) return;
    node* n = end_.next_;
    const node* back = end_.prev_;
    end_.prev_->next_ = nullptr;
    reset();
    while (n != nullptr) {
      node* following = n->next_;
      __builtin_prefetch(following, 1);
      // As in warm(). Ends where the two meet: elements before `n` may be gone.
      if (back != nullptr) back = back != n && back != following ? back->prev_ : nullptr;
      asm volatile("" : : "r"(back));
      n->prev_ = nullptr;
      n->next_ = nullptr;
      f(*item(n));
      n = following;
    }
  }

  /// Brings the elements into the cache for an imminent walk. Following links in one direction,
  /// each cache miss waits for the previous one; from both ends at once, two of them overlap.
  void warm() const noexcept {
    const node* front = end_.next_;
    const node* back = end_.prev_;
    while (front != back && front->next_ != back) {
      front = front->next_;
      back = back->prev_;
    }
    asm volatile("" : : "r"(front), "r"(back));  // keeps the compiler from removing the loop
  }

  /// Removes a linked element from the list it is in.
  static void erase(T& element) noexcept { static_cast<node&>(element).unlink(); }

  /// Moves all elements of `other` to the end of this list, in order.
  void splice_back(intrusive_list& other) noexcept {
    if (&other == this || other.empty()) return;
    node* first = other.end_.next_;
    node* last = other.end_.prev_;
    first->prev_ = end_.prev_;
    end_.prev_->next_ = first;
    last->next_ = &end_;
    end_.prev_ = last;
    other.reset();
  }

 private:
  // The list is circular, with `end_` as its sentinel, so no operation has a special case for the
  // ends.
  struct sentinel : node {
    constexpr sentinel() noexcept = default;
  };

  static T* item(node* n) noexcept { return static_cast<T*>(n); }
  constexpr void reset() noexcept {
    end_.prev_ = &end_;
    end_.next_ = &end_;
  }
  void reset_end() noexcept {
    end_.prev_ = nullptr;
    end_.next_ = nullptr;
  }

  sentinel end_;
};

/// First-in first-out queue of objects with a public member `T* queue_next`, which belongs to the
/// queue while the object is in it and is null otherwise. Owns nothing, allocates nothing, every
/// operation is O(1). `T` may be incomplete where the queue is a member.
template <class T>
class intrusive_queue {
 public:
  intrusive_queue() noexcept = default;
  intrusive_queue(intrusive_queue&& other) noexcept
      : head_(std::exchange(other.head_, nullptr)), tail_(std::exchange(other.tail_, nullptr)) {}
  /// This queue must be empty.
  intrusive_queue& operator=(intrusive_queue&& other) noexcept {
    assert(empty() || this == &other);
    T* head = std::exchange(other.head_, nullptr);
    T* tail = std::exchange(other.tail_, nullptr);
    head_ = head;
    tail_ = tail;
    return *this;
  }
  ~intrusive_queue() = default;

  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] T* front() const noexcept { return head_; }

  void push_back(T* element) noexcept { push_back_chain(element, element); }
  void push_front(T* element) noexcept {
    element->queue_next = head_;
    if (head_ == nullptr) tail_ = element;
    head_ = element;
  }
  /// Appends the elements from `first` to `last`, which are linked through `queue_next`.
  void push_back_chain(T* first, T* last) noexcept {
    last->queue_next = nullptr;
    if (head_ == nullptr)
      head_ = first;
    else
      tail_->queue_next = first;
    tail_ = last;
  }
  /// Removes and returns the first element; null if there is none.
  T* pop_front() noexcept {
    T* element = head_;
    if (element == nullptr) return nullptr;
    head_ = std::exchange(element->queue_next, nullptr);
    if (head_ == nullptr) tail_ = nullptr;
    return element;
  }
  /// Moves all elements of `other` to the end of this queue, in order.
  void splice_back(intrusive_queue& other) noexcept {
    if (&other == this || other.empty()) return;
    push_back_chain(other.head_, other.tail_);
    other.head_ = nullptr;
    other.tail_ = nullptr;
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
};

/// A queue from which any element can be removed: for objects with public members `T* queue_next`
/// and `T* queue_prev`, which belong to the queue while the object is in it. Owns nothing,
/// allocates nothing, every operation is O(1).
template <class T>
class intrusive_deque {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }

  void push_back(T* element) noexcept {
    element->queue_next = nullptr;
    element->queue_prev = tail_;
    (tail_ == nullptr ? head_ : tail_->queue_next) = element;
    tail_ = element;
  }
  /// Removes and returns the oldest element; null if there is none.
  T* pop_front() noexcept {
    T* element = head_;
    if (element == nullptr) return nullptr;
    head_ = std::exchange(element->queue_next, nullptr);
    (head_ == nullptr ? tail_ : head_->queue_prev) = nullptr;
    return element;
  }
  /// Removes an element, which must be in this queue.
  void erase(T* element) noexcept {
    T* const next = std::exchange(element->queue_next, nullptr);
    T* const prev = std::exchange(element->queue_prev, nullptr);
    (prev == nullptr ? head_ : prev->queue_next) = next;
    (next == nullptr ? tail_ : next->queue_prev) = prev;
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
};

}  // namespace kioto::detail
