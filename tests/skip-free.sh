#!/bin/bash
# skip-free.sh - blocks that the guest's file systems do not use are left out.
#
# The file systems' own tools judge (judges/unused.py): what is in use is the
# same byte for byte, what is not is the same or zeros.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
UNUSED=$TOP/tests/judges/unused.py

# Garbage in free blocks, as deleted files leave it, within the first 24 MiB.
garbage() { # FILE SIZE
    rm -f "$1"
    head -c 24M /dev/urandom >"$1"
    truncate -s "$2" "$1"
}
tree() {
    mkdir -p tree/etc
    printf 'ID=debian\nVERSION_ID="12"\n' >tree/etc/os-release
    head -c 900000 /dev/urandom >tree/data
    seq 20000 >tree/etc/numbers
}
# Converted with --skip-free: nothing in use is lost, and much is left out.
expect_skipped() { # KIND FILE MIB-AT-LEAST
    local mib
    run "$REHOST" disk convert --skip-free -v -O raw "$2" out.raw --overwrite
    expect_status 0
    expect_stderr 'do not use are left out \[FREE-SKIPPED\]'
    mib=$(python3 "$UNUSED" "$1" "$2" out.raw) || fail "$2: $mib"
    [ "${mib:-0}" -ge "$3" ] || fail "$2: only $mib MiB were left out"
}
expect_kept() { # FILE REASON
    run "$REHOST" disk convert --skip-free -v -O raw "$1" out.raw --overwrite
    expect_status 0
    expect_stderr "copied, too: .*$2.* \[FREE-KEPT\]"
    expect_same_file "$1" out.raw
}

# --- each kind, in the forms that keep their maps elsewhere -----------------------
test_ext_in_every_form() {
    local options n=0
    need mke2fs dumpe2fs python3
    tree
    for options in '-t ext4' '-t ext2' '-t ext4 -b 1024' '-t ext4 -O meta_bg,^resize_inode -b 1024' \
        '-t ext4 -O bigalloc -C 65536' '-t ext4 -O ^flex_bg,^uninit_bg,^metadata_csum' \
        '-t ext4 -b 1024 -O sparse_super2' '-t ext3 -b 1024 -g 1024'; do
        garbage e.raw 40M
        # shellcheck disable=SC2086  # words are wanted
        mke2fs -q -F -E nodiscard $options -d tree e.raw 38M || fail "mke2fs $options"
        expect_skipped ext e.raw 8
        e2fsck -fn out.raw >fsck.txt 2>&1 || fail "mke2fs $options: e2fsck finds faults"
        n=$((n + 1))
    done
    expect_equal "$n" 8
}
test_xfs_in_every_form() {
    local options
    need mkfs.xfs xfs_db python3
    tree
    python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); import diskimg; diskimg._xfs_proto("tree", "proto")' \
        "$TOP/tests/guests"
    for options in '' '-m crc=0' '-b size=1024'; do
        garbage x.raw 320M
        # shellcheck disable=SC2086  # words are wanted
        mkfs.xfs -q -f -K $options -p proto x.raw 2>/dev/null || fail "mkfs.xfs $options"
        expect_skipped xfs x.raw 8
        xfs_repair -n out.raw >fsck.txt 2>&1 || fail "mkfs.xfs $options: xfs_repair finds faults"
    done
}
test_btrfs_in_every_form() {
    local options
    need mkfs.btrfs btrfs python3
    tree
    for options in '' '-M -n 4096' '-O ^skinny-metadata -R ^free-space-tree -m single' '--csum sha256'; do
        garbage b.raw 160M
        # shellcheck disable=SC2086  # words are wanted
        mkfs.btrfs -q -f -K $options --rootdir tree b.raw >mkfs.txt 2>&1 || fail "mkfs.btrfs $options"
        expect_skipped btrfs b.raw 8
        btrfs check --check-data-csum out.raw >check.txt 2>&1 || fail "mkfs.btrfs $options: btrfs check finds faults"
    done
}
test_ntfs() {
    need mkntfs ntfscat ntfscp python3
    [ -x "$BUILD/rehost-ntfs" ] || skip_test "built without rehost-ntfs"
    tree
    garbage n.raw 40M
    mkntfs -q -F -f n.raw >/dev/null 2>&1 || fail mkntfs
    ntfscp -q -f n.raw tree/data data
    expect_skipped ntfs n.raw 8
    ntfscat out.raw data >data.back
    expect_same_file data.back tree/data
}

