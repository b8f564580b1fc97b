// Holds connections that do nothing. Each has had one byte echoed, so the server knows them all.
// Prints "ready"; then, for each line on the standard input, sends a byte on 2000 of them, one
// after the other in an order without pattern, and prints how long each took to come back.
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "load.h"

static uint64_t probe(int fd) {
  const uint64_t before = now_ns();
  char byte = 'x';
  if (write(fd, &byte, 1) != 1) fail("write");
  struct pollfd p = {.fd = fd, .events = POLLIN};
  if (poll(&p, 1, 20000) != 1) {
    errno = ETIMEDOUT;
    fail("no answer for 20 s");
  }
  byte = 0;
  if (read(fd, &byte, 1) != 1 || byte != 'x') fail("the echo is not what was sent");
  return now_ns() - before;
}

int run_idle(const struct options* o) {
  int* all = calloc((size_t)o->connections, sizeof *all);
  connect_many(o->port, o->connections, all);
  for (int i = 0; i < o->connections; ++i) probe(all[i]);
  printf("ready\n");
  fflush(stdout);
  for (int c; (c = getchar()) != EOF;) {
    if (c != '\n') continue;
    forget_records();
    uint32_t x = 12345;
    for (int i = 0; i < 2000; ++i) {
      x = x * 1664525u + 1013904223u;
      record(probe(all[(x >> 8) % (uint32_t)o->connections]));
    }
    printf("{");
    print_percentiles(stdout);
    printf("}\n");
    fflush(stdout);
  }
  return 0;
}
