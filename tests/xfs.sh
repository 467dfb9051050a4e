#!/bin/bash
# xfs.sh - guests on XFS are looked into without the appliance.
#
# mkfs.xfs writes the trees (its prototype files); what is read back must be what
# was put in, whatever the features.  tests/boot/appliance.sh holds a dry run's
# edits against those that the appliance makes.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

# A tree with every form of folder, and its listing as guest-tree writes it.
make_tree() {
    mkdir -p tree/etc/many tree/deep/a/b tree/few
    printf 'ID=rocky\n' >tree/etc/os-release
    ln -s ../etc/os-release tree/deep/link
    : >tree/deep/empty
    head -c 300000 /dev/urandom >tree/deep/a/big
    (cd tree/few && touch one-name two-names three-names-that-are-longer)
    (cd tree/etc/many && seq -f 'a-file-with-some-name-%g' 900 | xargs touch)
    python3 "$TOP/tests/judges/tree.py" tree >want
}
make_xfs() { # OPTION...
    need mkfs.xfs python3
    python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); import diskimg; diskimg._xfs_proto("tree", "proto")' \
        "$TOP/tests/guests"
    rm -f x.img
    truncate -s 320M x.img
    mkfs.xfs -q -f "$@" -p proto x.img || fail "mkfs.xfs $*"
}
test_every_form_of_xfs_is_read() {
    local options
    make_tree
    for options in '' '-m crc=0 -n ftype=0' '-n size=16384' '-i size=512 -b size=1024' \
        '-i nrext64=1' '-m bigtime=0'; do
        # shellcheck disable=SC2086  # words are wanted
        make_xfs $options
        "$BUILD/guest-tree" x.img 0 | LC_ALL=C sort >got
        expect_equal "$(diff want got | head -n 5)" "" "what is read of mkfs.xfs $options"
    done
}
# The mark of the unmount is taken away from the journal's only record.
test_a_journal_to_replay_is_left_to_the_appliance() {
    mkdir -p tree/etc
    make_xfs
    run "$BUILD/guest-tree" x.img 0
    expect_status 0
    python3 - x.img <<'END'
import struct, sys
with open(sys.argv[1], "r+b") as f:
    sb = f.read(512)
    block, = struct.unpack_from(">I", sb, 4)
    log, agblocks = struct.unpack_from(">Q", sb, 48)[0], struct.unpack_from(">I", sb, 84)[0]
    log = ((log >> sb[124]) * agblocks + (log & (1 << sb[124]) - 1)) * block
    f.seek(log)
    assert f.read(4) == b"\xfe\xed\xba\xbe"
    f.seek(log + 512 + 9)
    f.write(b"\0")
END
    run "$BUILD/guest-tree" x.img 0
    expect_status 1
    expect_stderr 'journal has to be replayed'
}
test_a_dry_run_needs_no_appliance() {
    need mkfs.xfs
    python3 "$TOP/tests/guestfix/mkguest.py" --xfs rocky r.raw || fail "mkguest"
    python3 "$TOP/tests/guests/mkova.py" --mac 00:50:56:8a:12:34 --name r r.ova r.raw >/dev/null
    run env LIBGUESTFS_PATH=/nonexistent "$REHOST" report r.ova --to kvm --json
    expect_status 0
    expect_json '.vms[0].targets[0].guest.backend' direct
    expect_json '[.vms[0].targets[0].edits[].where] | contains(["/etc/fstab",
        "/boot/initramfs-5.14.0-362.8.1.el9_3.x86_64.img",
        "/etc/systemd/network/10-rehost-ens192.link"])' true
    expect_json '[.vms[0].targets[0].guest.fixes[] | select(.outcome == "failed")] | length' 0
}
run_tests
