# A static address on ens192, by each of the programs that configure networks on
# Debian: each must find the NIC under its old name on other hardware.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/boot/lib-boot.sh"

keeps_its_address() { # KIND
    guest "$1"
    boot virtio-blk
    expect_up vda1 virtio_net 10.0.2.77/24
    rm -rf "$SCRATCH/kvm" "$SCRATCH/plain"
}
check ifupdown keeps_its_address debian-bios-static
check systemd_networkd keeps_its_address debian-bios-networkd-static
check netplan keeps_its_address debian-bios-netplan-static
check network_manager keeps_its_address debian-bios-nm-static
finish
