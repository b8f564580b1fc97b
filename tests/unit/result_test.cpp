// SPDX-License-Identifier: MIT
#include "support/catch.hpp"

#include <cerrno>
#include <kioto/result.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using kioto::errc;
using kioto::error;
using kioto::resolve_error;
using kioto::result;

namespace {

static_assert(std::is_trivially_copyable_v<result<int>>);
static_assert(std::is_trivially_copyable_v<result<void>>);
static_assert(std::is_trivially_destructible_v<result<std::size_t>>);
static_assert(std::is_nothrow_move_constructible_v<result<std::unique_ptr<int>>>);
static_assert(!std::is_copy_constructible_v<result<std::unique_ptr<int>>>);
static_assert(std::is_convertible_v<int, result<long>>);
static_assert(std::is_convertible_v<errc, result<long>>);
static_assert(std::is_convertible_v<error, result<void>>);
static_assert(!std::is_convertible_v<std::string, result<int>>);
static_assert(!std::is_convertible_v<std::size_t, result<std::vector<int>>>, "explicit stays so");
static_assert(std::is_constructible_v<result<std::vector<int>>, std::size_t>);
static_assert(!std::is_convertible_v<result<int>, bool>);
static_assert(std::is_same_v<decltype(std::declval<result<int>>().value()), int&&>);
static_assert(std::is_same_v<decltype(std::declval<result<int>&>().value()), int&>);
static_assert(std::is_same_v<decltype(std::declval<const result<int>&>().value()), const int&>);

result<int> half(int n) {
  if (n % 2 != 0) return errc::argument_out_of_domain;
  return n / 2;
}

result<void> check(int n) {
  if (n < 0) return error::write_zero;
  return {};
}

struct only_nothrow {
  explicit only_nothrow(int n) noexcept : value(n) {}
  only_nothrow(only_nothrow&&) noexcept = default;
  only_nothrow& operator=(only_nothrow&&) noexcept = default;
  int value;
};

}  // namespace

TEST_CASE("a result holds a value or an error", "[result]") {
  result<int> good = 4;
  REQUIRE(good);
  CHECK(*good == 4);
  CHECK(good.value() == 4);
  CHECK(good.value_or(9) == 4);
  result<int> bad = errc::timed_out;
  REQUIRE_FALSE(bad);
  CHECK(bad.error() == errc::timed_out);
  CHECK(bad.error().category() == std::generic_category());
  CHECK(bad.value_or(9) == 9);
  CHECK(bad.error_or({}) == errc::timed_out);
  CHECK_FALSE(good.error_or({}));
  bad = 5;
  CHECK(*bad == 5);
  bad = std::error_code(EPIPE, std::system_category());
  CHECK(bad.error() == errc::broken_pipe);
  CHECK(result<std::string>()->empty());
  CHECK(result<std::vector<int>>(std::in_place, {1, 2, 3})->size() == 3);
  CHECK(result<int>(kioto::unexpect, error::write_zero).error() == error::write_zero);
  CHECK(result<int>(kioto::unexpected<std::error_code>(error::write_zero)).error() ==
        error::write_zero);
}

TEST_CASE("value() of a failed result throws system_error with its code", "[result]") {
  result<int> bad = error::runtime_shutdown;
  try {
    (void)bad.value();
    FAIL("value() did not throw");
  } catch (const std::system_error& e) {
    CHECK(e.code() == error::runtime_shutdown);
    CHECK(std::string(e.what()).find("runtime was shut down") != std::string::npos);
  }
  CHECK_THROWS_AS(std::as_const(bad).value(), std::system_error);
  CHECK_THROWS_AS(std::move(bad).value(), std::system_error);
  CHECK_THROWS_AS(check(-1).value(), std::system_error);
  CHECK_NOTHROW(check(1).value());
}

TEST_CASE("a result moves a move-only value in and out", "[result]") {
  result<std::unique_ptr<int>> r = std::make_unique<int>(7);
  std::unique_ptr<int> p = *std::move(r);
  CHECK(*p == 7);
  result<std::unique_ptr<int>> a = std::move(p);
  result<std::unique_ptr<int>> b = errc::io_error;
  b = std::move(a);
  CHECK(**b == 7);
  std::unique_ptr<int> q = std::move(b).value();
  CHECK(*q == 7);
  result<std::unique_ptr<int>> c = std::make_unique<int>(8);
  c = errc::io_error;
  CHECK(c.error() == errc::io_error);
}

TEST_CASE("results of convertible types convert", "[result]") {
  result<int> small = 3;
  result<long> large = small;
  CHECK(*large == 3);
  result<long> failed = half(3);
  CHECK(failed.error() == errc::argument_out_of_domain);
  result<std::unique_ptr<const int>> pointer =
      result<std::unique_ptr<int>>(std::make_unique<int>(1));
  CHECK(**pointer == 1);
}

