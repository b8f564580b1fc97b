// SPDX-License-Identifier: MIT
#pragma once

namespace kioto {

template <class T>
class result;

namespace detail {

/// For those who only ask: they need not know what a result is.
template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<result<T>> = true;

/// Stores the error of a failed result in the `std::optional<std::error_code>` at `out`. Defined in
/// result.hpp, which whoever has a result knows.
template <class Result>
void store_failure(const Result& from, void* out) noexcept;

}  // namespace detail
}  // namespace kioto
