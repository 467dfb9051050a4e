# disk convert: what is known of a disk is said, and what a target asks of its
# length and its sectors is done.
# SPDX-License-Identifier: LGPL-2.1-or-later
IN_MEMORY=1
. "$(dirname "$0")/lib.sh"

four_k() { # FILE: GPT of two partitions, in sectors of 4096 bytes, by fdisk
    need fdisk
    truncate -s 48M "$1"
    printf '%s\n' g n 1 '' +8M t 1 n 2 '' +16M w | fdisk -b 4096 "$1" \
        >/dev/null 2>&1
    fdisk -b 4096 -l "$1" | grep -q '2304  6399' || fail "fdisk made no table"
    echo something | dd of="$1" bs=4096 seek=300 conv=notrunc status=none
}
descriptor() { # FLAT OUT.vmdk: says that its sectors have 4096 bytes
    cat >"$2" <<END
# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="monolithicFlat"
RW $(($(stat -c %s "$1") / 512)) FLAT "$1" 0
ddb.logicalSectorSize = "4096"
END
}
# The same partitions, in bytes.
partitions() { # FILE SECTOR-SIZE
    sfdisk -J "$1" | jq -c ".partitiontable.partitions | map([.start, .size])"
}

# --- what is known is said -----------------------------------------------------
problem_is_told() { # IN ID
    run "$REHOST" disk convert "$1" out.raw
    expect_status 0
    expect_stderr "^rehost: warning: .*\[$2\]\$"
    run "$REHOST" disk convert "$1" two.raw --json
    expect_status 0
    expect_json .schema rehost.disk-convert/1
    expect_schema .stdout rehost.disk-convert-1.json
    expect_json '[.problems[].id] | join(" ")' "$2"
    run "$REHOST" disk convert "$1" three.raw --strict
    expect_error DISK_PROBLEM 4
    expect_stderr "\($2\)"
    expect_equal "$(ls -A three.raw .three.raw* 2>/dev/null)" ""
    rm out.raw two.raw
}
test_problems_are_told_and_strict_refuses() {
    need qemu-img jq
    make_disk d.raw 4194304
    descriptor d.raw sector.vmdk
    problem_is_told sector.vmdk VMDK-SECTOR-SIZE
    qemu-img convert -f raw -O vhdx d.raw d.vhdx
    python3 - d.vhdx <<'PY'
import sys
d = bytearray(open(sys.argv[1], "rb").read())
at = d.index(bytes.fromhex("1dbf41816fa90947ba47f233a8faab5f"))  # logical sector size
table = at - at % (1 << 16)
d[table + int.from_bytes(d[at + 16:at + 20], "little") + 1] = 0x10
d[table + int.from_bytes(d[at + 16:at + 20], "little")] = 0
open(sys.argv[1], "wb").write(d)
PY
    problem_is_told d.vhdx VHDX-SECTOR
    qemu-img convert -f raw -O qcow2 d.raw d.qcow2
    qemu-img snapshot -c one d.qcow2
    problem_is_told d.qcow2 QCOW2-SNAPSHOTS
    qemu-img convert -f raw -O vpc d.raw d.vhd # plain QEMU's: by the geometry
    python3 - d.vhd <<'PY'
import struct, sys
d = bytearray(open(sys.argv[1], "rb").read())
for at in (0, len(d) - 512):
    struct.pack_into(">Q", d, at + 48, 4194304)
    struct.pack_into(">I", d, at + 64, 0)
    struct.pack_into(">I", d, at + 64, ~sum(d[at:at + 512]) & 0xffffffff)
open(sys.argv[1], "wb").write(d)
PY
    problem_is_told d.vhd VHD-SIZE
}
# What only the end of a stream shows.
test_strict_also_refuses_what_the_copy_met() {
    need qemu-img
    make_disk d.raw 4194304
    qemu-img convert -f raw -O vmdk -o subformat=streamOptimized d.raw d.vmdk
    "$REHOST" disk convert d.raw d.check # a sound one first
    python3 "$TOP/tests/disks/make_vmdk.py" make stream-zero-tail --out made \
        >/dev/null
    run bash -c "cat made/stream-zero-tail/disk.vmdk |
        '$REHOST' disk convert --strict - out.raw"
    expect_error DISK_PROBLEM 4
    [ ! -e out.raw ] || fail "out.raw was left"
    run bash -c "cat d.vmdk | '$REHOST' disk convert --strict - out.raw"
    expect_status 0
    expect_silent
    expect_same_file d.raw out.raw
}

