# The library's disk calls: twice, after a failure, from several threads at
# once.  `make asan` and `make tsan` build the library and this with sanitizers.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

case ${REHOST_SAN-} in
asan) SAN=-fsanitize=address,undefined ;;
tsan) SAN=-fsanitize=thread ;;
*) SAN= ;;
esac
CALLS=$SCRATCH/disk_calls
# shellcheck disable=SC2086
"${CC:-cc}" -std=c17 -D_GNU_SOURCE -pthread $SAN -I"$TOP/include" -o "$CALLS" \
    "$TOP/tests/disk_calls.c" -L"$BUILD" -lrehost -Wl,-rpath,"$BUILD" ||
    { not_ok build; finish; exit; }

make_disk "$SCRATCH/disk.raw" 9000448
command -v qemu-img >/dev/null && {
    cd "$SCRATCH" || exit 1
    qemu-img convert -f raw -O vmdk -o subformat=streamOptimized disk.raw d.vmdk
    qemu-img convert -f raw -O vhdx disk.raw d.vhdx
    qemu-img convert -f raw -O vpc -o force_size=on disk.raw d.vhd
    qemu-img convert -f raw -O qcow2 -c disk.raw d.qcow2
    gzip -k d.vmdk
    gzip -k d.vhdx
    head -c 300000 d.vmdk | gzip >cut.vmdk.gz
    gzip -c d.vmdk | head -c 300000 >cut-gzip.vmdk.gz
}
FORMS=(disk.raw d.vmdk d.vhdx d.vhd d.qcow2 d.vmdk.gz d.vhdx.gz)

test_each_call_twice() {
    need qemu-img
    local form
    for form in "${FORMS[@]}"; do
        run "$CALLS" twice "$SCRATCH/$form" .
        expect_status 0
        expect_stdout '^size: 90'
        expect_stdout '^check: ok'
        expect_stdout '^compare: same'
        expect_stdout '^convert: ok'
        expect_same_disk "$SCRATCH/disk.raw" 0.qcow2 raw qcow2
    done
}
# What cannot be stored says so each time, and the disk is still there to ask.
test_each_call_after_a_failure() {
    need qemu-img
    local form
    for form in cut.vmdk.gz cut-gzip.vmdk.gz; do
        run "$CALLS" twice "$SCRATCH/$form" .
        expect_status 0
        expect_stdout '^read: [A-Z]'
        expect_stdout '^json: [A-Z]'
        expect_stdout '^convert: [A-Z]'
        expect_stdout '^size: 90'
        expect_equal "$(ls -- *.qcow2 2>/dev/null)" ""
    done
}
# A stream gives its grains once; the second time must not write an empty disk.
test_a_stream_is_converted_once() {
    need qemu-img
    run "$CALLS" convert-twice "$SCRATCH/d.vmdk.gz" .
    expect_status 1
    expect_stdout '^convert: ok'
    expect_stdout '^the second time convert: DISK_NOT_SEEKABLE'
    expect_same_disk "$SCRATCH/disk.raw" 0.qcow2 raw qcow2
    run "$CALLS" convert-twice "$SCRATCH/cut.vmdk.gz" .
    expect_stdout '^convert: VMDK_'
    expect_equal "$(ls -A -- *.qcow2 .*.part 2>/dev/null)" "0.qcow2"
}
test_all_calls_from_several_threads() {
    need qemu-img
    local form
    for form in "${FORMS[@]}" cut.vmdk.gz; do
        run "$CALLS" threads "$SCRATCH/$form" .
        expect_status 0
        expect_stdout '^done$'
    done
}
run_tests
