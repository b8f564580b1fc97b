// SPDX-License-Identifier: MIT
#include <kioto/detail/frame_allocator.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>

#if !defined(KIOTO_FRAME_POOL)
#define KIOTO_FRAME_POOL !KIOTO_SANITIZED
#endif

namespace kioto::detail {

#if !(KIOTO_FRAME_POOL)

void* allocate_frame(std::size_t bytes) { return ::operator new(bytes); }
void deallocate_frame(void* frame, std::size_t bytes) noexcept { ::operator delete(frame, bytes); }
std::size_t frame_pool_bytes() noexcept { return 0; }
bool frame_pool_enabled() noexcept { return false; }
void lock_frame_pool() noexcept {}
void unlock_frame_pool() noexcept {}

#else

namespace {

// Bins are 16 bytes apart up to 1 KiB, where most frames are, and then a cache line.
constexpr std::size_t granule = 16;  // also the alignment
constexpr std::size_t line = 64;     // alignment of those whose size is a multiple of it
constexpr std::size_t fine_bytes = 1024;
constexpr std::size_t fine_bins = fine_bytes / granule;
constexpr std::size_t bin_count = fine_bins + (std::size_t{4096} - fine_bytes) / line;
constexpr std::size_t smallest = 32;
constexpr std::size_t slab_bytes = std::size_t{64} * 1024;
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
/// The largest bin whose blocks are not larger.
constexpr std::size_t bin_within(std::size_t bytes) noexcept {
  const std::size_t bin = bin_of(bytes);
  return size_of_bin(bin) <= bytes ? bin : bin - 1;
}
/// Blocks in a batch: 32 KiB, at most 128.
constexpr std::uint32_t batch_of_bin(std::size_t bin) noexcept {
  return static_cast<std::uint32_t>(
      std::min(std::size_t{128}, std::size_t{32} * 1024 / size_of_bin(bin)));
}

// A part of a slab that no block was carved from.
struct region {
  region* next;
  std::size_t bytes;
};

// What all threads share. Every operation on it is O(1) under the lock.
class depot {
 public:
  void put_batch(std::size_t bin, block* first, std::size_t count) noexcept {
    first->batch_size = count;
    shelf& s = shelves_[bin];
    std::lock_guard lock(s.mutex);
    first->next_batch = s.batches;
    s.batches = first;
  }
  /// Null when there is none.
  block* take_batch(std::size_t bin) noexcept {
    shelf& s = shelves_[bin];
    std::lock_guard lock(s.mutex);
    block* first = s.batches;
    if (first != nullptr) s.batches = first->next_batch;
    return first;
  }

  void put_region(void* start, std::size_t bytes) noexcept {
    std::lock_guard lock(regions_mutex_);
    regions_ = ::new (start) region{regions_, bytes};
  }
  /// A left region, or a new slab.
  std::pair<std::byte*, std::size_t> take_region() {
    {
      std::lock_guard lock(regions_mutex_);
      if (regions_ != nullptr) {
        region* r = std::exchange(regions_, regions_->next);
        return {reinterpret_cast<std::byte*>(r), r->bytes};
      }
    }
    auto* slab = static_cast<std::byte*>(::operator new(slab_bytes, std::align_val_t(line)));
    bytes_.fetch_add(slab_bytes, std::memory_order_relaxed);
    // The head of each slab links it, so that leak checkers find all of them from here.
    std::lock_guard lock(regions_mutex_);
    slabs_ = ::new (static_cast<void*>(slab)) region{slabs_, slab_bytes};
    return {slab + line, slab_bytes - line};
  }

  /// All of it: nobody else holds two of the locks.
  void lock() noexcept {
    for (shelf& s : shelves_) s.mutex.lock();
    regions_mutex_.lock();
  }
  void unlock() noexcept {
    regions_mutex_.unlock();
    for (shelf& s : shelves_) s.mutex.unlock();
  }

  [[nodiscard]] std::size_t bytes() const noexcept {
    return bytes_.load(std::memory_order_relaxed);
  }

 private:
  struct alignas(64) shelf {
    std::mutex mutex;
    block* batches = nullptr;
  };
  std::array<shelf, bin_count> shelves_;
  std::mutex regions_mutex_;
  region* regions_ = nullptr;
  region* slabs_ = nullptr;
  std::atomic<std::size_t> bytes_{0};
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
  std::uint32_t limit;  // the size of a batch; 0 unless the thread is live: slow path
};

enum class phase : std::uint8_t { fresh, live, ended };

struct thread_cache {
  std::array<bin_cache, bin_count> bins;
  std::byte* region;
  std::size_t region_bytes;
  phase state;

