#!/bin/bash
# guestfix-boot.sh - kernels, boot loaders and systems of every kind: what is
# found is mended, and what is not found is said.
#
# The guests are those of guestfix/mkguest.py; debugfs, mtools, cpio, objdump
# and the receipt's judge look at the results.
# long
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
here=$TOP/tests/guestfix
mkova=$TOP/tests/guests/mkova.py
mac=00:50:56:8a:12:34
uuid=52484f53-5400-4000-8000-0000000000c1
kver=6.1.0-18-amd64

# guest KIND MKGUEST-OPTION... : files on standard input (mkguest.py --with)
guest() {
    local kind=$1 uefi=''
    shift
    need mke2fs sfdisk mformat qemu-img python3
    case "$*" in *"--layout uefi"*) uefi=--uefi ;; esac
    cat >.files
    python3 "$here/mkguest.py" --with .files --ova "$uefi --mac $mac --name g g.ova" "$@" \
        "$kind" g.raw || fail "mkguest $*"
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
esp_file() { # PATH
    mcopy -n -i "out/g/disk0.raw@@$((1 << 20))" "::$1" - 2>/dev/null
}
expect_findings() { # ID COUNT
    expect_equal "$(jq --arg id "$1" '[.vms[0].targets[0].findings[]|select(.id==$id)]|length' \
        out/g/report.json)" "$2" "findings $1"
}
expect_edits_below() { # PREFIX COUNT
    expect_equal "$(jq --arg p "$1" '[.edits[].where|select(startswith($p))]|length' \
        out/g/receipt.json)" "$2" "edits below $1"
}
expect_driver() { # IMAGE MODULE: from standard input's image
    cat >.image
    python3 "$here/unpack.py" .image .unpacked || fail "the image does not unpack"
    grep -q "/$1\.ko" .unpacked.names || fail "the image lacks $1" "$(cat .unpacked.names)"
    held
}

# --- kernels
test_kernel_without_a_version_in_its_name() {
    guest debian --kernel vmlinuz-huge --image initrd.gz </dev/null
    convert
    text /boot/initrd.gz | expect_driver virtio_scsi
    expect_json '.vms[0].targets[0].guest.kernels|map(.version)|tostring' "[\"$kver\"]" out/g/report.json
    # The same where no menu tells which initramfs it has.
    guest debian --kernel vmlinuz --image initrd.img --without /boot/grub/grub.cfg </dev/null
    convert
    text /boot/initrd.img | expect_driver virtio_scsi
    expect_findings GUEST-NO-LOADER 1
}
test_no_kernel_is_said() {
    guest debian --without /boot/vmlinuz-$kver --without /boot/initrd.img-$kver </dev/null
    convert
    expect_findings GUEST-NO-KERNEL 1
    expect_json '[.vms[0].targets[0].guest.fixes[]|select(.fix=="linux.initramfs-drivers")|.outcome][0]' \
        not-possible out/g/report.json
}
test_memtest_is_no_kernel() {
    guest debian <<END
== /boot/memtest86+.bin
== /boot/grub/custom.cfg
menuentry memtest { 
  linux16 /boot/memtest86+.bin
}
END
    convert
    expect_json '.vms[0].targets[0].guest.kernels|length' 1 out/g/report.json
}
test_entries_on_the_esp_name_images_that_are_in_boot_as_well() {
    guest debian --layout uefi --bare-esp <<END
== /boot/efi/EFI/systemd/systemd-bootx64.efi
MZ
== /boot/efi/loader/entries/a.conf
title A
linux /debian/linux
initrd /debian/initrd
options root=/dev/sda2 ro
END
    # Their names tell no version; the kernel's header does.
    python3 - <<END
import subprocess, sys
sys.path.insert(0, "$here")
sys.argv = ["x"]
head = bytearray(0x1000); head[:2] = b"MZ"; head[0x202:0x206] = b"HdrS"; head[0x20f] = 3
head[0x500:0x500 + 30] = b"$kver (x) #1".ljust(30, b"\0")
open("linux", "wb").write(head)
END
    debugfs -R "dump /boot/initrd.img-$kver initrd" "g.raw?offset=$((41 << 20))" 2>/dev/null
    mmd -i "g.raw@@$((1 << 20))" ::debian
    mcopy -i "g.raw@@$((1 << 20))" linux initrd ::debian/
    python3 "$mkova" --uefi --mac "$mac" --name g g.ova g.raw >/dev/null
    convert
    esp_file debian/initrd | expect_driver virtio_scsi
    text /boot/initrd.img-$kver | expect_driver virtio_scsi
    esp_file loader/entries/a.conf | grep -q "root=UUID=$uuid" || fail "the entry's root"
}
test_esp_by_partlabel() {
    guest debian --layout uefi --sd-boot <<END
== /etc/fstab
PARTLABEL=root / ext4 defaults 0 1
PARTLABEL=esp /boot/efi vfat defaults 0 1
END
    convert
    esp_file 0123/$kver/initrd | expect_driver virtio_scsi
}
test_lilo_starts_what_it_found_once() {
    guest debian --kernel vmlinuz --image initrd.gz --without /boot/grub/grub.cfg <<'END'
== /etc/lilo.conf
boot=/dev/sda
image=/boot/vmlinuz
  initrd=/boot/initrd.gz
  root=/dev/sda1
END
    convert
    expect_findings GUEST-NO-LOADER 0
    expect_edits_below /boot/initrd 0
    expect_edits_below /etc/lilo.conf 0
    expect_json '[.vms[0].targets[0].findings[]|select(.id=="BOOT-DRIVER-MISSING")|.automatic]|tostring' \
        '[false]' out/g/report.json
}

