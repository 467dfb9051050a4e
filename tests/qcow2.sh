#!/bin/bash
# qcow2.sh - qcow2 and raw, both ways, as QEMU judges them; hostile files.
IN_MEMORY=1
. "$(dirname "$0")/lib.sh"
DISKS=$TOP/tests/disks
CASES=$SCRATCH/cases

# Disks whose sizes are no multiple of a cluster, with what compresses and what
# does not; one empty, one full.
make_disk "$SCRATCH/odd.raw" $((20 * 1048576 + 3 * 512)) 1
truncate -s $((65536 * 3 + 512)) "$SCRATCH/empty.raw"
python3 - "$SCRATCH/full.raw" <<'PY'
import random, sys
r = random.Random(7)
with open(sys.argv[1], "wb") as f:
    for i in range(140):
        f.write(r.randbytes(30000) + b"the same again " * 2369)
    f.truncate(f.tell() // 512 * 512)
PY

# Run within an address space of that size; a sanitizer's own is far larger.
bounded() { # KIB COMMAND...
    case $REHOST_BUILD in *asan* | *tsan*) ;; *) ulimit -v "$1" ;; esac
    shift
    exec "$@"
}
convert() { # OPTION... : qcow2 of each disk, judged
    local name
    for name in odd empty full; do
        run "$REHOST" disk convert -f raw "$SCRATCH/$name.raw" $name.qcow2 "$@"
        expect_status 0
        expect_sound_qcow2 $name.qcow2
        expect_same_disk "$SCRATCH/$name.raw" $name.qcow2 raw qcow2
        run "$REHOST" disk check $name.qcow2
        expect_status 0
        run "$REHOST" disk convert $name.qcow2 $name.back -O raw
        expect_status 0
        expect_same_file "$SCRATCH/$name.raw" $name.back
    done
}

