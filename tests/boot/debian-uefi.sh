# Debian 12 with UEFI, GPT, an ESP, root and swap in LVM, and a static address.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/boot/lib-boot.sh"

guest debian-uefi-static

test_source_boots_on_vmware_hardware() {
    boot_source
    expect_up sda2 vmxnet3 10.0.2.77/24
}
test_unfixed_it_stops_in_its_initramfs() {
    boot_plain virtio-blk
    expect_no_root
}
test_boots_on_virtio_blk() {
    boot virtio-blk
    expect_up vda2 virtio_net 10.0.2.77/24
    expect_json .probe.firmware uefi
    expect_json '.probe.swap | test("^/dev/(dm-1|mapper/vg0-swap)$")' true
}
test_boots_on_virtio_scsi() {
    boot virtio-scsi
    expect_up sda2 virtio_net 10.0.2.77/24
}
test_boots_on_pvscsi_and_vmxnet3() {
    boot vmware
    expect_up sda2 vmxnet3 10.0.2.77/24
}
test_rehost_boot_says_the_same() {
    rehost_boot_agrees -
}

run_tests
