# VHD and VHDX: files of other writers read exactly, hostile ones are refused,
# and what rehost writes is what every other reader takes it for.
# SPDX-License-Identifier: LGPL-2.1-or-later
IN_MEMORY=1
. "$(dirname "$0")/lib.sh"

mkdir -p "$SCRATCH/cases"
python3 "$TOP/tests/disks/make_vhd.py" "$SCRATCH/cases" || exit 1

mkdir "$SCRATCH/judge" && cd "$SCRATCH/judge" || exit 1
python3 "$TOP/tests/disks/judge_vhd.py" "$REHOST" "$SCRATCH/cases" ||
    not_ok "every case was judged"
cd "$SCRATCH" || exit 1

# QEMU writes what the log holds into a copy of the file: the same disk.
log_as_qemu_applies_it() { # FILE
    need qemu-img
    cp "$SCRATCH/cases/$1" copy.vhdx
    qemu-img check -q -r all copy.vhdx >/dev/null 2>&1
    qemu-img convert -f vhdx -O raw copy.vhdx judge.raw || fail "qemu-img"
    run "$REHOST" disk compare "$SCRATCH/cases/$1" judge.raw
    expect_status 0
}
# Entries in front of the tail, and those of an earlier round, QEMU applies, too.
for name in one last-word wraps torn-end; do
    check "log_${name}_as_qemu_applies_it" log_as_qemu_applies_it "log-$name.vhdx"
done
# QEMU's own log, as it is when QEMU stops before it wrote the block table.
test_vhdx_of_a_writer_that_stopped() {
    need qemu-img qemu-io
    qemu-img create -q -f vhdx d.vhdx 64M
    (ulimit -c 0; exec qemu-io -f vhdx -c 'write -P 5 1M 3M' \
        -c 'write -P 6 2M 512k' -c abort d.vhdx >/dev/null 2>&1)
    python3 - <<'PY'
import struct
def crc32c(data):
    crc = 0xffffffff
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
d = bytearray(open("d.vhdx", "rb").read())
log = struct.unpack_from("<Q", d, 65536 + 72)[0]
assert d[log:log + 4] == b"loge"
for at in (65536, 131072):
    d[at + 48:at + 64] = d[log + 32:log + 48]
    d[at + 4:at + 8] = bytes(4)
    struct.pack_into("<I", d, at + 4, crc32c(d[at:at + 4096]))
table = struct.unpack_from("<Q", d, log + 64 + 16)[0]
assert any(d[table:table + 4096])
d[table:table + 4096] = bytes(4096)
open("d.vhdx", "wb").write(d)
PY
    sum=$(sha256sum <d.vhdx)
    run "$REHOST" disk convert d.vhdx out.raw
    expect_status 0
    expect_stderr '\[VHDX-LOG\]'
    expect_equal "$(sha256sum <d.vhdx)" "$sum" "the source"
    expect_equal "$(od -An -tx1 -j2097152 -N1 out.raw)" " 06"
    qemu-img check -q -r all d.vhdx >/dev/null 2>&1
    expect_same_disk d.vhdx out.raw vhdx raw
}

# XCP-ng's rules (vhd-lib's, and vhd-util's from the bytes) see the same.
JUDGES=$BUILD/judges-xen
timeout 300 "$TOP/tests/judges/xen/get.sh" "$JUDGES" >/dev/null || true
judged() { # FILE STATUS
    need node
    [ -e "$JUDGES/.installed" ] || skip_test "npm could not install the judges"
    run node "$JUDGES/judge-vhd.mjs" "$SCRATCH/cases/$1"
    expect_status "$2"
}
check vhd_lib_accepts_batmap judged batmap.vhd 0
check vhd_lib_accepts_room judged t-room-last.vhd 0
for name in features features-more reserved geometry header-data header-parent \
    copy-differs behind batmap-mark batmap-sum batmap-gone; do
    check "vhd_lib_refuses_$name" judged "t-$name.vhd" 1
