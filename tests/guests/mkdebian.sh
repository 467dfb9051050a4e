#!/bin/sh
# Build a Debian 12 guest disk the way it would stand on VMware.
#
#   mkdebian.sh base  WORKDIR                fetch the common tree once
#   mkdebian.sh [options] VARIANT WORKDIR OUT.raw   make one disk from it
#
# Options:
#   --initrd gzip|xz|zstd|lz4   compressor of the initramfs (gzip)
#   --early                     early-microcode archive in front of it
#   --static                    10.0.2.77/24 instead of DHCP
#   --net ifupdown|networkd|netplan|nm   who configures ens192 (ifupdown)
#
# Variants:
#   bios     MBR, GRUB BIOS, ext4 on /dev/sda1, fstab by device name,
#            initramfs holding only vmw_pvscsi (no virtio, no Xen)
#   uefi     GPT, ESP, GRUB EFI, LVM root vg0/root plus swap LV
#   dracut   like bios, initramfs made by dracut, host-only, pvscsi only
#   vmtools  like bios, with open-vm-tools installed and its service enabled
#
# Needs root (chroot), no loop devices.  Packages: see README.
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
form=gzip early='' static='' net=ifupdown
usage() { sed -n '/SPDX/d; 2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
while [ $# -gt 0 ]; do
    case $1 in
        --initrd) form=$2; shift ;;
        --early) early=early ;;
        --static) static=1 ;;
        --net) net=$2; shift ;;
        -*) usage ;;
        *) break ;;
    esac
    shift
done
[ $# -ge 2 ] || usage
[ "$(id -u)" = 0 ] || { echo "mkdebian.sh: needs root (chroot)" >&2; exit 2; }
what=$1 work=$(realpath -m "$2") out=${3:+$(realpath -m "$3")}
export SOURCE_DATE_EPOCH=1735689600 LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
mkdir -p "$work"
base=$work/base.tar

mirror_sources() {                     # reuse whatever mirror the host uses
    cat /etc/apt/sources.list.d/debian.sources 2>/dev/null ||
        grep '^deb ' /etc/apt/sources.list 2>/dev/null ||
        { echo 'no Debian sources configured on this host' >&2; exit 1; }
}

# Only the modules a VM can need; this takes the tree from 450 to 150 MB.
keep_modules='
drivers/ata drivers/block/loop.ko drivers/block/virtio_blk.ko
drivers/block/xen-blkfront.ko drivers/cdrom drivers/char/hw_random
drivers/md drivers/message/fusion drivers/net/ethernet/intel/e1000
drivers/net/ethernet/intel/e1000e drivers/net/net_failover.ko
drivers/net/virtio_net.ko drivers/net/vmxnet3 drivers/net/xen-netfront.ko
drivers/net/mii.ko drivers/net/ethernet/realtek/8139cp.ko
drivers/nvme drivers/scsi/scsi_common.ko drivers/scsi/scsi_mod.ko
drivers/scsi/scsi_transport_sas.ko drivers/scsi/scsi_transport_spi.ko
drivers/scsi/sd_mod.ko drivers/scsi/sg.ko drivers/scsi/sr_mod.ko
drivers/scsi/virtio_scsi.ko drivers/scsi/vmw_pvscsi.ko
drivers/scsi/sym53c8xx_2 drivers/input/serio drivers/misc/vmw_balloon.ko
drivers/misc/vmw_vmci drivers/virtio drivers/xen fs/ext4 fs/fat fs/jbd2
fs/nls fs/isofs fs/efivarfs fs/mbcache.ko net/packet net/core net/vmw_vsock'

module_opts() {
    echo "--dpkgopt=path-exclude=/lib/modules/*/kernel/drivers/*"
    echo "--dpkgopt=path-exclude=/lib/modules/*/kernel/fs/*"
    echo "--dpkgopt=path-exclude=/lib/modules/*/kernel/net/*"
    echo "--dpkgopt=path-exclude=/lib/modules/*/kernel/sound/*"
    for m in $keep_modules; do
        echo "--dpkgopt=path-include=/lib/modules/*/kernel/$m"
        case $m in *.ko) ;; *) echo "--dpkgopt=path-include=/lib/modules/*/kernel/$m/*" ;; esac
    done
    for d in doc man locale info lintian bug; do
        echo "--dpkgopt=path-exclude=/usr/share/$d/*"
    done
}

