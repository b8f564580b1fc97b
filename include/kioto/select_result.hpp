// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
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

/// Calls the handler of a branch: with its value, or without an argument if it has none.
template <class Handler, class Value>
decltype(auto) call_handler(Handler&& handler, Value&& value) {
  using plain = std::remove_cvref_t<Value>;
  if constexpr (std::is_same_v<plain, std::monostate> && std::is_invocable_v<Handler>)
    return std::invoke(std::forward<Handler>(handler));
  else
    return std::invoke(std::forward<Handler>(handler), std::forward<Value>(value));
}

/// Reports, to the hook for unhandled exceptions as a std::logic_error, that a program has looked
/// at the result of a select but not at the value of branch `index`, which is now lost.
void report_unseen_value(std::size_t index) noexcept;

/// Which values of a select the user has not looked at: those of branches that completed although
/// another one had won. The winner's value is not tracked.
class unseen_values {
 public:
  unseen_values() noexcept = default;
  unseen_values(unseen_values&& other) noexcept
      : unseen_(std::exchange(other.unseen_, std::uint16_t{0})), used_(other.used_) {}
  unseen_values& operator=(unseen_values&& other) noexcept {
    std::swap(unseen_, other.unseen_);
    std::swap(used_, other.used_);
    return *this;
  }
  ~unseen_values() {
    if (unseen_ != 0 && used_) [[unlikely]]
      report_unseen_value(static_cast<std::size_t>(std::countr_zero(unseen_)));
  }

  void add(std::size_t index) noexcept {
    unseen_ = static_cast<std::uint16_t>(unseen_ | bit(index));
  }
  /// The result as a whole was looked at.
  void use() noexcept { used_ = true; }
  /// The value of a branch was looked at.
  void see(std::size_t index) noexcept {
    used_ = true;
    unseen_ = static_cast<std::uint16_t>(unseen_ & ~bit(index));
  }
  void see_all() noexcept { unseen_ = 0; }

 private:
  static constexpr std::uint16_t bit(std::size_t index) noexcept {
    return static_cast<std::uint16_t>(1U << index);
  }

  std::uint16_t unseen_ = 0;
  bool used_ = false;
};

}  // namespace detail

/// The values of the branches of a `select` that completed: of the first one, and of those that
/// could not be withdrawn.
///
/// Most selects have one value, that of branch `index()`. There may be more if a branch is a task
/// or another operation that cannot be withdrawn: then `visit`, or `get` for each branch, gives all
/// of them. A program that looks at the result, but not at the value of a branch which completed,
/// loses that value: when the result is destroyed, this is reported to the runtime's hook for
/// unhandled exceptions, or on stderr. If the result itself is never looked at, and for a branch
/// without a value, nothing is reported.
///
/// `T` are the types of the branches as stored: `std::monostate` for a branch without a value,
/// `std::reference_wrapper` for one that gives a reference.
template <class... T>
class [[nodiscard]] select_result {
 public:
  static constexpr std::size_t size() noexcept { return sizeof...(T); }

  /// Which branch completed first.
  [[nodiscard]] std::size_t index() const noexcept {
    unseen_.use();
    return order_[0];
  }
  /// How many branches completed; at least one.
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  /// Whether branch `I` completed.
  template <std::size_t I>
  [[nodiscard]] bool has() const noexcept {
    unseen_.use();
    return std::get<I>(values_).has_value();
  }
  /// The value of branch `I`, if it completed.
  template <std::size_t I>
  [[nodiscard]] auto& get() & noexcept {
    unseen_.see(I);
    return std::get<I>(values_);
  }
  template <std::size_t I>
  [[nodiscard]] const auto& get() const& noexcept {
    unseen_.see(I);
    return std::get<I>(values_);
  }
  template <std::size_t I>
  [[nodiscard]] auto&& get() && noexcept {
    unseen_.see(I);
    return std::move(std::get<I>(values_));
  }

  /// Calls the handler of the branch that completed first, with its value, and returns what it
  /// returns. One handler for each branch; that of a branch without a value takes no argument. All
  /// return the same type, or types with a common one. On an rvalue the value is moved out.
  ///
  /// Values of further branches stay here, to be taken with `get` or `visit`.
  template <class... Handlers>
  auto match(Handlers&&... handlers) & {
    static_assert(sizeof...(Handlers) == sizeof...(T), "one handler for each branch");
    using common = std::common_type_t<returned<T&, Handlers&>...>;
    unseen_.use();
    return call<common, 0, T&...>(order_[0], handlers...);
  }
  template <class... Handlers>
  auto match(Handlers&&... handlers) && {
    static_assert(sizeof...(Handlers) == sizeof...(T), "one handler for each branch");
    using common = std::common_type_t<returned<T, Handlers&>...>;
    unseen_.use();
    return call<common, 0, T...>(order_[0], handlers...);
  }

