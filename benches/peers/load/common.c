#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t server_cpu_ns(const struct options* o) {
  clockid_t clock;
  struct timespec t;
  if (o->server_pid == 0) return 0;
  if (clock_getcpuclockid(o->server_pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
    fail("the CPU time of the server");
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void fail(const char* what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

int connect_to(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
  const int one = 1;
  for (int attempts = 0;; ++attempts) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr*)&address, sizeof address) == 0) {
      fcntl(fd, F_SETFL, O_NONBLOCK);
      return fd;
    }
    if (errno != ECONNREFUSED || attempts == 200) fail("connect");
    close(fd);
    usleep(20000);
  }
}

// A byte there and back: the server has accepted this connection, and all before it.
static void settle(int fd) {
  char byte = 'x';
  struct pollfd p = {.fd = fd, .events = POLLIN};
  if (write(fd, &byte, 1) != 1) fail("write");
  if (poll(&p, 1, 20000) != 1) {
    errno = ETIMEDOUT;
    fail("no answer for 20 s");
  }
  if (read(fd, &byte, 1) != 1 || byte != 'x') fail("the echo is not what was sent");
}
void connect_many(int port, int count, int* fds) {
  for (int i = 0; i < count; ++i) {
    fds[i] = connect_to(port);
    if (i % 100 == 99 || i + 1 == count) settle(fds[i]);
  }
}

enum { steps = 64, buckets = 40 * steps };
static uint64_t histogram[buckets];
static uint64_t recorded;
static uint64_t longest;

void record(uint64_t ns) {
  if (ns == 0) ns = 1;
  const int e = 63 - __builtin_clzll(ns);
  uint64_t at = e < 6 ? ns : (uint64_t)(e - 5) * steps + ((ns >> (e - 6)) & (steps - 1));
  if (at >= buckets) at = buckets - 1;
  ++histogram[at];
  ++recorded;
  if (ns > longest) longest = ns;
}
void forget_records(void) {
  memset(histogram, 0, sizeof histogram);
  recorded = longest = 0;
}
uint64_t records(void) { return recorded; }

static double value_of(int bucket) {
  if (bucket < steps) return bucket;
  const int e = bucket / steps + 5;
  return (double)(steps + bucket % steps) * (double)(1ull << (e - 6));
}
double percentile_us(double share) {
  const uint64_t wanted = (uint64_t)(share * (double)recorded);
  uint64_t seen = 0;
  for (int i = 0; i < buckets; ++i) {
    seen += histogram[i];
    if (seen != 0 && seen >= wanted) return value_of(i) / 1000;
  }
  return 0;
}
void print_percentiles(FILE* out) {
  fprintf(out, "\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f",
          percentile_us(.5), percentile_us(.9), percentile_us(.99), percentile_us(.999),
          (double)longest / 1000);
}
