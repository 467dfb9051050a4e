#!/bin/bash
# appliance.sh - guests that only the appliance can open: an encrypted root, and
# an ext4 whose journal must be replayed.  No guest is booted, but the appliance
# is, in software emulation where there is no KVM.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
here=$TOP/tests/guestfix
uuid=52484f53-5400-4000-8000-0000000000c1

prepare() {
    need mke2fs sfdisk qemu-img debugfs python3
    need_built_with libguestfs
    python3 "$here/mkguest.py" --codec zstd debian guest.raw
}
pack() {
    python3 "$TOP/tests/guests/mkova.py" --mac 00:50:56:8a:12:34 --name guest \
        guest.ova guest.raw >/dev/null
}
convert() {
    run "$REHOST" convert guest.ova --to kvm --out out --format raw --overwrite "$@"
    expect_status 0
    expect_json '.vms[0].targets[0].guest.backend // .vms[0].guest.backend // "none"' \
        "${backend:-libguestfs}" out/guest/report.json
}

test_journal_is_replayed_before_the_guest_is_changed() {
    prepare
    debugfs -w -R 'feature needs_recovery' "guest.raw?offset=$((1 << 20))" >/dev/null 2>&1
    pack
    convert
    dd if=out/guest/disk0.raw of=root.img bs=1M skip=1 count=24 status=none
    run e2fsck -fn root.img
    expect_status 0
    debugfs -R 'cat /etc/fstab' root.img >fstab 2>/dev/null
    grep -q "^UUID=$uuid" fstab || fail "fstab is not fixed" "$(cat fstab)"
    debugfs -R 'ls -p /boot' root.img 2>/dev/null | grep -q pre-rehost || fail "no image kept"
    held
}

test_nixos_on_btrfs_is_known_by_its_label() {
    need mkfs.btrfs sfdisk
    need_built_with libguestfs
    truncate -s 130M box.raw
    echo 'start=2048, type=83, bootable' | sfdisk -q -X dos box.raw
    truncate -s 128M fs && mkfs.btrfs -q -L nixos fs
    dd if=fs of=box.raw bs=1M seek=1 conv=notrunc status=none
    run "$REHOST" report box.raw --to kvm --json --set memory=1GiB
    expect_status 0
    expect_json '.vms[0].targets[0] | [.effort, ([.findings[] | select(.id == "GUEST-IMMUTABLE").message | test("NixOS")] | tostring),
        ([.findings[] | select(.id == "GUEST-UNREADABLE")] | length), (.edits | length)] | map(tostring) | join(" ")' "manual [true] 0 0"
}

# LUKS made by qemu-img: no device mapper is needed.
encrypt() {
    dd if=guest.raw of=root.img bs=1M skip=1 count=24 status=none
    qemu-img convert -f raw -O luks --object secret,id=k,data=open-sesame \
        -o key-secret=k,iter-time=10 root.img luks.img
    truncate -s 96M disk.raw
    printf 'label: dos\nstart=2048,size=131072,type=83,bootable\n' |
        sfdisk -q --no-reread disk.raw
    dd if=luks.img of=disk.raw bs=1M seek=1 conv=notrunc status=none
    mv disk.raw guest.raw
}

test_encrypted_root_opens_with_its_key() {
    prepare
    encrypt
    pack
    echo open-sesame >key
    echo not-this-one >wrong
    convert --key file:wrong --key file:key
    expect_json '[.edits[].where]|map(select(.=="/etc/fstab"))|length' 1 \
        out/guest/receipt.json
    dd if=out/guest/disk0.raw of=luks.img bs=1M skip=1 count=64 status=none
    qemu-img convert --object secret,id=k,data=open-sesame --image-opts \
        driver=luks,key-secret=k,file.driver=file,file.filename=luks.img -O raw root.img
    debugfs -R 'cat /etc/systemd/network/10-rehost-ens192.link' root.img >link 2>/dev/null
    grep -q '^Name=ens192$' link || fail "no .link in the encrypted root" "$(cat link)"
    held
}

test_encrypted_root_without_a_key_is_a_finding() {
    prepare
    encrypt
    pack
    backend=none convert
    expect_json '[.vms[0].targets[0].findings[]|select(.id=="GUEST-ENCRYPTED")]|length' 1 \
        out/guest/report.json
    expect_same_file out/guest/disk0.raw guest.raw
}

# Mounting writes into a file system; of that nothing is left.
test_a_disk_without_a_system_stays_as_it_is() {
    need mke2fs
    truncate -s 64M data.raw
    mke2fs -q -t ext4 data.raw
    run "$REHOST" convert data.raw --to kvm --out out --format raw \
        --set memory=1GiB
    expect_status 0
    expect_json '.vms[0].targets[0].edits | length' 0 out/data/report.json
    expect_same_file out/data/disk0.raw data.raw
    expect_json '.disks[0] | .content_digest == .source_digest' true \
        out/data/receipt.json
}

