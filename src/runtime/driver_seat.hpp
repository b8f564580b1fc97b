// SPDX-License-Identifier: MIT
#pragma once

#include <kioto/detail/driver_seat.hpp>
#include <kioto/detail/io_driver.hpp>
#include <kioto/detail/time_driver.hpp>
#include <kioto/detail/timer_operation.hpp>

#include "../time/runtime_clock.hpp"

namespace kioto::detail {

using driver_seat = basic_driver_seat<std_sync, io_driver, time_driver, runtime_clock>;

}  // namespace kioto::detail
