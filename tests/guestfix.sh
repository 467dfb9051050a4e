#!/bin/bash
# guestfix.sh - what convert changes inside a Linux guest, judged from outside.
#
# The guests are small trees with each distribution's own kinds of files
# (guestfix/mkguest.py); they do not boot.  debugfs, e2fsck, mtools and cpio look
# at the result; receipt.json must name just what differs.
# long
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
here=$TOP/tests/guestfix
mkova=$TOP/tests/guests/mkova.py
mac=00:50:56:8a:12:34

# A guest and its OVA: make_guest NAME MKGUEST-ARGUMENT...
make_guest() {
    local name=$1 uefi=''
    shift
    case "$*" in *"--layout uefi"*) uefi=--uefi ;; esac
    need mke2fs sfdisk mformat qemu-img python3
    python3 "$here/mkguest.py" "$@" "$name.raw" || fail "mkguest $*"
    label_some "$name.raw"
    python3 "$mkova" $uefi --mac "$mac" --name "$name" "$name.ova" "$name.raw" >/dev/null ||
        fail "mkova $name"
}
# SELinux labels, as the installer of a labelled system leaves them.
label_some() {
    local at path
    at=$(jq .root "$1.json")
    for path in /etc /etc/fstab /etc/udev /boot /etc/systemd /etc/systemd/network \
        $(debugfs -R 'ls -p /boot' "$1?offset=$((at << 20))" 2>/dev/null |
            sed -n 's|^/[0-9]*/1[^/]*/[^/]*/[^/]*/\([^/]*\)/[0-9].*|/boot/\1|p'); do
        echo "ea_set $path security.selinux system_u:object_r:label$(basename "$path")_t:s0"
    done >.labels
    debugfs -w -f .labels "$1?offset=$((at << 20))" >/dev/null 2>&1
}
convert() { # NAME MODEL OPTION...
    local name=$1 to=$2
    shift 2
    run "$REHOST" convert "$name.ova" --to "$to" --out out --format raw --overwrite "$@"
    expect_status 0
    result=out/$name
}
findings() { jq -r '.vms[0].targets[0].findings[].id' "$result/report.json"; }
expect_finding() { # ID AUTOMATIC
    expect_json "[.vms[0].targets[0].findings[]|select(.id==\"$1\")|.automatic]|first" \
        "$2" "$result/report.json"
}
expect_no_finding() {
    expect_equal "$(findings | grep -cx -- "$1")" 0 "findings $1"
}
disk() { echo "$result"/disk0.*; }
judge() { # NAME
    run python3 "$here/judge.py" "$1.raw" "$(disk)" "$1.raw.json" "$result/receipt.json"
    expect_equal "$stdout" "" "what the judge says"
    expect_status 0
}
at() { echo "$(disk)?offset=$(($(jq .root "$1.raw.json") << 20))"; }
text() { # NAME PATH
    debugfs -R "cat $2" "$(at "$1")" 2>/dev/null
}
expect_text() { # NAME PATH REGEX
    text "$1" "$2" >.text
    grep -qE -- "$3" .text || fail "$2:" "  expected: /$3/" "$(head -40 .text)"
    held
}
expect_no_text() { # NAME PATH REGEX
    text "$1" "$2" >.text
    [ -s .text ] || fail "$2 is not there or empty"
    ! grep -qE -- "$3" .text || fail "$2:" "  expected no: /$3/" "$(cat .text)"
    held
}
# The names in an initramfs, all segments, as the kernel would unpack them.
initramfs() { # NAME PATH
    text "$1" "$2" >.image
    python3 "$here/unpack.py" .image .unpacked
}
uuid=52484f53-5400-4000-8000-0000000000c1
swap=52484f53-5400-4000-8000-0000000000c2

