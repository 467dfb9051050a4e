# VDI and qcow of version 1, as QEMU writes and reads them; hostile ones; and
# formats that are known but not read, which are no raw disks.
# SPDX-License-Identifier: LGPL-2.1-or-later
IN_MEMORY=1
. "$(dirname "$0")/lib.sh"

make_disk "$SCRATCH/d.raw" 9000448
command -v qemu-img >/dev/null && {
    cd "$SCRATCH" || exit 1
    qemu-img convert -f raw -O vdi d.raw d.vdi
    qemu-img convert -f raw -O vdi -o static=on d.raw fixed.vdi
    qemu-img convert -f raw -O qcow d.raw d.qcow
    qemu-img convert -c -f raw -O qcow d.raw packed.qcow
}
# Write NUMBER (little- or big-endian) into a copy of a file.
bend() { # FROM TO FORMAT OFFSET NUMBER [OFFSET NUMBER]...
    python3 - "$@" <<'PY'
import struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
for at, number in zip(sys.argv[4::2], sys.argv[5::2]):
    at = int(at, 0)
    struct.pack_into(sys.argv[3], data, at if at >= 0 else len(data) + at, int(number, 0))
open(sys.argv[2], "wb").write(data)
PY
}
refused() { # ID STATUS FILE
    run "$REHOST" disk convert "$3" out.raw
    expect_error "$1" "$2"
    [ ! -e out.raw ] || fail "out.raw was left"
    run "$REHOST" disk check "$3"
    expect_status "$2"
}

