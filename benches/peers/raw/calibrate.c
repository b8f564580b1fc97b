// calibrate [SECONDS]
//
// What the machine itself costs: a system call, and waking another thread through a futex and
// through a pair of pipes, there and back. Prints one line of JSON, in nanoseconds.
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double seconds = 0.2;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double system_call(void) {
  const uint64_t start = now(), end = start + (uint64_t)(seconds * 1e9);
  uint64_t count = 0, t = start;
  while (t < end) {
    for (int i = 0; i < 1000; ++i) syscall(SYS_getppid);
    count += 1000;
    t = now();
  }
  return (double)(t - start) / (double)count;
}

static atomic_int turn;  // 0: the caller's, 1: the other's, 2: over
static void await_turn(int mine) {
  for (;;) {
    const int seen = atomic_load(&turn);
    if (seen == mine || seen == 2) return;
    syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
  }
}
static void give_turn(int to) {
  atomic_store(&turn, to);
  syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
static void* futex_answers(void* unused) {
  for (;;) {
    await_turn(1);
    if (atomic_load(&turn) == 2) return unused;
    give_turn(0);
  }
}
static double futex_round_trip(void) {
  pthread_t other;
  pthread_create(&other, NULL, futex_answers, NULL);
  const uint64_t start = now(), end = start + (uint64_t)(seconds * 1e9);
  uint64_t count = 0, t = start;
  for (; t < end; t = now(), ++count) {
    give_turn(1);
    await_turn(0);
  }
  give_turn(2);
  pthread_join(other, NULL);
  return (double)(t - start) / (double)count;
}

static int there[2], back[2];
static void* pipe_answers(void* unused) {
  char byte;
  while (read(there[0], &byte, 1) == 1)
    if (write(back[1], &byte, 1) != 1) break;
  return unused;
}
static double pipe_round_trip(void) {
  pthread_t other;
  if (pipe(there) != 0 || pipe(back) != 0) return 0;
  pthread_create(&other, NULL, pipe_answers, NULL);
  const uint64_t start = now(), end = start + (uint64_t)(seconds * 1e9);
  uint64_t count = 0, t = start;
  char byte = 'x';
  for (; t < end; t = now(), ++count)
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) return 0;
  close(there[1]);
  pthread_join(other, NULL);
  return (double)(t - start) / (double)count;
}

int main(int argc, char** argv) {
  if (argc > 1) seconds = atof(argv[1]);
  const double call = system_call(), futex = futex_round_trip(), pipes = pipe_round_trip();
  printf("{\"getppid_ns\":%.1f,\"futex_round_trip_ns\":%.1f,\"pipe_round_trip_ns\":%.1f}\n", call,
         futex, pipes);
  return 0;
}
