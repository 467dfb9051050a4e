#!/bin/bash
# zfs.sh - FreeBSD on ZFS, read by GRUB's reader in a sandbox: what is seen, what
# is told, and what a hostile pool gets.  tests/bsd/mkzfs.py writes the pools,
# by the specification; tests/boot/bsd-zfs.sh has ZFS itself write them.
# SPDX-License-Identifier: LGPL-2.1-or-later
IN_MEMORY=1
. "$(dirname "$0")/lib.sh"
freebsd=516E7CBA-6ECF-11D6-8FF8-00022D09712B
at=$((1 << 20))

# FreeBSD's files in ./t.
freebsd_tree() { # [VERSION]
    rm -rf t
    mkdir -p t/etc t/boot/kernel t/bin t/cf t/usr
    printf '#!/bin/sh\nUSERLAND_VERSION="%s-RELEASE"\n' "${1-13.2}" >t/bin/freebsd-version
    printf 'kernel\n' >t/boot/kernel/kernel
    printf 'zfs_load="YES"\nif_vmx_load="YES"\nconsole="comconsole"\n' >t/boot/loader.conf
    printf '# Device\n/dev/da0p3 none swap sw 0 0\n' >t/etc/fstab
    printf 'hostname="zbox"\nifconfig_vmx0="inet 10.0.0.5/24"\ndefaultrouter="10.0.0.1"\n' >t/etc/rc.conf
}
# disk NAME TYPE: with one partition of 16 MiB.
disk() {
    rm -f "$1.raw"
    truncate -s 18M "$1.raw"
    printf 'label: gpt\nstart=1MiB, size=16MiB, type=%s\n' "$2" | sfdisk -q "$1.raw"
    printf '%s\n' '# Disk DescriptorFile' version=1 CID=fffffffe parentCID=ffffffff \
        'createType="monolithicFlat"' "RW 36864 FLAT \"$1.raw\" 0" >"$1.vmdk"
}
# vm DISK...: a VM with these, two NICs: VMXNET3 and E1000.
vm() {
    local i=0 d
    {
        printf '%s\n' 'displayName = "vm"' 'numvcpus = "1"' 'memSize = "1024"' 'firmware = "bios"' \
            'scsi0.present = "TRUE"' 'scsi0.virtualDev = "pvscsi"'
        for d; do
            printf '%s\n' "scsi0:$i.present = \"TRUE\"" "scsi0:$i.fileName = \"$d.vmdk\""
            i=$((i + 1))
        done
        i=0
        for d in vmxnet3 e1000; do
            printf '%s\n' "ethernet$i.present = \"TRUE\"" "ethernet$i.virtualDev = \"$d\"" \
                "ethernet$i.networkName = \"LAN\"" "ethernet$i.address = \"00:50:56:00:00:0$i\"" \
                "ethernet$i.addressType = \"static\""
            i=$((i + 1))
        done
    } >vm.vmx
}
mkzfs() {
    python3 "$TOP/tests/bsd/mkzfs.py" "$@" || fail mkzfs.py
}
# on_zfs [OPTION...]: the tree as zroot/ROOT/default on a disk of its own.
on_zfs() {
    need python3 sfdisk grub-fstest
    disk z $freebsd
    vm z
    mkzfs "$@" zroot "${POOL_VERSION-28}" 16 z.raw:$at -- ROOT/default=t
}
report() { # [OPTION...]
    run "$REHOST" report vm.vmx --to kvm --devices virtio --json "$@"
    expect_status 0
}
messages() { # ID
    jq -r "[.vms[0].targets[0].findings[]|select(.id==\"$1\").message]|join(\"\n\")" .stdout
}
expect_message() { # ID WORDS
    messages "$1" | grep -qF -- "$2" || fail "no $1 says: $2" "$(jq -r '.vms[0].targets[0].findings[]|.id+": "+.message' .stdout)"
    held
}
guest() { # FILTER
    jq -r ".vms[0].targets[0].guest | $1" .stdout
}

