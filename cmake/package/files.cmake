# Run by CPack between installation into its own tree and packing. CPack strips what the linker made; archives are left to us, and in a Debian package so is
# what the policy wants of files.
file(GLOB_RECURSE archives ${CPACK_TEMPORARY_DIRECTORY}/*.a)
execute_process(COMMAND ${CPACK_CMAKE_STRIP} --strip-debug --enable-deterministic-archives ${archives} COMMAND_ERROR_IS_FATAL ANY)
if(NOT CPACK_GENERATOR STREQUAL DEB)
  return()
endif()

string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC) # of SOURCE_DATE_EPOCH, if that is set
foreach(component runtime dev)
  string(TOUPPER ${component} upper)
  set(package ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  set(share ${CPACK_TEMPORARY_DIRECTORY}/${component}/usr/share)
  set(doc ${share}/doc/${package})
  file(WRITE ${doc}/changelog.Debian
    "bvisor (${CPACK_BVISOR_DEB_VERSION}) unstable; urgency=medium\n\n  * Version ${CPACK_PACKAGE_VERSION}.\n\n -- ${CPACK_BVISOR_MAINTAINER}  ${date}\n")
  configure_file(${CPACK_BVISOR_COPYRIGHT} ${doc}/copyright COPYONLY)
  file(REMOVE ${doc}/LICENSE) # the copyright file names the system's copy
  file(GLOB pages ${share}/man/man*/*)
  execute_process(COMMAND gzip -9n ${pages} ${doc}/changelog.Debian COMMAND_ERROR_IS_FATAL ANY)
  file(GLOB_RECURSE files ${doc}/* ${share}/man/*)
  file(CHMOD ${files} PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endforeach()
