#!/bin/bash
# bsd.sh - FreeBSD, OpenBSD and NetBSD guests: what is seen and what is changed.
#
# makefs writes the file systems; bsd/ufscheck.py, which shares no code with
# rehost, adds every count and check hash up again, and GRUB reads the files.
# SPDX-License-Identifier: LGPL-2.1-or-later
# long
. "$(dirname "$0")/lib.sh"
mkbsd=$TOP/tests/guests/mkbsd.sh
ufs="python3 $TOP/tests/bsd/ufscheck.py"
at=$((2 << 20)) # where mkbsd.sh puts the root's file system

# The descriptor of NAME.raw as it is now.
flat() { # NAME
    cat >"$1.vmdk" <<END
# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="monolithicFlat"
RW $(($(stat -c %s "$1.raw") / 512)) FLAT "$1.raw" 0
END
}
# A system's disk; one with nothing of its own is made once.
made() { # SYSTEM OUT
    local once=$SCRATCH/$1-${SIZE_MIB-}-${FFS-}-${VERSION-}.raw
    if [ -d extra ]; then
        EXTRA=extra sh "$mkbsd" "$1" "$2" || fail "mkbsd $1"
        return
    fi
    [ -e "$once" ] || sh "$mkbsd" "$1" "$once" || fail "mkbsd $1"
    cp --sparse=always "$once" "$2"
}
# make NAME SYSTEM [NIC...]: a VM with one PVSCSI disk and such NICs; what stands
# in ./extra is laid over the guest's files.
make() {
    local name=$1 system=$2 i=0 nic
    shift 2
    need makefs sfdisk python3 grub-fstest
    [ $# -gt 0 ] || set -- vmxnet3
    made "$system" "$name.raw"
    flat "$name"
    {
        echo "displayName = \"$name\""
        echo 'numvcpus = "1"'
        echo 'memSize = "1024"'
        echo 'firmware = "bios"'
        echo "scsi0.present = \"TRUE\""
        echo "scsi0.virtualDev = \"${BUS-pvscsi}\""
        echo 'scsi0:0.present = "TRUE"'
        echo "scsi0:0.fileName = \"$name.vmdk\""
        for nic; do
            echo "ethernet$i.present = \"TRUE\""
            echo "ethernet$i.virtualDev = \"${nic%:*}\""
            echo "ethernet$i.networkName = \"LAN\""
            echo "ethernet$i.address = \"00:50:56:00:00:0$i\""
            echo 'ethernet'$i'.addressType = "static"'
            case $nic in *:*) echo "ethernet$i.pciSlotNumber = \"${nic#*:}\"" ;; esac
            i=$((i + 1))
        done
    } >"$name.vmx"
}
convert() { # NAME MODEL [OPTION...]
    local name=$1 to=$2
    shift 2
    run "$REHOST" convert "$name.vmx" --to "$to" --out out --format raw --overwrite "$@"
    expect_status 0
    result=out/$name
    disk=$result/disk0.raw
}
# Xen takes no raw disks: its VHD, read by qemu-img.
convert_xen() { # NAME [OPTION...]
    need qemu-img
    local name=$1
    shift
    run "$REHOST" convert "$name.vmx" --to xen --out out --format vhd --overwrite "$@"
    expect_status 0
    result=out/$name
    disk=xen.raw
    qemu-img convert -O raw "$result/disk0.vhd" "$disk"
}
cat_ufs() { # PATH
    $ufs cat "$disk" $at "$1"
}
expect_line() { # PATH LINE
    run $ufs cat "$disk" $at "$1"
    grep -qxF -- "$2" .stdout || fail "$1 lacks the line: $2" "$stdout"
    held
}
expect_sound() {
    run $ufs check "$disk" $at
    expect_equal "$stdout" sound
}
expect_finding() { # ID
    expect_json "[.vms[0].targets[0].findings[]|select(.id==\"$1\")]|length > 0" \
        true "$result/report.json"
}
edits() { jq -r '.edits[].where' "$result/receipt.json" | paste -sd' '; }
# Nothing outside the file system's own changes: compare two disks by GRUB, too.
expect_same_for_grub() { # DEVICE PATH
    run grub-fstest "$disk" cat "($1)/$2"
    expect_equal "$stdout" "$(cat_ufs "$2")" "what GRUB reads of $2"
}
report_guest() { # FILTER EXPECTED
    run "$REHOST" report "$1.vmx" --to kvm --json
    expect_json ".vms[0].targets[0].guest | $2" "$3"
}

