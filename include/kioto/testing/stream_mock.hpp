// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <kioto/buffer.hpp>
#include <kioto/detail/base/intrusive_list.hpp>
#include <kioto/detail/net/socket.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/detail/time/timer_operation.hpp>
#include <kioto/result.hpp>
#include <kioto/time/deadline.hpp>

namespace kioto {

namespace testing {

/// Thrown if the code under test does not do what the script of a `stream_mock` says.
class script_error : public std::logic_error {
  using std::logic_error::logic_error;
};

/// What a `stream_mock` expects and delivers, step by step. The name appears in messages.
class stream_script {
 public:
  explicit stream_script(std::string name = "stream") : name_(std::move(name)) {}

  /// The stream has these bytes to read.
  stream_script& read(const_buffer bytes) { return add({what::read, bytes}); }
  /// These bytes are to be written, in however many pieces.
  stream_script& write(const_buffer bytes) { return add({what::write, bytes}); }
  /// A pause, which begins with the first operation that reaches this step. Measured by `now()`.
  template <class Rep, class Period>
  stream_script& wait(std::chrono::duration<Rep, Period> time) {
    return add({what::wait, {}, detail::saturate(time)});
  }
  /// The next read, or write, fails.
  stream_script& read_error(std::error_code error) {
    return add({what::read_error, {}, {}, error});
  }
  stream_script& write_error(std::error_code error) {
    return add({what::write_error, {}, {}, error});
  }

  enum class what : std::uint8_t { read, write, wait, read_error, write_error };
  class step {
   public:
    step(what w, const_buffer b, std::chrono::nanoseconds t = {}, std::error_code e = {})
        : kind(w), bytes(b.begin(), b.end()), time(t), error(e) {}
    what kind;
    std::vector<std::byte> bytes;
    std::chrono::nanoseconds time;
    std::error_code error;
  };
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const std::vector<step>& steps() const noexcept { return steps_; }

 private:
  stream_script& add(step s) {
    steps_.push_back(std::move(s));
    return *this;
  }

  std::string name_;
  std::vector<step> steps_;
};

}  // namespace testing

namespace detail {

class mock_state;

struct mock_tag {};

/// A read or a write on a `stream_mock`. Its members are used by the mock.
class mock_transfer : public timer_operation, public list_node<mock_tag> {
 public:
  enum class way : std::uint8_t { read, write };
  enum class amount : std::uint8_t { some, all };

  bool cancel() noexcept override;

  mutable_buffer into_;  ///< buffer space still to be filled
  const_buffer from_;    ///< bytes still to be written
  way way_;
  amount amount_;
  std::size_t count_ = 0;
  std::error_code error_;
  std::exception_ptr failure_;

  // The mock waits on behalf of the operation.
  using leaf_operation::wait;
  using timer_operation::wait_until;
  bool on_timer_ = false;

 protected:
  mock_transfer(mock_state& state, mutable_buffer into, amount how_much) noexcept
      : into_(into), way_(way::read), amount_(how_much), state_(&state) {
    retries_ = true;
  }
  mock_transfer(mock_state& state, const_buffer from, amount how_much) noexcept
      : from_(from), way_(way::write), amount_(how_much), state_(&state) {
    retries_ = true;
  }
  mock_transfer(mock_transfer&& other) noexcept
      : timer_operation(static_cast<timer_operation&&>(other)),
        list_node<mock_tag>(),
        into_(other.into_),
        from_(other.from_),
        way_(other.way_),
        amount_(other.amount_),
        state_(other.state_) {}
  ~mock_transfer() = default;

  attempt transfer() noexcept;

 private:
  mock_state* state_;
};

/// `T` is the value of the result: the number of bytes, or nothing.
template <class T>
class [[nodiscard]] mock_operation final : public leaf_awaiter<mock_operation<T>, mock_transfer> {
 public:
  template <class Buffer>
  mock_operation(mock_state& state, Buffer buffer) noexcept
      : leaf_awaiter<mock_operation<T>, mock_transfer>(
            std::in_place, state, buffer,
            std::is_void_v<T> ? mock_transfer::amount::all : mock_transfer::amount::some) {}
  mock_operation(mock_operation&&) noexcept = default;

  attempt try_or_wait() noexcept override { return this->transfer(); }
  result<T> await_resume() const {
    if (this->failure_) std::rethrow_exception(this->failure_);
    if (this->error_) return this->error_;
    if constexpr (std::is_void_v<T>)
      return {};
    else
      return this->count_;
  }
};

}  // namespace detail

namespace testing {

/// Observes the progress of the script of a `stream_mock`, even if the code under test owns the
/// stream or has destroyed it.
class stream_watch {
 public:
  /// Returns true if the whole script was performed, and nothing else.
  [[nodiscard]] bool is_done() const;
  /// Throws `script_error` unless `is_done()`.
  void verify() const;

 private:
  friend class stream_mock;
  explicit stream_watch(std::shared_ptr<detail::mock_state> state) noexcept
      : state_(std::move(state)) {}

  std::shared_ptr<detail::mock_state> state_;
};

/// A stream that plays a script: it delivers what is to be read, and checks what is written. Its
/// operations have the names and results of those of `net::tcp_stream`, so that templates over
/// streams accept it in place of a socket.
///
/// - The steps happen in order. An operation whose step has not come waits: a write waits until the
///   bytes in front of it in the script have been read, and the other way round.
/// - At the end of the script reads return the end of the stream.
/// - A write that the script does not expect throws `script_error`, as does everything after it.
/// - A stream that is destroyed while steps are left ends the program with a message, because a
///   test that did half of its work would pass otherwise. This does not apply if there is a
///   `watch()`, which then has that responsibility, if the script has failed or been verified, if
///   an operation of the stream was cancelled, and while an exception is propagating.
/// - Cancellation: at once. A cancelled `read` or `write` has transferred nothing; `read_exact` and
///   `write_all` may have transferred a part.
/// - In a select: withdrawn; nothing has been transferred, except what `read_exact` and `write_all`
///   had transferred before.
/// - Lifetime: the stream, and the bytes of the buffers, must outlive the operation.
/// - Thread safety: one task may read while another writes.
///
///     testing::stream_mock peer(testing::stream_script().write("ping").read("pong"));
///     auto answer = co_await ask(peer);
///     peer.verify();
class stream_mock {
 public:
  explicit stream_mock(const stream_script& script);
  stream_mock(stream_mock&&) noexcept = default;
  stream_mock& operator=(stream_mock&& other) noexcept;
  ~stream_mock();

  [[nodiscard]] auto read(mutable_buffer into) const noexcept {
    return detail::mock_operation<std::size_t>(*state_, into);
  }
  [[nodiscard]] auto read_exact(mutable_buffer into) const noexcept {
    return detail::mock_operation<void>(*state_, into);
  }
  [[nodiscard]] auto write(const_buffer from) const noexcept {
    return detail::mock_operation<std::size_t>(*state_, from);
  }
  [[nodiscard]] auto write_all(const_buffer from) const noexcept {
    return detail::mock_operation<void>(*state_, from);
  }
  /// Later reads return the end of the stream, later writes `errc::broken_pipe`.
  result<void> shutdown(net::shutdown_how how) const noexcept;

  [[nodiscard]] bool is_done() const { return stream_watch(state_).is_done(); }
  void verify() const { stream_watch(state_).verify(); }
  [[nodiscard]] stream_watch watch() const;

 private:
  std::shared_ptr<detail::mock_state> state_;
};

}  // namespace testing
}  // namespace kioto
