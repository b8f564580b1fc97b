// SPDX-License-Identifier: MIT
#pragma once

// What a branch of a select can wait for; see select_harness.hpp.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <kioto/kioto.hpp>
#include <kioto/streams.hpp>

#include "gate.hpp"
#include "select_harness.hpp"

namespace kioto_test::kinds {

using namespace std::chrono_literals;

inline constexpr int the_value = 7;
inline got is_the_value(int v) { return v == the_value ? got::unit : got::nonsense; }

/// The result of an operation that is expected to complete soon; empty if it does not.
template <class A>
kioto::task<std::optional<kioto::detail::stored<kioto::detail::await_result<A>>>> soon(
    A operation) {
  auto both = co_await kioto::select(kioto::biased, std::move(operation), kioto::sleep(20s));
  co_return std::move(both.template get<0>());
}

// ---- channels ----------------------------------------------------------------------------------

struct mpsc_recv : any_kind {
  static constexpr const char* name = "mpsc recv";
  explicit mpsc_recv(bool) {}
  auto branch() { return ends.second.recv(); }
  static got look(std::optional<int> v) { return v ? is_the_value(*v) : got::nonsense; }
  void happen() override { sent = ends.first.try_send(the_value).has_value(); }
  kioto::task<bool> settle(got received) override {
    const auto left = ends.second.try_recv();
    co_return sent&& left.has_value() == (received == got::nothing);
  }

  std::pair<kioto::sync::mpsc::sender<int>, kioto::sync::mpsc::receiver<int>> ends =
      kioto::sync::mpsc::channel<int>(2);
  bool sent = false;
};

struct mpsc_recv_many : any_kind {
  static constexpr const char* name = "mpsc recv_many";
  explicit mpsc_recv_many(bool) {}
  auto branch() { return ends.second.recv_many(values, 4); }
  static got look(std::size_t n) { return n == 1 ? got::unit : got::nonsense; }
  void happen() override { sent = ends.first.send(std::make_unique<int>(the_value)).has_value(); }
  kioto::task<bool> settle(got received) override {
    if (received == got::unit)
      co_return sent&& values.size() == 1 && *values[0] == the_value&& ends.second.is_empty();
    co_return sent&& values.empty() && ends.second.len() == 1;
  }

  std::vector<std::unique_ptr<int>> values;
  std::pair<kioto::sync::mpsc::unbounded_sender<std::unique_ptr<int>>,
            kioto::sync::mpsc::unbounded_receiver<std::unique_ptr<int>>>
      ends = kioto::sync::mpsc::unbounded_channel<std::unique_ptr<int>>();
  bool sent = false;
};

struct full_channel : any_kind {
  full_channel() { ready = ends.first.try_send(1).has_value(); }
  void happen() override { ready = ready && ends.second.try_recv().has_value(); }

  std::pair<kioto::sync::mpsc::sender<int>, kioto::sync::mpsc::receiver<int>> ends =
      kioto::sync::mpsc::channel<int>(1);
  bool ready = false;
};
struct mpsc_send : full_channel {
  static constexpr const char* name = "mpsc send";
  explicit mpsc_send(bool) {}
  auto branch() { return ends.first.send(the_value); }
  static got look(const kioto::sync::send_result<int>& r) {
    return r.has_value() ? got::unit : got::nonsense;
  }
  kioto::task<bool> settle(got received) override {
    auto in_it = ends.second.try_recv();
    if (in_it.has_value() && *in_it != the_value) co_return false;
    co_return ready&& in_it.has_value() == (received == got::unit) && ends.first.capacity() == 1;
  }
};
struct mpsc_reserve : full_channel {
  static constexpr const char* name = "mpsc reserve";
  explicit mpsc_reserve(bool) {}
  auto branch() { return ends.first.reserve(); }
  static got look(const kioto::result<kioto::sync::mpsc::permit<int>>& r) {
    return r.has_value() && r->count() == 1 ? got::unit : got::nonsense;
  }
  // A permit that was received was dropped.
  kioto::task<bool> settle(got) override { co_return ready&& ends.first.capacity() == 1; }
};
struct mpsc_closed : any_kind {
  static constexpr const char* name = "mpsc closed";
  static constexpr bool is_level = true;
  explicit mpsc_closed(bool) {}
  auto branch() { return ends.first.closed(); }
  static got look(std::monostate) { return got::unit; }
  void happen() override { ends.second.close(); }
  kioto::task<bool> settle(got) override { co_return ends.first.is_closed(); }