  void start() noexcept;
  void end() noexcept;
  void give_back(std::size_t bin) noexcept;
  void give_back_region() noexcept;
  void put(std::size_t bin, void* frame) noexcept;
  void refill(std::size_t bin);
  void carve(std::size_t bin);
  void align_region() noexcept;
  void new_region(std::size_t wanted);
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
  for (std::size_t bin = 0; bin != bin_count; ++bin) bins[bin].limit = batch_of_bin(bin);
}

void thread_cache::end() noexcept {
  state = phase::ended;
  for (std::size_t bin = 0; bin != bin_count; ++bin) give_back(bin);
  give_back_region();
}

/// Gives everything of a bin to the depot.
void thread_cache::give_back(std::size_t bin) noexcept {
  bin_cache& b = bins[bin];
  if (b.head != nullptr) the_depot.value.put_batch(bin, b.head, b.count);
  if (b.spare != nullptr) the_depot.value.put_batch(bin, b.spare, batch_of_bin(bin));
  b = {};
}

/// Not while something is being carved from it.
void thread_cache::give_back_region() noexcept {
  if (region_bytes >= smallest) the_depot.value.put_region(region, region_bytes);
  region_bytes = 0;
}

/// The slow path of freeing: the list is full, or the thread is not live.
void thread_cache::put(std::size_t bin, void* frame) noexcept {
  if (state == phase::fresh) start();
  bin_cache& b = bins[bin];
  if (b.count == b.limit && b.count != 0) {
    if (b.spare != nullptr) the_depot.value.put_batch(bin, b.spare, b.limit);
    b.spare = std::exchange(b.head, nullptr);
    b.count = 0;
  }
  b.head = ::new (frame) block{b.head, nullptr, 0};
  ++b.count;
  if (state == phase::ended) give_back(bin);
}

/// Makes the list of a bin non-empty.
void thread_cache::refill(std::size_t bin) {
  if (state == phase::fresh) start();
  bin_cache& b = bins[bin];
  if (b.spare != nullptr) {
    b.head = std::exchange(b.spare, nullptr);
    b.count = batch_of_bin(bin);
  } else if (block* batch = the_depot.value.take_batch(bin)) {
    b.head = batch;
    b.count = static_cast<std::uint32_t>(batch->batch_size);
  } else {
    carve(bin);
  }
}

void thread_cache::carve(std::size_t bin) {
  const std::size_t size = size_of_bin(bin);
  if (size % line == 0) align_region();
  if (region_bytes < size) new_region(size);
  const std::size_t count =
      std::min(region_bytes / size, std::max<std::size_t>(1, fresh_bytes / size));
  block* list = nullptr;
  for (std::size_t i = count; i != 0; --i)
    list = ::new (static_cast<void*>(region + (i - 1) * size)) block{list, nullptr, 0};
  region += count * size;
  region_bytes -= count * size;
  bins[bin].head = list;
  bins[bin].count = static_cast<std::uint32_t>(count);
}

void thread_cache::align_region() noexcept {
  const std::size_t slack =
      std::min((line - reinterpret_cast<std::uintptr_t>(region) % line) % line, region_bytes);
  std::byte* const at = region;
  region += slack;
  region_bytes -= slack;
  if (slack >= smallest) put(bin_of(slack), at);
}

void thread_cache::new_region(std::size_t wanted) {
  do {
    const auto [start, bytes] = the_depot.value.take_region();
    // What the old region still has is too little for this bin; it is a block of a smaller one.
    if (region_bytes >= smallest) put(bin_within(std::exchange(region_bytes, 0)), region);
    region = start;
    region_bytes = bytes;
    if (wanted % line == 0) align_region();
  } while (region_bytes < wanted);
}

KIOTO_NOINLINE void* allocate_slowly(thread_cache& cache, std::size_t bin) {
  cache.refill(bin);
  bin_cache& b = cache.bins[bin];
  block* taken = b.head;
  b.head = taken->next;
  --b.count;
  if (cache.state == phase::ended) {
    cache.give_back(bin);
    cache.give_back_region();
  }
  return taken;
}

KIOTO_NOINLINE void deallocate_slowly(thread_cache& cache, std::size_t bin, void* frame) noexcept {
  cache.put(bin, frame);
}

}  // namespace

void* allocate_frame(std::size_t bytes) {
  const std::size_t bin = bin_of(bytes);  // zero bytes wrap around to a large one
  if (bin >= bin_count) [[unlikely]]
    return ::operator new(bytes);
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
    ::operator delete(frame, bytes);
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
void lock_frame_pool() noexcept { the_depot.value.lock(); }
void unlock_frame_pool() noexcept { the_depot.value.unlock(); }

#endif

}  // namespace kioto::detail
