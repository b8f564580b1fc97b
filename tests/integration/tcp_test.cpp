// SPDX-License-Identifier: MIT
#include <netdb.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/flag.hpp"
#include "support/runtimes.hpp"
#include "support/tcp.hpp"

using namespace kioto;
using namespace kioto_test;
using namespace std::chrono_literals;

TEST_CASE("bytes go both ways, and the end of the stream is zero") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    const auto sent = co_await p.a.write_all("hello");
    CHECK(sent.has_value());
    std::array<char, 5> buffer{};
    const auto peeked = co_await p.b.peek(buffer);
    CHECK((peeked.has_value() && *peeked >= 1));
    const auto exact = co_await p.b.read_exact(buffer);
    CHECK(exact.has_value());
    CHECK(std::string(buffer.data(), 5) == "hello");
    const std::array<const_buffer, 3> parts{const_buffer("ab"), const_buffer(""),
                                            const_buffer("cde")};
    const auto vectored = co_await p.b.write_vectored(parts);
    CHECK(vectored.value() == 5);
    std::array<char, 2> first{};
    std::array<char, 8> second{};
    const std::array<mutable_buffer, 2> into{mutable_buffer(first), mutable_buffer(second)};
    const auto got = co_await p.a.read_vectored(into);
    CHECK(got.value() == 5);
    CHECK(second[2] == 'e');
    CHECK(p.a.shutdown(net::shutdown_how::write).has_value());
    const auto end = co_await p.b.read(buffer);
    CHECK(end.value() == 0);
    const auto early = co_await p.b.read_exact(buffer);
    CHECK((!early && early.error() == error::unexpected_eof));
  });
}

TEST_CASE("bytes and the end that come together are read one after the other, the end for ever") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    // Nothing is known to be there when the bytes and the end come.
    std::array<char, 8> buffer{};
    const auto none = p.b.try_read(buffer);
    CHECK((!none && none.error() == errc::operation_would_block));
    const auto sent = p.a.try_write("ab");
    CHECK(sent.value() == 2);
    CHECK(p.a.shutdown(net::shutdown_how::write).has_value());
    std::size_t got = 0;
    while (got != 2) {
      const auto n = co_await p.b.read(buffer);  // a short one
      CHECK((n.has_value() && *n != 0));
      if (!n || *n == 0) co_return;
      got += *n;
    }
    for (int i = 0; i != 3; ++i) {
      const auto ready = co_await p.b.readable();
      CHECK(ready.has_value());
      const auto end = co_await p.b.read(buffer);
      CHECK(end.value() == 0);
    }
  });
}

TEST_CASE("zero-length buffers complete at once") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    const auto r = co_await p.a.read(mutable_buffer());
    CHECK(r.value() == 0);
    const auto w = co_await p.a.write(const_buffer());
    CHECK(w.value() == 0);
    const auto e = co_await p.a.read_exact(mutable_buffer());
    CHECK(e.has_value());
    const auto a = co_await p.a.write_all(const_buffer());
    CHECK(a.has_value());
    const auto k = co_await p.a.peek(mutable_buffer());
    CHECK(k.value() == 0);
    CHECK(p.a.try_read(mutable_buffer()).value() == 0);
  });
}

TEST_CASE("a megabyte arrives whole while the other side reads in small pieces") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    const auto writer = [](net::tcp_stream s) -> task<bool> {
      std::vector<char> data(1 << 20);
      for (std::size_t i = 0; i != data.size(); ++i) data[i] = static_cast<char>(i * 7);
      const auto done = co_await s.write_all(data);
      co_return done.has_value();
    };
    auto h = spawn(writer(std::move(p.a)));
    std::array<char, 1000> piece{};
    std::size_t total = 0;
    bool right = true;
    for (;;) {
      const auto n = co_await p.b.read(piece);
      if (!n || *n == 0) break;
      for (std::size_t i = 0; i != *n; ++i)
        right = right && piece[i] == static_cast<char>((total + i) * 7);
      total += *n;
    }
    CHECK(total == 1 << 20);
    CHECK(right);
    auto wrote = co_await std::move(h);
    CHECK(std::move(wrote).value());
  });
}