  std::pair<kioto::sync::mpsc::sender<int>, kioto::sync::mpsc::receiver<int>> ends =
      kioto::sync::mpsc::channel<int>(1);
};

struct oneshot_recv : any_kind {
  static constexpr const char* name = "oneshot recv";
  explicit oneshot_recv(bool) {}
  auto branch() { return ends.second.recv(); }
  static got look(const kioto::result<std::unique_ptr<int>>& v) {
    return v && *v ? is_the_value(**v) : got::nonsense;
  }
  void happen() override { sent = ends.first.send(std::make_unique<int>(the_value)).has_value(); }
  kioto::task<bool> settle(got received) override {
    const auto left = ends.second.try_recv();
    co_return sent&& left.has_value() == (received == got::nothing);
  }

  std::pair<kioto::sync::oneshot::sender<std::unique_ptr<int>>,
            kioto::sync::oneshot::receiver<std::unique_ptr<int>>>
      ends = kioto::sync::oneshot::channel<std::unique_ptr<int>>();
  bool sent = false;
};

struct broadcast_recv : any_kind {
  static constexpr const char* name = "broadcast recv";
  explicit broadcast_recv(bool) {}
  auto branch() { return ends.second.recv(); }
  static got look(const kioto::sync::broadcast::recv_result<int>& v) {
    return v ? is_the_value(*v) : got::nonsense;
  }
  void happen() override { sent = ends.first.send(the_value).receivers() == 1; }
  kioto::task<bool> settle(got received) override {
    const auto left = ends.second.try_recv();
    co_return sent&& left.has_value() == (received == got::nothing);
  }

  std::pair<kioto::sync::broadcast::sender<int>, kioto::sync::broadcast::receiver<int>> ends =
      kioto::sync::broadcast::channel<int>(2);
  bool sent = false;
};

struct watch_changed : any_kind {
  static constexpr const char* name = "watch changed";
  explicit watch_changed(bool) {}
  auto branch() { return ends.second.changed(); }
  static got look(const kioto::result<void>& r) { return r ? got::unit : got::nonsense; }
  void happen() override { sent = ends.first.send(the_value).has_value(); }
  kioto::task<bool> settle(got received) override {
    const auto left = ends.second.has_changed();
    co_return sent&& left.has_value() && *left == (received == got::nothing);
  }

  std::pair<kioto::sync::watch::sender<int>, kioto::sync::watch::receiver<int>> ends =
      kioto::sync::watch::channel<int>(0);
  bool sent = false;
};
struct watch_wait_for : any_kind {
  static constexpr const char* name = "watch wait_for";
  static constexpr bool is_level = true;
  explicit watch_wait_for(bool) {}
  auto branch() {
    return ends.second.wait_for([](const int& v) { return v == the_value; });
  }
  static got look(const kioto::result<kioto::sync::watch::snapshot<int>>& r) {
    return r ? is_the_value(**r) : got::nonsense;
  }
  void happen() override { sent = ends.first.send(the_value).has_value(); }
  kioto::task<bool> settle(got received) override {
    const auto left = ends.second.has_changed();
    if (!sent || !left) co_return false;
    co_return *left ==
        (received == got::nothing);  // a wait that was withdrawn has not looked at it
  }

  std::pair<kioto::sync::watch::sender<int>, kioto::sync::watch::receiver<int>> ends =
      kioto::sync::watch::channel<int>(0);
  bool sent = false;
};

// ---- locks and the like ------------------------------------------------------------------------

struct semaphore_acquire : any_kind {
  static constexpr const char* name = "semaphore acquire";
  explicit semaphore_acquire(bool) { held = *permits.try_acquire_many(2); }
  auto branch() { return permits.acquire_many(2); }
  static got look(const kioto::result<kioto::sync::semaphore_permit>& r) {
    return r && r->count() == 2 ? got::unit : got::nonsense;
  }
  void happen() override {
    auto half = held.split(1);  // gathered in two steps
    half->release();
    held.release();
  }
  kioto::task<bool> settle(got) override {
    co_return permits.available_permits() == 2 && permits.try_acquire_many(2).has_value();
  }

