// SPDX-License-Identifier: MIT
// What a user's first program needs of an installed kioto: headers that are found, a library that
// links, and that both are of one version.
#include <cstdio>
#include <utility>

#include <kioto/kioto.hpp>

namespace {

kioto::result<int> half(int value) {
  if (value % 2 != 0) return kioto::errc::invalid_argument;
  return value / 2;
}

kioto::task<int> double_half(int value) {
  co_await kioto::yield_now();
  const auto part = half(value);
  if (!part) co_return 0;
  auto child = kioto::spawn([](int x) -> kioto::task<int> { co_return 2 * x; }, *part);
  auto joined = co_await std::move(child);
  co_return std::move(joined).value();
}

}  // namespace

int main() {
  const auto fine = half(42);
  const auto wrong = half(41);
  const auto linked = kioto::library_version();
  const bool same = linked.major_number == KIOTO_VERSION_MAJOR &&
                    linked.minor_number == KIOTO_VERSION_MINOR &&
                    linked.patch_number == KIOTO_VERSION_PATCH;
  if (!same || !fine || *fine != 21 || wrong.has_value()) return 1;
  if (kioto::run(double_half(42)) != 42) return 1;
  std::printf("hello from kioto %d.%d.%d\n", linked.major_number, linked.minor_number,
              linked.patch_number);
  return 0;
}