# --- sectors -------------------------------------------------------------------
test_a_table_of_4096_byte_sectors_is_rewritten() {
    need sgdisk sfdisk jq fdisk
    four_k d.raw
    descriptor d.raw d.vmdk
    run "$REHOST" disk convert d.vmdk out.raw --sector-size 512 --strict
    expect_status 0
    expect_silent
    run sgdisk -v out.raw
    expect_stdout 'No problems found'
    expect_equal "$(partitions out.raw)" '[[2048,16384],[18432,32768]]'
    expect_equal "$(sfdisk -J out.raw | jq -r .partitiontable.id)" \
        "$(fdisk -b 4096 -l d.raw | sed -n 's/Disk identifier: //p')"
    # All else is as it was.
    expect_equal "$(tail -c +1048577 d.raw | head -c 49000000 | sha256sum)" \
        "$(tail -c +1048577 out.raw | head -c 49000000 | sha256sum)"
    # Known by its content, too, and done once.
    run "$REHOST" disk convert d.raw two.raw --sector-size 512
    expect_status 0
    expect_same_file out.raw two.raw
    run "$REHOST" disk convert two.raw three.raw --sector-size 512
    expect_status 0
    expect_same_file out.raw three.raw
    # The spare table serves when the first is gone.
    dd if=/dev/zero of=two.raw bs=512 seek=1 count=40 conv=notrunc status=none
    run sgdisk -e two.raw
    expect_equal "$(partitions two.raw)" '[[2048,16384],[18432,32768]]'
}
test_an_mbr_of_4096_byte_sectors_is_rewritten() {
    need sfdisk jq
    truncate -s 48M d.raw
    printf 'label: dos\n256,2048,83,*\n4096,,83\n' | sfdisk -q d.raw >/dev/null
    descriptor d.raw d.vmdk
    run "$REHOST" disk convert d.vmdk out.raw --sector-size 512
    expect_error DISK_SECTORS 4
    # Its last partition ends where 4096-byte sectors would lie outside.
    printf 'label: dos\n256,2048,83,*\n4096,4096,83\n' | sfdisk -q d.raw >/dev/null
    run "$REHOST" disk convert d.vmdk out.raw --sector-size 512
    expect_status 0
    expect_equal "$(partitions out.raw)" '[[2048,16384],[32768,32768]]'
}
test_what_cannot_be_rewritten_is_refused() {
    need qemu-img fdisk
    make_disk d.raw 4194304
    run "$REHOST" disk convert d.raw out.raw --sector-size 512
    expect_error DISK_SECTORS 4
    run "$REHOST" disk convert d.raw out.raw --sector-size 4096
    expect_error USAGE 2
    four_k g.raw
    printf 'x' | dd of=g.raw bs=1 seek=4170 conv=notrunc status=none # the sum
    run "$REHOST" disk convert g.raw out.raw --sector-size 512
    expect_error DISK_SECTORS 4
    [ ! -e out.raw ] || fail "out.raw was left"
}

