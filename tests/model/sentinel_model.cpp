// SPDX-License-Identifier: MIT
// The sentinel: while a worker is stuck, a sleeper looks round, and somebody turns the driver.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include <kioto/detail/idle_set.hpp>
#include <kioto/detail/parker.hpp>
#include <kioto/detail/sentinel.hpp>

#include "relacy_policy.hpp"

using namespace kioto_model;
namespace detail = kioto::detail;
using std::chrono::nanoseconds;

namespace {

constexpr int resigns_and_goes = 1;
constexpr int forgets_the_one_in_the_seat = 2;
constexpr int no_limit_in_the_seat = 3;
constexpr int no_second_look = 4;
constexpr int wakes_nobody = 5;
constexpr int keeps_what_it_decided = 6;  // before it got the seat after all
constexpr int trusts_the_role = 7;        // which somebody may have taken just now

constexpr nanoseconds period{2};

// The time, which passes in a thread of its own: it wakes who waits with a limit. Relacy's own
// timed waits do not go together with threads that have ended.
class clock {
 public:
  using condition = model_sync::condition_variable;

  void wait(condition& c, std::unique_lock<model_sync::mutex>& lock) {
    {
      const std::lock_guard mine(mutex_);
      waiting_.push_back(&c);
      changed_.notify_all();
    }
    c.wait(lock);
    const std::lock_guard mine(mutex_);
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &c));
  }
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      while (!over_ && waiting_.empty()) changed_.wait(lock);
      if (over_) return;
      for (condition* c : waiting_) c->notify_all();
      lock.unlock();
      model_sync::yield();
      lock.lock();
    }
  }
  void end() {
    const std::lock_guard mine(mutex_);
    over_ = true;
    changed_.notify_all();
  }

 private:
  model_sync::mutex mutex_;
  condition changed_;
  // By the mutex.
  std::vector<condition*> waiting_;
  bool over_ = false;
};
clock* time_now = nullptr;

struct timed_sync : model_sync {
  class condition_variable : public model_sync::condition_variable {
   public:
    template <class Rep, class Period>
    std::cv_status wait_for(std::unique_lock<mutex>& lock, std::chrono::duration<Rep, Period>) {
      time_now->wait(*this, lock);
      return std::cv_status::timeout;
    }
  };
};

// The workers begin idle; then `Jobs` pieces of work come, by the queue or by an event of the
// driver, and each worker that runs one is stuck until another one has looked after it.
template <unsigned Workers, unsigned Jobs>
struct pool : rl::test_suite<pool<Workers, Jobs>, Workers + 2> {
  // The seat: the driver, for workers.
  class seat_type {
   public:
    explicit seat_type(pool& home) : home_(home) {}
    bool try_lock() { return locked_.exchange(1, std::memory_order_acquire) == 0; }
    void unlock() { locked_.store(0, std::memory_order_release); }
    void turn(std::optional<nanoseconds> limit) {
      const std::size_t self = rl::thread_index();
      holder_.store(self + 1, std::memory_order_relaxed);
      if (home_.watched_by_another(self))
        limit.reset();
      else if (!planted(keeps_what_it_decided))
        limit = period;
      sleeping_.exchange(1, std::memory_order_acq_rel);
      sleep(self, limit.has_value());
      sleeping_.exchange(0, std::memory_order_acq_rel);
      holder_.store(0, std::memory_order_relaxed);
    }
    void unpark() {
      const std::lock_guard lock(mutex_);
      token_ = true;
      news_.notify_all();
    }
    void bring_event() {
      const std::lock_guard lock(mutex_);
      ++events_;
      news_.notify_all();
    }
    void wait_for_a_sleeper() {
      std::unique_lock lock(mutex_);
      while (!somebody_sleeps_) turned_.wait(lock);
    }
    bool is_sleeping() { return sleeping_.load(std::memory_order_acquire) != 0; }
    bool is_held_by(std::size_t w) { return holder_.load(std::memory_order_relaxed) == w + 1; }

