// SPDX-License-Identifier: MIT
#include <kioto/testing/stream_mock.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <optional>
#include <string_view>

#include <fmt/format.h>

namespace kioto {

namespace detail {

namespace {

using testing::script_error;
using testing::stream_script;
using step = stream_script::step;
using what = stream_script::what;

// Bytes as they would stand in a string literal.
std::string quoted(const_buffer bytes) {
  constexpr std::size_t most = 60;
  std::string out = "\"";
  for (const std::byte b : bytes.first(most)) {
    const auto c = static_cast<unsigned char>(b);
    if (c == '"' || c == '\\')
      out += {'\\', static_cast<char>(c)};
    else if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c < 0x20 || c > 0x7e)
      out += fmt::format("\\x{:02x}", c);
    else
      out += static_cast<char>(c);
  }
  out += '"';
  if (bytes.size() > most) out += fmt::format("… ({} bytes)", bytes.size());
  return out;
}

std::string describe(const step& s, std::size_t offset) {
  switch (s.kind) {
    case what::read:
      return "a read of " + quoted(const_buffer(s.bytes).skip(offset));
    case what::write:
      return "a write of " + quoted(const_buffer(s.bytes).skip(offset));
    case what::wait:
      return "a wait";
    case what::read_error:
      return fmt::format("a read that fails with \"{}\"", s.error.message());
    case what::write_error:
      return fmt::format("a write that fails with \"{}\"", s.error.message());
  }
  return {};
}

}  // namespace

class mock_state {
 public:
  explicit mock_state(const stream_script& script)
      : name_(script.name()),
        steps_(script.steps()),
        exceptions_at_start_(std::uncaught_exceptions()) {}
  mock_state(const mock_state&) = delete;
  mock_state& operator=(const mock_state&) = delete;
  ~mock_state() {
    if (is_finished() || failure_ || excused_ || std::uncaught_exceptions() > exceptions_at_start_)
      return;
    std::fprintf(stderr, "kioto: %s\n", what_is_left().c_str());
    std::terminate();
  }

  attempt transfer(mock_transfer& op) noexcept {
    for (;;) {
      std::unique_lock lock(mutex_);
      attempt waited = attempt::ready;
      switch (perform(op)) {
        case performed::all:
          return attempt::ready;
        case performed::part:
          continue;
        case performed::not_its_turn:
          op.on_timer_ = false;
          waited = op.wait([&]() noexcept {
            waiting_.push_back(op);
            lock.unlock();
            return true;
          });
          break;
        case performed::pausing:
          op.on_timer_ = true;
          const auto until = *pause_ends_;
          lock.unlock();
          waited = op.wait_until(until);
          break;
      }
      if (waited != attempt::ready) return waited;
    }
  }

  bool cancel(mock_transfer& op) noexcept {
    const std::lock_guard lock(mutex_);
    if (op.on_timer_) {
      if (!op.timer_operation::cancel()) return false;
    } else {
      if (!static_cast<list_node<mock_tag>&>(op).is_linked()) return false;
      waiting_.erase(op);
    }
    excused_ = true;
    return true;
  }

  void shutdown(net::shutdown_how how) noexcept {
    const std::lock_guard lock(mutex_);
    if (how != net::shutdown_how::write) no_more_reads_ = true;
    if (how != net::shutdown_how::read) no_more_writes_ = true;
    wake_waiting();
  }

  [[nodiscard]] bool is_done() const {
    const std::lock_guard lock(mutex_);
    return is_finished() && !failure_;
  }
  void verify() {
    const std::lock_guard lock(mutex_);
    excused_ = true;
    if (failure_) std::rethrow_exception(failure_);
    if (!is_finished()) throw script_error(what_is_left());
  }
  void excuse() noexcept {
    const std::lock_guard lock(mutex_);
    excused_ = true;
  }

 private:
  enum class performed : std::uint8_t { all, part, not_its_turn, pausing };

  [[nodiscard]] bool is_finished() const noexcept { return at_ == steps_.size(); }
  [[nodiscard]] std::string what_is_left() const {
    return fmt::format("the script of stream_mock \"{}\" was left at step {} of {}: it expects {}",
                       name_, at_ + 1, steps_.size(), describe(steps_[at_], offset_));
  }

  // Everything below is called under the lock.

