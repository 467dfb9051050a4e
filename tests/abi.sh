#!/bin/bash
# abi.sh - header, symbol map and library name the same calls; headers stand
# alone, the public one in C99 and C++ too.
. "$(dirname "$0")/lib.sh"

test_the_public_header_is_plain_c99_and_cxx() {
    need g++
    echo '#include <rehost/rehost.h>' >a.c
    cp a.c a.cc
    run gcc -std=c99 -I"$TOP/include" -Wall -Wextra -Wpedantic -Werror -c a.c
    expect_silent
    expect_status 0
    run g++ -std=c++11 -I"$TOP/include" -Wall -Wextra -Wpedantic -Werror -c a.cc
    expect_silent
    expect_status 0
}
test_every_header_stands_alone() {
    run make_in_tree hdr-check
    expect_silent
    expect_status 0
}
test_the_library_carries_its_soname() {
    run readelf -d "$BUILD/librehost.so.1"
    expect_stdout 'SONAME.*\[librehost\.so\.1\]'
}
test_header_map_and_library_agree() {
    run "$TOP/scripts/abi" check "$BUILD/librehost.so.1"
    expect_silent
    expect_status 0
}
run_tests
