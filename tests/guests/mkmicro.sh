#!/bin/sh
# mkmicro.sh [options] OUT.raw -- a guest that boots in seconds.
#
# The host's Debian kernel and modules, busybox as everything else, laid out as
# a VMware guest: MBR, GRUB BIOS, ext4 root /dev/sda1, initramfs that knows
# vmw_pvscsi only, NIC ens192 by DHCP.
#
#   --initrd gzip|xz|zstd|lz4|none   compressor of the initramfs (gzip)
#   --early          put an early-microcode archive in front of it
#   --usrmerge       modules below usr/lib in the archive, lib a symlink, as
#                    initramfs-tools has it since Debian 12
#   --uefi           GPT, ESP and GRUB EFI; also OUT.vmlinuz and OUT.initrd
#   --lvm            root and swap in the volume group vg0
#   --fs ext4|xfs|btrfs              root file system (ext4)
#   --boot           /boot on an ext4 partition of its own, /dev/sda1: with
#                    --lvm --fs xfs what RHEL's installer makes
#   --screen         boot loader, kernel and login on the screen, nothing of
#                    them on the serial port
#
# Needs no root and no loop devices.  Packages: see README.
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
here=$(cd "$(dirname "$0")" && pwd)
form=gzip early='' merged='' uefi='' lvm='' fs=ext4 boot='' screen=''
usage() { sed -n '/SPDX/d; 2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
while [ $# -gt 1 ]; do
    case $1 in
        --initrd) form=$2; shift ;;
        --early) early=early ;;
        --usrmerge) merged=1 ;;
        --uefi) uefi=1 ;;
        --lvm) lvm=1 ;;
        --fs) fs=$2; shift ;;
        --boot) boot=1 ;;
        --screen) screen=1 ;;
        *) usage ;;
    esac
    shift
done
[ $# = 1 ] || usage
case $1 in -*) usage ;; esac
out=$(realpath -m "$1")
export SOURCE_DATE_EPOCH=1735689600 LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
# Cloud kernels lack the drivers of half the platforms.
kver=${KVER-$(find /boot -name 'vmlinuz-*-amd64' ! -name '*-cloud-*' |
    sed 's,.*/vmlinuz-,,' | sort -V | tail -1)}
[ -d "/lib/modules/$kver/kernel" ] ||
    { echo "mkmicro.sh: no kernel of linux-image-amd64 in /boot" >&2; exit 2; }
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
t=$work/root i=$work/ird
umask 022

# --- what the guest loads ----------------------------------------------------
case $fs in
    ext4) fsmods='crc32c_generic ext4' mount=errors=remount-ro pass=1 ;;
    xfs) fsmods='crc32c_generic xfs' mount=defaults pass=0 ;;
    btrfs) fsmods='crc32c_generic btrfs' mount=defaults pass=0 ;;
    *) usage ;;
esac
boot_mods="vmw_pvscsi sd_mod $fsmods"
[ -z "$lvm" ] || boot_mods="$boot_mods dm_mod"
all_mods="$boot_mods ext4 vmxnet3 virtio_blk virtio_scsi virtio_net virtio_pci
xen-blkfront xen-netfront ata_piix ahci e1000 e1000e 8139cp nvme mptsas mptspi
af_packet virtio_balloon virtio_console virtio_rng"
[ -z "$boot" ] || [ -z "$uefi" ] || usage
console=console=ttyS0,115200 terminal=serial getty=ttyS0
[ -z "$screen" ] || console='' terminal=console getty=tty1
if [ -n "$lvm" ]; then
    root=/dev/mapper/vg0-root swap=/dev/mapper/vg0-swap
elif [ -n "$uefi$boot" ]; then
    root=/dev/sda2 swap=/dev/sda3
else
    root=/dev/sda1 swap=/dev/sda2
fi

