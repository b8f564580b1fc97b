// SPDX-License-Identifier: MIT
#include "support/catch.hpp"

#include <array>
#include <cstring>
#include <deque>
#include <kioto/buffer.hpp>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

using kioto::const_buffer;
using kioto::mutable_buffer;

namespace {

template <class T>
constexpr bool writes = std::is_convertible_v<T, mutable_buffer>;
template <class T>
constexpr bool reads = std::is_convertible_v<T, const_buffer>;

static_assert(writes<std::array<std::byte, 4>&>);
static_assert(writes<std::vector<char>&>);
static_assert(writes<std::vector<unsigned char>&>);
static_assert(writes<std::string&>);
static_assert(writes<std::span<std::byte>>);
static_assert(writes<const std::span<std::byte>&>);
static_assert(writes<std::span<char, 4>>);
static_assert(writes<std::byte (&)[4]>);
static_assert(writes<char (&)[4]>);
static_assert(writes<mutable_buffer>);

static_assert(!writes<const std::array<std::byte, 4>&>);
static_assert(!writes<const std::vector<char>&>);
static_assert(!writes<const std::string&>);
static_assert(!writes<std::string_view>);
static_assert(!writes<std::span<const std::byte>>);
static_assert(!writes<const char (&)[4]>);
static_assert(!writes<const_buffer>);
static_assert(!writes<std::string>, "a temporary would be gone before the bytes arrive");
static_assert(!writes<std::vector<std::byte>>);
static_assert(!writes<std::vector<int>&>);
static_assert(!writes<std::vector<bool>&>);
static_assert(!writes<std::deque<char>&>);
static_assert(!writes<std::list<std::byte>&>);
static_assert(!writes<char*>);

static_assert(reads<std::array<std::byte, 4>&>);
static_assert(reads<const std::array<std::byte, 4>&>);
static_assert(reads<std::string>);
static_assert(reads<std::string_view>);
static_assert(reads<const std::vector<unsigned char>&>);
static_assert(reads<std::span<std::byte>>);
static_assert(reads<std::span<const char>>);
static_assert(reads<const char (&)[4]>);
static_assert(reads<mutable_buffer>);
static_assert(!reads<const char*>, "its size is unknown");
static_assert(!reads<std::vector<int>&>);
static_assert(!reads<std::wstring_view>);
static_assert(!reads<std::deque<char>&>);
static_assert(!reads<int>);

static_assert(!std::is_aggregate_v<mutable_buffer> && !std::is_aggregate_v<const_buffer>);
static_assert(std::is_trivially_copyable_v<mutable_buffer>);
static_assert(std::is_trivially_copyable_v<const_buffer>);
static_assert(kioto::mutable_buffer_sequence<std::array<mutable_buffer, 2>>);
static_assert(kioto::const_buffer_sequence<std::vector<std::string>&>);
static_assert(!kioto::mutable_buffer_sequence<std::vector<int>&>);

constexpr std::size_t constexpr_sum() {
  std::array<std::byte, 3> bytes{std::byte{1}, std::byte{2}, std::byte{3}};
  mutable_buffer whole = bytes;
  std::size_t sum = 0;
  for (std::byte b : const_buffer(whole.skip(1))) sum += static_cast<std::size_t>(b);
  return sum;
}
static_assert(constexpr_sum() == 5);

std::size_t size_of(const_buffer b) { return b.size(); }

}  // namespace

TEST_CASE("a string literal counts without its terminating NUL", "[buffer]") {
  CHECK(size_of("abc") == 3);
  CHECK(size_of("") == 0);
  CHECK(size_of("a\0b") == 3);
  CHECK(size_of("ab\0") == 3);
  const char no_nul[] = {'a', 'b'};
  CHECK(size_of(no_nul) == 2);
  char line[80] = "text";
  CHECK(size_of(line) == 80);
  CHECK(const_buffer("abc").as_chars() == "abc");
}

TEST_CASE("a buffer refers to the bytes of its container", "[buffer]") {
  std::string text = "hello";
  mutable_buffer out = text;
  CHECK(out.size() == 5);
  CHECK(static_cast<void*>(out.data()) == text.data());
  out[0] = std::byte{'j'};
  CHECK(text == "jello");
  const_buffer in = text;
  CHECK(in.as_chars() == "jello");
  CHECK(const_buffer(out).data() == out.data());

  std::vector<unsigned char> bytes(7);
  CHECK(mutable_buffer(bytes).size() == 7);
  CHECK(mutable_buffer(std::span(bytes).first(3)).size() == 3);
  CHECK(mutable_buffer(static_cast<void*>(bytes.data()), 2).size() == 2);
  std::span<std::byte> span = mutable_buffer(bytes);
  CHECK(span.size() == 7);
}

TEST_CASE("slices of a buffer never leave it", "[buffer]") {
  std::array<std::byte, 8> bytes{};
  mutable_buffer b = bytes;
  CHECK(b.first(3).size() == 3);
  CHECK(b.first(99).size() == 8);
  CHECK(b.last(3).data() == b.data() + 5);
  CHECK(b.last(99).data() == b.data());
  CHECK(b.skip(3).size() == 5);
  CHECK(b.skip(99).empty());
  CHECK(b.slice(6, 9).size() == 2);
  CHECK(b.slice(9, 1).empty());
  const_buffer c = b;
  CHECK(c.first(3).size() == 3);
  CHECK(c.last(99).size() == 8);
  CHECK(c.skip(8).empty());
  CHECK(c.slice(2, 4).data() == c.data() + 2);
}

TEST_CASE("empty buffers are allowed", "[buffer]") {
  CHECK(mutable_buffer().empty());
  CHECK(const_buffer().empty());
  CHECK(const_buffer().first(1).empty());
  std::vector<std::byte> none;
  CHECK(mutable_buffer(none).skip(1).empty());
}
