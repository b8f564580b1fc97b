// SPDX-License-Identifier: MIT
#include <kioto/cancellation_token.hpp>

#include <exception>
#include <memory>
#include <mutex>

namespace kioto::detail {

/// Shared by the nodes of a tree.
struct cancellation_tree {
  std::mutex mutex;
};

/// Waits for a token, to request a stop of a std::stop_source. Owned by the list of waiters that it
/// is in.
class stop_source_link final : public cancellation_waiter {
 public:
  stop_source_link() : cancellation_waiter(&stop_source_link::on_cancelled) {}
  [[nodiscard]] std::stop_token token() const noexcept { return source_.get_token(); }

 private:
  static void on_cancelled(cancellation_waiter& waiter) noexcept {
    auto& self = static_cast<stop_source_link&>(waiter);
    self.source_.request_stop();
    delete &self;
  }

  std::stop_source source_;
};

/// Waits for a std::stop_token, to cancel a token.
class stop_request_link {
 public:
  stop_request_link(std::stop_token token, cancellation_node& node)
      : callback_(std::move(token), canceller(node)) {}

 private:
  // The destructor of the callback waits for a call in progress, so the node is alive. But not if
  // the call itself leads to its destruction: hence the reference. A node without references is
  // being destroyed on another thread.
  class canceller {
   public:
    explicit canceller(cancellation_node& node) noexcept : node_(node) {}
    void operator()() const noexcept {
      cancellation_node& node = node_;
      const bool alive = node.try_add_reference();
      node.cancel();
      if (alive) cancellation_node::drop_reference(&node);
    }

   private:
    cancellation_node& node_;
  };

  std::stop_callback<canceller> callback_;
};

cancellation_node* cancellation_node::create(cancellation_node* parent) {
  if (parent == nullptr) {
    auto tree = std::make_unique<cancellation_tree>();
    auto* root = new cancellation_node;
    root->tree_ = tree.release();
    return root;
  }
  auto* node = new cancellation_node;
  node->tree_ = parent->tree_;
  node->parent_ = parent;
  parent->add_reference();
  const std::lock_guard lock(node->tree_->mutex);
  if (parent->is_cancelled())
    node->cancelled_.store(true, std::memory_order_relaxed);
  else
    parent->children_.push_back(*node);
  return node;
}

bool cancellation_node::try_add_reference() noexcept {
  std::uint32_t count = references_.load(std::memory_order_relaxed);
  while (count != 0 &&
         !references_.compare_exchange_weak(count, count + 1, std::memory_order_relaxed)) {
  }
  return count != 0;
}

// Without recursion: a chain of children may be long.
void cancellation_node::drop_reference(cancellation_node* node) noexcept {
  while (node != nullptr && node->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    cancellation_node* const parent = node->parent_;
    if (parent != nullptr) {
      const std::lock_guard lock(node->tree_->mutex);
      if (node->is_linked()) intrusive_list<cancellation_node>::erase(*node);
    }
    delete node;
    node = parent;
  }
}

cancellation_node::~cancellation_node() {
  delete link_;
  if (source_ != nullptr && waiters_.remove(*source_)) delete source_;
  if (parent_ == nullptr) delete tree_;
}

void cancellation_node::cancel() noexcept {
  basic_event_waiters<std_sync, cancellation_waiter>::list woken;
  {
    // Whoever finds the node cancelled here is ordered after the cancellation of all of its
    // descendants.
    const std::lock_guard lock(tree_->mutex);
    if (is_cancelled()) return;
    if (is_linked()) intrusive_list<cancellation_node>::erase(*this);
    intrusive_list<cancellation_node> pending;
    pending.push_back(*this);
    while (cancellation_node* node = pending.pop_front()) {
      node->waiters_.take_all(woken, [node] {
        node->cancelled_.store(true, std::memory_order_release);
        return true;
      });
      node->source_ = nullptr;
      pending.splice_back(node->children_);
    }
  }
  // From here on the nodes may be destroyed. The waiters were taken over and cannot be.
  while (cancellation_waiter* waiter = woken.pop_front()) waiter->fire(*waiter);
}

std::stop_token cancellation_node::get_stop_token() {
  {
    const std::lock_guard lock(tree_->mutex);
    if (!is_cancelled()) {
      if (source_ == nullptr) {
        source_ = new stop_source_link;
        // Nobody cancels meanwhile.
        if (!add(*source_)) std::terminate();
      }
      return source_->token();
    }
  }
  std::stop_source stopped;
  stopped.request_stop();
  return stopped.get_token();
}

void cancellation_node::follow(std::stop_token token) {
  // The caller has a reference to this, also if the token asks for the stop at once.
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDelete)
  link_ = new stop_request_link(std::move(token), *this);
}

}  // namespace kioto::detail
