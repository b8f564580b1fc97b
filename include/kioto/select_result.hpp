// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace kioto {
namespace detail {

struct select_access;

/// Calls the handler of a branch: with its value, or with nothing if it has none.
template <class Handler, class Value>
decltype(auto) call_handler(Handler&& handler, Value&& value) {
  using plain = std::remove_cvref_t<Value>;
  if constexpr (std::is_same_v<plain, std::monostate> && std::is_invocable_v<Handler>)
    return std::invoke(std::forward<Handler>(handler));
  else
    return std::invoke(std::forward<Handler>(handler), std::forward<Value>(value));
}

}  // namespace detail

/// The values of the branches of a `select` that completed: of the first one, and of those that
/// completed before they could stop.
///
/// `T` are the types of the branches as stored: `std::monostate` for a branch without a value,
/// `std::reference_wrapper` for one that gives a reference.
template <class... T>
class [[nodiscard]] select_result {
 public:
  static constexpr std::size_t size() noexcept { return sizeof...(T); }

  /// Which branch completed first.
  [[nodiscard]] std::size_t index() const noexcept { return order_[0]; }
  /// How many branches completed; at least one.
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  /// Whether branch `I` completed.
  template <std::size_t I>
  [[nodiscard]] bool has() const noexcept {
    return std::get<I>(values_).has_value();
  }
  /// The value of branch `I`, if it completed.
  template <std::size_t I>
  [[nodiscard]] auto& get() & noexcept {
    return std::get<I>(values_);
  }
  template <std::size_t I>
  [[nodiscard]] const auto& get() const& noexcept {
    return std::get<I>(values_);
  }
  template <std::size_t I>
  [[nodiscard]] auto&& get() && noexcept {
    return std::move(std::get<I>(values_));
  }

  /// Calls the handler of the branch that completed first, with its value, and returns what it
  /// returns. One handler for each branch; that of a branch without a value takes no argument. All
  /// return the same type, or types with a common one. On an rvalue the value is moved out.
  ///
  /// Values of further branches stay here: see `visit`.
  template <class... Handlers>
  auto match(Handlers&&... handlers) & {
    static_assert(sizeof...(Handlers) == sizeof...(T), "one handler for each branch");
    using common = std::common_type_t<returned<T&, Handlers&>...>;
    return call<common, 0, T&...>(order_[0], handlers...);
  }
  template <class... Handlers>
  auto match(Handlers&&... handlers) && {
    static_assert(sizeof...(Handlers) == sizeof...(T), "one handler for each branch");
    using common = std::common_type_t<returned<T, Handlers&>...>;
    return call<common, 0, T...>(order_[0], handlers...);
  }

  /// Calls the handler of every branch that completed, in the order in which they did. For values
  /// that must not be lost.
  template <class... Handlers>
  void visit(Handlers&&... handlers) & {
    static_assert(sizeof...(Handlers) == sizeof...(T), "one handler for each branch");
    for (std::size_t i = 0; i != count_; ++i) call<void, 0, T&...>(order_[i], handlers...);
  }
  template <class... Handlers>
  void visit(Handlers&&... handlers) && {
    static_assert(sizeof...(Handlers) == sizeof...(T), "one handler for each branch");
    for (std::size_t i = 0; i != count_; ++i) call<void, 0, T...>(order_[i], handlers...);
  }

 private:
  friend struct detail::select_access;
  select_result() = default;

  template <class Value, class Handler>
  using returned = decltype(detail::call_handler(std::declval<Handler>(), std::declval<Value>()));

  // `First` and `As` say how each value is handed over: as `T&`, or as `T`, which moves it.
  template <class Result, std::size_t I, class First, class... As, class Handler, class... Rest>
  Result call(std::size_t which, Handler& handler, Rest&... rest) {
    if constexpr (sizeof...(Rest) != 0) {
      if (which != I) return call<Result, I + 1, As...>(which, rest...);
    }
    return static_cast<Result>(
        detail::call_handler(handler, static_cast<First&&>(*std::get<I>(values_))));
  }

  std::tuple<std::optional<T>...> values_;
  std::array<std::uint8_t, sizeof...(T)> order_{};
  std::uint8_t count_ = 0;
};

/// The same for a range of branches.
template <class T>
class [[nodiscard]] select_range_result {
 public:
  /// How many branches there were.
  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
  /// Which branch completed first.
  [[nodiscard]] std::size_t index() const noexcept { return order_.front(); }
  /// The branches that completed, in the order in which they did.
  [[nodiscard]] const std::vector<std::size_t>& order() const noexcept { return order_; }

  [[nodiscard]] bool has(std::size_t i) const noexcept { return values_[i].has_value(); }
  /// The value of branch `i`, if it completed.
  [[nodiscard]] std::optional<T>& get(std::size_t i) noexcept { return values_[i]; }
  [[nodiscard]] const std::optional<T>& get(std::size_t i) const noexcept { return values_[i]; }

 private:
  friend struct detail::select_access;
  explicit select_range_result(std::size_t size) : values_(size) {}

  std::vector<std::optional<T>> values_;
  std::vector<std::size_t> order_;
};

namespace detail {

/// Library access to the results of a select.
struct select_access {
  template <class Result>
  static Result make() {
    return {};
  }
  template <std::size_t I, class... T, class Value>
  static void emplace(select_result<T...>& r, Value&& value) {
    std::get<I>(r.values_).emplace(std::forward<Value>(value));
    r.order_[r.count_++] = static_cast<std::uint8_t>(I);
  }

  template <class T>
  static select_range_result<T> make_range(std::size_t size) {
    return select_range_result<T>(size);
  }
  template <class T, class Value>
  static void emplace(select_range_result<T>& r, std::size_t index, Value&& value) {
    r.values_[index].emplace(std::forward<Value>(value));
    r.order_.push_back(index);
  }
};

}  // namespace detail
}  // namespace kioto
