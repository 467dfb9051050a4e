#!/bin/bash
# layers.sh - the folders keep their order, and the checker sees when not.
. "$(dirname "$0")/lib.sh"

test_folders_include_downwards_only() {
    run "$TOP/scripts/layers"
    expect_equal "$stdout" ""
    expect_status 0
}

refused() { # FILE INCLUDE-LINE MESSAGE-REGEX
    mkdir -p tests "$(dirname "$1")"
    cp "$TOP/tests/layers.txt" tests/
    echo "$2" >"$1"
    run "$TOP/scripts/layers" .
    expect_status 1
    expect_stdout "^$1:1: .*$3"
}

test_an_upward_include_is_refused() {
    refused vm/x.c '#include "package/package.h"' "vm may not include package"
}
test_a_driver_including_another_is_refused() {
    refused formats/vhd/x.c '#include "formats/vmdk/vmdk.h"' "may not include"
}
test_the_program_on_private_headers_is_refused() {
    refused cli/x.c '#include "base/mem.h"' "cli may not include base"
}
test_a_library_outside_its_fence_is_refused() {
    refused vm/x.c '#include <curl/curl.h>' "belongs in base/curl.h"
}
run_tests
