#!/bin/bash
# guestfix-names.sh - names of disks and NICs that stand in a guest twice, in
# another order, or in an odd place.
# SPDX-License-Identifier: LGPL-2.1-or-later
IN_MEMORY=1
. "$(dirname "$0")/lib.sh"
here=$TOP/tests/guestfix
mkova=$TOP/tests/guests/mkova.py
a=00:50:56:8a:00:0a b=00:50:56:8a:00:0b
uuid=52484f53-5400-4000-8000-0000000000c1

# guest KIND MKGUEST-OPTION...: files on standard input
guest() {
    local kind=$1
    shift
    need mke2fs sfdisk qemu-img python3
    cat >.files
    python3 "$here/mkguest.py" --with .files "$@" "$kind" g.raw || fail "mkguest $*"
}
pack() { # MKOVA-OPTION... DISK...
    python3 "$mkova" --name g g.ova "$@" >/dev/null || fail "mkova"
}
convert() { # OPTION...
    run "$REHOST" convert g.ova --to kvm --out out --format raw --overwrite "$@"
    expect_status 0
    run python3 "$here/judge.py" g.raw out/g/disk0.raw g.raw.json out/g/receipt.json
    expect_equal "$stdout" "" "what the judge says"
}
text() { # PATH
    debugfs -R "cat $1" "out/g/disk0.raw?offset=$(($(jq .root g.raw.json) << 20))" 2>/dev/null
}
said() { # ID: messages
    jq -r --arg id "$1" '.vms[0].targets[0].findings[]|select(.id==$id)|.message' out/g/report.json
}
expect_lines() { # PATH: lines that stand in it, on standard input
    local line
    text "$1" >.text
    while IFS= read -r line; do
        grep -qxF -- "$line" .text || fail "$1 lacks \"$line\"" "$(cat .text)"
    done
    held
}

# --- disks
test_a_clone_beside_its_original_is_never_named_for_it() {
    guest debian <<'END'
== /etc/fstab
/dev/sda1 / ext4 defaults 0 1
/dev/sdb1 /srv/clone ext4 defaults 0 2
END
    cp g.raw clone.raw
    debugfs -w -R 'unlink /etc' "clone.raw?offset=$((1 << 20))" 2>/dev/null
    pack --mac $a g.raw clone.raw
    convert --devices virtio
    # Each name that both disks answer to would be a lottery.
    text /etc/fstab >fstab
    ! grep -q 'UUID=.* /srv/clone' fstab || fail "the clone by a name of both" "$(cat fstab)"
    said GUEST-DEVICE-NAME | grep -q '/etc/fstab names /dev/sdb1' || fail "not said" "$(said GUEST-DEVICE-NAME)"
}
test_devices_in_options_are_told() {
    guest debian <<'END'
== /etc/fstab
UUID=52484f53-5400-4000-8000-0000000000c1 / ext4 defaults 0 1
UUID=52484f53-5400-4000-8000-0000000000f1 /srv xfs nofail,logdev=/dev/disk/by-id/ata-VMware_1-part1 0 0
UUID=52484f53-5400-4000-8000-0000000000f2 /vol btrfs nofail,device=/dev/disk/by-id/scsi-36000c29f 0 0
== /etc/crypttab
data UUID=52484f53-5400-4000-8000-0000000000f3 /dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0-part1:/key luks
END
    pack --mac $a g.raw
    convert --devices virtio
    for word in /dev/disk/by-id/ata-VMware_1-part1 /dev/disk/by-id/scsi-36000c29f /dev/disk/by-path/pci-0000:03:00.0; do
        said GUEST-DEVICE-NAME | grep -qF "$word" || fail "not said: $word" "$(said GUEST-DEVICE-NAME)"
    done
    held
}
test_arrays_over_several_lines() {
    guest debian <<'END'
== /etc/mdadm/mdadm.conf
DEVICE /dev/sda1
   /dev/sdb1
ARRAY /dev/md0 level=raid1
   devices=/dev/sda1,/dev/sdb1
   UUID=3aaa0122:29827cfa:5331ad66:ca767371
MAILADDR root
END
    pack --mac $a g.raw
    convert --devices virtio
    text /etc/mdadm/mdadm.conf >conf
    ! grep -q /dev/sd conf || fail "old names" "$(cat conf)"
    grep -q UUID=3aaa0122 conf && grep -qx 'MAILADDR root' conf || fail "something is lost" "$(cat conf)"
}
test_lists_of_modules_in_every_form() {
    guest arch <<'END'
== /etc/mkinitcpio.conf
MODULES=(vmw_pvscsi)
MODULES=(
  ext4
)
# virtio_pci virtio_blk stand in a comment
HOOKS=(base udev autodetect block filesystems)
END
    pack --mac $a g.raw
    convert --devices virtio
    text /etc/mkinitcpio.conf >conf
    (. ./conf && case " ${MODULES[*]} " in *" ext4 "*virtio_*) ;; *) false ;; esac) ||
        fail "what counts when it runs" "$(cat conf)"
}
test_arguments_of_genkernel() {
    guest debian <<'END'
== /etc/fstab
/dev/sda1 / ext4 defaults 0 1
/dev/hdc /media/cdrom udf,iso9660 ro,noauto 0 0
== /etc/initramfs-tools/initramfs.conf
ROOT=/dev/sda1
== /etc/default/grub
GRUB_CMDLINE_LINUX="crypt_root=/dev/sda1 real_resume=/dev/sda2"
END
    pack --mac $a g.raw
    convert --devices virtio
    expect_lines /etc/default/grub <<END
GRUB_CMDLINE_LINUX="crypt_root=UUID=$uuid real_resume=UUID=52484f53-5400-4000-8000-0000000000c2"
END
    expect_lines /etc/initramfs-tools/initramfs.conf <<<"ROOT=UUID=$uuid"
    expect_equal "$(said GUEST-DEVICE-NAME)" "" "what is said of a CD drive"
}