test_each_system_is_seen() {
    make fb freebsd && make nb netbsd
    mkdir -p extra/etc
    printf 'stty com0 115200\nset tty com0\n' >extra/etc/boot.conf
    make ob openbsd
    report_guest fb '[.family,.version,.hostname,.root,.profile,.arch,.nics[0].name]|join(" ")' \
        "freebsd 13.2 vmw-freebsd /dev/da0p2 freebsd-13 x86_64 vmx0"
    report_guest ob '[.family,.version,.hostname,.root,.nics[0].name,.console]|join(" ")' \
        "openbsd 7.4 vmw-openbsd /dev/sd0a vmx0 com0"
    report_guest nb '[.family,.version,.hostname,.root,.nics[0].name]|join(" ")' \
        "netbsd 9.3 vmw-netbsd /dev/sd0a vmx0"
}

test_freebsd_keeps_vmwares_devices_unchanged() {
    make fb freebsd
    convert fb kvm --devices vmware
    expect_equal "$(edits)" ""
    run cmp fb.raw "$disk"
    expect_status 0
}

test_freebsd_on_virtio_keeps_da0_and_names_its_nic() {
    make fb freebsd
    convert fb kvm --devices virtio
    expect_equal "$(edits)" "/etc/rc.conf"
    expect_line etc/rc.conf 'ifconfig_vtnet0_name="vmx0"'
    expect_line etc/rc.conf 'ifconfig_vmx0="DHCP"'
    expect_line etc/fstab "$(printf '/dev/da0p2\t/\tufs\trw\t1\t1')"
    expect_sound
    expect_same_for_grub loop0,gpt2 etc/rc.conf
}

test_freebsd_on_xen_gets_ada0_and_xn0() {
    make fb freebsd
    convert_xen fb
    expect_equal "$(edits)" "/etc/fstab /etc/rc.conf"
    expect_line etc/fstab "$(printf '/dev/ada0p2\t/\tufs\trw\t1\t1')"
    expect_line etc/fstab "$(printf '/dev/ada0p3\tnone\tswap\tsw\t0\t0')"
    expect_line etc/rc.conf 'ifconfig_xn0_name="vmx0"'
    expect_sound
}

test_check_hashes_hold_after_an_edit() {
    make fb freebsd
    $ufs seal fb.raw $at
    disk=fb.raw expect_sound
    convert fb kvm --devices virtio
    expect_line etc/rc.conf 'ifconfig_vtnet0_name="vmx0"'
    expect_sound
}

# A file that ends at its fragment's end grows into the next one.
grown() { # SIZE-OF-RC-CONF
    mkdir -p extra/etc
    printf 'hostname="x"\nifconfig_vmx0="DHCP"\n#' >extra/etc/rc.conf
    head -c $(($1 - $(stat -c %s extra/etc/rc.conf) - 1)) /dev/zero | tr '\0' x >>extra/etc/rc.conf
    echo >>extra/etc/rc.conf
    make fb freebsd
    $ufs seal fb.raw $at
}
test_a_file_grows_into_a_free_fragment() {
    local system
    grown 2048
    $ufs shrink fb.raw $at etc/rc.conf
    disk=fb.raw expect_sound
    convert fb kvm --devices virtio
    expect_equal "$(cat_ufs etc/rc.conf | tail -n 1)" 'ifconfig_vtnet0_name="vmx0"'
    expect_equal "$(cat_ufs etc/rc.conf | wc -c)" $((1024 + 1 + 28))
    expect_sound
    expect_same_for_grub loop0,gpt2 etc/rc.conf
}
test_no_room_behind_a_file_is_told_with_the_command() {
    grown 1024
    $ufs fill fb.raw $at etc/rc.conf
    convert fb kvm --devices virtio
    expect_equal "$(edits)" ""
    expect_finding BSD-NIC-NAMES
    expect_json '[.vms[0].targets[0].findings[]|select(.id=="BSD-NIC-NAMES").message]
        |any(test("sysrc ifconfig_vtnet0_name=vmx0"))' true "$result/report.json"
    run cmp fb.raw "$disk"
    expect_status 0
}
test_a_full_block_is_told() {
    grown 8192
    convert fb kvm --devices virtio
    expect_finding BSD-NIC-NAMES
    run cmp fb.raw "$disk"
    expect_status 0
}

