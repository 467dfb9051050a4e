# Debian 12 whose initramfs was made by dracut, host-only, for PVSCSI.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/boot/lib-boot.sh"

guest debian-dracut

test_source_boots_on_vmware_hardware() {
    boot_source
    expect_up sda1 vmxnet3
}
test_unfixed_it_stops_in_its_initramfs() {
    boot_plain virtio-blk
    expect_no_root
}
test_boots_on_virtio_blk() {
    boot virtio-blk
    expect_up vda1 virtio_net
}
test_boots_on_virtio_scsi() {
    boot virtio-scsi
    expect_up sda1 virtio_net
}
test_boots_on_pvscsi_and_vmxnet3() {
    boot vmware
    expect_up sda1 vmxnet3
}
test_rehost_boot_says_the_same() {
    rehost_boot_agrees 10.0.2.15
}

run_tests
