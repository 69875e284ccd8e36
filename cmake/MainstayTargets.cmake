# The functions every folder of src/ declares itself with. One folder, one library, one test program.

add_library(mainstay_options INTERFACE)
target_compile_options(mainstay_options INTERFACE
  -Wall -Wextra -Werror -Wno-unused-parameter -Wnon-virtual-dtor -Woverloaded-virtual
  -Wno-missing-field-initializers -fno-omit-frame-pointer -Xclang -fno-pch-timestamp
  # So that what is compiled is the same wherever the checkout stands; ccache leaves the left side out of its key.
  -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
target_compile_definitions(mainstay_options INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED
  BOOST_ASIO_DISABLE_BOOST_DATE_TIME)
target_include_directories(mainstay_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_link_options(mainstay_options INTERFACE -fuse-ld=mold)
target_link_libraries(mainstay_options INTERFACE Threads::Threads Boost::json Boost::url PkgConfig::SPDLOG)
if(MAINSTAY_SANITIZE)
  target_compile_options(mainstay_options INTERFACE -fsanitize=${MAINSTAY_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(mainstay_options INTERFACE -fsanitize=${MAINSTAY_SANITIZE})
endif()

if(MAINSTAY_FUZZ)
  target_compile_options(mainstay_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# The two precompiled headers. Every layer reuses one of them; which, follows from whether it may see coroutines.
# CMake's own list also names the header by its full path (-Xclang -include), which ccache cannot make relative, so that no other
# checkout would hit. The compiled header does without.
set(CMAKE_CXX_COMPILE_OPTIONS_USE_PCH -Xclang -include-pch -Xclang <PCH_FILE>)
function(mainstay_pch name header)
  # Not file(WRITE): a new time stamp at each configure would recompile everything.
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/pch/${name}.cc CONTENT "// Compiled once for the precompiled header ${header}.\n")
  add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/pch/${name}.cc)
  target_link_libraries(${name} PUBLIC mainstay_options)
  target_precompile_headers(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src/${header})
  set_target_properties(${name} PROPERTIES CXX_COMPILER_LAUNCHER
    "${CMAKE_SOURCE_DIR}/tools/pch_sum.sh;${CMAKE_SOURCE_DIR};${CMAKE_CXX_COMPILER_LAUNCHER}")
endfunction()

# Leaves files that are not there (yet) out of the lists, loudly, so that a folder in the making does not stop the others.
macro(mainstay_drop_missing)
  set(missing)
  foreach(list ${ARGN})
    list(REMOVE_DUPLICATES ${list})
    foreach(file ${${list}})
      if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
        list(APPEND missing ${file})
        list(REMOVE_ITEM ${list} ${file})
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
      endif()
    endforeach()
  endforeach()
  if(missing)
    message(FATAL_ERROR "src/${name}/CMakeLists.txt lists what is not there: ${missing}")
  endif()
endmacro()

# mainstay_layer(NAME SOURCES a.cc… [TESTS a_test.cc…] [FUZZERS a_fuzz.cc…] [BENCHES a_bench.cc…] [DEPS lib…]
#                [EMBED function_name file…] [CORE])
# Makes the library mainstay_<NAME with / as _>, the test program <…>_test (one ctest entry), a program per fuzzer and
# bench. EMBED makes `mainstay::base::EmbeddedFiles mainstay::embedded::function_name()` of text files. CORE: no Asio in its headers.
function(mainstay_layer name)
  cmake_parse_arguments(L "CORE" "" "SOURCES;TESTS;FUZZERS;BENCHES;DEPS;EMBED;TEST_DEPS" ${ARGN})
  mainstay_drop_missing(L_SOURCES L_TESTS L_FUZZERS L_BENCHES)
  if(NOT L_SOURCES)
    return()
  endif()
  string(REPLACE "/" "_" id ${name})
  set(pch mainstay_pch_async)
  if(L_CORE)
    set(pch mainstay_pch_core)
  endif()
  if(L_EMBED)
    list(POP_FRONT L_EMBED function)
    set(generated ${CMAKE_CURRENT_BINARY_DIR}/embedded_${function}.cc)
    set(inputs)
    foreach(file ${L_EMBED})
      list(APPEND inputs ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    endforeach()
    string(REPLACE ";" "|" piped "${L_EMBED}")
    add_custom_command(OUTPUT ${generated}
      COMMAND ${CMAKE_COMMAND} "-DOUT=${generated}" "-DFUNCTION=${function}" "-DROOT=${CMAKE_CURRENT_SOURCE_DIR}"
        "-DFILES=${piped}" -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
      DEPENDS ${inputs} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
    list(APPEND L_SOURCES ${generated})
  endif()
  add_library(mainstay_${id} STATIC ${L_SOURCES})
  target_link_libraries(mainstay_${id} PUBLIC mainstay_options ${L_DEPS})
  target_precompile_headers(mainstay_${id} REUSE_FROM ${pch})
  if(L_TESTS)
    add_executable(${id}_test ${L_TESTS})
    target_link_libraries(${id}_test PRIVATE mainstay_${id} ${L_TEST_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
    target_precompile_headers(${id}_test REUSE_FROM ${pch})
    add_test(NAME ${id} COMMAND ${id}_test)
    set_tests_properties(${id} PROPERTIES TIMEOUT 300)
  endif()
  if(MAINSTAY_FUZZ)
    foreach(source ${L_FUZZERS})
      get_filename_component(fuzzer ${source} NAME_WE)
      add_executable(${fuzzer} ${source})
      target_link_libraries(${fuzzer} PRIVATE mainstay_${id} ${L_TEST_DEPS})
      target_link_options(${fuzzer} PRIVATE -fsanitize=fuzzer)
    endforeach()
  endif()
  if(L_BENCHES AND NOT MAINSTAY_SANITIZE)
    find_package(benchmark REQUIRED)
    foreach(source ${L_BENCHES})
      get_filename_component(bench ${source} NAME_WE)
      add_executable(${bench} EXCLUDE_FROM_ALL ${source})
      target_link_libraries(${bench} PRIVATE mainstay_${id} ${L_TEST_DEPS} benchmark::benchmark benchmark::benchmark_main)
    endforeach()
  endif()
endfunction()

mainstay_pch(mainstay_pch_core base/pch.h)
mainstay_pch(mainstay_pch_async async/pch.h)
