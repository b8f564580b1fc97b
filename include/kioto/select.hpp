// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <exception>
#include <type_traits>
#include <utility>
#include <vector>

#include <kioto/config.hpp>
#include <kioto/detail/task/branch_set.hpp>
#include <kioto/select_result.hpp>

namespace kioto {

/// Passed first to `select`: the branches start in the order given, not from a random one.
class biased_t {
 public:
  explicit constexpr biased_t() noexcept = default;
};
inline constexpr biased_t biased = biased_t();

/// Passed last to `select`: a branch that completes at once if all the others are disabled.
class otherwise_t {
 public:
  explicit constexpr otherwise_t() noexcept = default;
};
inline constexpr otherwise_t otherwise = otherwise_t();

namespace detail {

template <class A>
class [[nodiscard]] conditional {
 public:
  conditional(bool enabled, A&& awaitable)
      : enabled_(enabled), awaitable_(std::forward<A>(awaitable)) {}
  conditional(conditional&&) = default;
  conditional& operator=(conditional&&) = delete;
  ~conditional() = default;

  [[nodiscard]] bool enabled() const noexcept { return enabled_; }
  [[nodiscard]] A&& take() noexcept { return std::forward<A>(awaitable_); }

 private:
  bool enabled_;
  A awaitable_;
};

/// Completes at once.
class ready_operation final : public leaf_operation {
 public:
  ready_operation() noexcept = default;
  ready_operation(ready_operation&&) noexcept = default;
  attempt try_or_wait() noexcept override { return attempt::ready; }
  bool cancel() noexcept override { return true; }
  static bool await_ready() noexcept { return true; }
  static void await_resume() noexcept {}
};

/// A branch of a select, and whether it takes part.
template <class A>
class select_branch : public branch_of<A> {
 public:
  using awaited = A;
  static constexpr bool is_fallback = false;

  using branch_of<A>::branch_of;
  static constexpr bool enabled() noexcept { return true; }
};
template <class A>
class select_branch<conditional<A>> : public branch_of<A> {
 public:
  using awaited = A;
  static constexpr bool is_fallback = false;

  explicit select_branch(conditional<A>&& c) : branch_of<A>(c.take()), enabled_(c.enabled()) {}
  [[nodiscard]] bool enabled() const noexcept { return enabled_; }

 private:
  bool enabled_;
};
template <class A>
  requires std::is_same_v<std::remove_cvref_t<A>, otherwise_t>
class select_branch<A> : public branch_of<ready_operation> {
 public:
  using awaited = ready_operation;
  static constexpr bool is_fallback = true;

  explicit select_branch(const otherwise_t&) : branch_of<ready_operation>(ready_operation()) {}
  static constexpr bool enabled() noexcept { return false; }
};

/// The part of `select` that does not depend on the number of branches.
class select_base : public combinator {
 protected:
  explicit select_base(bool in_order) noexcept : biased_(in_order) {}
  select_base(select_base&& other) noexcept
      : combinator(static_cast<combinator&&>(other)), biased_(other.biased_) {}
  ~select_base() = default;

  /// The index of the branch to start first.
  [[nodiscard]] std::size_t first_of(std::size_t branches) noexcept {
    if (biased_ || branches < 2) return 0;
    return random_branch(*strand_, static_cast<std::uint32_t>(branches));
  }
  /// Takes the results of the branches that completed into `values`, in the order of completion:
  /// calls `take(index, has_won)` for each. Rethrows the exception of the first one.
  template <class Values, class Take>
  void take_completed(Values& values, Take&& take) {
    if (completed_.empty())
      throw_no_branch("select() with every branch disabled: give `otherwise`");
    std::exception_ptr error;
    const branch_strand* const first = completed_.front();
    while (branch_strand* branch = completed_.pop_front()) {
      KIOTO_TRY { take(std::size_t{branch->index_}, branch == first); }
      KIOTO_CATCH_ALL {
        if (branch == first)
          error = std::current_exception();
        else
          report_lost_exception(*strand_, std::current_exception());
      }
    }
    if (error == nullptr) return;
    select_access::use(values);  // the exception hides them: report them
    std::rethrow_exception(std::move(error));
  }

