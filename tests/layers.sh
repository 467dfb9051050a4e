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
# What a target is called is its own affair: its row says what others ask of it
# (targets/target.h).  Of the same words "xen" is a kind of device elsewhere, and
# convert/boot's "kvm" is QEMU's accelerator.
test_no_other_folder_names_a_target() {
    local names
    names=$(sed -n 's/^ *X(\([a-z]*\)).*/\1/p' "$TOP/targets/registry.c" | paste -sd'|')
    expect_equal "$names" "kvm|xen" "targets that are known here"
    run grep -rnE "rh_target_($names)\\b|\"(kvm|xcp-ng)\"|(to|target|model|name)\\)?, \"($names)\"\\)" \
        --include='*.[ch]' "$TOP"/{base,vm,formats,volumes,report,package,descriptors,config,source,guestfix,convert}
    grep -v '/convert/boot/boot' .stdout >found
    expect_equal "$(cat found)" ""
}
# A misspelt expectation would check nothing.
test_what_tests_expect_is_there() {
    grep -rhoE '\bexpect_[a-z0-9_]+\(\)' "$TOP/tests" | tr -d '()' | sort -u >there
    grep -rhoE '^ *expect_[a-z0-9_]+( |$)' --include='*.sh' "$TOP/tests" |
        tr -d ' ' | sort -u >used
    expect_equal "$(comm -13 there used)" "" "helpers that are called, and are not there"
}
test_a_misspelt_expectation_fails_its_test() {
    # Indented, and in two words: no test and no call of this file.
    sed 's/^ *//; s/ANY/of_any/' >t.sh <<END
        . "$TOP/tests/lib.sh"
        test_it() { expect_equal 1 1; (expect_nothing_ANY_kind 1); expect_equal 1 1; }
        run_tests
END
    run bash t.sh
    expect_stdout '^not ok it'
    expect_stdout 'there is no expect_nothing_of_any_kind'
}
run_tests