TEST_CASE("acceptance 3: the driver is polled under load") {
  on_every_scheduler([]() -> task<> {
    auto stop = std::make_shared<std::atomic<bool>>(false);
    std::vector<join_handle<>> busy;
    const auto spin = [](std::shared_ptr<std::atomic<bool>> end) -> task<> {
      while (!end->load()) co_await yield_now();
    };
    for (int i = 0; i != 100; ++i) busy.push_back(spawn(spin(stop)));
    auto p = co_await connected_pair();
    const auto sent = co_await p.a.write_all("hello world");
    CHECK(sent.has_value());
    std::array<char, 11> buffer{};
    const auto got = co_await p.b.read_exact(buffer);
    CHECK(got.has_value());
    stop->store(true);
    for (auto& h : busy) {
      auto ended = co_await std::move(h);
      CHECK(ended.has_value());
    }
  });
}

TEST_CASE(
    "acceptance 22: a task that never blocks on its socket yields 16 times in 2048 operations") {
  const no_descriptor_leak leak;
  runtime rt = make_runtime(flavour::current_thread);
  rt.block_on([]() -> task<> {
    auto p = co_await connected_pair();
    auto done = std::make_shared<std::atomic<bool>>(false);
    const auto counter = [](std::shared_ptr<std::atomic<bool>> end) -> task<int> {
      int yields = 0;
      while (!end->load()) {
        ++yields;
        co_await yield_now();
      }
      co_return yields;
    };
    const auto worker = [](tcp_pair q, std::shared_ptr<std::atomic<bool>> end) -> task<> {
      std::array<char, 1> byte{};
      for (int i = 0; i != 1024; ++i) {
        const auto w = co_await q.a.write("x");
        const auto r = co_await q.b.read(byte);
        if (!w || !r) break;
      }
      end->store(true);
    };
    auto c = spawn(counter(done));
    co_await yield_now();  // the counter is first
    auto w = spawn(worker(std::move(p), done));
    auto ended = co_await std::move(w);
    CHECK(ended.has_value());
    auto counted = co_await std::move(c);
    const int yields = std::move(counted).value();
    CHECK(yields == 16);
  });
}

TEST_CASE("acceptance 26: ten tasks wait for one byte, and fifty for one connection") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    auto shared = std::make_shared<net::tcp_stream>(std::move(p.b));
    const auto wait = [](std::shared_ptr<net::tcp_stream> s) -> task<bool> {
      const auto r = co_await s->readable();
      co_return r.has_value();
    };
    std::vector<join_handle<bool>> waiting;
    for (int i = 0; i != 10; ++i) waiting.push_back(spawn(wait(shared)));
    co_await sleep(2ms);
    const auto sent = co_await p.a.write("x");
    CHECK(sent.has_value());
    for (auto& h : waiting) {
      auto r = co_await std::move(h);
      CHECK(std::move(r).value());
    }

    auto listener = std::make_shared<net::tcp_listener>(co_await listen_somewhere());
    const auto accept = [](std::shared_ptr<net::tcp_listener> l) -> task<bool> {
      auto r = co_await l->accept();
      co_return r.has_value();
    };
    std::vector<join_handle<bool>> accepting;
    for (int i = 0; i != 50; ++i) accepting.push_back(spawn(accept(listener)));
    co_await sleep(2ms);
    const auto address = listener->local_address().value();
    auto one = co_await net::tcp_stream::connect(address);
    CHECK(one.has_value());
    int finished = 0;
    for (int i = 0; i != 1000 && finished == 0; ++i) {
      co_await sleep(1ms);
      for (auto& h : accepting) finished += h.is_finished() ? 1 : 0;
    }
    CHECK(finished == 1);
    for (auto& h : accepting) h.abort();
    int accepted = 0;
    for (auto& h : accepting) {
      auto r = co_await std::move(h);
      if (!r.is_cancelled()) ++accepted;
    }
    CHECK(accepted == 1);
  });
}

TEST_CASE("acceptance 28: shutdown ends pending and later operations with one error") {
  for (const flavour f : {flavour::current_thread, flavour::four_workers}) {
    const no_descriptor_leak leak;
    std::error_code seen;
    std::error_code after;
    {
      auto rt = std::make_unique<runtime>(make_runtime(f));
      const flag begun = make_flag();
      const auto server = [](flag has_begun, std::error_code* first,
                             std::error_code* second) -> task<> {
        auto listener = co_await listen_somewhere();
        has_begun->store(true);  // nothing from here on can be stopped
        auto r = co_await shield(listener.accept());
        if (!r) *first = r.error();
        auto again = co_await shield(listener.accept());
        if (!again) *second = again.error();
      };
      rt->spawn(server(begun, &seen, &after));
      rt->block_on([](flag has_begun) -> task<> {
        while (!has_begun->load()) co_await yield_now();
        co_await sleep(2ms);
      }(begun));
    }
    CHECK(is_runtime_shutdown(seen));
    CHECK(is_runtime_shutdown(after));
  }
}