test_what_cannot_be_added_to_says_what_to_type() {
    typed() { # REGEX ID
        expect_json '[.vms[0].targets[0] | .effort, ([.findings[] | select(.id == "'"$2"'" and (.automatic | not)) | .remedy] |
            any(test("'"$1"'")) | tostring)] | join(" ")' "manual true" out/g/report.json
        expect_edits_below /boot/init 0
    }
    guest rhel6 --mark bin/nash <<<$'== /etc/redhat-release\nCentOS release 5.11 (Final)'
    convert --devices virtio
    typed '`mkinitrd -f --with=virtio_pci --with=virtio_(blk|scsi) .*/boot/initramfs-2.6.32[^ ]*img 2.6.32' GUEST-INITRAMFS-UNKNOWN
    guest sles --mark run_all.sh </dev/null
    convert
    typed 'INITRD_MODULES.*virtio_pci.* && mkinitrd -k /boot/vmlinu[xz]-[^ ]* -i /boot/initrd-' GUEST-INITRAMFS-UNKNOWN
    guest debian --mark load_kernel_modules </dev/null
    convert
    typed '`mkinitrd -k [^ ]* -m virtio_pci:[^ ]* -o /boot/initrd' GUEST-INITRAMFS-UNKNOWN
    guest debian --mark etc/initrd/cmdline.d </dev/null
    convert
    typed 'MODULES_ADD [+]= virtio_pci.*make-initrd -k' GUEST-INITRAMFS-UNKNOWN
    guest debian --kernel vmlinuz --image initrd.gz --without /boot/grub/grub.cfg <<'END'
== /etc/lilo.conf
image=/boot/vmlinuz
  initrd=/boot/initrd.gz
END
    convert
    typed '>>/etc/initramfs-tools/modules && update-initramfs -u -k [^ ]* && lilo`' BOOT-DRIVER-MISSING
}

