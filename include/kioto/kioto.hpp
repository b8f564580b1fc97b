// SPDX-License-Identifier: MIT
#pragma once

// All of kioto.

#include <kioto/as_result.hpp>
#include <kioto/blocking.hpp>
#include <kioto/buffer.hpp>
#include <kioto/join_handle.hpp>
#include <kioto/metrics.hpp>
#include <kioto/net/interest.hpp>
#include <kioto/net/ip_address.hpp>
#include <kioto/net/socket_address.hpp>
#include <kioto/net/tcp_listener.hpp>
#include <kioto/net/tcp_stream.hpp>
#include <kioto/or_return.hpp>
#include <kioto/or_throw.hpp>
#include <kioto/parallelism.hpp>
#include <kioto/result.hpp>
#include <kioto/runtime.hpp>
#include <kioto/shield.hpp>
#include <kioto/spawn.hpp>
#include <kioto/task.hpp>
#include <kioto/task_id.hpp>
#include <kioto/time/sleep.hpp>
#include <kioto/timeout.hpp>
#include <kioto/version.hpp>
#include <kioto/yield.hpp>
