// SPDX-License-Identifier: MIT
#include <kioto/sync/barrier.hpp>

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

namespace kioto {
namespace detail {

attempt barrier_operation::try_or_wait() noexcept {
  leader_ = core_->try_complete();
  if (leader_) return attempt::ready;
  return wait([this]() noexcept {
    leader_ = !core_->arrive(*this);
    return !leader_;
  });
}

bool barrier_operation::cancel() noexcept { return core_->leave(*this); }

}  // namespace detail

namespace sync {
namespace {

std::uint32_t checked_size(std::size_t size) {
  constexpr std::size_t most = (std::size_t{1} << 31) - 1;
  if (size > most)
    throw std::invalid_argument(fmt::format("a barrier for {} tasks: {} are the most", size, most));
  return static_cast<std::uint32_t>(std::max<std::size_t>(size, 1));
}

}  // namespace

barrier::barrier(std::size_t size) : core_(checked_size(size)) {}

}  // namespace sync
}  // namespace kioto
