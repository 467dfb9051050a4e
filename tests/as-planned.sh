#!/bin/bash
# What report lists is what convert does and writes down, exactly: for every
# descriptor of tests/ovf with made-up disks, every odd package, odd disks,
# Prism's answers, and guests that get changed inside (as_planned.py compares).
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
need_here() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null && continue
        skip as_planned "$tool is not installed"
        finish
        exit 0
    done
}
need_here python3 qemu-img jq mke2fs sfdisk mformat

CASES=$SCRATCH/cases
# A case: its package's path below its folder, then options.
add_case() { # NAME SOURCE OPTION...
    local dir=$CASES/$1
    mkdir -p "$dir"
    echo "$2" >"$dir/source"
    shift 2
    printf '%s\n' "$@" >"$dir/args"
}

# --- descriptors, with the options that their own comments give -----------------
descriptors() {
    local file name word args
    for file in "$TOP"/tests/ovf/*.ovf "$TOP"/tests/ovf/*.vmx; do
        name=$(basename "$file")
        args=()
        for word in $(sed -n -E '/-->/q; s/^(  |# )args //p' "$file"); do
            case $word in
            fill=*) args+=(--fill "$TOP/tests/ovf/${word#*=}") ;;
            *=*) args+=("--${word%%=*}" "${word#*=}") ;;
            *) args+=("--$word") ;;
            esac
        done
        add_case "${name%.*}" "$name" "${args[@]}"
        cp "$file" "$CASES/${name%.*}/"
    done
}

# --- packages and disks of odd kinds ----------------------------------------------
packages() {
    local name path
    python3 "$TOP/tests/disks/make_vmdk.py" make stream-full-zero \
        --out "$SCRATCH/vmdk" --size 8388608 >/dev/null
    python3 "$TOP/tests/mkpackage.py" odd \
        "$SCRATCH/vmdk/stream-full-zero/disk.vmdk" "$SCRATCH/odd" >"$SCRATCH/list"
    while read -r name path; do
        add_case "package-$name" "${path#"$SCRATCH/odd/$name/"}"
        mv "$SCRATCH/odd/$name"/* "$CASES/package-$name/"
    done <"$SCRATCH/list"
}
# The disks that have something to say.
disks() {
    local name odd=(sparse-gd-damaged sparse-gt-damaged sparse-gte-1-no-flag
        sparse-unclean stream-zero-tail chain-2)
    python3 "$TOP/tests/disks/make_vmdk.py" make "${odd[@]}" \
        --out "$SCRATCH/odd-vmdk" >/dev/null 2>&1
    for name in "$SCRATCH"/odd-vmdk/*/; do
        name=$(basename "$name")
        add_case "disk-$name" disk.vmdk --set memory=1GiB
        cp "$SCRATCH/odd-vmdk/$name"/* "$CASES/disk-$name/"
    done
    mkdir "$SCRATCH/vhd"
    python3 "$TOP/tests/disks/make_vhd.py" "$SCRATCH/vhd"
    for name in chs-qemu.vhd footer-cut.vhd no-copy.vhd saved-state.vhd \
        header-1-bad.vhdx sectors-4k.vhdx; do
        add_case "disk-$name" "$name" --set memory=1GiB
        cp "$SCRATCH/vhd/$name" "$CASES/disk-$name/"
    done
    python3 "$TOP/tests/disks/make_qcow2.py" make "$SCRATCH/qcow2" dirty \
        >/dev/null
    add_case disk-dirty.qcow2 disk.qcow2 --set memory=1GiB
    cp "$SCRATCH/qcow2/dirty/disk.qcow2" "$CASES/disk-dirty.qcow2/"
}

# --- options -------------------------------------------------------------------------
options() {
    truncate -s 8M "$SCRATCH/plain.raw"
    python3 "$TOP/tests/guests/mkova.py" --name plain --guest debian12_64Guest \
        "$SCRATCH/plain.ova" "$SCRATCH/plain.raw" >/dev/null
    set -- "too-many-cpus --set cpus=4000" "blocked-on-one --set cpus=100" \
        "devices --devices vmware" "emulated --devices emulated" \
        "old-xen --target-version 8.2 --set tpm=yes" "no-fix --no-guest-fix" \
        "uefi --set firmware=uefi --set secure_boot=yes --network-map *=net0" \
        "strict --strict" "named --set name=another" "manifest --require-manifest" \
        "bad-word --devices steam" "no-such-key --set cpu=1" \
        "windows --set os=windows-2019" "solaris --set os=solaris"
    local line
    for line; do
        # shellcheck disable=SC2086 # words of one line each
        (set -f; add_case "option-${line%% *}" plain.ova ${line#* })
        cp "$SCRATCH/plain.ova" "$CASES/option-${line%% *}/"
    done
}

# --- guests ------------------------------------------------------------------------
guest() { # NAME MKGUEST-ARGUMENT...
    local name=$1 dir=$CASES/guest-$1 firmware=bios
    shift
    case "$*" in *"--layout uefi"*) firmware=efi ;; esac
    add_case "guest-$name" guest.vmx
    python3 "$TOP/tests/guestfix/mkguest.py" "$@" "$dir/guest.raw" || exit 1
    # What a raw file has allocated may change from one look to the next.
    qemu-img convert -q -O qcow2 "$dir/guest.raw" "$dir/guest.qcow2"
    rm -f "$dir/guest.raw" "$dir/guest.raw.json"
    cat >"$dir/guest.vmx" <<VMX
.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "19"
displayName = "guest-$name"
guestOS = "otherlinux-64"
memSize = "1024"
firmware = "$firmware"
scsi0.present = "TRUE"
scsi0.virtualDev = "pvscsi"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "guest.qcow2"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "vmxnet3"
ethernet0.networkName = "VM Network"
ethernet0.addressType = "static"
ethernet0.address = "00:50:56:8a:12:34"
VMX
}
guests() {
    local kind ova
    for kind in debian ubuntu rocky sles rhel6 alpine arch; do
        guest "$kind" "$kind"
    done
    guest lvm --layout lvm rocky
    guest uefi --layout uefi debian
    guest hibernated --hibernated debian
    guest unified-kernel --uki --layout uefi debian
    guest strange --strange debian
    guest no-module --no-module virtio_scsi debian
    guest by-mac --by-mac ubuntu
    guest no-kernel --without /boot/vmlinuz-6.1.0-18-amd64 \
        --without /boot/initrd.img-6.1.0-18-amd64 debian
    guest no-loader --without /boot/grub/grub.cfg debian
    guest efi-stub --layout uefi --bare-esp debian
    printf '%s\n' '== /etc/os-release' ID=nixos '== /nix/store/a/fstab' \
        '/dev/sda1 / ext4 defaults 0 1' '== /etc/fstab -> /nix/store/a/fstab' >"$SCRATCH/nixos"
    guest nixos --without /etc/fstab --without /etc/os-release --with "$SCRATCH/nixos" debian
    printf '%s\n' '== /etc/lilo.conf' 'image=/boot/vmlinuz' ' initrd=/boot/initrd.gz' >"$SCRATCH/lilo"
    guest lilo --without /boot/grub/grub.cfg --kernel vmlinuz --image initrd.gz --with "$SCRATCH/lilo" debian
    printf '%s\n' '== /etc/redhat-release' 'CentOS release 5.11 (Final)' >"$SCRATCH/el5"
    guest mkinitrd --mark bin/nash --with "$SCRATCH/el5" rhel6
    guest no-network --without /etc/network/interfaces debian
    ova=$("$TOP/tests/guests/get.sh" --ova micro 2>/dev/null) || return 0
    add_case guest-micro guest.ova
    ln -s "$ova" "$CASES/guest-micro/guest.ova"
}

# A VM with one disk that lies on a LUN: a blocker, and refused.
lun() {
    add_case disk-on-a-lun guest.vmx
    cp "$CASES/guest-debian/guest.qcow2" "$CASES/disk-on-a-lun/"
    { cat "$CASES/guest-debian/guest.vmx"
      echo 'scsi0:1.present = "TRUE"'
      echo 'scsi0:1.fileName = "lun.vmdk"'; } >"$CASES/disk-on-a-lun/guest.vmx"
    printf '%s\n' '# Disk DescriptorFile' version=1 CID=00000003 \
        parentCID=ffffffff 'createType="vmfsRawDeviceMap"' \
        'RW 16384 VMFSRDM "rule-rdm.vmdk"' >"$CASES/disk-on-a-lun/lun.vmdk"
}
# The same guests with every choice of devices.
choices() {
    local kind devices
    for kind in debian rocky; do
        for devices in virtio vmware emulated; do
            add_case "guest-$kind-$devices" guest.vmx --devices $devices \
                --network-map '*=net0'
            cp "$CASES/guest-$kind"/guest.* "$CASES/guest-$kind-$devices/"
        done
    done
}

descriptors
packages
disks
options
guests
lun
choices
python3 "$TOP/tests/as_planned.py" "$REHOST" "$CASES" ||
    not_ok as_planned_the_comparison_ran
finish