# --- loaders
test_no_loader_on_the_esp_is_said() {
    guest debian --layout uefi --bare-esp </dev/null
    convert
    expect_findings GUEST-NO-LOADER 1
    expect_findings GUEST-EFI-FALLBACK 0
}
test_refind_goes_where_every_firmware_looks() {
    guest arch --layout uefi --bare-esp --without /boot/grub/grub.cfg <<'END'
== /boot/efi/EFI/refind/refind_x64.efi
MZ refind
== /boot/efi/EFI/refind/refind.conf
timeout 5
== /boot/efi/EFI/refind/drivers_x64/ext4_x64.efi
MZ driver
== /boot/refind_linux.conf
"Boot" "root=/dev/sda2 rw initrd=boot\initramfs-linux.img"
END
    convert
    expect_findings GUEST-NO-LOADER 0
    expect_equal "$(esp_file EFI/BOOT/BOOTX64.EFI)" "MZ refind" BOOTX64.EFI
    expect_equal "$(esp_file EFI/BOOT/drivers_x64/ext4_x64.efi)" "MZ driver" "the driver beside it"
    expect_equal "$(esp_file EFI/BOOT/refind.conf)" "timeout 5" refind.conf
    expect_equal "$(text /boot/refind_linux.conf)" \
        "\"Boot\" \"root=UUID=$uuid rw initrd=boot\\initramfs-linux.img\"" refind_linux.conf
}
# A 64-bit firmware starts no loader of 32 bits.
test_a_loader_of_32_bits_is_no_fallback() {
    guest arch --layout uefi --bare-esp --without /boot/grub/grub.cfg <<'END'
== /boot/efi/EFI/BOOT/BOOTIA32.EFI
MZ 32
== /boot/efi/EFI/refind/refind_x64.efi
MZ refind
END
    convert
    expect_findings GUEST-NO-LOADER 0
    expect_equal "$(esp_file EFI/BOOT/BOOTX64.EFI)" "MZ refind" BOOTX64.EFI
    guest arch --layout uefi --bare-esp --without /boot/grub/grub.cfg <<'END'
== /boot/efi/EFI/BOOT/BOOTIA32.EFI
MZ 32
== /boot/efi/EFI/arch/grubia32.efi
MZ 32
END
    convert
    expect_findings GUEST-NO-LOADER 1
}
test_limine_is_read_and_copied() {
    guest arch --layout uefi --bare-esp --without /boot/grub/grub.cfg --kernel linux --image initrd <<'END'
== /boot/efi/EFI/limine/limine_x64.efi
MZ limine
== /boot/efi/EFI/limine/limine.conf
/Arch
  protocol: linux
  path: guid(52484f53-5400-4000-8000-0000000000c1):/boot/linux
  module_path: guid(52484f53-5400-4000-8000-0000000000c1):/boot/initrd
  cmdline: root=/dev/sda2 rw
END
    convert
    text /boot/initrd | expect_driver virtio_scsi
    esp_file EFI/BOOT/limine.conf | grep -q "cmdline: root=UUID=$uuid rw" || fail limine.conf
}
test_grub_legacy_of_el6_on_the_esp() {
    guest rhel6 --layout uefi --bare-esp --without /boot/grub/menu.lst --without /boot/grub/grub.conf <<'END'
== /boot/efi/EFI/redhat/grub.efi
MZ grub
== /boot/efi/EFI/redhat/grub.conf
default=0
title CentOS
	root (hd0,1)
	kernel /boot/vmlinuz-2.6.32-754.el6.x86_64 ro root=/dev/sda2
	initrd /boot/initramfs-2.6.32-754.el6.x86_64.img
END
    convert
    expect_equal "$(esp_file EFI/BOOT/BOOTX64.EFI)" "MZ grub" BOOTX64.EFI
    esp_file EFI/BOOT/BOOTX64.conf | grep -q "ro root=UUID=$uuid" || fail "its configuration"
    esp_file EFI/redhat/grub.conf | grep -q "ro root=UUID=$uuid" || fail "the vendor's configuration"
}
test_comments_of_menu_lst_stay() {
    guest debian --without /boot/grub/grub.cfg <<'END'
== /boot/grub/menu.lst
## e.g. kopt=root=/dev/sda1 ro
# kopt=root=/dev/sda1 ro
title Debian
kernel /boot/vmlinuz-6.1.0-18-amd64 root=/dev/sda1 ro
initrd /boot/initrd.img-6.1.0-18-amd64
END
    convert
    expect_equal "$(text /boot/grub/menu.lst | head -4 | tr '\n' '|')" \
        "## e.g. kopt=root=/dev/sda1 ro|# kopt=root=UUID=$uuid ro|title Debian|kernel /boot/vmlinuz-6.1.0-18-amd64 root=UUID=$uuid ro|" menu.lst
}