   private:
    void sleep(std::size_t self, bool limited) {
      std::unique_lock lock(mutex_);
      somebody_sleeps_ = true;
      turned_.notify_all();
      while (!token_ && events_ == 0) {
        if (!limited) {
          news_.wait(lock);
        } else {
          news_.wait_for(lock, period);
          home_.timed_out[self] = true;
          break;
        }
      }
      token_ = false;
      if (events_ != 0) {
        --events_;
        home_.mine[self] = true;
      }
      somebody_sleeps_ = false;
    }

    pool& home_;
    model_sync::atomic<int> locked_{0};
    model_sync::atomic<int> sleeping_{0};
    model_sync::atomic<std::size_t> holder_{std::size_t{0}};
    model_sync::mutex mutex_;
    timed_sync::condition_variable news_;
    model_sync::condition_variable turned_;
    // By the mutex.
    bool token_ = false;
    bool somebody_sleeps_ = false;
    int events_ = 0;
  };

  std::optional<detail::basic_idle_set<model_sync>> idle;
  std::array<detail::basic_parker<timed_sync, seat_type>, Workers> parkers;
  detail::basic_sentinel<model_sync> sentinel;
  seat_type seat{*this};
  model_sync::var<int> seen{0};  // of the sentinel
  model_sync::mutex look_mutex;
  model_sync::condition_variable looked;
  int looks = 0;  // by the mutex
  model_sync::atomic<int> work{0};
  model_sync::atomic<int> left{static_cast<int>(Jobs)};
  std::array<bool, Workers> timed_out{};  // each its own
  std::array<bool, Workers> unlimited{};
  std::array<bool, Workers> mine{};  // what an event made ready
  bool settling = false;             // only for the choice of a moment

  std::optional<clock> time;

  void before() {
    idle.emplace(std::size_t{Workers});
    time_now = &time.emplace();
  }
  void after() {
    idle.reset();
    time.reset();
  }

  void unpark(std::size_t w) { parkers[w].unpark(seat); }
  void notify() {
    if (const auto w = idle->worker_to_notify()) unpark(*w);
  }
  static bool take(model_sync::atomic<int>& from) {
    int now = from.load(std::memory_order_relaxed);
    while (now != 0)
      if (from.compare_exchange_strong(now, now - 1, std::memory_order_relaxed,
                                       std::memory_order_relaxed))
        return true;
    return false;
  }

  // From here to `park`: what src/runtime/multi_thread.cpp does.
  bool watched_by_another(std::size_t self) {
    if (planted(no_limit_in_the_seat)) {
      sentinel.resign(self);
      return true;
    }
    if (!sentinel.has(self)) return true;
    if (unlimited[self] && !planted(keeps_what_it_decided)) sentinel.woke_up();
    unlimited[self] = unlimited[self] && planted(keeps_what_it_decided);
    if (idle->parked() <= 1) return false;
    sentinel.resign(self);
    if (const auto other = idle->find_sleeper([self](std::size_t w) { return w != self; })) {
      unpark(*other);
      return true;
    }
    return !sentinel.take(self);
  }
  void left_sleep(std::size_t self) {
    const bool vacant = sentinel.resign(self);
    if (planted(trusts_the_role) && vacant) return wake_a_sleeper();
    if (!planted(wakes_nobody))
      if (const auto named = sentinel.whom_to_wake()) return unpark(*named);
    if (vacant && !planted(resigns_and_goes)) wake_a_sleeper();
  }
  void wake_a_sleeper() {
    auto next = idle->find_sleeper([this](std::size_t w) { return !seat.is_held_by(w); });
    if (!next && !planted(forgets_the_one_in_the_seat))
      next = idle->find_sleeper([](std::size_t) { return true; });
    if (next) unpark(*next);
  }
  std::optional<nanoseconds> limit_of_sleep(std::size_t self) {
    if (!sentinel.take(self)) return std::nullopt;
    const auto all_asleep = [this] {
      const bool all = idle->parked() == Workers && seat.is_sleeping();
      settling = settling || all;
      return all;
    };
    unlimited[self] = all_asleep() && sentinel.may_sleep([&all_asleep] {
      return planted(no_second_look) || all_asleep();
    });
    if (unlimited[self]) return std::nullopt;
    return period;
  }
  void sleep(std::size_t self) {
    const auto limit = limit_of_sleep(self);
    timed_out[self] = false;
    const auto result = parkers[self].park(seat, limit);
    if (unlimited[self]) sentinel.woke_up();
    unlimited[self] = false;
    if (limit && sentinel.has(self) &&
        (timed_out[self] || result == detail::park_result::timed_out)) {
      seen.set(seen.get() + 1);
      const std::lock_guard lock(look_mutex);
      ++looks;
      looked.notify_all();
    }
  }
  bool park(std::size_t self, bool searching) {
    if (idle->transition_to_parked(self, searching) && work.load(std::memory_order_relaxed) != 0)
      notify();
    for (;;) {
      sleep(self);
      if (!idle->is_parked(self)) {
        searching = true;
        break;
      }
      if (mine[self] || left.load(std::memory_order_acquire) == 0 ||
          work.load(std::memory_order_relaxed) != 0) {
        searching = !idle->unpark(self);
        break;
      }
    }
    left_sleep(self);
    return searching;
  }