test_vdi_reads() {
    need qemu-img jq
    local form
    for form in d.vdi fixed.vdi; do
        run "$REHOST" disk convert "$SCRATCH/$form" out.raw --overwrite
        expect_status 0
        expect_silent
        expect_same_file "$SCRATCH/d.raw" out.raw
        run "$REHOST" disk check "$SCRATCH/$form"
        expect_equal "$(cat .stdout)" sound
        run "$REHOST" disk map --json "$SCRATCH/$form"
        expect_json 'map(.length) | add' 9000448
    done
    run "$REHOST" disk info --json "$SCRATCH/d.vdi"
    expect_json '[.format, .variant, .cluster_size] | @csv' \
        '"vdi","dynamic",1048576'
    run "$REHOST" disk info --json "$SCRATCH/fixed.vdi"
    expect_json .variant fixed
}
# What was discarded reads as zeros, whatever the block holds.
test_vdi_blocks_in_any_order_and_discarded_ones() {
    need qemu-img
    local table=0x200
    bend "$SCRATCH/fixed.vdi" turned.vdi '<I' \
        $table 2 $((table + 8)) 0 $((table + 4)) 0xfffffffe
    qemu-img convert -f vdi -O raw turned.vdi judge.raw
    run "$REHOST" disk compare -F raw turned.vdi judge.raw
    expect_status 0
    run "$REHOST" disk map --json turned.vdi
    expect_json '[.[] | select(.zero) | .start] | join(" ")' 1048576
}
test_vdi_as_a_vm() {
    need qemu-img jq
    run "$REHOST" convert "$SCRATCH/d.vdi" --to kvm --out out --no-guest-fix \
        --set memory=1GiB --set os=other
    case $status in 0) ;; *) run "$REHOST" convert "$SCRATCH/d.vdi" --to kvm \
        --out out --no-guest-fix --set memory=1GiB ;; esac
    expect_status 0
    expect_same_disk "$SCRATCH/d.raw" out/*/disk0.qcow2 raw qcow2
}
test_hostile_vdi_is_refused() {
    need qemu-img
    local in=$SCRATCH/d.vdi n
    n=$(stat -c %s "$in")
    while read -r id exit pairs; do
        # shellcheck disable=SC2086
        bend "$in" bad.vdi '<I' $pairs
        refused "$id" "$exit" bad.vdi
    done <<'END'
VDI_HEADER 3 0x44 0x20001
VDI_HEADER 3 0x4c 9
DISK_UNSUPPORTED 4 0x4c 4
DISK_UNSUPPORTED 4 0x4c 3
VDI_HEADER 3 0x168 4096
VDI_HEADER 3 0x178 0
VDI_HEADER 3 0x178 1048575
VDI_HEADER 3 0x178 0x80000000
VDI_HEADER 3 0x17c 0xffffffff
VDI_HEADER 3 0x180 1
VDI_HEADER 3 0x174 0x7fffffff
VDI_HEADER 3 0x170 0
VDI_TABLE 3 0x180 0xffffffff
VDI_TABLE 3 0x154 0xfffffff0
VDI_TABLE 3 0x154 0
VDI_TABLE 3 0x158 0x100
VDI_BLOCK 3 0x200 1
VDI_BLOCK 3 0x200 0xfffffffd
VDI_BLOCK 3 0x204 4000
END
    head -c $((n - 600000)) "$in" >cut.vdi
    refused VDI_BLOCK 3 cut.vdi
    head -c 400 "$in" >cut.vdi
    refused FILE_SHORT 3 cut.vdi
}

test_qcow_reads() {
    need qemu-img
    local form
    for form in d.qcow packed.qcow; do
        run "$REHOST" disk convert "$SCRATCH/$form" out.raw --overwrite
        expect_status 0
        expect_silent
        expect_same_file "$SCRATCH/d.raw" out.raw
        run "$REHOST" disk check "$SCRATCH/$form"
        expect_equal "$(cat .stdout)" sound
    done
}
test_qcow_chain() {
    need qemu-img qemu-io
    cp "$SCRATCH/packed.qcow" base.qcow
    qemu-img create -q -f qcow -b base.qcow -F qcow top.qcow
    qemu-io -f qcow -c 'write -P 7 1M 100k' -c 'write -P 9 8999936 512' \
        top.qcow >/dev/null
    qemu-img convert -f qcow -O raw top.qcow judge.raw
    run "$REHOST" disk compare top.qcow judge.raw
    expect_status 0
    mkdir alone
    mv top.qcow alone
    refused DISK_PARENT 3 alone/top.qcow
}
test_hostile_qcow_is_refused() {
    need qemu-img
    local in=$SCRATCH/d.qcow
    while read -r id exit format pairs; do
        # shellcheck disable=SC2086
        bend "$in" bad.qcow "$format" $pairs
        refused "$id" "$exit" bad.qcow
    done <<'END'
QCOW2_HEADER 3 >B 32 8
QCOW2_HEADER 3 >B 32 40
QCOW2_HEADER 3 >B 33 0
QCOW2_HEADER 3 >B 33 60
QCOW2_ENCRYPTED 4 >I 36 1
QCOW2_TABLE 3 >Q 40 0xfffffffffffffff8
QCOW2_TABLE 3 >Q 40 3
QCOW2_HEADER 3 >Q 24 0
QCOW2_HEADER 3 >Q 24 0xffffffffffffffff
QCOW2_TABLE 3 >Q 48 0x7fffffffffffff00
QCOW2_HEADER 3 >I 16 5000 8 0 12 48
END
    # A small file that names one table for all of a large disk.
    python3 - bomb.qcow <<'PY'
import struct, sys
head = struct.pack(">4sIQIIQBBHIQ", b"QFI\xfb", 1, 0, 0, 0, 1 << 33, 12, 9, 0, 0, 48)
l1 = (1 << 33) >> 21
table = 48 + 8 * l1
data = table + 4096
with open(sys.argv[1], "wb") as f:
    f.write(head + struct.pack(">Q", table) * l1 + struct.pack(">Q", data) * 512 + b"x" * 4096)
PY
    refused QCOW2_OVERLAP 3 bomb.qcow
}

# A name that ends in .img makes no raw disk of what says that it is another.
test_other_formats_are_not_raw() {
    need qemu-img
    qemu-img create -q -f qed q.img 1M
    qemu-img create -q -f parallels p.raw 1M
    { cat "$SCRATCH/d.raw"; printf koly; head -c 508 /dev/zero; } >d.dd
    printf 'PK\003\004and so on' >z.img
    truncate -s 1M z.img
    local f
    for f in q.img p.raw d.dd z.img; do
        refused DISK_UNSUPPORTED 4 $f
        run "$REHOST" disk convert -f raw $f out.raw # if that is what is meant
        expect_status 0
        rm out.raw
    done
    run "$REHOST" inspect q.img
    expect_error DISK_UNSUPPORTED 4
    run "$REHOST" inspect p.raw
    expect_error DISK_UNSUPPORTED 4
}
run_tests