 private:
  bool settle(branch_strand& branch) noexcept override {
    if (branch.outcome_ == outcome::stopped) return false;
    completed_.push_back(&branch);
    withdraws_branches_ = true;  // a branch has won
    return true;
  }
  attempt conclude() noexcept override {
    return completed_.empty() && !is_empty() ? attempt::stopped : attempt::ready;
  }

  intrusive_queue<branch_strand> completed_;  // no other queue holds a branch that has ended
  bool biased_;
};

template <class... A>
class [[nodiscard]] select_operation final : public select_base {
 public:
  using result_type = select_result<stored<branch_result<typename select_branch<A>::awaited>>...>;

  explicit select_operation(bool in_order, A&&... awaitables)
      : select_base(in_order), branches_(std::in_place, std::forward<A>(awaitables)...) {}
  select_operation(select_operation&&) = default;

  attempt try_or_wait() noexcept override {
    std::array<branch_strand*, sizeof...(A)> enabled;
    std::size_t count = 0;
    branches_.for_each([&]<std::size_t I>(auto& branch) {
      using type = std::remove_reference_t<decltype(branch)>;
      if (branch.enabled() || (type::is_fallback && count == 0))
        enabled[count++] = &branch.prepare(I);
      else
        branch.leave_out();
    });
    chain all;
    const std::size_t first = first_of(count);
    for (std::size_t i = first; i != count; ++i) all.add(*enabled[i]);
    for (std::size_t i = 0; i != first; ++i) all.add(*enabled[i]);
    return start(all);
  }

  result_type await_resume() {
    result_type values = select_access::make<result_type>();
    take_completed(values, [&](std::size_t index, bool has_won) {
      branches_.at(index, [&]<std::size_t I>(auto& branch) {
        select_access::emplace<I>(values, has_won, take_stored(branch));
      });
    });
    return values;
  }

 private:
  fixed_branches<select_branch<A>...> branches_;
};

template <class A>
class [[nodiscard]] select_of_range final : public select_base {
 public:
  using result_type = select_range_result<stored<branch_result<A>>>;

  explicit select_of_range(bool in_order, std::vector<A>&& awaitables)
      : select_base(in_order), branches_(std::move(awaitables)) {
    if (branches_.size() == 0) throw_no_branch("select() of an empty range");
  }
  select_of_range(select_of_range&&) = default;

  attempt try_or_wait() noexcept override {
    chain all;
    const std::size_t count = branches_.size();
    const std::size_t first = first_of(count);
    for (std::size_t i = first; i != count; ++i) all.add(branches_[i].prepare(i));
    for (std::size_t i = 0; i != first; ++i) all.add(branches_[i].prepare(i));
    return start(all);
  }

  result_type await_resume() {
    result_type values = select_access::make_range<stored<branch_result<A>>>(branches_.size());
    take_completed(values, [&](std::size_t index, bool has_won) {
      select_access::emplace(values, index, has_won, take_stored(branches_[index]));
    });
    return values;
  }

