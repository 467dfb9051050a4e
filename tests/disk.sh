# rehost disk over plain, qcow2 and VHD disks: what comes out is what went in,
# as QEMU sees it, and nothing half-made is ever left.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

# Sizes that are no multiple of a grain, a cluster, a VHD block or a sector run.
SIZES="512 65536 1049088 20971520 33554944"

round_trip() { # SIZE FORMAT QEMU-FORMAT
    need qemu-img
    make_disk in.raw "$1" "$1"
    run "$REHOST" disk convert in.raw "out.$2"
    expect_status 0
    expect_silent
    expect_same_disk in.raw "out.$2" raw "$3"
    run "$REHOST" disk convert "out.$2" back.raw
    expect_status 0
    run cmp in.raw back.raw
    expect_status 0
    run "$REHOST" disk compare in.raw "out.$2"
    expect_status 0
    expect_stdout '^identical$'
}
for size in $SIZES; do
    check "raw_to_qcow2_of_$size" round_trip "$size" qcow2 qcow2
    check "raw_to_vhd_of_$size" round_trip "$size" vhd vpc
done

test_empty_disk_costs_nothing() {
    need qemu-img
    truncate -s 1T in.raw
    run "$REHOST" disk convert in.raw out.qcow2
    expect_status 0
    expect_sound_qcow2 out.qcow2
    expect_same_disk in.raw out.qcow2 raw qcow2
    [ "$(stat -c %s out.qcow2)" -lt 1000000 ] || fail "$(stat -c %s out.qcow2)"
    run "$REHOST" disk convert out.qcow2 back.raw
    expect_status 0
    expect_equal "$(stat -c %s back.raw)" 1099511627776
    [ "$(stat -c %b back.raw)" -lt 1000 ] || fail "$(stat -c %b back.raw) blocks"
}
test_result_does_not_depend_on_threads() {
    make_disk in.raw 50331648
    "$REHOST" disk convert --threads 1 in.raw one.qcow2
    "$REHOST" disk convert --threads 5 --memory 64MiB in.raw five.qcow2
    run cmp one.qcow2 five.qcow2
    expect_status 0
}
test_to_a_pipe() {
    make_disk in.raw 5242880
    "$REHOST" disk convert -O raw in.raw - >out.raw || fail "status $?"
    run cmp in.raw out.raw
    expect_status 0
}
test_from_a_pipe() {
    need qemu-img
    make_disk in.raw 5242880
    qemu-img convert -f raw -O qcow2 in.raw in.qcow2
    cat in.qcow2 | "$REHOST" disk convert - out.raw || fail "status $?"
    run cmp in.raw out.raw
    expect_status 0
}
# A streamOptimized disk is read forward: nothing is stored on the way, as there
# is no folder to store it in.
forward() { # FORMAT: standard input to out.FORMAT, as from the file itself
    TMPDIR=/nonexistent "$REHOST" disk convert - "out.$1" -O "$1" --overwrite ||
        fail "status $?"
    run "$REHOST" disk convert s.vmdk "seek.$1" -O "$1" --overwrite
    expect_status 0
    expect_same_file "seek.$1" "out.$1"
}
make_stream() { # SIZE: in.raw and s.vmdk, its grains in the disk's order
    make_disk in.raw "$1" "$1"
    qemu-img convert -m 1 -f raw -O vmdk -o subformat=streamOptimized \
        in.raw s.vmdk
}
test_stream_from_a_pipe_to_every_format() {
    need qemu-img
    make_stream 10486272
    for o in raw qcow2 vhd vhd-fixed; do
        cat s.vmdk | forward $o
    done
    expect_same_disk in.raw out.vhd raw vpc
    mkfifo pipe
    cat s.vmdk >pipe &
    run env TMPDIR=/nonexistent "$REHOST" disk convert pipe named.vhd
    expect_status 0
    expect_same_file named.vhd seek.vhd
}
test_compressed_stream_is_read_forward() {
    need qemu-img gzip xz
    make_stream 5242880
    gzip -k s.vmdk
    xz -k s.vmdk
    for packed in s.vmdk.gz s.vmdk.xz; do
        cat $packed | forward vhd
        run env TMPDIR=/nonexistent "$REHOST" disk convert $packed out.qcow2 \
            --overwrite
        expect_status 0
        expect_same_disk in.raw out.qcow2 raw qcow2
    done
    head -c -100 s.vmdk.gz >cut.gz
    run "$REHOST" disk convert cut.gz cut.qcow2
    expect_error STREAM_DECODE 3
    [ ! -e cut.qcow2 ] || fail "cut.qcow2 was left"
    run "$REHOST" disk info --json s.vmdk.gz
    expect_json .variant streamOptimized
    expect_json .file_size "$(stat -c %s s.vmdk)"
}
test_compressed_disks_of_other_kinds() {
    need qemu-img gzip
    make_disk in.raw 5242880
    qemu-img convert -f raw -O qcow2 in.raw in.qcow2
    gzip -k in.qcow2
    gzip -c in.raw >plain.img.gz
    for packed in in.qcow2.gz plain.img.gz; do
        run "$REHOST" disk compare $packed in.raw
        expect_stdout '^identical$'
    done
    # What is said to be raw is not looked into.
    run "$REHOST" disk convert -f raw plain.img.gz out.raw
    expect_status 0
    expect_same_file plain.img.gz out.raw
}
test_pipe_where_it_cannot_be_read_forward() {
    need qemu-img
    make_stream 5242880
    # Tables first need a map: the disk is stored, then written.
    for o in raw qcow2 vhd; do
        cat s.vmdk | "$REHOST" disk convert - - -O $o >out.$o || fail "$o"
        run "$REHOST" disk compare out.$o in.raw
        expect_status 0
    done
    # Clusters larger than the grains.
    cat s.vmdk | "$REHOST" disk convert - large.qcow2 --cluster-size 2M ||
        fail "not converted"
    expect_same_disk in.raw large.qcow2 raw qcow2
    run sh -c "cat s.vmdk | '$REHOST' disk convert - - --compress zlib"
    expect_error DISK_NOT_SEEKABLE 2
    for what in info map check; do
        run sh -c "cat s.vmdk | '$REHOST' disk $what -"
        expect_status 0
        cp .stdout piped
        run "$REHOST" disk $what s.vmdk
        expect_same_file .stdout piped
    done
}
test_map_covers_the_disk_without_gaps() {
    make_disk in.raw 20971520
    "$REHOST" disk convert in.raw in.qcow2
    run "$REHOST" disk map --json in.qcow2
    expect_status 0
    expect_json '[.[].length] | add' 20971520
    expect_json '. as $m | [range(1; length) |
        $m[.].start == $m[.-1].start + $m[.-1].length] | all' true
}
test_compare_names_the_first_difference() {
    make_disk a.raw 3145728
    cp a.raw b.raw
    printf x | dd of=b.raw bs=1 seek=2000000 conv=notrunc status=none
    run "$REHOST" disk compare a.raw b.raw
    expect_status 1
    expect_stdout '2000000'
}