# --- lengths -------------------------------------------------------------------
test_a_disk_is_made_longer() {
    need qemu-img
    make_disk d.raw 9000448
    qemu-img convert -f raw -O vmdk -o subformat=streamOptimized d.raw d.vmdk
    cp d.raw long.raw
    truncate -s 32M long.raw
    local from format
    for from in d.raw d.vmdk -; do
        for format in qcow2 raw vhd; do
            run bash -c "cat d.vmdk | '$REHOST' disk convert -O $format \
                --size 32MiB $from out.$format --overwrite"
            expect_status 0
            "$REHOST" disk convert out.$format back.raw --overwrite ||
                fail "$format does not read"
            expect_same_file long.raw back.raw
        done
    done
    expect_sound_qcow2 out.qcow2
    run "$REHOST" disk convert d.vmdk kept.qcow2 --size 32MiB --compress keep
    expect_status 0
    expect_sound_qcow2 kept.qcow2
    expect_same_disk long.raw kept.qcow2 raw qcow2
    run "$REHOST" disk convert d.raw short.raw --size 1MiB
    expect_error USAGE 2
}
test_the_copy_of_a_gpt_moves_to_the_new_end() {
    need sgdisk sfdisk jq
    truncate -s 8M d.raw
    sgdisk -n 1:2048:+2M -n 2:0:0 d.raw >/dev/null
    echo something | dd of=d.raw bs=1M seek=2 conv=notrunc status=none
    local size from id
    id=$(sfdisk --disk-id d.raw)
    "$REHOST" disk convert d.raw d.qcow2
    for size in 8389120 8404992 32MiB 32M; do # by one sector, into the old copy, far
        for from in d.raw d.qcow2; do
            run "$REHOST" disk convert $from out.raw --size $size --overwrite --strict -v
            expect_status 0
            expect_stderr 'moved to the new end'
            run sgdisk -v out.raw
            expect_stdout 'No problems found'
            expect_equal "$(partitions out.raw)" "$(partitions d.raw)"
            expect_equal "$(sfdisk --disk-id out.raw)" "$id"
            expect_equal "$(head -c 8000000 out.raw | tail -c +1048577 | sha256sum)" \
                "$(head -c 8000000 d.raw | tail -c +1048577 | sha256sum)"
            # Nothing of the old copy is left, and the new one serves.
            expect_equal "$(LC_ALL=C grep -aob 'EFI PART' out.raw | wc -l)" 2
            dd if=/dev/zero of=out.raw bs=512 seek=1 count=33 conv=notrunc status=none
            sgdisk -e out.raw >/dev/null 2>&1
            expect_equal "$(partitions out.raw)" "$(partitions d.raw)"
        done
    done
    # In sectors of 4096 bytes; rewritten and longer at once.
    four_k g.raw
    run "$REHOST" disk convert g.raw out.raw --size 64MiB --overwrite
    expect_status 0
    expect_equal "$(tail -c 4096 out.raw | head -c 8)" "EFI PART"
    run "$REHOST" disk convert out.raw two.raw --sector-size 512
    expect_status 0
    run "$REHOST" disk convert g.raw out.raw --size 64MiB --sector-size 512 --overwrite
    expect_status 0
    expect_equal "$(partitions out.raw)" "$(partitions two.raw)"
    run sgdisk -v out.raw
    expect_stdout 'No problems found'
    # A table that is damaged is left, and that is told.
    printf x | dd of=d.raw bs=1 seek=1100 conv=notrunc status=none
    run "$REHOST" disk convert d.raw out.raw --size 32MiB --json --overwrite
    expect_status 0
    expect_json '[.problems[].id] | join(" ")' DISK-GPT-COPY
    expect_same_file <(head -c 8M out.raw) d.raw
    run "$REHOST" disk convert d.raw out.raw --size 32MiB --strict --overwrite
    expect_error DISK_PROBLEM 4
    # Where there is none nothing is said.
    make_disk n.raw 4194304
    run "$REHOST" disk convert n.raw out.raw --size 32MiB --overwrite --strict
    expect_status 0
    expect_silent
    # A partition that ends where the new copy would begin is not written over.
    truncate -s 8M p.raw
    dd if=/dev/urandom of=p.raw bs=1M conv=notrunc count=8 status=none
    sgdisk -Z -o p.raw >/dev/null 2>&1
    python3 - <<'END'
import struct, zlib
with open("p.raw", "r+b") as f:
    f.seek(512)
    head = bytearray(f.read(92))
    table = bytearray(128 * 128)
    last = 16383 - 1                                  # before the old copy's header
    struct.pack_into("<16s16sQQ", table, 0, b"t" * 16, b"u" * 16, 2048, last)
    struct.pack_into("<Q", head, 48, last)
    struct.pack_into("<I", head, 88, zlib.crc32(table))
    struct.pack_into("<I", head, 16, 0)
    struct.pack_into("<I", head, 16, zlib.crc32(head))
    f.seek(512)
    f.write(head)
    f.seek(1024)
    f.write(table)
END
    run "$REHOST" disk convert p.raw out.raw --size $((8388608 + 8192)) --json --overwrite
    expect_status 0
    expect_json '[.problems[].id] | join(" ")' DISK-GPT-COPY
    expect_equal "$(head -c 8388608 out.raw | sha256sum)" "$(sha256sum <p.raw)"
}
test_what_counts_in_4096_byte_sectors_itself_is_told() {
    need mkfs.vfat mkntfs
    inside() { # NUMBER COMMAND...: makes p, 8 MiB, of sectors of 4096 bytes
        four_k d.raw
        truncate -s 0 p && truncate -s 8M p
        "${@:2}" p >/dev/null 2>&1 || fail "$* failed"
        dd if=p of=d.raw bs=4096 seek=256 conv=notrunc status=none
        run "$REHOST" disk convert d.raw out.raw --sector-size 512 --json --overwrite
        expect_status 0
        expect_json '.problems | length' $1
        [ $1 = 0 ] || expect_json '.problems[0] | .id + (.message | test("partition 1") | tostring)' DISK-SECTORS-INSIDEtrue
        run "$REHOST" disk convert d.raw out.raw --sector-size 512 --strict --overwrite
        if [ $1 = 0 ]; then expect_status 0; else expect_error DISK_PROBLEM 4; fi
    }
    inside 1 mkfs.vfat -S 4096
    inside 1 mkntfs -F -f -s 4096
    inside 0 mkfs.vfat
    inside 0 mkfs.ext4 -q
}
# Azure: a fixed VHD, whole MiB and the footer.
test_fixed_vhd_of_whole_mebibytes() {
    need qemu-img vhdiinfo
    make_disk d.raw 9000448
    run "$REHOST" disk convert d.raw azure.vhd -O vhd-fixed --align 7
    expect_error USAGE 2
    run "$REHOST" disk convert d.raw ''
    expect_error USAGE 2
    run "$REHOST" disk convert d.raw azure.vhd -O vhd-fixed --align 1MiB
    expect_status 0
    expect_equal "$(stat -c %s azure.vhd)" $((9 * 1048576 + 512))
    run vhdiinfo azure.vhd
    expect_stdout 'Disk type.*Fixed'
    expect_stdout '\(9437184 bytes\)'
    expect_equal "$(qemu-img info --output=json -f vpc azure.vhd |
        jq '."virtual-size"')" 9437184
    run "$REHOST" disk convert --help
    expect_stdout 'vhd-fixed'
}

# --- keep ----------------------------------------------------------------------
test_keep_is_refused_where_it_cannot_be_kept() {
    need qemu-img
    make_disk d.raw 4194304
    qemu-img convert -f raw -O vmdk d.raw plain.vmdk
    local from
    for from in d.raw plain.vmdk; do
        run "$REHOST" disk convert $from out.qcow2 --compress keep
        expect_error DISK_COMPRESS 2
        [ ! -e out.qcow2 ] || fail "out.qcow2 was left"
    done
}
run_tests
