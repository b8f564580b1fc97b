// SPDX-License-Identifier: MIT
#pragma once

// Streams and all stream adaptors.

#include <kioto/async_generator.hpp>
#include <kioto/stream/buffered.hpp>
#include <kioto/stream/chunks.hpp>
#include <kioto/stream/collect.hpp>
#include <kioto/stream/combine.hpp>
#include <kioto/stream/filter.hpp>
#include <kioto/stream/for_each_concurrent.hpp>
#include <kioto/stream/from.hpp>
#include <kioto/stream/map.hpp>
#include <kioto/stream/merge.hpp>
#include <kioto/stream/pace.hpp>
#include <kioto/stream/stream.hpp>
#include <kioto/stream/stream_map.hpp>
#include <kioto/stream/take.hpp>
#include <kioto/stream/then.hpp>