with_deps() {                    # module names -> paths, dependencies included
    for m in "$@"; do
        p=$(echo "$m" | sed 's/[-_]/[-_]/g')
        grep "/$p\.ko[^:]*:" modules.dep | tr ': ' '\n\n' | grep . || :
    done | sort -u
}

# --- the tree ----------------------------------------------------------------
mkdir -p "$t/bin" "$t/sbin" "$t/usr/bin" "$t/usr/sbin" "$t/usr/local/sbin" "$t/etc/init.d" \
    "$t/etc/network" "$t/etc/initramfs-tools/conf.d" "$t/etc/default" "$t/boot/grub" \
    "$t/etc/systemd/network" "$t/etc/udev/rules.d" "$t/lib/systemd" "$t/lib/udev/rules.d" \
    "$t/proc" "$t/sys" "$t/dev" "$t/tmp" "$t/run" "$t/root" "$t/var/tmp" "$t/var/lib/dpkg" \
    "$t/usr/share/udhcpc" "$t/usr/share/micro" "$t/lib/modules/$kver/kernel"
cp /bin/busybox "$t/bin/busybox"
"$t/bin/busybox" --list-full | while read -r a; do
    mkdir -p "$t/$(dirname "$a")"
    [ -e "$t/$a" ] || ln -s /bin/busybox "$t/$a"
done
# Modules: everything a VM on any of the platforms may need, and no more.
cd "/lib/modules/$kver"
# shellcheck disable=SC2086
with_deps $all_mods | xargs cp --parents -t "$t/lib/modules/$kver"
cp modules.builtin modules.builtin.modinfo modules.order "$t/lib/modules/$kver/"
cd /
depmod -b "$t" "$kver"
rm -f "$t/lib/modules/$kver"/modules.*.bin
cp "/boot/vmlinuz-$kver" "$t/boot/"
cp "/boot/config-$kver" "$t/boot/" 2>/dev/null || :
install -m 755 "$here/files/guest-probe" "$t/usr/local/sbin/guest-probe"
install -m 755 "$here/files/micro-rcS" "$t/etc/init.d/rcS"
install -m 755 "$here/files/micro-udhcpc" "$t/usr/share/udhcpc/default.script"
install -m 755 "$here/files/micro-init" "$t/usr/share/micro/init"
install -m 755 "$here/files/micro-update-initramfs" "$t/usr/sbin/update-initramfs"
python3 "$here/diskimg.py" sample "$t/usr/share/guest-sample"
# rcS does the part of udev that names NICs; a converter looks for these.
printf '#!/bin/sh\n# see /etc/init.d/rcS\n' | tee "$t/lib/systemd/systemd-udevd" >"$t/lib/systemd/systemd"
chmod 755 "$t/lib/systemd/systemd" "$t/lib/systemd/systemd-udevd"
ln -sf /bin/busybox "$t/sbin/init"
cat >"$t/etc/inittab" <<EOF
::sysinit:/etc/init.d/rcS
$getty::respawn:/sbin/getty -L 115200 $getty vt100
::ctrlaltdel:/sbin/reboot
EOF
cat >"$t/etc/os-release" <<'EOF'
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
EOF
echo 12.0 >"$t/etc/debian_version"
package() {
    printf 'Package: %s\nStatus: install ok installed\nArchitecture: %s\nVersion: %s\nMaintainer: none\nDescription: stand-in of the test guest\n\n' "$@"
}
{
    package "linux-image-$kver" amd64 6.1.0-1
    package initramfs-tools all 0.142
    package ifupdown amd64 0.8.41
    package udev amd64 252.1-1
    package systemd amd64 252.1-1
    [ -n "$uefi" ] || package grub-pc amd64 2.06-13
    [ -z "$uefi" ] || package grub-efi-amd64 amd64 2.06-13
} >"$t/var/lib/dpkg/status"
# Password "rehost".
echo 'root:$1$rehost$Rg8dZpnQFCBlsbV8XLDg21:0:0:root:/root:/bin/sh' >"$t/etc/passwd"
echo 'root:x:0:' >"$t/etc/group"
echo vmw-micro >"$t/etc/hostname"
printf '%s / %s %s 0 %s\n%s none swap sw 0 0\n' "$root" "$fs" "$mount" "$pass" "$swap" >"$t/etc/fstab"
if [ -n "$uefi" ]; then
    mkdir -p "$t/boot/efi"
    echo 'UUID=5245-484F /boot/efi vfat umask=0077,noauto 0 1' >>"$t/etc/fstab"
