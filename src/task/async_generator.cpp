// SPDX-License-Identifier: MIT
#include <kioto/async_generator.hpp>

#include <cstdio>

namespace kioto::detail {

void die_generator_in_use() noexcept {
  std::fputs(
      "kioto: next() of an async_generator was awaited while another next() of it was waiting, or "
      "the generator was destroyed then\n",
      stderr);
  std::terminate();
}

void generator_promise_base::destroy() noexcept {
  if (is_awaited_) [[unlikely]]
    die_generator_in_use();
  destroy_branches_within(branch_);
  destroy_frames(*branch_.frame_, *this);
  destroy_frame(*this);
}

std::coroutine_handle<> generator_promise_base::hand_over() noexcept {
  rewind();
  if (branch_.state_ == pausable_state::stopping) [[unlikely]]
    is_done_ = true;
  promise_base* const next = branch_.owner_->branch_ended(branch_, outcome::value);
  if (next == nullptr || !completed_through_hooks(*next)) return std::noop_coroutine();
  return transfer_to(*next);
}

std::coroutine_handle<> generator_operation::begin(promise_base& frame) noexcept {
  strand& c = *frame.strand_;
  strand_ = &c;
  c.frame_ = &frame;
  trampoline& loop = c.loop();
  if (!loop.try_charge()) [[unlikely]] {
    give_way();
    return std::noop_coroutine();
  }
  if (is_ready() && !is_cut_short()) return frame.handle();
  if (c.must_stop()) {
    loop.ask(request::unwind, frame);
    return std::noop_coroutine();
  }
  if (promise_->branch_.state_ == pausable_state::paused) {
    static_cast<void>(try_or_wait());
    return std::noop_coroutine();
  }
  begin_to_wait();
  adopt(promise_->branch_);
  loop.running = &promise_->branch_;
  return transfer_to(*promise_);
}

// The generator has ended because it was stopped, by the request that this wait meets as well: that
// is no end of the sequence.
bool generator_operation::is_cut_short() const noexcept {
  return promise_ != nullptr && promise_->branch_.state_ == pausable_state::stopping &&
         !promise_->has_element_ && promise_->error_ == nullptr && strand_->must_stop();
}

void generator_operation::begin_to_wait() noexcept {
  if (std::exchange(promise_->is_awaited_, true)) [[unlikely]]
    die_generator_in_use();
  is_waiting_ = true;
}

attempt generator_operation::try_or_wait() noexcept {
  if (is_ready() && !is_cut_short()) return attempt::ready;
  if (strand_->must_stop()) return attempt::stopped;
  begin_to_wait();
  return run_branch();
}

attempt generator_operation::conclude() noexcept {
  is_waiting_ = false;
  promise_->is_awaited_ = false;
  if (promise_->branch_.outcome_ != outcome::stopped) return attempt::ready;
  if (promise_->branch_.state_ != pausable_state::paused) {
    promise_->is_done_ = true;
    promise_->rewind();
  }
  return attempt::stopped;
}

void generator_operation::abandon() noexcept {
  pausable_branch& strand = promise_->branch_;
  promise_->is_awaited_ = false;
  if (strand.state_ == pausable_state::stopping)
    promise_->is_done_ = true;
  else
    strand.state_ = pausable_state::paused;
}

}  // namespace kioto::detail
