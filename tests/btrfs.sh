#!/bin/bash
# btrfs.sh - guests on btrfs are looked into without the appliance.
#
# mkfs.btrfs and the kernel write the trees; what is read back must be what was
# put in, whatever the features.  Where the kernel may mount nothing, the tests
# that need it are skipped.  tests/boot/appliance.sh holds a dry run's edits
# against those that the appliance makes.
# SPDX-License-Identifier: LGPL-2.1-or-later
if [ "$(id -u)" = 0 ] && [ -z "${BTRFS_MOUNTS-}" ] && unshare -m true 2>/dev/null; then
    exec env BTRFS_MOUNTS=1 unshare -m bash "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
tree=$TOP/tests/judges/tree.py

make_tree() {
    mkdir -p tree/etc/many tree/deep/a/b tree/few
    printf 'ID=rocky\n' >tree/etc/os-release
    ln -s ../etc/os-release tree/deep/link
    ln -s "$(printf 'long/%.0s' {1..300})end" tree/deep/long-link
    : >tree/deep/empty
    head -c 300000 /dev/urandom >tree/deep/a/big
    seq 60000 >tree/deep/a/text
    (cd tree/few && touch one-name two-names three-names-that-are-longer "$(printf 'n%.0s' {1..255})")
    (cd tree/etc/many && seq -f 'a-file-with-some-name-%g' 900 | xargs touch)
}
make_btrfs() { # OPTION...
    need mkfs.btrfs btrfs btrfstune
    rm -f x.img
    truncate -s 256M x.img
    mkfs.btrfs -q -f "$@" x.img >mkfs.txt 2>&1 || fail "mkfs.btrfs $*" "$(cat mkfs.txt)"
}
mount_it() { # OPTIONS
    [ -n "${BTRFS_MOUNTS-}" ] || skip_test "mounting is for root"
    mkdir -p m
    mount -o "loop,$1" x.img m 2>/dev/null || skip_test "btrfs can't be mounted here"
    trap 'umount "$PWD/m" 2>/dev/null' EXIT
}
expect_tree() { # WANT WHAT
    "$BUILD/guest-tree" x.img 0 | LC_ALL=C sort >got
    expect_equal "$(diff "$1" got | cut -c 1-150 | head -n 5)" "" "what is read of $2"
}

# --- the forms --------------------------------------------------------------------
test_every_form_of_mkfs_is_read() {
    local options
    make_tree
    python3 "$tree" tree >want
    for options in '' '-M -n 4096' '-n 65536 -m single' '-O ^no-holes,^skinny-metadata,^extref' \
        '--csum xxhash' '--csum sha256' '-R ^free-space-tree,quota'; do
        # shellcheck disable=SC2086  # words are wanted
        make_btrfs --rootdir tree $options
        expect_tree want "mkfs.btrfs $options"
    done
    # Its blocks bear another UUID than it shows; then what only newer tools make.
    make_btrfs --rootdir tree
    btrfstune -f -m x.img
    expect_tree want "a changed UUID"
    for options in block-group-tree squota; do
        mkfs.btrfs -O list-all 2>&1 | grep "^$options" >/dev/null || continue
        make_btrfs -O $options --rootdir tree
        expect_tree want "$options"
    done
}
# A file with holes, written over in pieces, longer than its last extent.
write_pieces() { # FILE
    python3 - "$1" <<'END'
import os, random, sys
r = random.Random(7)
with open(sys.argv[1], "wb") as f:
    f.write(b"".join(b"line %d of some text\n" % i for i in range(40000)))
    os.fsync(f.fileno())
    for i in range(60):
        f.seek(r.randrange(1 << 20))
        f.write(r.choice([bytes, r.randbytes, b"packs well ".__mul__])(r.randrange(40000)))
        if not i % 9:
            os.fsync(f.fileno())
    f.seek(3 << 20)
    f.write(b"behind a hole")
    os.fsync(f.fileno())
    os.posix_fallocate(f.fileno(), 4 << 20, 1 << 20)
    f.seek((4 << 20) + 70000)
    f.write(b"in what was set aside")
    f.truncate((6 << 20) + 17)
END
}
test_what_the_kernel_packs_is_read() {
    local packing
    make_tree
    for packing in none zlib lzo zstd:9; do
        # shellcheck disable=SC2046  # words are wanted
        make_btrfs $([ $packing != none ] || echo -O ^no-holes)
        mount_it "compress-force=$packing"
        cp -a tree/. m/
        write_pieces m/pieces
        head -c 1900 m/deep/a/text >m/inline
        sync -f m
        python3 "$tree" m >want
        umount m
        expect_tree want "compress=$packing"
        [ "$packing" = none ] || btrfs inspect-internal dump-tree -t 5 x.img |
            grep "compression [123] (${packing%:*})" >/dev/null || fail "nothing was packed by $packing"
    done
}
# Snapshots do not hold the subvolumes inside: empty folders stand for them.
test_subvolumes_are_followed() {
    make_tree
    make_btrfs
    mount_it compress=no
    btrfs -q subvolume create m/@
    cp -a tree/. m/@/
    btrfs -q subvolume create m/@/inner
    echo inner >m/@/inner/file
    btrfs -q subvolume snapshot m/@ m/snap
    btrfs -q subvolume snapshot -r m/@ m/ro-snap
    btrfs -q subvolume create m/gone
    echo more >>m/@/etc/os-release
    btrfs -q subvolume delete m/gone
    sync -f m
    python3 "$tree" m >want
    umount m
    expect_tree want "subvolumes"
    mount_it compress=no
    btrfs subvolume set-default m/@
    python3 "$tree" m/@ >want
    umount m
    expect_tree want "the default subvolume"
}