test_a_zfs_root_is_read() {
    freebsd_tree && on_zfs
    report
    expect_equal "$(guest '[.family,.version,.hostname,.root,.swap,.profile,.backend,.modules[1],.console]|join(" ")')" \
        "freebsd 13.2 zbox zroot/ROOT/default /dev/da0p3 freebsd-13 direct if_vmx comconsole"
    expect_equal "$(guest '.nics[]|[.name,.becomes,.addresses[0],.gateways[0]]|join(" ")')" \
        "vmx0 vtnet0 10.0.0.5/24 10.0.0.1"
    expect_equal "$(guest '.volumes[]|select(.root).device')" /dev/sda1
    expect_message BSD-NIC-NAMES "sysrc ifconfig_vtnet0_name=vmx0 && reboot"
    expect_message GUEST-ZFS "the dataset zroot/ROOT/default (pool version 28) is read"
    expect_equal "$(messages BSD-DISK-NAMES)" ""
    report --devices emulated
    expect_message BSD-DISK-NAMES "sed -i.old -e 's,/dev/da0,/dev/ada0,' /etc/fstab && reboot"
}
test_nothing_in_it_is_changed() {
    freebsd_tree && on_zfs
    run "$REHOST" convert vm.vmx --to kvm --out out --format raw --devices virtio
    expect_status 0
    expect_json '.edits|length' 0 out/vm/receipt.json
    run cmp z.raw out/vm/disk0.raw
    expect_status 0
    report --devices vmware
    expect_equal "$(messages BSD-NIC-NAMES)" ""
}
test_whatever_the_disk_is_packed_in() {
    need qemu-img
    freebsd_tree && on_zfs
    qemu-img convert -O vmdk -o subformat=streamOptimized z.raw z.vmdk
    report
    expect_equal "$(guest .hostname)" zbox
}
test_the_system_that_ran_last_is_taken() {
    freebsd_tree 12.4 && mv t old
    freebsd_tree 14.1
    need python3 sfdisk grub-fstest
    disk z $freebsd && vm z
    mkzfs zroot 5000 16 z.raw:$at -- ROOT/14=t,1700000000 ROOT/12=old,1600000000 home=
    report
    expect_equal "$(guest .version)" 14.1
    expect_message GUEST-ZFS "of 2 boot environments in the pool zroot (version 5000), zroot/ROOT/14 was changed last"
    mkzfs zroot 5000 16 z.raw:$at -- ROOT/14=t,1700000000 ROOT/12=old,1700000001
    report
    expect_equal "$(guest .version)" 12.4
}
# --- which of several starts --------------------------------------------------
# two OPTION...: ROOT/12 is older than ROOT/14.
two() {
    freebsd_tree 12.4 && rm -rf old && mv t old
    freebsd_tree 14.1 && mkdir -p empty
    need python3 sfdisk grub-fstest
    disk z $freebsd && vm z
    mkzfs "$@" zroot 5000 16 z.raw:$at -- ROOT/14=t,1700000000 ROOT/12=old,1600000000 ROOT/none=empty
    report
}
test_what_the_property_bootfs_names_is_taken() {
    two --bootfs ROOT/12
    expect_equal "$(guest '.version + " " + .root')" "12.4 zroot/ROOT/12"
    expect_message GUEST-ZFS "the dataset zroot/ROOT/12 (pool version 5000) is read, as the pool's property bootfs names it"
    # Whatever lies beside it: none is guessed.
    two --bootfs ROOT/none
    told_not_read "its property bootfs names zroot/ROOT/none, in which GRUB's reader finds no system"
}
test_a_guess_is_called_one_with_its_reason() {
    two
    expect_equal "$(guest .version)" 14.1
    expect_message GUEST-ZFS "is taken for the one that starts, as the pool does not tell (its property bootfs is not set)"
    # Damaged where the property stands, and nowhere else.
    two --bootfs ROOT/12
    python3 - <<'END'
d = bytearray(open("z.raw", "rb").read())
d[d.index(b"bootfs\0") - 14] ^= 1
open("z.raw", "wb").write(d)
END
    report
    expect_equal "$(guest .version)" 14.1
    expect_message GUEST-ZFS "as the pool does not tell (it is damaged)"
    two --circle yes --bootfs ROOT/12
    expect_message GUEST-ZFS "as the pool does not tell (it is damaged)"
}
# What GRUB does not read (an empty dataset, features, encryption, no program) is
# told by its name all the same.
starts_from() { # DATASET FILE...
    local i=0 f names=() dataset=$1
    shift
    for f; do
        i=$((i + 1))
        truncate -s 0 "d$i.raw" && truncate -s 66M "d$i.raw"
        printf 'label: gpt\nstart=1MiB, size=64MiB, type=%s\n' $freebsd | sfdisk -q "d$i.raw"
        xz -dc "$TOP/tests/bsd/pools/$f.xz" | dd of="d$i.raw" bs=1M seek=1 conv=notrunc,sparse iflag=fullblock status=none
        printf '%s\n' '# Disk DescriptorFile' version=1 CID=fffffffe parentCID=ffffffff \
            'createType="monolithicFlat"' "RW 135168 FLAT \"d$i.raw\" 0" >"d$i.vmdk"
        names+=("d$i")
    done
    vm "${names[@]}"
    report
    expect_message GUEST-ZFS "zroot/$dataset is what the pool starts from"
}
test_the_property_of_pools_that_openzfs_wrote() {
    need sfdisk xz
    starts_from ROOT/new old.1 old.2
    starts_from ROOT/new/sub raidz.1 raidz.2 raidz.3
    starts_from ROOT/new/sub raidz.3 raidz.1 raidz.2
    starts_from ROOT/a-name-of-more-than-fifty-characters-which-makes-a-fat-zap fat.1
    told_not_read "GRUB's reader does not take it"
    PATH=/nowhere report
    expect_message GUEST-ZFS "ROOT/a-name-of-more-than-fifty-characters-which-makes-a-fat-zap is what the pool starts from"
    vm d2 # of a raidz not all
    report
    expect_equal "$(messages GUEST-ZFS | grep -c 'starts from')" 0
    told_not_read "not all of its disks are here"
}
test_what_zfs_has_encrypted_is_told() {
    need sfdisk xz
    starts_from ROOT/new encrypted.1
    expect_message GUEST-ZFS "(its property bootfs); ZFS has encrypted it"
}
test_a_big_endian_pool_is_named() {
    freebsd_tree
    on_zfs --big yes --bootfs ROOT/default
    report
    expect_message GUEST-ZFS "zroot/ROOT/default is what the pool starts from"
}
test_a_system_in_the_pools_own_dataset() {
    freebsd_tree
    need python3 sfdisk grub-fstest
    disk z $freebsd && vm z
    mkzfs zroot 28 16 z.raw:$at -- =t data=
    report
    expect_equal "$(guest .hostname)" zbox
    expect_message GUEST-ZFS "the dataset zroot (pool version 28)"
}
test_pfsense_and_its_datasets() {
    freebsd_tree 14.0
    echo pfSense >t/etc/platform
    echo 2.7.2-RELEASE >t/etc/version
    ln -s /cf/conf t/conf
    mkdir -p cf/conf
    printf '<pfsense><hostname>fw1</hostname><if>vmx0</if><if>em0.7</if></pfsense>\n' >cf/conf/config.xml
    need python3 sfdisk grub-fstest
    disk z $freebsd && vm z
    mkzfs pfSense 28 16 z.raw:$at -- ROOT/default=t ROOT/default/cf=cf
    report
    expect_equal "$(guest '[.derivative,.name]|join(",")')" "pfSense,pfSense 2.7.2-RELEASE (FreeBSD 14.0)"
    expect_equal "$(guest '[.nics[]|.name+">"+.becomes]|sort|join(" ")')" "em0>vtnet1 vmx0>vtnet0"
    expect_message BSD-NIC-NAMES "option 1 (Assign Interfaces) of the console's menu: vtnet1 in the place of em0"
}
test_links_lead_where_grub_follows_them() {
    freebsd_tree
    mv t/etc t/real && ln -s real t/etc
    mv t/real/rc.conf t/boot/rc && ln -s ../boot/rc t/real/rc.conf
    on_zfs
    report
    expect_equal "$(guest .hostname)" zbox
}
test_a_mirror_is_one_system() {
    freebsd_tree
    need python3 sfdisk grub-fstest
    disk a $freebsd && disk b $freebsd && vm a b
    mkzfs zroot 28 16 a.raw:$at b.raw:$at -- ROOT/default=t
    report
    expect_equal "$(guest .hostname)" zbox
    expect_equal "$(messages GUEST-MULTIPLE-OS)" ""
    vm b # the other half is lost
    report
    expect_equal "$(guest .hostname)" zbox
}

