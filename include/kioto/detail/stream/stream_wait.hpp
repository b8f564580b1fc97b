// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <optional>
#include <type_traits>

#include <kioto/config.hpp>
#include <kioto/detail/stream/next_outcome.hpp>
#include <kioto/detail/task/leaf_awaiter.hpp>
#include <kioto/detail/task/standing_waits.hpp>
#include <kioto/stream/stream.hpp>

namespace kioto::detail {

/// Has room for what comes of a stream.
template <class T>
class standing_arrival : public standing_wait {
 public:
  [[nodiscard]] next_outcome<T>& result() noexcept { return result_; }

 protected:
  standing_arrival() noexcept = default;

  next_outcome<T> result_;
};

/// The wait for the next element of one stream, as a `T`.
template <class S, class T>
class stream_wait : public standing_arrival<T> {
 public:
  stream_wait() noexcept = default;

  /// Before anything else.
  void bind(S& stream) noexcept { stream_ = &stream; }
  /// The stream goes, or moves; nothing is in flight.
  void reset() noexcept { operation_.reset(); }

  attempt ask() noexcept override {
    KIOTO_TRY {
      // Anew, also after a hint: who refers to the source may have replaced it.
      leaf_operation& asked = operation_.emplace(get_awaiter(stream_->next()));
      asked.strand_ = this;
      this->current_ = &asked;
      const attempt result = asked.try_or_wait();
      if (result == attempt::suspended) return result;
      if (result == attempt::ready) {
        this->result_.receive([this] { return operation_->await_resume(); });
        this->has_ended_ = this->result_.is_end();
      }
      operation_.reset();
      return result;
    }
    KIOTO_CATCH_ALL {
      this->result_.fail(std::current_exception());
      return attempt::ready;
    }
  }

 private:
  S* stream_ = nullptr;
  std::optional<awaiter_of<next_of<S>>> operation_;
};

/// A stream whose waits may stand while nobody awaits it.
template <class S>
concept standing_stream =
    standing_of<S> != standing::never && !std::is_reference_v<next_of<S>> &&
    leaf_by_itself<next_of<S>> && standing_of<awaiter_of<next_of<S>>> != standing::never;

}  // namespace kioto::detail
