// SPDX-License-Identifier: MIT
#include <stdexcept>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/runtimes.hpp"

using namespace kioto;
using namespace kioto_test;

namespace {

// Its second move throws: the first is the one into the block of the task.
class throws_when_moved {
 public:
  explicit throws_when_moved(int& alive) noexcept : alive_(&alive) { ++*alive_; }
  throws_when_moved(throws_when_moved&& other) : alive_(other.alive_), moves_(other.moves_ + 1) {
    if (moves_ == 2) throw std::runtime_error("moved twice");
    ++*alive_;
  }
  throws_when_moved& operator=(throws_when_moved&&) = delete;
  ~throws_when_moved() { --*alive_; }

 private:
  int* alive_;
  int moves_ = 0;
};

task<throws_when_moved> give(int* alive) {
  throws_when_moved value(*alive);
  co_return std::move(value);
}

}  // namespace

// The result was marked as taken before it was moved out.
TEST_CASE("a result whose move throws was never destroyed") {
  on_every_scheduler([]() -> task<> {
    int alive = 0;
    std::string said;
    {
      auto h = spawn(give(&alive));
      try {
        auto r = co_await std::move(h);
        CHECK(r.has_value());
      } catch (const std::runtime_error& e) {
        said = e.what();
      }
    }
    CHECK(said == "moved twice");
    CHECK(alive == 0);
  });
}