  kioto::sync::semaphore permits{2};
  kioto::sync::semaphore_permit held;
};
struct mutex_lock : any_kind {
  static constexpr const char* name = "mutex lock";
  explicit mutex_lock(bool) { held = m.try_lock(); }
  auto branch() { return m.lock(); }
  static got look(const kioto::sync::mutex_guard<int>& g) {
    return g ? is_the_value(*g) : got::nonsense;
  }
  void happen() override { held.unlock(); }
  kioto::task<bool> settle(got) override { co_return static_cast<bool>(m.try_lock()); }

  kioto::sync::mutex<int> m{the_value};
  kioto::sync::mutex_guard<int> held;
};
struct rw_lock_read : any_kind {
  static constexpr const char* name = "rw_lock read";
  explicit rw_lock_read(bool) { held = m.try_write(); }
  auto branch() { return m.read(); }
  static got look(const kioto::sync::read_guard<int>& g) {
    return g ? is_the_value(*g) : got::nonsense;
  }
  void happen() override { held.unlock(); }
  kioto::task<bool> settle(got) override { co_return static_cast<bool>(m.try_write()); }

  kioto::sync::rw_lock<int> m{the_value};
  kioto::sync::write_guard<int> held;
};
struct rw_lock_write : any_kind {
  static constexpr const char* name = "rw_lock write";
  explicit rw_lock_write(bool) { held = m.try_read(); }
  auto branch() { return m.write(); }
  static got look(const kioto::sync::write_guard<int>& g) {
    return g ? is_the_value(*g) : got::nonsense;
  }
  void happen() override { held.unlock(); }
  kioto::task<bool> settle(got) override { co_return static_cast<bool>(m.try_write()); }

  kioto::sync::rw_lock<int> m{the_value};
  kioto::sync::read_guard<int> held;
};
struct notify_one : any_kind {
  static constexpr const char* name = "notified";
  explicit notify_one(bool) { waiter.emplace(n.notified()); }
  auto& branch() { return *waiter; }
  static got look(std::monostate) { return got::unit; }
  void happen() override { n.notify_one(); }
  kioto::task<bool> settle(got received) override {
    waiter.reset();  // a notification that was not seen goes to the next waiter
    auto again = n.notified();
    co_return again.enable() == (received == got::nothing);
  }

  kioto::sync::notify n;
  std::optional<kioto::sync::notified> waiter;
};
// When the group is complete the others go on, so this cannot be withdrawn.
struct barrier_wait : any_kind {
  static constexpr bool is_immediate = false;
  static constexpr const char* name = "barrier wait";
  static constexpr bool is_strict = false;
  explicit barrier_wait(bool) {}
  auto branch() { return phase.wait(); }
  static got look(const kioto::sync::barrier_wait_result&) { return got::unit; }
  void happen() override {
    other =
        home.spawn([](kioto::sync::barrier* b) -> kioto::task<> { co_await b->wait(); }, &phase);
  }
  kioto::task<bool> settle(got received) override {
    if (received == got::nothing) {
      const auto passed = co_await soon(phase.wait());
      if (!passed) co_return false;
    }
    auto ended = co_await std::move(other);
    co_return ended.has_value();
  }

  kioto::handle home = kioto::handle::current();
  kioto::sync::barrier phase{2};
  kioto::join_handle<> other;
};
struct token_cancelled : any_kind {
  static constexpr const char* name = "token cancelled";
  static constexpr bool is_level = true;
  explicit token_cancelled(bool) {}
  auto branch() { return token.cancelled(); }
  static got look(std::monostate) { return got::unit; }
  void happen() override { token.cancel(); }
  kioto::task<bool> settle(got) override { co_return token.is_cancelled(); }

  kioto::cancellation_token token;
};
struct set_once_wait : any_kind {
  static constexpr const char* name = "set_once wait";
  static constexpr bool is_level = true;
  explicit set_once_wait(bool) {}
  auto branch() { return cell.wait(); }
  static got look(const int& v) { return is_the_value(v); }
  void happen() override { set = cell.set(the_value); }
  kioto::task<bool> settle(got) override { co_return set && *cell.get() == the_value; }