# --- writing -------------------------------------------------------------------
test_written_plain() {
    need qemu-img
    convert
    expect_equal "$(qemu-img info --output=json odd.qcow2 |
        jq -r '[.format, ."cluster-size", ."format-specific".data.compat,
            ."format-specific".data."compression-type",
            ."format-specific".data."lazy-refcounts",
            ."format-specific".data.corrupt] | @csv')" \
        '"qcow2",65536,"1.1","zlib",false,false'
}
test_written_with_small_clusters() {
    need qemu-img
    convert --cluster-size 4096
}
test_written_with_large_clusters() {
    need qemu-img
    convert --cluster-size 2MiB
}
test_written_with_zlib() {
    need qemu-img
    convert --compress zlib
    [ "$(stat -c %s full.qcow2)" -lt 6000000 ] ||
        fail "full.qcow2 is not compressed: $(stat -c %s full.qcow2)"
}
test_written_with_zlib_in_small_clusters() {
    need qemu-img
    convert --compress zlib --cluster-size 4096
}
test_written_with_zstd() {
    need qemu-img
    convert --compress zstd
    expect_equal "$(qemu-img info --output=json odd.qcow2 |
        jq -r '."format-specific".data."compression-type"')" zstd
}
test_written_with_zstd_in_large_clusters() {
    need qemu-img
    convert --compress zstd --cluster-size 2MiB
}
test_kept_deflate() {
    need qemu-img
    local plain kept
    # Both of VMware's layouts: one writer leaves a short last grain.
    qemu-img convert -f raw -O vmdk -o subformat=streamOptimized \
        "$SCRATCH/full.raw" in.vmdk
    run "$REHOST" disk convert in.vmdk kept.qcow2 --compress keep
    expect_status 0
    expect_sound_qcow2 kept.qcow2
    expect_same_disk "$SCRATCH/full.raw" kept.qcow2 raw qcow2
    run "$REHOST" disk check kept.qcow2
    expect_status 0
    plain=$(stat -c %s "$SCRATCH/full.raw") kept=$(stat -c %s kept.qcow2)
    [ $((kept * 3 / 2)) -lt "$plain" ] ||
        fail "nothing was kept compressed: $kept bytes"
    # Once more, from qcow2 to qcow2; a zstd one is packed anew.
    run "$REHOST" disk convert kept.qcow2 again.qcow2 --compress keep
    expect_status 0
    expect_sound_qcow2 again.qcow2
    expect_same_disk "$SCRATCH/full.raw" again.qcow2 raw qcow2
    qemu-img convert -c -O qcow2 -o compression_type=zstd in.vmdk zstd.qcow2
    run "$REHOST" disk convert zstd.qcow2 zlib.qcow2 --compress keep
    expect_status 0
    expect_sound_qcow2 zlib.qcow2
    expect_same_disk "$SCRATCH/full.raw" zlib.qcow2 raw qcow2
    [ $(($(stat -c %s zlib.qcow2) * 3 / 2)) -lt "$plain" ] ||
        fail "nothing was packed anew"
}
test_kept_deflate_keeps_the_cluster_size() {
    need qemu-img
    qemu-img convert -c -f raw -O qcow2 -o cluster_size=4096 \
        "$SCRATCH/odd.raw" in.qcow2
    run "$REHOST" disk convert in.qcow2 kept.qcow2 --compress keep
    expect_status 0
    expect_sound_qcow2 kept.qcow2
    expect_same_disk "$SCRATCH/odd.raw" kept.qcow2 raw qcow2
    expect_equal "$(qemu-img info --output=json kept.qcow2 |
        jq '."cluster-size"')" 4096
    run "$REHOST" disk convert in.qcow2 out.qcow2 --compress keep \
        --cluster-size 64KiB
    expect_error DISK_COMPRESS 2
    qemu-img convert -c -f raw -O qcow2 -o cluster_size=512 \
        "$SCRATCH/odd.raw" small.qcow2
    run "$REHOST" disk convert small.qcow2 out.qcow2 --compress keep
    expect_error DISK_COMPRESS 2
}
test_kept_data_that_is_damaged_is_refused() {
    need qemu-img
    local at
    qemu-img convert -f raw -O vmdk -o subformat=streamOptimized \
        "$SCRATCH/full.raw" in.vmdk
    at=$(($(stat -c %s in.vmdk) / 2))
    printf '\377\377\377\377' |
        dd of=in.vmdk bs=1 seek=$at conv=notrunc status=none
    mkdir out
    run "$REHOST" disk convert in.vmdk out/kept.qcow2 --compress keep
    expect_status 3
    expect_empty out
}
test_grains_in_any_order_from_a_pipe() {
    need qemu-img
    # qemu-img writes grains in the order it is handed them.
    qemu-img create -q -f vmdk -o subformat=streamOptimized in.vmdk 6G 2>&1
    truncate -s 6G in.raw
    for at in 5000 10 3000 600 1 2047 2048 4095; do
        dd if="$SCRATCH/full.raw" of=in.raw bs=1M seek=$at conv=notrunc \
            status=none
    done
    qemu-img convert -m 8 -W -f raw -O vmdk -o subformat=streamOptimized \
        in.raw in.vmdk
    cat in.vmdk | "$REHOST" disk convert - out.qcow2 || fail "not converted"
    expect_sound_qcow2 out.qcow2
    expect_same_disk in.raw out.qcow2 raw qcow2
    cat in.vmdk | "$REHOST" disk convert - packed.qcow2 --compress zlib ||
        fail "not converted"
    expect_sound_qcow2 packed.qcow2
    expect_same_disk in.raw packed.qcow2 raw qcow2
    for o in vhd vhd-fixed; do
        cat in.vmdk | "$REHOST" disk convert - out.vhd -O $o --overwrite ||
            fail "not converted"
        expect_same_disk in.raw out.vhd raw vpc
        run "$REHOST" disk check out.vhd
        expect_stdout '^sound$'
    done
}
test_threads_do_not_show() {
    local o
    for o in none zlib zstd; do
        for n in 1 2 5; do
            run "$REHOST" disk convert -f raw "$SCRATCH/odd.raw" $o.$n.qcow2 \
                --compress $o --threads $n
            expect_status 0
        done
        expect_same_file $o.1.qcow2 $o.2.qcow2
        expect_same_file $o.1.qcow2 $o.5.qcow2
    done
}
test_into_a_pipe() {
    need qemu-img
    local name size
    for name in odd empty full; do
        for size in 4096 65536 2097152; do
            "$REHOST" disk convert -f raw "$SCRATCH/$name.raw" - -O qcow2 \
                --cluster-size $size | cat >piped.qcow2
            expect_sound_qcow2 piped.qcow2
            expect_same_disk "$SCRATCH/$name.raw" piped.qcow2 raw qcow2
        done
    done
}
test_compressed_into_a_pipe_is_refused() {
    run "$REHOST" disk convert -f raw "$SCRATCH/odd.raw" - -O qcow2 \
        --compress zlib
    expect_error DISK_NOT_SEEKABLE 2
}
test_terabytes_of_holes() {
    need qemu-img
    truncate -s 1T big.raw
    dd if="$SCRATCH/full.raw" of=big.raw bs=1M seek=700000 conv=notrunc \
        status=none
    for o in "" "--compress zstd" "--cluster-size 2MiB"; do
        rm -f big.qcow2
        run "$REHOST" disk convert -f raw big.raw big.qcow2 $o
        expect_status 0
        expect_sound_qcow2 big.qcow2
        expect_same_disk big.raw big.qcow2 raw qcow2
        rm -f again.qcow2
        run "$REHOST" disk convert big.qcow2 again.qcow2
        expect_status 0
        expect_same_disk big.raw again.qcow2 raw qcow2
    done
    "$REHOST" disk convert -f raw big.raw - -O qcow2 >piped.qcow2
    expect_sound_qcow2 piped.qcow2
    expect_same_disk big.raw piped.qcow2 raw qcow2
}
test_the_largest_disk_there_is() {
    need qemu-img
    qemu-img create -q -f qcow2 max.qcow2 62T
    qemu-io -f qcow2 -c 'write -P 3 61T 1M' -c 'write -P 4 12345M 64k' \
        max.qcow2 >/dev/null || fail "qemu-io failed"
    (bounded 300000 "$REHOST" disk convert --threads 2 max.qcow2 out.qcow2) ||
        fail "62 TiB were not converted"
    expect_sound_qcow2 out.qcow2
    expect_same_disk max.qcow2 out.qcow2 qcow2 qcow2
}
test_clusters_too_small_for_the_disk() {
    qemu-img create -q -f qcow2 max.qcow2 62T
    run "$REHOST" disk convert max.qcow2 out.qcow2 --cluster-size 4096
    expect_error TARGET_DISK_LIMIT 4
    expect_equal "$(ls -A | grep -v '^\.std')" max.qcow2
}
test_cluster_sizes_that_are_none() {
    local size
    for size in 512 4097 65535 4MiB; do
        run "$REHOST" disk convert -f raw "$SCRATCH/odd.raw" out.qcow2 \
            --cluster-size $size
        expect_error DISK_CLUSTER_SIZE 2
    done
}
test_no_half_file_is_a_qcow2() {
    # The header is the last thing written: killed before, nothing is there.
    truncate -s 3G slow.raw
    for at in 1 500 1000 1500 2000 2500; do
        dd if="$SCRATCH/full.raw" of=slow.raw bs=1M seek=$at conv=notrunc \
            status=none
    done
    "$REHOST" disk convert -f raw slow.raw out.qcow2 --compress zstd &
    sleep 0.05
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    if [ -e out.qcow2 ]; then # it was quicker than the kill
        expect_sound_qcow2 out.qcow2
    fi
    for f in .out*; do
        [ -f "$f" ] || continue
        [ "$(head -c 4 "$f" | od -An -tx1 | tr -d ' ')" != 514649fb ] ||
            [ "$(qemu-img check -q "$f" 2>&1; echo $?)" = 0 ] ||
            fail "a half-written file starts like a qcow2"
    done
    held
}

