// SPDX-License-Identifier: MIT
#include "driver/backend_choice.hpp"

#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace kioto::detail {
namespace {

enum class backend_error : int { unknown_name = 1, not_in_build };

class backend_category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "kioto.backend"; }
  std::string message(int which) const override {
    switch (static_cast<backend_error>(which)) {
      case backend_error::unknown_name:
        return "the environment variable KIOTO_BACKEND names no backend: set it to epoll or to "
               "automatic, or unset it";
      case backend_error::not_in_build:
        return "runtime_builder::backend, or the environment variable KIOTO_BACKEND, asks for a "
               "backend that this build of kioto does not have: it has epoll";
    }
    return "unknown error of a backend";
  }
  std::error_condition default_error_condition(int which) const noexcept override {
    return std::make_error_condition(static_cast<backend_error>(which) ==
                                             backend_error::unknown_name
                                         ? std::errc::invalid_argument
                                         : std::errc::not_supported);
  }
};

std::error_code make(backend_error which) noexcept {
  static const backend_category category;
  return {static_cast<int>(which), category};
}

constexpr std::array<std::pair<std::string_view, backend>, 3> names = {{
    {"epoll", backend::epoll},
    {"kqueue", backend::kqueue},
    {"io_uring", backend::io_uring},
}};

}  // namespace

result<backend_choice> choose_backend(backend wanted) {
  if (wanted != backend::automatic) return backend_choice{wanted, "chosen by the builder"};
  const char* const text = std::getenv("KIOTO_BACKEND");
  const std::string_view name = text != nullptr ? text : "";
  if (name.empty() || name == "automatic")
    return backend_choice{backend::epoll, "automatic: epoll is the default on Linux"};
  for (const auto& [known, which] : names) {
    if (name == known) return backend_choice{which, "chosen by KIOTO_BACKEND"};
  }
  return make(backend_error::unknown_name);
}

std::error_code backend_not_in_build() noexcept { return make(backend_error::not_in_build); }

}  // namespace kioto::detail
