// SPDX-License-Identifier: MIT
#include "base/random.hpp"

#include <array>
#include <cstdint>
#include <set>

#include "support/catch.hpp"

using kioto::detail::fresh_seed;
using kioto::detail::random_source;

TEST_CASE("the same seed makes the same numbers, another one others", "[random]") {
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
    random_source a(seed), b(seed), c(seed + 1);
    int different = 0;
    for (int i = 0; i != 100; ++i) {
      const std::uint32_t n = a.next();
      CHECK(n == b.next());
      different += n != c.next() ? 1 : 0;
    }
    CHECK(different > 90);
  }
}

TEST_CASE("numbers below a bound are spread evenly", "[random]") {
  random_source source(7);
  std::array<int, 10> counts{};
  for (int i = 0; i != 100000; ++i) ++counts.at(source.below(10));
  for (const int n : counts) {
    CHECK(n > 9500);
    CHECK(n < 10500);
  }
  CHECK(source.below(1) == 0);
}

TEST_CASE("fresh seeds differ", "[random]") {
  std::set<std::uint64_t> seen;
  for (int i = 0; i != 1000; ++i) seen.insert(fresh_seed());
  CHECK(seen.size() == 1000);
}
