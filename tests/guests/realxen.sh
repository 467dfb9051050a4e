#!/bin/bash
# realxen.sh [-w WORKDIR] [-t SECONDS] [-r MIB] [-m MAC] DISK MARKER [DISK MARKER]...
#
# Boots disks (.vhd, .qcow2 or raw), one after the other, as HVM guests on a real
# Xen 4.17 from Debian's packages, which itself runs under QEMU's software
# emulation of an AMD CPU with SVM: no KVM, no Xen on this machine.  Each guest
# has one disk (xvda) and one PV NIC with DHCP and the answering port that
# tests/guests/files/guest-probe tries.  It must print MARKER on its first serial
# port; all it prints is kept in WORKDIR/guest1.serial, guest2.serial ...
#
# Exit 0: every marker seen.  1: one was not seen in time.  2: cannot run.
# Needs qemu-system-x86_64, e2fsprogs, mmdebstrap and root (or user namespaces).
# The first use builds the dom0 (about a minute, kept in WORKDIR); a run takes
# two minutes on a quiet machine and five on a busy one, for a tiny guest.
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${RH_CACHE-$(realpath -m "$here/../../build/guests")}/xen
limit=1500 ram=256 mac=00:50:56:8a:12:34
usage() { sed -n '/SPDX/d; 2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
while getopts w:t:r:m: o; do
    case $o in
        w) work=$OPTARG ;;
        t) limit=$OPTARG ;;
        r) ram=$OPTARG ;;
        m) mac=$OPTARG ;;
        *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -ge 2 ] && [ $(($# % 2)) = 0 ] || usage
PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$work"
exec 9>"$work/lock"
flock 9

mirror_sources() {               # whatever mirror this machine uses
    cat /etc/apt/sources.list.d/debian.sources 2>/dev/null ||
        grep '^deb ' /etc/apt/sources.list 2>/dev/null ||
        echo 'deb http://deb.debian.org/debian bookworm main'
}

# --- dom0: Xen, its tools, a kernel, and an init of our own ---------------------
packages=xen-utils-4.17,xen-hypervisor-4.17-amd64,qemu-system-xen,seabios,ipxe-qemu
packages=$packages,linux-image-amd64,kmod,udev,iproute2,mount,procps,busybox-static
write_init() {
    cat <<'INIT'
#!/bin/sh
bin=/usr/lib/xen-4.17/bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -o remount,rw /
mkdir -p /run/xen /run/lock /var/lib/xen /var/log/xen /var/lib/xenstored
for m in xenfs xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xen-netback; do
    modprobe $m
done
mount -t xenfs xenfs /proc/xen
mount -t tmpfs tmpfs /var/lib/xenstored
mount LABEL=guests /guests
ip link set lo up
$bin/xenstored --pid-file /run/xenstored.pid
for i in 1 2 3 4 5 6 7 8 9 10; do
    xenstore-read -s / >/dev/null 2>&1 && break
    sleep 1
done
$bin/xen-init-dom0
$bin/xenconsoled --pid-file=/run/xenconsoled.pid
say() { printf '\nREALXEN %s %s\n' "$(cut -d' ' -f1 /proc/uptime)" "$*"; }
(while :; do echo rehost-net-ok | busybox nc -l -p 7000; done) >/dev/null 2>&1 &
say toolstack up
$bin/xl info | grep -E '^(xen_version|xen_caps|virt_caps)'
for cfg in /guests/*.cfg; do
    n=$(basename "$cfg" .cfg)
    $bin/xl create "$cfg" 2>&1
    say "guest $n created"
    shown=0
    while sleep 3; do
        lines=$(wc -l <"/tmp/$n.serial")
        if [ "$lines" -gt "$shown" ]; then       # whole lines only
            sed -n "$((shown + 1)),${lines}s/^/G$n| /p" "/tmp/$n.serial"
            shown=$lines
        fi
        if grep -aqF -f "/guests/$n.marker" "/tmp/$n.serial"; then
            end="marker seen"
            break
        fi
        $bin/xl list "guest$n" >/dev/null 2>&1 || { end=gone; break; }
    done
    sed -n "$((shown + 1)),\$s/^/G$n| /p" "/tmp/$n.serial"
    say "guest $n $end"
    $bin/xl destroy "guest$n" 2>/dev/null
    busybox killall udhcpd 2>/dev/null
done
sync
echo o >/proc/sysrq-trigger
sleep 60
INIT
}
# The toolstack runs this for each NIC: an address, DHCP, and "it is connected".
write_vif() {
    cat <<'VIF'
#!/bin/sh
[ "$1" = online ] || exit 0
ip addr add 10.0.2.2/24 dev "$vif"
ip addr add 10.0.2.100/24 dev "$vif"
ip link set "$vif" up
cat >/tmp/udhcpd.conf <<EOF
start 10.0.2.15
end 10.0.2.15
interface $vif
lease_file /tmp/leases
pidfile /tmp/udhcpd.pid
option subnet 255.255.255.0
option router 10.0.2.2
EOF
: >/tmp/leases
busybox udhcpd /tmp/udhcpd.conf >/dev/null 2>&1
xenstore-write "$XENBUS_PATH/hotplug-status" connected
VIF
}
dom0_stamp=$({ echo "$packages"; write_init; write_vif; } | sha256sum)
if [ "$(cat "$work/dom0.stamp" 2>/dev/null)" != "$dom0_stamp" ]; then
    rm -rf "$work/root" "$work/dom0.stamp"
    mkdir "$work/root"
    mirror_sources >"$work/sources"
    mmdebstrap --quiet --variant=apt --aptopt='Apt::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --include="$packages" bookworm "$work/dom0.tar" "$work/sources" >"$work/dom0.log" 2>&1 ||
        { tail -5 "$work/dom0.log" >&2; exit 2; }
    tar -C "$work/root" --exclude='./dev/*' -xf "$work/dom0.tar"
    rm "$work/dom0.tar"
    gunzip -c "$work"/root/boot/xen-4.17-amd64.gz >"$work/xen"
    cp "$work"/root/boot/vmlinuz-* "$work/vmlinuz"
    cp "$work"/root/boot/initrd.img-* "$work/initrd.img"
    mkdir -p "$work/root/guests"
    write_init >"$work/root/xinit"
    write_vif >"$work/root/etc/xen/scripts/vif-test"
    chmod 755 "$work/root/xinit" "$work/root/etc/xen/scripts/vif-test"
    rm -f "$work/dom0.img"
    mke2fs -q -t ext4 -L dom0 -d "$work/root" "$work/dom0.img" 1500M >/dev/null
    rm -rf "$work/root"
    echo "$dom0_stamp" >"$work/dom0.stamp"
fi

# --- the guests, on a second disk ----------------------------------------------
side=$(mktemp -d "$work/guests.XXXXXX")
trap 'rm -rf "$side" "$work/guests.img"' EXIT
rm -f "$work"/guest*.serial
count=0
while [ $# -gt 0 ]; do
    count=$((count + 1))
    [ -f "$1" ] || { echo "realxen.sh: no such disk: $1" >&2; exit 2; }
    case $1 in
        *.vhd) format=vhd ;;
        *.qcow2) format=qcow2 ;;
        *) format=raw ;;
    esac
    cp --sparse=always "$1" "$side/$count.disk"
    printf '%s\n' "$2" >"$side/$count.marker"
    # hdtype=ahci: the BIOS reads by DMA, IDE port reads take many minutes here.
    # tsc_mode=native: nothing is trapped that QEMU's SVM reports wrongly.
    cat >"$side/$count.cfg" <<CFG
name="guest$count"
type="hvm"
memory=$ram
vcpus=1
hdtype="ahci"
tsc_mode="native"
disk=['format=$format,vdev=xvda,access=rw,backendtype=qdisk,target=/guests/$count.disk']
vif=['mac=$mac,type=vif,vifname=vifg$count,script=vif-test']
serial='file:/tmp/$count.serial'
vnc=0
sdl=0
usb=0
on_poweroff="destroy"
on_reboot="destroy"
on_crash="destroy"
CFG
    shift 2
done
rm -f "$work/guests.img"
mke2fs -q -t ext4 -L guests -d "$side" "$work/guests.img" \
    $(($(du -sm --apparent-size "$side" | cut -f1) * 5 / 4 + 64))M >/dev/null

# CPU flags taken away, each for a fault of QEMU 7.2's emulation:
#   smap, smep  iret at CPL 3 is checked as a supervisor access (PV dom0 dies)
#   monitor     mwait with ecx=1 raises #GP (Xen dies when idle)
#   rdtscp      its SVM exit is reported as rdtsc (HVM guest dies)
log=$work/xen.log
rm -f "$log"
timeout "$limit" qemu-system-x86_64 -machine q35 -accel tcg,thread=multi \
    -cpu EPYC,-smap,-smep,-monitor,-rdtscp -m 3072 -smp 2 -nodefaults -nographic -no-reboot \
    -serial "file:$log" -kernel "$work/xen" \
    -append 'console=com1 com1=115200,8n1 dom0_mem=1200M,max:1200M dom0_max_vcpus=1 noreboot cpuidle=0 mwait-idle=0' \
    -initrd "$work/vmlinuz root=LABEL=dom0 ro console=hvc0 init=/xinit panic=5,$work/initrd.img" \
    -device ahci,id=ahci \
    -drive "file=$work/dom0.img,format=raw,if=none,id=d0,snapshot=on" -device ide-hd,drive=d0,bus=ahci.0 \
    -drive "file=$work/guests.img,format=raw,if=none,id=d1,snapshot=on" -device ide-hd,drive=d1,bus=ahci.1 \
    >"$work/qemu.err" 2>&1 || true
missing=0
for n in $(seq "$count"); do
    sed -n "s/^G$n| //p" "$log" | tr -d '\r' >"$work/guest$n.serial" || true
    grep -aq "^REALXEN .* guest $n marker seen" "$log" || missing=1
done
grep -a '^REALXEN\|^xen_\|^virt_caps' "$log" || true
exit $missing
