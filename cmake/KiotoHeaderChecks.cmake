# SPDX-License-Identifier: MIT
# Compiles every header alone: with this build's compiler, and without exceptions with the other
# supported one when it is there. A header that leans on its includer fails the build under its own
# name.
file(GLOB_RECURSE kioto_check_headers CONFIGURE_DEPENDS
     RELATIVE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/include/kioto/*.hpp")

set(kioto_check_compilers "${CMAKE_CXX_COMPILER}")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  find_program(KIOTO_OTHER_CXX NAMES clang++-19 clang++-20 clang++-18)
else()
  find_program(KIOTO_OTHER_CXX NAMES g++)
endif()
if(KIOTO_OTHER_CXX)
  list(APPEND kioto_check_compilers "${KIOTO_OTHER_CXX}")
else()
  message(STATUS "kioto: header checks with ${CMAKE_CXX_COMPILER} only, no second compiler found")
endif()

# Given with -isystem, /usr/include would come before the C++ library and break its include_next.
set(kioto_check_system "")
foreach(dependency fmt::fmt tl::expected)
  get_target_property(directories ${dependency} INTERFACE_INCLUDE_DIRECTORIES)
  foreach(directory IN LISTS directories)
    if(directory AND NOT directory STREQUAL "/usr/include")
      list(APPEND kioto_check_system -isystem "${directory}")
    endif()
  endforeach()
endforeach()

set(kioto_check_objects "")
foreach(compiler IN LISTS kioto_check_compilers)
  cmake_path(GET compiler FILENAME compiler_name)
  set(modes exceptions)
  if(KIOTO_OTHER_CXX)
    if(compiler STREQUAL KIOTO_OTHER_CXX)
      set(modes no-exceptions)
    endif()
  else()
    list(APPEND modes no-exceptions)
  endif()
  foreach(mode IN LISTS modes)
    set(mode_flags "")
    if(mode STREQUAL "no-exceptions")
      set(mode_flags -fno-exceptions)
    endif()
    foreach(header IN LISTS kioto_check_headers)
      set(dir "${CMAKE_CURRENT_BINARY_DIR}/headers")
      string(REGEX REPLACE "[/.]" "_" stem "${header}")
      set(source "${dir}/${stem}.cpp")
      set(object "${dir}/${compiler_name}/${mode}/${stem}.o")
      file(CONFIGURE OUTPUT "${source}" CONTENT "#include <${header}>\n#include <${header}>\n")
      file(MAKE_DIRECTORY "${dir}/${compiler_name}/${mode}")
      add_custom_command(
        OUTPUT "${object}"
        COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} "${compiler}" -std=c++20
                ${mode_flags}
                "-I${PROJECT_SOURCE_DIR}/include"
                ${kioto_check_system}
                -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wpedantic -Werror
                -MD -MF "${object}.d" -MT "${object}" -c "${source}" -o "${object}"
        DEPENDS "${PROJECT_SOURCE_DIR}/include/${header}" "${source}"
        DEPFILE "${object}.d"
        COMMENT "Header alone: <${header}> (${compiler_name}, ${mode})"
        COMMAND_EXPAND_LISTS VERBATIM)
      list(APPEND kioto_check_objects "${object}")
    endforeach()
  endforeach()
endforeach()

add_custom_target(kioto_headers_alone ALL DEPENDS ${kioto_check_objects})
add_test(NAME "headers: each compiles alone"
         COMMAND "${CMAKE_COMMAND}" --build "${PROJECT_BINARY_DIR}" --target kioto_headers_alone)
set_tests_properties("headers: each compiles alone" PROPERTIES
  TIMEOUT 1200 RESOURCE_LOCK kioto_build_directory LABELS headers)