TEST_CASE("a stream that outlives its runtime fails instead of hanging") {
  const no_descriptor_leak leak;
  std::optional<net::tcp_stream> kept;
  {
    runtime rt = make_runtime(flavour::one_worker);
    rt.block_on([](std::optional<net::tcp_stream>* out) -> task<> {
      auto p = co_await connected_pair();
      out->emplace(std::move(p.a));
    }(&kept));
  }
  std::array<char, 1> byte{};
  const auto r = kept->try_read(byte);
  CHECK((!r && is_runtime_shutdown(r.error())));
  runtime other = make_runtime(flavour::current_thread);
  other.block_on([](net::tcp_stream* s) -> task<> {
    std::array<char, 1> one{};
    const auto got = co_await s->read(one);
    CHECK((!got && is_runtime_shutdown(got.error())));
  }(&*kept));
}

TEST_CASE("acceptance 29: aborting the task that owns a socket while the driver wakes it") {
  on_every_scheduler([]() -> task<> {
    for (int i = 0; i != 100; ++i) {
      auto p = co_await connected_pair();
      const auto owner = [](net::tcp_stream s) -> task<> {
        std::array<char, 1> byte{};
        const auto r = co_await s.read(byte);
        CHECK(r.has_value());
      };
      auto h = spawn(owner(std::move(p.b)));
      co_await yield_now();
      const auto w = co_await p.a.write("x");
      CHECK(w.has_value());
      h.abort();
      auto ended = co_await std::move(h);
      (void)ended;
    }
  });
}

TEST_CASE("acceptance 31: shutdown is idempotent, also after a reset by the peer") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    for (int i = 0; i != 3; ++i) CHECK(p.a.shutdown(net::shutdown_how::write).has_value());
    std::array<char, 1> byte{};
    const auto end = co_await p.b.read(byte);
    CHECK(end.value() == 0);
    auto q = co_await connected_pair();
    CHECK(q.b.set_linger(0s).has_value());
    {
      const net::tcp_stream gone = std::move(q.b);
    }
    co_await sleep(5ms);
    const auto r = q.a.shutdown(net::shutdown_how::both);
    CHECK((r.has_value() || r.error() == errc::connection_reset));
  });
}

TEST_CASE(
    "acceptance 32: try_write until it would block, then the peer makes room; try_read likewise") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    std::vector<char> block(65536, 'z');
    std::size_t written = 0;
    for (;;) {
      const auto ready = co_await p.a.writable();
      CHECK(ready.has_value());
      const auto n = p.a.try_write(block);
      if (!n) {
        CHECK(n.error() == errc::operation_would_block);
        break;
      }
      written += *n;
    }
    std::size_t read = 0;
    while (read < written) {
      const auto ready = co_await p.b.ready(net::interest::readable() | net::interest::writable());
      CHECK(ready.has_value());
      const auto wait = co_await p.b.readable();
      CHECK(wait.has_value());
      const auto n = p.b.try_read(block);
      if (n)
        read += *n;
      else
        CHECK(n.error() == errc::operation_would_block);
    }
    CHECK(read == written);
    const auto again = co_await p.a.writable();
    CHECK(again.has_value());
    CHECK(p.a.try_write("x").value() == 1);
  });
}

TEST_CASE("a cancelled read has read nothing, and a timeout says so") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    std::array<char, 4> buffer{};
    const auto late = co_await timeout(5ms, p.b.read(buffer));
    CHECK((!late && late.error() == errc::timed_out));
    const auto sent = co_await p.a.write_all("next");
    CHECK(sent.has_value());
    const auto got = co_await timeout(10s, p.b.read_exact(buffer));
    CHECK(got.has_value());
    CHECK(std::string(buffer.data(), 4) == "next");
  });
}

