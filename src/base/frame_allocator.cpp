// SPDX-License-Identifier: MIT
#include <kioto/detail/base/frame_allocator.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <limits>
#include <mutex>
#include <new>
#include <utility>

#include <kioto/frame_pool.hpp>

#if !defined(KIOTO_FRAME_POOL)
#define KIOTO_FRAME_POOL !KIOTO_SANITIZED
#endif

#if defined(__linux__)
// Belongs to the leak checker, if the program has one: it does not look for pointers in mapped
// memory by itself.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" [[gnu::weak]] void __lsan_register_root_region(const void* begin, std::size_t size);
#endif

namespace kioto::detail {

namespace {

// Depends on the size alone, so that deallocation can work it out again: see `allocate_frame`.
std::size_t alignment_of_large(std::size_t bytes) noexcept {
  return std::min(bytes & (~bytes + 1), max_frame_alignment);
}
KIOTO_NOINLINE void* allocate_large(std::size_t bytes) {
  const std::size_t alignment = alignment_of_large(bytes);
  if (alignment > __STDCPP_DEFAULT_NEW_ALIGNMENT__)
    return ::operator new(bytes, std::align_val_t(alignment));
  return ::operator new(bytes);
}
// The size is not passed on: of a large one only the low bits may be left, see
// `compact_frame_size`.
KIOTO_NOINLINE void deallocate_large(void* frame, std::size_t bytes) noexcept {
  const std::size_t alignment = alignment_of_large(bytes);
  if (alignment > __STDCPP_DEFAULT_NEW_ALIGNMENT__)
    ::operator delete(frame, std::align_val_t(alignment));
  else
    ::operator delete(frame);
}

}  // namespace

#if !(KIOTO_FRAME_POOL)

void* allocate_frame(std::size_t bytes) { return allocate_large(bytes); }
void deallocate_frame(void* frame, std::size_t bytes) noexcept { deallocate_large(frame, bytes); }
std::size_t frame_pool_bytes() noexcept { return 0; }
bool frame_pool_enabled() noexcept { return false; }
std::chrono::milliseconds frame_pool_idle() noexcept { return {}; }
void frame_pool_age() noexcept {}
void lock_frame_pool() noexcept {}
void unlock_frame_pool() noexcept {}

namespace {
std::atomic<std::size_t> unused_limit{frame_pool::no_limit};
std::size_t kept_bytes() noexcept { return 0; }
void set_kept_limit(std::size_t bytes) noexcept {
  unused_limit.store(bytes, std::memory_order_relaxed);
}
std::size_t kept_limit() noexcept { return unused_limit.load(std::memory_order_relaxed); }
std::size_t trim_all() noexcept { return 0; }
}  // namespace

#else

namespace {

// Bins are 16 bytes apart up to 1 KiB, where most frames are, and then a cache line.
constexpr std::size_t granule = 16;
constexpr std::size_t line = 64;
constexpr std::size_t fine_bytes = 1024;
constexpr std::size_t fine_bins = fine_bytes / granule;
constexpr std::size_t bin_count = fine_bins + (std::size_t{4096} - fine_bytes) / line;
constexpr std::size_t smallest = 32;
constexpr std::size_t fresh_bytes = std::size_t{4} * 1024;  // carved at once when a bin runs dry

// A free block. The first block of a batch also says what the batch is.
struct block {
  block* next;
  block* next_batch;
  std::size_t batch_size;
};
static_assert(sizeof(block) <= smallest);

constexpr std::size_t bin_of(std::size_t bytes) noexcept {
  return bytes <= fine_bytes ? (bytes - 1) / granule
                             : (bytes - 1) / line + (fine_bins - fine_bytes / line);
}
constexpr std::size_t size_of_bin(std::size_t bin) noexcept {
  return bin < fine_bins ? std::max((bin + 1) * granule, smallest)
                         : fine_bytes + (bin - fine_bins + 1) * line;
}
static_assert(bin_of(fine_bytes) == fine_bins - 1 && bin_of(fine_bytes + 1) == fine_bins);
static_assert(bin_of(4096) == bin_count - 1 && size_of_bin(bin_count - 1) == 4096);
/// Blocks in a batch: 32 KiB, at most 128.
constexpr std::uint32_t batch_of_bin(std::size_t bin) noexcept {
  return static_cast<std::uint32_t>(
      std::min(std::size_t{128}, std::size_t{32} * 1024 / size_of_bin(bin)));
}

constexpr std::size_t page = 4096;
static_assert(max_inferred_alignment <= page);
constexpr std::size_t slab_bytes = std::size_t{64} * 1024;
constexpr std::size_t slabs_per_chunk = 64;
constexpr std::size_t chunk_bytes = slab_bytes * slabs_per_chunk;

// The pool takes addresses in chunks and memory in slabs. A slab serves one bin, and another one
// when all of its blocks have come back. What describes the slabs of a chunk fills the first page
// of it, so a block finds its slab by its address. The first block of a slab begins on a page, so
// each block is aligned to every power of two, up to a page, that divides its size.
struct alignas(line) slab {
  slab* next;
  slab* previous;
  block* free;             // the blocks that have come back
  std::uint32_t count;     // of these
  std::uint32_t carved;    // bytes from the start that blocks were made of
  std::uint32_t resident;  // bytes from the start that may have been touched; at least `carved`
  std::uint32_t bin;
  bool is_listed;  // on the shelf: it has a block to give
};
struct chunk {
  std::array<slab, slabs_per_chunk> slabs;
};
static_assert(sizeof(chunk) == page);

slab& slab_of(void* b) noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(b);
  auto* const c = reinterpret_cast<chunk*>(at & ~std::uintptr_t{chunk_bytes - 1});
  return c->slabs[(at & (chunk_bytes - 1)) / slab_bytes];
}
std::byte* start_of(slab& s) noexcept {
  auto* const first = reinterpret_cast<std::byte*>(reinterpret_cast<std::uintptr_t>(&s) &
                                                   ~std::uintptr_t{page - 1});
  const auto index = static_cast<std::size_t>(&s - reinterpret_cast<slab*>(first));
  return index == 0 ? first + page : first + index * slab_bytes;
}
std::size_t size_of(slab& s) noexcept {
  return reinterpret_cast<std::uintptr_t>(&s) % page == 0 ? slab_bytes - page : slab_bytes;
}

struct slab_list {
  slab* first = nullptr;