# --- unified images
test_a_unified_image_is_looked_into() {
    guest debian --layout uefi --uki </dev/null
    need objdump
    mcopy -n -i "g.raw@@$((1 << 20))" ::EFI/Linux/linux-6.1.efi uki
    objdump -h uki | grep -q '\.initrd' || fail "the test's own image is none" "$(objdump -h uki)"
    convert
    expect_findings GUEST-UKI 1
    jq -r '.vms[0].targets[0].findings[]|select(.id=="GUEST-UKI")|.message' out/g/report.json |
        grep -q virtio_scsi || fail "it is not said what is lacking"
    # It has the driver of VMware's disk.
    convert --devices vmware
    expect_findings GUEST-UKI 0
}
test_a_unified_image_alone_goes_where_every_firmware_looks() {
    guest debian --layout uefi --uki --without /boot/grub/grub.cfg </dev/null
    mcopy -n -i "g.raw@@$((1 << 20))" ::EFI/Linux/linux-6.1.efi uki
    mdeltree -i "g.raw@@$((1 << 20))" ::EFI/debian
    python3 "$mkova" --uefi --mac "$mac" --name g g.ova g.raw >/dev/null
    convert --devices vmware
    esp_file EFI/BOOT/BOOTX64.EFI >copy
    expect_same_file copy uki
}

# --- systems that are built as a whole
test_nothing_in_the_store_of_nixos_is_changed() {
    guest debian --without /etc/fstab --without /etc/os-release <<'END'
== /etc/os-release
ID=nixos
VERSION_ID="24.05"
== /etc/NIXOS
== /nix/store/aaaa-etc/etc/fstab
/dev/sda1 / ext4 defaults 0 1
/dev/sda2 none swap sw 0 0
== /etc/fstab -> /nix/store/aaaa-etc/etc/fstab
END
    convert
    expect_edits_below /nix/ 0
    expect_findings GUEST-IMMUTABLE 1
    expect_json '.vms[0].targets[0].guest.immutable' NixOS out/g/report.json
}
test_an_ostree_system_is_recognised_and_left() {
    guest rocky --without /etc/os-release <<'END'
== /ostree/repo/config
== /ostree/deploy/fedora/deploy/aaaa.0/etc/os-release
ID=fedora
VERSION_ID=40
PRETTY_NAME="Fedora Linux 40 (Silverblue)"
== /ostree/deploy/fedora/deploy/aaaa.0/usr/lib/modules/6.8.5-301.fc40.x86_64/modules.dep
kernel/drivers/scsi/virtio_scsi.ko:
== /ostree/deploy/fedora/deploy/aaaa.0/lib -> usr/lib
END
    convert
    expect_json '.edits|length' 0 out/g/receipt.json
    expect_findings GUEST-IMMUTABLE 1
    expect_json '.vms[0].targets[0].guest|[.immutable,.distribution]|tostring' '["ostree","fedora"]' out/g/report.json
}