 private:
  range_of_branches<A> branches_;
};

template <class A>
inline constexpr bool is_otherwise = std::is_same_v<std::remove_cvref_t<A>, otherwise_t>;
template <class A>
inline constexpr bool is_conditional = false;
template <class A>
inline constexpr bool is_conditional<conditional<A>> = awaitable<A>;

/// Returns true if `otherwise` is the last branch or absent.
template <class... A>
constexpr bool otherwise_is_last() noexcept {
  const bool is[] = {is_otherwise<A>...};
  for (std::size_t i = 0; i + 1 < sizeof...(A); ++i)
    if (is[i]) return false;
  return true;
}

template <class... A>
auto make_select(bool in_order, A&&... awaitables) {
  static_assert(sizeof...(A) != 0, "select() needs at least one branch");
  static_assert(sizeof...(A) <= most_branches,
                "select() takes at most 16 branches; give more of them as a std::vector");
  static_assert(((awaitable<A> || is_conditional<A> || is_otherwise<A>) && ...),
                "a branch of select() is something that a kioto coroutine can co_await, a "
                "when(condition, …) of such, or `otherwise`; a task that has a name is given as "
                "std::move(name), because it runs once");
  static_assert(otherwise_is_last<A...>(), "`otherwise` is the last branch of a select()");
  return select_operation<A...>(in_order, std::forward<A>(awaitables)...);
}

}  // namespace detail

/// A branch of a `select` with a precondition: if it does not hold, the branch is disabled. The
/// operation is created nevertheless, but not started.
template <class A>
[[nodiscard]] auto when(bool condition, A&& awaitable) {
  return detail::conditional<A>(condition, std::forward<A>(awaitable));
}

/// Waits for several operations at once, until one completes.
///
/// The branches run on the strand of the awaiting task, never in parallel with each other, so they
/// may share the locals of the awaiting coroutine. There may be up to 16; each is any awaitable of
/// the library, a task, or a `when(condition, …)` of such.
///
/// - Waits for: the first branch to complete, with a value or an exception. Then the others are
///   asked to stop, and it resumes when every branch has ended. Branches start one after the other,
///   from a random one on, or with `select(biased, …)` in the order given; one that completes at
///   once keeps the later ones from starting.
/// - Exactly one branch takes effect. Once one has completed, the others are withdrawn, even if
///   they have been woken meanwhile: a message stays in its channel, bytes in their socket, a
///   result in its task, and a permit, a lock or a notification goes to the next waiter. Only the
///   place in a queue is lost. So a loop around a select loses nothing, however its result is read.
/// - An operation that cannot be withdrawn completes, and its value is in the result, too: the wait
///   at a barrier whose group is complete, a task that turns the stop into a value or is in a
///   shield. Each operation says so in its documentation ("in a select").
/// - Result: a `select_result`: `index()` of the first, and the value of each branch that
///   completed. A value that the program does not look at is reported, see there.
/// - Errors: failed results are ordinary values. If the first branch to complete ended with an
///   exception, that is rethrown; exceptions of the others go to the runtime's hook for unhandled
///   exceptions. Throws std::logic_error if every branch is disabled, unless the last one is
///   `otherwise`, which then completes.
/// - Cancellation: passed on to every branch. If one completes nevertheless, it is the result.
/// - In a select: as a branch of another select it is withdrawn with all its branches.
/// - Lifetime: rvalues are moved into the awaiter and live as long as it does; lvalues must outlive
///   it. The frame of a branch that is a task is destroyed as soon as the branch has ended, or does
///   not take part. Nothing is allocated, unless a branch is an adaptor such as `as_result(…)` or a
///   user-defined awaitable, which runs in a task with a frame of its own.
/// - Budget: each branch that starts costs one unit, so a loop around a select yields from time to
///   time.
///
///     auto hit = co_await select(socket.read(buffer), inbox.recv(), sleep(1s));
///     if (auto& n = hit.get<0>()) …       // std::optional<result<std::size_t>>
///     if (auto& message = hit.get<1>()) …
///
///     auto next = co_await select(biased, when(!full, inbox.recv()), stop.cancelled());
///     const bool go_on = next.match([&](message& m) { return handle(m); }, [] { return false; });
template <class... A>
[[nodiscard]] auto select(A&&... awaitables) {
  return detail::make_select<A...>(false, std::forward<A>(awaitables)...);
}
template <class... A>
[[nodiscard]] auto select(biased_t, A&&... awaitables) {
  return detail::make_select<A...>(true, std::forward<A>(awaitables)...);
}

/// The same for the awaitables in a vector. Result: a `select_range_result`. Throws
/// std::logic_error if the vector is empty. Allocates the array of the branches and that of the
/// values.
template <class A>
[[nodiscard]] auto select(std::vector<A> awaitables) {
  static_assert(detail::check_branches<A>());
  return detail::select_of_range<A>(false, std::move(awaitables));
}
template <class A>
[[nodiscard]] auto select(biased_t, std::vector<A> awaitables) {
  static_assert(detail::check_branches<A>());
  return detail::select_of_range<A>(true, std::move(awaitables));
}

}  // namespace kioto
