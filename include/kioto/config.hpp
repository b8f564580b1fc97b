// SPDX-License-Identifier: MIT
#pragma once

// All compiler-dependent decisions are made here. None of them may change the layout of a type,
// because a program may mix units built with different optimisation, sanitizers and exception
// settings.

#include <kioto/version.hpp>

#if !defined(__cplusplus) || __cplusplus < 202002L
#error "kioto needs C++20: compile with -std=c++20"
#endif
#if !defined(__cpp_impl_coroutine)
#error "kioto needs coroutines: g++ 12 or newer, or clang++ 16 or newer"
#endif

/// Keeps a function out of line. Needed where a thread-local is read: compilers treat its address
/// as constant within a function, even across a suspension that changes the thread.
#define KIOTO_NOINLINE [[gnu::noinline]]

/// 1 when the including unit is compiled with exceptions.
#if defined(__cpp_exceptions)
#define KIOTO_HAS_EXCEPTIONS 1
#else
#define KIOTO_HAS_EXCEPTIONS 0
#endif

/// 1 in a unit that is compiled with a sanitizer that checks memory accesses or data races.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__SANITIZE_HWADDRESS__)
#define KIOTO_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer) || __has_feature(hwaddress_sanitizer)
#define KIOTO_SANITIZED 1
#endif
#endif
#if !defined(KIOTO_SANITIZED)
#define KIOTO_SANITIZED 0
#endif

/// 1 for g++ before 13, which destroys twice a closure with captures, or an aggregate with
/// non-trivial members, that is created inside a `co_await` expression (GCC bug 99576).
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#define KIOTO_BROKEN_AWAIT_TEMPORARIES 1
#else
#define KIOTO_BROKEN_AWAIT_TEMPORARIES 0
#endif

// For the few places that must catch exceptions of user code and also compile without exceptions.
#if KIOTO_HAS_EXCEPTIONS
#define KIOTO_TRY try
#define KIOTO_CATCH_ALL catch (...)
#else
#define KIOTO_TRY if constexpr (true)
#define KIOTO_CATCH_ALL else
#endif

namespace kioto::detail {

/// Returns the same pointer, but hides its origin from the optimiser. A coroutine returns its
/// promise through this: otherwise, clang moves the frame of a coroutine that it sees destroyed
/// into the frame of the caller, and elides the allocation, which holds more than the frame.
template <class T>
[[nodiscard]] inline T* of_unknown_origin(T* pointer) noexcept {
  asm("" : "+r"(pointer));
  return pointer;
}

}  // namespace kioto::detail
