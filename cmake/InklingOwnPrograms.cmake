# How this project compiles its own programs. Nothing here reaches a user of inkling::inkling.
add_library(inkling_own INTERFACE)
target_link_libraries(inkling_own INTERFACE inkling::inkling)
target_compile_options(inkling_own INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
# g++ 12 reports its own AVX-512 intrinsics header here.
target_compile_options(inkling_own INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
if(INKLING_WARNINGS_AS_ERRORS)
  target_compile_options(inkling_own INTERFACE -Werror)
endif()
if(INKLING_SANITIZE)
  string(REPLACE ";" "," sanitizers "${INKLING_SANITIZE}")
  target_compile_options(inkling_own INTERFACE -fsanitize=${sanitizers} -fno-sanitize-recover=all
                                               -fno-omit-frame-pointer -g1)
  target_link_options(inkling_own INTERFACE -fsanitize=${sanitizers})
endif()
# Nearly all of them take the kernels from the library, unless flags are in force that it must not have.
add_library(inkling_own_compiled INTERFACE)
target_link_libraries(inkling_own_compiled INTERFACE inkling_own)
set(INKLING_OWN_COMPILED OFF)
if(INKLING_COMPILED AND NOT INKLING_CHECK_INDICES AND NOT INKLING_SANITIZE)
  target_link_libraries(inkling_own_compiled INTERFACE inkling::compiled)
  set(INKLING_OWN_COMPILED ON)
endif()

# inkling_programs(PREFIX prefix OUT folder [LIBRARIES ...]): every NAME.cpp in this folder becomes folder/NAME; further
# files of a program lie in the folder NAME/. The names of the targets made are left in `inkling_targets`.
# What is compiled here stands around the kernels, whose library has -O3: -O2 takes a quarter less time and is as fast.
function(inkling_programs)
  cmake_parse_arguments(arg "" "OUT;PREFIX" "LIBRARIES" ${ARGN})
  file(GLOB mains CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  set(targets "")
  foreach(main IN LISTS mains)
    get_filename_component(name ${main} NAME_WE)
    file(GLOB more CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
    set(target ${arg_PREFIX}_${name})
    add_executable(${target} ${main} ${more})
    target_link_libraries(${target} PRIVATE inkling_own_compiled ${arg_LIBRARIES})
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O2>)
    target_compile_definitions(${target} PRIVATE INKLING_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${arg_OUT}
                                               CXX_EXTENSIONS OFF)
    list(APPEND targets ${target})
  endforeach()
  set(inkling_targets ${targets} PARENT_SCOPE)
endfunction()
