// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <source_location>

#include <kioto/detail/base/frame_allocator.hpp>
#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/task/branch_queue.hpp>
#include <kioto/detail/task/join_state.hpp>
#include <kioto/detail/task/strand.hpp>

namespace kioto::detail {

class branch_strand;
class combinator;
class scheduler;
class scope_core;

/// How a coroutine ended.
enum class outcome : std::uint8_t { none, value, exception, stopped };

/// The first bytes of the block header, valid for every task: also for one that is never spawned.
///
/// Eight bytes, for blocks and prefixes of any size. The length of the prefix is stored in units of
/// 16 bytes; if it is too long for 16 bits, it is stored at the end of the prefix, in the word
/// below this object. For a block that does not come from the frame pool, the stored size may be
/// any value that `deallocate_frame` treats alike.
class block_info {
  static constexpr std::size_t unit = 16;
  static constexpr std::uint16_t far = 0xFFFF;

 public:
  /// The longest prefix whose length fits. The last 16 bytes of a longer one hold its length.
  static constexpr std::size_t near_prefix = (far - 1) * unit;

  /// Must be constructed at its final place.
  block_info(std::size_t size, std::size_t prefix) noexcept
      : size_(compact_frame_size(size)),
        units_(prefix > near_prefix ? far : static_cast<std::uint16_t>(prefix / unit)) {
    if (prefix > near_prefix) *far_prefix() = prefix;
  }

  /// The memory outlives the frame, and is freed separately.
  [[nodiscard]] bool retained() const noexcept { return retained_; }
  void retain() noexcept { retained_ = true; }

  /// Frees the block. `header` is the address of this object, which begins the header.
  void free_block() noexcept {
    const std::size_t size = size_;
    const std::size_t prefix = units_ == far ? *far_prefix() : units_ * unit;
    deallocate_frame(reinterpret_cast<std::byte*>(this) - prefix, size);
  }

 private:
  std::size_t* far_prefix() noexcept { return reinterpret_cast<std::size_t*>(this) - 1; }

 protected:
  std::uint32_t size_;
  std::uint16_t units_;  ///< from the start of the block to this object
  bool retained_ = false;

 public:
  /// How the coroutine ended, and therefore what its result is: that of the frame while it exists,
  /// and then that of the task. Stored here because this byte is free.
  outcome outcome_ = outcome::none;
};
static_assert(sizeof(block_info) == 8);

struct owned_list_tag {};

/// Header of a spawned task: run-queue node, owned-list node, join state and strand in one. It lies
/// directly in front of the task's frame, in the same allocation.
class alignas(16) task_header : public block_info, public strand, public list_node<owned_list_tag> {
 public:
  enum class manage : std::uint8_t {
    destroy_result,
    read_error,    ///< copies the exception to the `std::exception_ptr` at `out`
    read_failure,  ///< of a failed result: see `store_failure`
  };
  static constexpr std::uint8_t in_no_shard = 0xFF;
  /// Type-erased access to the result.
  using manager = void (*)(task_header&, manage, void* out) noexcept;

  task_header(const block_info& block, scheduler& home, std::source_location where) noexcept
      : block_info(block), strand(strand_kind::task), scheduler_(&home), where_(where) {
    retain();
  }

  /// Runs the task until it suspends, yields or ends. The caller owns the strand and gives up
  /// ownership: the task must not be touched afterwards. `called`: see `trampoline`.
  next_run run(bool called) noexcept;

  /// Destroys the result, if there is one, because it will not be taken.
  void destroy_result() noexcept {
    if (outcome_ == outcome::value || outcome_ == outcome::exception)
      manage_result_(*this, manage::destroy_result, nullptr);
    outcome_ = outcome::none;
  }

  /// Requests a stop, from any thread that keeps the block alive.
  void abort() noexcept {
    if (word_.request_stop() || branches_.kick()) schedule(*this);
  }

  /// Ends a task that never ran and was never scheduled, because the runtime refused it.
  void refuse() noexcept;