done
rm -rf "$SCRATCH/cases"

# --- disks of other writers -------------------------------------------------------
corpus() { # PACKED SIZE SHA256: content as shared/corpus/disks/SOURCES.md has it
    local file
    need_shared "corpus/disks/$1"
    file=$(basename "${1%.*}")
    case $1 in
    *.bz2) bzcat "$RH_SHARED/corpus/disks/$1" >"$file" ;;
    *.xz) xzcat "$RH_SHARED/corpus/disks/$1" >"$file" ;;
    esac
    run "$REHOST" disk convert "$file" out.raw
    expect_status 0
    expect_equal "$(stat -c %s out.raw)" "$2" size
    if [ "$3" = zero ]; then
        cmp -n "$2" out.raw /dev/zero || fail "not all zero"
    elif [ "$3" != any ]; then
        expect_equal "$(sha256sum <out.raw | cut -d' ' -f1)" "$3" content
    fi
    need qemu-img
    expect_same_disk "$file" out.raw "$4" raw
}
check reads_virtual_pc corpus qemu/virtualpc-dynamic.vhd.bz2 136363130880 any \
    vpc
check reads_disk2vhd corpus qemu/d2v-zerofilled.vhd.bz2 263454720 zero vpc
check reads_qemu corpus dfvfs/ext2.vhd.xz 4212736 \
    870be7ae16c1fa8faab05c6eb9205dc9a7ae35c5f552c5cf8a267c0bc6a5cb99 vpc
check reads_hyper_v_vhdx corpus qemu/iotest-dynamic-1G.vhdx.bz2 1073741824 any \
    vhdx

test_reads_what_qemu_writes() {
    need qemu-img
    make_disk in.raw 33554432
    for o in "vpc subformat=dynamic,force_size=on" \
        "vpc subformat=fixed,force_size=on" "vhdx subformat=dynamic" \
        "vhdx subformat=fixed" "vhdx block_size=1M" "vpc subformat=dynamic"; do
        qemu-img convert -f raw -O "${o% *}" -o "${o#* }" in.raw in.disk
        run "$REHOST" disk check in.disk
        expect_status 0
        expect_equal "$(cat .stdout)" sound
        run "$REHOST" disk convert in.disk out.raw --overwrite
        expect_status 0
        expect_same_disk in.disk out.raw "${o% *}" raw
    done
}

# What lies all over the file is not asked for by one who only looks.
test_info_reads_the_tables_alone() {
    need strace
    python3 - <<'PY'
import struct
BLOCKS, BLOCK = 3000, 2 << 20
def sealed(data, at):
    data[at:at + 4] = struct.pack(">I", ~sum(data) & 0xffffffff)
    return bytes(data)
foot, head = bytearray(512), bytearray(1024)
struct.pack_into(">8sIIQI4sI4sQQHBBI", foot, 0, b"conectix", 2, 0x10000, 512, 0, b"win ", 0x60002,
                 b"Wi2k", BLOCKS * BLOCK, BLOCKS * BLOCK, 12483, 16, 63, 3)
struct.pack_into(">8sQQIII", head, 0, b"cxsparse", (1 << 64) - 1, 1536, 0x10000, BLOCKS, BLOCK)
foot = sealed(foot, 64)
step = BLOCK // 512 + 1
with open("full.vhd", "wb") as f:
    f.write(foot + sealed(head, 36))
    f.write(struct.pack(">%dI" % BLOCKS, *(27 + i * step for i in range(BLOCKS))))
    f.truncate((27 + BLOCKS * step) * 512)
    f.seek(0, 2)
    f.write(foot)
PY
    run "${STRACE[@]}" -e trace=pread64,preadv,read "$REHOST" disk info full.vhd --json
    expect_status 0
    expect_json .allocated_bytes 6291456000
    [ "$(wc -l <trace)" -lt 300 ] || fail "$(wc -l <trace) reads"
}

