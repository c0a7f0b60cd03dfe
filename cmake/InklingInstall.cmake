# cmake --install: the headers, and what find_package(inkling) needs.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/inkling)

install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/include/inkling DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp")
install(TARGETS inkling inkling_native EXPORT inklingTargets)
install(EXPORT inklingTargets NAMESPACE inkling:: DESTINATION ${package_dir})

configure_package_config_file(${CMAKE_CURRENT_SOURCE_DIR}/cmake/inklingConfig.cmake.in
                              ${CMAKE_CURRENT_BINARY_DIR}/inklingConfig.cmake INSTALL_DESTINATION ${package_dir})
# The sources of inkling::compiled, which every project compiles with its own flags (inkling_add_compiled).
install(FILES ${CMAKE_CURRENT_SOURCE_DIR}/cmake/InklingCompiled.cmake DESTINATION ${package_dir})
install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/src DESTINATION ${package_dir} FILES_MATCHING PATTERN "*.cpp")

# Header-only: one package serves every word size.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/inklingConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/inklingConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/inklingConfigVersion.cmake
              ${CMAKE_CURRENT_SOURCE_DIR}/cmake/InklingDependencies.cmake
        DESTINATION ${package_dir})
