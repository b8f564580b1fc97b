// SPDX-License-Identifier: MIT
#include <kioto/parallelism.hpp>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "support/catch.hpp"

namespace {

namespace fs = std::filesystem;
using kioto::detail::cgroup_processors;
using kioto::detail::worker_threads_from_environment;

// A directory with made-up files, removed at the end.
class fake_root {
 public:
  fake_root() {
    std::string pattern = (fs::temp_directory_path() / "kioto-parallelism-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  fake_root(const fake_root&) = delete;
  fake_root& operator=(const fake_root&) = delete;
  ~fake_root() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  void write(const std::string& file, const std::string& text) const {
    const fs::path full = path_.string() + file;
    fs::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

const std::string v2_mount =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
const std::string v1_mounts =
    "31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";

void set_threads(const char* text) {
  if (text == nullptr)
    ::unsetenv("KIOTO_WORKER_THREADS");
  else
    ::setenv("KIOTO_WORKER_THREADS", text, 1);
}

}  // namespace

TEST_CASE("available_parallelism is between 1 and the processors of the machine", "[parallelism]") {
  CHECK(kioto::available_parallelism() >= 1);
  CHECK(kioto::available_parallelism() <= static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_CONF)));
}

TEST_CASE("without control groups there is no quota", "[parallelism]") {
  const fake_root root;
  CHECK(cgroup_processors(root.path()) == std::nullopt);
  root.write("/proc/self/cgroup", "0::/\n");
  CHECK(cgroup_processors(root.path()) == std::nullopt);
  root.write("/proc/self/mountinfo", v2_mount);
  CHECK(cgroup_processors(root.path()) == std::nullopt);
}

TEST_CASE("the quota of version 2 is rounded down, to at least 1", "[parallelism]") {
  const fake_root root;
  root.write("/proc/self/cgroup", "0::/app\n");
  root.write("/proc/self/mountinfo", v2_mount);
  const auto with = [&](const std::string& text) {
    root.write("/sys/fs/cgroup/app/cpu.max", text);
    return cgroup_processors(root.path());
  };
  CHECK(with("max 100000\n") == std::nullopt);
  CHECK(with("200000 100000\n") == 2U);
  CHECK(with("250000 100000\n") == 2U);
  CHECK(with("10000 100000\n") == 1U);
  CHECK(with("200000 0\n") == std::nullopt);
  CHECK(with("nonsense\n") == std::nullopt);
  CHECK(with("") == std::nullopt);
  CHECK(with("18446744073709551615 1\n") == (1U << 20));
}

TEST_CASE("the least quota on the way to the top holds", "[parallelism]") {
  const fake_root root;
  root.write("/proc/self/cgroup", "0::/a/b/c\n");
  root.write("/proc/self/mountinfo", v2_mount);
  root.write("/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n");
  CHECK(cgroup_processors(root.path()) == 8U);
  root.write("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
  CHECK(cgroup_processors(root.path()) == 3U);
  root.write("/sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
  CHECK(cgroup_processors(root.path()) == 3U);
  root.write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  CHECK(cgroup_processors(root.path()) == 2U);
}

TEST_CASE("the mounted part of the hierarchy may begin below its top", "[parallelism]") {
  const fake_root root;
  root.write("/proc/self/mountinfo",
             "30 23 0:26 /docker/1 /mnt/my\\040groups rw - cgroup2 cgroup2 rw\n");
  root.write("/mnt/my groups/cpu.max", "500000 100000\n");
  root.write("/mnt/my groups/app/cpu.max", "300000 100000\n");
  const auto with = [&](const std::string& groups) {
    root.write("/proc/self/cgroup", groups);
    return cgroup_processors(root.path());
  };
  CHECK(with("0::/docker/1\n") == 5U);
  CHECK(with("0::/docker/1/app\n") == 3U);
  CHECK(with("0::/docker/12\n") == 5U);
  CHECK(with("0::/../other\n") == 5U);
}

TEST_CASE("the quota of version 1 counts, beside version 2", "[parallelism]") {
  const fake_root root;
  root.write("/proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/app\n1:name=systemd:/\n0::/app\n");
  root.write("/proc/self/mountinfo", v1_mounts + v2_mount);
  const std::string directory = "/sys/fs/cgroup/cpu,cpuacct/app";
  root.write(directory + "/cpu.cfs_period_us", "50000\n");
  root.write(directory + "/cpu.cfs_quota_us", "-1\n");
  CHECK(cgroup_processors(root.path()) == std::nullopt);
  root.write(directory + "/cpu.cfs_quota_us", "200000\n");
  CHECK(cgroup_processors(root.path()) == 4U);
  root.write("/sys/fs/cgroup/app/cpu.max", "300000 100000\n");
  CHECK(cgroup_processors(root.path()) == 3U);
}

TEST_CASE("KIOTO_WORKER_THREADS overrides, and garbage is an error that says so", "[parallelism]") {
  const char* before = std::getenv("KIOTO_WORKER_THREADS");
  const std::optional<std::string> saved =
      before == nullptr ? std::nullopt : std::optional<std::string>(before);

  set_threads(nullptr);
  CHECK(worker_threads_from_environment(7) == 7U);
  set_threads("");
  CHECK(worker_threads_from_environment(7) == 7U);
  set_threads("3");
  CHECK(worker_threads_from_environment(7) == 3U);
  set_threads("4096");
  CHECK(worker_threads_from_environment(7) == 4096U);
  for (const char* text :
       {"0", "-1", "4097", "2x", " 2", "two", "2.5", "99999999999999999999999"}) {
    CAPTURE(text);
    set_threads(text);
    const kioto::result<unsigned> parsed = worker_threads_from_environment(7);
    CHECK_FALSE(parsed.has_value());
    if (parsed) continue;
    CHECK(parsed.error() == kioto::errc::invalid_argument);
    CHECK(parsed.error().message().find("KIOTO_WORKER_THREADS") != std::string::npos);
  }
  set_threads(saved ? saved->c_str() : nullptr);
}