# --- reading what QEMU writes -----------------------------------------------------
reads() { # FILE: content and map agree with QEMU
    run "$REHOST" disk convert "$1" out.raw -O raw --overwrite
    expect_status 0
    expect_same_disk "$1" out.raw qcow2 raw
    expect_equal "$(stat -c %s out.raw)" \
        "$(qemu-img info --output=json "$1" | jq '."virtual-size"')"
    run "$REHOST" disk check "$1"
    expect_status 0
}
test_reads_every_option_of_qemu() {
    need qemu-img
    local o
    for o in compat=0.10 compat=1.1 compat=0.10,cluster_size=512 \
        cluster_size=512 cluster_size=4096 cluster_size=2M \
        extended_l2=on extended_l2=on,cluster_size=16k \
        extended_l2=on,cluster_size=2M lazy_refcounts=on \
        refcount_bits=1 refcount_bits=64 preallocation=metadata \
        preallocation=falloc preallocation=full compression_type=zstd \
        extended_l2=on,preallocation=metadata; do
        rm -f in.qcow2
        qemu-img convert -f raw -O qcow2 -o $o "$SCRATCH/odd.raw" in.qcow2 ||
            fail "qemu-img does not make $o"
        reads in.qcow2
    done
}
test_reads_compressed_by_qemu() {
    need qemu-img
    local o
    for o in compression_type=zlib compression_type=zstd compat=0.10 \
        compression_type=zlib,cluster_size=512 \
        compression_type=zstd,cluster_size=2M \
        compression_type=zlib,cluster_size=4096 \
        compression_type=zstd,extended_l2=on; do
        rm -f in.qcow2
        qemu-img convert -c -f raw -O qcow2 -o $o "$SCRATCH/full.raw" \
            in.qcow2 || fail "qemu-img does not make $o"
        reads in.qcow2
    done
}
test_reads_what_guests_wrote() {
    need qemu-img qemu-io
    local o n
    for o in cluster_size=64k extended_l2=on compat=0.10 cluster_size=512; do
        rm -f in.qcow2
        qemu-img create -q -f qcow2 -o $o in.qcow2 30000128
        qemu-io -f qcow2 in.qcow2 -c 'write -P 1 0 64k' \
            -c 'write -P 2 1000448 3072' -c 'write -P 3 29999616 512' \
            -c 'write -z 65536 100k' -c 'write -P 4 12M 5M' \
            -c 'discard 13M 1M' -c 'write -z -u 14M 1M' \
            -c 'write -P 5 14500k 2k' >/dev/null || fail "qemu-io failed"
        reads in.qcow2
    done
}
test_snapshots_are_left_out_and_said() {
    need qemu-img qemu-io
    qemu-img create -q -f qcow2 in.qcow2 8M
    qemu-io -f qcow2 -c 'write -P 1 0 2M' in.qcow2 >/dev/null
    qemu-img snapshot -c before in.qcow2
    qemu-io -f qcow2 -c 'write -P 2 1M 2M' in.qcow2 >/dev/null
    reads in.qcow2
    run "$REHOST" disk info --json in.qcow2
    expect_json '.problems[0].id' QCOW2-SNAPSHOTS
}
test_dirty_is_said() {
    run "$REHOST" disk info --json "$CASES/dirty/disk.qcow2"
    expect_json '.problems[0].id' QCOW2-DIRTY
}
test_backing_chain_in_the_folder() {
    need qemu-img qemu-io
    cp --sparse=always "$SCRATCH/odd.raw" base.img
    qemu-img create -q -f qcow2 -b base.img -F raw one.qcow2
    qemu-io -f qcow2 -c 'write -P 7 3M 100k' -c 'write -z 5M 1M' one.qcow2 \
        >/dev/null
    qemu-img create -q -f qcow2 -b one.qcow2 -F qcow2 two.qcow2 40M
    qemu-io -f qcow2 -c 'write -P 8 3100k 1k' -c 'write -P 9 39M 1M' \
        two.qcow2 >/dev/null
    reads two.qcow2
    run "$REHOST" disk convert two.qcow2 flat.qcow2
    expect_status 0
    expect_same_disk two.qcow2 flat.qcow2
    expect_equal "$(qemu-img info --output=json flat.qcow2 |
        jq '."backing-filename"')" null
}
# What QEMU's own check says of a file's refcounts, ours says, too.
as_qemu_checks() { # FILE: [ids] that are expected, or none
    run "$REHOST" disk check --json "$1"
    expect_status 0
    expect_json '[.problems[].id] - ["QCOW2-SNAPSHOTS"] | unique | join(" ")' \
        "${2-}"
    qemu-img check -f qcow2 --output=json "$1" >theirs 2>/dev/null
    expect_equal "$(jq '(.corruptions // 0) + (."check-errors" // 0) > 0' \
        theirs)" "$(jq 'any(.problems[];
            .id == "QCOW2-REFCOUNT" or .id == "QCOW2-BITMAPS")' .stdout)" \
        corruption
    expect_equal "$(jq '.leaks // 0' theirs)" "$(jq '[.problems[] |
        select(.id == "QCOW2-LEAK") | .message | capture("(?<n>^[0-9]+)").n |
        tonumber] | add // 0' .stdout)" leaks
}
test_refcounts_of_sound_files() {
    need qemu-img qemu-io
    local o
    for o in cluster_size=512 extended_l2=on compat=0.10 refcount_bits=1 \
        refcount_bits=64 cluster_size=2M,refcount_bits=4 \
        preallocation=metadata; do
        rm -f in.qcow2
        qemu-img create -q -f qcow2 -o $o in.qcow2 60M
        qemu-io -f qcow2 in.qcow2 -c 'write -P 1 0 3M' -c 'write -z 1M 200k' \
            -c 'write -P 9 40M 100k' -c 'discard 2M 1M' >/dev/null
        as_qemu_checks in.qcow2
    done
    qemu-img convert -c -f raw -O qcow2 "$SCRATCH/odd.raw" in.qcow2
    for o in one two; do
        qemu-img snapshot -c $o in.qcow2
        qemu-io -f qcow2 -c 'write -P 3 3M 2M' in.qcow2 >/dev/null
        as_qemu_checks in.qcow2
    done
}
with_bitmaps() { # OPTIONS: in.qcow2, and bitmaps with bits in them
    rm -f in.qcow2
    qemu-img create -q -f qcow2 -o "$1" in.qcow2 60M
    qemu-io -f qcow2 -c 'write -P 1 0 2M' in.qcow2 >/dev/null
    qemu-img bitmap --add -g 512 in.qcow2 one
    qemu-img bitmap --add in.qcow2 two
    qemu-img bitmap --add --disable in.qcow2 three
    qemu-io -f qcow2 -c 'write -P 3 3M 2M' -c 'write -P 4 50M 1k' in.qcow2 \
        >/dev/null
}
test_clusters_of_bitmaps_are_counted() {
    need qemu-img qemu-io
    local o
    for o in cluster_size=512 cluster_size=64k extended_l2=on refcount_bits=1; do
        with_bitmaps $o
        as_qemu_checks in.qcow2
    done
}
# bent.qcow2 from in.qcow2: `d` is the directory's place, `t` the first bitmap's
# table, `x` the extension's data.
bend_bitmaps() { # PYTHON [ID OFFSET]
    python3 - "$1" >where <<'PY'
import struct, sys
b = bytearray(open("in.qcow2", "rb").read())
x = struct.unpack_from(">I", b, 100)[0]
while struct.unpack_from(">I", b, x)[0] != 0x23852875:
    x += 8 + (struct.unpack_from(">I", b, x + 4)[0] + 7) // 8 * 8
x += 8
d = struct.unpack_from(">Q", b, x + 16)[0]
t = struct.unpack_from(">Q", b, d)[0]
first = next(i for i in range(4096) if b[t + 8 * i:t + 8 * i + 8] != bytes(8))
e = t + 8 * first
def put(form, at, value):
    struct.pack_into(form, b, at, value)
exec(sys.argv[1])
open("bent.qcow2", "wb").write(b)
print("x=%#x d=%#x t=%#x e=%#x" % (x - 8, d, t, e))
PY
    run "$REHOST" disk check --json bent.qcow2
    expect_status 0
    expect_json '[.problems[].id] | join(" ")' "${2-}"
    [ -z "${3-}" ] || expect_json '.problems[0].message | test("'"$3"'")' true
    # The disk does not depend on them (QEMU opens none of these files).
    run "$REHOST" disk convert bent.qcow2 out.raw -O raw --overwrite
    expect_status 0
    expect_same_disk in.qcow2 out.raw qcow2 raw
}
test_bitmaps_that_make_no_sense_are_told() {
    need qemu-img qemu-io
    local x d t e
    with_bitmaps cluster_size=4k
    bend_bitmaps 'pass'
    # shellcheck disable=SC1091
    . ./where
    bend_bitmaps 'put(">I", x, 0)' QCOW2-BITMAPS "$x\$"
    bend_bitmaps 'put(">I", x, 70000)' QCOW2-BITMAPS "$x\$"
    bend_bitmaps 'put(">I", x, 4)' QCOW2-BITMAPS 0x
    bend_bitmaps 'put(">Q", x + 8, 1 << 63)' QCOW2-BITMAPS "$x\$"
    bend_bitmaps 'put(">Q", x + 8, 20)' QCOW2-BITMAPS "$d\$"
    bend_bitmaps 'put(">Q", x + 16, 1 << 62)' QCOW2-BITMAPS "$x\$"
    bend_bitmaps 'put(">Q", x + 16, d + 8)' QCOW2-BITMAPS "$x\$"
    bend_bitmaps 'put(">Q", d, 0xfffffffffffff000)' QCOW2-BITMAPS "$d\$"
    bend_bitmaps 'put(">I", d + 8, 0xffffffff)' QCOW2-BITMAPS "$d\$"
    bend_bitmaps 'b[d + 16] = 9' QCOW2-BITMAPS "$d\$"
    bend_bitmaps 'put(">I", d + 20, 0xfffffff0)' QCOW2-BITMAPS "$d\$"
    bend_bitmaps 'put(">Q", e, 1 << 50)' QCOW2-BITMAPS "$e\$"
    bend_bitmaps 'put(">Q", e, 6)' QCOW2-BITMAPS "$e\$"
    # On the disk's own clusters: used twice.
    bend_bitmaps 'put(">Q", e, struct.unpack_from(">Q", b, 40)[0] & ~(1 << 63))' \
        'QCOW2-REFCOUNT QCOW2-LEAK'
    # Another program wrote into the file: the bitmaps are gone.
    bend_bitmaps 'put(">Q", 88, 0)' QCOW2-LEAK
    as_qemu_checks bent.qcow2 QCOW2-LEAK
}
bend_refcounts() { # CLUSTER VALUE: bent.qcow2 from in.qcow2
    python3 - "$@" <<'PY'
import struct, sys
b = bytearray(open("in.qcow2", "rb").read())
table = struct.unpack_from(">Q", b, 48)[0]
if sys.argv[1] == "table":
    struct.pack_into(">Q", b, 48, int(sys.argv[2], 0))
elif sys.argv[1] == "block":
    struct.pack_into(">Q", b, table, int(sys.argv[2], 0))
elif sys.argv[1] == "copied":
    at = struct.unpack_from(">Q", b, 40)[0]
    struct.pack_into(">Q", b, at, struct.unpack_from(">Q", b, at)[0] & ~(1 << 63))
else:
    block = struct.unpack_from(">Q", b, table)[0]
    struct.pack_into(">H", b, block + 2 * int(sys.argv[1]), int(sys.argv[2]))
open("bent.qcow2", "wb").write(b)
PY
    as_qemu_checks bent.qcow2 "$3"
    # Reading needs none of them.
    reads bent.qcow2
}
test_refcounts_that_are_wrong() {
    need qemu-img
    local last
    qemu-img convert -f raw -O qcow2 "$SCRATCH/odd.raw" in.qcow2
    bend_refcounts 5 0 QCOW2-REFCOUNT
    bend_refcounts 5 2 'QCOW2-LEAK QCOW2-REFCOUNT'
    bend_refcounts 0 0 QCOW2-REFCOUNT
    bend_refcounts copied 0 QCOW2-REFCOUNT
    bend_refcounts block 0x10000000000 QCOW2-REFCOUNT
    # A cluster at the end that nothing uses.
    last=$(($(stat -c %s in.qcow2) / 65536))
    truncate -s $(((last + 1) * 65536)) in.qcow2
    bend_refcounts $((last)) 1 QCOW2-LEAK
}
test_describes_itself() {
    qemu-img create -q -f qcow2 -o cluster_size=4096 in.qcow2 1G
    run "$REHOST" disk info --json in.qcow2
    expect_json .format qcow2
    expect_json .variant v3
    expect_json .virtual_size 1073741824
    expect_json .cluster_size 4096
    expect_json .allocated_bytes 0
    expect_json '.problems | length' 0
}
test_the_map_is_qemus() {
    need qemu-img
    qemu-img convert -f raw -O qcow2 "$SCRATCH/odd.raw" in.qcow2
    qemu-img map --output=json in.qcow2 |
        jq -c 'map(select(.data) | [.start, .length])' >theirs
    "$REHOST" disk map --json in.qcow2 |
        jq -c 'map(select(.data) | [.start, .length])' >ours
    expect_same_file ours theirs
    expect_equal "$("$REHOST" disk map --json in.qcow2 |
        jq '.[-1].start + .[-1].length')" $((20 * 1048576 + 3 * 512))
}