  performed perform(mock_transfer& op) noexcept {
    if (failure_) {
      op.failure_ = failure_;
      return performed::all;
    }
    const bool reads = op.way_ == mock_transfer::way::read;
    if (reads ? op.into_.empty() : op.from_.empty()) return performed::all;
    if (reads && (no_more_reads_ || is_finished())) {
      if (op.amount_ == mock_transfer::amount::all)
        op.error_ = make_error_code(error::unexpected_eof);
      return performed::all;
    }
    if (!reads && no_more_writes_) {
      op.error_ = std::make_error_code(std::errc::broken_pipe);
      return performed::all;
    }
    if (is_finished())
      return fail(op, fmt::format("an unexpected write of {} on stream_mock \"{}\": its script, "
                                  "of {} steps, is at its end",
                                  quoted(op.from_), name_, steps_.size()));
    const step& present = steps_[at_];
    switch (present.kind) {
      case what::wait:
        if (!pause_ends_) pause_ends_ = deadline_after(present.time);
        if (now() < *pause_ends_) return performed::pausing;
        pause_ends_.reset();
        next_step();
        return performed::part;
      case what::read:
        return reads ? give(op, present) : performed::not_its_turn;
      case what::write:
        return reads ? performed::not_its_turn : check(op, present);
      case what::read_error:
      case what::write_error:
        if (reads != (present.kind == what::read_error)) return performed::not_its_turn;
        op.error_ = present.error;
        next_step();
        return performed::all;
    }
    return performed::all;
  }

  performed give(mock_transfer& op, const step& present) noexcept {
    const std::size_t count = std::min(op.into_.size(), present.bytes.size() - offset_);
    if (count != 0) std::memcpy(op.into_.data(), present.bytes.data() + offset_, count);
    op.into_ = op.into_.skip(count);
    return moved(op, present, count, op.into_.empty());
  }

  performed check(mock_transfer& op, const step& present) noexcept {
    const std::size_t count = std::min(op.from_.size(), present.bytes.size() - offset_);
    if (!std::equal(op.from_.begin(), op.from_.begin() + count,
                    present.bytes.begin() + static_cast<long>(offset_)))
      return fail(op, fmt::format("a write of {} on stream_mock \"{}\" does not match step {} of "
                                  "{}, which expects {}",
                                  quoted(op.from_), name_, at_ + 1, steps_.size(),
                                  describe(present, offset_)));
    op.from_ = op.from_.skip(count);
    return moved(op, present, count, op.from_.empty());
  }

  performed moved(mock_transfer& op, const step& present, std::size_t count, bool is_all) noexcept {
    op.count_ += count;
    offset_ += count;
    if (offset_ == present.bytes.size()) next_step();
    const bool is_enough = is_all || (op.amount_ == mock_transfer::amount::some && count != 0);
    return is_enough ? performed::all : performed::part;
  }

  performed fail(mock_transfer& op, const std::string& message) noexcept {
    failure_ = std::make_exception_ptr(script_error(message));
    op.failure_ = failure_;
    wake_waiting();
    return performed::all;
  }

  void next_step() noexcept {
    ++at_;
    offset_ = 0;
    wake_waiting();
  }

  // Completing only queues a task: nothing runs under the lock.
  void wake_waiting() noexcept {
    waiting_.consume([](mock_transfer& op) { complete(op); });
  }

  const std::string name_;
  const std::vector<step> steps_;
  const int exceptions_at_start_;
  mutable std::mutex mutex_;
  std::size_t at_ = 0;
  std::size_t offset_ = 0;  ///< in the bytes of that step
  std::optional<std::chrono::steady_clock::time_point> pause_ends_;
  intrusive_list<mock_transfer, mock_tag> waiting_;
  std::exception_ptr failure_;
  bool no_more_reads_ = false;
  bool no_more_writes_ = false;
  bool excused_ = false;  ///< somebody knows that the script may not be performed to its end
};

attempt mock_transfer::transfer() noexcept { return state_->transfer(*this); }
bool mock_transfer::cancel() noexcept { return state_->cancel(*this); }
bool mock_transfer::withdraw() noexcept {
  state_->excuse();  // as for one that is cancelled
  return true;
}

}  // namespace detail

namespace testing {

stream_mock::stream_mock(const stream_script& script)
    : state_(std::make_shared<detail::mock_state>(script)) {}
stream_mock& stream_mock::operator=(stream_mock&& other) noexcept = default;
stream_mock::~stream_mock() = default;

result<void> stream_mock::shutdown(net::shutdown_how how) const noexcept {
  state_->shutdown(how);
  return {};
}

stream_watch stream_mock::watch() const {
  state_->excuse();
  return stream_watch(state_);
}

bool stream_watch::is_done() const { return state_->is_done(); }
void stream_watch::verify() const { state_->verify(); }

}  // namespace testing
}  // namespace kioto