# --- what rehost writes ----------------------------------------------------------------
# One size for all of them: QEMU, libvhdi, the footer, and our own reader.
sizes_agree() { # FILE SIZE
    need vhdiinfo qemu-img
    run qemu-img info -f vpc --output=json "$1"
    expect_json '."virtual-size"' "$2"
    run vhdiinfo "$1"
    expect_stdout "Media size.*\($2 bytes\)"
    run "$REHOST" disk info "$1" --json
    expect_json .virtual_size "$2"
    expect_json .format vhd
    expect_json '.problems | length' 0
}
writes() { # SIZE FORMAT
    make_disk in.raw "$1" "$1"
    run "$REHOST" disk convert in.raw out.vhd -O "$2"
    expect_status 0
    expect_silent
    sizes_agree out.vhd "$1"
    expect_same_disk in.raw out.vhd raw vpc
    run "$REHOST" disk check out.vhd
    expect_status 0
    expect_equal "$(cat .stdout)" sound
    "$REHOST" disk convert --threads 3 in.raw two.vhd -O "$2"
    expect_same_file out.vhd two.vhd
    # Into a pipe as well, with the same content.
    "$REHOST" disk convert in.raw - -O "$2" >pipe.vhd || fail "status $?"
    expect_same_disk in.raw pipe.vhd raw vpc
    sizes_agree pipe.vhd "$1"
    run "$REHOST" disk check pipe.vhd
    expect_equal "$(cat .stdout)" sound
}
for size in 512 2097152 4194816 33554944 100663296; do
    check "writes_dynamic_of_$size" writes "$size" vhd
    check "writes_fixed_of_$size" writes "$size" vhd-fixed
done

# A block of random data, zeros that are stored, and the disk's last sector.
test_zeros_inside_blocks_stay_holes() {
    need qemu-img
    python3 - <<'PY'
import random
with open("in.raw", "wb") as f:
    f.write(bytes(64 << 20))
    for at in (3 << 20, (9 << 20) + 12288, (64 << 20) - 512):
        f.seek(at)
        f.write(random.Random(at).randbytes(512))
PY
    run "$REHOST" disk convert in.raw out.vhd
    expect_status 0
    expect_same_disk in.raw out.vhd raw vpc
    [ "$(stat -c %b out.vhd)" -lt 200 ] || fail "$(stat -c %b out.vhd) blocks"
    run "$REHOST" disk map out.vhd --json
    expect_json 'map(select(.data)) | length' 3
    "$REHOST" disk convert in.raw - -O vhd >pipe.vhd || fail "status $?"
    expect_same_disk in.raw pipe.vhd raw vpc
}
test_large_and_empty_takes_no_room() {
    need qemu-img
    truncate -s 2088960M in.raw
    printf x | dd of=in.raw conv=notrunc bs=1 seek=1500000000000 status=none
    run "$REHOST" disk convert in.raw out.vhd
    expect_status 0
    [ "$(stat -c %b out.vhd)" -lt 20000 ] || fail "$(stat -c %b out.vhd) blocks"
    sizes_agree out.vhd 2190433320960
    run "$REHOST" disk compare in.raw out.vhd
    expect_status 0
    "$REHOST" disk convert in.raw - -O vhd >pipe.vhd || fail "status $?"
    expect_same_file out.vhd pipe.vhd
}
test_over_2040_gib_is_blocked() {
    truncate -s $((2088960 * 1048576 + 512)) in.raw
    run "$REHOST" disk convert in.raw out.vhd
    expect_error TARGET_DISK_LIMIT 4
    [ ! -e out.vhd ] || fail "out.vhd was left"
}
test_compression_is_refused() {
    make_disk in.raw 1048576
    run "$REHOST" disk convert in.raw out.vhd --compress zlib
    expect_status 2
    [ ! -e out.vhd ] || fail "out.vhd was left"
}
run_tests