fi
[ -z "$boot" ] || echo '/dev/sda1 /boot ext4 defaults,noauto 0 2' >>"$t/etc/fstab"
printf 'auto lo\niface lo inet loopback\n\nallow-hotplug ens192\niface ens192 inet dhcp\n' \
    >"$t/etc/network/interfaces"
# shellcheck disable=SC2086
printf '%s\n' $boot_mods >"$t/etc/initramfs-tools/modules"
printf 'MODULES=dep\nCOMPRESS=%s\n' "$form" >"$t/etc/initramfs-tools/initramfs.conf"
cat >"$t/etc/default/grub" <<EOF
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="$console"
EOF
find_root="set root='hd0,msdos1'"
[ -z "$uefi" ] || find_root="set root='hd0,gpt2'"
[ -z "$lvm" ] || find_root="set root='lvm/vg0-root'"
case $fs in ext4) grub_fs=ext2 ;; *) grub_fs=$fs ;; esac
in_boot=/boot
if [ -n "$boot" ]; then
    find_root="set root='hd0,msdos1'" grub_fs=ext2 in_boot=''
fi
cat >"$t/boot/grub/grub.cfg" <<EOF
set timeout=0
serial --unit=0 --speed=115200
terminal_output $terminal
menuentry 'Debian GNU/Linux' --class debian --class gnu-linux --class os {
	insmod part_msdos
	insmod part_gpt
	${lvm:+insmod lvm}
	insmod $grub_fs
	$find_root
	linux $in_boot/vmlinuz-$kver root=$root ro $console
	initrd $in_boot/initrd.img-$kver
}
EOF
if [ -z "$uefi" ]; then
    mkdir "$t/boot/grub/i386-pc"
    cp /usr/lib/grub/i386-pc/*.mod /usr/lib/grub/i386-pc/*.lst "$t/boot/grub/i386-pc/"
fi

# --- the initramfs: as the guest's own update-initramfs, from outside --------
if [ -n "$merged" ]; then
    mkdir -p "$i/usr/lib"; ln -s usr/lib "$i/lib"
fi
mkdir -p "$i/bin" "$i/sbin" "$i/conf" "$i/proc" "$i/sys" "$i/dev" "$i/root" "$i/run" \
    "$i/lib/modules/$kver"
cp /bin/busybox "$i/bin/"
install -m 755 "$here/files/micro-init" "$i/init"
if [ -n "$lvm" ]; then
    mkdir -p "$i/lib64" "$i/etc/lvm"
    cp "$(command -v lvm)" "$i/sbin/lvm"
    ldd "$i/sbin/lvm" | grep -o '/[^ ]*' | while read -r l; do
        cp "$l" "$i/lib/"
        case $l in */ld-linux*) cp "$l" "$i/lib64/" ;; esac
    done
fi
cp "$t/lib/modules/$kver"/modules.* "$i/lib/modules/$kver/"
cp "$t/etc/initramfs-tools/modules" "$i/conf/modules"
# shellcheck disable=SC2086
(cd "$t/lib/modules/$kver" &&
    with_deps $boot_mods | xargs cp --parents -t "$i/lib/modules/$kver")
find "$i" "$t" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(cd "$i" && find . | sort | cpio --quiet --reproducible -R 0:0 -o -H newc) \
    >"$t/boot/initrd.img-$kver"