test_systems_that_are_shipped_as_a_whole_are_known_by_their_partitions() {
    need sfdisk
    parted() { # "TYPE NAME"...: box.raw
        truncate -s 0 box.raw && truncate -s 32M box.raw
        printf 'label: gpt\n' >table
        for p in "$@"; do
            echo "size=2048, type=${p%% *}, name=\"${p#* }\"" >>table
        done
        sfdisk -q box.raw <table
    }
    local linux=0FC63DAF-8483-4772-8E79-3D69D8477DE4 esp=C12A7328-F81F-11D2-BA4B-00C04B7EFC3B
    is() { # NAME: on both models, whatever order
        local name=$1 model
        for model in kvm xen; do
            run "$REHOST" report box.raw --to $model --json r.json --set memory=1GiB
            expect_status 0
            expect_json '.vms[0].targets[0] | [.effort, ([.findings[] | select(.id == "GUEST-IMMUTABLE")] | length),
                ([.findings[] | select(.id == "GUEST-UNREADABLE")] | length), (.edits | length)] | map(tostring) | join(" ")' "manual 1 0 0" r.json
            expect_json '.vms[0].targets[0].findings[] | select(.id == "GUEST-IMMUTABLE").message | contains("'"$name"'")' true r.json
            expect_json '.vms[0].vm.os.family' linux r.json
        done
    }
    parted "$esp EFI" "$linux BOOT" "$linux META" "$linux STATE" "$linux EPHEMERAL"
    is Talos
    parted "$linux EPHEMERAL" "$linux STATE" "$esp EFI"
    is Talos
    parted "$esp EFI-SYSTEM" "$linux BOTTLEROCKET-BOOT-A" "$linux BOTTLEROCKET-ROOT-A"
    is Bottlerocket
    parted "$esp EFI-SYSTEM" "$linux USR-A" "$linux OEM" "$linux ROOT"
    is Flatcar
    parted "$esp EFI-SYSTEM" "5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6 whatever"
    is Flatcar
    parted "$esp EFI-SYSTEM" "$linux ubuntu-boot" "$linux ubuntu-seed"
    is "Ubuntu Core"
    parted "$esp EFI-SYSTEM" "$linux boot" "$linux root"
    is "Fedora CoreOS"
    parted "$esp hassos-boot" "$linux hassos-kernel0" "$linux hassos-system0"
    is "Home Assistant"
    parted "$linux root-a" "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5 root-a-verity"
    is dm-verity
    # By the file system's own label: tests/boot/appliance.sh.
    # One mark of two is nobody's.
    parted "$esp EFI" "$linux STATE" "$linux data"
    run "$REHOST" report box.raw --to kvm --json r.json --set memory=1GiB
    expect_json '[.vms[0].targets[0].findings[] | select(.id == "GUEST-IMMUTABLE")] | length' 0 r.json
    expect_json '.vms[0].targets[0].effort' manual r.json
}

