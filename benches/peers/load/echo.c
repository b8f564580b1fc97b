// Closed loop: each connection sends a message, waits for its echo, checks it, and sends the next.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load.h"

struct connection {
  int fd;
  unsigned char fill;  // the byte that the message in flight is made of
  size_t got;
  uint64_t sent_at;
};

static char *out, *in;

static void send_message(struct connection* c, size_t bytes) {
  ++c->fill;
  memset(out, c->fill, bytes);
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = write(c->fd, out + done, bytes - done);
    if (n > 0)
      done += (size_t)n;
    else if (errno != EAGAIN)
      fail("write");
  }
}

// Checks the first and the last byte of what came: enough to see a message of another connection.
static void check(const struct connection* c, size_t n) {
  if ((unsigned char)in[0] == c->fill && (unsigned char)in[n - 1] == c->fill) return;
  errno = EBADMSG;
  fail("the echo is not what was sent");
}

int run_echo(const struct options* o) {
  out = malloc(o->bytes);
  in = malloc(o->bytes);
  struct connection* all = calloc((size_t)o->connections, sizeof *all);
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  int* fds = calloc((size_t)o->connections, sizeof *fds);
  connect_many(o->port, o->connections, fds);
  for (int i = 0; i < o->connections; ++i) {
    all[i].fd = fds[i];
    all[i].fill = (unsigned char)i;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[i]};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &e) != 0) fail("epoll_ctl");
  }
  const int counted = o->requests != 0;
  const uint64_t warm = now_ns() + (counted ? 0 : 200000000);
  uint64_t start = now_ns(), t = start, sent = 0, answered = 0;
  const uint64_t end = warm + (uint64_t)(o->seconds * 1e9);
  for (int i = 0; i < o->connections && !(counted && sent == o->requests); ++i, ++sent) {
    all[i].sent_at = now_ns();
    send_message(&all[i], o->bytes);
  }
  int warming = !counted;
  uint64_t cpu = server_cpu_ns(o);
  struct epoll_event events[512];
  while (counted ? answered < o->requests : t < end) {
    const int n = epoll_wait(poller, events, 512, 20000);
    if (n == 0) {
      errno = ETIMEDOUT;
      fail("no answer for 20 s");
    }
    t = now_ns();
    if (warming && t >= warm) {
      warming = 0;
      start = t;
      answered = 0;
      cpu = server_cpu_ns(o);
      forget_records();
    }
    for (int i = 0; i < n; ++i) {
      struct connection* c = events[i].data.ptr;
      const ssize_t r = read(c->fd, in, o->bytes - c->got);
      if (r <= 0) {
        if (r < 0 && errno == EAGAIN) continue;
        fail("the server has closed a connection");
      }
      check(c, (size_t)r);
      c->got += (size_t)r;
      if (c->got != o->bytes) continue;
      const uint64_t done = now_ns();
      record(done - c->sent_at);
      ++answered;
      c->got = 0;
      c->sent_at = done;
      if (counted && sent == o->requests) continue;
      ++sent;
      send_message(c, o->bytes);
    }
  }
  cpu = server_cpu_ns(o) - cpu;
  const double took = (double)(t - start) / 1e9;
  printf("{\"per_s\":%.0f,\"cpu_us\":%.3f,", (double)answered / took,
         (double)cpu / 1000 / (double)answered);
  print_percentiles(stdout);
  printf("}\n");
  return 0;
}