whole() { # KIND IMAGE MKGUEST-ARGUMENT...: the path every distribution goes
    local kind=$1 image=$2 kver
    shift 2
    make_guest "$kind" "$@" "$kind"
    convert "$kind" kvm
    judge "$kind"
    expect_finding BOOT-DRIVER-MISSING true
    initramfs "$kind" "$image" || fail "$image does not unpack"
    for module in virtio_pci virtio_scsi virtio_blk virtio_net virtio virtio_ring vmw_pvscsi; do
        grep -q "/$module\.ko" .unpacked.names || fail "$image lacks $module" "$(cat .unpacked.names)"
    done
    grep -q '^lib/modules/' .unpacked.names && grep -q '^usr/lib/modules/' .unpacked.names &&
        fail "modules in two places" "$(cat .unpacked.names)"
    expect_text "$kind" /etc/fstab "^UUID=$uuid"
    expect_text "$kind" /etc/fstab '^#/dev/sdb1 /old'
    expect_text "$kind" /etc/fstab '^/dev/sdx9 /lost'
    expect_finding GUEST-DEVICE-NAME false
    # The image as it was is kept.
    text "$kind" "$image.pre-rehost" >kept
    debugfs -R "cat $image" "$kind.raw?offset=$((1 << 20))" 2>/dev/null >original
    expect_same_file kept original
}

