# What a result folder survives: kill -9 at any step, a full disk, two at once,
# a terminal that goes away. The next run always goes through and clears up.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

make_disk "$SCRATCH/disk.raw" 16777216
python3 "$TOP/tests/guests/mkova.py" --name web01 "$SCRATCH/web01.ova" \
    "$SCRATCH/disk.raw" >/dev/null || exit 1
OVA=$SCRATCH/web01.ova

convert() { # [OPTION...]
    run "$REHOST" convert "$OVA" --to kvm --out out --threads 1 "$@"
}
# killed SYSCALL N [OPTION...]: the process is gone as it makes its N-th call.
killed() {
    local call=$1 n=$2
    shift 2
    "${STRACE[@]}" -e trace="$call" -e inject="$call:signal=KILL:when=$n" "$REHOST" \
        convert "$OVA" --to kvm --out out --threads 1 "$@" >.log 2>&1
    expect_equal $? 137 "end by SIGKILL at $call $n"
}
only_result() {
    expect_equal "$(ls -A out)" web01
    run "$REHOST" verify "$OVA" out/web01
    expect_status 0
}
# Every call that changes something: the folder is made, the disk is written and
# synced, the documents are, the folder gets its name.
STEPS="mkdir:2 flock:2 pwritev:1 pwritev:5 ftruncate:1 fsync:1 fsync:2
    fsync:6 renameat2:1"

