# The Python package: the module bvisor._native, and what a wheel takes beside it. Included with BVISOR_PYTHON=ON, which the package's build (pyproject.toml) sets.
find_package(Python 3.9 REQUIRED COMPONENTS Interpreter Development.Module)
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/sdk/python/native/*.c)
Python_add_library(bvisor_python MODULE ${sources})
target_include_directories(bvisor_python PRIVATE ${CMAKE_SOURCE_DIR}/include)
target_link_libraries(bvisor_python PRIVATE bvisor_shared)
# One file for every CPython from 3.9 on: the limited API (Development.SABIModule would say so, but is of CMake 3.26).
set_target_properties(bvisor_python PROPERTIES OUTPUT_NAME _native SUFFIX .abi3.so INSTALL_RPATH "$ORIGIN/_lib")

# The library looks for its supervisor and for its plugin beside itself.
set(beside bvisor-supervisor bvisor-s3)
foreach(target bvisor_python bvisor_shared ${beside})
  target_link_options(${target} PRIVATE $<$<NOT:$<CONFIG:Debug>>:-s>)
endforeach()
add_custom_target(python_wheel DEPENDS bvisor_python bvisor_shared ${beside})
install(TARGETS bvisor_python LIBRARY DESTINATION bvisor COMPONENT python EXCLUDE_FROM_ALL)
install(TARGETS bvisor-supervisor RUNTIME DESTINATION bvisor/_lib COMPONENT python EXCLUDE_FROM_ALL)
install(TARGETS bvisor-s3 LIBRARY DESTINATION bvisor/_lib COMPONENT python EXCLUDE_FROM_ALL)
# By the name that the module asks for: a wheel has no symbolic links.
install(PROGRAMS $<TARGET_FILE:bvisor_shared> DESTINATION bvisor/_lib RENAME $<TARGET_SONAME_FILE_NAME:bvisor_shared> COMPONENT python EXCLUDE_FROM_ALL)