# --- second copies in the initramfs
rocky=/boot/initramfs-5.14.0-362.8.1.el9_3.x86_64.img
test_a_second_compressed_segment_is_read() {
    local codec
    for codec in gzip zstd xz lz4; do
        guest rocky --codec $codec --second gzip </dev/null
        convert
        expect_findings BOOT-DRIVER-MISSING 0
    done
    guest debian --codec gzip --second xz --early </dev/null
    convert
    expect_findings BOOT-DRIVER-MISSING 0
}
test_dracut_of_el6_waits_for_no_old_device() {
    guest rhel6 </dev/null
    convert --devices virtio
    text /boot/initramfs-2.6.32-754.el6.x86_64.img | expect_driver virtio_scsi
    grep -q /dev/sda1 '.unpacked/initqueue-finished/devexists-\x2fdev\x2fsda1.sh' &&
        fail "it waits for /dev/sda1"
    held
}
test_units_that_wait_for_an_old_device_are_masked() {
    local wants=etc/systemd/system/initrd.target.wants
    guest rocky <<END
== /$wants/dev-sda2.device +-> ../dev-sda2.device
== /$wants/dev-disk-by\\x2duuid-x.device +-> ../dev-disk-by\\x2duuid-x.device
END
    convert
    text $rocky >.image
    python3 "$here/unpack.py" .image .unpacked || fail "the image does not unpack"
    expect_equal "$(readlink .unpacked/$wants/dev-sda2.device)" /dev/null "what wants the device"
    expect_equal "$(readlink .unpacked/etc/systemd/system/dev-sda2.device)" /dev/null "its unit"
    expect_equal "$(readlink ".unpacked/$wants/dev-disk-by\\x2duuid-x.device")" \
        '../dev-disk-by\x2duuid-x.device' "what waits by UUID"
    # Once more, for disks of another name: nothing is lost on the way.
    cp out/g/disk0.raw again.raw
    python3 "$mkova" --mac "$mac" --name g g.ova again.raw >/dev/null
    run "$REHOST" convert g.ova --to xen --out out --format vhd --overwrite
    expect_status 0
    qemu-img convert -O raw out/g/disk0.vhd out/g/disk0.raw
    text $rocky >.image
    rm -rf .unpacked
    python3 "$here/unpack.py" .image .unpacked || fail "the image does not unpack"
    expect_equal "$(readlink .unpacked/$wants/dev-sda2.device)" /dev/null "what wants the device"
    grep -q xen-blkfront .unpacked.names || fail "the image lacks xen-blkfront"
}
test_configuration_inside_the_image_follows() {
    cat >files.d <<'END'
== /etc/mdadm.conf +
DEVICE /dev/sda* /dev/sdb*
ARRAY /dev/md0 devices=/dev/sda1,/dev/sdb1 UUID=1:2:3:4
== /etc/crypttab +
luks /dev/sda2 none
== /etc/cmdline.d/95root.conf +
 root=/dev/sda1 ip=192.0.2.5::192.0.2.1:255.255.255.0::ens192:none
== /etc/mdadm.conf
DEVICE /dev/sda* /dev/sdb*
END
    guest rocky <files.d
    convert
    text $rocky >.image
    python3 "$here/unpack.py" .image .unpacked || fail "the image does not unpack"
    expect_equal "$(tr '\n' '|' <.unpacked/etc/mdadm.conf)" \
        'DEVICE partitions|ARRAY /dev/md0 UUID=1:2:3:4|' "mdadm.conf in the image"
    expect_equal "$(text /etc/mdadm.conf)" 'DEVICE partitions' mdadm.conf
    grep -q '^luks UUID=52484f53-5400-4000-8000-0000000000c2 none' .unpacked/etc/crypttab ||
        fail "crypttab in the image" "$(cat .unpacked/etc/crypttab)"
    grep -q "root=UUID=$uuid ip=" .unpacked/etc/cmdline.d/95root.conf ||
        fail "arguments in the image" "$(cat .unpacked/etc/cmdline.d/95root.conf)"
    # The NIC comes up in there: its name has to be known there.
    text /etc/systemd/network/10-rehost-ens192.link >.link
    expect_same_file .unpacked/etc/systemd/network/10-rehost-ens192.link .link
    # Such copies alone are a reason to touch the image.
    convert --devices vmware
    expect_edits_below $rocky 2
}
test_an_image_of_marks_is_read_in_time() {
    local case=$RH_SHARED/cases/hostile/initramfs-quadratic.qcow2.xz
    [ -r "$case" ] || skip_test "no ../shared/cases"
    xz -dkc "$case" >q.qcow2
    run timeout 20 "$REHOST" report q.qcow2 --to kvm
    [ "$status" -ne 124 ] || fail "it took more than 20 s"
    held
}