test_what_must_not_be_written_is_not() {
    local kind
    for kind in unclean snapshot gjournal; do
        make fb freebsd
        $ufs mark fb.raw $at $kind
        convert fb kvm --devices virtio
        expect_finding BSD-NIC-NAMES
        run cmp fb.raw "$disk"
        expect_status 0
    done
}

test_a_second_run_changes_nothing() {
    make fb freebsd
    convert fb kvm --devices virtio
    cp "$disk" again.raw
    sed 's/"fb.raw"/"again.raw"/' fb.vmdk >again.vmdk
    sed 's/fb.vmdk/again.vmdk/; s/= "fb"/= "again"/' fb.vmx >again.vmx
    convert again kvm --devices virtio
    expect_equal "$(edits)" ""
    run cmp again.raw "$disk"
    expect_status 0
}

test_nics_go_by_slot_where_it_is_known() {
    mkdir -p extra/etc
    printf 'ifconfig_vmx0="inet 10.0.0.5/24"\nifconfig_vmx1="inet 10.1.0.5 netmask 255.255.0.0"\n' >extra/etc/rc.conf
    # The second of the package sits on the earlier bus: 192 before 256.
    make fb freebsd vmxnet3:256 vmxnet3:192
    convert fb kvm --devices virtio
    expect_line etc/rc.conf 'ifconfig_vtnet1_name="vmx0"'
    expect_line etc/rc.conf 'ifconfig_vtnet0_name="vmx1"'
    expect_json '.vms[0].targets[0].guest.nics | map(.name + " " + .addresses[0]) | sort | join(", ")' \
        "vmx0 10.0.0.5/24, vmx1 10.1.0.5/16" "$result/report.json"
}
test_order_without_slots_is_called_a_guess() {
    mkdir -p extra/etc
    printf 'ifconfig_vmx0="DHCP"\nifconfig_em0="DHCP"\nifconfig_em7="DHCP"\n' >extra/etc/rc.conf
    make fb freebsd vmxnet3 e1000
    convert fb kvm --devices virtio
    expect_line etc/rc.conf 'ifconfig_vtnet0_name="vmx0"'
    expect_line etc/rc.conf 'ifconfig_vtnet1_name="em0"'
    expect_finding BSD-NIC-ORDER
    expect_finding BSD-NIC-UNKNOWN
}

test_pfsense_and_opnsense_are_assigned_anew() {
    local mark
    for mark in etc/platform usr/local/opnsense/version/core; do
        rm -rf extra
        mkdir -p extra/conf "extra/$(dirname $mark)" extra/etc
        echo pfSense >"extra/$mark"
        echo 2.7.2-RELEASE >extra/etc/version
        printf '<pfsense><interfaces><wan><if>vmx0</if></wan><lan><if>vmx1.10</if></lan></interfaces>%s</pfsense>\n' \
            '<vlans><vlan><if>vmx1</if><tag>10</tag><vlanif>vmx1.10</vlanif></vlan></vlans>' >extra/conf/config.xml
        make fb freebsd vmxnet3 vmxnet3
        convert fb kvm --devices virtio
        expect_equal "$(edits)" "/conf/config.xml"
        expect_equal "$(cat_ufs conf/config.xml | grep -o 'vtnet[0-9.]*' | paste -sd' ')" \
            "vtnet0 vtnet1.10 vtnet1 vtnet1.10"
        expect_equal "$(cat_ufs conf/config.xml | grep -c vmx)" 0
        expect_sound
    done
}