# The report reads XFS itself and keeps its edits in memory; the conversion has
# the appliance make them.  Both must say the same, with the same contents.
test_a_dry_run_on_xfs_says_what_the_appliance_does() {
    local model
    need mkfs.xfs
    python3 "$TOP/tests/guestfix/mkguest.py" --xfs rocky guest.raw || fail mkguest
    pack
    run "$REHOST" report guest.ova --to kvm --json
    expect_json '.vms[0].targets[0].guest.backend' direct
    jq '[.vms[0].targets[0].edits[] | {where, what}]' .stdout >dry
    convert
    jq '[.edits[] | {where, what}]' out/guest/receipt.json >done
    expect_same_file dry done
}
# Likewise on btrfs, whose root lies in a subvolume that the loader alone names,
# and /boot in another.  What was found is the same, too.
test_a_dry_run_on_btrfs_says_what_the_appliance_does() {
    need mkfs.btrfs btrfs unshare jq
    need_built_with libguestfs
    python3 "$here/mkguest.py" --btrfs debian guest.raw || fail mkguest
    dd if=guest.raw of=fs bs=1M skip=1 count=320 status=none
    unshare -m bash -ec 'mkdir m; mount -o loop,compress=zstd fs m; cd m
        btrfs -q subvolume create mine; mv boot etc lib sbin srv usr var mine 2>/dev/null || true
        echo "UUID=$(jq -r .uuid ../guest.raw.json) /boot btrfs subvol=@boot,noatime 0 0" >>mine/etc/fstab
        sed -i "s/\(linux.*\) root=/\1 rootflags=subvol=mine root=/" mine/boot/grub/grub.cfg
        btrfs -q subvolume snapshot mine @; echo other >@/etc/hostname
        btrfs -q subvolume create @boot; mv mine/boot/* @boot/; rm -r @/boot/*; cd ..; umount m' ||
        skip_test "btrfs can't be mounted here"
    dd if=fs of=guest.raw bs=1M seek=1 conv=notrunc status=none
    pack
    run "$REHOST" report guest.ova --to kvm --json
    expect_json '.vms[0].targets[0].guest | .backend + " " + .hostname' "direct tester"
    jq '[.vms[0].targets[0].edits[] | {where, what}]' .stdout >dry
    jq '.vms[0].targets[0].guest | del(.backend, .free_bytes)' .stdout >dry-facts
    convert
    jq '[.edits[] | {where, what}]' out/guest/receipt.json >done
    expect_same_file dry done
    jq '.vms[0].targets[0].guest | del(.backend, .free_bytes)' out/guest/report.json >done-facts
    expect_same_file dry-facts done-facts
    [ "$(jq length dry)" -gt 5 ] || fail "hardly anything was edited" "$(cat dry)"
}

# --- the appliance that is kept
# What has no udev behind it: a mirror, a thin volume, a btrfs of two disks.
# libguestfs' own makes them, as the guest's files are but a few.
test_mirrors_thin_volumes_and_btrfs_of_two_disks_are_read() {
    local kind
    need guestfish qemu-img
    need_built_with libguestfs
    for disk in md0 md1 thin one two; do truncate -s 256M $disk.raw; done
    cat >tree <<'END'
mkdir-p /etc
mkdir-p /lib/modules
mkdir-p /sbin
write /sbin/init x
write /etc/fstab "# none"
write /etc/os-release "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"
umount-all
END
    {
        for disk in md0 md1 thin one two; do echo "add $disk.raw format:raw"; done
        echo run
        echo 'md-create test "/dev/sda /dev/sdb" level:raid1'
        echo 'mkfs ext4 /dev/md127'
        echo 'mount /dev/md127 /'
        cat tree
        echo 'pvcreate /dev/sdc'
        echo 'vgcreate vg0 /dev/sdc'
        echo 'debug sh "lvm lvcreate -qq -L 60M -T vg0/pool -V 200M -n thin 2>/dev/null"'
        echo 'mkfs ext4 /dev/vg0/thin'
        echo 'mount /dev/vg0/thin /'
        cat tree
        echo 'mkfs-btrfs "/dev/sdd /dev/sde"'
        echo 'mount /dev/sdd /'
        cat tree
    } >script
    run env LIBGUESTFS_BACKEND=direct guestfish -f script
    expect_status 0
    for kind in md0.raw+md1.raw thin.raw one.raw+two.raw; do
        run "$REHOST" convert -v ${kind//+/ } --to kvm --out "out-$kind" --name g --set memory=1GiB
        expect_status 0
        ! grep -q "libguestfs' own appliance" .stderr || fail "the kept one was not used" "$stderr"
        expect_json '.vms[0] | .vm.os.profile + " " + .targets[0].guest.backend' \
            "debian-12 libguestfs" "out-$kind/g/report.json"
    done
}
# One that does not start costs one try a day.
test_a_kept_one_that_does_not_start_is_left_alone() {
    need mkfs.xfs
    python3 "$TOP/tests/guestfix/mkguest.py" --xfs rocky guest.raw || fail mkguest
    pack
    mkdir -p data/appliance
    ln -s "$TOP/profiles" data/profiles
    cp "$TOP/appliance/init" data/appliance/
    printf 'sh %s/appliance/make "$@" && echo no kernel >"$1/kernel"\n' "$TOP" >data/appliance/make
    export REHOST_DATA=$PWD/data REHOST_APPLIANCE=$PWD/kept
    convert -v
    expect_stderr "the appliance in .* does not start .*: libguestfs' own does it"
    expect_file kept/appliance-*/failed
}

run_tests