if [ "$what" = base ]; then
    mirror_sources >"$work/sources"
    # Until a variant names its modules the initramfs is kept trivial.
    module_opts | xargs mmdebstrap --mode=root --variant=minbase --quiet \
        --include=linux-image-amd64,initramfs-tools,systemd-sysv,udev,ifupdown \
        --include=isc-dhcp-client,iproute2,kmod,e2fsprogs,grub-pc,netbase \
        --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
        --essential-hook='echo MODULES=list >"$1/etc/initramfs-tools/conf.d/guest"' \
        --dpkgopt=force-unsafe-io --format=tar \
        bookworm "$base.part" "$work/sources"
    mv "$base.part" "$base"
    exit 0
fi

[ -f "$base" ] || { echo "run '$0 base $work' first" >&2; exit 1; }
tree=$work/tree-$what
# A run that was stopped may have left its /proc there; nor do we leave ours.
proc_off() { ! mountpoint -q "$tree/proc" || umount "$tree/proc"; }
proc_off
trap proc_off EXIT
trap 'exit 1' INT TERM
rm -rf --one-file-system "$tree"; mkdir -p "$tree"
tar -C "$tree" -xf "$base" --exclude=./dev/\* 
in_guest() { chroot "$tree" /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
apt_in_guest() {
    # Package scripts expect /proc and a few device nodes.
    mkdir -p "$tree/dev" "$tree/proc"
    [ -e "$tree/dev/null" ] || mknod -m 666 "$tree/dev/null" c 1 3
    mount -t proc proc "$tree/proc"
    printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
    chmod 755 "$tree/usr/sbin/policy-rc.d"
    cp /etc/resolv.conf "$tree/etc/resolv.conf"
    cp -L /etc/hosts "$tree/etc/hosts" 2>/dev/null || true
    rc=0
    in_guest apt-get -qq update && in_guest apt-get -qq -y \
        --no-install-recommends -o Dpkg::Options::=--force-unsafe-io \
        install "$@" >"$work/apt-$what.log" 2>&1 || rc=$?
    umount "$tree/proc"
    rm -f "$tree/usr/sbin/policy-rc.d" "$tree/etc/resolv.conf"
    return $rc
}

kver=$(ls "$tree/lib/modules" | head -1)
root=/dev/sda1
nic=ens192
case $what in
    bios) ;;
    vmtools) apt_in_guest open-vm-tools ;;
    dracut) apt_in_guest dracut ;;
    uefi) apt_in_guest grub-efi-amd64 lvm2; root=/dev/mapper/vg0-root ;;
    *) echo "no such variant: $what" >&2; exit 1 ;;
esac

case $net in
    ifupdown | networkd) ;;
    netplan) apt_in_guest netplan.io ;;
    nm) apt_in_guest network-manager ;;
    *) usage ;;
esac

# --- what the administrator of the VMware guest would have set ---------------
echo "vmw-$what" >"$tree/etc/hostname"
printf '127.0.0.1\tlocalhost\n127.0.1.1\tvmw-%s\n' "$what" >"$tree/etc/hosts"
if [ "$what" = uefi ]; then
    printf '%s / ext4 errors=remount-ro 0 1\nUUID=5245-484F /boot/efi vfat umask=0077 0 1\n/dev/mapper/vg0-swap none swap sw 0 0\n' \
        "$root" >"$tree/etc/fstab"
    mkdir -p "$tree/boot/efi"
else
    printf '%s / ext4 errors=remount-ro 0 1\n/dev/sda2 none swap sw 0 0\n' "$root" >"$tree/etc/fstab"