  void push(slab& s) noexcept {
    s.previous = nullptr;
    s.next = first;
    if (first != nullptr) first->previous = &s;
    first = &s;
  }
  void erase(slab& s) noexcept {
    (s.previous != nullptr ? s.previous->next : first) = s.next;
    if (s.next != nullptr) s.next->previous = s.previous;
  }
  slab* pop() noexcept {
    slab* const s = first;
    if (s != nullptr) erase(*s);
    return s;
  }
};

chunk* map_chunk() {
  // Twice as much, so that an aligned chunk is in it; the rest goes back.
  void* const mapped =
      ::mmap(nullptr, 2 * chunk_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<std::byte*>(mapped);
  const std::size_t before =
      (chunk_bytes - reinterpret_cast<std::uintptr_t>(begin) % chunk_bytes) % chunk_bytes;
  if (before != 0) ::munmap(begin, before);
  ::munmap(begin + before + chunk_bytes, chunk_bytes - before);
#if defined(__linux__)
  if (&__lsan_register_root_region != nullptr)
    __lsan_register_root_region(begin + before, chunk_bytes);
#endif
  return ::new (static_cast<void*>(begin + before)) chunk{};
}

void return_to_system(void* start, std::size_t bytes) noexcept {
#if defined(__linux__)
  ::madvise(start, bytes, MADV_DONTNEED);
#else
  ::madvise(start, bytes, MADV_FREE);
#endif
}

// A resolution of milliseconds is enough, and this is read for each batch.
std::int64_t now_ns() noexcept {
#if defined(CLOCK_MONOTONIC_COARSE)
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
#else
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
#endif
}

struct batch {
  block* first;
  std::uint32_t count;
};

// What all threads share. A shelf holds what was freed in batches, to be handed out again as such,
// and the slabs that have blocks to give. Batches are taken apart, block by block to the slabs they
// came from, only if the pool keeps more than it should, or when memory is needed for another bin.
//
// Every operation on it takes a bounded time under a lock. A lock of a shelf may be held when
// `slabs_mutex_` is taken, and no other two at once.
//
// `taken_` counts the bytes that come from the system, `kept_` those of them that are free, in
// batches or in slabs. The rest is in use; what the free lists of threads hold counts as used. The
// pool may hold as much as the peak use of this period and the one before, but never more than
// `limit_` beyond what is in use. These are statistics: each of them is exact, but they are not
// read at the same moment. So everything about them is relaxed.
class depot {
 public:
  // So much is given back by a trim only: for less, system calls are not worth it.
  static constexpr std::size_t floor_bytes = std::size_t{1} << 20;

  void put(std::size_t bin, block* first, std::size_t count) noexcept {
    const std::size_t used = in_use();
    if (used > peak_.load(relaxed)) peak_.store(used, relaxed);
    const std::size_t bytes = count * size_of_bin(bin);
    kept_.fetch_add(bytes, relaxed);
    batched_.fetch_add(bytes, relaxed);
    first->batch_size = count;
    shelf& s = shelves_[bin];
    {
      const std::lock_guard lock(s.mutex);
      first->next_batch = s.batches;
      s.batches = first;
    }
    turn_period(now_ns());
    balance(4, 64);
  }

  /// For a thread without a free list.
  void put_block(std::size_t bin, void* frame) noexcept {
    kept_.fetch_add(size_of_bin(bin), relaxed);
    {
      shelf& s = shelves_[bin];
      const std::lock_guard lock(s.mutex);
      put_into_slab(s, ::new (frame) block{nullptr, nullptr, 0});
    }
    balance(4, 64);
  }

  /// At least one block, and at most `most`.
  batch take(std::size_t bin, std::uint32_t most) {
    shelf& s = shelves_[bin];
    {
      const std::lock_guard lock(s.mutex);
      if (s.batches != nullptr) return take_batch(s, bin, most);
      if (s.slabs.first != nullptr) return take_from_slab(s, bin, most);
    }
    slab& fresh = take_slab();
    fresh.bin = static_cast<std::uint32_t>(bin);
    const std::lock_guard lock(s.mutex);
    fresh.is_listed = true;
    s.slabs.push(fresh);
    return take_from_slab(s, bin, most);
  }

  /// As `frame_pool_idle`.
  std::chrono::milliseconds idle() noexcept {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
    while (balance(16, 64))
      if (std::chrono::steady_clock::now() >= end) return std::chrono::milliseconds(20);
    const bool has_more = batched_.load(relaxed) != 0 || used_slabs_.load(relaxed) != 0;
    return has_more && bytes() > floor_bytes ? frame_pool_period : std::chrono::milliseconds(0);
  }
  void turn_period(std::int64_t now) noexcept {
    constexpr std::int64_t period = std::chrono::nanoseconds(frame_pool_period).count();
    std::int64_t began = period_began_.load(relaxed);
    if (now - began < period) [[likely]]
      return;
    if (!period_began_.compare_exchange_strong(began, now, relaxed)) return;
    begin_period();
    if (now - began >= 2 * period) begin_period();
  }
  void age() noexcept {
    begin_period();
    balance(all, all);
  }
  /// Gives back everything that it can, and returns how much.
  std::size_t trim() noexcept {
    std::size_t bytes = 0;
    epoch_.fetch_add(1, relaxed);
    while (release_batch() != 0) {
    }
    while (const std::size_t n = give_back_slab()) bytes += n;
    begin_period();
    begin_period();
    return bytes;
  }
  void set_limit(std::size_t bytes) noexcept {
    limit_.store(bytes, relaxed);
    epoch_.fetch_add(1, relaxed);
    surplus_.store(this->bytes(), relaxed);
    balance(all, all);
  }
  [[nodiscard]] std::size_t limit() const noexcept { return limit_.load(relaxed); }
  /// Changes when the free lists of threads are to be emptied.
  [[nodiscard]] std::uint32_t epoch() const noexcept { return epoch_.load(relaxed); }

  /// Locks all of it, around a fork. Nobody else holds the locks of two shelves at once.
  void lock() noexcept {
    for (shelf& s : shelves_) s.mutex.lock();
    slabs_mutex_.lock();
  }
  void unlock() noexcept {
    slabs_mutex_.unlock();
    for (shelf& s : shelves_) s.mutex.unlock();
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return taken_.load(relaxed); }
  [[nodiscard]] std::size_t kept() const noexcept {
    return std::min(kept_.load(relaxed), taken_.load(relaxed));
  }

 private:
  static constexpr auto relaxed = std::memory_order_relaxed;
  static constexpr std::size_t all = std::numeric_limits<std::size_t>::max();

  struct alignas(64) shelf {
    std::mutex mutex;
    block* batches = nullptr;
    slab_list slabs;
  };

  [[nodiscard]] std::size_t in_use() const noexcept { return bytes() - kept(); }
  [[nodiscard]] std::size_t allowed() const noexcept {
    const std::size_t used = in_use();
    const std::size_t peak = std::max({peak_.load(relaxed), previous_peak_.load(relaxed), used});
    return std::max(floor_bytes, used + std::min(peak - used, limit()));
  }

  void begin_period() noexcept {
    previous_peak_.store(peak_.exchange(in_use(), relaxed), relaxed);
    epoch_.fetch_add(1, relaxed);
    // It may take all batches apart before the surplus slabs are free. Where frames in use pin
    // those slabs this is in vain: so it is done once in a period, and not at all for a small
    // surplus.
    const std::size_t most = allowed();
    surplus_.store(bytes() > most + most / 8 + floor_bytes / 4 ? bytes() : 0, relaxed);
  }

  // Taking a batch apart costs about a microsecond, as does giving a slab back; and the last blocks
  // of many slabs may come back at once, so the number of steps is bounded. True: there may be more
  // to do.
  bool balance(std::size_t batches, std::size_t slabs) noexcept {
    while (bytes() > allowed()) {
      if (slabs == 0 || batches == 0) return true;
      if (give_back_slab() != 0)
        --slabs;
      else if (release_surplus())
        --batches;
      else
        return false;
    }
    return false;
  }
  bool release_surplus() noexcept {
    if (kept() > limit()) return release_batch() != 0;
    const std::size_t surplus = surplus_.load(relaxed);
    if (surplus == 0) return false;
    const std::size_t released = release_batch();
    surplus_.store(surplus - std::min(surplus, released), relaxed);
    return released != 0;
  }

  // The following need the lock of the shelf.

  batch take_batch(shelf& s, std::size_t bin, std::uint32_t most) noexcept {
    block* const first = s.batches;
    const auto count = static_cast<std::uint32_t>(first->batch_size);
    if (count > most) {
      block* last = first;
      for (std::uint32_t i = 1; i != most; ++i) last = last->next;
      block* const rest = std::exchange(last->next, nullptr);
      s.batches =
          ::new (static_cast<void*>(rest)) block{rest->next, first->next_batch, count - most};
    } else {
      s.batches = first->next_batch;
    }
    const std::uint32_t taken = std::min(count, most);
    batched_.fetch_sub(taken * size_of_bin(bin), relaxed);
    kept_.fetch_sub(taken * size_of_bin(bin), relaxed);
    return {first, taken};
  }

  batch take_from_slab(shelf& s, std::size_t bin, std::uint32_t most) noexcept {
    slab& from = *s.slabs.first;
    const std::size_t size = size_of_bin(bin);
    batch out{nullptr, 0};
    if (from.free != nullptr) {
      while (from.free != nullptr && out.count != most) {
        block* const b = std::exchange(from.free, from.free->next);
        b->next = out.first;
        out.first = b;
        ++out.count;
      }
      from.count -= out.count;
      kept_.fetch_sub(out.count * size, relaxed);
    } else {
      const std::size_t count =
          std::min({std::size_t{most}, std::max<std::size_t>(1, fresh_bytes / size),
                    (size_of(from) - from.carved) / size});
      std::byte* const start = start_of(from) + from.carved;
      for (std::size_t i = count; i != 0; --i)
        out.first = ::new (static_cast<void*>(start + (i - 1) * size)) block{out.first, nullptr, 0};
      out.count = static_cast<std::uint32_t>(count);
      const auto bytes = static_cast<std::uint32_t>(count * size);
      from.carved += bytes;
      const std::uint32_t grown = std::max(from.carved, from.resident) - from.resident;
      from.resident += grown;
      taken_.fetch_add(grown, relaxed);
      kept_.fetch_sub(bytes - grown, relaxed);
    }
    if (from.free == nullptr && size_of(from) - from.carved < size) {
      from.is_listed = false;
      s.slabs.erase(from);
    }
    return out;
  }

  void put_into_slab(shelf& s, block* b) noexcept {
    slab& home = slab_of(b);
    b->next = home.free;
    home.free = b;
    ++home.count;
    if (!home.is_listed) {
      home.is_listed = true;
      s.slabs.push(home);
    }
    if (home.count * size_of_bin(home.bin) != home.carved) return;
    s.slabs.erase(home);
    home.is_listed = false;
    home.free = nullptr;
    home.count = 0;
    home.carved = 0;
    const std::lock_guard lock(slabs_mutex_);
    used_.push(home);
    used_slabs_.fetch_add(1, relaxed);
  }

  // The following need no lock.

  /// A slab without blocks.
  slab& take_slab() {
    for (int i = 0; i != 8 && used_slabs_.load(relaxed) == 0; ++i)
      if (bytes() + slab_bytes <= allowed() || release_batch() == 0) break;
    // More comes from the system although much is free: a few blocks in batches and in the lists of
    // threads can pin many slabs.
    if (used_slabs_.load(relaxed) == 0 && kept() > std::max(slab_bytes, bytes() / 8) &&
        slabs_in_vain_.fetch_add(1, relaxed) % 16 == 15) {
      epoch_.fetch_add(1, relaxed);
      surplus_.store(bytes(), relaxed);
    }
    const std::lock_guard lock(slabs_mutex_);
    if (slab* const s = used_.pop()) {
      used_slabs_.fetch_sub(1, relaxed);
      return *s;
    }
    if (unused_.first == nullptr) {
      chunk* const added = map_chunk();
      for (std::size_t i = slabs_per_chunk; i != 0; --i) unused_.push(added->slabs[i - 1]);
    }
    return *unused_.pop();
  }

  /// Gives the memory of one slab back to the system. Zero: there is none without blocks.
  std::size_t give_back_slab() noexcept {
    slab* s = nullptr;
    {
      const std::lock_guard lock(slabs_mutex_);
      s = used_.pop();
      if (s == nullptr) return 0;
      used_slabs_.fetch_sub(1, relaxed);
    }
    const std::size_t given = std::exchange(s->resident, 0);
    return_to_system(start_of(*s), size_of(*s));
    kept_.fetch_sub(given, relaxed);
    taken_.fetch_sub(given, relaxed);
    const std::lock_guard lock(slabs_mutex_);
    unused_.push(*s);
    return given;
  }

  /// Takes a batch apart, and returns its bytes; zero if there is none. All of one bin, before the
  /// next one: so that whole slabs become free.
  std::size_t release_batch() noexcept {
    if (batched_.load(relaxed) == 0) return 0;
    std::size_t bin = cursor_.load(relaxed);
    for (std::size_t i = 0; i != bin_count; ++i) {
      shelf& s = shelves_[bin];
      {
        const std::lock_guard lock(s.mutex);
        if (block* b = s.batches) {
          s.batches = b->next_batch;
          const std::size_t bytes = b->batch_size * size_of_bin(bin);
          batched_.fetch_sub(bytes, relaxed);
          while (b != nullptr) put_into_slab(s, std::exchange(b, b->next));
          return bytes;
        }
      }
      bin = bin + 1 == bin_count ? 0 : bin + 1;
      cursor_.store(bin, relaxed);
    }
    return 0;
  }

  std::array<shelf, bin_count> shelves_;
  std::mutex slabs_mutex_;
  slab_list used_;    // without blocks, but with memory
  slab_list unused_;  // without memory
  std::atomic<std::size_t> used_slabs_{0};
  std::atomic<std::size_t> slabs_in_vain_{0};
  std::atomic<std::size_t> batched_{0};  // bytes in batches
  std::atomic<std::size_t> surplus_{0};  // bytes of them that may be taken apart in this period
  std::atomic<std::size_t> cursor_{0};
  std::atomic<std::size_t> taken_{0};
  std::atomic<std::size_t> kept_{0};
  std::atomic<std::size_t> limit_{frame_pool::no_limit};
  std::atomic<std::size_t> peak_{0};
  std::atomic<std::size_t> previous_peak_{0};
  std::atomic<std::int64_t> period_began_{0};
  std::atomic<std::uint32_t> epoch_{0};
};

// Never destroyed: frames are freed also by the destructors of static objects.
union immortal_depot {
  constexpr immortal_depot() noexcept : value() {}
  ~immortal_depot() {}
  depot value;
};
constinit immortal_depot the_depot;

// A thread's blocks of one size: a LIFO list, and a full batch or nothing beside it. So a thread
// whose demand swings by less than a batch around any level does not touch the depot.
struct bin_cache {
  block* head;
  block* spare;
  std::uint32_t count;  // of `head`
  std::uint32_t
      limit;  // the size of a batch; 0: nothing is kept here, each block goes to the depot
};

enum class phase : std::uint8_t { fresh, live, ended };

struct thread_cache {
  std::array<bin_cache, bin_count> bins;
  std::uint32_t epoch;  // of the depot, when the lists were emptied last
  phase state;

  void start() noexcept;
  void end() noexcept;
  void give_back_all() noexcept;
  void renew() noexcept;
  void follow() noexcept;
  void keep_up() noexcept;
  void* take(std::size_t bin);
  void put(std::size_t bin, void* frame) noexcept;
};

// Trivially destructible and constant-initialised: usable before and after the guard below.
constinit thread_local thread_cache this_thread_cache{};

struct thread_exit_guard {
  thread_exit_guard() noexcept = default;
  thread_exit_guard(const thread_exit_guard&) = delete;
  thread_exit_guard& operator=(const thread_exit_guard&) = delete;
  ~thread_exit_guard() { this_thread_cache.end(); }
  bool armed = false;
};

void thread_cache::start() noexcept {
  thread_local thread_exit_guard guard;
  guard.armed = true;  // the first use registers the destructor
  state = phase::live;
  renew();
}

void thread_cache::end() noexcept {
  state = phase::ended;
  give_back_all();
}

/// Gives everything to the depot. The limits are 0 afterwards.
void thread_cache::give_back_all() noexcept {
  for (std::size_t bin = 0; bin != bin_count; ++bin) {
    const bin_cache b = std::exchange(bins[bin], bin_cache{});
    if (b.head != nullptr) the_depot.value.put(bin, b.head, b.count);
    if (b.spare != nullptr) the_depot.value.put(bin, b.spare, batch_of_bin(bin));
  }
}

void thread_cache::renew() noexcept {
  epoch = the_depot.value.epoch();
  give_back_all();
  if (the_depot.value.limit() == 0) return;
  for (std::size_t bin = 0; bin != bin_count; ++bin) bins[bin].limit = batch_of_bin(bin);
}

void thread_cache::follow() noexcept {
  if (state == phase::live && epoch != the_depot.value.epoch()) [[unlikely]]
    renew();
}

/// Called first in every slow path.
void thread_cache::keep_up() noexcept {
  if (state == phase::fresh) start();
  follow();
}

void* thread_cache::take(std::size_t bin) {
  keep_up();
  bin_cache& b = bins[bin];
  if (b.limit == 0) return the_depot.value.take(bin, 1).first;
  if (b.spare != nullptr) {
    b.head = std::exchange(b.spare, nullptr);
    b.count = b.limit;
  } else if (b.head == nullptr) {
    const batch taken = the_depot.value.take(bin, b.limit);
    b.head = taken.first;
    b.count = taken.count;
  }
  --b.count;
  return std::exchange(b.head, b.head->next);
}

/// The list is full, or there is none.
void thread_cache::put(std::size_t bin, void* frame) noexcept {
  keep_up();
  bin_cache& b = bins[bin];
  if (b.limit == 0) {
    the_depot.value.put_block(bin, frame);
    return;
  }
  if (b.count == b.limit) {
    if (b.spare != nullptr) the_depot.value.put(bin, b.spare, b.limit);
    b.spare = std::exchange(b.head, nullptr);
    b.count = 0;
  }
  b.head = ::new (frame) block{b.head, nullptr, 0};
  ++b.count;
}

KIOTO_NOINLINE void* allocate_slowly(thread_cache& cache, std::size_t bin) {
  return cache.take(bin);
}

KIOTO_NOINLINE void deallocate_slowly(thread_cache& cache, std::size_t bin, void* frame) noexcept {
  cache.put(bin, frame);
}

std::size_t kept_bytes() noexcept { return the_depot.value.kept(); }
void set_kept_limit(std::size_t bytes) noexcept {
  if (this_thread_cache.state == phase::live) this_thread_cache.renew();
  the_depot.value.set_limit(bytes);
  this_thread_cache.keep_up();
}
std::size_t kept_limit() noexcept { return the_depot.value.limit(); }
std::size_t trim_all() noexcept {
  if (this_thread_cache.state == phase::live) this_thread_cache.renew();
  return the_depot.value.trim();
}

}  // namespace

void* allocate_frame(std::size_t bytes) {
  const std::size_t bin = bin_of(bytes);  // zero bytes wrap around to a large one
  if (bin >= bin_count) [[unlikely]]
    return allocate_large(bytes);
  thread_cache& cache = this_thread_cache;
  bin_cache& b = cache.bins[bin];
  block* taken = b.head;
  if (taken == nullptr) [[unlikely]]
    return allocate_slowly(cache, bin);
  b.head = taken->next;
  --b.count;
  return taken;
}

void deallocate_frame(void* frame, std::size_t bytes) noexcept {
  const std::size_t bin = bin_of(bytes);
  if (bin >= bin_count) [[unlikely]] {
    deallocate_large(frame, bytes);
    return;
  }
  thread_cache& cache = this_thread_cache;
  bin_cache& b = cache.bins[bin];
  if (b.count == b.limit) [[unlikely]] {
    deallocate_slowly(cache, bin, frame);
    return;
  }
  static_cast<block*>(frame)->next = b.head;
  b.head = static_cast<block*>(frame);
  ++b.count;
}

std::size_t frame_pool_bytes() noexcept { return the_depot.value.bytes(); }
bool frame_pool_enabled() noexcept { return true; }
void frame_pool_age() noexcept {
  if (this_thread_cache.state == phase::live) this_thread_cache.renew();
  the_depot.value.age();
}
std::chrono::milliseconds frame_pool_idle() noexcept {
  depot& shared = the_depot.value;
  if (shared.bytes() <= depot::floor_bytes) return {};
  shared.turn_period(now_ns());
  // In each period once: what a thread uses all the time is better left to it.
  thread_cache& cache = this_thread_cache;
  const bool renewed = cache.state != phase::live || cache.epoch != shared.epoch();
  cache.follow();
  const auto rest = shared.idle();
  if (rest.count() != 0 || renewed || shared.bytes() <= depot::floor_bytes) return rest;
  return frame_pool_period;
}
void lock_frame_pool() noexcept { the_depot.value.lock(); }
void unlock_frame_pool() noexcept { the_depot.value.unlock(); }

#endif

}  // namespace kioto::detail

namespace kioto::frame_pool {

std::size_t resident_bytes() noexcept { return detail::frame_pool_bytes(); }
std::size_t kept_bytes() noexcept { return detail::kept_bytes(); }
void set_limit(std::size_t bytes) noexcept { detail::set_kept_limit(bytes); }
std::size_t limit() noexcept { return detail::kept_limit(); }
std::size_t trim() noexcept { return detail::trim_all(); }

}  // namespace kioto::frame_pool