test_arguments_inside_of_a_unified_image_are_told() {
    need mformat
    guest debian --layout uefi --uki </dev/null
    pack --uefi --mac $a g.raw
    run "$REHOST" report g.ova --to xen --json report.json
    expect_json '[.vms[0].targets[0].findings[]|select(.id=="GUEST-DEVICE-NAME")|.message]|map(select(test("linux-6.1.efi name /dev/sda2")))|length' \
        1 report.json
}
test_filters_are_judged_by_what_disks_are_called_now() {
    local target want
    guest debian --layout lvm <<'END'
== /etc/lvm/lvm.conf
devices {
    filter = [ "a|^/dev/[hsv]d[a-z]|", "r|.*|" ]
}
== /etc/lvm/lvmlocal.conf
devices {
    global_filter = [ "a|^/dev/mapper/mpath|", "r|.*|" ]
}
END
    pack --mac $a g.raw
    for target in kvm xen; do
        run "$REHOST" report g.ova --to $target --json report.json
        [ $target = kvm ] && want=lvmlocal.conf || want='lvm.conf lvmlocal.conf'
        expect_equal "$(jq -r '[.vms[0].targets[0].edits[].where|select(startswith("/etc/lvm/lvm"))]|unique|map(.[9:])|join(" ")' \
            report.json)" "$want" "filters taken out for $target"
    done
}
# regcomp() takes twice the memory for each "+" of a "+".
test_a_filter_that_is_a_bomb_is_not_judged() {
    local n=40
    guest debian --layout lvm <<END
== /etc/lvm/lvm.conf
devices {
    filter = [ "a|$(printf '%*s' $n '' | tr ' ' '(')x$(printf '%*s' $n '' | sed 's/ /)+/g')|", "r|.*|" ]
}
END
    pack --mac $a g.raw
    run timeout 60 "$REHOST" report g.ova --to kvm --json report.json
    expect_status 0
}
test_zeros_in_a_file_are_no_end_of_it() {
    guest debian </dev/null
    printf '/dev/sda1 / ext4 defaults 0 1\n\0\0\0/dev/sda2 none swap sw 0 0\n' >fstab
    printf 'rm /etc/fstab\nwrite fstab /etc/fstab\n' >do
    debugfs -w -f do "g.raw?offset=$((1 << 20))" >/dev/null 2>&1
    pack --mac $a g.raw
    convert
    expect_lines /etc/fstab <<END
UUID=$uuid / ext4 defaults 0 1
UUID=52484f53-5400-4000-8000-0000000000c2 none swap sw 0 0
END
}
test_every_driver_of_a_display_and_no_name_of_one() {
    guest debian <<'END'
== /etc/X11/xorg.conf
Section "Device"
    Identifier "vmware"
    Driver "vmware"
EndSection
Section "Device"
    Identifier "second"
    driver	"VMware"
EndSection
== /etc/X11/xorg.conf.d/20-video.conf
    Driver "vmware"
END
    pack --mac $a g.raw
    convert --devices virtio
    expect_lines /etc/X11/xorg.conf <<'END'
    Identifier "vmware"
    Driver "modesetting"
    driver	"modesetting"
END
    expect_lines /etc/X11/xorg.conf.d/20-video.conf <<<'    Driver "modesetting"'
}
test_entries_of_grubs_own_scripts_follow() {
    guest debian <<'END'
== /etc/grub.d/40_custom 755
#!/bin/sh
exec tail -n +3 $0
menuentry rescue { linux /vmlinuz root=/dev/sda1 ro }
END
    pack --mac $a g.raw
    convert --devices virtio
    expect_lines /etc/grub.d/40_custom <<<"menuentry rescue { linux /vmlinuz root=UUID=$uuid ro }"
}

