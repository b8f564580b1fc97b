// Connects, sends a byte, waits for it, and resets the connection, again and again, on a number of
// places at the same time. A reset leaves no port behind in TIME_WAIT.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

struct place {
  int fd;
  int connected;
  uint64_t began;
};

static int poller;

static void begin(struct place* p, int port) {
  const struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)port),
                                      .sin_addr = {htonl(INADDR_LOOPBACK)}};
  const struct linger reset = {.l_onoff = 1, .l_linger = 0};
  p->began = now_ns();
  p->connected = 0;
  p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (p->fd < 0) fail("socket");
  setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  if (connect(p->fd, (const struct sockaddr*)&address, sizeof address) != 0 && errno != EINPROGRESS)
    fail("connect");
  struct epoll_event e = {.events = EPOLLOUT, .data.ptr = p};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, p->fd, &e) != 0) fail("epoll_ctl");
}

int run_churn(const struct options* o) {
  close(connect_to(o->port));  // waits for a server that is still starting
  poller = epoll_create1(EPOLL_CLOEXEC);
  struct place* all = calloc((size_t)o->connections, sizeof *all);
  for (int i = 0; i < o->connections; ++i) begin(&all[i], o->port);
  const uint64_t first = now_ns(), warm = first + 200000000;
  const uint64_t end = warm + (uint64_t)(o->seconds * 1e9);
  uint64_t done = 0, start = first, t = first;
  int warming = 1;
  uint64_t cpu = 0;
  struct epoll_event events[256];
  while (t < end) {
    const int n = epoll_wait(poller, events, 256, 20000);
    if (n == 0) {
      errno = ETIMEDOUT;
      fail("no answer for 20 s");
    }
    t = now_ns();
    if (warming && t >= warm) {
      warming = 0;
      start = t;
      done = 0;
      cpu = server_cpu_ns(o);
      forget_records();
    }
    for (int i = 0; i < n; ++i) {
      struct place* p = events[i].data.ptr;
      char byte = 'x';
      if (!p->connected) {
        if (write(p->fd, &byte, 1) != 1) fail("connect or write");
        p->connected = 1;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
        if (epoll_ctl(poller, EPOLL_CTL_MOD, p->fd, &e) != 0) fail("epoll_ctl");
        continue;
      }
      byte = 0;
      if (read(p->fd, &byte, 1) != 1 || byte != 'x') fail("the echo is not what was sent");
      close(p->fd);
      record(now_ns() - p->began);
      ++done;
      begin(p, o->port);
    }
  }
  cpu = server_cpu_ns(o) - cpu;
  const double took = (double)(t - start) / 1e9;
  printf("{\"per_s\":%.0f,\"cpu_us\":%.3f,", (double)done / took,
         (double)cpu / 1000 / (double)done);
  print_percentiles(stdout);
  printf("}\n");
  return 0;
}
