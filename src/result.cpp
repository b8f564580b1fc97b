// SPDX-License-Identifier: MIT
#include <kioto/result.hpp>

#include <netdb.h>
#include <cerrno>
#include <string>
#include <system_error>

namespace kioto {
namespace {

class kioto_category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "kioto"; }

  std::string message(int value) const override {
    switch (static_cast<error>(value)) {
      case error::runtime_shutdown:
        return "the runtime was shut down";
      case error::unexpected_eof:
        return "unexpected end of stream";
      case error::write_zero:
        return "nothing could be written";
      case error::invalid_address:
        return "not a numeric IP address";
      case error::invalid_scope:
        return "invalid IPv6 scope id";
      case error::missing_port:
        return "the port is missing, host:port is expected";
      case error::invalid_port:
        return "the port is not a number from 0 to 65535";
      case error::empty_host:
        return "the host is empty";
      case error::invalid_host:
        return "not a host name";
      case error::closed:
        return "closed";
      case error::full:
        return "full";
      case error::empty:
        return "empty";
      case error::lagged:
        return "the receiver lagged behind, and values were overwritten";
      case error::inherited_by_fork:
        return "the socket belongs to a runtime of the parent process: in a child of fork(), take "
               "its descriptor with into_native(), and give it to from_native() in a runtime of "
               "the "
               "child's own";
    }
    return "unknown kioto error";
  }

  std::error_condition default_error_condition(int value) const noexcept override {
    switch (static_cast<error>(value)) {
      case error::invalid_address:
      case error::invalid_scope:
      case error::missing_port:
      case error::invalid_port:
      case error::empty_host:
      case error::invalid_host:
        return errc::invalid_argument;
      case error::runtime_shutdown:
      case error::unexpected_eof:
      case error::write_zero:
      case error::closed:
      case error::lagged:
      case error::inherited_by_fork:
        break;
      case error::full:
      case error::empty:
        return errc::operation_would_block;
    }
    return {value, *this};
  }
};

class getaddrinfo_category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "resolve"; }

  std::string message(int value) const override {
    switch (static_cast<resolve_error>(value)) {
      case resolve_error::host_not_found:
        return gai_strerror(EAI_NONAME);
      case resolve_error::no_data:
#ifdef EAI_NODATA
        return gai_strerror(EAI_NODATA);
#else
        return "No address associated with hostname";
#endif
      case resolve_error::try_again:
        return gai_strerror(EAI_AGAIN);
      case resolve_error::failed:
        return gai_strerror(EAI_FAIL);
      case resolve_error::service_not_found:
        return gai_strerror(EAI_SERVICE);
      case resolve_error::family_not_supported:
        return gai_strerror(EAI_FAMILY);
      case resolve_error::invalid_flags:
        return gai_strerror(EAI_BADFLAGS);
      case resolve_error::out_of_memory:
        return gai_strerror(EAI_MEMORY);
      case resolve_error::other:
        break;
    }
    return "name resolution failed";
  }

  std::error_condition default_error_condition(int value) const noexcept override {
    switch (static_cast<resolve_error>(value)) {
      case resolve_error::try_again:
        return errc::resource_unavailable_try_again;
      case resolve_error::out_of_memory:
        return errc::not_enough_memory;
      case resolve_error::family_not_supported:
        return errc::address_family_not_supported;
      case resolve_error::invalid_flags:
        return errc::invalid_argument;
      case resolve_error::host_not_found:
      case resolve_error::no_data:
      case resolve_error::failed:
      case resolve_error::service_not_found:
      case resolve_error::other:
        break;
    }
    return {value, *this};
  }
};

// Constant-initialised and never destroyed in practice (trivial state): error codes may be compared
// and printed while static objects of other files are being destroyed.
template <class Category>
struct immortal {
  union {
    Category category;
  };
  constexpr immortal() : category() {}
  ~immortal() {}
};
const immortal<kioto_category> kioto_instance;
const immortal<getaddrinfo_category> resolve_instance;

}  // namespace

const std::error_category& error_category() noexcept { return kioto_instance.category; }

const std::error_category& resolve_category() noexcept { return resolve_instance.category; }

bool is_transient(const std::error_code& ec) noexcept {
  const std::error_condition condition = ec.default_error_condition();
  if (condition.category() != std::generic_category() &&
      condition.category() != std::system_category()) {
    return false;
  }
  switch (condition.value()) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ECONNABORTED:
    case EINTR:
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
#ifdef ENONET
    case ENONET:
#endif
    case ENOPROTOOPT:
      return true;
    default:
      return false;
  }
}

bool is_runtime_shutdown(const std::error_code& ec) noexcept {
  return ec == make_error_code(error::runtime_shutdown);
}

namespace detail {

void throw_result_error(const std::error_code& ec) { throw std::system_error(ec); }

}  // namespace detail
}  // namespace kioto
