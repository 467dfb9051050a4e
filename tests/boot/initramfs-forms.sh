# An initramfs comes in many forms; drivers added to it must be found in each.
# The micro guest shows what the kernel takes, Debian what its tools make of it.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/boot/lib-boot.sh"

boots_in_form() { # KIND ROOT-DISK HARDWARE
    guest "$1"
    boot "$3"
    expect_up "$2" virtio_net
    rm -rf "$SCRATCH/kvm" "$SCRATCH/plain"
}
for form in zstd xz lz4 none early zstd-early xz-early usrmerge-zstd; do
    check "micro_$form" boots_in_form "micro-$form" vda1 virtio-blk
done
check debian_initramfs_tools_zstd_early boots_in_form debian-bios-zstd-early vda1 virtio-blk
check debian_initramfs_tools_xz boots_in_form debian-bios-xz sda1 virtio-scsi
check debian_dracut_zstd_early boots_in_form debian-dracut-zstd-early vda1 virtio-blk
check debian_dracut_xz boots_in_form debian-dracut-xz sda1 virtio-scsi
finish