test_kill_at_any_step_then_again() {
    local step
    need strace
    for step in $STEPS; do
        killed "${step%:*}" "${step#*:}"
        expect_equal "$(ls out 2>/dev/null)" "" "visible after $step"
        convert
        expect_status 0
        only_result
        rm -r out
    done
}
test_kill_while_overwriting_keeps_a_whole_result() {
    local step
    need strace
    convert
    expect_status 0
    (cd out/web01 && sha256sum -- *) >before
    for step in $STEPS; do
        killed "${step%:*}" "${step#*:}" --overwrite --set cpus=7
        run env -C out/web01 sha256sum --quiet -c ../../before
        expect_status 0
    done
    # Behind the exchange of names it is the new one, whole.
    convert --overwrite
    killed unlinkat 2 --overwrite --set cpus=7
    expect_json '.vms[0].cpus' 7 out/web01/vm.json
    run "$REHOST" verify "$OVA" out/web01
    expect_status 0
    convert --overwrite
    expect_status 0
    only_result
}
# NFS has no flags for rename.
test_without_rename_flags() {
    local inject=(-e trace=renameat2 -e 'inject=renameat2:error=EINVAL')
    need strace
    run "${STRACE[@]}" "${inject[@]}" "$REHOST" convert "$OVA" --to kvm --out out
    expect_status 0
    only_result
    run "${STRACE[@]}" "${inject[@]}" "$REHOST" convert "$OVA" --to kvm --out out \
        --overwrite --set cpus=7
    expect_status 0
    only_result
    expect_json '.vms[0].cpus' 7 out/web01/vm.json
    # A file that somebody made meanwhile is not written over.
    run "${STRACE[@]}" "${inject[@]}" "$REHOST" disk convert "$SCRATCH/disk.raw" d.qcow2
    expect_status 0
    run "${STRACE[@]}" "${inject[@]}" "$REHOST" disk convert "$SCRATCH/disk.raw" d.qcow2
    expect_error FILE_EXISTS 1
}
# A sandbox that refuses the call: an error, not the end of the program that
# uses the library.
test_no_random_numbers() {
    need strace
    run "${STRACE[@]}" -e trace=getrandom -e inject=getrandom:error=ENOSYS "$REHOST" \
        convert "$OVA" --to kvm --out out
    expect_error UNAVAILABLE 1
    expect_stderr 'no random numbers'
    expect_empty out
}
# What cannot reach the medium while the copy goes on is not forgotten: the
# kernel tells it once.
test_a_medium_that_fails_behind_our_back() {
    need strace
    head -c 100M /dev/urandom >large.raw
    run "${STRACE[@]}" -e trace=fdatasync -e inject=fdatasync:error=EIO:when=1 \
        "$REHOST" disk convert --format raw large.raw large.qcow2
    grep -q 'fdatasync.*EIO' trace || not_ok "nothing was written behind us"
    expect_error FILE_WRITE 1
    expect_equal "$(echo large.* .large*)" "large.raw .large*"
}
test_two_at_once_one_wins() {
    local first second
    mkdir out
    "$REHOST" convert "$OVA" --to kvm --out out >/dev/null 2>one &
    first=$!
    "$REHOST" convert "$OVA" --to kvm --out out >/dev/null 2>two &
    second=$!
    wait $first
    first=$?
    wait $second
    second=$?
    expect_equal "$((first + second))" 1 "one of them fails ($first, $second)"
    expect_equal "$(cat one two | grep -c '\[FILE_EXISTS\]$')" 1 errors
    only_result
}
# The name is taken between the start and the end.
test_a_result_that_appears_meanwhile_stays() {
    local pid
    need strace
    "${STRACE[@]}" -e trace=ftruncate -e inject=ftruncate:delay_enter=3000000 "$REHOST" \
        convert "$OVA" --to kvm --out out >.stdout 2>.stderr &
    pid=$!
    while [ -z "$(ls -A out 2>/dev/null)" ]; do sleep 0.1; done
    mkdir out/web01
    echo mine >out/web01/mine
    wait $pid
    status=$?
    expect_error FILE_EXISTS 1
    expect_equal "$(ls -A out out/web01 | paste -sd' ')" "out: web01  out/web01: mine"
}
# Compressed output has no estimate: the disk is full in the middle.
test_full_in_the_middle() {
    local left
    [ "$(id -u)" = 0 ] || skip_test "only root can mount a small file system"
    mkdir small
    mount -t tmpfs -o size=2m none small 2>/dev/null ||
        skip_test "a tmpfs cannot be mounted here"
    head -c 8388608 /dev/urandom >noise.raw
    run "$REHOST" convert noise.raw --set memory=1GiB --set cpus=1 --to kvm \
        --to xen --compress zstd --out small
    left=$(find small -mindepth 1)
    umount small
    expect_error NO_SPACE 1
    expect_equal "$left" ""
}
test_full_temporary_folder_is_named() {
    local left
    [ "$(id -u)" = 0 ] || skip_test "only root can mount a small file system"
    mkdir small
    mount -t tmpfs -o size=256k none small 2>/dev/null ||
        skip_test "a tmpfs cannot be mounted here"
    run bash -c 'cat "$1" | "$2" convert - --to kvm --out out --temp-dir small' \
        - "$OVA" "$REHOST"
    left=$(ls -A small)
    umount small
    expect_error NO_SPACE 1
    expect_stderr 'hint: .* in small,.*--temp-dir'
    expect_equal "$left" ""
    expect_empty out
}
test_somebody_elses_folder() {
    [ "$(id -u)" = 0 ] || skip_test "only root can be somebody else"
    need setpriv
    mkdir theirs
    chmod 755 . .. theirs
    chmod a+r "$OVA"
    as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env
        ASAN_OPTIONS=detect_leaks=0)
    "${as_nobody[@]}" "$REHOST" --version >/dev/null 2>&1 ||
        skip_test "nobody may not run $REHOST"
    run "${as_nobody[@]}" "$REHOST" convert "$OVA" --to kvm --out theirs
    expect_error FILE_WRITE 1
    expect_stderr 'theirs: .*Permission denied'
    run "${as_nobody[@]}" "$REHOST" convert "$OVA" --to kvm --out theirs/a/b
    expect_error FILE_WRITE 1
    expect_stderr 'theirs/a: .*Permission denied'
    expect_empty theirs
}
test_read_only_target() {
    local left
    [ "$(id -u)" = 0 ] || skip_test "only root can mount"
    mkdir ro
    mount -t tmpfs -o size=2m,ro none ro 2>/dev/null ||
        skip_test "a tmpfs cannot be mounted here"
    run "$REHOST" convert "$OVA" --to kvm --out ro/deep/er
    left=$(ls -A ro)
    umount ro
    expect_error FILE_WRITE 1
    expect_equal "$left" ""
}
# INT, TERM and HUP all ask to stop: 130, and nothing is left.
stopped_by() { # SIGNAL
    local pid
    "${STRACE[@]}" -e trace=pwritev -e inject=pwritev:delay_enter=200000 "$REHOST" \
        convert "$OVA" --to kvm --out out >.stdout 2>.stderr &
    while [ -z "$(ls -A out 2>/dev/null)" ]; do sleep 0.1; done
    pid=$(pgrep -P $!)
    kill -s "$1" "$pid"
    wait $!
    status=$?
    expect_error CANCELLED 130
    expect_equal "$(find out -mindepth 1)" ""
}
for signal in INT TERM HUP; do
    check "stopped_by_$signal" stopped_by $signal
done
test_a_reader_that_goes_away() {
    "$REHOST" convert "$OVA" --to xen --out - 2>.stderr | head -c 1000 >head
    status=${PIPESTATUS[0]}
    expect_error FILE_WRITE 1
}
run_tests
