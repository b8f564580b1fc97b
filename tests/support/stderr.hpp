// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <cstdio>
#include <string>

namespace kioto_test {

/// Collects what is written to stderr during its lifetime.
class captured_stderr {
 public:
  captured_stderr() : file_(std::tmpfile()), before_(::dup(STDERR_FILENO)) {
    std::fflush(stderr);
    ::dup2(::fileno(file_), STDERR_FILENO);
  }
  captured_stderr(const captured_stderr&) = delete;
  captured_stderr& operator=(const captured_stderr&) = delete;
  ~captured_stderr() {
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
    std::fclose(file_);
  }

  [[nodiscard]] std::string text() const {
    std::fflush(stderr);
    std::string out;
    char byte = 0;
    for (off_t at = 0; ::pread(::fileno(file_), &byte, 1, at) == 1; ++at) out += byte;
    return out;
  }

 private:
  std::FILE* file_;
  int before_;
};

}  // namespace kioto_test
