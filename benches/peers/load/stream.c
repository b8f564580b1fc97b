// A stream in both directions: each connection writes without pause, in writes of --bytes, and
// reads what comes back. Every byte is checked.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load.h"

// The stream repeats a pattern whose length is prime, so that no loss, swap or repetition of a part
// goes unseen.
enum { period = 65521, chunk = 262144 };

struct connection {
  int fd;
  uint64_t sent, got;
};

static char *pattern, in[chunk];

int run_stream(const struct options* o) {
  const size_t longest = o->bytes > chunk ? o->bytes : chunk;
  pattern = malloc(period + longest);
  uint32_t x = 1;
  for (size_t i = 0; i < period; ++i) pattern[i] = (char)((x = x * 1664525u + 1013904223u) >> 24);
  for (size_t i = period; i < period + longest; ++i) pattern[i] = pattern[i - period];

  struct connection* all = calloc((size_t)o->connections, sizeof *all);
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  int* fds = calloc((size_t)o->connections, sizeof *fds);
  connect_many(o->port, o->connections, fds);
  for (int i = 0; i < o->connections; ++i) {
    all[i].fd = fds[i];
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = &all[i]};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &e) != 0) fail("epoll_ctl");
  }
  const uint64_t begin = now_ns(), warm = begin + 200000000;
  const uint64_t end = warm + (uint64_t)(o->seconds * 1e9);
  uint64_t echoed = 0, counted_from = 0, start = begin, t = begin;
  int warming = 1;
  uint64_t cpu = 0;
  struct epoll_event events[64];
  while (t < end) {
    const int n = epoll_wait(poller, events, 64, 20000);
    if (n == 0) {
      errno = ETIMEDOUT;
      fail("no progress for 20 s");
    }
    t = now_ns();
    if (warming && t >= warm) {
      warming = 0;
      start = t;
      counted_from = echoed;
      cpu = server_cpu_ns(o);
    }
    for (int i = 0; i < n; ++i) {
      struct connection* c = events[i].data.ptr;
      if (events[i].events & EPOLLIN) {
        const ssize_t r = read(c->fd, in, chunk);
        if (r == 0 || (r < 0 && errno != EAGAIN)) fail("the server has closed a connection");
        if (r > 0) {
          if (c->got + (uint64_t)r > c->sent ||
              memcmp(in, pattern + c->got % period, (size_t)r) != 0) {
            errno = EBADMSG;
            fail("the echo is not what was sent");
          }
          c->got += (uint64_t)r;
          echoed += (uint64_t)r;
        }
      }
      if (events[i].events & EPOLLOUT) {
        // The rest of the current write of --bytes.
        const ssize_t w = write(c->fd, pattern + c->sent % period, o->bytes - c->sent % o->bytes);
        if (w < 0 && errno != EAGAIN) fail("write");
        if (w > 0) c->sent += (uint64_t)w;
      }
    }
  }
  cpu = server_cpu_ns(o) - cpu;
  const double took = (double)(t - start) / 1e9;
  const double bytes = (double)(echoed - counted_from);
  printf("{\"mb_per_s\":%.1f,\"cpu_ms_per_gb\":%.2f}\n", bytes / 1e6 / took,
         (double)cpu / 1e6 / (bytes / 1e9));
  return 0;
}
