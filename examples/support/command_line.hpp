// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The options of an example. Each member takes its option out of the command line; `end()` refuses
/// what is left. A mistake prints what is wrong and the usage, and ends the program with status 2;
/// `--help` prints the usage, and ends it with 0.
class command_line {
 public:
  command_line(int argc, char** argv, const char* usage)
      : usage_(usage), words_(argv + 1, argv + argc) {
    if (!flag("--help")) return;
    std::printf("%s\n", usage_);
    std::exit(0);
  }

  bool flag(std::string_view name) { return std::erase(words_, name) != 0; }

  void text(std::string_view name, std::string& value) {
    if (const auto given = take(name)) value = *given;
  }

  void number(std::string_view name, unsigned& value, unsigned least, unsigned most) {
    const auto given = take(name);
    if (!given) return;
    const char* const last = given->data() + given->size();
    const auto parsed = std::from_chars(given->data(), last, value);
    if (parsed.ec != std::errc() || parsed.ptr != last || value < least || value > most)
      fail(std::string(name) + " needs a number from " + std::to_string(least) + " to " +
           std::to_string(most) + ", not '" + std::string(*given) + "'");
  }

  void end() const {
    if (!words_.empty()) fail("unknown option: " + std::string(words_.front()));
  }

 private:
  /// The word behind `name`, if that was given.
  std::optional<std::string_view> take(std::string_view name) {
    const auto at = std::find(words_.begin(), words_.end(), name);
    if (at == words_.end()) return std::nullopt;
    if (at + 1 == words_.end()) fail(std::string(name) + " needs a value");
    const std::string_view value = at[1];
    words_.erase(at, at + 2);
    return value;
  }

  [[noreturn]] void fail(const std::string& what) const {
    std::fprintf(stderr, "%s\n%s\n", what.c_str(), usage_);
    std::exit(2);
  }

  const char* usage_;
  std::vector<std::string_view> words_;
};
