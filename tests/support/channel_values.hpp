// SPDX-License-Identifier: MIT
#pragma once

// Values that the tests send through channels.

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace kioto_test {

/// A move-only type that counts the values that are alive, without those that were moved from.
class move_only {
 public:
  explicit move_only(std::atomic<int>& alive, int value = 0) : alive_(&alive), value_(value) {
    ++*alive_;
  }
  move_only(move_only&& other) noexcept
      : alive_(std::exchange(other.alive_, nullptr)), value_(other.value_) {}
  move_only& operator=(move_only&& other) noexcept {
    std::swap(alive_, other.alive_);
    std::swap(value_, other.value_);
    return *this;
  }
  ~move_only() {
    if (alive_ != nullptr) --*alive_;
  }
  [[nodiscard]] int value() const noexcept { return value_; }

 private:
  std::atomic<int>* alive_;
  int value_;
};

/// The same, but copyable; copies count as well.
class counted {
 public:
  explicit counted(std::atomic<int>& alive, int value = 0) : alive_(&alive), value_(value) {
    ++*alive_;
  }
  counted(const counted& other) : alive_(other.alive_), value_(other.value_) {
    if (alive_ != nullptr) ++*alive_;
  }
  counted(counted&& other) noexcept
      : alive_(std::exchange(other.alive_, nullptr)), value_(other.value_) {}
  counted& operator=(counted other) noexcept {
    std::swap(alive_, other.alive_);
    std::swap(value_, other.value_);
    return *this;
  }
  ~counted() {
    if (alive_ != nullptr) --*alive_;
  }
  [[nodiscard]] int value() const noexcept { return value_; }

 private:
  std::atomic<int>* alive_;
  int value_;
};

struct alignas(256) over_aligned {
  explicit over_aligned(int v) : value(v) {}
  int value;
  [[nodiscard]] bool is_aligned() const noexcept {
    return reinterpret_cast<std::uintptr_t>(this) % 256 == 0;
  }
};

/// Counts down with every move, and throws from the move that reaches zero.
class throws_on_move {
 public:
  throws_on_move(std::atomic<int>& alive, int moves) : alive_(&alive), moves_(moves) { ++*alive_; }
  throws_on_move(throws_on_move&& other) : alive_(other.alive_), moves_(other.moves_ - 1) {
    if (moves_ == 0) throw std::runtime_error("moved once too often");
    ++*alive_;
  }
  throws_on_move(const throws_on_move& other) : alive_(other.alive_), moves_(other.moves_ - 1) {
    if (moves_ == 0) throw std::runtime_error("copied once too often");
    ++*alive_;
  }
  throws_on_move& operator=(const throws_on_move&) = delete;
  ~throws_on_move() { --*alive_; }
  /// Moves that are left until it throws.
  [[nodiscard]] int moves() const noexcept { return moves_; }

 private:
  std::atomic<int>* alive_;
  int moves_;
};

}  // namespace kioto_test
