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
    python3 "$here/mkguest.py" --with .files --ova "${nics[*]} --name g g.ova" "$@" \
        "$kind" g.raw || fail "mkguest $*"
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
mode_of() { # PATH: 0600
    debugfs -R "stat $1" "out/g/disk0.raw?offset=$(($(jq .root g.raw.json) << 20))" 2>/dev/null |
        sed -n 's/.*Mode: *\([0-7]*\).*/\1/p'
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
expect_guessed() { # COUNT
    expect_equal "$(jq '[.vms[0].targets[0].findings[]|select(.id=="NIC-GUESSED")]|length' \
        out/g/report.json)" "$1" "findings of guessed names"
}
expect_file() { # PATH: its whole text, on standard input
    cat >.want
    text "$1" >.found
    expect_same_file .found .want
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
    guest ubuntu "$a@192" "$b@224" -- --without /etc/netplan/00-installer-config.yaml <<'END'
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
    # The third goes by its MAC address; the name of its slot is kept as well.
    expect_bound "ens192 $a ens224 $b ens256 $c "
    expect_unmatched 0
}
# What the shell leaves out is no name: "# the LAN" gave NICs "the" and "LAN".
test_ifcfg_with_comments_behind_its_values() {
    guest rocky "$a@" "$b@" -- \
        --without /etc/NetworkManager/system-connections/ens192.nmconnection <<END
== /etc/sysconfig/network-scripts/ifcfg-lan
DEVICE="lan0"   # the LAN
HWADDR="$b" # second
IPADDR='192.0.2.5' # ours
PREFIX=24
== /etc/sysconfig/network-scripts/ifcfg-wan
export DEVICE=wan0; ONBOOT=yes
HWADDR=$a	# first
END
    convert
    expect_bound "lan0 $b wan0 $a "
    expect_json '.vms[0].targets[0].guest.nics[0].addresses|tostring' '["192.0.2.5/24"]' \
        out/g/report.json
}
test_ifupdown_lines_that_go_on() {
    guest debian "$a@192" "$b@224" -- $debian <<'END'
== /etc/network/interfaces
# not this one \
auto lo \
    lan0
iface lan0 inet static
    address \
        192.0.2.5/24
rename ens192=lan0
END
    convert
    expect_json '.vms[0].targets[0].guest.nics|map(select(.name=="lan0"))[0].addresses|tostring' \
        '["192.0.2.5/24"]' out/g/report.json
}
test_an_argument_in_a_comment_is_none() {
    guest debian "$a@192" -- $debian --without /etc/default/grub <<'END'
== /etc/default/grub
#GRUB_CMDLINE_LINUX="net.ifnames=0 biosdevname=0"
END
    convert
    expect_bound "ens192 $a "
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
    expect_bound "ens192 $a "
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
# --- the slot, in every spelling ------------------------------------------------
# 192 is 0b:00.0, 224 is 13:00.0, 1184 is 04:00.0, 33 is 02:01.0.
test_names_by_bus_and_device_and_of_the_board() {
    guest debian "$a@224" "$b@192" "$c@33" -- $debian <<'END'
== /etc/network/interfaces
auto enp11s0 enp19s0 eno16777736
iface enp11s0 inet dhcp
iface enp19s0 inet dhcp
iface eno16777736 inet dhcp
END
    convert
    expect_bound "eno16777736 $c enp11s0 $b enp19s0 $a "
    expect_guessed 0
}
test_two_names_of_one_slot_are_both_kept() {
    { echo "== /usr/lib/systemd/libsystemd-shared-252.so"
      cat <<'END'
== /etc/network/interfaces
auto ens192
iface ens192 inet dhcp
iface enp11s0 inet6 auto
END
    } | guest debian "$a@192" "$b@224" -- $debian
    convert
    text /etc/systemd/network/10-rehost-enp11s0.link >.link
    grep -qx Name=enp11s0 .link && grep -qx AlternativeName=ens192 .link ||
        fail "both names" "$(cat .link)"
    expect_unmatched 0
}
test_netplan_matches_by_name() {
    guest ubuntu "$a@224" "$b@192" -- --without /etc/netplan/00-installer-config.yaml <<'END'
== /etc/netplan/01.yaml 600
network:
  ethernets:
    one: {match: {name: ens192}, dhcp4: true}
    two: {match: {name: enp19s0}, dhcp4: true}
END
    convert
    expect_bound "enp19s0 $a ens192 $b "
    expect_guessed 0
}
test_links_and_networks_by_path() {
    guest arch "$a@224" "$b@192" -- --without /etc/systemd/network/20-wired.network <<'END'
== /etc/systemd/network/10-wan.link
[Match]
Path=pci-0000:0b:00.0
[Link]
Name=wan
== /etc/systemd/network/10-wan.network
[Match]
Name=wan
[Network]
Address=192.0.2.9/24
== /etc/systemd/network/20-lan.network
[Match]
Path=pci-0000:13:00.0
[Network]
DHCP=yes
END
    convert
    expect_bound "ens224 $a wan $b "
    expect_file /etc/systemd/network/20-lan.network <<'END'
[Match]
# rehost: Path=pci-0000:13:00.0
Name=ens224
[Network]
DHCP=yes
END
    expect_json '.vms[0].targets[0].guest.nics|map([.name,.mac,.slot,.addresses[0],.dhcp])|tostring' \
        "[[\"wan\",\"$b\",192,\"192.0.2.9/24\",false],[\"ens224\",\"$a\",224,null,true]]" out/g/report.json
}
test_keyfiles_by_path() {
    guest rocky "$a@224" "$b@192" -- \
        --without /etc/NetworkManager/system-connections/ens192.nmconnection <<'END'
== /etc/NetworkManager/system-connections/lan.nmconnection 600
[connection]
id=lan
type=ethernet
[match]
path=pci-0000:0b:00.0;
[ipv4]
method=manual
address1=192.0.2.5/24,192.0.2.1
dns=192.0.2.53;
END
    convert
    expect_bound "ens192 $b ens224 $a "
    text /etc/NetworkManager/system-connections/lan.nmconnection >.lan
    grep -qx interface-name=ens192 .lan && grep -qx '# rehost: path=.*' .lan ||
        fail "the match" "$(cat .lan)"
}
test_rules_of_yast_by_place() {
    guest sles "$a@224" "$b@192" -- --without /etc/sysconfig/network/ifcfg-eth0 <<'END'
== /etc/udev/rules.d/70-persistent-net.rules
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", KERNELS=="0000:0b:00.0", NAME="lan0"
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", KERNELS=="0000:13:00.0", NAME="lan1"
== /etc/sysconfig/network/ifcfg-lan0
STARTMODE='auto'
BOOTPROTO='static'
IPADDR='192.0.2.12/24'
== /etc/sysconfig/network/ifcfg-lan1
STARTMODE='auto'
BOOTPROTO='dhcp'
== /etc/sysconfig/network/routes
default 192.0.2.1 - -
== /etc/resolv.conf
nameserver 192.0.2.53
END
    convert
    expect_bound "lan0 $b lan1 $a "
    expect_guessed 0
    expect_json '.vms[0].targets[0].guest.nics|map(select(.name=="lan0"))[0]|[.addresses,.gateways,.dns]|tostring' \
        '[["192.0.2.12/24"],["192.0.2.1"],["192.0.2.53"]]' out/g/report.json
}
test_plain_eth_names_go_by_the_order_on_the_bus() {
    guest rhel6 "$a@192" "$b@1184" "$c@256" -- --without /etc/sysconfig/network-scripts/ifcfg-eth0 \
        --without /etc/udev/rules.d/70-persistent-net.rules <<'END'
== /etc/sysconfig/network-scripts/ifcfg-eth0
DEVICE=eth0
ONBOOT=yes
== /etc/sysconfig/network-scripts/ifcfg-eth1
DEVICE=eth1
ONBOOT=yes
END
    convert
    text /etc/udev/rules.d/70-persistent-net.rules >.rules
    grep -q "\"$b\".*NAME=\"eth0\"" .rules && grep -q "\"$a\".*NAME=\"eth1\"" .rules ||
        fail "the rules" "$(cat .rules)"
    expect_guessed 0
}
test_in_order_is_called_a_guess() {
    guest debian "$b@" "$a@" -- $debian <<'END'
== /etc/network/interfaces
auto lan0 lan1
iface lan0 inet dhcp
iface lan1 inet dhcp
END
    convert
    expect_bound "lan0 $b lan1 $a "
    expect_guessed 1
    convert --set nic1.guest_name=lan0
    expect_bound "lan0 $a lan1 $b "
    convert --set nic0.guest_name=lan1 --set nic1.guest_name=lan0
    expect_bound "lan0 $a lan1 $b "
    expect_guessed 0
}
test_every_nic_keeps_its_name_though_no_file_is_known_to_use_it() {
    guest debian "$a@192" "$b@224" -- $debian <<'END'
== /etc/keepalived/keepalived.conf
vrrp_instance a { interface ens224 }
== /etc/nftables.conf
iifname "ens192" accept
END
    convert
    expect_bound "ens192 $a ens224 $b "
    expect_equal "$(jq '[.vms[0].targets[0].findings[]|select(.id=="GUEST-NO-NETWORK")]|length' \
        out/g/report.json)" 1 "findings of no network configuration"
}
test_files_that_others_source() {
    guest debian "$a@224" "$b@192" -- $debian <<'END'
== /etc/network/interfaces
source /etc/network/more/*.cfg
== /etc/network/more/a.cfg
auto enp19s0
iface enp19s0 inet static
  address 192.0.2.8
  netmask 255.255.255.128
  gateway 192.0.2.1
  dns-nameservers 192.0.2.53 192.0.2.54
END
    convert
    expect_bound "enp19s0 $a ens192 $b "
    expect_json '.vms[0].targets[0].guest.nics|map(select(.name=="enp19s0"))[0]|del(.mac)|tojson' \
        '{"name":"enp19s0","slot":224,"addresses":["192.0.2.8/25"],"gateways":["192.0.2.1"],"dns":["192.0.2.53","192.0.2.54"],"dhcp":false}' \
        out/g/report.json
}
test_distributions_that_go_their_own_way() {
    guest arch "$a@224" "$b@192" "$c@256" -- --without /etc/systemd/network/20-wired.network <<'END'
== /etc/conf.d/net
config_enp11s0="192.0.2.4/24"
routes_enp11s0="default via 192.0.2.1"
== /etc/netctl/lan
Interface=ens224
Connection=ethernet
IP=static
Address=('192.0.2.5/24')
== /etc/dhcpcd.conf
interface enp27s0
static ip_address=192.0.2.6/24
END
    convert
    expect_bound "enp11s0 $b enp27s0 $c ens224 $a "
    expect_json '.vms[0].vm.guest.nics|map(.addresses[0])|sort|tostring' \
        '["192.0.2.4/24","192.0.2.5/24","192.0.2.6/24"]' out/g/report.json
}
# --- a MAC address that changes, in every file that holds it ------------------------
test_every_file_with_the_old_address_follows() {
    guest rhel6 "$a@192" -- --without /etc/sysconfig/network-scripts/ifcfg-eth0 \
        --without /etc/udev/rules.d/70-persistent-net.rules <<'END'
== /etc/sysconfig/network-scripts/ifcfg-eth0
DEVICE=eth0
HWADDR=00:0C:29:11:22:33
ONBOOT=yes
== /etc/udev/rules.d/70-persistent-net.rules
SUBSYSTEM=="net", ACTION=="add", ATTR{address}=="00:0c:29:11:22:33", NAME="eth0"
END
    convert
    text /etc/sysconfig/network-scripts/ifcfg-eth0 | grep -qx "HWADDR=$a" || fail "HWADDR"
    expect_equal "$(text /etc/udev/rules.d/70-persistent-net.rules | grep -c 00:0c:29:11:22:33)" 0 \
        "rules of the old address"
    guest ubuntu "$a@192" -- --without /etc/netplan/00-installer-config.yaml <<'END'
== /etc/netplan/50-cloud-init.yaml 600
network: {ethernets: {ens192: {match: {macaddress: "00:0c:29:11:22:33"}, set-name: ens192}}}
== /etc/netplan/90-more.yaml 600
network: {ethernets: {ens192: {match: {macaddress: "00:0C:29:11:22:33"}, dhcp4: true}}}
== /etc/systemd/network/50-cloud-init-ens192.link
[Match]
MACAddress=00-0c-29-11-22-33
[Link]
Name=ens192
END
    convert
    text /etc/netplan/50-cloud-init.yaml | grep -q "macaddress: \"$a\"" || fail 50-cloud-init.yaml
    text /etc/netplan/90-more.yaml | grep -q "macaddress: \"$a\"" || fail 90-more.yaml
    text /etc/systemd/network/50-cloud-init-ens192.link | grep -qx "MACAddress=${a//:/-}" ||
        fail "the .link of cloud-init"
}
test_a_match_by_driver_beside_another_is_dropped() {
    guest ubuntu "$a@192" "$b@224" -- --without /etc/netplan/00-installer-config.yaml <<END
== /etc/netplan/50-cloud-init.yaml 600
network:
  ethernets:
    eth0:
      match:
        driver: hv_netvsc
        macaddress: "$a"
      dhcp4: true
END
    convert
    expect_file /etc/netplan/50-cloud-init.yaml <<END
network:
  ethernets:
    eth0:
      match:
        # rehost: driver: hv_netvsc
        macaddress: "$a"
      dhcp4: true
END
    expect_unmatched 0
}
test_cloud_init_that_has_never_run_keeps_its_first_start() {
    guest debian "$a@192" -- --without /var/lib/cloud/data/instance-id <<'END'
== /etc/hostname
template
END
    convert
    expect_equal "$(text /etc/cloud/cloud.cfg.d/99-rehost.cfg | wc -c)" 0 "bytes of 99-rehost.cfg"
    guest debian "$a@192" -- --without /var/lib/cloud/data/instance-id <<'END'
== /var/lib/cloud/instances/i-1/sem/config_set_hostname
END
    convert
    text /etc/cloud/cloud.cfg.d/99-rehost.cfg | grep -q 'config: disabled' || fail "99-rehost.cfg"
}
# --- older and smaller systems
test_files_of_sles_10_are_named_by_the_address_of_now() {
    guest sles "$a@192" -- --without /etc/sysconfig/network/ifcfg-eth0 <<'END'
== /etc/sysconfig/network/ifcfg-eth-id-00:0c:29:11:22:33 600
STARTMODE='auto'
BOOTPROTO='static'
IPADDR='192.0.2.12/24'
END
    convert
    text "/etc/sysconfig/network/ifcfg-eth-id-$a" | grep -q "192.0.2.12" || fail "no file of the new address"
    expect_equal "$(text /etc/sysconfig/network/ifcfg-eth-id-00:0c:29:11:22:33 | wc -c)" 0 "bytes of the old one"
    expect_equal "$(mode_of "/etc/sysconfig/network/ifcfg-eth-id-$a")" 0600 "its mode"
    expect_json '[.vms[0].targets[0].guest.nics[].name]|index("eth-id-00")' null out/g/report.json
}
test_aliases_and_kudzu_of_el5() {
    guest rhel6 "$a@192" -- <<'END'
== /etc/modprobe.conf
alias eth0 vmxnet
alias scsi_hostadapter mptbase
alias scsi_hostadapter2 ata_piix
alias snd-card-0 snd-ens1371
== /etc/init.d/kudzu 755
#!/bin/sh
== /etc/rc.d/rc3.d/S05kudzu -> ../../init.d/kudzu
END
    convert
    expect_equal "$(text /etc/modprobe.conf | sed 's/virtio_blk/virtio_scsi/' | tr '\n' '|')" \
        'alias eth0 virtio_net|alias scsi_hostadapter virtio_scsi|alias scsi_hostadapter2 ata_piix|alias snd-card-0 snd-ens1371|' \
        modprobe.conf
    expect_json '[.edits[].where]|index("/etc/rc.d/rc3.d/S05kudzu")!=null' true out/g/receipt.json
}
test_mdev_reads_no_rules() {
    guest alpine "$a@224" "$b@192" -- --without /etc/network/interfaces <<'END'
== /etc/mdev.conf
-SUBSYSTEM=net;DEVPATH=.*/net/.*;.* root:root 600 @/sbin/nameif -s
== /etc/network/interfaces
auto eth0
iface eth0 inet dhcp
END
    convert
    expect_equal "$(text /etc/udev/rules.d/70-persistent-net.rules | wc -c)" 0 "bytes of rules that nobody reads"
    # eth0 was the second NIC of the package, which is the second one there.
    expect_guessed 1
}
run_tests
