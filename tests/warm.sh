#!/bin/bash
# warm.sh - a VM moves while it runs: rounds that follow a disk that changes,
# the cutover, and kills at any moment.  The source here is a lone disk; VMs of
# a platform are moved in tests/live/.
# long
# SPDX-License-Identifier: LGPL-2.1-or-later
IN_MEMORY=1
. "$(dirname "$0")/lib.sh"

: "${KILLS:=10}" # more by hand
export XDG_STATE_HOME=$SCRATCH/state
VM=(--set memory=1GiB --set firmware=bios)

warm() { # COMMAND ARGUMENT...
    run "$REHOST" warm "$@"
}
# Some of the disk is written, some zeroed, as a guest would: change FILE SEED.
change() {
    python3 - "$@" <<'PY'
import os, random, sys
r = random.Random(sys.argv[2])
size = os.path.getsize(sys.argv[1])
with open(sys.argv[1], "r+b") as f:
    for _ in range(12):
        n = r.choice((512, 4096, 65536, 300000))
        f.seek(r.randrange((size - n) // 512) * 512)
        f.write(bytes(n) if r.random() < .3 else r.randbytes(n))
PY
}
# The result is what a plain conversion of the disk as it is now gives.
as_converted() { # DISK RESULT-DISK [FORMAT OF THE RESULT]
    expect_same_disk "$1" "$2" raw ${3:+"$3"}
    case $2 in *.qcow2) expect_sound_qcow2 "$2" ;; esac
}
job_folder_is_clean() { # OUT JOB: what a job that is done keeps
    expect_equal "$(ls -A "$1/.rehost-warm/$2")" job.json
    expect_equal "$(find "$1" -name '*.part' -o -name '.*.lease')" ""
}

rounds_and_cutover() { # TO FORMAT
    make_disk d.raw 50331648 "$2"
    warm start d.raw --to "$1" --format "$2" --out out "${VM[@]}" \
        --no-guest-fix --job j
    expect_status 0
    expect_stdout 'round 1 \(full\)'
    as_converted d.raw "out/.rehost-warm/j/disk0.$2" "${3:-$2}"
    for seed in 1 2; do
        change d.raw "$seed"
        warm sync j
        expect_status 0
        as_converted d.raw "out/.rehost-warm/j/disk0.$2" "${3:-$2}"
    done
    change d.raw last
    warm cutover j
    expect_status 0
    as_converted d.raw "out/d/disk0.$2" "${3:-$2}"
    run "$REHOST" verify d.raw out/d
    expect_status 0
    expect_stdout 'content digest as in the receipt'
    job_folder_is_clean out j
    warm status j --json
    expect_json .state done
    expect_json '.rounds[0].how' full
    expect_json '[.rounds[1:][].how] | unique[]' compare
    expect_json '.rounds | length' 5
    # The rounds wrote what had changed, and no more than a little around it.
    expect_json '[.rounds[1:][].bytes_changed] | add < 20000000' true
    expect_schema .stdout rehost.warm-1.json
}
test_rounds_follow_a_disk_into_qcow2() { need qemu-img; rounds_and_cutover kvm qcow2; }
test_rounds_follow_a_disk_into_raw() { need qemu-img; rounds_and_cutover kvm raw; }
test_rounds_follow_a_disk_into_vhd() { need qemu-img; rounds_and_cutover xen vhd vpc; }

# What can't be written again is kept here and delivered at the cutover.
test_an_archive_is_made_at_the_cutover() {
    make_disk d.raw 9437184
    warm start d.raw --to xen --out out "${VM[@]}" --no-guest-fix --job j
    expect_status 0
    expect_stdout "later passes can't be written"
    change d.raw 1
    warm cutover j
    expect_status 0
    run "$REHOST" verify d.raw out/d
    expect_status 0
    run "$REHOST" convert d.raw --to xen --out plain "${VM[@]}" --no-guest-fix
    expect_status 0
    expect_same_file out/d/d.xva plain/d/d.xva
}

# --- the guest -----------------------------------------------------------------
make_guest() {
    need mke2fs sfdisk debugfs
    python3 "$TOP/tests/guestfix/mkguest.py" debian d.raw || fail mkguest
}
test_the_guest_is_fixed_in_the_copy() {
    make_guest
    warm start d.raw --to kvm --out out "${VM[@]}" --set nic0.model=vmxnet3 --job j
    expect_status 0
    warm cutover j
    expect_status 0
    run "$REHOST" convert "$PWD/d.raw" --to kvm --out plain "${VM[@]}" --set nic0.model=vmxnet3
    expect_status 0
    expect_same_disk out/d/disk0.qcow2 plain/d/disk0.qcow2
    expect_json '.edits | length > 0' true out/d/receipt.json
    for file in out plain; do # what differs with the file's layout is left out
        jq -S 'del(.disks[] | .file_bytes, .data_bytes, .frame_digest) | del(.files, .seal, .mark)' \
            $file/d/receipt.json >$file.json
    done
    expect_same_file out.json plain.json
    expect_json '.disks[0].frame_digest | length' 34 out/d/receipt.json
    run "$REHOST" verify d.raw out/d
    expect_status 0
}
# A rehearsal is a result beside; the rounds go on as if there had been none.
test_a_rehearsal_changes_nothing() {
    make_guest
    warm start d.raw --to kvm --out out "${VM[@]}" --set nic0.model=vmxnet3 --job j
    expect_status 0
    sum=$(sha256sum <out/.rehost-warm/j/disk0.qcow2)
    warm rehearse j
    expect_status 0
    expect_equal "$(sha256sum <out/.rehost-warm/j/disk0.qcow2)" "$sum"
    expect_equal "$(ls out/.rehost-warm/j)" "$(printf 'disk0.qcow2\ndisk0.qcow2.sums\njob.json')"
    expect_equal "$(grep -c 'link_down=1' out/j-rehearsal/proxmox.conf)" 1
    warm rehearse j --network island
    expect_status 0
    expect_equal "$(grep -c 'bridge=island' out/j-rehearsal/proxmox.conf)" 1
    warm sync j
    expect_status 0
    expect_stdout 'round 2 \(compare\): 0 bytes written'
}

# --- what goes wrong -----------------------------------------------------------
test_what_is_blocked_is_said_before_a_byte() {
    make_disk d.raw 1048576
    warm start d.raw --to kvm --out out --no-guest-fix --job j
    expect_error PLAN_BLOCKED 4
    expect_empty out
    warm start d.raw --to kvm --out out "${VM[@]}" --no-guest-fix --job ../j
    expect_error USAGE 2
    warm start d.raw --to kvm "${VM[@]}" --job j
    expect_error USAGE 2
    warm status j
    expect_error WARM_JOB 2
}
test_a_name_is_taken_once_and_abort_leaves_nothing() {
    make_disk d.raw 4194304
    warm start d.raw --to kvm --out out "${VM[@]}" --no-guest-fix --job j
    expect_status 0
    warm start d.raw --to kvm --out out "${VM[@]}" --no-guest-fix --job j
    expect_error WARM_EXISTS 1
    warm abort j
    expect_status 0
    expect_empty out
    expect_equal "$(find "$XDG_STATE_HOME" -name 'j.json')" ""
    warm sync j
    expect_error WARM_JOB 2
}
test_a_disk_that_grew_ends_the_job() {
    make_disk d.raw 4194304
    warm start d.raw --to kvm --out out "${VM[@]}" --no-guest-fix --job j
    expect_status 0
    truncate -s 8M d.raw
    warm sync j
    expect_error WARM_CHANGED 4
    warm abort out/.rehost-warm/j
    expect_status 0
}
test_a_cutover_that_fails_can_be_done_again() {
    make_guest
    warm start d.raw --to kvm --out out "${VM[@]}" --set nic0.model=vmxnet3 --job j
    expect_status 0
    mkdir -p out/d && echo mine >out/d/file
    warm cutover j
    expect_error FILE_EXISTS 1
    expect_equal "$(cat out/d/file)" mine
    warm status j --json
    expect_json .state cutover
    mv out/d other
    change d.raw 5
    warm sync j
    expect_status 0
    as_converted d.raw out/.rehost-warm/j/disk0.qcow2
    warm cutover j
    expect_status 0
    run "$REHOST" verify d.raw out/d
    expect_status 0
}
# Whoever died after the result stood and before he wrote that down: the result
# is left as it is, also when the VM has another name by then.
test_a_result_that_stands_is_not_written_any_more() {
    make_guest
    warm start d.raw --to kvm --out out "${VM[@]}" --set nic0.model=vmxnet3 --job j
    expect_status 0
    ln out/.rehost-warm/j/disk0.qcow2 kept
    warm cutover j
    expect_status 0
    ln kept out/.rehost-warm/j/disk0.qcow2
    jq '.state = "cutover" | .result = null' out/.rehost-warm/j/job.json >job.json
    cp job.json out/.rehost-warm/j/job.json
    mv out/d out/renamed
    change d.raw 9
    sum=$(sha256sum <out/renamed/disk0.qcow2)
    warm sync j
    expect_error WARM_STATE 2
    warm cutover j
    expect_status 0
    expect_equal "$(sha256sum <out/renamed/disk0.qcow2)" "$sum"
    warm status j --json
    expect_json .state done
    expect_json '.result | endswith("out/renamed")' true
}
# A copy that is not the disk's any more, a journal that leads elsewhere.
test_what_was_tampered_with_is_refused() {
    make_disk d.raw 4194304
    warm start d.raw --to kvm --format raw --out out "${VM[@]}" --no-guest-fix --job j
    expect_status 0
    truncate -s 1M out/.rehost-warm/j/disk0.raw
    warm sync j
    expect_error WARM_JOURNAL 1
    cp out/.rehost-warm/j/job.json good.json
    for bad in '.disks[0].file = "lease"' '.disks[0].file = "../x"' '.options = []' \
        '.state = 7' 'del(.format)' '[.]'; do
        jq "$bad" good.json >out/.rehost-warm/j/job.json
        warm sync j
        expect_error WARM_JOURNAL 1
        expect_stderr 'by hand'
    done
    head -c 100 good.json >out/.rehost-warm/j/job.json
    warm abort j
    expect_error WARM_JOURNAL 1
    cp good.json out/.rehost-warm/j/job.json
    warm abort j
    expect_status 0
    expect_empty out
}
test_of_very_many_rounds_the_first_and_the_last_are_kept() {
    make_disk d.raw 1048576
    warm start d.raw --to kvm --out out "${VM[@]}" --no-guest-fix --job j
    expect_status 0
    jq '.rounds += [range(9999) | {how: "compare", bytes_changed: ., bytes_sent: 0, seconds: 1,
        started: 0, last: false}]' out/.rehost-warm/j/job.json >many.json
    cp many.json out/.rehost-warm/j/job.json
    warm sync j
    expect_status 0
    expect_stdout '^round 10001 '
    warm status j --json
    expect_json '.rounds | length' 10000
    expect_json '.rounds[0].how' full
    expect_json '.rounds[1].bytes_changed' 1
}
# On a disk that is full to the last byte.
test_a_full_disk() {
    mkdir small
    mount -t tmpfs -o size=3m none small 2>/dev/null || skip_test "no right to mount"
    head -c 4194304 /dev/urandom >d.raw
    head -c 3145728 /dev/zero >small/fill 2>/dev/null
    warm start d.raw --to kvm --out small/out "${VM[@]}" --no-guest-fix --job j
    none=$status,$(find small/out -mindepth 1)
    rm small/fill
    warm start d.raw --to kvm --out small/out "${VM[@]}" --no-guest-fix --job j
    first=$status
    head -c 3145728 /dev/zero >small/fill 2>/dev/null
    warm sync j
    second=$status
    warm abort j
    gone=$status,$(find small/out -mindepth 1)
    umount small
    expect_equal "$none $first $second $gone" "1, 1 1 0,"
}
test_times_are_understood_or_refused() {
    make_disk d.raw 1048576
    warm start d.raw --to kvm --out out "${VM[@]}" --no-guest-fix --job j
    expect_status 0
    for bad in '--at 25:00' '--at soon' '--window 02:00' '--window 3:00-3:00' \
        '--max-last-round fast' '--at 02:00 --window 02:00-03:00'; do
        warm cutover j $bad
        expect_error USAGE 2
    done
    warm sync j --every 0
    expect_error USAGE 2
    # A lone disk has no platform.
    for bad in --enable-cbt '--min-free 1GiB' --quiesce; do
        warm start d.raw --to kvm --out out "${VM[@]}" --job other $bad
        expect_error PLAN_OPTION 2
    done
    # A window that is open: at once.
    warm cutover j --window "$(date -d '-1 hour' +%H:%M)-$(date -d '+1 hour' +%H:%M)" \
        --max-last-round 5m
    expect_status 0
    warm sync j
    expect_error WARM_STATE 2
}
test_one_at_a_time() {
    make_disk d.raw 1048576
    warm start d.raw --to kvm --out out "${VM[@]}" --no-guest-fix --job j
    expect_status 0
    "$REHOST" warm sync j --every 1h >log 2>&1 &
    for ((i = 0; i < 100; i++)); do
        [ "$("$REHOST" warm status j --json | jq '.rounds | length')" = 2 ] && break
        sleep 0.1
    done
    warm cutover j
    expect_error WARM_BUSY 1
    kill -INT $!
    wait $!
    expect_equal $? 130 "exit status of the rounds"
    warm cutover j
    expect_status 0
}