# --- what is left to the appliance --------------------------------------------------
expect_left() { # REASON
    run "$BUILD/guest-tree" x.img 0
    expect_status 1
    expect_stderr "not read: .*$1"
}
edit() { # PYTHON: `b` is the file system
    python3 -B - "$1" <<END || fail "edit: $1"
import struct, sys
sys.path.insert(0, "$TOP/tests/guests")
from btrfsedit import Btrfs
b = Btrfs("x.img")
exec(sys.argv[1])
END
}
test_what_is_not_read_here_is_told() {
    need python3
    make_btrfs --csum blake2
    expect_left 'checksums of a kind'
    truncate -s 128M y.img
    make_btrfs -d raid0 y.img
    expect_left 'several devices'
    make_btrfs
    edit 'struct.pack_into("<Q", b.sb, 0xbc, 1 << 40 | struct.unpack_from("<Q", b.sb, 0xbc)[0]); b.put_super()'
    expect_left 'features that are not known'
    make_btrfs
    edit 'struct.pack_into("<Q", b.sb, 0xbc, 1 << 12 | struct.unpack_from("<Q", b.sb, 0xbc)[0]); b.put_super()'
    expect_left 'zoned'
    make_btrfs
    btrfstune -f -S 1 x.img
    expect_left 'as a seed'
    make_btrfs
    printf 'x' | dd of=x.img bs=1 seek=$((65536 + 0x12b)) conv=notrunc status=none
    expect_left 'btrfs rescue super-recover'
}
# What was written in time for an fsync() lies in the log until the next commit.
test_a_log_to_replay_is_left_to_the_appliance() {
    make_btrfs
    mount_it commit=300
    sync -f m
    echo fresh >m/file
    sync m/file
    cp x.img copy.img
    umount m
    mv copy.img x.img
    expect_left 'log has to be replayed'
}

