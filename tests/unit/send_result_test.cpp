// SPDX-License-Identifier: MIT
#include <kioto/sync/send_result.hpp>

#include <memory>
#include <system_error>

#include "support/catch.hpp"

using kioto::error;
using kioto::sync::send_result;

TEST_CASE("send_result: sent, refused, and lost") {
  const send_result<int> sent;
  CHECK(sent.has_value());
  CHECK(static_cast<bool>(sent));
  CHECK_FALSE(sent.has_rejected());
  CHECK_NOTHROW(sent.value());

  send_result<std::unique_ptr<int>> refused(make_error_code(error::full), std::make_unique<int>(4));
  CHECK_FALSE(refused.has_value());
  CHECK(refused.error() == error::full);
  REQUIRE(refused.has_rejected());
  CHECK(*refused.rejected() == 4);
  CHECK_THROWS_AS(refused.value(), std::system_error);
  const std::unique_ptr<int> back = std::move(refused).rejected();
  CHECK(*back == 4);

  const send_result<int> lost(std::make_error_code(std::errc::timed_out));
  CHECK_FALSE(lost.has_value());
  CHECK_FALSE(lost.has_rejected());
  CHECK(lost.error() == std::errc::timed_out);
}
