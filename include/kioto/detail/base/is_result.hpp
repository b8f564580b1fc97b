// SPDX-License-Identifier: MIT
#pragma once

namespace kioto {

template <class T>
class result;

namespace detail {

/// Whether `T` is a `result`, for headers that need not include its definition.
template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<result<T>> = true;

/// Stores the error of a failed result in the `std::optional<std::error_code>` at `out`. Defined in
/// result.hpp, which code that has a result includes.
template <class Result>
void store_failure(const Result& from, void* out) noexcept;

}  // namespace detail
}  // namespace kioto
