// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <string>

namespace kioto_test {

/// What `body`, run in a process of its own, prints to stderr before it ends the program by
/// std::terminate(); "it went on" if it does not. The process has only the calling thread.
template <class Body>
std::string last_words(Body body) {
  std::array<int, 2> pipes{};
  if (::pipe(pipes.data()) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(pipes[1], STDERR_FILENO);
    ::signal(SIGABRT, SIG_DFL);  // not the one of the test framework
    body();
    ::_exit(0);
  }
  ::close(pipes[1]);
  std::string said;
  std::array<char, 512> some{};
  for (;;) {
    const auto n = ::read(pipes[0], some.data(), some.size());
    if (n <= 0) break;
    said.append(some.data(), static_cast<std::size_t>(n));
  }
  ::close(pipes[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) return said;
  return "it went on: " + said;
}

}  // namespace kioto_test