  /// Calls the handler of every branch that completed, in the order in which they did. For values
  /// that must not be lost.
  template <class... Handlers>
  void visit(Handlers&&... handlers) & {
    static_assert(sizeof...(Handlers) == sizeof...(T), "one handler for each branch");
    unseen_.see_all();
    for (std::size_t i = 0; i != count_; ++i) call<void, 0, T&...>(order_[i], handlers...);
  }
  template <class... Handlers>
  void visit(Handlers&&... handlers) && {
    static_assert(sizeof...(Handlers) == sizeof...(T), "one handler for each branch");
    unseen_.see_all();
    for (std::size_t i = 0; i != count_; ++i) call<void, 0, T...>(order_[i], handlers...);
  }

 private:
  friend struct detail::select_access;
  select_result() = default;

  template <class Value, class Handler>
  using returned = decltype(detail::call_handler(std::declval<Handler>(), std::declval<Value>()));

  // `First` and `As` say how each value is passed: as `T&`, or as `T`, which moves it.
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
  mutable detail::unseen_values unseen_;
};

/// The same for a range of branches.
template <class T>
class [[nodiscard]] select_range_result {
 public:
  select_range_result(select_range_result&&) noexcept = default;
  select_range_result& operator=(select_range_result&&) = delete;
  ~select_range_result() {
    if (!used_) return;
    for (const std::size_t i : order_)
      if (!values_[i].seen) detail::report_unseen_value(i);
  }

  /// How many branches there were.
  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
  /// Which branch completed first.
  [[nodiscard]] std::size_t index() const noexcept {
    used_ = true;
    return order_.front();
  }
  /// The branches that completed, in the order in which they did.
  [[nodiscard]] const std::vector<std::size_t>& order() const noexcept { return order_; }

  [[nodiscard]] bool has(std::size_t i) const noexcept {
    used_ = true;
    return values_[i].value.has_value();
  }
  /// The value of branch `i`, if it completed.
  [[nodiscard]] std::optional<T>& get(std::size_t i) noexcept { return look(i).value; }
  [[nodiscard]] const std::optional<T>& get(std::size_t i) const noexcept { return look(i).value; }

 private:
  friend struct detail::select_access;
  struct place {
    std::optional<T> value;
    mutable bool seen = std::is_same_v<T, std::monostate>;
  };

  explicit select_range_result(std::size_t size) : values_(size) {}
  template <class Self>
  static auto& look(Self& self, std::size_t i) noexcept {
    self.used_ = true;
    self.values_[i].seen = true;
    return self.values_[i];
  }
  place& look(std::size_t i) noexcept { return look(*this, i); }
  const place& look(std::size_t i) const noexcept { return look(*this, i); }

  std::vector<place> values_;
  std::vector<std::size_t> order_;
  mutable bool used_ = false;
};

namespace detail {

/// Library access to the results of a select.
struct select_access {
  template <class Result>
  static Result make() {
    return {};
  }
  template <std::size_t I, class... T, class Value>
  static void emplace(select_result<T...>& r, bool has_won, Value&& value) {
    std::get<I>(r.values_).emplace(std::forward<Value>(value));
    using stored_type = std::tuple_element_t<I, std::tuple<T...>>;
    if (!has_won && !std::is_same_v<stored_type, std::monostate>) r.unseen_.add(I);
    r.order_[r.count_++] = static_cast<std::uint8_t>(I);
  }
  /// As if the program had looked at the result.
  template <class... T>
  static void use(select_result<T...>& r) noexcept {
    r.unseen_.use();
  }

  template <class T>
  static select_range_result<T> make_range(std::size_t size) {
    return select_range_result<T>(size);
  }
  template <class T, class Value>
  static void emplace(select_range_result<T>& r, std::size_t index, bool has_won, Value&& value) {
    r.values_[index].value.emplace(std::forward<Value>(value));
    if (has_won) r.values_[index].seen = true;
    r.order_.push_back(index);
  }
  template <class T>
  static void use(select_range_result<T>& r) noexcept {
    r.used_ = true;
  }
};

}  // namespace detail
}  // namespace kioto
