// The load generator of all TCP measurements. With --server-pid it also tells the CPU time that the
// server used meanwhile.
//
//   load echo   --port P [--connections N] [--bytes N] [--seconds S | --requests N]
//   load open   --port P --rate R [--connections N] [--bytes N] [--seconds S]
//   load stream --port P [--connections N] [--bytes N] [--seconds S]
//   load churn  --port P [--connections N] [--seconds S]
//   load idle   --port P [--connections N]
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "load.h"

static void usage(const char* problem) {
  fprintf(
      stderr,
      "load: %s\nusage: load echo|open|stream|churn|idle --port P [--connections N] [--bytes N] "
      "[--seconds S] [--requests N] [--rate R] [--server-pid P]\n",
      problem);
  exit(2);
}

static double number(const char* name, const char* text, double least, double most) {
  char* end = NULL;
  const double value = text != NULL ? strtod(text, &end) : 0;
  if (text == NULL || end == text || *end != '\0' || value < least || value > most) usage(name);
  return value;
}

int main(int argc, char** argv) {
  struct options o = {.connections = 50, .bytes = 64, .seconds = 3};
  if (argc < 2) usage("what kind of load?");
  for (int i = 2; i < argc; i += 2) {
    const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
    if (strcmp(name, "--port") == 0)
      o.port = (int)number(name, value, 1, 65535);
    else if (strcmp(name, "--connections") == 0)
      o.connections = (int)number(name, value, 1, 100000);
    else if (strcmp(name, "--bytes") == 0)
      o.bytes = (size_t)number(name, value, 1, 1 << 24);
    else if (strcmp(name, "--seconds") == 0)
      o.seconds = number(name, value, 0.01, 60);
    else if (strcmp(name, "--requests") == 0)
      o.requests = (uint64_t)number(name, value, 1, 1e7);
    else if (strcmp(name, "--rate") == 0)
      o.rate = number(name, value, 1, 1e7);
    else if (strcmp(name, "--server-pid") == 0)
      o.server_pid = (int)number(name, value, 1, 1 << 22);
    else
      usage(name);
  }
  if (o.port == 0) usage("--port is missing");
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (strcmp(argv[1], "echo") == 0) return run_echo(&o);
  if (strcmp(argv[1], "open") == 0) return run_open(&o);
  if (strcmp(argv[1], "stream") == 0) return run_stream(&o);
  if (strcmp(argv[1], "churn") == 0) return run_churn(&o);
  if (strcmp(argv[1], "idle") == 0) return run_idle(&o);
  usage(argv[1]);
}
