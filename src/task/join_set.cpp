// SPDX-License-Identifier: MIT
#include <kioto/join_set.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>

namespace kioto::detail {

void die_join_set_in_use() noexcept {
  std::fputs(
      "kioto: a join_set was awaited while another operation on it was waiting, or it was "
      "destroyed, assigned to or let go of its tasks then\n",
      stderr);
  std::terminate();
}

void join_set_core::reserve() {
  if (!free_.empty()) return;
  constexpr std::size_t first_block = 8;
  constexpr std::size_t largest_block = 128;
  const std::size_t count =
      blocks_.empty() ? first_block : std::min(blocks_.back().count * 2, largest_block);
  blocks_.push_back({std::make_unique<entry[]>(count), count});
  for (std::size_t i = 0; i != count; ++i) {
    entry& e = blocks_.back().entries[i];
    e.core = this;
    free_.push_back(&e);
  }
}

void join_set_core::add(task_header& task) noexcept {
  entry& e = *free_.pop_front();
  e.task = &task;
  ++size_;
  aborted_ = false;
  if (!task.join_.link(&e)) note(e);
}

// Called on the thread that ended the task.
void join_set_core::entry::on_task_ended(join_waiter& waiter, trampoline&) noexcept {
  auto& self = static_cast<entry&>(waiter);
  join_set_core& set = *self.core;
  switch (set.queue_.push(&self)) {
    case queue::pushed::queued:
      break;
    case queue::pushed::wake:
      complete(*set.waiter_);
      break;
    case queue::pushed::closed:
      release(self);
      set.drop(1);
      break;
  }
}

void join_set_core::note(entry& ended) noexcept {
  ended_.push_back(&ended);
  ++ended_count_;
  if (ended.task->outcome_ != outcome::value) ++failed_count_;
}

void join_set_core::take_ended() noexcept {
  auto taken = queue_.take();
  while (entry* e = taken.pop_front()) note(*e);
}

join_set_core::ended_task join_set_core::pop_ended() noexcept {
  if (ended_.empty()) take_ended();
  entry& e = *ended_.pop_front();
  task_header* const task = std::exchange(e.task, nullptr);
  free_.push_front(&e);
  --size_;
  --ended_count_;
  if (task->outcome_ != outcome::value) --failed_count_;
  return ended_task(task);
}

void join_set_core::abort_all() noexcept {
  for (block& b : blocks_) {
    for (std::size_t i = 0; i != b.count; ++i) {
      if (b.entries[i].task != nullptr) b.entries[i].task->abort();
    }
  }
}

void join_set_core::release(entry& ended) noexcept {
  std::exchange(ended.task, nullptr)->release_handle();
}

void join_set_core::dispose(bool abort) noexcept {
  if (is_awaited_) [[unlikely]]
    die_join_set_in_use();
  while (entry* e = ended_.pop_front()) release(*e);
  // Counted before the queue is closed: whoever finds it closed sees the number.
  std::size_t under_way = 0;
  for (block& b : blocks_) {
    for (std::size_t i = 0; i != b.count; ++i) {
      entry& e = b.entries[i];
      if (e.task == nullptr) continue;
      if (abort) e.task->abort();
      if (e.task->join_.unlink(&e))
        release(e);
      else
        ++under_way;
    }
  }
  under_way_.store(under_way + 1, std::memory_order_relaxed);
  auto arrived = queue_.close();
  std::size_t settled = 1;
  while (entry* e = arrived.pop_front()) {
    release(*e);
    ++settled;
  }
  drop(settled);
}

void join_set_core::drop(std::size_t references) noexcept {
  if (under_way_.fetch_sub(references, std::memory_order_acq_rel) == references) delete this;
}

}  // namespace kioto::detail
