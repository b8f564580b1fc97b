# SPDX-License-Identifier: MIT
# Run by ctest, with KIND (install, find_package, fetch_content, add_subdirectory, pkg_config),
# SHARED (ON or OFF), SOURCE_DIR, WORK_DIR, COMPILER, LAUNCHER, GENERATOR. Builds and runs the
# consumer; whatever goes wrong ends the script with the output of the step.

if(NOT LAUNCHER)
  set(LAUNCHER "")
endif()
set(library static)
if(SHARED)
  set(library shared)
endif()
set(prefix "${WORK_DIR}/prefix-${library}")
set(build "${WORK_DIR}/${KIND}-${library}")
set(common -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DBUILD_SHARED_LIBS=${SHARED}"
    "-DCMAKE_BUILD_TYPE=None" "-DCMAKE_CXX_FLAGS=-O1"
    "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" "-DCMAKE_INSTALL_LIBDIR=lib")

function(step)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    list(JOIN ARGN " " line)
    message(FATAL_ERROR "${line}\nended with ${code}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(run_consumer)
  step("${CMAKE_COMMAND}" -E env "LD_LIBRARY_PATH=${prefix}/lib" "${build}/consumer")
  if(NOT output MATCHES "hello from kioto")
    message(FATAL_ERROR "the consumer said: ${output}")
  endif()
  message("${KIND}, ${library}: ${output}")
endfunction()

if(KIND STREQUAL "install")
  file(REMOVE_RECURSE "${prefix}")
  step("${CMAKE_COMMAND}" -S "${SOURCE_DIR}" -B "${build}" ${common}
       "-DCMAKE_INSTALL_PREFIX=${prefix}" -DKIOTO_BUILD_TESTS=OFF -DKIOTO_BUILD_EXAMPLES=OFF)
  step("${CMAKE_COMMAND}" --build "${build}")
  step("${CMAKE_COMMAND}" --install "${build}")
elseif(KIND STREQUAL "pkg_config")
  file(REMOVE_RECURSE "${build}")
  file(MAKE_DIRECTORY "${build}")
  set(static --static)
  if(SHARED)
    set(static "")
  endif()
  step("${CMAKE_COMMAND}" -E env "PKG_CONFIG_PATH=${prefix}/lib/pkgconfig"
       "${SOURCE_DIR}/tests/packaging/pkg_config/build" "${COMPILER}"
       "${SOURCE_DIR}/tests/packaging/consumer.cpp" "${build}/consumer" ${static})
  run_consumer()
else()
  set(where "-DKIOTO_SOURCE_DIR=${SOURCE_DIR}")
  if(KIND STREQUAL "find_package")
    # The consumer configures anew each time: a cached package directory would hide a broken one.
    file(REMOVE_RECURSE "${build}")
    set(where "-DCMAKE_PREFIX_PATH=${prefix}")
  endif()
  step("${CMAKE_COMMAND}" -S "${SOURCE_DIR}/tests/packaging/${KIND}" -B "${build}" ${common}
       "${where}")
  step("${CMAKE_COMMAND}" --build "${build}")
  run_consumer()
endif()
