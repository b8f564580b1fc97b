// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <thread>

namespace kioto_test {

/// A fork() of the calling thread, wherever that is.
///
///     child_process child;
///     if (child.is_child()) child.leave(does_it_work() ? 0 : 1);
///     CHECK(child.wait() == "0");
class child_process {
 public:
  child_process() {
    if (::pipe(pipes_.data()) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(pipes_[1], STDERR_FILENO);
      ::signal(SIGABRT, SIG_DFL);  // not the one of the test framework
    }
    ::close(pipes_[1]);
  }
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;
  ~child_process() { ::close(pipes_[0]); }

  [[nodiscard]] bool is_child() const noexcept { return pid_ == 0; }
  [[noreturn]] static void leave(int code) { ::_exit(code); }

  /// Waits for the end of the child. Returns "0", or what went wrong: the exit code, "hangs" or
  /// "signal N"; with what it printed to stderr.
  std::string wait() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    ::fcntl(pipes_[0], F_SETFL, O_NONBLOCK);
    std::string said;
    int status = 0;
    while (::waitpid(pid_, &status, WNOHANG) == 0) {
      listen(said);  // otherwise the child may block on a full pipe
      if (std::chrono::steady_clock::now() > end) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, &status, 0);
        return "hangs: " + said;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    listen(said);
    if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status)) + ": " + said;
    const int code = WEXITSTATUS(status);
    return code == 0 ? "0" : std::to_string(code) + ": " + said;
  }

 private:
  void listen(std::string& said) const {
    std::array<char, 4096> some{};
    for (;;) {
      const auto n = ::read(pipes_[0], some.data(), some.size());
      if (n <= 0) return;
      said.append(some.data(), static_cast<std::size_t>(n));
    }
  }

  std::array<int, 2> pipes_{};
  pid_t pid_ = 0;
};

}  // namespace kioto_test