test_openbsd_files_are_renamed_in_their_folder() {
    mkdir -p extra/etc
    echo 'ext_if = "vmx0" # not vmx01' >extra/etc/pf.conf
    echo 'inet 10.0.0.7 255.255.255.0 NONE' >extra/etc/hostname.vmx0
    echo 'parent vmx0 vnetid 5 up' >extra/etc/hostname.vlan5
    make ob openbsd
    convert ob kvm --devices virtio
    run $ufs ls "$disk" $at etc
    expect_stdout '^hostname.vio0$'
    expect_no_stdout '^hostname.vmx0$'
    expect_line etc/pf.conf 'ext_if = "vio0" # not vmx01'
    expect_line etc/hostname.vlan5 'parent vio0 vnetid 5 up'
    expect_line etc/hostname.vio0 'inet 10.0.0.7 255.255.255.0 NONE'
    expect_line etc/fstab '/dev/sd0a / ffs rw 1 1'
    expect_sound
    convert ob kvm --devices vmware
    expect_equal "$(edits)" ""
}
test_openbsd_on_ufs1_and_xen() {
    FFS=1 make ob openbsd
    convert_xen ob
    run $ufs ls "$disk" $at etc
    expect_stdout '^hostname.xnf0$'
    expect_sound
}
test_netbsd_on_virtio() {
    make nb netbsd
    convert nb kvm --devices virtio
    expect_line etc/rc.conf 'ifconfig_vioif0="dhcp"'
    expect_line etc/fstab '/dev/sd0a / ffs rw 1 1'
    expect_sound
}
test_netbsd_on_sata_has_wd0() {
    make nb netbsd
    convert nb kvm --devices emulated
    expect_line etc/fstab '/dev/wd0a / ffs rw 1 1'
    expect_line etc/fstab '/dev/wd0b none swap sw 0 0'
    expect_line etc/rc.conf 'ifconfig_wm0="dhcp"'
    expect_sound
}
# --- every system on every hardware: names before and after ------------------
# tests/bsd/names.txt has the rows; a '-' is "not offered" or "no name".
names_of() { # MODEL: of the last report
    jq -r --arg model "$1" '.vms[0].targets[] | select(.target == $model) | [
        ([.findings[].id] | if index("DEVICES-CHANGED") then "-" else "" end),
        (.guest.disks[0] | .name, .becomes), (.guest.nics[0] | .name, .becomes)]
        | map(. // "-") | join(" ")' .stdout
}
test_names_of_every_system_on_every_hardware() {
    local system version flavour devices model before after nic new last='' reported='' found
    while read -r system version flavour devices model before after nic new; do
        case $system in \#* | '' | solaris | omnios) continue ;; esac
        if [ "$last" != "$system $version $flavour" ]; then
            rm -rf extra
            case $flavour in
            pfsense) mkdir -p extra/etc extra/conf
                     echo pfSense >extra/etc/platform
                     echo '<if>vmx0</if>' >extra/conf/config.xml ;;
            opnsense) mkdir -p extra/conf extra/usr/local/opnsense
                      echo '<if>vmx0</if>' >extra/conf/config.xml ;;
            esac
            VERSION=$version SIZE_MIB=8 BUS=lsisas1068 make vm "$system"
        fi
        if [ "$last $reported" != "$system $version $flavour $devices" ]; then
            run "$REHOST" report vm.vmx --to all --devices "$devices" --json
            last="$system $version $flavour" reported=$devices
        fi
        found=$(names_of "$model")
        if [ "$before" = - ]; then
            expect_equal "${found%% *}" - "$system $version on $model, $devices"
        else
            expect_equal "$found" " $before $after $nic $new" "$system $version on $model, $devices"
        fi
    done <"$TOP/tests/bsd/names.txt"
}