test_debian_keeps_booting_and_its_interface() {
    whole debian /boot/initrd.img-6.1.0-18-amd64 --codec zstd --early
    expect_text debian /etc/fstab "^UUID=$swap"
    expect_text debian /boot/grub/grub.cfg "linux./boot/vmlinuz root=UUID=$uuid ro quiet resume=UUID=$swap$"
    expect_text debian /boot/grub/grub.cfg "resume=UUID=$swap single$"
    expect_text debian /boot/grub/grub.cfg "set root='hd0,msdos1'"
    expect_no_text debian /boot/grub/grub.cfg /dev/sd
    expect_text debian /etc/default/grub "^GRUB_CMDLINE_LINUX=\"resume=UUID=$swap\"$"
    expect_text debian /etc/initramfs-tools/conf.d/resume "^RESUME=UUID=$swap$"
    expect_text debian /etc/systemd/network/10-rehost-ens192.link "^MACAddress=$mac$"
    expect_text debian /etc/systemd/network/10-rehost-ens192.link '^Name=ens192$'
    expect_finding NIC-RENAME true
    expect_finding GUEST-CLOUD-INIT true
    expect_text debian /etc/cloud/cloud.cfg.d/99-rehost.cfg 'config: disabled'
    # The list in the image is the old one and the new names.
    expect_equal "$(tr '\n' ' ' <.unpacked/conf/modules)" \
        "vmw_pvscsi virtio_pci virtio_scsi virtio_blk virtio_net " "conf/modules"
    expect_text debian /etc/initramfs-tools/modules '^# own list$'
    expect_text debian /etc/initramfs-tools/modules '^virtio_scsi$'
    cmp -s .unpacked/usr/lib/modules/6.1.0-18-amd64/modules.dep <(text debian \
        /usr/lib/modules/6.1.0-18-amd64/modules.dep) || fail "modules.dep is not the guest's"
}
test_ubuntu_with_netplan_and_lz4() {
    whole ubuntu /boot/initrd.img-5.15.0-91-generic --codec lz4
    expect_text ubuntu /etc/systemd/network/10-rehost-ens192.link '^Name=ens192$'
}
test_rocky_with_bls_grubenv_selinux_and_lvm_lists() {
    local f
    whole rocky /boot/initramfs-5.14.0-362.8.1.el9_3.x86_64.img --codec gzip --early
    expect_text rocky /boot/loader/entries/0123-0-rescue.conf "options root=UUID=$uuid ro"
    expect_text rocky /boot/loader/entries/0123-5.14.conf 'options \$kernelopts'
    text rocky /boot/grub2/grubenv >env
    expect_equal "$(wc -c <env)" 1024 "bytes of grubenv"
    expect_text rocky /boot/grub2/grubenv "^kernelopts=root=UUID=$uuid ro quiet resume=UUID=$swap *$"
    expect_text rocky /etc/kernel/cmdline "^root=UUID=$uuid"
    expect_text rocky /etc/lvm/lvm.conf '^# rehost: .*filter'
    expect_equal "$(text rocky /etc/lvm/devices/system.devices | wc -c)" 0 "bytes of system.devices"
    expect_text rocky /etc/dracut.conf.d/50-rehost.conf '^add_drivers\+=" virtio_pci .* "$'
    # The image's hook that waits for the old device does not wait any more.
    f='.unpacked/var/lib/dracut/hooks/initqueue/finished/devexists-\x2fdev\x2fsda1.sh'
    grep -q /dev/sda1 "$f" && fail "still waits for /dev/sda1"
    # A new file has its folder's label.
    debugfs -R 'ea_get /etc/fstab security.selinux' "$(at rocky)" 2>/dev/null >label
    grep -q labelfstab_t label || fail "fstab lost its label" "$(cat label)"
    held
}
test_sles_with_xz() {
    whole sles /boot/initrd-5.14.21-150500.53-default --codec xz
}
test_centos_6_without_systemd() {
    whole rhel6 /boot/initramfs-2.6.32-754.el6.x86_64.img
    expect_text rhel6 /boot/grub/grub.conf "kernel /boot/vmlinuz root=UUID=$uuid"
    expect_text rhel6 /boot/grub/grub.conf 'root \(hd0,0\)'
    # The rule of a NIC that is gone goes, the HWADDR is the NIC's.
    expect_text rhel6 /etc/sysconfig/network-scripts/ifcfg-eth0 "^HWADDR=\"$mac\"$"
    expect_equal "$(text rhel6 /etc/udev/rules.d/70-persistent-net.rules | grep -c 99:99:99)" 0 \
        "rules for a MAC that no NIC has"
}
test_alpine_with_extlinux() {
    whole alpine /boot/initramfs-lts
    expect_text alpine /boot/extlinux.conf "APPEND root=UUID=$uuid"
    expect_text alpine /etc/mkinitfs/mkinitfs.conf 'features="ata base ext4 scsi rehost"'
}
test_arch_with_mkinitcpio() {
    whole arch /boot/initramfs-linux.img --codec zstd
    expect_text arch /etc/mkinitcpio.conf '^MODULES=\( ?virtio_pci .*\)$'
}
test_for_xen_the_frontends_are_added_with_what_they_need() {
    local frontend bus
    make_guest debian --codec zstd --early debian
    run "$REHOST" convert debian.ova --to xen --out out --format vhd --overwrite
    expect_status 0
    qemu-img convert -O raw out/debian/disk0.vhd out/debian/disk0.raw
    rm -f out/debian/disk0.vhd
    result=out/debian
    truncate -s 96M out/debian/disk0.raw
    judge debian
    initramfs debian /boot/initrd.img-6.1.0-18-amd64
    for module in xen-blkfront xen-netfront xenbus; do
        grep -q "/$module\.ko" .unpacked.names || fail "lacks $module" "$(cat .unpacked.names)"
    done
    expect_text debian /etc/fstab "^UUID=$uuid"
    expect_no_text debian /boot/grub/grub.cfg /dev/sd
    bus=$(grep -n xenbus.ko .unpacked.names | head -1 | cut -d: -f1)
    frontend=$(grep -n xen-blkfront.ko .unpacked.names | head -1 | cut -d: -f1)
    [ "$bus" -lt "$frontend" ] || fail "what is needed does not come first"
    held
}
test_lvm_in_the_initramfs_sees_the_new_disks() {
    cat >more <<'END'
== /etc/lvm/devices/system.devices +
IDTYPE=sys_wwid IDNAME=naa.6000c29 DEVNAME=/dev/sda2 PVID=x
== /etc/lvm/lvm.conf +
devices {
	global_filter = [
		"a|sda|",
		"r|.*|" ]
	filter = [ "a|.*|" ]
}
END
    make_guest rocky --with more rocky
    convert rocky kvm
    judge rocky
    initramfs rocky /boot/initramfs-5.14.0-362.8.1.el9_3.x86_64.img
    expect_equal "$(tr -d ' \t\n' <.unpacked/etc/lvm/lvmlocal.conf)" "devices{use_devicesfile=0}" lvmlocal.conf
    expect_equal "$(grep -v '^#' .unpacked/etc/lvm/lvm.conf | tr -d '\t\n')" \
        'devices {filter = [ "a|.*|" ]}' "lvm.conf in the image"
    # The drivers of VMware's disk are there: this alone is the reason.
    convert rocky kvm --devices vmware
    expect_finding GUEST-DEVICE-NAME false
    expect_json '[.edits[].where]|map(select(endswith("x86_64.img")))|length' 1 "$result/receipt.json"
}
test_a_result_converted_for_xen_keeps_what_was_added_before() {
    make_guest rocky rocky
    convert rocky kvm
    cp "$(disk)" again.raw
    python3 "$mkova" --mac "$mac" --name again again.ova again.raw >/dev/null
    run "$REHOST" convert again.ova --to xen --out out --format vhd --overwrite
    expect_status 0
    qemu-img convert -O raw out/again/disk0.vhd out/again/disk0.raw
    rm -f out/again/disk0.vhd
    result=out/again
    initramfs rocky /boot/initramfs-5.14.0-362.8.1.el9_3.x86_64.img
    for module in virtio_scsi virtio_net virtio_ring xen-blkfront xen-netfront xenbus; do
        grep -q "/$module\.ko" .unpacked.names || fail "lacks $module" "$(cat .unpacked.names)"
    done
    # The hook that waits for the old device stays without effect.
    grep -q /dev/sda1 '.unpacked/var/lib/dracut/hooks/initqueue/finished/devexists-\x2fdev\x2fsda1.sh' &&
        fail "it waits for /dev/sda1 again"
    held
}
test_vmware_devices_need_nothing_in_the_initramfs() {
    make_guest debian debian
    convert debian kvm --devices vmware
    judge debian
    expect_no_finding BOOT-DRIVER-MISSING
    expect_json '[.edits[].where]|map(select(startswith("/boot/initrd")))|length' 0 \
        "$result/receipt.json"
    # Another machine numbers its slots otherwise: the name is bound all the same.
    expect_text debian /etc/systemd/network/10-rehost-ens192.link "^MACAddress=$mac$"
}
test_uefi_finds_its_loader_without_nvram() {
    make_guest debian --layout uefi debian
    convert debian kvm
    judge debian
    expect_finding GUEST-EFI-FALLBACK true
    mcopy -n -i "$(disk)@@$((1 << 20))" ::/EFI/BOOT/BOOTX64.EFI boot.efi
    mcopy -n -i "$(disk)@@$((1 << 20))" ::/EFI/debian/shimx64.efi shim.efi
    expect_same_file boot.efi shim.efi
    mdir -b -i "$(disk)@@$((1 << 20))" ::/EFI/BOOT >.list
    for name in grubx64.efi mmx64.efi grub.cfg; do
        grep -qi "/$name" .list || fail "$name is not beside it" "$(cat .list)"
    done
    expect_text debian /etc/fstab '^UUID=C0DE-C0DE  /boot/efi'
}
esp_file() { # PATH: of the result's ESP
    mcopy -n -i "$(disk)@@$((1 << 20))" "::$1" -
}
test_systemd_boot_has_kernel_and_initramfs_on_the_esp() {
    local kver=6.1.0-18-amd64
    make_guest debian --layout uefi --sd-boot debian
    convert debian kvm
    judge debian
    esp_file "/0123/$kver/initrd" >.image
    python3 "$here/unpack.py" .image .unpacked || fail "the initramfs does not unpack"
    grep -q /virtio_scsi.ko .unpacked.names || fail "lacks virtio_scsi" "$(cat .unpacked.names)"
    esp_file "/loader/entries/0123-$kver.conf" >.entry
    grep -q "root=UUID=$uuid" .entry || fail "the entry's root" "$(cat .entry)"
    esp_file /EFI/BOOT/BOOTX64.EFI >boot.efi
    esp_file /EFI/systemd/systemd-bootx64.efi >sd.efi
    expect_same_file boot.efi sd.efi
    expect_json '.vms[0].targets[0].guest.boot_loaders|index("systemd-boot")!=null' true "$result/report.json"
}
test_fat32_with_few_clusters_is_read_and_written() {
    make_guest debian --layout uefi --small-fat debian
    convert debian kvm
    dd if="$(disk)" of=esp.img bs=1M skip=1 count=40 status=none
    run fsck.vfat -n esp.img
    expect_status 0
    # mtools counts clusters.
    printf '\x00\x40\x01\x00' | dd of="$(disk)" bs=1 seek=$(((1 << 20) + 32)) conv=notrunc status=none
    esp_file /EFI/BOOT/BOOTX64.EFI >boot.efi
    esp_file /EFI/debian/shimx64.efi >shim.efi
    expect_same_file boot.efi shim.efi
}
test_esp_that_fstab_does_not_name_is_found() {
    cat >more <<END
== /etc/fstab
UUID=$uuid / ext4 defaults 0 1
END
    make_guest debian --layout uefi --sd-boot --with more debian
    convert debian kvm
    judge debian
    expect_finding BOOT-DRIVER-MISSING true
}
test_lvm_is_reached_and_left_alone() {
    make_guest rocky --layout lvm rocky
    convert rocky kvm
    judge rocky
    expect_text rocky /etc/fstab '^/dev/mapper/vg--one-root'
    expect_finding BOOT-DRIVER-MISSING true
}
test_twice_is_once() {
    local kind
    for kind in debian rocky rhel6 alpine arch; do
        make_guest "$kind" "$kind"
        convert "$kind" kvm
        cp "$(disk)" again.raw
        python3 "$mkova" --mac "$mac" --name again again.ova again.raw >/dev/null
        convert again kvm
        expect_json '.edits|length' 0 "$result/receipt.json"
    done
}
test_report_shows_the_same_edits() {
    make_guest debian debian
    convert debian kvm
    jq -r '.edits[].where' "$result/receipt.json" >done
    run "$REHOST" report debian.ova --to kvm --json report.json
    expect_status 0
    jq -r '.vms[0].targets[0].edits[].where' report.json >shown
    expect_same_file shown done
    [ -s shown ] || fail "no edits at all"
}
# All but N blocks of the root file system taken.
fill_up() { # N
    python3 - debian.raw "$(jq .root debian.raw.json)" "$1" <<'EOP'
import subprocess, sys
dev = "%s?offset=%d" % (sys.argv[1], int(sys.argv[2]) << 20)
stat = subprocess.run(["debugfs", "-R", "stats", dev], stdout=subprocess.PIPE, text=True).stdout
free, size = (int([l for l in stat.splitlines() if l.startswith(k)][0].split()[-1])
              for k in ("Free blocks:", "Block size:"))
with open("ballast", "wb") as f:
    f.write(b"x" * max(0, (free - int(sys.argv[3])) * size))
subprocess.run(["debugfs", "-w", "-R", "write ballast /srv/rest", dev], check=True, stderr=subprocess.DEVNULL)
EOP
    python3 "$mkova" --mac "$mac" --name debian debian.ova debian.raw >/dev/null
}
test_full_boot_is_a_finding() {
    make_guest debian debian
    fill_up 90
    convert debian kvm
    judge debian
    expect_finding GUEST-BOOT-FULL false
    expect_text debian /etc/fstab "^UUID=$uuid"
}
test_full_root_is_left_alone() {
    make_guest debian debian
    fill_up 5
    convert debian kvm
    expect_finding GUEST-BOOT-FULL false
    expect_json '.edits|length' 0 "$result/receipt.json"
    expect_same_file "$(disk)" debian.raw
}
test_hibernated_guest_is_left_alone() {
    make_guest debian --hibernated debian
    convert debian kvm
    expect_finding GUEST-HIBERNATED false
    expect_json '.edits|length' 0 "$result/receipt.json"
    expect_same_file "$(disk)" debian.raw
}
test_unified_kernel_image_is_a_finding() {
    make_guest debian --layout uefi --uki debian
    convert debian kvm
    judge debian
    expect_finding GUEST-UKI false
}
test_strange_initramfs_is_a_finding() {
    make_guest debian --strange debian
    convert debian kvm
    judge debian
    expect_finding GUEST-INITRAMFS-UNKNOWN false
}
test_missing_module_is_said() {
    make_guest debian --no-module virtio_scsi debian
    convert debian kvm
    judge debian
    expect_finding BOOT-DRIVER-MISSING false
}
# Two disks whose names are by path and by serial number.
test_names_by_path_and_by_serial_number_of_two_disks() {
    cat >more <<'END'
== /etc/fstab
/dev/disk/by-id/scsi-36000c29aaaa-part1 / ext4 defaults 0 1
/dev/disk/by-id/scsi-36000c29aaaa-part2 none swap sw 0 0
/dev/disk/by-id/scsi-36000c29bbbb-part1 /srv/old ext4 noauto 0 0
/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0-part1 /srv/b ext4 noauto 0 0
== /etc/systemd/system/srv-c.mount
[Mount]
What=/dev/sdb1
Where=/srv/c
== /etc/kdump.conf
ext4 /dev/sdb1
END
    make_guest sles --with more sles
    python3 "$here/mkguest.py" debian second.raw
    tune=$((1 << 20))
    tune2fs -U 52484f53-5400-4000-8000-0000000000d1 "second.raw?offset=$tune" >/dev/null 2>&1 ||
        debugfs -w -R 'set_super_value uuid 52484f53-5400-4000-8000-0000000000d1' "second.raw?offset=$tune" 2>/dev/null
    # It holds no system of its own.
    debugfs -w -R 'unlink /etc' "second.raw?offset=$tune" 2>/dev/null
    python3 "$mkova" --mac "$mac" --name sles sles.ova sles.raw second.raw >/dev/null
    convert sles kvm
    expect_text sles /etc/fstab "^UUID=$uuid / "
    # Both disks' swap has one UUID.
    expect_text sles /etc/fstab '^PARTUUID=.*-02 none'
    expect_text sles /etc/fstab '^UUID=52484f53-5400-4000-8000-0000000000d1 /srv/old'
    expect_text sles /etc/fstab '^UUID=52484f53-5400-4000-8000-0000000000d1 /srv/b'
    expect_text sles /etc/systemd/system/srv-c.mount '^What=UUID=52484f53-5400-4000-8000-0000000000d1$'
    expect_equal "$(jq -r '.vms[0].targets[0].findings[]|select(.id=="GUEST-DEVICE-NAME")|.message' \
        "$result/report.json" | grep -c kdump)" 1 "findings about kdump.conf"
}
test_configuration_behind_links_is_named_where_it_is() {
    cat >more <<'END'
== /boot/grub2/grubenv -> ../efi/grubenv
== /boot/efi/grubenv
END
    make_guest rocky --without /boot/grub2/grubenv --with more rocky
    python3 - <<'END' >env
text = "# GRUB Environment Block\nkernelopts=root=/dev/sda1 ro boot=/dev/sda1 cryptdevice=/dev/sda2:x \n"
print(text + "#" * (1024 - len(text)), end="")
END
    printf 'rm /boot/efi/grubenv\nwrite env /boot/efi/grubenv\n' >do
    debugfs -w -f do "rocky.raw?offset=$((1 << 20))" >/dev/null 2>&1
    python3 "$mkova" --mac "$mac" --name rocky rocky.ova rocky.raw >/dev/null
    convert rocky kvm
    judge rocky
    expect_text rocky /boot/efi/grubenv \
        "^kernelopts=root=UUID=$uuid ro boot=UUID=$uuid cryptdevice=UUID=$swap:x "
    expect_json '[.edits[].where]|index("/boot/efi/grubenv")!=null' true "$result/receipt.json"
}
test_vmware_tools_of_the_tarball_are_not_started() {
    cat >more <<'END'
== /etc/vmware-tools/locations
== /etc/init.d/vmware-tools 755
#!/bin/sh
== /etc/systemd/system/vmware-tools.service
[Service]
ExecStart=/etc/init.d/vmware-tools
END
    make_guest rocky --with more rocky
    convert rocky kvm
    judge rocky
    expect_text rocky /etc/systemd/system/vmware-tools.service.d/50-rehost.conf \
        '^ConditionVirtualization=vmware$'
    expect_finding GUEST-VMWARE-TOOLS true
    cat >more <<'END'
== /etc/vmware-tools/locations
== /etc/init.d/vmware-tools 755
#!/bin/sh
== /etc/rc.d/rc3.d/S03vmware-tools -> ../../init.d/vmware-tools
== /etc/rc3.d -> rc.d/rc3.d
END
    make_guest rhel6 --with more rhel6
    convert rhel6 kvm
    judge rhel6
    expect_json '[.edits[].where]|index("/etc/rc.d/rc3.d/S03vmware-tools")!=null' true "$result/receipt.json"
}
test_facts_tell_what_was_found() {
    cat >more <<'END'
== /lib/modules/2.6.32-754.el6.x86_64/modules.builtin
kernel/drivers/block/virtio_blk.ko
END
    make_guest rhel6 --with more rhel6
    run "$REHOST" report rhel6.ova --to kvm --json report.json
    expect_status 0
    expect_json '.vms[0].targets[0].guest|[.kernels[0].built_in==["virtio_blk"], .persistent_net_rules,
        .lvm_device_filter, .free_bytes["/"]>1000000, (.boot_loaders|index("grub-legacy")!=null)]|map(tostring)|join(" ")' \
        "true true false true true" report.json
}
test_a_kernel_older_than_modules_builtin_says_it_by_its_configuration() {
    cat >more <<'END'
== /boot/config-2.6.32-754.el6.x86_64
#
CONFIG_BLK_DEV_SD=y
CONFIG_VIRTIO_PCI=y
CONFIG_SCSI_VIRTIO=y
CONFIG_VIRTIO_BLK=y
END
    make_guest rhel6 --no-module sd_mod --no-module virtio_scsi --no-module virtio_pci \
        --without /lib/modules/2.6.32-754.el6.x86_64/modules.builtin --with more rhel6
    convert rhel6 kvm
    judge rhel6
    expect_no_finding BOOT-DRIVER-MISSING
}
written_soundly() { # MKE2FS-ARGUMENTS
    make_guest debian --mke2fs "$1" debian
    convert debian kvm
    expect_json '.vms[0].targets[0].guest.backend' direct "$result/report.json"
    judge debian
    expect_text debian /etc/fstab "^UUID=$uuid"
}
test_ext2() { written_soundly '-t ext2'; }
test_ext3_with_small_blocks() { written_soundly '-t ext3 -b 1024'; }
test_ext4_of_old_distributions() { written_soundly '-O ^64bit,^metadata_csum,^flex_bg,uninit_bg -I 128'; }
test_ext4_with_bigalloc() { written_soundly '-O bigalloc -C 16384'; }
test_ext4_with_inline_data() { written_soundly '-O inline_data -I 512'; }
test_ext4_with_meta_bg_and_small_blocks() { written_soundly '-O ^resize_inode,meta_bg,large_dir,ea_inode -b 1024'; }
test_ext4_with_encryption_and_an_orphan_file() { written_soundly '-O encrypt,orphan_file,metadata_csum_seed'; }
# Hashed folders without room, flags, ACLs, other names of a file.
test_what_belongs_to_a_file_stays_with_it() {
    local dev path i
    for ((i = 0; i < 700; i++)); do
        printf '== /etc/%s-%03d-%0100d\n== /etc/systemd/network/%03d-%0120d\n== /boot/%03d-%0110d\n' \
            a $i 0 $i 0 $i 0
    done >more
    make_guest debian --mke2fs '-b 1024 -N 6000' --with more debian
    dd if=debian.raw of=root.img bs=1M skip=1 count=24 status=none
    # Folders get their hashed index.
    e2fsck -fyD root.img >/dev/null 2>&1
    {
        echo 'ln /etc/fstab /etc/fstab.other'
        echo 'set_inode_field /etc/fstab links_count 2'
        echo 'set_inode_field /etc/fstab flags 0x80090'
        echo 'set_inode_field /etc/fstab uid 12'
        echo 'set_inode_field /etc/fstab mode 0100640'
        echo 'ea_set /etc/fstab user.note "hello"'
    } >do
    debugfs -w -f do root.img >/dev/null 2>&1
    e2fsck -fn root.img >/dev/null || fail "the test's own image is not sound" "$(e2fsck -fn root.img 2>&1)"
    dd if=root.img of=debian.raw bs=1M seek=1 conv=notrunc status=none
    python3 "$mkova" --mac "$mac" --name debian debian.ova debian.raw >/dev/null
    convert debian kvm
    judge debian
    debugfs -R 'stat /etc/fstab' "$(at debian)" 2>/dev/null >stat
    grep -q 'Flags: 0x80090' stat || fail "flags" "$(cat stat)"
    grep -Eq 'User: +12 ' stat && grep -Eq 'Mode: +0640' stat || fail "owner and mode" "$(cat stat)"
    debugfs -R 'ea_get /etc/fstab user.note' "$(at debian)" 2>/dev/null | grep -q hello || fail "attribute lost"
    # The other name keeps what it had.
    expect_text debian /etc/fstab.other '^/dev/sda1'
}
test_a_kernel_without_xen_needs_none_of_its_drivers_for_ide() {
    make_guest rhel6 --no-module xen-blkfront --no-module xen-netfront rhel6
    run "$REHOST" report rhel6.ova --to xen --devices emulated --json report.json
    expect_json '[.vms[0].targets[0].findings[]|select(.id=="BOOT-DRIVER-MISSING")|.automatic]|index(false)' \
        null report.json
    run "$REHOST" report rhel6.ova --to xen --json report.json
    expect_json '[.vms[0].targets[0].findings[]|select(.id=="BOOT-DRIVER-MISSING")|.automatic]|index(false)!=null' \
        true report.json
}
test_no_guest_fix_changes_nothing() {
    make_guest debian debian
    convert debian kvm --no-guest-fix
    expect_same_file "$(disk)" debian.raw
}
test_result_without_a_mac_in_the_source_is_pinned_to_the_new_one() {
    local made
    make_guest debian debian
    python3 "$mkova" --name debian debian.ova debian.raw >/dev/null
    convert debian kvm
    made=$(mac_of_result)
    expect_text debian /etc/systemd/network/10-rehost-ens192.link "^MACAddress=$made$"
}
mac_of_result() {
    sed -n 's/^net0: virtio=\([^,]*\),.*/\1/p' "$result/proxmox.conf" | tr A-F a-f
}
test_the_address_that_only_the_guest_knows_goes_to_its_nic() {
    make_guest ubuntu --by-mac ubuntu
    python3 "$mkova" --name ubuntu ubuntu.ova ubuntu.raw >/dev/null
    convert ubuntu kvm
    judge ubuntu
    expect_equal "$(mac_of_result)" 00:50:56:01:02:03 "the MAC of the result"
    expect_json '[.edits[].where]|map(select(startswith("/etc/netplan")))|length' 0 \
        "$result/receipt.json"
}
test_configuration_by_another_address_follows_the_nic() {
    make_guest ubuntu --by-mac ubuntu
    convert ubuntu kvm
    judge ubuntu
    expect_equal "$(mac_of_result)" "$mac" "the MAC of the result"
    expect_text ubuntu /etc/netplan/00-installer-config.yaml "macaddress: '$mac'"
}
test_clock_is_the_one_that_the_guest_keeps() {
    local word want
    for word in none UTC LOCAL script; do
        echo '== /etc/localtime -> ../usr/share/zoneinfo/Asia/Tokyo' >more
        case $word in
        none) ;;
        script) printf '== /etc/sysconfig/clock\nUTC="false"\n' >>more ;;
        *) printf '== /etc/adjtime\n0.0 0 0.0\n0\n%s\n' $word >>more ;;
        esac
        make_guest rocky --with more rocky
        run "$REHOST" report rocky.ova --to all --json --network-map '*=vmbr0'
        expect_status 0
        case $word in none | UTC) want=utc ;; *) want=localtime ;; esac
        expect_json '.vms[0].vm.clock' $want
        expect_json '.vms[0].vm.provenance.clock.from' guest
        expect_json '[.vms[0].targets[].findings[] | select(.id == "CONFIG-GUESS" and
            .subject == "clock")] | length' 0
        [ $want = utc ] ||
            expect_json '[.vms[0].targets[] | select(.target == "xen") | .findings[].id] |
                any(. == "XEN-CLOCK-SET")' true
    done
}
run_tests