# --- mounts that cannot succeed, names that change
lost_fstab() {
    cat <<'END'
== /etc/fstab
/dev/sda1 / ext4 defaults 0 1
.host:/share /mnt/host fuse.vmhgfs-fuse defaults 0 0
UUID=11111111-2222-3333-4444-555555555555 /data xfs defaults 0 2
LABEL=gone	/old	ext4
/dev/vgx/lv /srv/a ext4 noatime 0 0
UUID=11111111-2222-3333-4444-555555555556 /data2 xfs defaults,nofail 0 2
nas:/export /nfs nfs defaults 0 0
/dev/mapper/luks-x /srv/b ext4 defaults 0 0
/dev/mapper/old--vg-data /srv/c ext4 defaults 0 0
/dev/mapper/mpatha1 /srv/d ext4 defaults 0 0
/dev/mapper/vdo1 /srv/e ext4 defaults 0 0
END
}
test_mounts_that_cannot_succeed_are_told() {
    lost_fstab | guest debian
    convert
    expect_findings GUEST-MOUNT-LOST 6
}
test_a_disc_that_is_mounted_at_the_start_is_told() {
    guest debian <<'END'
== /etc/fstab
/dev/sda1 / ext4 defaults 0 1
/dev/sr0 /repo iso9660 ro 0 0
/dev/cdrom /media/cdrom0 udf,iso9660 user,noauto 0 0
== /boot/grub/custom.cfg
menuentry x {
	linux /boot/vmlinuz root="/dev/sda1" ro
}
END
    convert
    expect_findings GUEST-MOUNT-LOST 1
    text /boot/grub/custom.cfg | grep -qx "	linux /boot/vmlinuz root=\"UUID=$uuid\" ro" ||
        fail "a quoted root" "$(text /boot/grub/custom.cfg)"
}
# fstab(5) writes a blank as \040, udev as \x20, and people a slash too many.
test_a_mount_is_known_however_it_is_written() {
    local spec
    guest debian </dev/null
    debugfs -R "rdump /boot ." "g.raw?offset=$(($(jq .root g.raw.json) << 20))" 2>/dev/null
    for spec in 'LABEL=my\040boot /boot' '/dev/disk/by-label/my\x20boot /boot' \
        'LABEL="my\040boot" //boot/'; do
        printf '%s\n' '== /etc/fstab' "/dev/sda1 / ext4 defaults 0 1" \
            "$spec ext4 defaults 0 2" | guest debian
        mke2fs -q -t ext2 -m 0 -L 'my boot' -d boot boot.img 4M 2>/dev/null
        dd if=boot.img of=g.raw bs=1M seek=25 conv=notrunc status=none
        python3 "$mkova" --mac "$mac" --name g g.ova g.raw >/dev/null
        run "$REHOST" convert g.ova --to kvm --out out --format raw --overwrite
        expect_status 0
        expect_findings GUEST-MOUNT-LOST 0
        debugfs -R "cat /initrd.img-$kver" "out/g/disk0.raw?offset=$((25 << 20))" 2>/dev/null |
            expect_driver virtio_scsi
    done
}
test_mounts_that_cannot_succeed_get_nofail_when_asked_for() {
    lost_fstab | guest debian
    convert --fix linux.fstab-nofail
    expect_findings GUEST-MOUNT-LOST 0
    expect_equal "$(text /etc/fstab | grep -c nofail)" 7 "lines with nofail"
    text /etc/fstab | grep -qx 'LABEL=gone	/old	ext4	nofail' || fail "a short line" "$(text /etc/fstab)"
    text /etc/fstab | grep -qx '/dev/vgx/lv /srv/a ext4 noatime,nofail 0 0' || fail "a group that is gone"
    text /etc/fstab | grep -qx "UUID=$uuid / ext4 defaults 0 1" || fail "the root"
    cp out/g/disk0.raw again.raw
    python3 "$mkova" --mac "$mac" --name g g.ova again.raw >/dev/null
    run "$REHOST" convert g.ova --to kvm --out out --format raw --overwrite --fix linux.fstab-nofail
    expect_json '.edits|length' 0 out/g/receipt.json
}
named() { # FILE...: findings that name it
    jq -r '.vms[0].targets[0].findings[]|select(.id=="GUEST-DEVICE-NAME")|.message' out/g/report.json |
        grep -c -- "^$1 names "
}
test_every_file_below_etc_that_names_a_disk_is_told() {
    local file
    guest debian <<'END'
== /etc/udev/rules.d/99-oracle-asmdevices.rules
KERNEL=="sd?1", SUBSYSTEM=="block", PROGRAM=="scsi_id", RESULT=="36000c29aaaabbbb", NAME="asm1"
== /etc/systemd/system/data.service
[Unit]
BindsTo=dev-sdb.device
== /etc/systemd/system/dev-sdb2.swap
[Swap]
What=/dev/sdb2
== /etc/drbd.d/r0.res
resource r0 { disk /dev/sdb1; }
== /etc/sysconfig/sbd
SBD_DEVICE="/dev/disk/by-id/scsi-36000c29aaaa"
== /etc/docker/daemon.json
{"storage-opts": ["dm.directlvm_device=/dev/sdc"]}
== /etc/multipath/wwids
/36000c29aaaabbbb/
== /var/cache/debconf/config.dat
Name: grub-pc/install_devices
Template: grub-pc/install_devices
Value: /dev/disk/by-id/scsi-36000c29aaaa

Name: other/device
Value: /dev/sdb
== /etc/sysconfig/oracleasm
ORACLEASM_SCANORDER="sd"
== /etc/oracle/asm.ora
asm_diskstring='/dev/sd[b-z]1'
== /etc/smartd.conf
#/dev/sda -a
DEVICESCAN
END
    convert
    for file in /etc/udev/rules.d/99-oracle-asmdevices.rules /etc/sysconfig/sbd /etc/multipath/wwids \
        /var/cache/debconf/config.dat; do
        expect_equal "$(named $file)" 1 "findings of $file"
    done
    expect_equal "$(named /etc/smartd.conf)" 0 "findings of a comment"
    # Where disks are called otherwise, plain names change as well.
    run "$REHOST" report g.ova --to xen --json report.json
    for file in /etc/systemd/system/data.service /etc/systemd/system/dev-sdb2.swap /etc/drbd.d/r0.res \
        /etc/docker/daemon.json /etc/sysconfig/oracleasm /etc/oracle/asm.ora; do
        expect_equal "$(jq -r '.vms[0].targets[0].findings[]|select(.id=="GUEST-DEVICE-NAME")|.message' \
            report.json | grep -c "^$file names ")" 1 "findings of $file"
    done
}