fi
address=10.0.2.77/24 gateway=10.0.2.2
loopback='auto lo\niface lo inet loopback\n'
enable() { # TARGET UNIT: as systemctl would, which does not run here
    mkdir -p "$tree/etc/systemd/system/$1.wants"
    ln -sf "/lib/systemd/system/$2" "$tree/etc/systemd/system/$1.wants/$2"
}
# shellcheck disable=SC2059
printf "$loopback" >"$tree/etc/network/interfaces"
case $net in
    ifupdown)
        if [ -n "$static" ]; then
            printf '\nallow-hotplug %s\niface %s inet static\n\taddress %s\n\tgateway %s\n' \
                "$nic" "$nic" "$address" "$gateway"
        else
            printf '\nallow-hotplug %s\niface %s inet dhcp\n' "$nic" "$nic"
        fi >>"$tree/etc/network/interfaces"
        ;;
    networkd)
        {
            printf '[Match]\nName=%s\n\n[Network]\n' "$nic"
            if [ -n "$static" ]; then
                printf 'Address=%s\nGateway=%s\n' "$address" "$gateway"
            else
                echo DHCP=ipv4
            fi
        } >"$tree/etc/systemd/network/20-lan.network"
        enable multi-user.target systemd-networkd.service
        ;;
    netplan)
        {
            printf 'network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    %s:\n' "$nic"
            if [ -n "$static" ]; then
                printf '      addresses: [%s]\n      routes: [{to: default, via: %s}]\n' \
                    "$address" "$gateway"
            else
                echo '      dhcp4: true'
            fi
        } >"$tree/etc/netplan/50-lan.yaml"
        chmod 600 "$tree/etc/netplan/50-lan.yaml"
        enable multi-user.target systemd-networkd.service
        ;;
    nm)
        {
            printf '[connection]\nid=lan\nuuid=52484f53-5400-4000-8000-0000000000e1\n'
            printf 'type=ethernet\ninterface-name=%s\n\n[ipv4]\n' "$nic"
            if [ -n "$static" ]; then
                printf 'method=manual\naddress1=%s,%s\n' "$address" "$gateway"
            else
                echo method=auto
            fi
        } >"$tree/etc/NetworkManager/system-connections/lan.nmconnection"
        chmod 600 "$tree/etc/NetworkManager/system-connections/lan.nmconnection"
        ;;
esac
cat >"$tree/etc/default/grub" <<'EOF'
GRUB_DEFAULT=0
GRUB_TIMEOUT=1
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"
GRUB_TERMINAL="console serial"
EOF
in_guest sh -c 'echo root:rehost | chpasswd'
python3 "$here/diskimg.py" sample "$tree/usr/share/guest-sample"
install -m 755 "$here/files/guest-probe" "$tree/usr/local/sbin/guest-probe"
install -m 644 "$here/files/guest-probe.service" "$tree/etc/systemd/system/"
mkdir -p "$tree/etc/systemd/system/multi-user.target.wants"
ln -sf ../guest-probe.service "$tree/etc/systemd/system/multi-user.target.wants/"
echo 52484f53540040008000000000000001 >"$tree/etc/machine-id"
for t in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim; do
    ln -sf /dev/null "$tree/etc/systemd/system/$t.timer"
done

# --- an initramfs that knows only VMware's disk ------------------------------
if [ "$what" = dracut ]; then
    cat >"$tree/etc/dracut.conf.d/10-vmware.conf" <<'EOF'
hostonly="yes"
hostonly_cmdline="no"
add_drivers+=" vmw_pvscsi sd_mod ext4 crc32c_generic "
omit_drivers+=" virtio virtio_pci virtio_blk virtio_scsi virtio_net xen-blkfront xen-netfront ahci ata_piix "
EOF
    # Host-only needs to see the root; in a chroot only explicit drivers count.
    mount -t proc proc "$tree/proc"
    in_guest dracut --force --no-hostonly-default-device --filesystems ext4 \
        --reproducible "/boot/initrd.img-$kver" "$kver" >"$work/dracut.log" 2>&1 ||
        { umount "$tree/proc"; tail "$work/dracut.log" >&2; exit 1; }
    umount "$tree/proc"
    # From now on the guest decides as a fresh install would.
    sed -i '/omit_drivers/d' "$tree/etc/dracut.conf.d/10-vmware.conf"
else
    printf '%s\n' vmw_pvscsi sd_mod ext4 crc32c_generic >"$tree/etc/initramfs-tools/modules"
    [ "$what" != uefi ] || printf '%s\n' dm_mod >>"$tree/etc/initramfs-tools/modules"
    echo RESUME=none >"$tree/etc/initramfs-tools/conf.d/resume"
    in_guest update-initramfs -u -k "$kver" >"$work/initramfs-$what.log" 2>&1
fi

# shellcheck disable=SC2086
"$here/recompress.sh" "$tree/boot/initrd.img-$kver" "$form" $early

# --- boot loader files -------------------------------------------------------
uuid=52484f53-5400-4000-8000-000000000001 retry=''
case $what in
    uefi) cmd_root=$root load='insmod part_gpt