  /// The frame of the task; valid until the task ends.
  [[nodiscard]] promise_base& root() noexcept;
  /// The scope whose child this is, or null. Valid until the task ends, because it is stored in the
  /// frame.
  [[nodiscard]] scope_core* scope() noexcept;

  /// The combinator whose branches run on this strand, the outermost one; null if there is none.
  [[nodiscard]] combinator* fork() noexcept;

  /// Called when the join handle is destroyed or detached. Frees the block if the task has ended;
  /// reports an exception that was not taken.
  void release_handle() noexcept;
  /// References of abort handles, in addition to the one that the task and the join handle share.
  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() noexcept {
    // If this is the only reference, no other can appear meanwhile, because new ones are copied
    // from existing ones.
    if (references_.load(std::memory_order_acquire) == 1 ||
        references_.fetch_sub(1, std::memory_order_acq_rel) == 1)
      release_block();
  }

  union {
    task_header* queue_next = nullptr;
    manager manage_result_;  ///< once it has a result: see `typed_promise::before_end`
  };
  union {
    trampoline* loop_ = nullptr;  ///< while it runs
    task_header* queue_prev;      ///< while it is in a run queue
  };
  scheduler* scheduler_;
  basic_branch_queue<std_sync, branch_strand> branches_;
  basic_join_state<std_sync, join_waiter> join_;
  std::uint64_t id_ = 0;  ///< given at launch
  /// Where it was spawned. For a task made from a callable it is set when the task runs, while
  /// other threads may read it.
  std::atomic<std::source_location> where_;
  std::atomic<std::uint32_t> references_{1};
  std::uint8_t shard_ = in_no_shard;  ///< of the list of tasks
  bool in_ready_queue_ = false;       ///< of a current-thread scheduler; used by its thread only
  bool is_reported_ = false;          ///< its exception was already reported, to its scope
  bool is_awaited_ = false;           ///< through its join handle; used by that handle only

 private:
  void resume(promise_base& frame, trampoline& loop) noexcept;
  void run_frames(promise_base* frame, trampoline& loop) noexcept;
  void run_branches(trampoline& loop) noexcept;
  promise_base* answer(trampoline& loop) noexcept;
  promise_base* enter(strand& c) noexcept;
  promise_base* enter_task() noexcept;
  promise_base* attempted(strand& c, attempt result) noexcept;
  promise_base* unwind(promise_base& frame) noexcept;
  promise_base* ended(strand& c, outcome what) noexcept;
  void finish(outcome what) noexcept;
  void release_block() noexcept;
};

/// One branch of a combinator: a strand of its own that runs on the strand of its task. It is
/// either a leaf operation without a frame, or a task; see `branch_of`.
class branch_strand : public strand {
 public:
  branch_strand() noexcept : strand(strand_kind::branch) {}

  branch_strand* queue_next = nullptr;
  branch_strand* sibling_ = nullptr;  ///< the next branch of the same combinator
  task_header* task_ = nullptr;
  combinator* owner_ = nullptr;
  std::uint32_t index_ = 0;          ///< which of the branches of its combinator
  outcome outcome_ = outcome::none;  ///< none until the branch has ended
  bool is_task_ : 1 = false;
  bool frame_is_gone_ : 1 = false;  ///< of a task: destroyed, so only the result is left
  bool inherits_stop_ : 1 = false;  ///< a stop was pending before it started
  bool is_withdrawn_ : 1 = false;   ///< asked to stop, and to withdraw a wait that has completed
  bool is_pausable_ : 1 = false;    ///< a `pausable_branch`
  bool is_kept_ : 1 = false;        ///< it was stopped, and its frames will be destroyed later
  std::uint16_t kept_depth_ = 0;    ///< how deep kept branches are nested in it
};

inline task_header& strand::task() noexcept {
  return kind_ == strand_kind::branch ? *static_cast<branch_strand*>(this)->task_
                                      : *static_cast<task_header*>(this);
}
inline trampoline& strand::loop() noexcept { return *task().loop_; }

}  // namespace kioto::detail
