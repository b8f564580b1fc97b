// SPDX-License-Identifier: MIT
#include <kioto/detail/task/standing_waits.hpp>

#include <utility>

#include "scheduler/core.hpp"

namespace kioto::detail {

void standing_wait::completed() noexcept {
  standing_waits& waits = *waits_;
  // The queue is never closed. If it wakes nobody, neither this nor the queue is touched again.
  if (waits.queue_.push(this) == standing_waits::queue::pushed::wake) complete(*waits.waiter_);
}

void standing_waits::add(standing_wait& wait) noexcept {
  wait.waits_ = this;
  wait.place_ = place::due;
  due_.push_back(&wait);
  all_.push_back(wait);
  ++live_;
}

static void erase(intrusive_queue<standing_wait>& from, standing_wait& wait) noexcept {
  intrusive_queue<standing_wait> others;
  while (standing_wait* w = from.pop_front())
    if (w != &wait) others.push_back(w);
  from = std::move(others);
}

// True: it is not armed any more, and may be armed again.
bool standing_waits::withdraw(standing_wait& wait) noexcept {
  leaf_operation& operation = *wait.current_;
  if (!operation.cancel()) return false;
  operation.armed_ = false;
  // Nobody else knows the strand now; it was suspended.
  suspension::word seen = 0;
  static_cast<void>(wait.word_.try_borrow(seen));
  wait.place_ = place::nowhere;
  return true;
}

void standing_waits::let_go(standing_wait& wait) noexcept {
  if (wait.is_linked()) all_.erase(wait);
  if (wait.place_ != place::waiting) return;
  collect();
  if (wait.place_ != place::waiting) return;
  if (withdraw(wait)) return;
  // It is being completed by another thread, which is about to queue it; but not in a child of
  // fork(), where that thread does not exist.
  while (!core_->process.is_inherited()) {
    collect();
    if (wait.place_ != place::waiting) return;
    std_sync::yield();
  }
  wait.current_->armed_ = false;
  wait.place_ = place::nowhere;
}

void standing_waits::remove(standing_wait& wait) noexcept {
  let_go(wait);
  if (!wait.has_ended()) --live_;
  switch (wait.place_) {
    case place::due:
      erase(due_, wait);
      break;
    case place::resting:
      erase(resting_, wait);
      break;
    case place::ended:
      erase(ended_, wait);
      break;
    case place::arrived:
      arrived_ = nullptr;
      break;
    case place::taken:
      taken_ = nullptr;
      break;
    case place::nowhere:
    case place::waiting:
      break;
  }
  wait.place_ = place::nowhere;
}

// Those that have completed are due.
void standing_waits::collect() noexcept {
  auto completed = queue_.take();
  while (standing_wait* w = completed.pop_front()) {
    w->current_->armed_ = false;
    w->place_ = place::due;
    due_.push_back(w);
  }
}

void standing_waits::move_to(runtime_core& core) noexcept {
  for (standing_wait* w = all_.front(); w != nullptr; w = all_.next(*w)) {
    if (w->place_ != place::waiting || !withdraw(*w)) continue;
    w->place_ = place::due;
    due_.push_back(w);
  }
  core_ = core.shared_from_this();
}

attempt standing_waits::look(strand& consumer) noexcept {
  if (arrived_ != nullptr || live_ == 0) return attempt::ready;
  collect();
  runtime_core& core = core_of(consumer);
  if (core_.get() != &core) [[unlikely]]
    move_to(core);
  while (standing_wait* w = resting_.pop_front()) {
    w->place_ = place::due;
    due_.push_back(w);
  }
  if (taken_ != nullptr) {
    taken_->place_ = place::due;
    due_.push_back(std::exchange(taken_, nullptr));
  }
  std::size_t resting = 0;
  while (standing_wait* w = due_.pop_front()) {
    w->place_ = place::waiting;
    switch (w->ask()) {
      case attempt::suspended:
        break;
      case attempt::stopped:
        w->place_ = place::resting;
        resting_.push_back(w);
        ++resting;
        break;
      case attempt::ready:
        if (!w->has_ended()) {
          w->place_ = place::arrived;
          arrived_ = w;
          return attempt::ready;
        }
        w->place_ = place::ended;
        ended_.push_back(w);
        all_.erase(*w);
        if (--live_ == 0) return attempt::ready;
        break;
    }
  }
  return resting == live_ ? attempt::stopped : attempt::suspended;
}

void standing_waits::take_arrived() noexcept {
  taken_ = std::exchange(arrived_, nullptr);
  taken_->place_ = place::taken;
}

standing_wait* standing_waits::pop_ended() noexcept {
  standing_wait* const w = ended_.pop_front();
  if (w != nullptr) w->place_ = place::nowhere;
  return w;
}

}  // namespace kioto::detail
