// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <source_location>

#include <kioto/detail/branch_queue.hpp>
#include <kioto/detail/context.hpp>
#include <kioto/detail/frame_allocator.hpp>
#include <kioto/detail/intrusive_list.hpp>
#include <kioto/detail/join_state.hpp>

namespace kioto::detail {

class branch_context;
class scheduler;
struct fork_state;

/// How a coroutine ended.
enum class outcome : std::uint8_t { none, value, exception, stopped };

/// The first bytes of the block header, valid for every task: also for one that is never spawned.
class block_info {
 public:
  block_info(std::size_t size, std::size_t prefix) noexcept
      : size_(static_cast<std::uint32_t>(size)), prefix_(static_cast<std::uint16_t>(prefix)) {}

  /// The memory outlives the frame: the header decides about its end.
  [[nodiscard]] bool retained() const noexcept { return retained_; }

  /// Frees the block. `header` is the address of this object, which begins the header.
  void free_block() noexcept {
    const std::size_t size = size_;
    deallocate_frame(reinterpret_cast<std::byte*>(this) - prefix_, size);
  }

 protected:
  std::uint32_t size_;
  std::uint16_t prefix_;  ///< bytes from the start of the block to this object
  bool retained_ = false;
};

struct owned_list_tag {};

/// Header of a spawned task: run-queue node, owned-list node, join state and strand in one. It lies
/// directly in front of the task's frame, in the same allocation.
class alignas(16) task_header : public block_info,
                                public context,
                                public list_node<owned_list_tag> {
 public:
  enum class manage : std::uint8_t { destroy_result, read_error };
  /// Type-erased access to the result: destroys it, or copies the exception to `*error`.
  using manager = void (*)(task_header&, manage, std::exception_ptr* error) noexcept;

  task_header(const block_info& block, scheduler& home, std::source_location where,
              manager manage_result) noexcept
      : block_info(block),
        context(strand::task),
        scheduler_(&home),
        manage_result_(manage_result),
        where_(where) {
    retained_ = true;
  }

  /// Runs the task until it suspends, yields or ends. The caller owns the strand and gives it up:
  /// nothing of the task may be touched afterwards.
  void run() noexcept;

  /// Requests a stop, from any thread that keeps the block alive.
  void abort() noexcept {
    if (word_.request_stop() || branches_.kick()) schedule(*this);
  }

  /// Ends a task that never ran and was never scheduled: the runtime refused it.
  void refuse() noexcept;

  /// The frame of the task; valid until the task ends.
  [[nodiscard]] promise_base& root() noexcept;

  /// The join handle lets go. Frees the block if the task has ended; reports an exception that
  /// nobody saw.
  void release_handle() noexcept;
  /// References of abort handles, beside the one that task and join handle share.
  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() noexcept {
    // A single reference cannot be joined by another one meanwhile: new ones are copied from it.
    if (references_.load(std::memory_order_acquire) == 1 ||
        references_.fetch_sub(1, std::memory_order_acq_rel) == 1)
      release_block();
  }

  task_header* queue_next = nullptr;
  scheduler* scheduler_;
  trampoline* loop_ = nullptr;
  manager manage_result_;
  fork_state* fork_ = nullptr;
  basic_branch_queue<std_sync, branch_context> branches_;
  basic_join_state<std_sync, leaf_operation> join_;
  std::uint64_t id_ = 0;  ///< given at launch
  /// Where it was spawned. A task made of a callable learns it when it runs; others may be reading.
  std::atomic<std::source_location> where_;
  std::atomic<std::uint32_t> references_{1};
  std::uint16_t shard_ = 0;
  outcome outcome_ = outcome::none;

 private:
  void run_frames(promise_base* frame, trampoline& loop) noexcept;
  void run_branches(trampoline& loop) noexcept;
  promise_base* enter(context& c) noexcept;
  promise_base* attempted(context& c, attempt result) noexcept;
  promise_base* unwind(promise_base& frame) noexcept;
  promise_base* ended(context& c, outcome what) noexcept;
  void finish(outcome what) noexcept;
  void release_block() noexcept;
};

/// What a combinator and its branches see of each other. Lives in the combinator's awaiter.
class combinator : public leaf_operation {
 public:
  /// A branch has ended. Returns the frame to go on with when the combinator is done, else null.
  virtual promise_base* branch_ended(branch_context& branch, outcome what) noexcept = 0;

 protected:
  combinator() noexcept = default;
  combinator(combinator&&) noexcept = default;
  ~combinator() = default;
};

/// One branch of a combinator: a strand of its own that runs on the strand of its task.
class branch_context : public context {
 public:
  branch_context(task_header& task, combinator& owner) noexcept
      : context(strand::branch), task_(&task), owner_(&owner) {}

  branch_context* queue_next = nullptr;
  task_header* task_;
  combinator* owner_;
  bool ended_ = false;
};

/// What the owner of a forked task knows of its branches. Lives in the outermost combinator.
struct fork_state {
  intrusive_queue<branch_context> ready;    ///< to be run, in order
  intrusive_queue<branch_context> yielded;  ///< to be run after the task has given way
  std::uint32_t depth = 1;
  bool stop_seen = false;
};

inline task_header& context::task() noexcept {
  return kind_ == strand::branch ? *static_cast<branch_context*>(this)->task_
                                 : *static_cast<task_header*>(this);
}
inline trampoline& context::loop() noexcept { return *task().loop_; }

/// Begins a combinator on context `c`, suspended in frame `frame`: `op` waits there from now on.
void fork(context& c, promise_base& frame, combinator& op, fork_state& state) noexcept;
/// The combinator that waits in `c` is done; the caller goes on with the frame of `c`.
promise_base* join_fork(context& c) noexcept;
/// Queues a branch that has not started, or that the caller owns, to run on its task's strand: at
/// once, or after the task has given way if the budget of this run is used up.
void run_branch_soon(branch_context& branch) noexcept;
/// Asks a branch to stop. Owner of the task's strand only; never ends the branch synchronously.
void request_stop(branch_context& branch) noexcept;

}  // namespace kioto::detail