"$here/recompress.sh" "$t/boot/initrd.img-$kver" "$form" $early
touch -d "@$SOURCE_DATE_EPOCH" "$t/boot" "$t/boot/initrd.img-$kver"

# --- the disk ----------------------------------------------------------------
if [ -n "$boot" ]; then
    mv "$t/boot" "$work/boot"
    mkdir -p "$t/boot" "$work/boot"
fi
python3 - "$here" "$t" "$out" "$work" "$fs" "$uefi" "$lvm" "$boot" <<'EOF'
import os, subprocess, sys
here, tree, out, work, fs, uefi, lvm, boot = sys.argv[1:]
sys.path.insert(0, here)
import diskimg as d
stamp = int(os.environ["SOURCE_DATE_EPOCH"])
need = int(subprocess.check_output(["du", "-sm", "--apparent-size", tree]).split()[0])
root = (need * 5 // 4 + 40 + 15) // 16 * 16
root = max(root, {"ext4": 0, "xfs": 320, "btrfs": 256}[fs])
esp = 34 if uefi else 0
parts = [("83", root), ("82", 16)] if not lvm else [("8e", root + 16 + 8)]
if boot:
    parts.insert(0, ("83", 96))
d.new_disk(out, 1 + esp + sum(p[1] for p in parts) + 1)
if uefi:
    kinds = {"83": "L", "82": "S", "8e": "E6D6D379-F507-44C2-A23C-238F2A3DF928"}
    text = "label: gpt\nlabel-id: 52484F53-5400-4000-8000-0000000001AA\n"
    text += ("start=1MiB, size=%dMiB, type=U, name=EFI,"
             " uuid=52484F53-5400-4000-8000-0000000001A1\n" % esp)
else:
    kinds = {k: k for k in ("83", "82", "8e")}
    text = "label: dos\nlabel-id: 0x6d696372\n"
at, where = 1 + esp, []
for i, (kind, mib) in enumerate(parts):
    text += "start=%dMiB, size=%dMiB, type=%s%s\n" % (
        at, mib, kinds[kind], ", uuid=52484F53-5400-4000-8000-0000000001A%d" % (i + 2) if uefi
        else ", bootable" if i == 0 else "")
    where.append(at)
    at += mib
d.sfdisk(out, text)
if boot:
    d.fs_from_tree("ext4", out, work + "/boot", where.pop(0), parts.pop(0)[1],
                   "52484f53-5400-4000-8000-000000000013", "boot", stamp, work)
if lvm:
    lv = d.lvm_pv(out, where[0], parts[0][1], "vg0", [("root", root), ("swap", 16)], stamp,
                  tag="micro")
    where = [lv["root"], lv["swap"]]
uuid = "52484f53-5400-4000-8000-000000000011"
d.fs_from_tree(fs, out, tree, where[0], root, uuid, "root", stamp, work)
d.mkswap(out, where[1], 16, "52484f53-5400-4000-8000-000000000012")
mods = ["lvm"] * bool(lvm) + [{"ext4": "ext2"}.get(fs, fs), "normal"]
if boot:
    mods = ["ext2", "normal"]
if uefi:
    d.esp(out, 1, esp, "5245484F", uuid, work, mods)
else:
    core = work + "/core.img"
    d.run("grub-mkimage", "-O", "i386-pc", "-o", core, "-p",
          "(hd0,msdos1)/grub" if boot else
          "(%s)/boot/grub" % ("lvm/vg0-root" if lvm else "hd0,msdos1"),
          "biosdisk", "part_msdos", *mods)
    d.grub_bios(out, core)
EOF
# Debian's OVMF cannot read a pvscsi disk: keep what a direct boot needs.
if [ -n "$uefi" ]; then
    cp "$t/boot/vmlinuz-$kver" "$out.vmlinuz"
    cp "$t/boot/initrd.img-$kver" "$out.initrd"
fi
