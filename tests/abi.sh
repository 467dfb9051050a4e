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
# One version everywhere: what the program says, the symbols, the changes, the
# pkg-config file; the library's name bears its ABI's number.
test_one_version_everywhere() {
    local version
    version=$(sed -n 's/^VERSION := //p' "$TOP/Makefile")
    run "$REHOST" --version
    expect_stdout "^rehost $version\$"
    expect_equal "$(sed -n 's/^## //p' "$TOP/CHANGELOG.md" | head -1)" "$version"
    expect_equal "$(sed -n 's/ {$//p' "$TOP/librehost.map" | tail -1)" \
        "REHOST_${version%.*}"
    run nm -D --with-symbol-versions "$BUILD/librehost.so.1"
    expect_stdout " T rh_version@@REHOST_${version%.*}\$"
}
run_tests
