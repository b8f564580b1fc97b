# SPDX-License-Identifier: MIT
# How each kind of test becomes targets and ctest entries.

set(kioto_test_timeout 60)
if(KIOTO_SANITIZE OR CMAKE_CXX_FLAGS MATCHES "-O0")
  set(kioto_test_timeout 240)
endif()

find_package(Catch2 QUIET)
if(Catch2_FOUND)
  include(Catch)
elseif(NOT KIOTO_ONLY_MODELS)
  message(FATAL_ERROR "The tests need Catch2 2 or 3 (Debian: catch2). "
                      "Install it, or configure with -DKIOTO_BUILD_TESTS=OFF.")
endif()

# Catch2 and kioto are large: they are compiled once (Catch's main, and the headers as precompiled
# ones). Whether each header of kioto compiles alone is a test of its own.
function(kioto_add_catch_support)
  if(TARGET kioto_test_support)
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/support/*.cpp")
  add_library(kioto_test_support STATIC ${sources})
  target_include_directories(kioto_test_support PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(kioto_test_support PUBLIC kioto::kioto)
  set_target_properties(kioto_test_support PROPERTIES CXX_EXTENSIONS OFF)
  if(TARGET Catch2::Catch2WithMain)
    target_link_libraries(kioto_test_support PUBLIC Catch2::Catch2WithMain)
  else()
    target_link_libraries(kioto_test_support PUBLIC Catch2::Catch2)
  endif()
  kioto_warnings(kioto_test_support)
  # Catch's own code needs neither speed nor a sanitizer, and would take minutes to compile with.
  set_source_files_properties("${CMAKE_CURRENT_SOURCE_DIR}/support/catch_main.cpp" PROPERTIES
    COMPILE_OPTIONS "-O0;-g0;-fno-sanitize=all")
endfunction()

# tests/<kind>/*.cpp: one program of Catch2 test cases, one ctest entry per test case.
function(kioto_add_catch_tests kind)
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${kind}/*.cpp")
  if(NOT KIOTO_BUILD_MATRIX_TESTS)
    # They take minutes to compile, and say little that depends on the compiler or its options.
    list(FILTER sources EXCLUDE REGEX "/select_(around|channels|sockets|tasks)_test\\.cpp$")
  endif()
  if(NOT sources)
    return()
  endif()
  kioto_add_catch_support()
  set(target kioto_${kind})
  add_executable(${target} ${sources})
  target_link_libraries(${target} PRIVATE kioto_test_support)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  get_property(pch_owner GLOBAL PROPERTY kioto_pch_owner)
  if(pch_owner)
    target_precompile_headers(${target} REUSE_FROM ${pch_owner})
  else()
    target_precompile_headers(${target} PRIVATE support/catch.hpp "${PROJECT_SOURCE_DIR}/include/kioto/kioto.hpp")
    set_property(GLOBAL PROPERTY kioto_pch_owner ${target})
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -fpch-preprocess)
  else()
    target_compile_options(${target} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
  endif()
  kioto_warnings(${target})
  catch_discover_tests(${target}
    TEST_PREFIX "${kind}: "
    PROPERTIES TIMEOUT ${kioto_test_timeout} LABELS ${kind})
endfunction()

# tests/<kind>/*.cpp: one program each, which tells by its exit code.
function(kioto_add_program_tests kind)
  if(kind STREQUAL "model" AND NOT KIOTO_BUILD_MODELS)
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${kind}/*.cpp")
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM stem)
    set(target "kioto_${kind}_${stem}")
    add_executable(${target} ${source})
    set_target_properties(${target} PROPERTIES
      CXX_EXTENSIONS OFF
      RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/${kind}"
      OUTPUT_NAME ${stem})
    target_include_directories(${target} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/src")
    target_link_libraries(${target} PRIVATE kioto_interface)
    if(kind STREQUAL "model")
      # Relacy redefines names of the standard library by macros; its warnings say nothing about us.
      target_compile_options(${target} PRIVATE -w)
    else()
      kioto_warnings(${target})
    endif()
    add_test(NAME "${kind}: ${stem}" COMMAND ${target})
    set_tests_properties("${kind}: ${stem}" PROPERTIES TIMEOUT 240 LABELS ${kind})
  endforeach()
endfunction()

# tests/negative/*.cpp: must not compile, and for the expected reason.
function(kioto_add_negative_tests)
  set(flags "-I${PROJECT_SOURCE_DIR}/include")
  foreach(dependency fmt::fmt tl::expected)
    get_target_property(directories ${dependency} INTERFACE_INCLUDE_DIRECTORIES)
    foreach(directory IN LISTS directories)
      # /usr/include, given as an option, would come before the C++ library.
      if(directory AND NOT directory STREQUAL "/usr/include")
        string(APPEND flags " -isystem ${directory}")
      endif()
    endforeach()
  endforeach()
  file(GLOB negatives CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/negative/*.cpp")
  file(GLOB records CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/compiler/known_bad/*.cpp")
  foreach(source IN LISTS negatives records)
    cmake_path(GET source STEM stem)
    if(source IN_LIST records)
      set(name "compiler: known bad ${stem}")
      set(record ON)
    else()
      set(name "negative: ${stem}")
      set(record OFF)
    endif()
    add_test(NAME "${name}"
             COMMAND "${CMAKE_COMMAND}" "-DSOURCE=${source}" "-DCOMPILER=${CMAKE_CXX_COMPILER}"
                     "-DFLAGS=${flags}" "-DRECORD=${record}"
                     -P "${PROJECT_SOURCE_DIR}/cmake/KiotoNegativeTest.cmake")
    set_tests_properties("${name}" PROPERTIES TIMEOUT 240 LABELS negative)
  endforeach()
endfunction()
