// SPDX-License-Identifier: MIT
// Frames come from operator new in this program, so that they can fail: these definitions come
// before those of the library.
#define KIOTO_FRAME_POOL 0
#include "base/frame_allocator.cpp"
