# SPDX-License-Identifier: MIT
# Installs kioto, static and shared, and builds consumers of it in each way that the README names; and
# one of what the Debian package contains.
function(kioto_add_packaging_test kind shared)
  set(library static)
  if(shared)
    set(library shared)
  endif()
  set(name "packaging: ${kind} ${library}")
  add_test(NAME "${name}"
    COMMAND "${CMAKE_COMMAND}" "-DKIND=${kind}" "-DSHARED=${shared}"
            "-DSOURCE_DIR=${PROJECT_SOURCE_DIR}" "-DWORK_DIR=${CMAKE_CURRENT_BINARY_DIR}/packaging"
            "-DCOMPILER=${CMAKE_CXX_COMPILER}" "-DLAUNCHER=${KIOTO_CCACHE}"
            "-DGENERATOR=${CMAKE_GENERATOR}" ${ARGN}
            -P "${PROJECT_SOURCE_DIR}/tests/packaging/run.cmake")
  set_tests_properties("${name}" PROPERTIES TIMEOUT 900 LABELS packaging)
  if(kind STREQUAL "install")
    set_tests_properties("${name}" PROPERTIES FIXTURES_SETUP kioto_installed_${library})
  elseif(kind MATCHES "^(find_package|pkg_config)$")
    set_tests_properties("${name}" PROPERTIES FIXTURES_REQUIRED kioto_installed_${library})
  endif()
endfunction()

foreach(shared OFF ON)
  kioto_add_packaging_test(install ${shared})
  kioto_add_packaging_test(find_package ${shared})
  kioto_add_packaging_test(pkg_config ${shared})
  kioto_add_packaging_test(fetch_content ${shared})
  kioto_add_packaging_test(add_subdirectory ${shared})
endforeach()

find_program(KIOTO_DPKG_DEB dpkg-deb)
if(KIOTO_DPKG_DEB)
  kioto_add_packaging_test(deb OFF "-DCPACK=${CMAKE_CPACK_COMMAND}" "-DDPKG_DEB=${KIOTO_DPKG_DEB}")
endif()
