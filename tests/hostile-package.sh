#!/bin/bash
# hostile-package.sh - packages that lie, climb or explode are refused: with the
# contracted status, a message that names what is wrong, and nothing left over.
. "$(dirname "$0")/lib.sh"

command -v qemu-img >/dev/null || { skip package "no qemu-img"; finish; exit; }
MAKE="python3 $TOP/tests/mkpackage.py"
RAW=$SCRATCH/box.raw VMDK=$SCRATCH/box.vmdk
make_disk "$RAW" 8388608
qemu-img convert -q -f raw -O vmdk -o subformat=streamOptimized "$RAW" "$VMDK"

# In bounded memory and time, whatever it claims; and the terminal is safe.
bounded() {
    (ulimit -v "${LIMIT_KIB-unlimited}"; exec timeout 60 "$@")
}
case $("$REHOST" --version 2>&1; echo "${REHOST_SAN-}") in
*asan* | *tsan*) ;; # they need address space of their own
*) LIMIT_KIB=600000 ;;
esac

refuses() { # PATH ERROR
    mkdir tmp
    export TMPDIR=$PWD/tmp
    run bounded "$REHOST" inspect "$1"
    expect_error "$2" 3
    expect_equal "$(LC_ALL=C grep -c '[[:cntrl:]]' .stderr)" 0 "raw control characters"
    expect_empty tmp
    run bounded "$REHOST" convert "$1" --to kvm --out out --no-guest-fix
    [ "$status" = 3 ] || [ "$status" = 2 ] || expect_status 3
    expect_empty out
}
cases=0
while read -r case path error; do
    check "$case" refuses "$path" "$error"
    cases=$((cases + 1))
done < <($MAKE hostile "$VMDK" "$SCRATCH/hostile")

test_json_carries_the_error() {
    path=$($MAKE make name-dot-dot "$VMDK" .)
    run "$REHOST" inspect "$path" --json
    expect_status 3
    expect_json .error.code PACKAGE_MEMBER_NAME .stderr
    expect_json '.error.message | contains("../../etc/cron.d/x")' true .stderr
}

test_the_generator_made_all_of_them() {
    expect_equal $((cases >= 80)) 1 "enough cases ($cases)"
}
run_tests
