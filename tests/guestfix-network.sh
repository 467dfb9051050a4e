#!/bin/bash
# guestfix-network.sh - interfaces keep their names, whatever configures them.
#
# Each case is a small guest with one distribution's own way to configure its
# network.  What counts is which name is bound to which NIC afterwards, in the
# guest's files and in its initramfs.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
here=$TOP/tests/guestfix
mkova=$TOP/tests/guests/mkova.py
a=00:50:56:8a:00:0a b=00:50:56:8a:00:0b c=00:50:56:8a:00:0c

# guest KIND NIC... : files on standard input (mkguest.py --with); -- OPTION...
guest() {
    local kind=$1 nics=()
    shift
    need mke2fs sfdisk qemu-img python3
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        nics+=(--nic "$1")
        shift
    done
    [ $# -eq 0 ] || shift
    cat >.files
    python3 "$here/mkguest.py" --with .files "$@" "$kind" g.raw || fail "mkguest $*"
    python3 "$mkova" "${nics[@]}" --name g g.ova g.raw >/dev/null || fail "mkova"
}
convert() { # OPTION...
    run "$REHOST" convert g.ova --to kvm --out out --format raw --overwrite "$@"
    expect_status 0
    run python3 "$here/judge.py" g.raw out/g/disk0.raw g.raw.json out/g/receipt.json
    expect_equal "$stdout" "" "what the judge says"
}
text() { # PATH
    debugfs -R "cat $1" "out/g/disk0.raw?offset=$(($(jq .root g.raw.json) << 20))" 2>/dev/null
}
# "name mac" of each binding, in one line.
expect_bound() {
    local path
    for path in $(jq -r '.edits[].where' out/g/receipt.json | grep '10-rehost-.*link$'); do
        text "$path" | awk -F= '/^MACAddress/{m=$2} /^Name/{n=$2} END{print n, m}'
    done | sort >.bound
    expect_equal "$(tr '\n' ' ' <.bound)" "$1" "names that are bound"
}
expect_unmatched() { # COUNT
    expect_equal "$(jq '[.vms[0].targets[0].findings[]|select(.id=="NIC-UNMATCHED")]|length' \
        out/g/report.json)" "$1" "findings of names without a NIC"
}
image() { # the initramfs, unpacked as the kernel would
    text "$1" >.image
    python3 "$here/unpack.py" .image .unpacked || fail "$1 does not unpack"
}
debian='--without /etc/network/interfaces'

test_ifupdown_bond_and_vlan_name_their_nics_only_below_them() {
    guest debian "$a@192" "$b@224" -- $debian <<'END'
== /etc/network/interfaces
auto lo
iface lo inet loopback
auto lan0
iface lan0 inet static
    address 192.0.2.5/24
    bond-slaves ens192 ens224
    bond-mode active-backup
auto lan0.20
iface lan0.20 inet dhcp
END
    convert
    expect_bound "ens192 $a ens224 $b "
    expect_unmatched 0
}
test_ifupdown_vlan_on_a_nic_that_is_not_mentioned() {
    guest debian "$a@192" -- $debian <<'END'
== /etc/network/interfaces
auto ens192.20
iface ens192.20 inet dhcp
END
    convert
    expect_bound "ens192 $a "
}
test_ifupdown_bridge_ports() {
    guest debian "$a@" "$b@" -- $debian <<'END'
== /etc/network/interfaces
auto wan
iface wan inet static
  bridge_ports  ens224
  address 192.0.2.1
iface   ens192 inet dhcp
END
    convert
    expect_bound "ens192 $a ens224 $b "
}
test_netplan_of_cloud_init_with_set_name() {
    guest ubuntu "$a@192" "$b@224" -- --without /etc/netplan/00-installer-config.yaml <<END
== /etc/netplan/50-cloud-init.yaml 600
network:
    ethernets:
        ens192:
            addresses: [192.0.2.7/24]
            match: {macaddress: '$b'}
            set-name: ens192
        ens224:
            dhcp4: true
    bonds:
        bond0: {interfaces: [ens224]}
    version: 2
END
    convert
    # The MAC address decides, not the slot.
    expect_bound "ens192 $b ens224 $a "
}
test_netplan_by_driver_is_said() {
    guest ubuntu "$a@192" -- --without /etc/netplan/00-installer-config.yaml <<'END'
== /etc/netplan/01.yaml 600
network: {version: 2, ethernets: {lan: {match: {driver: vmxnet3}, dhcp4: true}}}
END
    convert
    expect_unmatched 1
}
test_ifcfg_with_bond_team_range_and_a_file_without_device() {
    guest rocky "$a@192" "$b@224" "$c@256" -- \
        --without /etc/NetworkManager/system-connections/ens192.nmconnection <<END
== /etc/sysconfig/network-scripts/ifcfg-ens192
TYPE=Ethernet
DEVICE=ens192
ONBOOT=yes
MASTER=lan0
SLAVE=yes
== /etc/sysconfig/network-scripts/ifcfg-ens224
TYPE="Ethernet"
NAME="ens224"
DEVICE="ens224"
MASTER=lan0
== /etc/sysconfig/network-scripts/ifcfg-lan0
TYPE=Bond
DEVICE=lan0
BONDING_MASTER=yes
BONDING_OPTS="mode=1 miimon=100"
== /etc/sysconfig/network-scripts/ifcfg-lan0.7
DEVICE=lan0.7
VLAN=yes
== /etc/sysconfig/network-scripts/ifcfg-ens192-range0
IPADDR_START=192.0.2.20
== /etc/sysconfig/network-scripts/ifcfg-Office
NAME=Office
TYPE=Ethernet
HWADDR=$c
BOOTPROTO=dhcp
== /etc/sysconfig/network-scripts/ifcfg-ens256.rpmsave
DEVICE=ens256
END
    convert
    expect_bound "ens192 $a ens224 $b "
    expect_unmatched 0
}
test_an_interface_that_is_not_brought_up_does_not_stand_in_the_way() {
    guest rocky "$a@" -- <<'END'
== /etc/sysconfig/network-scripts/ifcfg-eno1
DEVICE=eno1
ONBOOT=no
END
    convert
    expect_bound "ens192 $a "
}
test_keyfiles_with_bond_ports_and_vlan() {
    guest rocky "$a@" "$b@" -- \
        --without /etc/NetworkManager/system-connections/ens192.nmconnection <<'END'
== /etc/NetworkManager/system-connections/lan.nmconnection 600
[connection]
id=lan
type=bond
interface-name=lan
== /etc/NetworkManager/system-connections/p1.nmconnection 600
[connection]
type=ethernet
interface-name=ens161
master=lan
[ethernet]
cloned-mac-address=02:00:00:00:00:01
== /etc/NetworkManager/system-connections/v.nmconnection 600
[connection]
type=vlan
interface-name=dmz
[vlan]
id=9
parent=ens256
== /etc/NetworkManager/system-connections/old.nmconnection~
[connection]
type=ethernet
interface-name=ens33
END
    convert
    # VMware counts ens256 before ens161.
    expect_bound "ens161 $b ens256 $a "
}
test_keyfile_by_mac_alone_follows_the_nic() {
    guest rocky "$a@192" -- \
        --without /etc/NetworkManager/system-connections/ens192.nmconnection <<'END'
== /etc/NetworkManager/system-connections/lan.nmconnection 600
[connection]
id=lan
type=802-3-ethernet
[802-3-ethernet]
mac-address=00:50:56:01:01:01
END
    convert
    expect_bound ""
    text /etc/NetworkManager/system-connections/lan.nmconnection >.lan
    grep -q "^mac-address=$a\$" .lan || fail "the MAC address is not the NIC's" "$(cat .lan)"
}
test_wicked_with_bond_and_bridge() {
    guest sles "$a@192" "$b@224" -- --without /etc/sysconfig/network/ifcfg-eth0 <<'END'
== /etc/sysconfig/network/ifcfg-bond7
BONDING_MASTER='yes'
BONDING_SLAVE_0='eth1'
== /etc/sysconfig/network/ifcfg-lan
BRIDGE='yes'
BRIDGE_PORTS='eth0'
== /etc/sysconfig/network/ifcfg-vlan9
ETHERDEVICE='eth1'
VLAN_ID='9'
END
    convert
    expect_bound "eth0 $a eth1 $b "
}
test_networkd_lists_of_names_netdevs_and_dashes() {
    guest arch "$a@" "$b@" "$c@" -- --without /etc/systemd/network/20-wired.network <<END
== /etc/systemd/network/10-lan.network
[Match]
Name=ens192 ens224
[Link]
MACAddress=02:00:00:00:00:09
[Network]
Bridge=lan
== /etc/systemd/network/lan.netdev
[NetDev]
Name=lan
Kind=bridge
== /etc/systemd/network/lan.network
[Match]
Name=lan
== /etc/systemd/network/01.link
[Match]
PermanentMACAddress=${c//:/-}
[Link]
Name=wan
== /etc/systemd/network/wan.network
[Match]
Name=wan
[Network]
DHCP=yes
END
    convert
    expect_bound "ens192 $a ens224 $b "
}
test_slots_above_1024_are_the_second_functions() {
    guest debian "$a@256" "$b@1184" "$c@2208" -- $debian <<'END'
== /etc/network/interfaces
auto ens162 ens161 ens256
iface ens162 inet dhcp
iface ens161 inet dhcp
iface ens256 inet dhcp
END
    convert
    expect_bound "ens161 $b ens162 $c ens256 $a "
}
test_eth1_alone_is_bound_in_a_system_before_systemd() {
    guest rhel6 "$a@192" -- --without /etc/sysconfig/network-scripts/ifcfg-eth0 <<END
== /etc/sysconfig/network-scripts/ifcfg-eth1
DEVICE=eth1
ONBOOT=yes
== /etc/udev/rules.d/70-persistent-net.rules
# kept comment
SUBSYSTEM=="net", ACTION=="add", ATTR{address}=="00:0c:29:99:99:99", NAME="eth0"
SUBSYSTEM=="net", KERNEL=="ib*", NAME="ib7"
END
    convert
    text /etc/udev/rules.d/70-persistent-net.rules >.rules
    grep -q "ATTR{address}==\"$a\".*NAME=\"eth1\"" .rules || fail "eth1 is not bound" "$(cat .rules)"
    grep -q 'NAME="ib7"' .rules || fail "another rule is gone" "$(cat .rules)"
    grep -q 99:99:99 .rules && fail "a rule for a NIC that is gone" "$(cat .rules)"
    held
}
test_debian_8_has_rules_and_two_nics() {
    guest debian "$b@" "$a@" -- $debian <<'END'
== /etc/network/interfaces
auto eth0 eth1
iface eth0 inet dhcp
iface eth1 inet dhcp
== /etc/network/interfaces.d/loop -> loop
== /usr/lib/udev/rules.d/75-persistent-net-generator.rules
#
END
    convert
    expect_bound ""
    text /etc/udev/rules.d/70-persistent-net.rules >.rules
    grep -q "\"$b\".*NAME=\"eth0\"" .rules && grep -q "\"$a\".*NAME=\"eth1\"" .rules ||
        fail "the rules" "$(cat .rules)"
    held
}
# systemd before 240 does not name an interface again that its initramfs named,
# and before 245 took "ether" for no type at all.
old_systemd() { # RELEASE
    echo "== /usr/lib/systemd/libsystemd-shared-$1.so"
    echo "== /usr/lib/udev/rules.d/80-net-setup-link.rules +"
    echo 'IMPORT{builtin}="net_setup_link"'
}
initrd=/boot/initrd.img-5.15.0-91-generic
test_old_systemd_has_the_names_in_the_initramfs() {
    old_systemd 237 | guest ubuntu "$a@192"
    convert
    image $initrd
    text /etc/systemd/network/10-rehost-ens192.link >.link
    expect_same_file .unpacked/etc/systemd/network/10-rehost-ens192.link .link
    grep -q Type= .link && fail "Type= matches nothing there" "$(cat .link)"
    cp out/g/disk0.raw again.raw
    python3 "$mkova" --nic "$a@192" --name g g.ova again.raw >/dev/null
    run "$REHOST" convert g.ova --to kvm --out out --format raw --overwrite
    expect_status 0
    expect_json '.edits|length' 0 out/g/receipt.json
}
test_old_systemd_gets_the_names_though_no_driver_is_missing() {
    old_systemd 239 | guest ubuntu "$a@192"
    # Everything is in the image already, as initramfs-tools has it.
    python3 "$here/fullimage.py" g.raw g.raw.json $initrd || fail "fullimage"
    python3 "$mkova" --nic "$a@192" --name g g.ova g.raw >/dev/null
    convert
    image $initrd
    [ -s .unpacked/etc/systemd/network/10-rehost-ens192.link ] || fail "no .link in the image"
    expect_equal "$(jq '[.vms[0].targets[0].findings[]|select(.id=="BOOT-DRIVER-MISSING")]|length' \
        out/g/report.json)" 0 "drivers said to be missing"
}
test_new_systemd_needs_no_change_of_a_full_initramfs() {
    old_systemd 252 | guest ubuntu "$a@192"
    python3 "$here/fullimage.py" g.raw g.raw.json $initrd || fail "fullimage"
    python3 "$mkova" --nic "$a@192" --name g g.ova g.raw >/dev/null
    convert
    expect_json '[.edits[].where]|map(select(startswith("/boot/initrd")))|length' 0 out/g/receipt.json
    text /etc/systemd/network/10-rehost-ens192.link | grep -q '^Type=ether$' || fail "no Type="
    held
}
run_tests