TEST_CASE("acceptance 24: a timeout ends a loop that is always ready") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    const auto w = co_await p.a.write_all("x");
    CHECK(w.has_value());
    const auto loop = [](net::tcp_stream* s) -> task<result<void>> {
      std::array<char, 1> byte{};
      for (;;) {
        const auto n = co_await s->peek(byte);
        if (!n) co_return n.error();
      }
    };
    const auto ended = co_await timeout(1ms, loop(&p.b));
    CHECK((!ended && ended.error() == errc::timed_out));
  });
}

TEST_CASE("bad input: addresses, names, ports in use, refused connections") {
  on_every_scheduler([]() -> task<> {
    for (const char* bad : {"", "127.0.0.1", "127.0.0.1:99999", "[::1:80", "a b:80", "1.2.3:80"}) {
      INFO(bad);
      const auto c = co_await net::tcp_stream::connect(std::string(bad));
      CHECK((!c && c.error() == errc::invalid_argument));
      const auto l = co_await net::tcp_listener::bind(std::string(bad));
      CHECK((!l && l.error() == errc::invalid_argument));
    }
    {
      // No name server is asked.
      auto calls = detail::sys::table();
      calls.getaddrinfo = [](const char*, const char*, const ::addrinfo*, ::addrinfo**) {
        return EAI_NONAME;
      };
      const detail::sys::override_calls resolver(calls);
      const auto unknown = co_await net::tcp_stream::connect(std::string("no-such-host:80"));
      CHECK((!unknown && unknown.error() == resolve_error::host_not_found));
      const auto nowhere = co_await net::tcp_listener::bind(std::string("no-such-host:80"));
      CHECK((!nowhere && nowhere.error() == resolve_error::host_not_found));
    }
    auto listener = co_await listen_somewhere();
    const auto address = listener.local_address().value();
    const auto twice = co_await net::tcp_listener::bind(address);
    CHECK((!twice && twice.error() == errc::address_in_use));
    {
      const net::tcp_listener gone = std::move(listener);
    }
    const auto refused = co_await net::tcp_stream::connect(address);
    CHECK((!refused && refused.error() == errc::connection_refused));
    const auto named = co_await net::tcp_listener::bind(std::string("localhost:0"));
    CHECK(named.has_value());
  });
}

TEST_CASE("bad input: write after shutdown, and a peer that resets in the middle of a write") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    CHECK(p.a.shutdown(net::shutdown_how::write).has_value());
    const auto w = co_await p.a.write("x");
    CHECK((!w && w.error() == errc::broken_pipe));
    auto q = co_await connected_pair();
    const auto resets = [](net::tcp_stream s) -> task<> {
      std::array<char, 1000> some{};
      const auto n = co_await s.read(some);
      CHECK(n.has_value());
      (void)s.set_linger(0s);
    };
    auto h = spawn(resets(std::move(q.b)));
    std::vector<char> much(64 << 20);
    const auto r = co_await q.a.write_all(much);
    CHECK(!r);
    if (!r) CHECK((r.error() == errc::connection_reset || r.error() == errc::broken_pipe));
    auto ended = co_await std::move(h);
    CHECK(ended.has_value());
  });
}

TEST_CASE("bad input: the descriptor limit while accepting is transient, and the server goes on") {
  runtime rt = make_runtime(flavour::one_worker);
  rt.block_on([]() -> task<> {
    auto listener = co_await listen_somewhere();
    const auto address = listener.local_address().value();
    auto client = co_await net::tcp_stream::connect(address);
    CHECK(client.has_value());
    {
      auto calls = detail::sys::table();
      calls.accept4 = [](int, ::sockaddr*, std::uint32_t*, int) {
        errno = EMFILE;
        return -1;
      };
      const detail::sys::override_calls faults(calls);
      for (int i = 0; i != 3; ++i) {
        const auto r = co_await listener.accept();
        CHECK((!r && is_transient(r.error())));
      }
    }
    const auto r = co_await timeout(5s, listener.accept());
    CHECK(r.has_value());
  });
}

TEST_CASE("bad input: sockets outside of a runtime, and descriptors that are no TCP sockets") {
  std::array<int, 2> pipes{};
  REQUIRE(pipe(pipes.data()) == 0);
  CHECK_THROWS_AS(net::tcp_stream::from_native(pipes[0]), std::logic_error);
  runtime rt = make_runtime(flavour::current_thread);
  {
    const auto guard = rt.enter();
    CHECK(!net::tcp_stream::from_native(pipes[0]));
    CHECK(!net::tcp_listener::from_native(pipes[0]));
  }
  close(pipes[0]);
  close(pipes[1]);
}