# --- what it is
test_the_disks_have_the_last_word_on_the_system() {
    guest rocky </dev/null
    python3 "$mkova" --guest windows2019srv_64Guest --mac "$mac" --name g g.ova g.raw >/dev/null
    convert
    expect_json '.vms[0].vm.os|[.profile,.family,.version]|tostring' '["rocky-9","linux","9.3"]' out/g/report.json
    expect_json '[.vms[0].targets[0].findings[]|select(.id=="GUEST-OS-CONFLICT")|.severity]|tostring' \
        '["caution"]' out/g/report.json
    grep -q '^ostype: l26' out/g/proxmox.conf || fail "the machine is Windows'" "$(cat out/g/proxmox.conf)"
    # Another distribution is no other machine.
    python3 "$mkova" --guest debian12_64Guest --mac "$mac" --name g g.ova g.raw >/dev/null
    convert
    expect_json '[.vms[0].targets[0].findings[]|select(.id=="GUEST-OS-CONFLICT")|.severity]|tostring' \
        '["info"]' out/g/report.json
    python3 "$mkova" --guest otherLinux64Guest --mac "$mac" --name g g.ova g.raw >/dev/null
    convert
    expect_findings GUEST-OS-CONFLICT 0
}

# --- remedies
test_remedies_fit_the_target() {
    local remedy='[.vms[0].targets[]|select(.target==$t)|.findings[]|select(.id=="GUEST-INITRAMFS-UNKNOWN")|.remedy][0]|test("devices vmware")'
    guest debian --strange </dev/null
    run "$REHOST" report g.ova --to all --json report.json
    expect_status 0
    expect_equal "$(jq --arg t kvm "$remedy" report.json)" true "kvm: --devices vmware"
    expect_equal "$(jq --arg t xen "$remedy" report.json)" false "xen: --devices vmware"
}
run_tests
