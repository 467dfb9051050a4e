#!/bin/bash
# clean.sh - the tree holds what belongs there: no build products, no machine's
# own paths, nothing of somebody else's test corpus, no stray big file.
. "$(dirname "$0")/lib.sh"

tracked() {
    git -C "$TOP" rev-parse --git-dir >/dev/null 2>&1 ||
        skip_test "not a git checkout"
    git -C "$TOP" ls-files "$@"
}

test_no_build_products() {
    expect_equal "$(tracked | grep -E '\.(o|a|so|so\.[0-9]|part|mo|pyc)$')" ""
}
test_no_file_is_big() {
    expect_equal "$(cd "$TOP" && tracked -z |
        xargs -0 -I{} find {} -maxdepth 0 -size +512k ! -name '*.po')" ""
}
test_no_path_of_one_machine() {
    expect_equal "$(cd "$TOP" && git grep -nIE \
        '(^|[^a-zA-Z0-9_.*/-])/(work|home/[a-z]+|Users)/' -- . \
        ':!tests/clean.sh' | head)" ""
}
test_no_foreign_disk_or_package() {
    need_shared corpus
    local sums
    tracked >/dev/null
    sums=$(cd "$RH_SHARED/corpus" && find . -type f -size +0 \
        -exec sha256sum {} + | cut -d' ' -f1)
    (cd "$TOP" && git ls-files -z | xargs -0 sha256sum) >tree
    expect_equal "$(grep -F "$sums" tree)" ""
}
test_scripts_are_sound_shell() {
    local f
    for f in $(cd "$TOP" && tracked 'tests/*.sh' 'scripts/*' .ci/run tests/run); do
        head -n 1 "$TOP/$f" | grep -q 'bash\|/sh' || continue
        run bash -n "$TOP/$f"
        expect_silent
    done
}
run_tests
