// The load generator's parts. One thread, epoll, loopback only; every run is bounded.
#ifndef LOAD_H
#define LOAD_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct options {
  int port;
  int connections;    // default 50
  size_t bytes;       // of a message; default 64
  double seconds;     // default 3
  uint64_t requests;  // echo: ends after this many, instead of after `seconds`; 0: none
  double rate;        // open: requests per second, over all connections
  int server_pid;     // 0: not known
};

// Each prints one line of JSON and returns the exit status.
int run_echo(const struct options*);
int run_open(const struct options*);
int run_stream(const struct options*);
int run_churn(const struct options*);
int run_idle(const struct options*);

// Time in nanoseconds, monotonic.
uint64_t now_ns(void);

// CPU time that the server has used so far, of all its threads, ended ones included; 0 if its
// process is not known.
uint64_t server_cpu_ns(const struct options*);

// Prints the message and errno, and ends the program with status 1.
void fail(const char* what) __attribute__((noreturn));

// A connection to 127.0.0.1:port with TCP_NODELAY, non-blocking; waits up to 4 s for a server that
// is still starting.
int connect_to(int port);
// Many of them, each accepted before more wait for it than a server lets wait.
void connect_many(int port, int count, int* fds);

// A histogram of durations: 64 steps in each power of two, that is at most 1.6 % too low.
void record(uint64_t ns);
void forget_records(void);
uint64_t records(void);
double percentile_us(double share);
// `"p50_us":…,…,"max_us":…`
void print_percentiles(FILE* out);
#endif
