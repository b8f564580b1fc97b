# SPDX-License-Identifier: MIT
# Run by ctest: compiles SOURCE with COMPILER and FLAGS. It must fail, with a message that matches
# the regular expression of its line
#     // expect: <regex>
# (further expect lines must match as well). A file that mentions KIOTO_CONTROL is compiled again
# with that defined, and must then succeed: this proves that nothing else in it is wrong.
# A line "// flags: <options>" adds options.
#
# With RECORD=ON the outcome is only told: the file shows what some compiler cannot do.

file(READ "${SOURCE}" text)
string(REGEX MATCHALL "// expect: [^\n]+" expectations "${text}")
string(REGEX MATCH "// flags: ([^\n]+)" unused "${text}")
separate_arguments(more UNIX_COMMAND "${CMAKE_MATCH_1}")
if(NOT unused)
  set(more "")
endif()
separate_arguments(flags UNIX_COMMAND "${FLAGS}")

# sets <out> to the exit code and <out>_message to what the compiler said
function(compile out)
  execute_process(
    COMMAND "${COMPILER}" -std=c++20 -fsyntax-only ${flags} ${more} ${ARGN} "${SOURCE}"
    RESULT_VARIABLE code OUTPUT_VARIABLE message ERROR_VARIABLE message)
  set(${out} "${code}" PARENT_SCOPE)
  set(${out}_message "${message}" PARENT_SCOPE)
endfunction()

compile(plain)
if(RECORD)
  if(plain EQUAL 0)
    message("${SOURCE}: compiles here")
  else()
    message("${SOURCE}: does not compile here")
  endif()
  return()
endif()

if(NOT expectations)
  message(FATAL_ERROR "${SOURCE} has no line '// expect: <regex>'")
endif()
if(plain EQUAL 0)
  message(FATAL_ERROR "${SOURCE} compiles, but must not")
endif()
foreach(expectation IN LISTS expectations)
  string(REPLACE "// expect: " "" regex "${expectation}")
  if(NOT plain_message MATCHES "${regex}")
    message(FATAL_ERROR "${SOURCE} fails as it should, but no message matches\n  ${regex}\n"
                        "The compiler said:\n${plain_message}")
  endif()
endforeach()
if(text MATCHES "KIOTO_CONTROL")
  compile(control -DKIOTO_CONTROL)
  if(NOT control EQUAL 0)
    message(FATAL_ERROR "${SOURCE} must compile with -DKIOTO_CONTROL. The compiler said:\n"
                        "${control_message}")
  endif()
endif()