# --- what is not read is said ------------------------------------------------
told_not_read() { # WORDS
    expect_equal "$(guest .backend)" none
    expect_equal "$(guest .family)" freebsd
    expect_message GUEST-ZFS "its files are not read: $1"
    expect_message BSD-NIC-NAMES "sysrc ifconfig_vtnet0_name=vmx0"
}
test_without_the_program_it_is_told() {
    freebsd_tree && on_zfs
    PATH=/nowhere report
    told_not_read "GRUB's reader is not installed"
    mkdir -p none
    REHOST_LIBEXEC=$PWD/none report
    told_not_read "the file rehost-zfs.so, which holds GRUB's reader in its sandbox, is not installed"
    mkdir -p 'a b' && cp "$BUILD/rehost-zfs.so" 'a b'
    REHOST_LIBEXEC="$PWD/a b" report
    told_not_read "the path of rehost-zfs.so has a blank"
}
test_pools_that_grub_does_not_know() {
    freebsd_tree
    POOL_VERSION=5000 on_zfs --feature org.illumos:lz4_compress
    report
    expect_equal "$(guest .hostname)" zbox
    POOL_VERSION=5000 on_zfs --feature com.klarasystems:vdev_zaps_v2
    report
    told_not_read "it uses features that GRUB's reader does not know (com.klarasystems:vdev_zaps_v2)"
    POOL_VERSION=44 on_zfs
    report
    told_not_read "it is of a version that GRUB's reader does not know"
    rm -rf t && mkdir -p t/photos
    on_zfs
    report
    told_not_read "no system was found in it"
}

