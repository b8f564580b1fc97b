// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include <kioto/detail/base/frame_allocator.hpp>

namespace kioto::detail {

template <class T>
inline constexpr bool is_over_aligned = alignof(T) > __STDCPP_DEFAULT_NEW_ALIGNMENT__;

/// Creates a small object that is created and destroyed often, in the pool of coroutine frames.
/// Throws what `operator new` and the constructor throw.
template <class T, class... Args>
[[nodiscard]] T* make_pooled(Args&&... args) {
  // Frees the memory if the constructor throws; a destructor, so that it compiles without
  // exceptions.
  struct memory {
    void* at;
    memory() {
      if constexpr (is_over_aligned<T>)
        at = ::operator new(sizeof(T), std::align_val_t(alignof(T)));
      else
        at = allocate_frame(sizeof(T));
    }
    memory(const memory&) = delete;
    memory& operator=(const memory&) = delete;
    ~memory() {
      if (at != nullptr) free(at);
    }
    static void free(void* p) noexcept {
      if constexpr (is_over_aligned<T>)
        ::operator delete(p, sizeof(T), std::align_val_t(alignof(T)));
      else
        deallocate_frame(p, sizeof(T));
    }
  };
  memory m;
  T* made = ::new (m.at) T(std::forward<Args>(args)...);
  m.at = nullptr;
  return made;
}

/// Destroys what `make_pooled<T>` made.
template <class T>
void destroy_pooled(T* object) noexcept {
  std::destroy_at(object);
  if constexpr (is_over_aligned<T>)
    ::operator delete(static_cast<void*>(object), sizeof(T), std::align_val_t(alignof(T)));
  else
    deallocate_frame(object, sizeof(T));
}

}  // namespace kioto::detail
