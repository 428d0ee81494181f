# Read by CPack when it begins with a generator: what of the Debian packages depends on the machine that makes them.
if(NOT CPACK_GENERATOR STREQUAL DEB)
  return()
endif()

find_program(DPKG_ARCHITECTURE dpkg-architecture REQUIRED)
execute_process(COMMAND ${DPKG_ARCHITECTURE} -f -t ${CPACK_CMAKE_LIBRARY_ARCHITECTURE} -q DEB_HOST_ARCH
  OUTPUT_VARIABLE CPACK_DEBIAN_PACKAGE_ARCHITECTURE OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET COMMAND_ERROR_IS_FATAL ANY)
set(ENV{DEB_HOST_ARCH} ${CPACK_DEBIAN_PACKAGE_ARCHITECTURE}) # dpkg-shlibdeps looks there

# The packages that have the libraries which are loaded when they are needed first.
set(recommended "")
foreach(soname ${CPACK_BVISOR_LOADED_SONAMES})
  execute_process(COMMAND dpkg-query -S "*/${CPACK_CMAKE_LIBRARY_ARCHITECTURE}/${soname}" OUTPUT_VARIABLE found ERROR_QUIET)
  if(NOT found MATCHES "^([^:, ]+)")
    message(FATAL_ERROR "no installed package has ${soname}, which bvisor loads at run time: scripts/deps installs it")
  endif()
  list(APPEND recommended ${CMAKE_MATCH_1})
endforeach()
list(REMOVE_DUPLICATES recommended)
list(SORT recommended)
list(JOIN recommended ", " CPACK_DEBIAN_RUNTIME_PACKAGE_RECOMMENDS)
