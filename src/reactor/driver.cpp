// SPDX-License-Identifier: MIT
#include <kioto/detail/io_driver.hpp>

#include <new>
#include <utility>

#include <kioto/detail/frame_allocator.hpp>

#include "../runtime/core.hpp"

namespace kioto::detail {

io_driver::io_driver(std::unique_ptr<reactor_backend> backend) noexcept
    : backend_(std::move(backend)) {}

io_driver::~io_driver() {
  // Each live registration holds the driver: none is left.
  free_pending();
}

// The size of a registration is a multiple of its alignment: so its memory has that, too.
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

result<io_driver_pointer> io_driver::create() {
  auto backend = make_epoll_backend();
  if (!backend) return backend.error();
  return std::make_shared<io_driver>(std::move(*backend));
}

result<registration*> io_driver::add(int fd, net::ready initial) noexcept {
  auto* added = new (std::nothrow) registration(shared_from_this(), initial);
  if (added == nullptr) return std::errc::not_enough_memory;
  {
    const std::lock_guard lock(mutex_);
    if (shut_down_) {
      delete added;
      return error::runtime_shutdown;
    }
    live_.push_back(*added);
    ++registered_;
  }
  if (const std::error_code failure = backend_->add(fd, *added)) {
    // No event can name it: it goes at once, unless a shutdown is just walking over it.
    remove(*added, -1);
    return failure;
  }
  return added;
}

void io_driver::remove(registration& which, int fd) noexcept {
  // The registration may hold the last reference, and then is freed by the driver's destructor.
  const io_driver_pointer driver = std::move(which.driver_);
  if (fd >= 0) {
    // Fails when the descriptor was closed already; the rest is to be done all the same.
    [[maybe_unused]] const std::error_code closed_already = driver->backend_->remove(fd);
  }
  which.close();
  bool many = false;
  {
    const std::lock_guard lock(driver->mutex_);
    registration_list::erase(which);
    driver->pending_.push_back(which);
    ++driver->deregistered_;
    const std::size_t count = driver->pending_count_.load(std::memory_order_relaxed) + 1;
    driver->pending_count_.store(count, std::memory_order_relaxed);
    many = count == max_pending;
  }
  if (many) driver->unpark();
}

void io_driver::turn(std::optional<std::chrono::nanoseconds> timeout, std::size_t limit) noexcept {
  // Relaxed: a removal that is missed is found at the next turn, and the sixteenth unparks.
  if (pending_count_.load(std::memory_order_relaxed) != 0) free_pending();
  const std::size_t events = backend_->turn(timeout, limit);
  if (events != 0)
    ready_events_.store(ready_events_.load(std::memory_order_relaxed) + events,
                        std::memory_order_relaxed);
}

void io_driver::free_pending() noexcept {
  registration_list gone;
  {
    const std::lock_guard lock(mutex_);
    if (shutting_down_) return;
    gone.splice_back(pending_);
    pending_count_.store(0, std::memory_order_relaxed);
  }
  while (registration* r = gone.pop_front()) delete r;
}

void io_driver::shutdown() noexcept {
  std::unique_lock lock(mutex_);
  if (std::exchange(shut_down_, true)) return;
  shutting_down_ = true;
  while (registration* r = live_.pop_front()) {
    ended_.push_back(*r);  // from where remove() takes it
    lock.unlock();
    r->shutdown();
    lock.lock();
  }
  shutting_down_ = false;
}

io_metrics io_driver::metrics() const noexcept {
  const std::lock_guard lock(mutex_);
  return {registered_, deregistered_, ready_events_.load(std::memory_order_relaxed)};
}

io_driver& current_io_driver(const char* what) { return *current_core(what).io; }

}  // namespace kioto::detail
