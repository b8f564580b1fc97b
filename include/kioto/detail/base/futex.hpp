// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace kioto::detail::futex {

// Sleeping on a word, the primitive that mutexes and condition variables are built from. Used
// directly it costs one system call to sleep and one to wake, where a mutex with a condition
// variable costs three.
//
// A wait may return spuriously. It orders no memory: the caller has to read the word again. No
// wake-up is lost between the comparison and the sleep.

/// Sleeps until woken, unless the word differs from `expected`.
void wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected) noexcept;
/// The same, for at most `timeout`, which is positive.
void wait_for(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
              std::chrono::nanoseconds timeout) noexcept;

/// Wakes one thread that waits for the word. The word need not exist any more: only its address is
/// used. At worst the address belongs to another word by now, whose waiter then wakes spuriously.
void wake_one(const std::atomic<std::uint32_t>* word) noexcept;

}  // namespace kioto::detail::futex
