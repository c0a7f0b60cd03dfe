# inkling::compiled: the kernels in float and double, the operations on float, and loading and painting, in a library,
# compiled once and optimised whatever the build type. A program that links it does not compile them again; it includes
# inkling's headers as ever. kernels/instantiations.hpp, autograd/instantiations.hpp and core/compiled.hpp in
# include/inkling tell what lies in it.
#
# Both sides must be compiled for the same instructions (-march) and with or without OpenMP alike, as the layout of
# vector types and the loops depend on it. The library has the flags of the project that asks for it; what only some
# programs have (sanitizers, INKLING_CHECK_INDICES) it cannot know: those link inkling::inkling.

# inkling_add_compiled([LIBRARY...]): makes the target; the libraries, for example inkling::native, are those that the
# programs link as well. It is built when a program asks for it. Inside inkling's own build it has been called.
function(inkling_add_compiled)
  if(TARGET inkling_compiled)
    return()
  endif()
  set(folder ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/src)  # where it is installed
  if(NOT EXISTS ${folder})
    set(folder ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../src)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  add_library(inkling_compiled STATIC EXCLUDE_FROM_ALL ${sources})
  add_library(inkling::compiled ALIAS inkling_compiled)
  target_link_libraries(inkling_compiled PUBLIC inkling::inkling ${ARGN})
  target_compile_definitions(inkling_compiled PUBLIC INKLING_COMPILED_KERNELS)
  # After the flags of the build type, so it holds for all of them.
  target_compile_options(inkling_compiled PRIVATE -O3 -fno-semantic-interposition
                                                  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  set_target_properties(inkling_compiled PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_EXTENSIONS OFF)
endfunction()
