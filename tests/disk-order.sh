#!/bin/bash
# disk-order.sh - a disk has one number, whatever counts it.
#
# Guests whose files name disks by letter or by slot; the system is not on the
# first disk.  What a name meant on the old machine is what its UUID must be.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
here=$TOP/tests/guestfix
mkova=$TOP/tests/guests/mkova.py
root=52484f53-5400-4000-8000-0000000000c1
swap=52484f53-5400-4000-8000-0000000000c2
one=11111111-1111-4111-8111-111111111111
two=22222222-2222-4222-8222-222222222222


# A disk of one ext4 partition: data FILE UUID
data() {
    truncate -s 8M "$1"
    echo '2048,12288,L' | sfdisk -q "$1"
    mke2fs -q -F -t ext4 -U "$2" -E offset=$((2048 * 512)) "$1" 6144k
}
# The system; fstab and other files on standard input.
system() {
    cat >.files
    python3 "$here/mkguest.py" --with .files "$@" debian system.raw || fail "mkguest"
    python3 - system.raw <<'EOP' # GRUB's first sector
import sys
with open(sys.argv[1], "r+b") as f:
    f.write(b"\xeb\x63\x90" + b"GRUB boot code".ljust(437, b"\x01"))
EOP
}
convert() { # MKOVA-ARGUMENT...
    python3 "$mkova" --mac 00:50:56:8a:12:34 --name g "$@" >/dev/null || fail mkova
    run "$REHOST" convert g.ova --to kvm --out out --format raw --overwrite
    expect_status 0
}
# The system's disk is the first of the result.
text() {
    debugfs -R "cat $1" "out/g/disk0.raw?offset=$(($(jq .root system.raw.json) << 20))" 2>/dev/null
}
expect_text() { # PATH REGEX
    text "$1" >.text
    grep -qE -- "$2" .text || fail "$1:" "  expected: /$2/" "$(cat .text)"
    held
}
messages() {
    jq -r --arg i "$1" '.vms[0].targets[0].findings[]|select(.id==$i)|.subject+" "+.message' \
        out/g/report.json
}
fstab='== /etc/fstab
/dev/sdc1 / ext4 defaults 0 1
/dev/sdc2 none swap sw 0 0
/dev/sda1 /data1 ext4 defaults 0 2
/dev/sdb1 /data2 ext4 defaults 0 2'

