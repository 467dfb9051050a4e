# The smallest guest again: on the other disk bus, and by `rehost boot`.
# tests/micro-chain.sh has it on virtio-blk.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/boot/lib-boot.sh"

guest micro

test_boots_on_virtio_scsi() {
    boot virtio-scsi
    expect_up sda1 virtio_net
    expect_json .probe.swap /dev/sda2
}
test_rehost_boot_says_the_same() {
    rehost_boot_agrees 10.0.2.15
}

run_tests
