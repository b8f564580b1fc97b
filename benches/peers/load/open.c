// Open loop: requests are due at points in time that do not depend on the answers (a Poisson
// process with a fixed seed), in turn on each connection, also while earlier ones are unanswered. A
// latency counts from when its request was due, so a server that stalls is charged for all it has
// delayed.
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "load.h"

enum { outstanding = 16384 };  // on one connection

struct connection {
  int fd;
  uint64_t* due;  // ring of the requests that are unanswered, or not yet written
  uint32_t first, written, last;
  size_t in_part, out_part;  // bytes of the first one that were read; of the next that were written
  int wants_out;
};

static char message[65536], in[65536];
static int poller;

static uint64_t random_state = 0x9e3779b97f4a7c15u;
static double uniform(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (double)((random_state >> 11) + 1) / 9007199254740993.0;
}

static void watch(struct connection* c, int out) {
  if (c->wants_out == out) return;
  c->wants_out = out;
  struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c};
  if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e) != 0) fail("epoll_ctl");
}

// Writes what is due, as far as the socket takes it.
static void flush(struct connection* c, size_t bytes) {
  while (c->written != c->last) {
    const ssize_t n = write(c->fd, message + c->out_part, bytes - c->out_part);
    if (n < 0) {
      if (errno != EAGAIN) fail("write");
      watch(c, 1);
      return;
    }
    c->out_part += (size_t)n;
    if (c->out_part == bytes) {
      c->out_part = 0;
      ++c->written;
    }
  }
  watch(c, 0);
}

// Takes the answers that have come; returns how many.
static uint64_t take(struct connection* c, size_t bytes) {
  const ssize_t n = read(c->fd, in, sizeof in);
  if (n < 0 && errno == EAGAIN) return 0;
  if (n <= 0) fail("the server has closed a connection");
  const uint64_t t = now_ns();
  uint64_t answered = 0;
  for (size_t at = 0; at < (size_t)n;) {
    size_t part = bytes - c->in_part;
    if (part > (size_t)n - at) part = (size_t)n - at;
    if (memcmp(in + at, message + c->in_part, part) != 0) {
      errno = EBADMSG;
      fail("the echo is not what was sent");
    }
    at += part;
    c->in_part += part;
    if (c->in_part != bytes) break;
    c->in_part = 0;
    record(t - c->due[c->first++ % outstanding]);
    ++answered;
  }
  return answered;
}

int run_open(const struct options* o) {
  if (o->rate <= 0 || o->bytes > sizeof message) {
    errno = EINVAL;
    fail("--rate is missing, or --bytes beyond 65536");
  }
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  for (size_t i = 0; i < o->bytes; ++i) message[i] = (char)(i * 7 + 1);
  struct connection* all = calloc((size_t)o->connections, sizeof *all);
  poller = epoll_create1(EPOLL_CLOEXEC);
  int* fds = calloc((size_t)o->connections, sizeof *fds);
  connect_many(o->port, o->connections, fds);
  for (int i = 0; i < o->connections; ++i) {
    all[i].fd = fds[i];
    all[i].due = malloc(outstanding * sizeof *all[i].due);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[i]};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &e) != 0) fail("epoll_ctl");
  }
  const double gap = 1e9 / o->rate;
  const uint64_t start = now_ns() + 1000000, warm = start + 200000000;
  const uint64_t end = warm + (uint64_t)(o->seconds * 1e9), limit = end + 5000000000u;
  double due = (double)start;
  uint64_t sent = 0, answered = 0, measured_from = 0, late = 0;
  int warming = 1, turn = 0;
  uint64_t cpu = 0;
  struct epoll_event events[256];
  for (;;) {
    uint64_t t = now_ns();
    if (warming && t >= warm) {
      warming = 0;
      forget_records();
      measured_from = answered;
      cpu = server_cpu_ns(o);
    }
    for (; due <= (double)t && due < (double)end; due += -log(uniform()) * gap) {
      struct connection* c = &all[turn++ % o->connections];
      if (c->last - c->first == outstanding) {
        printf("{\"overloaded\":true}\n");
        return 0;
      }
      c->due[c->last++ % outstanding] = (uint64_t)due;
      if ((double)t - due > (double)late && !warming) late = (uint64_t)((double)t - due);
      ++sent;
      if (!c->wants_out) flush(c, o->bytes);
    }
    if (due >= (double)end && answered == sent) break;
    if (t > limit) {
      printf("{\"overloaded\":true}\n");
      return 0;
    }
    t = now_ns();
    double wait = due < (double)end ? due - (double)t : 1e8;
    if (wait < 0) wait = 0;
    const struct timespec timeout = {.tv_sec = (time_t)(wait / 1e9),
                                     .tv_nsec = (long)fmod(wait, 1e9)};
    const int n = epoll_pwait2(poller, events, 256, &timeout, NULL);
    for (int i = 0; i < n; ++i) {
      struct connection* c = events[i].data.ptr;
      if (events[i].events & EPOLLOUT) flush(c, o->bytes);
      if (events[i].events & ~(uint32_t)EPOLLOUT) answered += take(c, o->bytes);
    }
  }
  cpu = server_cpu_ns(o) - cpu;
  printf("{\"sender_late_us\":%.1f,\"cpu_us\":%.3f,", (double)late / 1000,
         (double)cpu / 1000 / (double)(answered - measured_from));
  print_percentiles(stdout);
  printf("}\n");
  return 0;
}
