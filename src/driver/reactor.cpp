// SPDX-License-Identifier: MIT
#include <kioto/detail/net/reactor.hpp>

#include <algorithm>
#include <new>
#include <utility>

#include <kioto/detail/base/frame_allocator.hpp>

#include "driver/backend_choice.hpp"

namespace kioto::detail {

reactor::reactor(std::unique_ptr<reactor_backend> backend) noexcept
    : backend_(std::move(backend)) {}

reactor::~reactor() {
  // Each live registration holds a reference to the reactor: none is left. Nor is there another
  // turn, so those for which events might still come can be freed.
  free_pending();
  free_all(haunted_);
  free_all(worn_out_);
}

void reactor::free_all(registration_list& list) noexcept {
  while (registration* r = list.pop_front()) delete r;
}

// `allocate_frame` aligns memory as its size allows, and the size of a registration is a multiple
// of its alignment.
void* registration::operator new(std::size_t bytes, std::align_val_t,
                                 const std::nothrow_t&) noexcept {
  try {
    return allocate_frame(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void registration::operator delete(void* memory, std::size_t bytes, std::align_val_t) noexcept {
  deallocate_frame(memory, bytes);
}

result<reactor_pointer> reactor::create(kioto::backend which) {
  watch_forks();
  switch (which) {
    case backend::automatic:
    case backend::epoll: {
      auto made = make_epoll_backend();
      if (!made) return made.error();
      return std::make_shared<reactor>(std::move(*made));
    }
    case backend::kqueue:
    case backend::io_uring:
      break;
  }
  return backend_not_in_build();
}

// Reuses a registration that waits for another life, or allocates one.
registration* reactor::make(net::ready initial) noexcept {
  registration* made = nullptr;
  // Relaxed: missing one costs an allocation, no more.
  if (has_haunted_.load(std::memory_order_relaxed)) [[unlikely]] {
    const std::lock_guard lock(mutex_);
    made = haunted_.pop_front();
    has_haunted_.store(!haunted_.empty(), std::memory_order_relaxed);
  }
  if (made == nullptr) return new (std::nothrow) registration(shared_from_this(), initial);
  made->driver_ = shared_from_this();
  made->displaced_.store(false, std::memory_order_relaxed);
  made->begin_anew(initial);
  return made;
}

// Under the mutex: notes that `which` has the number, unless another registration has it. False if
// there is no memory.
bool reactor::note_number(int fd, registration& which) noexcept {
  if (fd < 0) return true;
  const auto number = static_cast<std::size_t>(fd);
  if (number >= holders_.size()) {
    try {
      holders_.resize(std::max(number + 1, holders_.size() * 2));
    } catch (const std::bad_alloc&) {
      return false;
    }
  }
  if (holders_[number] == nullptr) holders_[number] = &which;
  return true;
}

// The backend has accepted the descriptor although another registration has its number: so the
// descriptor of that one was closed behind its back, otherwise the backend would have refused this.
// Its operations would act on the new descriptor from now on, so they are ended.
void reactor::take_number(int fd, registration& which) noexcept {
  registration* displaced = nullptr;
  {
    const std::lock_guard lock(mutex_);
    displaced = std::exchange(holders_[static_cast<std::size_t>(fd)], &which);
    if (displaced == nullptr) return;
    displaced->displaced_.store(true, std::memory_order_relaxed);
    displaced->is_haunted_ = true;
    ++walks_;
  }
  displaced->close();
  const std::lock_guard lock(mutex_);
  --walks_;
}

result<registration*> reactor::add(int fd, net::ready initial) noexcept {
  registration* const added = make(initial);
  if (added == nullptr) return std::errc::not_enough_memory;
  std::error_code failure;
  bool has_number = true;
  {
    const std::lock_guard lock(mutex_);
    live_.push_back(*added);
    ++registered_;
    if (shut_down_) {
      failure = error::runtime_shutdown;
    } else if (!note_number(fd, *added)) {
      failure = std::make_error_code(std::errc::not_enough_memory);
    } else if (fd >= 0) {
      has_number = holders_[static_cast<std::size_t>(fd)] == added;
    }
  }
  if (!failure) failure = backend_->add(fd, *added);
  if (failure) {
    // No event can name it, unless it has had another life: it is freed as soon as no shutdown
    // walks over it.
    if (has_number && fd >= 0) {
      const std::lock_guard lock(mutex_);
      const auto number = static_cast<std::size_t>(fd);
      if (number < holders_.size() && holders_[number] == added) holders_[number] = nullptr;
    }
    remove(*added, -1);
    return failure;
  }
  if (!has_number) [[unlikely]]
    take_number(fd, *added);
  return added;
}

bool reactor::remove(registration& which, int fd) noexcept {
  if (is_forked_child() && which.driver_->is_inherited()) [[unlikely]]
    return true;
  // The registration may hold the last reference to the reactor, whose destructor then frees it.
  const reactor_pointer driver = std::move(which.driver_);
  // Relaxed: if another thread closes the descriptor behind its back, it has to synchronise with
  // the owner before the owner removes the registration.
  bool removed = true;
  if (fd >= 0)
    removed = !which.displaced_.load(std::memory_order_relaxed) && !driver->backend_->remove(fd);
  which.close();
  bool many = false;
  {
    const std::lock_guard lock(driver->mutex_);
    registration_list::erase(which);
    const auto number = static_cast<std::size_t>(fd);
    if (fd >= 0 && number < driver->holders_.size() && driver->holders_[number] == &which)
      driver->holders_[number] = nullptr;
    if (!removed) which.is_haunted_ = true;
    driver->pending_.push_back(which);
    ++driver->deregistered_;
    const std::size_t count = driver->pending_count_.load(std::memory_order_relaxed) + 1;
    driver->pending_count_.store(count, std::memory_order_relaxed);
    many = count == max_pending;
  }
  if (many) driver->unpark();
  return removed;
}

void reactor::turn(std::optional<std::chrono::nanoseconds> timeout, std::size_t limit) noexcept {
  // Relaxed: a removal that is missed here is found at the next turn, and the sixteenth ends a turn
  // that sleeps.
  if (pending_count_.load(std::memory_order_relaxed) != 0) free_pending();
  const std::size_t events = backend_->turn(timeout, limit);
  if (events != 0)
    ready_events_.store(ready_events_.load(std::memory_order_relaxed) + events,
                        std::memory_order_relaxed);
}

void reactor::free_pending() noexcept {
  registration_list gone;
  {
    const std::lock_guard lock(mutex_);
    if (walks_ != 0) return;
    while (registration* r = pending_.pop_front()) {
      if (!r->is_haunted_) [[likely]] {
        gone.push_back(*r);
      } else if (r->life() == registration::last_life) {
        worn_out_.push_back(*r);
      } else {
        haunted_.push_back(*r);
        has_haunted_.store(true, std::memory_order_relaxed);
      }
    }
    pending_count_.store(0, std::memory_order_relaxed);
  }
  free_all(gone);
}

void reactor::shutdown() noexcept {
  std::unique_lock lock(mutex_);
  if (std::exchange(shut_down_, true)) return;
  ++walks_;
  while (registration* r = live_.pop_front()) {
    ended_.push_back(*r);  // from where remove() takes it
    lock.unlock();
    r->shutdown();
    lock.lock();
  }
  --walks_;
}

io_metrics reactor::metrics() const noexcept {
  const std::lock_guard lock(mutex_);
  return {registered_, deregistered_, ready_events_.load(std::memory_order_relaxed)};
}

}  // namespace kioto::detail