# --- what must not happen ---------------------------------------------------------
left_behind() { # names but the source's
    find . -name '.*.part' -o -name 'out.*'
}
test_existing_output_stays_untouched() {
    make_disk in.raw 1048576
    echo precious >out.qcow2
    run "$REHOST" disk convert in.raw out.qcow2
    expect_error FILE_EXISTS 1
    expect_equal "$(cat out.qcow2)" precious
    run "$REHOST" disk convert --overwrite in.raw out.qcow2
    expect_status 0
}
# Only a plain file is replaced by the result; what else has that name is
# written into, or nothing is done.
test_output_that_is_no_plain_file() {
    make_disk in.raw 5242880
    mkfifo pipe
    cat pipe >got &
    run "$REHOST" disk convert in.raw pipe -O raw
    expect_status 0
    wait
    expect_same_file in.raw got
    [ -p pipe ] || fail "the FIFO was replaced"
    mkdir folder
    run "$REHOST" disk convert in.raw folder --overwrite
    expect_error USAGE 2
    touch target.raw
    ln -s target.raw link.raw
    run "$REHOST" disk convert in.raw link.raw --overwrite
    expect_status 0
    [ -L link.raw ] || fail "the link was replaced"
    expect_same_file in.raw target.raw
    run "$REHOST" disk convert in.raw out.vhd --compress zlib
    expect_error DISK_COMPRESS 2
    expect_stderr '^rehost: error: out.vhd: '
}
test_output_that_is_a_device() {
    need mknod losetup
    [ "$(id -u)" = 0 ] || skip_test "needs root"
    local loop
    make_disk in.raw 5242880
    mknod null c 1 3 2>/dev/null || skip_test "no devices here"
    run "$REHOST" disk convert in.raw null -O raw --overwrite
    expect_status 0
    [ -c null ] || fail "the device was replaced"
    # Old bytes must not show where the disk is empty.
    head -c 8388608 /dev/urandom >device
    loop=$(losetup -f --show device 2>/dev/null) || skip_test "no loop device"
    # shellcheck disable=SC2064 # now, as it is local
    trap "losetup -d $loop" EXIT
    run "$REHOST" disk convert in.raw "$loop"
    expect_error FILE_EXISTS 1
    run "$REHOST" disk convert in.raw "$loop" --overwrite
    expect_status 0
    run cmp -n 5242880 in.raw "$loop"
    expect_status 0
    make_disk large.raw 9437184
    run "$REHOST" disk convert large.raw "$loop" --overwrite
    expect_error NO_SPACE 1
}
test_source_is_never_the_output() {
    make_disk in.raw 1048576
    sha256sum in.raw >before
    run "$REHOST" disk convert --overwrite in.raw in.raw
    expect_error USAGE 2
    run sha256sum -c before
    expect_status 0
}
test_no_part_of_the_source_is_the_output() {
    need qemu-img
    local name
    make_disk in.raw 1048576
    qemu-img convert -f raw -O vmdk -o subformat=monolithicFlat in.raw a.vmdk
    qemu-img create -q -f qcow2 -b in.raw -F raw b.qcow2
    sha256sum in.raw a-flat.vmdk b.qcow2 >before
    gzip -k b.qcow2
    for name in "a.vmdk a-flat.vmdk" "b.qcow2 in.raw" "b.qcow2 b.qcow2" \
        "b.qcow2.gz b.qcow2.gz"; do
        run "$REHOST" disk convert --overwrite -O qcow2 $name
        expect_error USAGE 2
    done
    run sha256sum -c before
    expect_status 0
}
test_unknown_bytes_are_refused() {
    head -c 100000 /dev/urandom >in.bin
    run "$REHOST" disk convert in.bin out.qcow2
    expect_error DISK_FORMAT_UNKNOWN 3
    expect_equal "$(left_behind)" ""
}
test_missing_source() {
    run "$REHOST" disk convert none.vmdk out.qcow2
    expect_error FILE_NOT_FOUND 1
    expect_equal "$(left_behind)" ""
}
test_unwritable_target() {
    make_disk in.raw 1048576
    run "$REHOST" disk convert in.raw /proc/out.qcow2
    expect_error FILE_WRITE 1
}
test_full_target_leaves_nothing() {
    [ "$(id -u)" = 0 ] || skip_test "only root can mount a small file system"
    mkdir small
    mount -t tmpfs -o size=2m none small 2>/dev/null ||
        skip_test "a tmpfs cannot be mounted here"
    head -c 8388608 /dev/urandom >in.raw
    run "$REHOST" disk convert in.raw small/out.qcow2
    left=$(ls -A small)
    umount small
    expect_error NO_SPACE 1
    expect_equal "$left" ""
}
test_kill_leaves_no_result_and_a_rerun_clears_up() {
    head -c 60000000 /dev/urandom >in.raw
    truncate -s 600M in.raw
    mkfifo slow
    # Fed by a pipe that stalls, the conversion is surely not done when killed.
    (head -c 30000000 in.raw; sleep 20) | "$REHOST" disk convert \
        --input-format raw - out.qcow2 &
    sleep 1
    pkill -KILL -f "disk convert --input-format raw - out.qcow2"
    wait 2>/dev/null
    [ ! -e out.qcow2 ] || fail "out.qcow2 is there"
    run "$REHOST" disk convert in.raw out.qcow2
    expect_status 0
    expect_equal "$(find . -name '.*.part')" ""
}
interrupt() { # PID: expects the contracted end, within a second
    local start took i
    # A shell's background jobs ignore SIGINT until they say otherwise.
    for ((i = 0; i < 200; i++)); do
        (($((16#$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$1/status"))) & 2)) && break
        sleep 0.1
    done
    start=$(date +%s%N)
    kill -INT "$1"
    wait "$1"
    status=$?
    took=$((($(date +%s%N) - start) / 1000000))
    ran="an interrupted conversion"
    : >.stdout
    expect_error CANCELLED 130
    [ $took -lt 1000 ] || fail "stopped after $took ms"
    expect_equal "$(left_behind)" ""
}
test_interrupt_while_copying() {
    need openssl
    openssl enc -aes-128-ctr -pass pass:x -nosalt </dev/zero 2>/dev/null |
        head -c 300000000 >in.raw
    mkfifo lines
    "$REHOST" disk convert --compress zlib --threads 1 --progress json \
        in.raw out.qcow2 2>lines &
    pid=$!
    exec 3<lines
    read -r _ <&3
    (cat <&3 >.stderr) &
    interrupt $pid
}
test_an_ending_that_is_not_written_is_refused() {
    make_disk in.raw 1048576
    for name in out.vmdk out.VHDX out.vdi; do
        run "$REHOST" disk convert in.raw $name
        expect_error USAGE 2
        [ ! -e $name ] || fail "$name was made"
    done
    run "$REHOST" disk convert -O qcow2 in.raw out.vmdk
    expect_status 0
    run "$REHOST" disk convert in.raw out.disk
    expect_status 0
    expect_equal "$(qemu-img info --output json out.disk | jq -r .format)" qcow2
}
test_interrupt_while_waiting_for_a_pipe() {
    mkfifo slow
    (exec 3>slow; head -c 1000000 /dev/zero >&3; sleep 30) &
    feeder=$!
    "$REHOST" disk convert --input-format raw - out.qcow2 <slow 2>.stderr &
    sleep 0.5
    interrupt $!
    kill $feeder
}
# A converter beside running VMs must not push their files out of memory.
test_a_large_result_does_not_stay_in_the_page_cache() {
    need fincore
    [ "$(stat -f -c %T .)" != tmpfs ] || skip_test "a tmpfs is its own page cache"
    head -c 100M /dev/urandom >in.raw
    run "$REHOST" disk convert in.raw out.qcow2
    expect_status 0
    run fincore --bytes --noheadings --output RES out.qcow2
    expect_status 0
    [ "$stdout" -lt 4000000 ] || fail "$stdout bytes are cached"
}
test_progress_as_json_lines() {
    make_disk in.raw 20971520
    run "$REHOST" disk convert --progress json in.raw out.qcow2
    expect_status 0
    tail -n 1 .stderr >last
    expect_json '.progress.stage' copy last
    expect_json '.progress.done == .progress.total' true last
}
run_tests