# --- the sandbox -------------------------------------------------------------
attack() { # KIND
    mkdir -p "$1"
    ${CC:-gcc} -o "$1/grub-fstest" "$TOP/tests/bsd/attacker.c" || fail "attacker.c"
    PATH=$PWD/$1:$PATH timeout 60 "$REHOST" report vm.vmx --to kvm --devices virtio --json >.stdout 2>.stderr
    expect_equal $? 0 "the status of a report, attacked by $1"
}
test_a_program_taken_over_gains_nothing() {
    local call
    need strace gcc
    freebsd_tree && on_zfs
    mkdir -p calls
    gcc -o calls/grub-fstest "$TOP/tests/bsd/attacker.c"
    PATH=$PWD/calls:$PATH "${STRACE[@]}" "$REHOST" report vm.vmx --to kvm --json >.stdout || fail "$(tail trace)"
    # Of each process what comes after it was walled in.
    awk '/SECCOMP_MODE_FILTER|PR_SET_SECCOMP/ { in_it[$1] = 1; next } in_it[$1]' trace >after
    for call in 'openat(AT_FDCWD, "/etc/passwd"' 'openat(AT_FDCWD, "attacked"' 'socket(AF_INET' 'execve("/bin/sh"' \
        'clone(' 'kill(' 'unlinkat(' 'ptrace(' 'process_vm_readv('; do
        grep -F "$call" after | grep -q EPERM || fail "not tried, or not refused: $call" "$(cat after)"
    done
    expect_equal "$(grep -Ev 'EPERM|EOF|exited|resumed| (read|write|brk|mmap|munmap|exit_group)\(|= \?' after)" ""
    expect_file vm.vmx
    [ ! -e attacked ] || fail "a file was written"
}
test_a_program_that_goes_astray_is_ended() {
    local kind
    need gcc
    freebsd_tree && on_zfs
    for kind in garbage flood crash; do
        attack $kind
        expect_equal "$(guest .backend)" none
        expect_message GUEST-ZFS "its files are not read: "
    done
    attack memory
    expect_equal "$(guest .backend)" none
    attack trickle
    expect_equal "$(guest .backend)" none
}
# A damaged pool is one finding, whatever is damaged.
test_damaged_pools_are_bounded() {
    local place
    freebsd_tree && on_zfs
    cp z.raw kept.raw
    for place in 16384 16400 141312 141320 141360; do # in all labels: list, uberblock
        cp kept.raw z.raw
        for copy in 0 262144 16252928 16515072; do
            printf '\xff\xff\xff\xff\xff\xff\xff\xff' |
                dd of=z.raw bs=1 seek=$((at + copy + place)) conv=notrunc status=none
        done
        run timeout 60 "$REHOST" report vm.vmx --to kvm --json
        expect_status 0
        expect_equal "$(guest .backend)" none
    done
    # What the checksums cover: files, folders, objects.
    cp kept.raw z.raw
    head -c 3M /dev/zero | tr '\0' '\245' | dd of=z.raw bs=1M seek=6 conv=notrunc status=none
    run timeout 60 "$REHOST" report vm.vmx --to kvm --json
    expect_status 0
    expect_equal "$(guest .backend)" none
}
run_tests
