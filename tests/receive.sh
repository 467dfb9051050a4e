#!/bin/bash
# VMs that go to functions of the program which uses the library, from a
# conversion and from a result (rh_lib_add_receiver).
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-vm.sh"

case ${REHOST_SAN-} in
asan) SAN=-fsanitize=address,undefined ;;
tsan) SAN=-fsanitize=thread ;;
*) SAN= ;;
esac
CALLS=$SCRATCH/receive_calls
# shellcheck disable=SC2086
"${CC:-cc}" -std=c17 -D_GNU_SOURCE -pthread $SAN -I"$TOP/include" -o "$CALLS" \
    "$TOP/tests/receive_calls.c" -L"$BUILD" -lrehost -Wl,-rpath,"$BUILD" || exit 1
cd "$SCRATCH" || exit 1
make_vm web01 nics=1 "disks=8388608 5242880" >/dev/null
"$REHOST" convert vm --to kvm --to xen --out made --no-guest-fix >/dev/null || exit 1

expect_disks() {
    local i
    for i in 0 1; do
        run cmp -n "$(stat -c %s "$SCRATCH/$i.raw")" "$SCRATCH/$i.raw" got/disk$i.raw
        expect_status 0
    done
    expect_json .schema rehost.receive/1 got/vm.json
    expect_schema got/vm.json rehost.receive-1.json
    expect_json '.vm.nics[0].mac' 00:50:56:aa:bb:00 got/vm.json
    expect_json '[.disks[].virtual_size] | join(" ")' "$1" got/vm.json
    expect_json .schema rehost.receipt/1 got/receipt.json
}
test_a_conversion_comes_whole() {
    run "$CALLS" convert "$SCRATCH/vm" kvm got
    expect_status 0
    expect_equal "$stdout" "convert: FILE_NOT_FOUND app-vm:shelf: the program has added no receiver of that name
add: USAGE : a receiver needs functions to begin, write, finish and abort
add: USAGE : a receiver needs a name
add: ok
add: USAGE shelf: there is one of that name already
finished
result: app-vm:shelf/web01
convert: ok
finished
result: app-vm:shelf/web01
convert: ok"
    expect_disks "8388608 5242880"
    expect_json '.disks[1].position' scsi1 got/vm.json
}
test_a_conversion_for_xen() {
    run "$CALLS" convert "$SCRATCH/vm" xen got
    expect_status 0
    expect_stdout '^convert: ok$'
    expect_disks "8388608 6291456"
}
test_a_result_comes_whole() {
    local model
    for model in kvm xen; do
        cp -r "$SCRATCH/made/$model/web01" result
        run "$CALLS" push result "" got
        expect_status 0
        expect_equal "$(grep -c '^delivered: web01 as web01 at app-vm:shelf$' .stdout)" 2
        expect_equal "$(grep -c finished .stdout)" 2
        for i in 0 1; do
            cmp -n "$(stat -c %s "$SCRATCH/$i.raw")" "$SCRATCH/$i.raw" got/disk$i.raw
            expect_equal $? 0
        done
        expect_empty result/.push
        expect_json '.delivery[0].id' web01 result/receipt.json
        rm -r result got
    done
}
# What the functions say reaches the caller, and nothing stays.
test_functions_that_fail() {
    local at way
    cp -r "$SCRATCH/made/kvm/web01" result
    for way in "convert $SCRATCH/vm kvm" "push result x"; do
        for at in begin zero write flush finish; do
            # shellcheck disable=SC2086
            run "$CALLS" $way got $at
            expect_status 0
            expect_equal "$(grep -cE '^(convert|push): FILE_WRITE app-vm:shelf: |^(convert|push): NO_SPACE ' .stdout)" 2 \
                "errors of $at"
            expect_equal "$(grep -c '^aborted' .stdout)" \
                "$([ $at = begin ] && echo 0 || echo 2)" "aborts of $at"
            expect_equal "$(grep -c '^finished' .stdout)" 0
            [ $at != write ] || expect_stdout 'did not write a disk: the shelf is full'
            expect_empty got
        done
    done
    expect_json '.delivery' null result/receipt.json
}
test_a_cancel_cleans_up() {
    run "$CALLS" convert "$SCRATCH/vm" kvm got cancel
    expect_status 0
    expect_stdout '^convert: CANCELLED'
    expect_stdout '^aborted$'
    expect_empty got
}
run_tests
