# SPDX-License-Identifier: MIT
# Install rules: the library, the headers, the CMake package and the pkg-config file; and the package
# libkioto-dev for Debian.
include(CMakePackageConfigHelpers)

set(kioto_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/kioto")

install(TARGETS kioto EXPORT kioto_targets
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.hpp")
install(EXPORT kioto_targets FILE kiotoTargets.cmake NAMESPACE kioto::
        DESTINATION "${kioto_package_dir}")

# A static kioto needs liburing at the user's link, a shared one brings it along.
set(KIOTO_PC_PRIVATE_REQUIRES "")
if(TARGET PkgConfig::LIBURING)
  set(KIOTO_PC_PRIVATE_REQUIRES "liburing")
endif()

configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/kiotoConfig.cmake.in"
  "${CMAKE_CURRENT_BINARY_DIR}/kiotoConfig.cmake"
  INSTALL_DESTINATION "${kioto_package_dir}")
write_basic_package_version_file(
  "${CMAKE_CURRENT_BINARY_DIR}/kiotoConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${CMAKE_CURRENT_BINARY_DIR}/kiotoConfig.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/kiotoConfigVersion.cmake"
  DESTINATION "${kioto_package_dir}")

configure_file("${PROJECT_SOURCE_DIR}/cmake/kioto.pc.in"
               "${CMAKE_CURRENT_BINARY_DIR}/kioto.pc" @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/kioto.pc"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

# Configured with -DCMAKE_INSTALL_PREFIX=/usr, `cpack` in the build directory makes the package. A
# project that contains kioto as a part has a package of its own.
if(PROJECT_IS_TOP_LEVEL)
  install(FILES "${PROJECT_SOURCE_DIR}/LICENSE"
          DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/doc/libkioto-dev" RENAME copyright)
  set(CPACK_GENERATOR DEB)
  set(CPACK_PACKAGE_NAME libkioto-dev)
  set(CPACK_PACKAGE_VENDOR "The kioto authors")
  set(CPACK_PACKAGE_CONTACT "The kioto authors <${PROJECT_HOMEPAGE_URL}>")
  set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
  set(CPACK_STRIP_FILES OFF)
  set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
  set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
  set(CPACK_DEBIAN_PACKAGE_DEPENDS "libfmt-dev, libexpected-dev")
  if(KIOTO_PC_PRIVATE_REQUIRES)
    string(APPEND CPACK_DEBIAN_PACKAGE_DEPENDS ", ${KIOTO_PC_PRIVATE_REQUIRES}-dev")
  endif()
  include(CPack)
endif()