# --- boot loaders and drivers ---------------------------------------------------
put() { # FILE SECTOR TEXT
    printf "$3" | dd of="$1" bs=512 seek="$2" conv=notrunc status=none
}
test_boot_loaders_and_drivers_are_told() {
    need mformat
    mkdir -p extra/etc extra/boot/kernel
    printf 'hostname="x"\nifconfig_vmx0="DHCP"\nkld_list="if_vtnet  fusefs"\n' >extra/etc/rc.conf
    printf '\177ELF\2\1\1\11%060d\0pci/vmx\0pci/emu10kx\0virtio_pci/virtio_scsi\0' 0 >extra/boot/kernel/kernel
    touch extra/boot/kernel/if_vtnet.ko extra/boot/kernel/if_em.ko
    make fb freebsd
    put fb.raw 100 'gptboot'
    report_guest fb '.boot_loaders[0]' "gptboot (/dev/sda1)"
    report_guest fb '.modules|join(" ")' "if_vtnet fusefs if_vmx pvscsi"
    report_guest fb '[.drivers[]|select(.built_in or .file or .loaded)
        |[.name,.built_in,.file,.loaded]|map(tostring)|join(",")]|join(" ")' \
        "vtnet,false,true,true virtio_scsi,true,false,false em,false,true,false vmx,true,false,true pvscsi,false,false,true"
    # Words that stand elsewhere are no loader, and a kernel that is none is not judged.
    put fb.raw 100 'gptzfsboot'
    truncate -s 3 extra/boot/kernel/kernel
    report_guest fb '.boot_loaders|join(",")' "gptzfsboot (/dev/sda1)"
    put fb.raw 100 '__________'
    put fb.raw 9000 'gptboot'
    report_guest fb '.boot_loaders|length' 0
    # UEFI: on a second disk.
    truncate -s 34M esp.raw
    printf 'label: gpt\nstart=1MiB, size=32MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\n' | sfdisk -q esp.raw
    mformat -i esp.raw@@1M -T 65536 -h 2 -s 32 ::
    mmd -i esp.raw@@1M ::/EFI ::/EFI/FREEBSD
    mcopy -i esp.raw@@1M fb.vmx ::/EFI/FREEBSD/LOADER.EFI
    flat esp
    printf '%s\n' 'scsi0:1.present = "TRUE"' 'scsi0:1.fileName = "esp.vmdk"' >>fb.vmx
    report_guest fb '.boot_loaders|join(",")' "loader.efi (/dev/sdb1)"
    make fb freebsd # its kernel has three bytes
    report_guest fb '[.drivers[].built_in]|unique|tostring' "[null]"
    make ob openbsd
    put ob.raw 2048 'Loading ERR M'
    report_guest ob '.boot_loaders|join(",")' "biosboot (/dev/sda1)"
}

