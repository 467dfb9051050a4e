#!/bin/bash
# bsd-zfs.sh - pools that ZFS itself writes (zfs-fuse), with what mkzfs.py does
# not: compression, long files, raidz, boot environments that are clones.  And
# what takes its time: a reader that spins, links that lead in a circle.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
freebsd=516E7CBA-6ECF-11D6-8FF8-00022D09712B


zfs_up() {
    need zfs-fuse zpool zfs sfdisk python3 grub-fstest
    [ -w /dev/fuse ] || skip_test "no /dev/fuse"
    zfs_pid=''
    if ! zpool list >/dev/null 2>&1; then
        zfs-fuse -n >zfs-fuse.log 2>&1 &
        zfs_pid=$!
    fi
    trap 'zpool export -f rhtest 2>/dev/null; [ -z "$zfs_pid" ] || { kill $zfs_pid; wait $zfs_pid; }' EXIT
    for _ in $(seq 100); do
        ! zpool list >/dev/null 2>&1 || return 0
        sleep 0.1
    done
    skip_test "zfs-fuse does not start: $(tail -n 1 zfs-fuse.log)"
}
# pool SIDE... (files p0, p1 ... of 96 MiB): the words of zpool create behind the
# pool's name, "mirror" or "raidz" among them.
pool() {
    local word words=()
    for word; do
        case $word in
        p*) truncate -s 96M "$word" && words+=("$PWD/$word") ;;
        *) words+=("$word") ;;
        esac
    done
    zpool create -f -m none -R "$PWD/mnt" rhtest "${words[@]}" >/dev/null || fail "zpool create"
    zfs create -o mountpoint=none rhtest/ROOT
}
system() { # BE COMPRESSION VERSION
    mkdir -p mnt
    zfs create -o "compression=$2" -o mountpoint=/ "rhtest/ROOT/$1" || fail "zfs create"
    files mnt "$3"
}
files() { # FOLDER VERSION
    mkdir -p "$1/etc" "$1/boot/kernel" "$1/bin" "$1/usr/local"
    printf 'hostname="box-%s"\nifconfig_vmx0="DHCP"\n%s\n' "$2" "$(seq -f '# line %g' 40000)" >"$1/etc/rc.conf"
    printf '/dev/da0p3 none swap sw 0 0\n' >"$1/etc/fstab"
    printf '#!/bin/sh\nUSERLAND_VERSION="%s-RELEASE"\n' "$2" >"$1/bin/freebsd-version"
    head -c 3M /dev/urandom >"$1/boot/kernel/kernel"
    for i in $(seq 600); do echo "$i" >"$1/usr/local/file-with-a-long-name-so-that-the-folder-grows-$i"; done
    ln -sfn ../bin "$1/etc/bin"
}
disk_of() { # SIDE NAME: a GPT disk that holds it
    truncate -s 98M "$2.raw"
    printf 'label: gpt\nstart=1MiB, size=96MiB, type=%s\n' $freebsd | sfdisk -q "$2.raw"
    dd if="$1" of="$2.raw" bs=1M seek=1 conv=notrunc,sparse status=none
    printf '%s\n' '# Disk DescriptorFile' version=1 CID=fffffffe parentCID=ffffffff \
        'createType="monolithicFlat"' "RW 200704 FLAT \"$2.raw\" 0" >"$2.vmdk"
}
vm() { # DISK...
    local i=0 d
    printf '%s\n' 'displayName = "vm"' 'numvcpus = "1"' 'memSize = "1024"' 'firmware = "bios"' \
        'scsi0.present = "TRUE"' 'scsi0.virtualDev = "pvscsi"' 'ethernet0.present = "TRUE"' \
        'ethernet0.virtualDev = "vmxnet3"' 'ethernet0.networkName = "LAN"' \
        'ethernet0.address = "00:50:56:00:00:01"' 'ethernet0.addressType = "static"' >vm.vmx
    for d; do
        printf '%s\n' "scsi0:$i.present = \"TRUE\"" "scsi0:$i.fileName = \"$d.vmdk\"" >>vm.vmx
        i=$((i + 1))
    done
}
expect_seen() { # VERSION
    run "$REHOST" report vm.vmx --to kvm --devices virtio --json
    expect_status 0
    expect_json '.vms[0].targets[0].guest | [.family,.version,.hostname,.swap,.nics[0].name,.nics[0].becomes]|join(" ")' \
        "freebsd $1 box-$1 /dev/da0p3 vmx0 vtnet0"
}

test_compressed_mirrored_and_spread_pools_are_read() {
    local kind
    zfs_up
    for kind in on gzip zle off; do
        pool p0
        system default $kind 13.2
        zfs snapshot rhtest/ROOT/default@kept
        zpool export rhtest
        disk_of p0 a && vm a
        expect_seen 13.2
        rm -rf p0 a.raw mnt
    done
    pool mirror p0 p1
    system default on 14.0
    zpool export rhtest
    disk_of p0 a && disk_of p1 b
    vm a b
    expect_seen 14.0
    vm b
    expect_seen 14.0
    rm -rf p0 p1 mnt
    pool raidz p0 p1 p2
    system default on 14.1
    zpool export rhtest
    disk_of p0 a && disk_of p1 b && disk_of p2 c
    vm a b c
    expect_seen 14.1
    vm a c
    run "$REHOST" report vm.vmx --to kvm --json
    expect_status 0
}
test_of_clones_the_one_that_ran_last_is_taken() {
    zfs_up
    pool p0
    system old on 12.4
    zfs snapshot rhtest/ROOT/old@up
    zfs umount rhtest/ROOT/old
    zfs set canmount=noauto rhtest/ROOT/old
    zfs clone -o mountpoint=/ rhtest/ROOT/old@up rhtest/ROOT/new || fail clone
    sleep 1
    files mnt 13.2
    zpool export rhtest
    disk_of p0 a && vm a
    expect_seen 13.2
    # Unless the pool says otherwise.
    zpool import -R "$PWD/again" -d "$PWD" rhtest && zpool set bootfs=rhtest/ROOT/old rhtest && zpool export rhtest || fail "zpool set"
    disk_of p0 a
    expect_seen 12.4
}

# --- what takes its time -----------------------------------------------------
takes_at_most() { # SECONDS: and is one finding
    run timeout "$1" "$REHOST" report vm.vmx --to kvm --json
    expect_status 0
    expect_json '.vms[0].targets[0].guest.backend' none
    expect_json '[.vms[0].targets[0].findings[]|select(.id=="GUEST-ZFS").message]|any(test("ended the program"))' true
}
test_what_spins_is_ended() {
    need gcc sfdisk python3
    mkdir t spin && files t 13.2
    rm t/usr/local/*
    truncate -s 96M p
    python3 "$TOP/tests/bsd/mkzfs.py" rhtest 28 96 p:0 -- ROOT/default=t
    disk_of p a && vm a
    gcc -o spin/grub-fstest "$TOP/tests/bsd/attacker.c"
    PATH=$PWD/spin:$PATH takes_at_most 60
}
test_links_in_a_circle_are_ended() {
    need sfdisk python3 grub-fstest
    mkdir -p t/boot
    ln -s etc t/etc
    truncate -s 96M p
    python3 "$TOP/tests/bsd/mkzfs.py" rhtest 28 96 p:0 -- ROOT/default=t
    disk_of p a && vm a
    takes_at_most 60
}
run_tests
