// SPDX-License-Identifier: MIT
#include "scheduler/os_thread.hpp"

#include <memory>
#include <new>

#include "scheduler/core.hpp"

namespace kioto::detail {

std::error_code os_thread::start(runtime_core& core, std::function<void()> body, hooks mode) {
  struct start_data {
    std::shared_ptr<runtime_core> core;
    std::function<void()> body;
    bool calls_hooks;
  };
  std::unique_ptr<start_data> data(new (std::nothrow) start_data{
      core.shared_from_this(), std::move(body), mode == hooks::called});
  if (data == nullptr) return std::make_error_code(std::errc::not_enough_memory);
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes)) return {error, std::generic_category()};
  if (core.options.thread_stack_size != 0) {
    const std::size_t size = usable_stack_size(core.options.thread_stack_size);
    if (const int error = pthread_attr_setstacksize(&attributes, size)) {
      pthread_attr_destroy(&attributes);
      return {error, std::generic_category()};
    }
  }
  const auto entry_point = [](void* raw) -> void* {
    const std::unique_ptr<start_data> mine(static_cast<start_data*>(raw));
    runtime_core& home = *mine->core;
    pthread_setname_np(pthread_self(), home.options.thread_name.substr(0, 15).c_str());
    this_thread().runtime = &home;
    if (mine->calls_hooks && home.options.on_thread_start) home.options.on_thread_start();
    mine->body();
    if (mine->calls_hooks && home.options.on_thread_stop) home.options.on_thread_stop();
    this_thread().runtime = nullptr;
    return nullptr;
  };
  const int error = pthread_create(&id_, &attributes, entry_point, data.get());
  pthread_attr_destroy(&attributes);
  if (error != 0) return {error, std::generic_category()};
  joinable_ = true;
  [[maybe_unused]] const start_data* const the_threads_now = data.release();
  return {};
}

void os_thread::join() noexcept {
  if (!std::exchange(joinable_, false)) return;
  if (pthread_equal(id_, pthread_self()) != 0)
    pthread_detach(id_);
  else
    pthread_join(id_, nullptr);
}

void os_thread::detach() noexcept {
  if (std::exchange(joinable_, false)) pthread_detach(id_);
}

}  // namespace kioto::detail