# --- what is not believed is left whole ---------------------------------------
test_a_journal_to_replay() {
    need mke2fs debugfs
    tree
    garbage e.raw 40M
    mke2fs -q -F -E nodiscard -t ext4 -d tree e.raw 38M
    debugfs -w -R 'feature needs_recovery' e.raw >/dev/null 2>&1
    expect_kept e.raw 'journal must be replayed'
}
test_errors_in_the_file_system() {
    need mke2fs debugfs
    tree
    garbage e.raw 40M
    mke2fs -q -F -E nodiscard -t ext4 -d tree e.raw 38M
    debugfs -w -R 'ssv state 2' e.raw >/dev/null 2>&1
    expect_kept e.raw 'has errors'
}
# A file's blocks are free by the map alone: the count tells.
test_a_map_that_lost_a_file() {
    local first
    need mke2fs debugfs
    tree
    garbage e.raw 40M
    mke2fs -q -F -E nodiscard -t ext2 -d tree e.raw 38M
    first=$(debugfs -R 'bmap /data 0' e.raw 2>/dev/null)
    debugfs -w -R "freeb $first 100" e.raw >/dev/null 2>&1
    expect_kept e.raw 'do not agree'
}
# Windows' restore points lie in blocks that are free today.
test_a_volume_with_shadow_copies() {
    need mkntfs python3
    [ -x "$BUILD/rehost-ntfs" ] || skip_test "built without rehost-ntfs"
    garbage n.raw 40M
    mkntfs -q -F -f n.raw >/dev/null 2>&1 || fail mkntfs
    header() { # OFFSET OF THE CATALOG
        python3 - "$1" <<'END'
import struct, sys, uuid
with open("n.raw", "r+b") as f:
    f.seek(0x1e00)
    f.write(uuid.UUID("3808876b-c176-4e48-b7ae-04046e6cc752").bytes_le +
            struct.pack("<IIQQQQ", 1, 1, 0x1e00, 0x1e00, 0, int(sys.argv[1])) + bytes(100))
END
    }
    header 0
    expect_skipped ntfs n.raw 8
    header 1048576
    expect_kept n.raw 'shadow copies'
}
test_xfs_whose_count_does_not_agree() {
    need mkfs.xfs xfs_db
    garbage x.raw 320M
    mkfs.xfs -q -f -K -m crc=0 x.raw 2>/dev/null
    xfs_db -x -c 'agf 1' -c 'write freeblks 7' x.raw >/dev/null 2>&1
    expect_kept x.raw 'do not agree'
}
test_btrfs_whose_sum_does_not_agree() {
    need mkfs.btrfs python3
    garbage b.raw 160M
    mkfs.btrfs -q -f -K b.raw >/dev/null 2>&1
    python3 -B - "$TOP/tests/guests" <<'END'
import struct, sys
sys.path.insert(0, sys.argv[1])
from btrfsedit import Btrfs
b = Btrfs("b.raw")
at, p, n = b.item(b.tree(2), None, 192)
b.patch(at, p, struct.pack("<Q", 4096))
END
    expect_kept b.raw 'do not agree'
}
# The second partition begins inside the first.
test_two_volumes_on_the_same_blocks() {
    need mke2fs sfdisk
    tree
    garbage d.raw 60M
    printf 'label: gpt\nstart=2048, size=81920\nstart=90112, size=20480\n' | sfdisk -q d.raw
    mke2fs -q -F -t ext4 -E nodiscard,offset=1048576 -d tree d.raw 40M
    mke2fs -q -F -t ext4 -E nodiscard,offset=46137344 -d tree d.raw 10M
    run "$REHOST" disk convert --skip-free -v -O raw d.raw out.raw
    expect_stderr 'FREE-SKIPPED'
    # No tool writes such a table.
    garbage d.raw 60M
    python3 - <<'END'
import struct
entry = lambda start, n: struct.pack("<4xB3xII", 0x83, start, n)
with open("d.raw", "r+b") as f:
    f.seek(446)
    f.write(entry(2048, 81920) + entry(61440, 40960) + bytes(32) + b"\x55\xaa")
END
    mke2fs -q -F -t ext4 -E nodiscard,offset=1048576 -d tree d.raw 40M
    mke2fs -q -F -t ext4 -E nodiscard,offset=31457280 -d tree d.raw 10M
    expect_kept d.raw "another volume"
}

