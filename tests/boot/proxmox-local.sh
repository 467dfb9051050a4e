#!/bin/bash
# proxmox-local.sh - `rehost push --to proxmox-local:`, `rehost convert --out` and
# `rehost warm` to it onto real block devices, in a small Linux of its own, for the device mapper is
# not there on every machine.
# pvesm and qm are stubs; what they hand out is real: LVM-thin volumes (of a pool
# that zeroes new blocks, and of one that does not), plain logical volumes in a
# used volume group, and disks with the shape of ZFS's volumes (16 KiB blocks,
# discards of as much), for which no ZFS is at hand.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/lib-vm.sh"

: "${BOOT_TIMEOUT:=900}"
KERNEL=$(find /boot -maxdepth 1 -name 'vmlinuz-*' | sort -V | tail -n 1)
VERSION=${KERNEL#*vmlinuz-}

# --- the guest ----------------------------------------------------------------------
copy() { # FILE...: to its place, with the libraries that it asks for
    local file
    for file; do
        mkdir -p "root$(dirname "$file")"
        cp -L "$file" "root$file"
        ldd "$file" 2>/dev/null | grep -o '/[^ )]*' | while IFS= read -r lib; do
            mkdir -p "root$(dirname "$lib")"
            [ -e "root$lib" ] || cp -L "$lib" "root$lib"
        done
    done
}
add_modules() { # NAME...: in the order in which they are to be loaded
    local name file
    for name; do
        modprobe -S "$VERSION" --show-depends "$name" 2>/dev/null |
            awk '$1 == "insmod" { print $2 }'
    done | awk '!seen[$0]++' | while IFS= read -r file; do
        mkdir -p "root$(dirname "$file")"
        cp "$file" "root$file"
        echo "insmod $file"
    done >root/modules
}
write_stubs() {
    cat >root/bin/pvesm <<'SH'
#!/bin/sh
# Storages: thin and unzeroed (LVM-thin), thick (LVM), zfs (ready-made disks).
set -eu
kind() {
    case $1 in thin | unzeroed) echo lvmthin ;; thick) echo lvm ;; zfs) echo zfspool ;; *) exit 2 ;; esac
}
case $1 in
status)
    echo "Name Type Status Total Used Available %"
    echo "$3 $(kind "$3") active 1000000 0 1000000 0.00%" ;;
alloc)
    case $2 in
    thin | unzeroed) lvm lvcreate -q -y -V "$5k" --thinpool "vg/$2" -n "$4" >/dev/null ;;
    thick) lvm lvcreate -q -y -an -Wn -L "$5k" -n "$4" vg >/dev/null && lvm lvchange -q -ay "vg/$4" ;;
    zfs)
        # The next disk that is free.
        for disk in vdb vdc vdd vde vdf; do
            [ -e "/zvol/used-$disk" ] || break
        done
        : >"/zvol/used-$disk"
        ln -s "/dev/$disk" "/zvol/$4" ;;
    esac
    echo "successfully created '$2:$4'" ;;
path)
    case $2 in zfs:*) echo "/zvol/${2#*:}" ;; *) echo "/dev/vg/${2#*:}" ;; esac ;;
list)
    echo "Volid Format Type Size VMID"
    { lvm lvs -q --noheadings -o lv_name vg; ls /zvol; } | while read -r name; do
        case $name in vm-*) id=${name#vm-}; echo "$2:$name raw images 1 ${id%%-*}" ;; esac
    done ;;
esac
SH
    cat >root/bin/qm <<'SH'
#!/bin/sh
case $1 in
create) echo "$@" >"/conf-$2" ;;
*) echo "Configuration file 'nodes/pve/qemu-server/$2.conf' does not exist" >&2; exit 2 ;;
esac
SH
    cat >root/bin/pvesh <<'SH'
