// SPDX-License-Identifier: MIT
// Sleeping and timeouts.
#include <memory>

#include "bench.hpp"

using namespace kioto;
using namespace std::chrono_literals;

namespace {

task<int> one() { co_return 1; }
task<bool> timeout_ready() {
  int sum = 0;
  for (int i = 0; i != 100000; ++i) sum += co_await timeout(1s, one());
  co_return sum == 100000;
}
task<bool> timeout_pending_yield() {
  for (int i = 0; i != 100000; ++i) co_await timeout(1s, yield_now());
  co_return true;
}

// Arms 10^5 sleeps of one task, and takes them back. Tokio's side polls a future once and drops it;
// here the same leaf operation is driven through the same protocol, without a combinator around it.
class no_owner final : public detail::combinator {
 public:
  detail::attempt try_or_wait() noexcept override { return detail::attempt::ready; }
  bool cancel() noexcept override { return false; }
  detail::promise_base* branch_ended(detail::branch_context&, detail::outcome) noexcept override {
    return nullptr;
  }
};
class armed_sleep {
 public:
  armed_sleep(detail::task_header& task, detail::combinator& owner, std::chrono::milliseconds delay)
      : strand_(task, owner), operation_(sleep(delay)) {
    operation_.context_ = &strand_;
    suspended_ = operation_.try_or_wait() == detail::attempt::suspended;
  }
  bool withdraw() {
    const bool withdrawn = suspended_ && operation_.cancel();
    if (withdrawn) operation_.armed_ = false;
    return withdrawn;
  }

 private:
  detail::branch_context strand_;
  detail::sleep_operation operation_;
  bool suspended_ = false;
};
class insert_and_cancel final : public detail::leaf_awaiter<insert_and_cancel> {
 public:
  explicit insert_and_cancel(int count) noexcept : count_(count) {}
  detail::attempt try_or_wait() noexcept override {
    no_owner owner;
    std::vector<std::unique_ptr<armed_sleep>> sleeps;
    sleeps.reserve(static_cast<std::size_t>(count_));
    for (int i = 0; i != count_; ++i)
      sleeps.push_back(
          std::make_unique<armed_sleep>(context_->task(), owner, 1000ms + i % 60000 * 1ms));
    for (auto& s : sleeps) withdrawn_ += s->withdraw() ? 1 : 0;
    return detail::attempt::ready;
  }
  bool cancel() noexcept override { return false; }
  [[nodiscard]] bool await_resume() const noexcept { return withdrawn_ == count_; }

 private:
  int count_;
  int withdrawn_ = 0;
};
task<bool> sleep_insert_cancel() {
  const bool right = co_await insert_and_cancel(100000);
  co_return right;
}

task<> sleeper(int i) { co_await sleep(std::chrono::milliseconds(1 + i % 10)); }
task<bool> sleep_fire_10k() {
  std::vector<join_handle<>> tasks;
  tasks.reserve(10000);
  for (int i = 0; i != 10000; ++i) tasks.push_back(spawn(sleeper(i)));
  const bool right = co_await bench::join_all(std::move(tasks), 10000);
  co_return right;
}

const bench::group timers{
    {"timeout_ready", 100000, bench::spawned(timeout_ready)},
    {"timeout_pending_yield", 100000, bench::spawned(timeout_pending_yield)},
    {"sleep_insert_cancel_100k", 100000, bench::spawned(sleep_insert_cancel)},
    {"sleep_fire_10k_tasks", 10000, bench::blocked_on(sleep_fire_10k)},
};

}  // namespace
