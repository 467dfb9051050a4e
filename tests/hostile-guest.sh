#!/bin/bash
# hostile-guest.sh - disks that break their rules: an answer, soon, in little
# memory, and never half of an edit.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
here=$TOP/tests/guestfix
mkova=$TOP/tests/guests/mkova.py

# An answer in time: exit 0, 3 or 4.  Sanitizers reserve address space at will.
answers() { # SOURCE OPTION...
    local source=$1
    shift
    [ -n "${REHOST_SAN-}" ] || ulimit -v 1500000
    run timeout "${HOSTILE_TIMEOUT:-10}" "$REHOST" report "$source" --to kvm \
        --set memory=1GiB --set cpus=1 --json report.json "$@"
    case $status in
    0 | 3 | 4) held ;;
    *) fail "exit status $status" "$(tail -n 5 .stderr)" ;;
    esac
}
shared() { # NAME
    need xz
    need_shared "cases/hostile/$1.xz"
    xz -dc "$RH_SHARED/cases/hostile/$1.xz" >"$1"
    answers "$1"
}
finding() {
    jq -r --arg i "$1" '.vms[0].targets[0].findings[]|select(.id==$i)|.severity+" "+.message' \
        report.json
}
test_shared_fat_folder_with_one_entry_too_many() {
    shared fat-folder-one-entry-too-many.qcow2
}
test_shared_fat_name_too_long() {
    shared fat-name-too-long.qcow2
    finding GUEST-FIX-FAILED >said
    grep -q 'is no name for a FAT file system' said || fail "what is said" "$(cat said)"
}
test_shared_initramfs_quadratic() {
    shared initramfs-quadratic.qcow2
}
test_shared_lvm_spans() {
    shared lvm-spans-47gb.qcow2
}