#!/bin/sh
n=100
while [ -e /conf-$n ]; do n=$((n + 1)); done
echo $n
SH
    chmod +x root/bin/pvesm root/bin/qm root/bin/pvesh
}
write_init() {
    cat >root/init <<'SH'
#!/bin/sh
mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
sh /modules
while [ ! -b /dev/vdf ]; do sleep 1; done
lvm pvcreate -q -ff -y /dev/vda
lvm vgcreate -q vg /dev/vda
lvm lvcreate -q -y -T -L 48m -Zy vg/thin
lvm lvcreate -q -y -T -L 48m -c 256k -Zn vg/unzeroed
push() { # STORAGE NUMBER
    rehost push /web01 --to "proxmox-local:$1" --network-map '*=lo' --vmid "$2" \
        --progress none
    echo "RESULT push $1 status $?"
}
convert() { # STORAGE NUMBER
    rehost convert /vm --to kvm --out "proxmox-local:$1" --network-map '*=lo' \
        --vmid "$2" --no-guest-fix --progress none
    echo "RESULT convert $1 status $?"
}
# Rounds while the disk changes; in between the volume is off, as after a boot.
move() { # STORAGE NUMBER
    dd if=/source/0.raw of=/moving.raw 2>/dev/null
    chmod 666 /moving.raw
    export XDG_STATE_HOME=/state
    step() { # COMMAND ARGUMENT...
        rehost warm "$@" --out "proxmox-local:$storage" --run-as nobody
        echo "RESULT warm $storage $1 status $?"
    }
    storage=$1
    step start /moving.raw --to kvm --set memory=1GiB --set firmware=bios --no-guest-fix \
        --job "$1" --vmid "$2"
    dd if=/dev/urandom of=/moving.raw bs=4096 seek=700 count=20 conv=notrunc 2>/dev/null
    dd if=/dev/zero of=/moving.raw bs=65536 seek=3 count=2 conv=notrunc 2>/dev/null
    [ "$1" = zfs ] || lvm lvchange -q -an vg/$(basename /dev/vg/vm-$2-disk-0-*)
    step sync "$1"
    dd if=/dev/urandom of=/moving.raw bs=512 seek=9999 count=3 conv=notrunc 2>/dev/null
    step cutover "$1"
    set -- "$1" /dev/vg/vm-$2-disk-0-*
    [ "$1" != zfs ] || set -- "$1" /zvol/vm-502-disk-0-*
    cmp -s /moving.raw "$2" && echo "RESULT warm $1 same"
}
compare() { # HOW STORAGE NUMBER
    for i in 0 1; do
        set -- "$1" "$2" "$3" /dev/vg/vm-$3-disk-$i-*
        [ "$2" != zfs ] || set -- "$1" "$2" "$3" /zvol/vm-$3-disk-$i-*
        size=$(stat -c %s /source/$i.raw)
        whole=$(blockdev --getsize64 "$4")
        cmp -s -n "$size" "/source/$i.raw" "$4" && echo "RESULT $1 $2 disk $i same"
        tail -c $((whole - size)) "$4" | tr -d '\0' | wc -c |
            { read -r n; echo "RESULT $1 $2 disk $i behind $n of $((whole - size))"; }
    done
}
lvm lvs --noheadings -o lv_name,data_percent vg | sed 's/^/BEFORE /'
for storage in thin:200 unzeroed:300 thick:400 zfs:500; do
    number=${storage#*:}
    push ${storage%:*} $number
    compare push ${storage%:*} $number
    convert ${storage%:*} $((number + 1))
    compare convert ${storage%:*} $((number + 1))
    move ${storage%:*} $((number + 2))
done
lvm lvs --noheadings --nosuffix --units b -o lv_name,lv_size,data_percent vg | sed 's/^/AFTER /'
# What the guest gives back goes back: a discard of all.
blkdiscard /dev/vg/vm-200-disk-0-*
lvm lvs --noheadings -o lv_name,data_percent vg | sed 's/^/DISCARDED /'
sync
echo RESULT end
poweroff -f
SH
    chmod +x root/init
}
make_guest() { # a Linux that pushes and compares, as ./initrd
    mkdir -p root/bin root/sbin root/zvol root/source root/proc root/sys root/dev \
        root/etc/lvm root/run root/tmp root/root
    mkdir -p root/var/tmp root/var/lib root/state
    chmod 1777 root/var/tmp root/state
    # Who converts is nobody, who reads what rehost brings with it.
    echo "nobody:x:65534:65534::/nonexistent:/bin/sh" >root/etc/passwd
    echo "nogroup:x:65534:" >root/etc/group
    (cd "$TOP" && find profiles docs/schemas targets base/errors.def -name '*.yaml' \
        -o -name '*.json' -o -name errors.def) | while IFS= read -r file; do
        mkdir -p "root$TOP/${file%/*}"
        cp "$TOP/$file" "root$TOP/$file"
    done
    cp /bin/busybox root/bin/
    for name in $(/bin/busybox --list); do
        [ -e "root/bin/$name" ] || ln -s busybox "root/bin/$name"
    done
    copy /sbin/lvm "$REHOST" "$BUILD/librehost.so.1"
    mv root/sbin/lvm root/bin/lvm
    ln -s lvm root/bin/lvchange
    ln -sf "$REHOST" root/bin/rehost
    printf '%s\n' 'global { thin_check_executable = "" thin_repair_executable = "" }' \
        'activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }' \
        'devices { obtain_device_list_from_udev = 0 use_devicesfile = 0 external_device_info_source = "none" }' \
        'backup { backup = 0 archive = 0 }' >root/etc/lvm/lvm.conf
    add_modules virtio_pci virtio_blk dm-mod dm-thin-pool
    write_stubs
    write_init
    cp -r kvm/web01 root/web01
    cp -r vm root/vm
    cp "$SCRATCH/0.raw" "$SCRATCH/1.raw" root/source/
    chmod -R a+rX root
    (cd root && find . | cpio -o -H newc --quiet) >initrd
}
boot_it() {
    local disks=(pv.raw zvol0.raw zvol1.raw zvol2.raw zvol3.raw zvol4.raw) drives=() i shape
    # What others have left, everywhere in the volume group.
    { head -c 1M /dev/zero; head -c 223M /dev/zero | tr '\0' '\252'; } >pv.raw
    truncate -s 8388608 zvol0.raw zvol2.raw zvol4.raw
    truncate -s 5242880 zvol1.raw zvol3.raw
    for i in "${!disks[@]}"; do
        shape=
        [ "$i" = 0 ] || shape=,logical_block_size=512,physical_block_size=16384,min_io_size=16384,opt_io_size=16384,discard_granularity=16384
        drives+=(-drive "file=${disks[i]},format=raw,if=none,id=d$i,cache=unsafe,discard=unmap"
            -device "virtio-blk-pci,drive=d$i$shape")
    done
    timeout "$BOOT_TIMEOUT" qemu-system-x86_64 -machine q35,usb=off,graphics=off \
        -accel tcg,thread=multi -cpu max,la57=off,svm=off -m 512 -nodefaults \
        -no-user-config -display none -vga none -serial file:serial -nic none -no-reboot -kernel "$KERNEL" \
        -initrd initrd -append "console=ttyS0 loglevel=5 panic=1" \
        "${drives[@]}" </dev/null >qemu.log 2>&1
    cat qemu.log serial | tr -d '\r' >console
}

# --- once, for all tests --------------------------------------------------------------
cd "$SCRATCH" || exit 1
missing=''
for tool in qemu-system-x86_64 cpio busybox lvm modprobe; do
    command -v $tool >/dev/null || missing=$tool
done
[ -n "$KERNEL" ] && [ -r "$KERNEL" ] || missing="a kernel in /boot"
if [ -z "$missing" ]; then
    make_vm web01 nics=1 "disks=8388608 5242880" >/dev/null
    "$REHOST" convert vm --to kvm --out kvm --no-guest-fix >/dev/null || exit 1
    make_guest
    boot_it
    # How much of each volume is there: `lvs`, in percent.
    grep -E '^(BEFORE|AFTER|DISCARDED) ' console | sed 's/^/# /'
fi
ran() {
    [ -z "$missing" ] || skip_test "$missing is not there"
    grep -q '^RESULT end' console || fail "the guest did not come to its end" \
        "$(tail -n 30 console)"
}
said() { # LINE
    grep -qxF "$1" "$SCRATCH/console" ||
        fail "expected: $1" "$(grep -v '^\[' "$SCRATCH/console" | tail -n 60)"
    held
}
expect_same() { # STORAGE
    local how i
    cd "$SCRATCH" || exit 1
    ran
    for how in push convert; do
        said "RESULT $how $1 status 0"
        for i in 0 1; do
            said "RESULT $how $1 disk $i same"
        done
    done
    for how in start sync cutover; do
        said "RESULT warm $1 $how status 0"
    done
    said "RESULT warm $1 same"
}
# Of a volume's blocks, the percent that are there: BEFORE|AFTER|DISCARDED NAME
percent() {
    awk -v when="$1" -v name="$2" '$1 == when && index($2, name) == 1 { print $NF }' \
        "$SCRATCH/console"
}

test_lvm_thin() {
    local data number
    expect_same thin
    # Zeros took no blocks of the pool; a discard gives back the others.
    data=$(($(du -B1 "$SCRATCH/0.raw" | cut -f1) * 100 / 8388608 + 20))
    for number in 200 201; do
        expect_equal "$(echo "$(percent AFTER vm-$number-disk-0) > 0 &&
            $(percent AFTER vm-$number-disk-0) <= $data" | bc)" 1 \
            "percent of the volume in use"
    done
    expect_equal "$(percent DISCARDED vm-200-disk-0)" 0.00 "after a discard"
}
# A pool that hands out blocks as they are: what is not data must be zero, too.
test_lvm_thin_whose_pool_does_not_zero() {
    expect_same unzeroed
}
test_lvm_with_old_data() {
    expect_same thick
    said "RESULT push thick disk 1 behind 0 of 3145728"
    said "RESULT convert thick disk 1 behind 0 of 3145728"
}
test_disks_with_the_shape_of_zfs_volumes() {
    local i
    expect_same zfs
    # The same seen from outside, once the guest is gone.
    for i in 0 1 2 3; do
        run cmp "$SCRATCH/$((i % 2)).raw" "$SCRATCH/zvol$i.raw"
        expect_status 0
    done
    for i in 0 2; do
        expect_equal $(($(du -B1 "$SCRATCH/zvol$i.raw" | cut -f1) <=
            $(du -B1 "$SCRATCH/0.raw" | cut -f1) + 1048576)) 1 "holes stay holes"
    done
}
run_tests
