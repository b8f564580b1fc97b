// SPDX-License-Identifier: MIT
#include "driver/backend_choice.hpp"

#include <cstdlib>
#include <optional>
#include <string>

#include <kioto/detail/net/reactor.hpp>
#include <kioto/runtime.hpp>

#include "support/catch.hpp"

using kioto::backend;
using kioto::errc;
using kioto::detail::choose_backend;
using kioto::detail::reactor;

namespace {

/// Gives the variable another value for its lifetime.
class kioto_backend_is {
 public:
  explicit kioto_backend_is(const char* value) {
    if (const char* const old = std::getenv(name)) before_ = old;
    set(value);
  }
  kioto_backend_is(const kioto_backend_is&) = delete;
  kioto_backend_is& operator=(const kioto_backend_is&) = delete;
  ~kioto_backend_is() { set(before_ ? before_->c_str() : nullptr); }

 private:
  static constexpr const char* name = "KIOTO_BACKEND";
  static void set(const char* value) {
    if (value == nullptr)
      ::unsetenv(name);
    else
      ::setenv(name, value, 1);
  }
  std::optional<std::string> before_;
};

bool mentions(const std::error_code& error, const char* what) {
  return error.message().find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("backend: the builder decides, then the environment, then the platform") {
  {
    const kioto_backend_is io_uring("io_uring");
    const auto asked = choose_backend(backend::epoll);
    REQUIRE(asked);
    CHECK(asked->which == backend::epoll);
    CHECK(asked->reason.find("builder") != std::string::npos);
    const auto named = choose_backend(backend::automatic);
    REQUIRE(named);
    CHECK(named->which == backend::io_uring);
    CHECK(named->reason.find("KIOTO_BACKEND") != std::string::npos);
  }
  for (const char* nothing : {static_cast<const char*>(nullptr), "", "automatic"}) {
    const kioto_backend_is unset(nothing);
    const auto left = choose_backend(backend::automatic);
    REQUIRE(left);
    CHECK(left->which == backend::epoll);
    CHECK(left->reason.find("automatic") != std::string::npos);
  }
}

TEST_CASE("backend: a name that is none is an error that says so") {
  for (const char* garbage : {"select", "EPOLL", "epoll "}) {
    const kioto_backend_is set(garbage);
    const auto chosen = choose_backend(backend::automatic);
    REQUIRE_FALSE(chosen);
    CHECK(chosen.error() == errc::invalid_argument);
    CHECK(mentions(chosen.error(), "KIOTO_BACKEND"));
    CHECK(mentions(chosen.error(), "epoll"));
    CHECK(kioto::runtime::builder().current_thread().build().error() == errc::invalid_argument);
  }
}

TEST_CASE("backend: a reactor is made with the one that was asked for, or not at all") {
  for (const backend which : {backend::automatic, backend::epoll}) {
    const auto made = reactor::create(which);
    REQUIRE(made);
    CHECK(std::string((*made)->backend_name()) == "epoll");
  }
  for (const backend which : {backend::kqueue, backend::io_uring}) {
    const auto made = reactor::create(which);
    REQUIRE_FALSE(made);
    CHECK(made.error() == errc::not_supported);
    CHECK(mentions(made.error(), "it has epoll"));
    const auto built = kioto::runtime::builder().current_thread().backend(which).build();
    REQUIRE_FALSE(built);
    CHECK(mentions(built.error(), "it has epoll"));
  }
}

TEST_CASE("backend: the metrics say which one, and why") {
  const auto reason = [](backend asked) {
    auto built = kioto::runtime::builder().current_thread().backend(asked).build();
    REQUIRE(built.has_value());
    const auto metrics = built->metrics();
    CHECK(metrics.backend == "epoll");
    return metrics.backend_reason;
  };
  const kioto_backend_is set("epoll");
  CHECK(reason(backend::automatic).find("KIOTO_BACKEND") != std::string::npos);
  CHECK(reason(backend::epoll).find("builder") != std::string::npos);
  const kioto_backend_is unset(nullptr);
  CHECK(reason(backend::automatic).find("automatic") != std::string::npos);
}