  kioto::sync::set_once<int> cell;
  bool set = false;
};

// ---- tasks -------------------------------------------------------------------------------------

inline kioto::task<std::unique_ptr<int>> value_behind(std::shared_ptr<gate> g) {
  co_await g->passed();
  co_return std::make_unique<int>(the_value);
}
using joined = kioto::join_result<std::unique_ptr<int>>;
inline got look_at_joined(joined&& r) { return r.has_value() ? is_the_value(**r) : got::nonsense; }

struct join : any_kind {
  static constexpr bool is_immediate = false;
  static constexpr const char* name = "join_handle";
  explicit join(bool) {}
  auto& branch() { return handle; }
  static got look(joined r) { return look_at_joined(std::move(r)); }
  void happen() override { g->open(); }
  kioto::task<bool> settle(got received) override {
    if (received == got::unit) co_return true;
    auto left = co_await std::move(handle);
    co_return look_at_joined(std::move(left)) == got::unit;
  }

  std::shared_ptr<gate> g = std::make_shared<gate>();
  kioto::join_handle<std::unique_ptr<int>> handle = kioto::spawn(value_behind(g));
};
struct join_set_next : any_kind {
  static constexpr bool is_immediate = false;
  static constexpr const char* name = "join_next";
  explicit join_set_next(bool) { set.spawn(value_behind(g)); }
  auto branch() { return set.join_next(); }
  static got look(std::optional<joined> r) {
    return r ? look_at_joined(std::move(*r)) : got::nonsense;
  }
  void happen() override { g->open(); }
  kioto::task<bool> settle(got received) override {
    if (received == got::unit) co_return set.empty();
    auto left = co_await set.join_next();
    co_return left&& look_at_joined(std::move(*left)) == got::unit&& set.empty();
  }

  std::shared_ptr<gate> g = std::make_shared<gate>();
  kioto::join_set<std::unique_ptr<int>> set;
};
struct blocking_join : any_kind {
  static constexpr bool is_immediate = false;
  static constexpr const char* name = "spawn_blocking";
  explicit blocking_join(bool) {
    handle = kioto::spawn_blocking([f = flag] {
      f->wait(false);
      return std::make_unique<int>(the_value);
    });
  }
  auto& branch() { return handle; }
  static got look(joined r) { return look_at_joined(std::move(r)); }
  void happen() override {
    const auto f = flag;
    f->store(true);
    f->notify_all();
  }
  kioto::task<bool> settle(got received) override {
    if (received == got::unit) co_return true;
    auto left = co_await std::move(handle);
    co_return look_at_joined(std::move(left)) == got::unit;
  }

  std::shared_ptr<std::atomic<bool>> flag = std::make_shared<std::atomic<bool>>(false);
  kioto::join_handle<std::unique_ptr<int>> handle;
};

// ---- time --------------------------------------------------------------------------------------

/// Now or a little later, at different places within the millisecond of the timers.
inline std::chrono::steady_clock::time_point a_moment(bool comes) {
  static std::atomic<unsigned> turn{0};
  const auto now = kioto::now();
  if (!comes) return now + 1h;
  return now + std::chrono::microseconds((turn.fetch_add(1) % 8) * 150);
}

struct sleeping : any_kind {
  static constexpr const char* name = "sleep";
  static constexpr bool is_spontaneous = true;
  static constexpr bool is_level = true;
  explicit sleeping(bool comes) : at(a_moment(comes)) {}
  auto branch() { return kioto::sleep_until(at); }
  static got look(std::monostate) { return got::unit; }
  void happen() override {}
  kioto::task<bool> settle(got) override { co_return true; }

  std::chrono::steady_clock::time_point at;
};
struct ticking : any_kind {
  static constexpr const char* name = "interval tick";
  static constexpr bool is_spontaneous = true;
  explicit ticking(bool comes) : at(a_moment(comes)), every(at, 1h) {}
  auto branch() { return every.tick(); }
  static got look(std::chrono::steady_clock::time_point) { return got::unit; }
  void happen() override {}
  kioto::task<bool> settle(got received) override {
    co_return every.next() == (received == got::unit ? at + 1h : at);
  }

  std::chrono::steady_clock::time_point at;
  kioto::interval every;
};
struct delayed : any_kind {
  static constexpr const char* name = "delay_queue next";
  static constexpr bool is_spontaneous = true;
  explicit delayed(bool comes) : key(queue.insert_at(the_value, a_moment(comes))) {}
  auto branch() { return queue.next(); }
  static got look(const std::optional<kioto::delay_entry<int>>& e) {
    return e ? is_the_value(e->value) : got::nonsense;
  }
  void happen() override {}
  kioto::task<bool> settle(got received) override {
    co_return queue.try_remove(key).has_value() == (received == got::nothing);
  }