# --- hostile ones ---------------------------------------------------------------------
# Bounded in memory and time, and nothing made up: what is damaged is missing.
expect_marked() { # PATH WHAT
    run bash -c '[ -n "${REHOST_SAN-}" ] || ulimit -v 1500000
        exec timeout 60 "$1" x.img 0' _ "$BUILD/guest-tree"
    expect_status 0
    grep -qE "^! $1|unreadable $1" .stdout || fail "$2: $1 is not marked" "$(head -n 5 .stdout)"
}
test_damage_is_found_and_bounded() {
    local p
    need python3
    make_tree
    rm -r tree/etc/many tree/few
    make() { make_btrfs -m single --rootdir tree; }
    make
    edit 'n = b.block(b.tree(5)); struct.pack_into("<I", n, 0x60, 0xffffffff); b.put(b.tree(5), n)'
    expect_marked '' "too many items"
    make
    edit 'at, p, n = b.item(b.tree(5), None, 96, b"os-release"); b.patch(at, p + 27, b"\xff\xff")'
    expect_marked /etc "a name that is too long"
    make
    edit 'at, p, n = b.item(b.tree(5), None, 96, b"os-release"); b.patch(at, p + 27, b"\0\0")'
    expect_marked /etc "a name without a length"
    # Its first extent: of another packing, and far larger than packed ones are.
    make
    edit 'at, p, n = [(l, p, n) for k, l, p, n, x in b.places_of_items(b.tree(5)) if k[1] == 108 and n == 53][0]
b.patch(at, p + 8, struct.pack("<QB", 128 << 20, 3)); b.patch(at, p + 29, struct.pack("<QQQ", 128 << 20, 0, 128 << 20))'
    expect_marked /deep/a/ "a packed extent of 128 MiB"
    # A folder that is its own grandchild.
    make
    for p in 84 96; do
        edit "at, p, n = b.item(b.tree(5), None, $p, b'\\x01\\0\\x02b'); b.patch(at, p, struct.pack('<QBQ', 256, 1, 0))"
    done
    expect_marked /deep/a/b/deep/a/b "a folder in itself"
    # A tree whose root is its own child.
    make_tree
    make
    edit 'r = b.tree(5); n = b.block(r); assert n[0x64]; n[101 + 17:101 + 33] = struct.pack("<QQ", r, struct.unpack_from("<Q", n, 0x50)[0]); b.put(r, n)'
    expect_marked '' "a block that leads to itself"
    make
    edit 'r = b.tree(5); n = b.block(r); n[101 + 33:101 + 33 + 16] = n[101:101 + 16]; b.put(r, n)'
    expect_marked '' "keys that do not ascend"
    make
    edit 'c = struct.unpack_from("<Q", b.sb, 0x58)[0]; at, p, n = b.item(c, 256, 228); b.patch(at, p, struct.pack("<Q", 1 << 40))'
    expect_left 'map of chunks'
    make
    edit 'struct.pack_into("<I", b.sb, 0xa0, 2049); b.put_super()'
    expect_left 'superblock'
}
test_the_other_copy_of_a_block_serves() {
    need python3
    make_tree
    python3 "$tree" tree >want
    make_btrfs --rootdir tree
    edit 'x, y = b.places(b.tree(5)); b.f.seek(x + 200); b.f.write(b"damaged")'
    expect_tree want "the second copy"
    edit 'x, y = b.places(b.tree(5)); b.f.seek(y + 200); b.f.write(b"damaged")'
    expect_marked '' "both copies"
}