# --- odd and hostile files ----------------------------------------------------------
python3 "$DISKS/make_qcow2.py" make "$CASES" || exit 1
mkdir "$SCRATCH/judge" && cd "$SCRATCH/judge" || exit 1
python3 "$DISKS/judge_qcow2.py" "$REHOST" "$CASES" ||
    not_ok "every case was judged"
cd "$SCRATCH" || exit 1

# --- raw ------------------------------------------------------------------------------
test_raw_is_not_guessed() {
    cp "$SCRATCH/full.raw" disk
    run "$REHOST" disk info disk
    expect_error DISK_FORMAT_UNKNOWN 3
}
test_raw_stays_raw_whatever_it_holds() {
    need qemu-img
    # A guest may write a qcow2 header on its disk.
    qemu-img create -q -f qcow2 in.raw 1T
    run "$REHOST" disk convert -f raw in.raw out.raw -O raw
    expect_status 0
    expect_same_file in.raw out.raw
}
test_raw_keeps_holes() {
    run "$REHOST" disk convert -f raw "$SCRATCH/odd.raw" out.raw -O raw
    expect_status 0
    expect_same_file "$SCRATCH/odd.raw" out.raw
    [ "$(du -k out.raw | cut -f1)" -le \
        $(($(du -k "$SCRATCH/odd.raw" | cut -f1) + 64)) ] ||
        fail "holes were filled: $(du -k out.raw)"
}
test_raw_makes_holes() {
    truncate -s 100M zeros.raw
    dd if=/dev/zero of=zeros.raw bs=1M count=50 conv=notrunc status=none
    run "$REHOST" disk convert -f raw zeros.raw out.raw -O raw
    expect_status 0
    expect_equal "$(du -k out.raw | cut -f1)" 0
    expect_equal "$(stat -c %s out.raw)" 104857600
}
test_raw_into_a_pipe() {
    "$REHOST" disk convert -f raw "$SCRATCH/odd.raw" - -O raw >out.raw
    expect_same_file "$SCRATCH/odd.raw" out.raw
}

run_tests
