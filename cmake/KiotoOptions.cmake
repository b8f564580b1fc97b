# SPDX-License-Identifier: MIT
# Build-wide settings: the compiler cache, the sanitizers, the warnings.

if(PROJECT_IS_TOP_LEVEL)
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
  endif()
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
endif()

if(KIOTO_USE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(KIOTO_CCACHE ccache)
  if(KIOTO_CCACHE)
    # A precompiled header carries time stamps and defines; without this ccache refuses the units using it.
    set(CMAKE_CXX_COMPILER_LAUNCHER
        "${CMAKE_COMMAND};-E;env;CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime;${KIOTO_CCACHE}")
  endif()
endif()

if(KIOTO_SANITIZE)
  add_compile_options("-fsanitize=${KIOTO_SANITIZE}" -fno-omit-frame-pointer -g1)
  add_link_options("-fsanitize=${KIOTO_SANITIZE}")
  if(KIOTO_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()

# The warnings of our own code. Private: a user's flags are the user's.
function(kioto_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wpedantic)
  if(KIOTO_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Not a warning: how the ABI changed in 2010 for over-aligned parameters.
    target_compile_options(${target} PRIVATE -Wno-psabi)
    if(KIOTO_SANITIZE)
      # The instrumentation hides the initialisations from the flow analysis.
      target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized)
    endif()
  endif()
endfunction()