# --- NICs
test_a_left_over_name_does_not_win_where_the_kernel_names() {
    guest rocky --without /etc/NetworkManager/system-connections/ens192.nmconnection <<'END'
== /etc/sysconfig/network-scripts/ifcfg-ens192
DEVICE=ens192
ONBOOT=yes
BOOTPROTO=dhcp
== /etc/sysconfig/network-scripts/ifcfg-eth0
DEVICE=eth0
ONBOOT=yes
IPADDR=192.0.2.5
PREFIX=24
== /etc/default/grub
GRUB_CMDLINE_LINUX="net.ifnames=0 biosdevname=0"
END
    pack --nic $a@192 g.raw
    convert
    ! text /etc/systemd/network/10-rehost-ens192.link | grep -q . || fail "eth0 is called ens192"
    said NIC-UNMATCHED | grep -q ens192 || fail "the left-over name is not told" "$(said NIC-UNMATCHED)"
}
test_addresses_of_two_nics_that_only_the_guest_knows_are_a_guess() {
    guest ubuntu --without /etc/netplan/00-installer-config.yaml <<'END'
== /etc/netplan/01.yaml
network:
  ethernets:
    one: {match: {macaddress: "00:50:56:8a:00:0b"}, addresses: [192.0.2.5/24]}
    two: {match: {macaddress: "00:50:56:8a:00:0a"}, addresses: [198.51.100.5/24]}
END
    pack --nic @192 --nic @224 g.raw
    convert
    said NIC-GUESSED | grep -q "$b = nic0" || fail "not said" "$(said NIC-GUESSED)"
}
test_what_was_guessed_at_the_first_look_is_a_guess_at_the_second() {
    guest rocky --without /etc/NetworkManager/system-connections/ens192.nmconnection <<'END'
== /etc/sysconfig/network-scripts/ifcfg-lan
DEVICE=lan
HWADDR=00:50:56:8a:00:0b
== /etc/sysconfig/network-scripts/ifcfg-dmz
DEVICE=dmz
HWADDR=00:50:56:8a:00:0a
END
    pack --nic @ --nic @ g.raw
    convert
    said NIC-GUESSED | grep -q "dmz = nic0, lan = nic1" || fail "not said" "$(said NIC-GUESSED)"
}
test_what_matches_by_more_than_the_address_binds_nothing_on_the_new_machine() {
    guest debian --without /etc/network/interfaces <<'END'
== /etc/systemd/network/70-lan.link
[Match]
MACAddress=00:50:56:8a:00:0a
Driver=vmxnet3
[Link]
Name=lan0
== /etc/systemd/network/70-wan.link
[Match]
MACAddress=00:50:56:8a:00:0b
[Link]
Name=wan0
== /etc/systemd/network/lan.network
[Match]
Name=lan0 wan0
[Network]
DHCP=yes
END
    pack --nic $a@192 --nic $b@224 g.raw
    convert --devices virtio
    text /etc/systemd/network/10-rehost-lan0.link | grep -qx "MACAddress=$a" || fail "lan0 is lost"
    ! text /etc/systemd/network/10-rehost-wan0.link | grep -q . || fail "wan0 was bound already"
    guest rhel6 <<'END'
== /etc/udev/rules.d/70-persistent-net.rules
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="vmxnet3", ATTR{address}=="00:50:56:8a:00:0a", NAME="eth1"
== /etc/sysconfig/network-scripts/ifcfg-eth1
DEVICE=eth1
HWADDR=00:50:56:8A:00:0A
END
    pack --nic $a@192 g.raw
    convert --devices virtio
    text /etc/udev/rules.d/70-persistent-net.rules | grep NAME=.eth1 >rules
    grep -q "DRIVERS==\"?\*\".*$a" rules && [ "$(wc -l <rules)" = 1 ] || fail "eth1 is lost" "$(cat rules)"
}
test_a_file_of_networkd_may_be_called_old() {
    guest debian --without /etc/network/interfaces <<'END'
== /etc/systemd/network/20-lan.old.network
[Match]
Name=lan7
[Network]
DHCP=yes
END
    pack --nic $a@192 g.raw
    convert
    text /etc/systemd/network/10-rehost-lan7.link | grep -qx Name=lan7 || fail "lan7 is not bound"
}
run_tests