TEST_CASE("a stream goes through its native descriptor and back; addresses and options are told") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    CHECK(p.a.local_address().value() == p.b.peer_address().value());
    CHECK(p.a.set_nodelay(true).has_value());
    CHECK(p.a.nodelay().value());
    const int fd = std::move(p.a).into_native();
    auto back = net::tcp_stream::from_native(fd);
    CHECK(back.has_value());
    const auto w = co_await back->write_all("ok");
    CHECK(w.has_value());
    std::array<char, 2> two{};
    const auto r = co_await p.b.read_exact(two);
    CHECK(r.has_value());
  });
}

TEST_CASE(
    "try_io, try_accept and ready: nothing waits, and what would block clears the readiness") {
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    const auto none = p.listener.try_accept();
    CHECK((!none && none.error() == errc::operation_would_block));
    auto client = co_await net::tcp_stream::connect(p.listener.local_address().value());
    CHECK(client.has_value());
    const auto arrived = co_await p.listener.accept();
    CHECK((arrived.has_value() && arrived->peer == client->local_address().value()));

    const auto takes_one = [&p]() -> result<char> {
      char c = 0;
      const auto n = ::recv(p.b.native_handle(), &c, 1, 0);
      if (n == 1) return c;
      return std::error_code(errno, std::system_category());
    };
    int calls = 0;
    const auto counted = [&]() -> result<char> {
      ++calls;
      return takes_one();
    };
    const auto early = p.b.try_io(net::interest::readable(), counted);
    CHECK((!early && early.error() == errc::operation_would_block));
    const int after_first = calls;
    const auto again = p.b.try_io(net::interest::readable(), counted);
    CHECK((!again && again.error() == errc::operation_would_block));
    CHECK(calls == after_first);  // known not to be ready: no system call
    const auto both = net::interest::readable() | net::interest::writable();
    const auto only_writable = co_await p.b.ready(both);
    CHECK((only_writable->is_writable() && !only_writable->is_readable()));
    const auto sent = co_await p.a.write_all("xy");
    CHECK(sent.has_value());
    const auto readable = co_await p.b.readable();
    CHECK(readable.has_value());
    const auto now = co_await p.b.ready(both);
    CHECK(now->is_readable());
    CHECK(p.b.try_io(net::interest::readable(), counted).value() == 'x');
    CHECK(p.b.try_io(both, counted).value() == 'y');
    const auto empty = p.b.try_io(net::interest::readable(), counted);
    CHECK((!empty && empty.error() == errc::operation_would_block));
  });
}

TEST_CASE("writing to a connection that is gone is an error, and never SIGPIPE") {
  REQUIRE(::signal(SIGPIPE, SIG_DFL) != SIG_ERR);
  on_every_scheduler([]() -> task<> {
    auto p = co_await connected_pair();
    {
      const net::tcp_stream gone = std::move(p.b);
    }
    std::error_code seen;
    for (int i = 0; i != 20000 && !seen; ++i) {
      const auto w = co_await p.a.write("x");
      if (!w) seen = w.error();
      co_await yield_now();
    }
    CHECK((seen == errc::broken_pipe || seen == errc::connection_reset));
    const std::array<const_buffer, 2> parts{const_buffer("ab"), const_buffer("cd")};
    const auto v = co_await p.a.write_vectored(parts);
    CHECK((!v && v.error() == errc::broken_pipe));
    const auto a = co_await p.a.write_all("y");
    CHECK((!a && a.error() == errc::broken_pipe));
    const auto t = p.a.try_write("z");
    CHECK((!t && t.error() == errc::broken_pipe));
    CHECK_FALSE(p.a.take_error());
  });
}

TEST_CASE("registrations of streams that come and go are all given back") {
  runtime rt = make_runtime(flavour::current_thread);
  rt.block_on([]() -> task<> {
    auto listener = co_await listen_somewhere();
    const auto address = listener.local_address().value();
    for (int i = 0; i != 300; ++i) {
      auto s = co_await or_throw(net::tcp_stream::connect(address));
      auto other = co_await or_throw(listener.accept());
      const int fd = std::move(s).into_native();
      auto again = net::tcp_stream::from_native(fd).value();
      CHECK(::shutdown(again.native_handle(), SHUT_RDWR) == 0);
    }
  });
  const auto m = rt.metrics();
  CHECK(m.descriptors_registered == m.descriptors_deregistered);
}
