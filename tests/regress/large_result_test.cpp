// SPDX-License-Identifier: MIT
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include <kioto/join_set.hpp>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;

namespace {

std::atomic<int> misplaced{0};

/// A value of `Size` bytes that knows its contents, and whether it was ever where it must not be.
template <std::size_t Size, std::size_t Alignment = 1>
class alignas(Alignment) value {
 public:
  explicit value(unsigned char seed) : bytes_() {
    bytes_.fill(seed);
    check();
  }
  value(const value& other) noexcept : bytes_(other.bytes_) { check(); }
  value& operator=(const value&) = default;
  // Not trivial: so the result is below the header.
  ~value() { check(); }

  [[nodiscard]] bool is(unsigned char seed) const noexcept {
    for (const unsigned char b : bytes_)
      if (b != seed) return false;
    return true;
  }

 private:
  void check() const noexcept {
    if (reinterpret_cast<std::uintptr_t>(this) % Alignment != 0) misplaced.fetch_add(1);
  }
  std::array<unsigned char, Size> bytes_;
};

// The same without a destructor.
template <std::size_t Size>
struct plain {
  std::array<unsigned char, Size> bytes;
};

template <class T>
task<T> make(unsigned char seed) {
  co_await yield_now();
  co_return T(seed);
}
template <class T>
task<T> fail() {
  co_await yield_now();
  throw std::runtime_error("no value");
}
template <class T>
task<result<T>> make_result(unsigned char seed) {
  co_await yield_now();
  co_return T(seed);
}

template <class T>
task<> awaited() {
  const T v = co_await make<T>(1);
  CHECK(v.is(1));
}
template <class T>
task<> spawned() {
  auto handle = spawn(make<T>(2));
  auto v = co_await std::move(handle);
  CHECK(v.value().is(2));
}
template <class T>
task<> selected() {
  auto first = co_await select(make<T>(3), sleep(std::chrono::hours(1)));
  CHECK(first.index() == 0);
}
template <class T>
task<> joined() {
  const auto [a, b] = co_await when_all(make<T>(4), make<T>(5));
  CHECK(a.is(4));
  CHECK(b.is(5));
}
template <class T>
task<> in_result() {
  const auto v = co_await make_result<T>(6);
  REQUIRE(v.has_value());
  CHECK(v->is(6));
}
template <class T>
task<> blocking() {
  auto handle = spawn_blocking([] { return T(7); });
  auto v = co_await std::move(handle);
  CHECK(v.value().is(7));
}
template <class T>
task<> in_set() {
  join_set<T> set;
  set.spawn(make<T>(8));
  auto v = co_await set.join_next();
  REQUIRE(v.has_value());
  CHECK(v->value().is(8));
}
template <class T>
task<> thrown() {
  auto handle = spawn(fail<T>());
  const auto v = co_await std::move(handle);
  CHECK(v.is_exception());
}
template <class T>
task<> dropped() {
  auto never_started = make<T>(9);
  auto handle = spawn(make<T>(10));
  co_await yield_now();
  co_await yield_now();
}
template <class T>
task<> in_scope() {
  int right = 0;
  auto body = [&right](task_scope& s) -> task<> {
    auto handle = s.spawn(make<T>(11));
    auto v = co_await std::move(handle);
    if (v.value().is(11)) ++right;
  };
  co_await scope(body);
  CHECK(right == 1);
}

template <class T>
task<> everywhere() {
  co_await awaited<T>();
  co_await spawned<T>();
  co_await selected<T>();
  co_await joined<T>();
  co_await in_result<T>();
  co_await blocking<T>();
  co_await in_set<T>();
  co_await thrown<T>();
  co_await dropped<T>();
  co_await in_scope<T>();
}

template <std::size_t Size>
task<plain<Size>> make_plain() {
  co_await yield_now();
  plain<Size> p{};
  p.bytes.front() = 1;
  p.bytes.back() = 2;
  co_return p;
}
template <std::size_t Size>
task<> await_plain() {
  const auto a = co_await make_plain<Size>();
  CHECK(a.bytes.back() == 2);
  auto handle = spawn(make_plain<Size>());
  auto b = co_await std::move(handle);
  CHECK(b.value().bytes.front() == 1);
}

}  // namespace

// The distance from the start of a block to its header was cut to 16 bits: 65,536 bytes of result
// became 0, and the middle of the block was freed.
TEST_CASE("a result of 64 KiB is no different from a small one") {
  on_every_scheduler([]() -> task<> {
    co_await everywhere<value<1000>>();
    co_await everywhere<value<65504>>();
    co_await everywhere<value<65520>>();
    co_await everywhere<value<65521>>();
    co_await everywhere<value<65536>>();
    co_await everywhere<value<131072>>();
    co_await await_plain<65521>();
    co_await await_plain<65536>();
  });
}

// Where the distance in units of 16 bytes no longer fits, either.
TEST_CASE("a result of a megabyte is no different from a small one") {
  on_every_scheduler([]() -> task<> {
    constexpr std::size_t most = kioto::detail::block_info::near_prefix;
    co_await awaited<value<most - 4096>>();
    co_await spawned<value<most - 4095>>();
    co_await awaited<value<most>>();
    co_await spawned<value<most + 1>>();
    co_await selected<value<most + 16>>();
    co_await thrown<value<most + 17>>();
    co_await dropped<value<most + 32>>();
    co_await await_plain<most + 40>();
    co_await spawned<value<most + 4096, 64>>();
  });
}

TEST_CASE("an over-aligned result is aligned wherever it is") {
  misplaced = 0;
  on_every_scheduler([]() -> task<> {
    co_await everywhere<value<8, 16>>();
    co_await everywhere<value<8, 32>>();
    co_await everywhere<value<8, 64>>();
    co_await everywhere<value<200, 128>>();
    co_await everywhere<value<70000, 256>>();
    co_await everywhere<value<8, 1024>>();
    co_await everywhere<value<8, 4096>>();
  });
  CHECK(misplaced.load() == 0);
}

TEST_CASE("the size of a block that is too large for 32 bits keeps what its release needs") {
  using kioto::detail::compact_frame_size;
  STATIC_REQUIRE(compact_frame_size(4096) == 4096);
  STATIC_REQUIRE(compact_frame_size((std::size_t{1} << 31) - 16) == (std::uint32_t{1} << 31) - 16);
  STATIC_REQUIRE(compact_frame_size(std::size_t{1} << 31) == std::uint32_t{1} << 31);
  STATIC_REQUIRE(compact_frame_size((std::size_t{1} << 32) + 32) ==
                 (std::uint32_t{1} << 31) + 32);  // not 32
}
