# What `cpack` makes: Debian packages (preset `package`; scripts/package), and of any build a tarball that works wherever it is unpacked.
#
#   bvisor          the program, its supervisor and plugins, libbvisor.so.N, manual pages
#   libbvisor-dev   header, static library, .so link, pkg-config and CMake files, manual pages of the library
#
# What the binaries are linked against is found by dpkg-shlibdeps. What they load at run time is no dependency for that: those sonames are read from the
# sources, and the packages that have them here are recommended (cmake/package/deb.cmake).
set(BVISOR_MAINTAINER "bvisor maintainers <maintainers@bvisor.invalid>" CACHE STRING "who answers for the packages: NAME <ADDRESS>")
set(BVISOR_DEB_REVISION 1 CACHE STRING "counts packages of one version")

set(CPACK_GENERATOR TGZ)
set(CPACK_PACKAGE_NAME bvisor)
set(CPACK_PACKAGE_VENDOR bvisor)
set(CPACK_PACKAGE_CONTACT ${BVISOR_MAINTAINER})
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
string(TOLOWER "bvisor-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR}" CPACK_PACKAGE_FILE_NAME)
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_COMPONENTS_ALL runtime dev)
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_SOURCE_DIR}/cmake/package/deb.cmake)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/package/files.cmake)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${BVISOR_DEB_REVISION})
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(BVISOR_DEB_VERSION ${PROJECT_VERSION}-${BVISOR_DEB_REVISION})

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME bvisor)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION "run commands on a copy-on-write view of this machine
The command sees the files, tools and configuration of this machine and may
change everything that its user could change; the changes are kept aside. They
can be looked at, applied, thrown away, or stored as snapshots in a directory
or an S3 bucket.
.
It needs no root, no mounts, no image and no daemon: only a Linux kernel with
seccomp user notification (5.14 or later).")
# ldconfig by trigger, and what dependents of the library need.
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${CMAKE_BINARY_DIR}/package/triggers ${CMAKE_BINARY_DIR}/package/shlibs)
file(WRITE ${CMAKE_BINARY_DIR}/package/triggers "activate-noawait ldconfig\n")
file(WRITE ${CMAKE_BINARY_DIR}/package/shlibs "libbvisor ${PROJECT_VERSION_MAJOR} bvisor (>= ${PROJECT_VERSION})\n")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME libbvisor-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "bvisor (= ${BVISOR_DEB_VERSION}), libsqlite3-dev, libcjson-dev")
set(CPACK_DEBIAN_DEV_DESCRIPTION "run commands on a copy-on-write view (development files)
The header, the static library and the pkg-config and CMake files of libbvisor,
which makes sandboxes and runs commands in them.")

file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/lib/*.c ${CMAKE_SOURCE_DIR}/snapshot/*.c ${CMAKE_SOURCE_DIR}/supervisor/*.c)
set(BVISOR_LOADED_SONAMES "")
foreach(source ${sources})
  file(STRINGS ${source} lines REGEX "^#define [A-Z]+_SONAME \"")
  foreach(line ${lines})
    string(REGEX REPLACE ".*\"(.*)\".*" "\\1" soname ${line})
    list(APPEND BVISOR_LOADED_SONAMES ${soname})
  endforeach()
endforeach()
foreach(variable BVISOR_LOADED_SONAMES BVISOR_DEB_VERSION BVISOR_MAINTAINER CMAKE_LIBRARY_ARCHITECTURE CMAKE_STRIP)
  set(CPACK_${variable} "${${variable}}") # CPack hands on to its scripts what is called so
endforeach()
set(CPACK_BVISOR_COPYRIGHT ${CMAKE_SOURCE_DIR}/cmake/package/copyright)
include(CPack)
