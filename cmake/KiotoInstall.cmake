# SPDX-License-Identifier: MIT
# Install rules: the library, the headers, the CMake package and the pkg-config file.
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