# --- a whole VM -----------------------------------------------------------------
vm() {
    need mke2fs sfdisk python3
    tree
    garbage a.raw 64M
    garbage b.raw 64M
    printf 'label: dos\nstart=2048, size=20480, type=83\nstart=24576, type=8e\n' | sfdisk -q a.raw
    mke2fs -q -F -t ext4 -E nodiscard,offset=1048576 -d tree a.raw 10M
    PYTHONDONTWRITEBYTECODE=1 python3 - "$TOP/tests/guests" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
import diskimg
places = diskimg.lvm_pv("a.raw", 12, 52, "vg0", [("root", 40)], 1700000000)
diskimg.ext4_from_tree("a.raw", "tree", *( [12 + 1] if not places else [next(iter(places.values()))] ), 40,
                       "11111111-2222-3333-4444-555555555555", "root", 1700000000)
END
    mke2fs -q -F -t ext4 -E nodiscard -d tree b.raw 64M
}
test_a_vm_is_converted_and_verified() {
    local to
    vm
    run "$REHOST" report a.raw b.raw --one-vm --to kvm --json
    cp .stdout plain.json
    run "$REHOST" report a.raw b.raw --one-vm --to kvm --skip-free --json
    expect_json '[.vms[0].targets[0].findings[] | select(.id == "FREE-SKIPPED") | .subject] | join(" ")' \
        'disks/0 disks/1'
    python3 - plain.json .stdout <<'END' || fail "the report's size is not smaller"
import json, sys
a, b = [json.load(open(p))["vms"][0]["targets"][0]["output_bytes"] for p in sys.argv[1:]]
sys.exit(b >= a - (20 << 20))
END
    for to in 'kvm' 'xen --format vhd'; do
        # shellcheck disable=SC2086  # words are wanted
        run "$REHOST" convert a.raw --set memory_bytes=1073741824 --skip-free --to $to --name web \
            --out "out-${to%% *}"
        expect_status 0
        expect_json .skip_free true "out-${to%% *}/web/receipt.json"
        run "$REHOST" verify a.raw "out-${to%% *}/web"
        expect_status 0
        expect_stdout '^verified$'
    done
    qemu-img convert -O raw out-kvm/web/disk0.qcow2 back.raw
    expect_equal "$(python3 "$UNUSED" ext a.raw back.raw 1048576 2>&1 | cut -c 1-26)" \
        "a block in use differs, at" "the logical volume lost nothing"
    # What is in use is still held against the source.
    python3 - <<'END'
with open("a.raw", "r+b") as f:
    n = f.read().index(b"12345\n12346\n")
    f.seek(n)
    f.write(b"x")
END
    run "$REHOST" verify a.raw out-kvm/web
    expect_error VERIFY_DIFFERS 1
}
test_what_is_kept_packed_is_kept_whole() {
    garbage e.raw 8M
    run "$REHOST" convert e.raw --set memory_bytes=1073741824 --skip-free --compress keep --to kvm --out out
    expect_error USAGE 2
    expect_empty out
}
run_tests