  // Stuck until somebody has looked round after this, and somebody sleeps in the driver.
  void run_a_job() {
    {
      std::unique_lock lock(look_mutex);
      for (const int before = looks; looks == before;) looked.wait(lock);
    }
    seat.wait_for_a_sleeper();
  }
  void worker(std::size_t self) {
    bool searching = false;
    for (;;) {
      if (!searching && !mine[self]) searching = idle->transition_to_searching();
      if (std::exchange(mine[self], false) || take(work)) {
        if (searching) {
          searching = false;
          if (idle->transition_from_searching()) notify();
        }
        run_a_job();
        if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) {
          for (std::size_t w = 0; w != Workers; ++w) unpark(w);
          time->end();
        }
        continue;
      }
      if (left.load(std::memory_order_acquire) == 0) return;
      searching = park(self, searching);
    }
  }
  void thread(unsigned index) {
    if (index < Workers)
      worker(index);
    else if (index == Workers)
      bring_jobs();
    else
      time->run();
  }
  void bring_jobs() {
    // At once, or when all are about to sleep for good, which they have to come to.
    if (rl::rand(3) != 0)
      while (!settling) model_sync::yield();
    for (unsigned i = rl::rand(8); i != 0; --i) model_sync::yield();
    for (unsigned i = 0; i != Jobs; ++i) {
      if (rl::rand(2) == 0) {
        seat.bring_event();
      } else {
        work.fetch_add(1, std::memory_order_relaxed);
        notify();
      }
    }
  }
};

}  // namespace

int main() {
  effort e;
  e.search_seconds = 1;
  e.random_seconds = 4;
  run_model<pool<2, 1>>("two workers, one gets stuck", expect::passes, e);
  run_model<pool<3, 1>>("three workers, one gets stuck", expect::passes, e);
  run_model<pool<3, 2>>("three workers, two get stuck", expect::passes, e);

  run_model<pool<2, 1>>("no limit in the seat", expect::fails, logic(no_limit_in_the_seat), e);
  run_model<pool<2, 1>>("the one in the seat is not thought of", expect::fails,
                        logic(forgets_the_one_in_the_seat), e);
  run_model<pool<2, 1>>("resigns and leaves the role to nobody", expect::fails,
                        logic(resigns_and_goes), e);
  run_model<pool<3, 1>>("asleep without a second look", expect::fails, logic(no_second_look), e);
  run_model<pool<2, 1>>("no limit in a seat that came unexpected", expect::fails,
                        logic(keeps_what_it_decided), e);
  run_model<pool<3, 1>>("the role seems to be vacant, and that is all", expect::fails,
                        logic(trusts_the_role), e);
  run_model<pool<3, 1>>("the sentinel is not woken", expect::fails, logic(wakes_nobody), e);
  run_model<pool<3, 1>>("taking the role is not atomic", expect::fails,
                        tear(op::compare_exchange, 4, "take"), e);
  return finish_models();
}
