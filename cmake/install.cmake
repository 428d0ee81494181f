# What `cmake --install` puts where, and which of the two packages (cmake/package.cmake) has it: `runtime` is what runs, `dev` what builds against
# libbvisor. The supervisor is no command for users: it lives in libexec, where bvisor and libbvisor look for it.
set(BVISOR_CMAKEDIR ${CMAKE_INSTALL_LIBDIR}/cmake/bvisor)
# The installed .pc file finds its prefix from where it lies, so that the tree may be moved.
file(RELATIVE_PATH BVISOR_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" BVISOR_PC_TO_PREFIX ${BVISOR_PC_TO_PREFIX})
foreach(dir LIBDIR INCLUDEDIR)
  file(RELATIVE_PATH BVISOR_PC_${dir} ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_${dir}})
endforeach()

install(TARGETS bvisor RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
install(TARGETS bvisor-supervisor RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/bvisor COMPONENT runtime)
install(TARGETS bvisor-s3 LIBRARY DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/bvisor COMPONENT runtime)
if(TARGET bvisor-s3v2)
  install(TARGETS bvisor-s3v2 LIBRARY DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/bvisor COMPONENT runtime)
endif()
install(TARGETS bvisor_shared EXPORT bvisor
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT dev
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS bvisor_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
install(DIRECTORY include/bvisor DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev FILES_MATCHING PATTERN "*.h")

foreach(section_component 1:runtime 3:dev 5:runtime)
  string(REPLACE ":" ";" pair ${section_component})
  list(GET pair 0 section)
  list(GET pair 1 component)
  file(GLOB manuals CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/man/*.${section})
  install(FILES ${manuals} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT ${component})
endforeach()
install(FILES cli/assets/bvisor.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME bvisor COMPONENT runtime)
install(FILES cli/assets/bvisor.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _bvisor COMPONENT runtime)
install(FILES cli/assets/bvisor.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT runtime)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)

configure_file(cmake/bvisor.pc.in bvisor.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/bvisor.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

include(CMakePackageConfigHelpers)
set_target_properties(bvisor_shared PROPERTIES EXPORT_NAME bvisor)
install(EXPORT bvisor NAMESPACE bvisor:: FILE bvisor-targets.cmake DESTINATION ${BVISOR_CMAKEDIR} COMPONENT dev)
configure_package_config_file(cmake/bvisor-config.cmake.in bvisor-config.cmake
  INSTALL_DESTINATION ${BVISOR_CMAKEDIR} PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/bvisor-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/bvisor-config.cmake ${CMAKE_BINARY_DIR}/bvisor-config-version.cmake
  DESTINATION ${BVISOR_CMAKEDIR} COMPONENT dev)