make_guest() { # MKGUEST-ARGUMENT... ; files on standard input
    need mke2fs sfdisk qemu-img python3 debugfs
    cat >.files
    python3 "$here/mkguest.py" --with .files "$@" g.raw || fail "mkguest $*"
    python3 "$mkova" --mac 00:50:56:8a:12:34 --name g g.ova g.raw >/dev/null || fail mkova
}
root() { echo "$1?offset=$(($(jq .root g.raw.json) << 20))"; }
put() { # FILE PATH
    printf 'rm %s\nwrite %s %s\n' "$2" "$1" "$2" >do
    debugfs -w -f do "$(root g.raw)" >/dev/null 2>&1
    python3 "$mkova" --mac 00:50:56:8a:12:34 --name g g.ova g.raw >/dev/null || fail mkova
}
# Every place where a name's entries may cross the end of a folder's cluster.
test_loader_folders_that_are_full_to_each_entry() {
    local used
    need mformat mcopy mmd
    make_guest --layout uefi debian </dev/null
    at="g.raw@@1M" # the ESP
    mmd -i "$at" ::EFI/longname 2>/dev/null
    for used in {1..15}; do : >"f$used"; done
    for used in 3 9 15; do
        mcopy -o -i "$at" f{1..15} ::EFI/ 2>/dev/null
        mcopy -o -i "$at" "f$used" ::EFI/ 2>/dev/null
        python3 "$mkova" --uefi --name g g.ova g.raw >/dev/null || fail mkova
        answers g.ova
    done
}
# The mark of our own segment, again and again; hooks that wait for devices.
test_an_initramfs_full_of_marks() {
    make_guest --codec none debian </dev/null
    python3 - <<'EOP'
import struct
def entry(name, data=b""):
    h = b"070701" + b"".join(b"%08X" % n for n in
        (1, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
    h += name + b"\0"
    h += b"\0" * (-len(h) % 4)
    return h + data + b"\0" * (-len(data) % 4)
marks = entry(b"conf/initramfs.conf") + entry(b"x", b"\x02\x21\x4c\x18" + b"rehost-drivers.cpio" * 200000)
hooks = entry(b"usr/lib/dracut") + b"".join(
    entry(b"usr/lib/dracut/hooks/initqueue/finished/devexists-x2fdev\\x2fsd%d.sh" % i) for i in range(40000))
open("marks", "wb").write(marks + entry(b"TRAILER!!!"))
open("hooks", "wb").write(hooks + entry(b"TRAILER!!!"))
EOP
    for image in marks hooks; do
        put "$image" /boot/initrd.img-6.1.0-18-amd64
        answers g.ova
    done
}
# Each block of an extent tree leads to one and the same block below it: 600,000
# blocks of a folder that are one.
test_a_folder_whose_extents_repeat_themselves() {
    make_guest --mke2fs '-b 1024 -O ^metadata_csum' debian <<'END'
== /etc/netplan/x.yaml
network: {}
END
    head -c 5120 /dev/zero | tr '\0' x >pad
    debugfs -w -R 'write pad /pad' "$(root g.raw)" >/dev/null 2>&1
    python3 - g.raw "$(($(jq .root g.raw.json) << 20))" \
        "$(debugfs -R 'blocks /pad' "$(root g.raw)" 2>/dev/null)" <<'EOP' >do
import struct, sys
image, offset, blocks = sys.argv[1], int(sys.argv[2]), [int(n) for n in sys.argv[3].split()]
SIZE, EACH = 1024, 84
head = lambda n, most, depth: struct.pack("<HHHHI", 0xf30a, n, most, depth, 0)
with open(image, "r+b") as f:
    for level in range(4):
        if level < 3:
            body = b"".join(struct.pack("<IIHH", i, blocks[level + 1], 0, 0) for i in range(EACH))
        else:
            body = b"".join(struct.pack("<IHHI", i, 1, 0, blocks[4]) for i in range(EACH))
        f.seek(offset + blocks[level] * SIZE)
        f.write((head(EACH, EACH, 3 - level) + body).ljust(SIZE, b"\0"))
    f.seek(offset + blocks[4] * SIZE)
    f.write(struct.pack("<IHBB", 2, SIZE, 1, 2) + b".".ljust(SIZE - 8, b"\0"))
root = head(3, 4, 4) + b"".join(struct.pack("<IIHH", i, blocks[0], 0, 0) for i in range(3))
for i, word in enumerate(struct.unpack("<12I", root)):
    print("set_inode_field /etc/netplan block[%d] 0x%x" % (i, word))
print("set_inode_field /etc/netplan size 0x40000000")
EOP
    debugfs -w -f do "$(root g.raw)" >/dev/null 2>&1
    python3 "$mkova" --name g g.ova g.raw >/dev/null || fail mkova
    answers g.ova
}
test_lvm_that_claims_segments() {
    need mke2fs sfdisk qemu-img python3
    python3 - "$TOP/tests/guests" <<'EOP'
import sys
sys.path.insert(0, sys.argv[1])
import diskimg, inspect
diskimg.new_disk("l.raw", 96)
diskimg.sfdisk("l.raw", "label: dos\nstart=2048,size=163840,type=8e\n")
diskimg.lvm_pv("l.raw", 1, 80, "vg", [("a%d" % i, 4) for i in range(12)], 1735689600)
import re, zlib
b = bytearray(open("l.raw", "rb").read())
at = b.index(b" LVM2 x[5A%r0N*>") - 4
size = int.from_bytes(b[at + 48:at + 56], "little")
start = at + int.from_bytes(b[at + 40:at + 48], "little")
text = bytes(b[start:start + size]).rstrip(b"\0")
text = re.sub(rb"segment_count ?= ?\d+", b"segment_count=65536", text)
text = text[:size - 1].ljust(size, b"\0") if len(text) < size else text
# LVM's checksums: CRC-32 with a seed of its own.
crc = lambda p: (zlib.crc32(p, 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff) & 0xffffffff
b[start:start + len(text)] = text
b[at + 48:at + 56] = len(text).to_bytes(8, "little")
b[at + 56:at + 60] = crc(text).to_bytes(4, "little")
b[at:at + 4] = crc(bytes(b[at + 4:at + 512])).to_bytes(4, "little")
open("l.raw", "wb").write(b)
EOP
    answers l.raw
    expect_json '[.vms[0].targets[0].guest.volumes[]|select(.device|startswith("/dev/vg/"))]|length>0' \
        true report.json
}
# One file system at two places of fstab keeps one state.
test_a_volume_that_fstab_mounts_twice() {
    make_guest --layout uefi debian <<'END'
== /etc/fstab
/dev/sda2 / ext4 defaults 0 1
/dev/sda1 /boot/efi vfat defaults 0 2
/dev/sda1 /efi vfat defaults 0 2
END
    python3 "$mkova" --uefi --name g g.ova g.raw >/dev/null || fail mkova
    run "$REHOST" convert g.ova --to kvm --out out --format raw
    expect_status 0
    need fsck.fat mdir
    dd if=out/g/disk0.raw of=esp bs=1M skip=1 count=40 status=none
    run fsck.fat -n esp
    expect_status 0
}
# The edits of a guest on a disk that no file system holds as one file.
test_a_disk_of_20_tib() {
    make_guest --codec zstd debian </dev/null
    qemu-img convert -O qcow2 g.raw g.qcow2
    qemu-img resize -q g.qcow2 20T
    run "$REHOST" report g.qcow2 --to kvm --set memory=1GiB --set cpus=1 --json report.json
    expect_json '[.vms[0].targets[0].guest.fixes[]|select(.fix=="linux.fstab").outcome]|first' \
        "done" report.json
}
run_tests
