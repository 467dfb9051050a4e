# Where the root file system may lie: UEFI and GPT, LVM, XFS, btrfs.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/boot/lib-boot.sh"

comes_up() { # KIND ROOT-DISK
    guest "$1"
    boot_source
    expect_status 0
    boot_plain virtio-blk
    expect_no_root
    boot virtio-blk
    expect_up "$2" virtio_net
    rm -rf "$SCRATCH/kvm" "$SCRATCH/plain"
}
check uefi comes_up micro-uefi vda2
check lvm comes_up micro-lvm vda1
check uefi_lvm_zstd_early comes_up micro-uefi-lvm-zstd-early vda2
check xfs comes_up micro-xfs vda1
check boot_apart_xfs_in_lvm comes_up micro-lvm-xfs-boot vda2
check btrfs comes_up micro-btrfs vda1
finish
