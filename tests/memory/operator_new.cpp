// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include "support/memory.hpp"

namespace {

using kioto_test::shortage;

std::atomic<bool> short_of_memory{false};
std::atomic<bool> lasting{false};
std::atomic<long> left{0};
std::atomic<bool> failed{false};

// Not inlined: a compiler that sees both ends believes that new and free do not match.
[[gnu::noinline]] void* allocate(std::size_t size, std::size_t alignment) noexcept {
  if (short_of_memory.load(std::memory_order_relaxed)) {
    const long before = left.fetch_sub(1);
    if (before == 0 || (before < 0 && lasting)) {
      failed = true;
      return nullptr;
    }
  }
  size = std::max<std::size_t>(size, 1);
  if (alignment <= alignof(std::max_align_t)) return std::malloc(size);
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}
[[gnu::noinline]] void deallocate(void* p) noexcept { std::free(p); }

void* allocate_or_throw(std::size_t size, std::size_t alignment) {
  void* const p = allocate(size, alignment);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace

namespace kioto_test {

void begin_shortage(long k, shortage how) noexcept {
  left = k;
  lasting = how == shortage::lasts;
  failed = false;
  short_of_memory = true;
}
bool end_shortage() noexcept {
  short_of_memory = false;
  return failed;
}

}  // namespace kioto_test

void* operator new(std::size_t size) { return allocate_or_throw(size, 1); }
void* operator new[](std::size_t size) { return allocate_or_throw(size, 1); }
void* operator new(std::size_t size, std::align_val_t a) {
  return allocate_or_throw(size, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t size, std::align_val_t a) {
  return allocate_or_throw(size, static_cast<std::size_t>(a));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, 1); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, 1); }
void* operator new(std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(size, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(size, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { deallocate(p); }
void operator delete[](void* p) noexcept { deallocate(p); }
void operator delete(void* p, std::size_t) noexcept { deallocate(p); }
void operator delete[](void* p, std::size_t) noexcept { deallocate(p); }
void operator delete(void* p, std::align_val_t) noexcept { deallocate(p); }
void operator delete[](void* p, std::align_val_t) noexcept { deallocate(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { deallocate(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { deallocate(p); }
