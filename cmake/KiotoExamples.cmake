# SPDX-License-Identifier: MIT
# examples/*.cpp: one program each, in <build>/examples.
file(GLOB kioto_examples CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/examples/*.cpp")
foreach(source IN LISTS kioto_examples)
  cmake_path(GET source STEM stem)
  add_executable(kioto_example_${stem} ${source})
  set_target_properties(kioto_example_${stem} PROPERTIES
    CXX_EXTENSIONS OFF
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/examples"
    OUTPUT_NAME ${stem})
  target_link_libraries(kioto_example_${stem} PRIVATE kioto::kioto)
  kioto_warnings(kioto_example_${stem})
endforeach()
