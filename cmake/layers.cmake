# The layers by construction: each folder is a target, and may include only its own headers and those of the layers below
# it. An include path is a directory of the build tree that holds one link per visible folder or header, so that
# "supervisor/x.h" does not exist for cowfs.

# bv_view(NAME FOLDER_OR_HEADER...) makes the include path of NAME; its directory is returned in bv_view_dir.
function(bv_view name)
  set(view ${CMAKE_BINARY_DIR}/layers/${name})
  file(REMOVE_RECURSE ${view})
  foreach(seen ${ARGN})
    get_filename_component(parent ${view}/${seen} DIRECTORY)
    file(MAKE_DIRECTORY ${parent})
    file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${seen} ${view}/${seen} SYMBOLIC)
  endforeach()
  set(bv_view_dir ${view} PARENT_SCOPE)
endfunction()

# bv_dependency(NAME PKG): bv::NAME, a system library found by pkg-config. A target with the property BV_STATIC_DEPS gets its
# static form where the system has one (Debian has none of cJSON); libbvisor.so never does, as those archives are not PIC.
function(bv_dependency name pkg)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${pkg})
  add_library(bv_dep_${name} INTERFACE)
  add_library(bv::${name} ALIAS bv_dep_${name})
  target_include_directories(bv_dep_${name} SYSTEM INTERFACE ${${name}_INCLUDE_DIRS})
  set(shared PkgConfig::${name})
  set(archive "")
  if(BVISOR_STATIC_DEPS)
    string(REGEX REPLACE "^lib" "" stem ${pkg})
    find_library(BVISOR_${name}_ARCHIVE NAMES lib${stem}.a HINTS ${${name}_LIBRARY_DIRS})
    if(BVISOR_${name}_ARCHIVE)
      set(archive ${BVISOR_${name}_ARCHIVE})
      foreach(lib ${${name}_STATIC_LIBRARIES})
        # Debian's sqlite3.pc names zlib, which only the sqlite3 shell needs: what is not installed is left out.
        find_library(BVISOR_LIB_${lib} NAMES ${lib})
        if(BVISOR_LIB_${lib} AND NOT lib STREQUAL stem)
          list(APPEND archive ${lib})
        endif()
      endforeach()
    endif()
  endif()
  if(archive)
    target_link_libraries(bv_dep_${name} INTERFACE
      "$<IF:$<BOOL:$<TARGET_PROPERTY:BV_STATIC_DEPS>>,${archive},${shared}>")
  else()
    target_link_libraries(bv_dep_${name} INTERFACE ${shared})
  endif()
endfunction()

# bv_layer(FOLDER SEES FOLDERS_OR_HEADERS... LINKS TARGETS...): the static library bv_FOLDER of the folder's sources (those below it are not
# among them: bv_layer(A/B ...) is the library bv_A_B). A main.c is an executable's, see bv_executable.
function(bv_layer folder)
  cmake_parse_arguments(L "" "" "SEES;LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.c)
  string(REPLACE "/" "_" name ${folder})
  list(FILTER sources EXCLUDE REGEX "/main\\.c$")
  if(NOT sources) # a layer of which only the headers are written
    file(WRITE ${CMAKE_BINARY_DIR}/empty_${name}.c "typedef int empty_translation_unit;\n")
    set(sources ${CMAKE_BINARY_DIR}/empty_${name}.c)
  endif()
  add_library(bv_${name} STATIC ${sources})
  if(name STREQUAL folder)
    list(PREPEND L_SEES ${folder}) # a folder below another is seen with that
  endif()
  bv_view(${name} ${L_SEES})
  target_include_directories(bv_${name} PRIVATE ${bv_view_dir})
  target_link_libraries(bv_${name} PUBLIC ${L_LINKS} Threads::Threads)
endfunction()

# bv_executable(NAME SOURCES GLOBS... SEES FOLDERS... LINKS TARGETS...)
function(bv_executable name)
  cmake_parse_arguments(E "" "" "SOURCES;SEES;LINKS" ${ARGN})
  list(TRANSFORM E_SOURCES PREPEND ${CMAKE_SOURCE_DIR}/)
  file(GLOB sources CONFIGURE_DEPENDS ${E_SOURCES})
  if(NOT sources)
    message(STATUS "${name}: no sources")
    add_library(${name} INTERFACE EXCLUDE_FROM_ALL)
    return()
  endif()
  add_executable(${name} ${sources})
  bv_view(${name}.exe ${E_SEES})
  target_include_directories(${name} PRIVATE ${bv_view_dir})
  target_link_libraries(${name} PRIVATE ${E_LINKS})
  set_target_properties(${name} PROPERTIES BV_STATIC_DEPS ${BVISOR_STATIC_DEPS})
endfunction()

# bv_library(NAME FROM LAYERS... MAP FILE LINKS TARGETS...): libNAME.so, whose symbols are those that the public header marks
# and the version script lists, and libNAME.a with the objects of the same layers.
function(bv_library name)
  cmake_parse_arguments(L "" "MAP" "FROM;LINKS" ${ARGN})
  set(objects "")
  foreach(layer ${L_FROM})
    list(APPEND objects $<TARGET_OBJECTS:bv_${layer}>)
  endforeach()
  add_library(${name}_shared SHARED ${objects})
  add_library(${name}_static STATIC ${objects})
  target_link_options(${name}_shared PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/${L_MAP})
  set_target_properties(${name}_shared PROPERTIES LINK_DEPENDS ${CMAKE_SOURCE_DIR}/${L_MAP}
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
  foreach(form shared static)
    set_target_properties(${name}_${form} PROPERTIES OUTPUT_NAME ${name} LINKER_LANGUAGE C)
    target_include_directories(${name}_${form} INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)
    target_link_libraries(${name}_${form} PRIVATE ${L_LINKS} Threads::Threads)
  endforeach()
  if(NOT BVISOR_SANITIZE)
    target_link_options(${name}_shared PRIVATE -Wl,--no-undefined) # the sanitizers' own symbols come with the executable
  endif()
endfunction()

# bv_plugin(NAME FROM LAYER LINKS TARGETS...): NAME.so, which is loaded at run time; it exports the symbols that are marked so in its sources.
function(bv_plugin name)
  cmake_parse_arguments(P "" "FROM" "LINKS" ${ARGN})
  add_library(${name} MODULE $<TARGET_OBJECTS:bv_${P_FROM}>)
  set_target_properties(${name} PROPERTIES PREFIX "" LINKER_LANGUAGE C)
  target_link_libraries(${name} PRIVATE ${P_LINKS} Threads::Threads)
  target_link_options(${name} PRIVATE -Wl,--exclude-libs,ALL)
endfunction()