# --- guests ---------------------------------------------------------------------------
# Its root is the top level; `arrange` puts it into a subvolume.
make_guest() { # KIND [OPTION...]
    need mkfs.btrfs sfdisk python3
    python3 "$TOP/tests/guestfix/mkguest.py" --btrfs "$@" r.raw || fail "mkguest $*"
}
pack() {
    python3 "$TOP/tests/guests/mkova.py" --mac 00:50:56:8a:12:34 --name r r.ova r.raw >/dev/null
}
report() {
    pack
    run env LIBGUESTFS_PATH=/nonexistent "$REHOST" report r.ova --to kvm --json
    expect_status 0
}
# The guest's root is moved to m/$1, and more is done in there.
arrange() { # SUBVOLUME COMMANDS
    dd if=r.raw of=x.img bs=1M skip=1 count=320 status=none
    mount_it compress=zstd
    (cd m && mkdir -p "$(dirname "$1")" && btrfs -q subvolume create "$1" &&
        mv bin boot dev etc home lib proc root run sbin sys tmp usr var "$1" 2>/dev/null
        eval "$2") || fail "arrange $1"
    umount m
    dd if=x.img of=r.raw bs=1M seek=1 conv=notrunc status=none
}
expect_host() { # NAME
    report
    expect_json '.vms[0].targets[0].guest | .hostname + " " + .backend' "$1 direct"
}
edits='[.vms[0].targets[0].edits[].where] | contains'
test_a_dry_run_needs_no_appliance() {
    make_guest rocky
    report
    expect_json '.vms[0].targets[0].guest.backend' direct
    expect_json "$edits"'(["/etc/fstab", "/boot/initramfs-5.14.0-362.8.1.el9_3.x86_64.img",
        "/etc/systemd/network/10-rehost-ens192.link"])' true
    expect_json '[.vms[0].targets[0].guest.fixes[] | select(.outcome == "failed")] | length' 0
}
# The edits are the appliance's to make, and where it is not here that is told.
test_edits_that_nobody_here_can_make_are_told() {
    need cc
    need_built_with libguestfs
    make_guest rocky
    pack
    mkdir lib
    echo | cc -shared -fPIC -o lib/libguestfs.so.0 -x c -
    run env LD_LIBRARY_PATH="$PWD/lib" "$REHOST" report r.ova --to kvm --json
    expect_status 0
    expect_json '[.vms[0].targets[0].findings[] | select(.id == "GUEST-NO-APPLIANCE") | .message] | length' 1
    report
    expect_json '[.vms[0].targets[0].findings[] | select(.id == "GUEST-NO-APPLIANCE")] | length' 0
}
# As Ubuntu, Fedora, Debian and openSUSE lay it out, and as nobody does.
test_the_root_is_found_in_its_subvolume() {
    local name
    for name in @ root @rootfs mine; do
        make_guest debian
        arrange "$name" "btrfs -q subvolume create @home; echo $name >$name/etc/hostname"
        expect_host "$name"
    done
    expect_json "$edits"'(["/etc/fstab"])' true
    make_guest sles
    arrange @/.snapshots/1/snapshot 'btrfs subvolume set-default @/.snapshots/1/snapshot
        btrfs -q subvolume snapshot -r @/.snapshots/1/snapshot 2; echo one >@/.snapshots/1/snapshot/etc/hostname'
    expect_host one
}
# Of two systems: what the loader says, else what fstab says, else it is told.
test_of_two_subvolumes_the_one_that_starts_is_taken() {
    make_guest debian
    arrange @ 'btrfs -q subvolume snapshot @ root; echo second >root/etc/hostname'
    expect_host tester
    expect_json '[.vms[0].targets[0].findings[] | select(.id == "GUEST-MULTIPLE-OS") | .message | test("2 subvolumes")]' '[
  true
]'
    make_guest debian
    arrange @ 'sed -i "s,/ *ext4 defaults,/ btrfs noatime\,subvol=/root," @/etc/fstab
        btrfs -q subvolume snapshot @ root; echo second >root/etc/hostname'
    expect_host second
    expect_json '[.vms[0].targets[0].findings[] | select(.id == "GUEST-MULTIPLE-OS")] | length' 0
    make_guest debian
    arrange @ 'sed -i "s/\(linux.*\) root=/\1 rootflags=subvol=root root=/" @/boot/grub/grub.cfg
        btrfs subvolume set-default @
        btrfs -q subvolume snapshot @ root; echo second >root/etc/hostname'
    expect_host second
}
test_boot_lies_in_a_subvolume_of_its_own() {
    make_guest debian
    arrange @ 'btrfs -q subvolume create @boot && mv @/boot/* @boot/
        echo "UUID=$(jq -r .uuid ../r.raw.json) /boot btrfs subvol=@boot 0 0" >>@/etc/fstab'
    report
    expect_json '.vms[0].targets[0].guest.kernels | length' 1
    expect_json "$edits"'(["/boot/initrd.img-6.1.0-18-amd64"])' true
}
# Nothing is said of what a snapshot would take that may not be written.
test_a_root_that_may_not_be_written_is_left_to_the_appliance() {
    make_guest debian
    arrange @ 'btrfs subvolume set-default @; btrfs property set @ ro true'
    report
    expect_json '.vms[0].targets[0] | .guest.backend + " " + (.edits | length | tostring)' "none 0"
}
# Its free space as the kernel counts it, to a tenth.
test_free_space_is_the_kernels() {
    make_guest rocky
    dd if=r.raw of=x.img bs=1M skip=1 count=320 status=none
    mount_it ro
    df -B1 --output=avail m | tail -1 >avail
    umount m
    report
    expect_json ".vms[0].targets[0].guest.free_bytes[\"/\"] / $(cat avail) | . > 0.9 and . < 1.1" true
}
run_tests