insmod lvm
insmod ext2' ;;
    *) cmd_root=$root load='insmod part_msdos
insmod ext2' ;;
esac
# Without it dracut looks for its root for minutes before it gives up.
[ "$what" != dracut ] || retry=' rd.retry=10'
mkdir -p "$tree/boot/grub"
cat >"$tree/boot/grub/grub.cfg" <<EOF
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=1
set default=0
menuentry 'Debian GNU/Linux' --class debian --class gnu-linux --class os {
	$(echo "$load" | tr '\n' ';')
	search --no-floppy --fs-uuid --set=root $uuid
	echo 'Loading Linux $kver ...'
	linux /boot/vmlinuz-$kver root=$cmd_root ro console=tty0 console=ttyS0,115200$retry
	echo 'Loading initial ramdisk ...'
	initrd /boot/initrd.img-$kver
}
EOF
rm -rf "$tree/var/lib/apt/lists"/* "$tree/var/cache/apt"/* "$tree/var/log"/*.log \
    "$tree/var/log/apt" "$tree/var/cache/debconf"/*-old "$tree/var/lib/dpkg"/*-old \
    "$tree/usr/share/grub/themes"
find "$tree/dev" -mindepth 1 -delete 2>/dev/null || true
if [ "$what" != uefi ]; then
    mkdir -p "$tree/boot/grub/i386-pc"
    cp /usr/lib/grub/i386-pc/*.mod /usr/lib/grub/i386-pc/*.lst "$tree/boot/grub/i386-pc/"
fi
find "$tree" -xdev -newermt "@$SOURCE_DATE_EPOCH" -print0 |
    xargs -0 -r touch --no-dereference --date="@$SOURCE_DATE_EPOCH"

python3 - "$here" "$what" "$tree" "$out" "$uuid" "$work" <<'EOF'
import os, subprocess, sys
here, what, tree, out, uuid, work = sys.argv[1:]
sys.path.insert(0, here)
import diskimg as d
stamp = int(os.environ["SOURCE_DATE_EPOCH"])
need = int(subprocess.check_output(["du", "-sm", "--apparent-size", tree]).split()[0])
root = (need * 5 // 4 + 96 + 63) // 64 * 64           # MiB, some room to work
if what == "uefi":
    esp, pv = 64, root + 32 + 8
    d.new_disk(out, 1 + esp + pv + 1)
    d.sfdisk(out, "label: gpt\nlabel-id: 52484F53-5400-4000-8000-0000000000AA\n"
             "start=1MiB, size=%dMiB, type=U, name=EFI, uuid=52484F53-5400-4000-8000-0000000000A1\n"
             "start=%dMiB, size=%dMiB, type=E6D6D379-F507-44C2-A23C-238F2A3DF928, name=LVM,"
             " uuid=52484F53-5400-4000-8000-0000000000A2\n" % (esp, 1 + esp, pv))
    at = d.lvm_pv(out, 1 + esp, pv, "vg0", [("root", root), ("swap", 32)], stamp)
    d.ext4_from_tree(out, tree, at["root"], root, uuid, "root", stamp)
    d.mkswap(out, at["swap"], 32, "52484f53-5400-4000-8000-000000000002")
    d.esp(out, 1, esp, "5245484F", uuid, work, ["lvm", "ext2", "normal"])
else:
    d.new_disk(out, 1 + root + 32)
    d.sfdisk(out, "label: dos\nlabel-id: 0x5245484f\n"
             "start=1MiB, size=%dMiB, type=83, bootable\n"
             "start=%dMiB, size=32MiB, type=82\n" % (root, 1 + root))
    d.ext4_from_tree(out, tree, 1, root, uuid, "root", stamp)
    d.mkswap(out, 1 + root, 32, "52484f53-5400-4000-8000-000000000002")
    core = work + "/core.img"
    d.run("grub-mkimage", "-O", "i386-pc", "-o", core, "-p", "(hd0,msdos1)/boot/grub",
          "biosdisk", "part_msdos", "ext2", "normal")
    d.grub_bios(out, core)
EOF
# Debian's OVMF cannot read a pvscsi disk: keep what a direct boot needs.
[ "$what" != uefi ] || { cp "$tree/boot/vmlinuz-$kver" "$out.vmlinuz"; cp "$tree/boot/initrd.img-$kver" "$out.initrd"; }
[ -n "${KEEP_TREE-}" ] || rm -rf "$tree"
