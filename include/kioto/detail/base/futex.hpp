// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace kioto::detail::futex {

// Sleeping on a word: what a mutex and a condition variable are made of. Used alone it costs one
// system call to sleep and one to wake, where the pair of them costs three.
//
// A wait may return for no reason. It orders no memory: the caller looks at the word again. Between
// the comparison and the sleep no wake-up is lost.

/// Sleeps until it is woken, unless the word is not `expected`.
void wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected) noexcept;
/// The same, for at most `timeout`, which is positive.
void wait_for(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
              std::chrono::nanoseconds timeout) noexcept;

/// Wakes one thread that waits for the word. The word need not exist any more: only its address
/// counts. At worst it belongs to another word meanwhile, whose waiter then wakes for no reason.
void wake_one(const std::atomic<std::uint32_t>* word) noexcept;

}  // namespace kioto::detail::futex
