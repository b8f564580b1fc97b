// SPDX-License-Identifier: MIT How much channels take from the allocator, by its own count: idle,
// with a backlog, and drained.
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <kioto/sync/broadcast.hpp>
#include <kioto/sync/mpsc.hpp>
#include <kioto/sync/oneshot.hpp>
#include <kioto/sync/watch.hpp>

#include "support/catch.hpp"

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
#include <malloc.h>
#endif

using namespace kioto::sync;

namespace {

/// Bytes that are allocated; 0 where they are not counted, as under a sanitizer.
std::size_t allocated() {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

template <class Make>
std::size_t bytes_each(Make make) {
  constexpr std::size_t count = 10'000;
  std::vector<decltype(make())> channels;
  channels.reserve(count);
  const std::size_t before = allocated();
  for (std::size_t i = 0; i != count; ++i) channels.push_back(make());
  return (allocated() - before) / count;
}

}  // namespace

// The sizes are those that the reference states, plus what the allocator adds: at most 16 bytes.
TEST_CASE("channels: bytes of an idle channel") {
  CHECK(bytes_each([] { return mpsc::channel<std::uint64_t>(100); }) <= 152 + 16);
  CHECK(bytes_each([] { return mpsc::unbounded_channel<std::uint64_t>(); }) <= 152 + 16);
  CHECK(bytes_each([] { return oneshot::channel<std::uint64_t>(); }) <= 64 + 16);
  CHECK(bytes_each([] { return broadcast::channel<std::uint64_t>(4); }) <= 128 + 4 * 32 + 2 * 16);
  CHECK(bytes_each([] { return watch::channel<std::uint64_t>(1); }) <= 128 + 64 + 2 * 16);
}

TEST_CASE("channels: a drained channel keeps one block, whatever its backlog was") {
  auto [tx, rx] = mpsc::unbounded_channel<std::uint64_t>();
  const std::size_t before = allocated();
  for (std::uint64_t i = 0; i != 100'000; ++i) CHECK(tx.send(i).has_value());
  const std::size_t backlog = allocated() - before;
  if (allocated() != 0) CHECK(backlog >= 100'000 * sizeof(std::uint64_t));
  for (std::uint64_t i = 0; i != 100'000; ++i) CHECK(rx.try_recv().value() == i);
  CHECK(allocated() - before <= 8 * 1024);  // with what the allocator keeps at hand for this thread
}
