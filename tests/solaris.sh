#!/bin/bash
# solaris.sh - Solaris and illumos: what is read of them on UFS and ZFS, and what
# is told.  Nothing in them is changed.
#
# bsd/solaris.py makes Solaris' UFS of what makefs writes, bsd/mkzfs.py writes
# pools; GRUB's reader, which shares no code with ours, reads both.
# SPDX-License-Identifier: LGPL-2.1-or-later
IN_MEMORY=1
. "$(dirname "$0")/lib.sh"
root=$((1 << 20))
slice=$((3072 * 512)) # of the UFS, in the first partition's label

tree() { # solaris VERSION | omnios VERSION
    rm -rf t
    mkdir -p t/etc/ipadm t/etc/dladm t/etc/default t/usr/bin
    case $1-$2 in
    solaris-10) printf '                    Oracle Solaris 10 1/13 s10x_u11wos_24a X86\n' ;;
    solaris-*) printf '                             Oracle Solaris %s X86\n' "$2" ;;
    *) printf '  OmniOS v11 %s\n  Copyright\n' "$2" ;;
    esac >t/etc/release
    printf '#device\n%s\t-\t-\tswap\t-\tno\t-\n%s %s / ufs 1 no -\n' /dev/dsk/c1t0d0s1 /dev/dsk/c1t0d0s0 \
        /dev/rdsk/c1t0d0s0 >t/etc/vfstab
    printf '"/pci@0,0/pci15ad,7a0@15/pci15ad,7b0@0" 0 "vmxnet3s"\n' >t/etc/path_to_inst
    echo solbox >t/etc/nodename
    echo zone_info=Japan >t/etc/rtc_config
    echo TZ=Japan >t/etc/default/init
    echo 10.0.0.1 >t/etc/defaultrouter
    echo 'nameserver 10.0.0.2' >t/etc/resolv.conf
    case $1-$2 in
    solaris-10) echo '10.0.0.5 netmask 255.255.255.0 up' >t/etc/hostname.vmxnet3s0 ;;
    solaris-*) printf '#\n1\tname=string,net0;class=int,1;devname=string,vmxnet3s0;\n' >t/etc/dladm/datalink.conf ;;
    *) printf '%s\n' '_ifname=vmxnet3s0;_family=2;' '_ifname=vmxnet3s0;_aobjname=vmxnet3s0/v4;_ipv4addr=10.0.0.5/24,;up=yes;' >t/etc/ipadm/ipadm.conf ;;
    esac
}
vm() { # ufs|zfs [CLEAN]
    need python3 sfdisk makefs grub-fstest
    rm -f s.raw
    truncate -s 24M s.raw
    if [ "$1" = ufs ]; then
        printf 'label: dos\nstart=2048, type=bf, bootable\n' | sfdisk -q s.raw
        python3 "$TOP/tests/bsd/solaris.py" vtoc s.raw 2048 2:1024:32768 3:40000:2048 5:0:47104
        makefs -t ffs -B le -s 16m -o version=1,bsize=8192,fsize=1024 fs t >/dev/null 2>&1 || fail makefs
        dd if=fs of=s.raw bs=512 seek=3072 conv=notrunc status=none
        python3 "$TOP/tests/bsd/solaris.py" ufs s.raw $slice "${2-253}"
    else
        printf 'label: gpt\nstart=1MiB, size=20MiB, type=6A898CC3-1DD2-11B2-99A6-080020736631\n' | sfdisk -q s.raw
        python3 "$TOP/tests/bsd/mkzfs.py" --path "${DISK_PATH-/dev/dsk/c1t0d0s0}" --bootfs ROOT/be rpool "${POOL_VERSION-33}" \
            20 s.raw:$root -- ROOT/be=t || fail mkzfs.py
    fi
    printf '%s\n' '# Disk DescriptorFile' version=1 CID=fffffffe parentCID=ffffffff 'createType="monolithicFlat"' \
        'RW 49152 FLAT "s.raw" 0' >s.vmdk
    printf '%s\n' 'displayName = "vm"' 'numvcpus = "1"' 'memSize = "2048"' 'firmware = "bios"' 'scsi0.present = "TRUE"' \
        'scsi0.virtualDev = "lsisas1068"' 'scsi0:0.present = "TRUE"' 'scsi0:0.fileName = "s.vmdk"' \
        'ethernet0.present = "TRUE"' 'ethernet0.virtualDev = "vmxnet3"' 'ethernet0.networkName = "LAN"' \
        'ethernet0.address = "00:50:56:00:00:01"' 'ethernet0.addressType = "static"' >vm.vmx
}
report() { # [OPTION...]
    run "$REHOST" report vm.vmx --to kvm --json "$@"
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

test_solaris_10_on_ufs_is_read() {
    tree solaris 10 && vm ufs
    dd if=s.raw of=alone bs=512 skip=3072 count=32768 status=none
    run grub-fstest alone cat '(loop0)/etc/vfstab'
    expect_equal "$stdout" "$(cat t/etc/vfstab)" "what GRUB reads of Solaris' UFS"
    report
    expect_equal "$(guest '[.family,.version,.hostname,.root,.swap,.profile,.backend]|join(" ")')" \
        "solaris 10 solbox /dev/dsk/c1t0d0s0 /dev/dsk/c1t0d0s1 solaris direct"
    expect_equal "$(guest .name)" "Oracle Solaris 10 1/13 s10x_u11wos_24a X86"
    expect_equal "$(guest '.nics[]|[.name,.becomes,.addresses[0],.gateways[0],.dns[0]]|join(" ")')" \
        "vmxnet3s0 e1000g0 10.0.0.5/24 10.0.0.1 10.0.0.2"
    expect_message BSD-NIC-NAMES '[ -f $f.vmxnet3s0 ] && mv $f.vmxnet3s0 $f.e1000g0'
    expect_message SOLARIS-STEPS "/etc/vfstab names the root as /dev/dsk/c1t0d0s0 and swap as /dev/dsk/c1t0d0s1"
    expect_equal "$(messages GUEST-DIRTY-FS)" ""
    run "$REHOST" convert vm.vmx --to kvm --out out --format raw
    expect_status 0
    run cmp s.raw out/vm/disk0.raw
    expect_status 0
    vm ufs 0
    report
    expect_message GUEST-DIRTY-FS "it was not unmounted cleanly"
}
test_numbers_go_on_where_path_to_inst_ends() {
    tree solaris 10
    printf '"/pci@0,0/pci8086,100f@1" 0 "e1000g"\n"/pci@0,0/pci8086,100f@2" 3 "e1000g"\n' >>t/etc/path_to_inst
    vm ufs
    report
    expect_equal "$(guest '.nics[0].becomes')" e1000g4
}
test_solaris_11_and_illumos_on_zfs_are_read() {
    tree solaris 11.4 && vm zfs
    report
    expect_equal "$(guest '[.family,.version,.hostname,.profile]|join(" ")')" "solaris 11.4 solbox solaris"
    expect_message BSD-NIC-NAMES "dladm show-phys (it names the link of e1000g0), then dladm rename-link LINK net0, and reboot"
    expect_message GUEST-ZFS "the dataset rpool/ROOT/be (pool version 33) is read"
    tree omnios r151046 && POOL_VERSION=5000 vm zfs
    report
    expect_equal "$(guest '[.family,.version,.derivative,.hostname,.profile]|join(" ")')" \
        "solaris r151046 OmniOS solbox illumos"
    expect_equal "$(guest '.nics[]|[.name,.becomes,.addresses[0]]|join(" ")')" "vmxnet3s0 e1000g0 10.0.0.5/24"
    expect_message BSD-NIC-NAMES "rename-link LINK vmxnet3s0"
    expect_message SOLARIS-STEPS "devfsadm -Cv && bootadm update-archive"
    POOL_VERSION=44 vm zfs
    report
    expect_message GUEST-ZFS "its files are not read: it is of a version that GRUB's reader does not know"
    expect_message BSD-NIC-NAMES "dladm rename-link e1000g0 vmxnet3s0"
}
test_a_pool_of_linux_is_not_solaris() {
    tree omnios r151046
    rm -rf t/etc/path_to_inst
    DISK_PATH=/dev/disk/by-id/scsi-1-part3 POOL_VERSION=5000 vm zfs
    report
    expect_equal "$(guest .family)" linux
}
# tests/bsd/names.txt has the rows.
test_names_of_every_system_on_every_hardware() {
    local system version flavour devices model before after nic new last='' found
    while read -r system version flavour devices model before after nic new; do
        case $system in solaris | omnios) ;; *) continue ;; esac
        if [ "$last" != "$system $version" ]; then
            tree "$system" "$version" && vm "$flavour"
            last="$system $version"
        fi
        run "$REHOST" report vm.vmx --to "$model" --devices "$devices" --json
        found=$(jq -r '.vms[0].targets[0] | if .verdict == "blocked" then "blocked" else [
            (.guest.disks[0] | .name, .becomes), if ([.findings[].id] | index("DEVICES-CHANGED")) then (null, null)
            else (.guest.nics[0] | .name, .becomes) end] | map(. // "-") | join(" ") end' .stdout)
        expect_equal "$found" "$(echo $before $after $nic $new)" "$system $version on $model, $devices"
    done <"$TOP/tests/bsd/names.txt"
}
# Counts, sizes and addresses of a hostile superblock, inode and folder.
test_hostile_file_systems_are_bounded() {
    local place value
    tree solaris 10 && vm ufs
    cp s.raw kept.raw
    for place in 8192:{44,48,56,160,184,188,16}; do
        for value in '\xff\xff\xff\xff' '\x01\0\0\0'; do
            cp kept.raw s.raw
            printf "$value" | dd of=s.raw bs=1 seek=$((slice + ${place%:*} + ${place#*:})) conv=notrunc status=none
            run timeout 20 "$REHOST" report vm.vmx --to kvm --json
            expect_status 0
        done
    done
}
run_tests