# --- systems whose files are not read -----------------------------------------
test_geli_is_told() {
    local sector
    make fb freebsd e1000
    for sector in 512 4096; do
        truncate -s 0 fb.raw && truncate -s 16M fb.raw
        printf 'label: gpt\nstart=2MiB, size=8MiB, type=516E7CBA-6ECF-11D6-8FF8-00022D09712B\n' | sfdisk -q fb.raw
        flat fb
        python3 "$TOP/tests/bsd/geli.py" fb.raw $at $((8 << 20)) $sector
        run "$REHOST" report fb.vmx --to kvm --devices virtio --json
        expect_json '.vms[0].targets[0].guest | .family + " " + .volumes[0].filesystem' "freebsd geli"
        expect_equal "$(messages GUEST-ENCRYPTED | grep -c 'the volume /dev/sda1 is encrypted (GELI)')" 1
        expect_equal "$(messages BSD-NIC-NAMES | grep -c 'sysrc ifconfig_vtnet0_name=em0')" 1
        [ $sector = 4096 ] || {
            run grub-fstest -C fb.raw ls
            grep -q 'Enter passphrase for loop0,gpt1' .stdout .stderr || fail "GRUB knows no GELI there"
        }
    done
}
# zfs_guest TYPE POOL VERSION KIND MEMBERS: one GPT partition with a pool's label.
zfs_guest() {
    truncate -s 0 fb.raw
    truncate -s 64M fb.raw
    printf 'label: gpt\nstart=2MiB, type=%s\n' "$1" | sfdisk -q fb.raw
    python3 "$TOP/tests/bsd/zfslabel.py" fb.raw $at "$2" "$3" "$4" "$5"
    flat fb
}
messages() { # ID
    jq -r "[.vms[0].targets[0].findings[]|select(.id==\"$1\").message]|join(\"\n\")" .stdout
}
test_a_zfs_root_is_told_with_its_pool() {
    make fb freebsd vmxnet3 e1000
    zfs_guest 516E7CBA-6ECF-11D6-8FF8-00022D09712B zroot 5000 mirror 2
    run "$REHOST" report fb.vmx --to kvm --devices virtio --json
    expect_equal "$(messages GUEST-ZFS | grep -c 'pool zroot (version 5000, a mirror of 2 disks)')" 1
    expect_equal "$(messages BSD-NIC-NAMES | grep -c 'sysrc ifconfig_vtnet1_name=em0')" 1
    expect_json '.vms[0].targets[0].guest.family' freebsd
}
test_solaris_is_blocked_on_xen_and_told_on_kvm() {
    make fb freebsd e1000
    zfs_guest 6A898CC3-1DD2-11B2-99A6-080020736631 rpool 28 disk 1
    sed -i 's/^guestOS.*//; $a guestOS = "solaris11-64"' fb.vmx
    run "$REHOST" report fb.vmx --to all --json
    expect_json '[.vms[0].targets[]|.target+" "+.verdict]|sort|join(",")' "kvm caution,xen blocked"
    run "$REHOST" report fb.vmx --to kvm --json
    expect_equal "$(messages SOLARIS-STEPS | grep -c 'bootadm update-archive')" 1
    run "$REHOST" convert fb.vmx --to xen --out out
    expect_error PLAN_BLOCKED 4
}
test_a_solaris_vtoc_is_read() {
    make fb freebsd e1000
    truncate -s 0 fb.raw
    truncate -s 64M fb.raw
    printf 'label: dos\nstart=2048, type=bf, bootable\n' | sfdisk -q fb.raw
    flat fb
    python3 "$TOP/tests/bsd/solaris.py" vtoc fb.raw 2048 2:1024:32768 3:40000:8192 5:0:100000
    run "$REHOST" report fb.vmx --to kvm --json
    expect_json '.vms[0].targets[0].guest | .family + " " + ([.volumes[]|.device]|join(" "))' \
        "solaris /dev/sda1 /dev/sda1s0 /dev/sda1s1"
    # Its UFS is known and left, whatever the rest of the superblock says; the
    # older type of the partition is that of Linux' swap.
    local kind
    for kind in bf:'\x54\x19\x01\0' 82:'\x54\x19\x01\0' bf:'\xde\xca\xde\0'; do
        sfdisk -q --part-type fb.raw 1 ${kind%%:*}
        printf "${kind#*:}" | dd of=fb.raw bs=1 seek=$((3072 * 512 + 8192 + 1372)) conv=notrunc status=none
        run "$REHOST" report fb.vmx --to kvm --json
        expect_json '.vms[0].targets[0].guest.volumes[] | select(.device == "/dev/sda1s0").filesystem' ufs
        expect_json '.vms[0].targets[0] | [.guest.family, .effort] | join(" ")' "solaris manual"
        expect_equal "$(messages SOLARIS-STEPS | grep -c 'UFS on /dev/sda1s0 is not read')" 1
        expect_equal "$(messages GUEST-UNREADABLE)" ""
    done
}
test_a_ufs_of_another_byte_order_is_named() {
    need sfdisk
    truncate -s 16M be.raw
    echo 'start=2048, type=a9' | sfdisk -q -X dos be.raw
    printf '\0\x01\x19\x54' | dd of=be.raw bs=1 seek=$((2048 * 512 + 8192 + 1372)) conv=notrunc status=none
    run "$REHOST" inspect be.raw --json
    expect_json '.vms[0].findings[] | select(.id == "DISK-CONTENT").message' "MBR: 1 ufs-big-endian"
    run "$REHOST" report be.raw --to kvm --json --set memory=1GiB
    expect_status 0
    expect_json '.vms[0].targets[0].effort' manual
}
# The system is on the second or third disk: a disk has one number for both sides.
data_disk() { # NAME SYSTEM: nothing of a system on it
    truncate -s 16M "$1.raw"
    printf 'label: gpt\nsize=8MiB, type=516E7CB6-6ECF-11D6-8FF8-00022D09712B\n' | sfdisk -q "$1.raw"
    flat "$1"
}
test_the_system_is_not_on_the_first_disk() {
    local order model
    mkdir -p extra/etc
    printf '%s\n' '/dev/da1p2 / ufs rw 1 1' '/dev/da1p3 none swap sw 0 0' '/dev/da0p1 /data ufs rw 2 2' >extra/etc/fstab
    make fb freebsd
    data_disk one && data_disk two
    for order in "one fb" "fb one" "one two fb"; do
        sed -i '/^scsi0:/d' fb.vmx
        i=0
        for n in $order; do
            printf '%s\n' "scsi0:$i.present = \"TRUE\"" "scsi0:$i.fileName = \"$n.vmdk\"" >>fb.vmx
            i=$((i + 1))
        done
        run "$REHOST" report fb.vmx --to kvm --json
        expect_status 0
        expect_json '.vms[0].targets[0].guest | [.family, .hostname] | join(" ")' "freebsd vmw-freebsd"
        expect_json '.vms[0].targets[0].guest.volumes[] | select(.root).disk' \
            $(($(echo "$order" | tr ' ' '\n' | grep -nx fb | cut -d: -f1) - 1))
    done
    # Every disk keeps its bytes, and the system's is the first of the result.
    sed -i '/^scsi0:/d' fb.vmx
    printf '%s\n' 'scsi0:0.fileName = "one.vmdk"' 'scsi0:1.fileName = "fb.vmdk"' >>fb.vmx
    convert fb kvm --devices virtio
    expect_sound
    expect_equal "$(jq -r '[.disks[].disk] | tostring' $result/receipt.json)" "[1,0]"
    expect_line /etc/fstab '/dev/da0p2 / ufs rw 1 1'
    expect_line /etc/fstab '/dev/da0p3 none swap sw 0 0'
    expect_line /etc/fstab '/dev/da1p1 /data ufs rw 2 2'
    # Its own name on the second disk of another controller is no other number.
    sed -i '/^scsi0:/d' fb.vmx
    printf '%s\n' 'scsi1.present = "TRUE"' 'scsi1.virtualDev = "lsilogic"' 'scsi1:0.fileName = "fb.vmdk"' \
        'scsi0:0.fileName = "one.vmdk"' >>fb.vmx
    convert fb kvm --devices virtio
    expect_line /etc/fstab '/dev/da0p2 / ufs rw 1 1'
    expect_line /etc/fstab '/dev/da1p1 /data ufs rw 2 2'
}
# Counts, sizes and addresses of a hostile superblock, inode and folder.
test_hostile_file_systems_are_bounded() {
    local place value
    make fb freebsd
    for place in 65536:{1372,44,48,52,56,160,184,188,1080,1096,16,12} 73728:0 81920:{0,4,8,40}; do
        for value in '\xff\xff\xff\xff' '\x01\0\0\0'; do
            cp --reflink=auto fb.raw kept.raw
            printf "$value" | dd of=fb.raw bs=1 seek=$((at + ${place%:*} + ${place#*:})) conv=notrunc status=none
            run timeout 10 "$REHOST" report fb.vmx --to kvm --json
            expect_status 0
            mv kept.raw fb.raw
        done
    done
}
test_damaged_labels_are_left_alone() {
    local i
    make ob openbsd
    for i in 0 64 132 136 138 150; do # magic, DUID, magic, sum, count, an entry
        cp ob.raw kept.raw
        printf '\xa5' | dd of=ob.raw bs=1 seek=$((2049 * 512 + i)) conv=notrunc status=none
        run "$REHOST" report ob.vmx --to kvm --json
        expect_status 0
        expect_json '.vms[0].targets[0].guest.volumes|length' 1
        mv kept.raw ob.raw
    done
}
run_tests
