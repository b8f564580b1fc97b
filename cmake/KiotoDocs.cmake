# SPDX-License-Identifier: MIT
# The C++ in the documentation: each page becomes one translation unit and one program,
# kioto_docs_<page>; how blocks are written stands in tests/docs/blocks.py.

find_package(Python3 COMPONENTS Interpreter)
if(NOT Python3_Interpreter_FOUND)
  message(STATUS "kioto: no Python, so the code in docs/ is not compiled")
  return()
endif()

file(MAKE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/docs")
set(kioto_blocks "${CMAKE_CURRENT_SOURCE_DIR}/docs/blocks.py")
file(GLOB kioto_guide CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}"
     "${PROJECT_SOURCE_DIR}/docs/guide/*.md")
file(GLOB_RECURSE kioto_pages CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}"
     "${PROJECT_SOURCE_DIR}/docs/*.md")
file(GLOB kioto_designs CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}"
     "${PROJECT_SOURCE_DIR}/docs/design/*.md")

foreach(page IN ITEMS README.md docs/README.md LISTS kioto_guide)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${page}")
  file(STRINGS "${PROJECT_SOURCE_DIR}/${page}" cpp REGEX "^```cpp")
  if(NOT cpp)
    continue()
  endif()
  string(REGEX REPLACE "[^A-Za-z0-9]+" "_" stem "${page}")
  string(REGEX REPLACE "^(docs_guide_|docs_)|_md$" "" stem "${stem}")
  string(TOLOWER "${stem}" stem)
  set(source "${CMAKE_CURRENT_BINARY_DIR}/docs/${stem}.cpp")
  add_custom_command(
    OUTPUT "${source}"
    COMMAND "${Python3_EXECUTABLE}" "${kioto_blocks}" extract "${page}" "${source}"
    DEPENDS "${PROJECT_SOURCE_DIR}/${page}" "${kioto_blocks}"
    WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
    COMMENT "Extracting the code of ${page}"
    VERBATIM)
  set(target "kioto_docs_${stem}")
  add_executable(${target} "${source}")
  set_target_properties(${target} PROPERTIES
    CXX_EXTENSIONS OFF
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/docs")
  target_link_libraries(${target} PRIVATE kioto::kioto)
  kioto_warnings(${target})
  # They are compiled to see that they are right, and need no speed.
  target_compile_options(${target} PRIVATE -O0 -g0)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # The #line directives make g++ take the code for that of a header.
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
  endif()
  if(cpp MATCHES "cpp run")
    add_test(NAME "docs: ${page}"
             COMMAND "${Python3_EXECUTABLE}" "${kioto_blocks}" check "${page}"
                     "$<TARGET_FILE:${target}>"
             WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    set_tests_properties("docs: ${page}" PROPERTIES TIMEOUT ${kioto_test_timeout} LABELS docs)
  endif()
endforeach()

add_test(NAME "docs: links"
         COMMAND "${Python3_EXECUTABLE}" "${kioto_blocks}" links README.md CONTRIBUTING.md ${kioto_pages}
         WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
set_tests_properties("docs: links" PROPERTIES LABELS docs)
add_test(NAME "docs: names"
         COMMAND "${Python3_EXECUTABLE}" "${kioto_blocks}" names README.md ${kioto_designs}
         WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
set_tests_properties("docs: names" PROPERTIES LABELS docs)