expect_three() {
    expect_text /etc/fstab "^UUID=$root / "
    expect_text /etc/fstab "^UUID=$swap none swap"
    expect_text /etc/fstab "^UUID=$one /data1 "
    expect_text /etc/fstab "^UUID=$two /data2 "
}
test_the_system_is_on_the_third_disk() {
    data one.raw $one && data two.raw $two
    system <<<"$fstab"
    convert g.ova one.raw two.raw system.raw
    expect_three
    # What is copied is the disk that was looked at.
    expect_same_file out/g/disk1.raw one.raw
    expect_same_file out/g/disk2.raw two.raw
}
test_root_by_uuid_tells_no_letter() {
    data one.raw $one && data two.raw $two
    system <<<"${fstab/\/dev\/sdc1/UUID=$root}"
    convert g.ova one.raw two.raw system.raw
    expect_three
}
test_the_order_of_the_package_is_not_that_of_the_slots() {
    data one.raw $one && data two.raw $two
    system <<<"$fstab"
    convert --slot scsi0:5 --slot scsi0:0 --slot scsi0:1 g.ova system.raw one.raw two.raw
    expect_three
    expect_equal "$(messages GUEST-DEVICE-GUESS)" "" guesses
    # GRUB's (hd1) is the first disk that is not booted from.
    expect_same_file out/g/disk1.raw one.raw
}
test_names_by_path_and_unit() {
    data one.raw $one && data two.raw $two
    system <<<"== /etc/fstab
UUID=$root / ext4 defaults 0 1
/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0-part1 /data1 ext4 defaults 0 2
/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0-part1 /data2 ext4 defaults 0 2
/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:5:0-part2 none swap sw 0 0"
    convert --slot scsi0:5 --slot scsi0:0 --slot scsi0:1 g.ova system.raw one.raw two.raw
    expect_three
}
test_controllers_of_several_kinds() {
    data one.raw $one && data two.raw $two
    system <<<"== /etc/fstab
UUID=$root / ext4 defaults 0 1
/dev/disk/by-path/pci-0000:02:01.0-ata-2-part1 /data1 ext4 defaults 0 2
/dev/nvme0n1p1 /data2 ext4 defaults 0 2
/dev/sda2 none swap sw 0 0"
    convert --slot nvme0:0 --slot sata0:1 --slot scsi0:0 g.ova two.raw one.raw system.raw
    expect_three
    # Two drivers share the names sda, sdb; the subject is the system's disk.
    local disk
    disk=$(jq '.vms[0].vm.disks|map(.id)|index("vmdisk3")' out/g/report.json)
    messages GUEST-DEVICE-GUESS >said
    grep -q "^disks/$disk /dev/sda2 " said || fail "no guess is told" "$(cat said)"
    expect_equal "$(grep -vc "^disks/$disk /dev/sda[12] " said)" 0 "other guesses"
}
test_a_slot_that_is_missing_or_there_twice_is_a_guess() {
    data one.raw $one && data two.raw $two
    system <<<"${fstab/\/dev\/sdc1/UUID=$root}"
    convert --slot scsi0 --slot scsi0 --slot scsi0 g.ova one.raw two.raw system.raw
    expect_three
    expect_equal "$(messages GUEST-DEVICE-GUESS | wc -l)" 3 "guesses"
    # Root's own letter says that the order is another one.
    system <<<"$fstab"
    convert --slot scsi0 --slot scsi0 --slot scsi0 g.ova one.raw system.raw two.raw
    expect_text /etc/fstab "^UUID=$root / "
    expect_text /etc/fstab "^UUID=$swap none swap"
    expect_text /etc/fstab "^/dev/sda1 /data1 "
    expect_text /etc/fstab "^/dev/sdb1 /data2 "
    expect_equal "$(messages GUEST-DEVICE-NAME | grep -c 'fstab names /dev/sd[ab]1')" 2 "names that are lost"
}
test_an_efi_partition_on_another_disk() {
    need mformat
    data one.raw $one
    truncate -s 40M esp.raw
    printf 'label: gpt\n2048,73728,U\n' | sfdisk -q esp.raw
    mformat -i esp.raw@@1M -h 16 -s 63 -T 73728 -N 12345678 ::
    system <<<"== /etc/fstab
UUID=$root / ext4 defaults 0 1
/dev/sda1 /boot/efi vfat defaults 0 2
/dev/sdb1 /data1 ext4 defaults 0 2"
    convert g.ova esp.raw one.raw system.raw
    expect_text /etc/fstab '^UUID=1234-5678 /boot/efi '
    expect_text /etc/fstab "^UUID=$one /data1 "
}
test_a_system_on_logical_volumes_of_the_third_disk() {
    data one.raw $one && data two.raw $two
    system --layout lvm <<<"== /etc/fstab
/dev/mapper/vg--one-root / ext4 defaults 0 1
/dev/sda1 /data1 ext4 defaults 0 2
/dev/sdb1 /data2 ext4 defaults 0 2"
    convert g.ova one.raw two.raw system.raw
    expect_text /etc/fstab '^/dev/mapper/vg--one-root / '
    expect_text /etc/fstab "^UUID=$one /data1 "
    expect_text /etc/fstab "^UUID=$two /data2 "
}
test_two_groups_of_one_name_are_two() {
    truncate -s 96M other.raw
    # Its metadata is newer, and its PV comes first.
    PYTHONPATH=$TOP/tests/guests python3 - <<'PY'
import diskimg
diskimg.lvm_pv("other.raw", 0, 90, "vg-one", [("data", 8)], 1735689600, "aaaa")
b = open("other.raw", "rb").read(1 << 20)
text = b[4096 + 512:b.index(b"\0", 4096 + 512)] + b"\0"
newer = text.replace(b"seqno = 1\n", b"seqno = 9\n")
head = bytearray(b[4100:4096 + 512])
import struct
struct.pack_into("<I", head, 52, diskimg._lvm_crc(newer))
with open("other.raw", "r+b") as f:
    f.seek(4096)
    f.write(struct.pack("<I", diskimg._lvm_crc(bytes(head))) + head + newer)
PY
    system --layout lvm <<<"== /etc/fstab
/dev/mapper/vg--one-root / ext4 defaults 0 1"
    convert g.ova other.raw system.raw
    expect_equal "$(messages GUEST-UNREADABLE)" ""
    expect_equal "$(messages BOOT-DRIVER-MISSING | wc -l)" 1 "was mended"
}
run_tests
