#!/bin/bash
# clone.sh - where source and result lie on one file system that shares blocks,
# they are shared, and said so; the disks stay each other's equal.
#
# btrfs and XFS in files, mounted by loop devices in a namespace of the script's
# own; qemu-img compares, the file systems count their blocks.
# SPDX-License-Identifier: LGPL-2.1-or-later
if [ "$(id -u)" = 0 ] && [ -z "${CLONE_MOUNTS-}" ] && unshare -m true 2>/dev/null; then
    exec env CLONE_MOUNTS=1 unshare -m bash "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"

mounted=()
trap 'cd /; umount "${mounted[@]}" 2>/dev/null; rm -rf "$SCRATCH"' EXIT
make_file_systems() {
    local fs
    for fs in btrfs xfs; do
        truncate -s 400M $fs.img
        mkdir $fs
        "mkfs.$fs" -q $fs.img >/dev/null 2>&1 && mount -o loop $fs.img $fs 2>/dev/null || continue
        mounted+=("$SCRATCH/$fs")
    done
}
[ -z "${CLONE_MOUNTS-}" ] || make_file_systems
need_clones() {
    need qemu-img python3 jq
    [ ${#mounted[@]} -gt 0 ] || skip_test "neither btrfs nor XFS can be mounted here"
}
# KiB that all files on it take, once all is written out.
used() { # DIR
    sync -f "$1"
    df --output=used "$1" | tail -1
}
# Odd in its end, with zeros that are stored among its data.
make_source() { # FILE
    make_disk "$1" 60000256
    dd if=/dev/zero of="$1" bs=1M seek=20 count=2 conv=notrunc status=none
    dd if=/dev/urandom of="$1" bs=1M seek=30 count=16 conv=notrunc status=none
}
cloned_bytes() { sed -n 's/.*: \([0-9]*\) of its bytes share their blocks.*/\1/p' .stderr; }

test_disks_of_all_forms_share_their_blocks() {
    local dir from to before grown
    need_clones
    make_source here.raw
    for dir in "${mounted[@]}"; do
        cp --sparse=always here.raw "$dir/s.raw"
        qemu-img convert -f raw -O qcow2 here.raw "$dir/s.qcow2"
        run "$REHOST" disk convert -O vhd here.raw --input-format raw "$dir/s.vhd"
        expect_status 0
        for from in raw qcow2 vhd; do
            for to in raw qcow2 vhd; do
                before=$(used "$dir")
                run "$REHOST" disk convert -v "$dir/s.$from" "$dir/r.$to" \
                    $([ $from != raw ] || echo --input-format raw)
                expect_status 0
                grown=$(($(used "$dir") - before))
                [ $grown -lt 4000 ] || fail "$dir: $from to $to took $grown KiB more"
                [ "$(cloned_bytes)" -gt 18000000 ] || fail "$from to $to: what is said" "$stderr"
                expect_same_disk here.raw "$dir/r.$to" raw "${to/vhd/vpc}"
                [ $to != qcow2 ] || expect_sound_qcow2 "$dir/r.$to"
                mv "$dir/r.$to" "$dir/kept.$to"
            done
        done
        # The source is its own again, and the results stay.
        shred -n 1 "$dir/s.raw" "$dir/s.qcow2" "$dir/s.vhd"
        for to in raw qcow2 vhd; do
            expect_same_disk here.raw "$dir/kept.$to" raw "${to/vhd/vpc}"
        done
        rm -rf "${dir:?}"/*
    done
}
test_a_clone_needs_no_room() {
    local dir
    need_clones
    dd if=/dev/urandom of=here.raw bs=1M count=150 status=none
    for dir in "${mounted[@]}"; do
        cp here.raw "$dir/s.raw"
        # btrfs tells what is free a moment later.
        while sync -f "$dir" && [ "$(df --output=avail "$dir" | tail -1)" -gt 110000 ]; do
            dd if=/dev/zero bs=1M count=16 status=none >>"$dir/others"
        done
        run "$REHOST" convert "$dir/s.raw" --source-format raw --to kvm --set memory=1GiB \
            --no-guest-fix --name box --out "$dir/out"
        expect_status 0
        expect_same_disk here.raw "$dir/out/box/disk0.qcow2" raw qcow2
        # Elsewhere it is told before the work that there is none.
        run "$REHOST" convert here.raw --source-format raw --to kvm --set memory=1GiB \
            --no-guest-fix --name box --out "$dir/other"
        expect_error NO_SPACE 1
        rm -rf "${dir:?}"/*
    done
}
# The layout hangs on no thread.
test_chain_and_a_result_elsewhere() {
    local dir=${mounted[0]-}
    need_clones
    make_source base.raw
    cp base.raw "$dir/base.raw"
    qemu-img create -q -f qcow2 -F raw -b base.raw "$dir/child.qcow2"
    qemu-io -c 'write -P 7 1M 3M' -c 'write -P 9 40M 64k' "$dir/child.qcow2" >/dev/null
    run "$REHOST" disk convert -v "$dir/child.qcow2" "$dir/out.qcow2"
    expect_status 0
    expect_same_disk "$dir/child.qcow2" "$dir/out.qcow2"
    [ "$(cloned_bytes)" -gt 18000000 ] || fail "what is said" "$stderr"
    run "$REHOST" disk convert --threads 1 "$dir/child.qcow2" "$dir/one.qcow2"
    expect_same_file "$dir/out.qcow2" "$dir/one.qcow2"
    run "$REHOST" disk convert -v "$dir/child.qcow2" far.qcow2
    expect_status 0
    expect_equal "$(cloned_bytes)" "" "across file systems"
    expect_same_disk "$dir/child.qcow2" far.qcow2
    rm -rf "${dir:?}"/*
}
# Of a VM's disk everything is read, and its digests are those of a result
# elsewhere; what is edited in the guest is written.
test_guest_that_is_edited() {
    local dir
    need_clones
    need mke2fs sfdisk debugfs
    python3 "$TOP/tests/guestfix/mkguest.py" debian g.raw || fail mkguest
    run "$REHOST" convert g.raw --source-format raw --set memory=1GiB --to kvm --to xen --format raw --out here
    expect_status 0
    expect_json '[.disks[]|has("cloned_bytes")]|any' false here/kvm/g/receipt.json
    for dir in "${mounted[@]}"; do
        cp g.raw "$dir/g.raw"
        run "$REHOST" convert "$dir/g.raw" --source-format raw --set memory=1GiB --to kvm --to xen \
            --format raw --out "$dir/out"
        expect_status 0
        expect_stdout '  cloned:   .* share blocks with the source'
        expect_same_file here/kvm/g/disk0.raw "$dir/out/kvm/g/disk0.raw"
        expect_schema "$dir/out/kvm/g/receipt.json" rehost.receipt-1.json
        expect_json '.disks[0].cloned_bytes > 0' true "$dir/out/kvm/g/receipt.json"
        jq '.disks[]|del(.cloned_bytes, .data_bytes)' "$dir/out/kvm/g/receipt.json" >found
        jq '.disks[]|del(.data_bytes)' here/kvm/g/receipt.json >wanted
        diff wanted found >.diff || fail "the receipts differ" "$(cat .diff)"
        run "$REHOST" verify "$dir/g.raw" "$dir/out/kvm/g" --source-format raw
        expect_status 0
        rm -rf "${dir:?}"/*
    done
}
# The kernel may refuse at any time; then the rest is written.
test_refusal_in_the_middle() {
    local dir=${mounted[0]-} n
    need_clones
    need cc
    [ -z "${REHOST_SAN-}" ] || skip_test "LD_PRELOAD and sanitizers do not mix"
    cat >refuse.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
int ioctl(int fd, unsigned long request, ...)
{
    static atomic_int calls;
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (request == FICLONERANGE && calls++ >= atoi(getenv("CLONES"))) {
        errno = EINVAL;
        return -1;
    }
    return ((int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl"))(fd, request, argument);
}
END
    cc -shared -fPIC -o refuse.so refuse.c -ldl || fail cc
    make_source here.raw
    cp here.raw "$dir/s.raw"
    for n in 0 1 5; do
        run env CLONES=$n LD_PRELOAD="$PWD/refuse.so" "$REHOST" disk convert -v -O qcow2 \
            --input-format raw "$dir/s.raw" "$dir/$n.qcow2"
        expect_status 0
        expect_same_disk here.raw "$dir/$n.qcow2" raw
        expect_sound_qcow2 "$dir/$n.qcow2"
    done
    expect_same_file "$dir/1.qcow2" "$dir/5.qcow2"
    rm -rf "${dir:?}"/*
}
# XFS keeps blocks in store behind the end of a file that grows: they would stay
# in the result's holes.
test_holes_take_no_room_on_xfs() {
    local kind taken
    need_clones
    case ${mounted[*]} in *xfs) ;; *) skip_test "XFS can't be mounted here" ;; esac
    python3 - <<'END'
import random
with open("s.raw", "wb") as f:
    f.truncate(200 << 20)
    for i in range(0, 200, 3):
        f.seek((i << 20) + 12288)
        f.write(random.Random(i).randbytes(300000))
END
    for kind in raw vhd; do
        run "$REHOST" disk convert --input-format raw s.raw "$SCRATCH/xfs/r.$kind"
        expect_status 0
        sync -f "$SCRATCH/xfs"
        taken=$(du -k "$SCRATCH/xfs/r.$kind" | cut -f1)
        [ "$taken" -lt 22500 ] || fail "$kind: $taken KiB for 20100 of data"
        held
    done
    rm -f "$SCRATCH"/xfs/*
}

run_tests
