// SPDX-License-Identifier: MIT
// Counts primes with a pool of workers. Jobs go through a bounded channel: when the workers do not
// keep up it is full, and who makes the jobs waits. Ctrl-C ends the making; what was made is done.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>

#include <kioto/kioto.hpp>

#include "support/command_line.hpp"
#include "support/stop_on_signal.hpp"

using kioto::task;

namespace {

struct options {
  unsigned jobs = 1000;
  unsigned size = 1000;  // numbers in a job
  unsigned queue = 8;    // jobs that may wait
  unsigned workers = 4;  // jobs that run at a time
};

struct job {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
};

struct answer {
  job of;
  std::uint64_t primes = 0;
};

struct statistics {
  std::atomic<unsigned> made{0};
  std::atomic<unsigned> waits{0};  // times that the queue was full
  std::atomic<unsigned> running{0};
  std::atomic<unsigned> most_running{0};
};

bool is_prime(std::uint64_t n) {
  if (n < 2) return false;
  for (std::uint64_t d = 2; d * d <= n; ++d)
    if (n % d == 0) return false;
  return true;
}

/// Owns the sender: when it ends there are no more jobs.
task<> make_jobs(options wanted, kioto::sync::mpsc::sender<job> jobs,
                 kioto::cancellation_token stop, statistics& seen) {
  for (std::uint64_t i = 0; i != wanted.jobs && !stop.is_cancelled(); ++i) {
    const job next{i * wanted.size, (i + 1) * wanted.size};
    if (jobs.capacity() == 0) seen.waits.fetch_add(1);
    auto sent = co_await jobs.send(next);
    if (!sent) co_return;
    seen.made.fetch_add(1);
  }
}

task<> work(job todo, kioto::sync::mpsc::sender<answer> answers, statistics& seen) {
  const unsigned now = seen.running.fetch_add(1) + 1;
  unsigned most = seen.most_running.load();
  while (most < now && !seen.most_running.compare_exchange_weak(most, now)) {
  }
  answer out{todo};
  for (std::uint64_t n = todo.first; n != todo.end; ++n) {
    if (is_prime(n)) ++out.primes;
    if (n % 256 == 0)
      co_await kioto::consume_budget();  // a long computation lets others have a turn
  }
  seen.running.fetch_sub(1);
  // Answers are bounded, too: a slow collector slows the workers, and these the maker.
  auto sent = co_await answers.send(out);
  (void)sent;
}

/// No more than `workers` children run at a time. The next job is taken when there is room for one.
task<> run_pool(options wanted, kioto::sync::mpsc::receiver<job> jobs,
                kioto::sync::mpsc::sender<answer> answers, statistics& seen) {
  co_await kioto::scope(kioto::at_most(wanted.workers), [&](kioto::task_scope& workers) -> task<> {
    for (;;) {
      co_await workers.vacancy();
      auto next = co_await jobs.recv();
      if (!next) break;
      workers.spawn(work(*next, answers, seen));
    }
  });
}

task<int> count_primes(options wanted, kioto::cancellation_token stop) {
  auto [job_sender, job_receiver] = kioto::sync::mpsc::channel<job>(wanted.queue);
  auto [answer_sender, answer_receiver] = kioto::sync::mpsc::channel<answer>(wanted.queue);
  statistics seen;
  std::uint64_t primes = 0;
  unsigned answers = 0;
  auto maker = make_jobs(wanted, std::move(job_sender), std::move(stop), seen);
  auto pool = run_pool(wanted, std::move(job_receiver), std::move(answer_sender), seen);

  auto collect = [&, from = std::move(answer_receiver)](kioto::task_scope& s) mutable -> task<> {
    s.spawn(std::move(maker));
    s.spawn(std::move(pool));
    for (;;) {
      const auto next = co_await from.recv();
      if (!next) co_return;
      primes += next->primes;
      ++answers;
    }
  };
  co_await kioto::scope(collect);

  std::printf("%llu primes below %llu\n", static_cast<unsigned long long>(primes),
              static_cast<unsigned long long>(answers) * wanted.size);
  std::printf("%u of %u jobs made, %u answered; at most %u at a time; %u waits for the queue\n",
              seen.made.load(), wanted.jobs, answers, seen.most_running.load(), seen.waits.load());
  co_return answers == seen.made.load() ? 0 : 1;
}

options parse(int argc, char** argv) {
  options out;
  command_line given(argc, argv,
                     "usage: worker_pool [--jobs N] [--size N] [--queue N] [--workers N]\n"
                     "  --jobs     how many jobs to make (1000)\n"
                     "  --size     numbers that a job looks at (1000)\n"
                     "  --queue    jobs that may wait for a worker (8)\n"
                     "  --workers  jobs that run at a time (4)");
  given.number("--jobs", out.jobs, 1, 1000000000);
  given.number("--size", out.size, 1, 1000000);
  given.number("--queue", out.queue, 1, 1000000);
  given.number("--workers", out.workers, 1, 10000);
  given.end();
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const options wanted = parse(argc, argv);
  const kioto::cancellation_token stop;
  const stop_on_signal signals(stop);
  std::printf("counting\n");
  std::fflush(stdout);
  return kioto::run(count_primes(wanted, stop));
}