  kioto::delay_queue<int> queue;
  kioto::delay_key key;
};

// ---- sockets -----------------------------------------------------------------------------------

/// Blocking calls of the system on the loopback interface.
class native_listener {
 public:
  native_listener() : fd(::socket(AF_INET, SOCK_STREAM, 0)) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    if (fd < 0 || ::bind(fd, plain, size) != 0 || ::listen(fd, 16) != 0 ||
        ::getsockname(fd, plain, &size) != 0)
      throw std::runtime_error("no listener");
  }
  native_listener(const native_listener&) = delete;
  native_listener& operator=(const native_listener&) = delete;
  ~native_listener() { ::close(fd); }

  [[nodiscard]] int connect() const {
    const int s = ::socket(AF_INET, SOCK_STREAM, 0);
    if (s < 0 || ::connect(s, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("no connection");
    // Closed with a reset: what the tests leave in TIME_WAIT would use up the ports.
    const linger at_once{1, 0};
    ::setsockopt(s, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    return s;
  }

  int fd;
  sockaddr_in address{};
};
// From the start: the tests count descriptors.
inline const native_listener the_listener;

class native_socket {
 public:
  explicit native_socket(int fd) noexcept : fd_(fd) {}
  native_socket(const native_socket&) = delete;
  native_socket& operator=(const native_socket&) = delete;
  ~native_socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const noexcept { return fd_; }
  void set(int fd) noexcept { fd_ = fd; }

 private:
  int fd_;
};

struct connected : any_kind {
  connected() : peer(the_listener.connect()) {
    const int accepted = ::accept(the_listener.fd, nullptr, nullptr);
    if (accepted < 0) throw std::runtime_error("no connection");
    const linger at_once{1, 0};
    ::setsockopt(accepted, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    stream.emplace(kioto::net::tcp_stream::from_native(accepted).value());
  }

  native_socket peer;
  std::optional<kioto::net::tcp_stream> stream;
};
struct socket_read : connected {
  static constexpr const char* name = "read";
  explicit socket_read(bool) {}
  auto branch() { return stream->read(buffer); }
  static got look(const kioto::result<std::size_t>& n) {
    return n && *n == 1 ? got::unit : got::nonsense;
  }
  void happen() override { sent = ::send(peer.get(), "x", 1, 0) == 1; }
  kioto::task<bool> settle(got received) override {
    if (!sent) co_return false;
    if (received == got::unit) co_return buffer[0] == 'x';
    if (buffer[0] != 0) co_return false;
    const auto left = co_await soon(stream->read(buffer));
    co_return left && *left && **left == 1 && buffer[0] == 'x';
  }

  std::array<char, 8> buffer{};
  bool sent = false;
};
struct socket_readable : socket_read {
  static constexpr const char* name = "readable";
  static constexpr bool is_level = true;
  static constexpr bool is_immediate = false;
  explicit socket_readable(bool comes) : socket_read(comes) {
    static_cast<void>(stream->try_read(buffer));  // a new stream is taken to be ready until then
  }
  auto branch() { return stream->readable(); }
  static got look(const kioto::result<void>& r) { return r ? got::unit : got::nonsense; }
  kioto::task<bool> settle(got) override {
    const auto left = co_await soon(stream->read(buffer));
    co_return sent&& left && *left && **left == 1;
  }
};
struct socket_write : connected {
  static constexpr const char* name = "write";
  static constexpr bool is_immediate = false;  // its readiness comes with a turn of the driver
  explicit socket_write(bool) {
    // Not less: with room for less than a segment, the window would open after seconds.
    const int little = 200 * 1024;
    ::setsockopt(stream->native_handle(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    ::setsockopt(peer.get(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    const std::vector<char> block(1 << 16, 'f');
    for (;;) {
      const auto n = stream->try_write(block);
      if (!n) break;
      written += *n;
    }
  }
  auto branch() { return stream->write(kioto::const_buffer("x", 1)); }
  static got look(const kioto::result<std::size_t>& n) {
    return n && *n == 1 ? got::unit : got::nonsense;
  }
  // Reads all that was written before.
  void happen() override {
    while (seen < written) take_some(0);
  }
  kioto::task<bool> settle(got received) override {
    if (xs != 0 && received != got::unit) co_return false;
    if (received == got::unit) {
      for (int i = 0; i != 20000 && xs == 0; ++i) {
        take_some(MSG_DONTWAIT);
        if (xs == 0) co_await kioto::sleep(100us);
      }
      if (xs != 1) co_return false;
    }
    if (const auto end = stream->shutdown(kioto::net::shutdown_how::write); !end) co_return false;
    while (take_some(0) > 0) {
    }
    co_return xs == (received == got::unit ? 1U : 0U) && seen == written + xs;
  }
  ssize_t take_some(int flags) {
    std::vector<char> some(1 << 16);
    const ssize_t n = ::recv(peer.get(), some.data(), some.size(), flags);
    if (n > 0) xs += static_cast<std::size_t>(std::count(some.begin(), some.begin() + n, 'x'));
    if (n > 0) seen += static_cast<std::size_t>(n);
    return n;
  }

  std::size_t written = 0;
  std::size_t seen = 0;
  std::size_t xs = 0;
};
struct socket_accept : any_kind {
  static constexpr bool is_immediate = false;
  static constexpr const char* name = "accept";
  explicit socket_accept(bool) {}
  auto branch() { return listener.accept(); }
  static got look(const kioto::result<kioto::net::accepted_connection>& r) {
    return r ? got::unit : got::nonsense;
  }
  void happen() override { client.set(native.connect()); }
  kioto::task<bool> settle(got received) override {
    if (received == got::unit) co_return !listener.try_accept().has_value();
    const auto left = co_await soon(listener.accept());
    co_return left && left->has_value();
  }

  native_listener native;
  kioto::net::tcp_listener listener =
      kioto::net::tcp_listener::from_native(::dup(native.fd)).value();
  native_socket client{-1};
};
// A task, and there is nothing to wait for on the loopback interface; a connection that was made
// and not received is closed.
struct socket_connect : any_kind {
  static constexpr const char* name = "connect";
  static constexpr bool is_strict = false;
  static constexpr bool is_spontaneous = true;
  static constexpr bool is_level = true;
  explicit socket_connect(bool) {}
  auto branch() {
    return kioto::net::tcp_stream::connect(kioto::net::socket_address(
        kioto::net::ip_address_v4::loopback(), ntohs(native.address.sin_port)));
  }
  static got look(const kioto::result<kioto::net::tcp_stream>& r) {
    if (r) static_cast<void>(r->set_linger(std::chrono::seconds(0)));
    return r ? got::unit : got::nonsense;
  }
  void happen() override {}
  kioto::task<bool> settle(got) override { co_return true; }

  native_listener native;
};

// ---- streams -----------------------------------------------------------------------------------

inline kioto::async_generator<int> elements_of(kioto::sync::mpsc::receiver<int>& rx) {
  for (;;) {
    auto v = co_await rx.recv();
    if (!v) co_return;
    co_yield int(*v);
  }
}
template <class Stream>
struct stream_next : any_kind {
  auto branch() { return stream->next(); }
  static got look(std::optional<int> v) { return v ? is_the_value(*v) : got::nonsense; }
  void happen() override { sent = ends.first.try_send(the_value).has_value(); }
  kioto::task<bool> settle(got received) override {
    if (!sent) co_return false;
    if (received == got::unit) co_return ends.second.is_empty();
    const auto left = co_await soon(stream->next());
    co_return left && *left == the_value;
  }

  std::pair<kioto::sync::mpsc::sender<int>, kioto::sync::mpsc::receiver<int>> ends =
      kioto::sync::mpsc::channel<int>(2);
  std::pair<kioto::sync::mpsc::sender<int>, kioto::sync::mpsc::receiver<int>> others =
      kioto::sync::mpsc::channel<int>(2);
  bool sent = false;
  std::optional<Stream> stream;
};
struct generator_next : stream_next<kioto::async_generator<int>> {
  static constexpr const char* name = "generator next";
  explicit generator_next(bool) { stream.emplace(elements_of(ends.second)); }
};
inline auto merged(kioto::sync::mpsc::receiver<int>& a, kioto::sync::mpsc::receiver<int>& b) {
  return kioto::streams::merge(kioto::streams::stream_of(a), elements_of(b));
}
struct merge_next
    : stream_next<decltype(merged(std::declval<kioto::sync::mpsc::receiver<int>&>(),
                                  std::declval<kioto::sync::mpsc::receiver<int>&>()))> {
  static constexpr const char* name = "merge next";
  explicit merge_next(bool) { stream.emplace(merged(ends.second, others.second)); }
};

// ---- around others -----------------------------------------------------------------------------

/// A kind that wraps another one.
template <class K>
struct around : any_kind {
  explicit around(bool comes) : inner(comes) {}
  void happen() override { inner.happen(); }
  kioto::task<bool> settle(got received) override { return inner.settle(received); }
  static constexpr bool is_strict = K::is_strict;
  static constexpr bool is_spontaneous = K::is_spontaneous;
  static constexpr bool is_level = K::is_level;
  static constexpr bool is_immediate = K::is_immediate;
  static constexpr bool holds_up = K::holds_up;

  K inner;
};
template <class K>
using value_of = kioto::detail::await_result<decltype(std::declval<K&>().branch())>;

/// In a task that ends with what it received.
template <class K>
struct in_task : around<K> {
  static inline const std::string full_name = std::string("a task with ") + K::name;
  static inline const char* const name = full_name.c_str();
  using around<K>::around;
  auto branch() { return run(this->inner); }
  template <class V>
  static got look(V&& v) {
    return K::look(std::forward<V>(v));
  }
  static kioto::task<value_of<K>> run(K& k) {
    if constexpr (std::is_void_v<value_of<K>>) {
      [[maybe_unused]] int keeps_the_frame_sound = 0;
      co_await k.branch();
    } else {
      co_return co_await k.branch();
    }
  }
};
/// In a timeout that does not come.
template <class K>
struct in_timeout : around<K> {
  static inline const std::string full_name = std::string("timeout around ") + K::name;
  static inline const char* const name = full_name.c_str();
  using around<K>::around;
  auto branch() { return kioto::timeout(1h, this->inner.branch()); }
  template <class V>
  static got look(V&& v) {
    return K::look(std::forward<V>(v));
  }
};
/// In a select within the select.
template <class K>
struct in_select : around<K> {
  static inline const std::string full_name = std::string("select around ") + K::name;
  static inline const char* const name = full_name.c_str();
  using around<K>::around;
  auto branch() { return kioto::select(kioto::sleep(1h), this->inner.branch()); }
  template <class Hit>
  static got look(Hit&& hit) {
    if (hit.index() != 1) return got::nonsense;
    return K::look(std::move(*hit.template get<1>()));
  }
};
/// Run until a token is cancelled, which does not happen.
template <class K>
struct in_token : around<K> {
  static inline const std::string full_name = std::string("run_until_cancelled ") + K::name;
  static inline const char* const name = full_name.c_str();
  using around<K>::around;
  auto branch() { return token.run_until_cancelled(this->inner.branch()); }
  template <class V>
  static got look(V&& v) {
    return v ? K::look(std::move(*v)) : got::nonsense;
  }

  kioto::cancellation_token token;
};
/// Turns a stop into a value, which says that nothing was received.
template <class K>
struct in_as_result : around<K> {
  static inline const std::string full_name = std::string("as_result around ") + K::name;
  static inline const char* const name = full_name.c_str();
  static constexpr bool is_strict = false;
  using around<K>::around;
  auto branch() { return kioto::as_result(this->inner.branch()); }
  template <class V>
  static got look(V&& v) {
    if (!v) return v.error() == std::errc::operation_canceled ? got::nothing : got::nonsense;
    return K::look(std::move(*v));
  }
};
/// In a shield, so it cannot be withdrawn.
template <class K>
struct in_shield : around<K> {
  static inline const std::string full_name = std::string("shield around ") + K::name;
  static inline const char* const name = full_name.c_str();
  static constexpr bool is_strict = false;
  static constexpr bool holds_up = true;
  using around<K>::around;
  auto branch() { return kioto::shield(this->inner.branch()); }
  template <class V>
  static got look(V&& v) {
    return K::look(std::forward<V>(v));
  }
};

// ---- together ----------------------------------------------------------------------------------

using channels = block<mpsc_recv, mpsc_recv_many, mpsc_send, mpsc_reserve, mpsc_closed,
                       oneshot_recv, broadcast_recv, watch_changed>;
using locks = block<watch_wait_for, semaphore_acquire, mutex_lock, rw_lock_read, rw_lock_write,
                    notify_one, barrier_wait, token_cancelled>;
using tasks_and_timers = block<join, join_set_next, blocking_join, sleeping, ticking, delayed,
                               generator_next, merge_next>;
using sockets = block<socket_read, socket_readable, socket_write, socket_accept, socket_connect,
                      set_once_wait, in_task<mpsc_recv>, in_timeout<mpsc_recv>>;

}  // namespace kioto_test::kinds
