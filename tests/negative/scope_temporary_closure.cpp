// SPDX-License-Identifier: MIT
// g++ before 13 destroys twice a closure with captures by value that is made inside of a co_await
// expression. A scope refuses it there; elsewhere it is fine.
// expect: g\+\+ before 13 destroys twice
#include <kioto/scope.hpp>

#include <memory>

kioto::task<> work(std::shared_ptr<int> p) {
  auto body = [p](kioto::task_scope&) -> kioto::task<int> { co_return *p; };
  const int named = co_await kioto::scope(body);
  const int by_reference =
      co_await kioto::scope([&](kioto::task_scope&) -> kioto::task<int> { co_return *p; });
  const int trivial =
      co_await kioto::scope([named](kioto::task_scope&) -> kioto::task<int> { co_return named; });
  *p = by_reference + trivial;
#ifndef KIOTO_CONTROL
  co_await kioto::scope([p](kioto::task_scope&) -> kioto::task<> { co_return; });
#if !KIOTO_BROKEN_AWAIT_TEMPORARIES
#error "fine here, and refused by g++: g++ before 13 destroys twice what stands in that line"
#endif
#endif
}
