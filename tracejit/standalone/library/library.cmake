# NAME::NAME is the shared library, NAME::static the static one.
get_filename_component(_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET NAME::NAME)
  add_library(NAME::NAME SHARED IMPORTED)
  set_target_properties(NAME::NAME PROPERTIES
    IMPORTED_LOCATION "${_prefix}/lib/libNAME${CMAKE_SHARED_LIBRARY_SUFFIX}"
    INTERFACE_INCLUDE_DIRECTORIES "${_prefix}/include")

  add_library(NAME::static STATIC IMPORTED)
  set_target_properties(NAME::static PROPERTIES
    IMPORTED_LOCATION "${_prefix}/lib/libNAME.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_prefix}/include"
    INTERFACE_LINK_LIBRARIES "m;pthread")
endif()
unset(_prefix)