# --- kills ----------------------------------------------------------------------
killed() { # MILLISECONDS COMMAND...: 0 when it ended before
    local ms=$1 pid
    shift
    "$@" >log 2>&1 &
    pid=$!
    sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
}
# What nothing uses is known at the end alone: the copy is converted then.
test_unused_blocks_are_left_out_at_the_cutover() {
    need mke2fs
    make_disk d.raw 25165824
    mke2fs -q -F -E nodiscard -t ext4 d.raw 20M
    warm start d.raw --to kvm --out out "${VM[@]}" --skip-free --job j
    expect_status 0
    warm cutover j
    expect_status 0
    expect_json .skip_free true out/d/receipt.json
    run "$REHOST" verify d.raw out/d
    expect_status 0
    expect_stdout '^verified$'
}
test_killed_at_any_moment() {
    make_guest
    RANDOM=7
    options=(--to kvm --out out "${VM[@]}" --set nic0.model=vmxnet3 --job j)
    for ((i = 0; i < KILLS && i < 4; i++)); do
        killed $((RANDOM % 120)) "$REHOST" warm start d.raw "${options[@]}"
        [ ! -e out/.rehost-warm/j/job.json ] || break
    done
    [ -e out/.rehost-warm/j/job.json ] || { warm start d.raw "${options[@]}"; expect_status 0; }
    for ((i = 0; i < KILLS; i++)); do
        change d.raw "$i"
        killed $((RANDOM % 250)) "$REHOST" warm sync j
    done
    warm sync j
    expect_status 0
    as_converted d.raw out/.rehost-warm/j/disk0.qcow2
    for ((i = 0; i < KILLS; i++)); do
        killed $((RANDOM % 500)) "$REHOST" warm cutover j
        # Somebody starts the source again: it goes on from there.
        [ -e out/d ] && break
        change d.raw "again$i"
        [ $((i % 2)) = 0 ] || killed $((RANDOM % 250)) "$REHOST" warm sync j
    done
    warm cutover j
    case $stderr in *WARM_STATE*) ;; *) expect_status 0 ;; esac
    run "$REHOST" verify d.raw out/d
    expect_status 0
    expect_sound_qcow2 out/d/disk0.qcow2
    job_folder_is_clean out j
    expect_equal "$(ls out)" d
}
# Who reads a VHD by its bitmaps sees the same as who does not.
test_killed_on_the_way_into_a_vhd() {
    make_disk d.raw 25165824
    warm start d.raw --to xen --format vhd --out out "${VM[@]}" --no-guest-fix --job j
    expect_status 0
    RANDOM=9
    for ((i = 0; i < KILLS; i++)); do
        change d.raw "$i"
        killed $((RANDOM % 60)) "$REHOST" warm sync j
    done
    warm sync j
    expect_status 0
    run "$REHOST" disk compare d.raw out/.rehost-warm/j/disk0.vhd
    expect_status 0
    [ -z "$(type -P qemu-img)" ] || as_converted d.raw out/.rehost-warm/j/disk0.vhd vpc
    python3 - out/.rehost-warm/j/disk0.vhd <<'PY' || fail "a bitmap with gaps"
import struct, sys
b = open(sys.argv[1], "rb").read()
at = struct.unpack(">Q", b[512 + 16:512 + 24])[0]
for (block,) in struct.iter_unpack(">I", b[at:at + 4 * 12]):
    assert block == 0xffffffff or b[block * 512:block * 512 + 512] == b"\xff" * 512
PY
}
run_tests