TEST_CASE("emplace replaces a value and an error", "[result]") {
  result<only_nothrow> r = errc::io_error;
  CHECK(r.emplace(3).value == 3);
  CHECK(r.emplace(4).value == 4);
  CHECK(r.has_value());
}

TEST_CASE("and_then, transform and or_else chain results", "[result]") {
  CHECK(half(8).and_then(half).and_then(half) == 1);
  CHECK(half(6).and_then(half).error() == errc::argument_out_of_domain);
  CHECK(half(8).transform([](int n) { return std::to_string(n); }) == "4");
  CHECK(half(8).map([](int n) { return n + 1; }) == 5);
  CHECK(half(3).transform([](int n) { return n + 1; }).error() == errc::argument_out_of_domain);
  CHECK(half(3).or_else([](std::error_code) { return result<int>(11); }) == 11);
  CHECK(half(4).or_else([](std::error_code) { return result<int>(11); }) == 2);
  CHECK(half(3).transform_error([](std::error_code) { return errc::io_error; }).error() ==
        errc::io_error);

  int seen = 0;
  result<void> done = half(4).transform([&](int n) { seen = n; });
  CHECK(done);
  CHECK(seen == 2);
  CHECK(check(1).and_then([] { return half(4); }) == 2);
  CHECK(check(-1).and_then([] { return half(4); }).error() == error::write_zero);
  CHECK(check(1).transform([] { return 5; }) == 5);
  CHECK(check(1).transform([] {}) == result<void>());
  CHECK(check(-1).or_else([](std::error_code) { return result<void>(); }));
  CHECK(check(-1).transform_error([](std::error_code) { return errc::io_error; }).error() ==
        errc::io_error);

  result<std::unique_ptr<int>> r = std::make_unique<int>(6);
  CHECK(std::move(r).and_then([](std::unique_ptr<int> p) { return half(*p); }) == 3);
}

TEST_CASE("results compare by value or by error", "[result]") {
  CHECK(half(4) == half(4));
  CHECK_FALSE(half(4) == half(6));
  CHECK(half(3) == half(5));
  CHECK(half(4) != half(3));
  CHECK(half(4) == 2);
  CHECK(half(4) != 3);
  CHECK(result<int>(3) == result<long>(3));
  CHECK(check(-1) == check(-2));
  CHECK(check(1) != check(-1));
  CHECK(half(3) == kioto::unexpected<errc>(errc::argument_out_of_domain));
}

TEST_CASE("kioto errors name their category and say what happened", "[result]") {
  const std::error_code ec = error::runtime_shutdown;
  CHECK(std::string(ec.category().name()) == "kioto");
  CHECK(ec.message() == "the runtime was shut down");
  CHECK(kioto::is_runtime_shutdown(ec));
  CHECK_FALSE(kioto::is_runtime_shutdown(error::unexpected_eof));
  CHECK_FALSE(kioto::is_runtime_shutdown(std::error_code(1, std::generic_category())));
  for (int value = 1; value <= static_cast<int>(error::invalid_host); ++value) {
    CHECK(std::error_code(value, kioto::error_category()).message() != "unknown kioto error");
  }
  CHECK(std::error_code(999, kioto::error_category()).message() == "unknown kioto error");
  CHECK(std::error_code(error::invalid_port) == errc::invalid_argument);
  CHECK(std::error_code(error::invalid_address) == errc::invalid_argument);
  CHECK_FALSE(std::error_code(error::unexpected_eof) == errc::invalid_argument);

  const std::error_code unknown_host = resolve_error::host_not_found;
  CHECK(std::string(unknown_host.category().name()) == "resolve");
  for (int value = 1; value <= static_cast<int>(resolve_error::other); ++value) {
    CHECK_FALSE(std::error_code(value, kioto::resolve_category()).message().empty());
  }
  CHECK(std::error_code(resolve_error::out_of_memory) == errc::not_enough_memory);
}

TEST_CASE("transient errors are those after which accept can go on", "[result]") {
  for (int e : {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EINTR, EAGAIN, EPROTO, EPERM,
                ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH, ENOPROTOOPT}) {
    CAPTURE(e);
    CHECK(kioto::is_transient(std::error_code(e, std::system_category())));
    CHECK(kioto::is_transient(std::error_code(e, std::generic_category())));
  }
  for (int e : {EBADF, EINVAL, ENOTSOCK, EADDRINUSE, ECONNRESET, EPIPE, EOPNOTSUPP, EFAULT}) {
    CAPTURE(e);
    CHECK_FALSE(kioto::is_transient(std::error_code(e, std::system_category())));
  }
  CHECK_FALSE(kioto::is_transient({}));
  CHECK_FALSE(kioto::is_transient(error::runtime_shutdown));
  CHECK(kioto::is_transient(resolve_error::try_again));
  CHECK_FALSE(kioto::is_transient(resolve_error::host_not_found));
}
