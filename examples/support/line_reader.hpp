// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include <kioto/net/tcp_stream.hpp>
#include <kioto/or_return.hpp>
#include <kioto/task.hpp>

/// What comes on a stream, line by line.
class line_reader {
 public:
  explicit line_reader(const kioto::net::tcp_stream& stream) : stream_(stream) {}

  /// The next line, without its end. Errors: those of the stream, `error::unexpected_eof` at its
  /// end, and `errc::message_size` for a line that is too long.
  kioto::task<kioto::result<std::string>> next() {
    for (;;) {
      const std::size_t end = pending_.find('\n');
      if (end != std::string::npos) {
        std::string text = pending_.substr(0, end);
        pending_.erase(0, end + 1);
        if (text.ends_with('\r')) text.pop_back();
        co_return text;
      }
      if (pending_.size() > longest_line) co_return kioto::errc::message_size;
      std::array<char, 1024> chunk;
      const std::size_t n = co_await kioto::or_return(stream_.read(chunk));
      if (n == 0) co_return kioto::error::unexpected_eof;
      pending_.append(chunk.data(), n);
    }
  }

 private:
  static constexpr std::size_t longest_line = 1000;

  const kioto::net::tcp_stream& stream_;
  std::string pending_;
};
