// SPDX-License-Identifier: MIT
#include <kioto/parallelism.hpp>

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

namespace kioto {
namespace {

std::optional<std::uint64_t> parse_number(std::string_view text) noexcept {
  std::uint64_t value = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

bool contains(const std::vector<std::string_view>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// The file without trailing white space; empty if it cannot be read.
std::string read_file(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  if (in) out << in.rdbuf();
  std::string text = out.str();
  text.erase(text.find_last_not_of(" \t\n") + 1);
  return text;
}

// Paths in mountinfo have blanks and backslashes as three octal digits.
std::string unescape(std::string_view text) {
  std::string out;
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) &&
        octal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Where a control group hierarchy is mounted, and which group of it appears there.
struct mount {
  std::string group;
  std::string point;
};

// Line of mountinfo: id parent major:minor root point options [optional...] - type source super
std::optional<mount> find_mount(const std::string& mountinfo, std::string_view type,
                                std::string_view controller) {
  for (const std::string_view line : split(mountinfo, '\n')) {
    const std::vector<std::string_view> fields = split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 6 || fields.end() - dash < 4 || dash[1] != type) continue;
    if (!controller.empty() && !contains(split(dash[3], ','), controller)) continue;
    return mount{unescape(fields[3]), unescape(fields[4])};
  }
  return std::nullopt;
}

struct quota {
  std::uint64_t time;
  std::uint64_t period;
};

std::optional<quota> make_quota(std::optional<std::uint64_t> time,
                                std::optional<std::uint64_t> period) {
  if (!time || !period || *period == 0) return std::nullopt;
  return quota{*time, *period};
}

std::optional<quota> read_quota_v2(const std::string& directory) {
  const std::string text = read_file(directory + "/cpu.max");
  const std::vector<std::string_view> fields = split(text, ' ');
  if (fields.size() != 2) return std::nullopt;
  return make_quota(parse_number(fields[0]), parse_number(fields[1]));  // "max" is no number
}

std::optional<quota> read_quota_v1(const std::string& directory) {
  return make_quota(parse_number(read_file(directory + "/cpu.cfs_quota_us")),  // -1 is no limit
                    parse_number(read_file(directory + "/cpu.cfs_period_us")));
}

// The least quota of a group and its ancestors, as far up as they are visible.
std::optional<unsigned> least_quota(const std::string& root, const mount& where, std::string group,
                                    std::optional<quota> (*read)(const std::string&)) {
  // The part of the path below the mount. A group outside of what is mounted is not visible: the
  // mounted one is the best guess.
  if (where.group != "/") {
    const bool inside = group.compare(0, where.group.size(), where.group) == 0 &&
                        (group.size() == where.group.size() || group[where.group.size()] == '/');
    group = inside ? group.substr(where.group.size()) : std::string();
  }
  if (group.find("/..") != std::string::npos) group.clear();
  while (!group.empty() && group.back() == '/') group.pop_back();

  const std::string mounted_at = root + where.point;
  std::optional<unsigned> least;
  for (;;) {
    if (const auto q = read(mounted_at + group)) {
      const std::uint64_t whole = std::clamp<std::uint64_t>(q->time / q->period, 1, 1U << 20);
      least = std::min(least.value_or(1U << 20), static_cast<unsigned>(whole));
    }
    if (group.empty()) return least;
    group.erase(group.rfind('/'));
  }
}

unsigned affinity() {
#if defined(__linux__)
  for (std::size_t processors = 1024; processors <= (1U << 20); processors *= 2) {
    cpu_set_t* set = CPU_ALLOC(processors);
    if (set == nullptr) break;
    const std::size_t size = CPU_ALLOC_SIZE(processors);
    const bool read = sched_getaffinity(0, size, set) == 0;
    const int count = read ? CPU_COUNT_S(size, set) : 0;
    const bool too_small = !read && errno == EINVAL;
    CPU_FREE(set);
    if (count > 0) return static_cast<unsigned>(count);
    if (!too_small) break;
  }
#endif
  return std::max(1U, std::thread::hardware_concurrency());
}

class environment_category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "kioto.environment"; }
  std::string message(int) const override {
    return "the environment variable KIOTO_WORKER_THREADS must be a number from 1 to " +
           std::to_string(detail::max_worker_threads);
  }
  std::error_condition default_error_condition(int) const noexcept override {
    return std::make_error_condition(std::errc::invalid_argument);
  }
};

}  // namespace

namespace detail {

std::optional<unsigned> cgroup_processors(const std::string& root) {
  const std::string groups = read_file(root + "/proc/self/cgroup");
  if (groups.empty()) return std::nullopt;
  const std::string mountinfo = read_file(root + "/proc/self/mountinfo");
  std::optional<unsigned> least;
  // Line of cgroup: hierarchy:controllers:path, where version 2 has no controllers.
  for (const std::string_view line : split(groups, '\n')) {
    const std::size_t first = line.find(':');
    if (first == std::string_view::npos) continue;
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const bool v2 = controllers.empty();
    if (!v2 && !contains(split(controllers, ','), "cpu")) continue;
    const auto where =
        v2 ? find_mount(mountinfo, "cgroup2", {}) : find_mount(mountinfo, "cgroup", "cpu");
    if (!where) continue;
    const auto found = least_quota(root, *where, std::string(line.substr(second + 1)),
                                   v2 ? &read_quota_v2 : &read_quota_v1);
    if (found) least = std::min(least.value_or(*found), *found);
  }
  return least;
}

result<unsigned> worker_threads_from_environment(unsigned fallback) {
  const char* text = std::getenv("KIOTO_WORKER_THREADS");
  if (text == nullptr || *text == '\0') return fallback;
  const auto number = parse_number(text);
  if (!number || *number < 1 || *number > max_worker_threads) {
    static const environment_category category;
    return std::error_code(1, category);
  }
  return static_cast<unsigned>(*number);
}

}  // namespace detail

unsigned available_parallelism() {
  const unsigned allowed = affinity();
  return std::min(allowed, detail::cgroup_processors({}).value_or(allowed));
}

}  // namespace kioto
