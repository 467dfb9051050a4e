#!/bin/bash
# profiles.sh - operating systems as data: all load, inherit, are chosen by what
# a package says, and mistakes are told with file and line.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

# An OVF of one VM with that operating system; the profile that was chosen.
chosen() { # VMWARE-ID CIM-ID [DESCRIPTION]
    local type=''
    [ -z "$1" ] || type="vmw:osType=\"$1\""
    cat >vm.ovf <<EOP
<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:vmw="http://www.vmware.com/schema/ovf"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
  <References/>
  <VirtualSystem ovf:id="vm"><Info/><Name>vm</Name>
    <OperatingSystemSection ovf:id="$2" $type><Info/>
      <Description>${3-}</Description></OperatingSystemSection>
    <VirtualHardwareSection><Info/>
      <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
EOP
    "$REHOST" inspect vm.ovf --json | jq -r '.vms[0].os.profile'
}
picks() { # PROFILE VMWARE-ID CIM-ID [DESCRIPTION]
    expect_equal "$(chosen "$2" "$3" "${4-}")" "$1" "the profile for $2 $3 ${4-}"
}

test_every_profile_loads_and_is_complete() {
    local id n=0
    for id in "$TOP"/profiles/*.yaml; do
        id=$(basename "$id" .yaml)
        run "$REHOST" profiles --json "$id"
        expect_status 0
        expect_json '[.. | objects | select(.profile == "'"$id"'") | .pve_ostype, .clock,
            .family] | all' true
        n=$((n + 1))
    done
    [ "$n" -ge 60 ] || fail "only $n profiles"
}
test_guest_ids_choose() {
    picks debian-12 debian12_64Guest 96
    picks rhel-9 rhel9_64Guest 80
    picks ubuntu ubuntu64Guest 94
    picks windows-2022 windows2019srvNext_64Guest 112
    picks windows-10 windows9_64Guest 1
    picks freebsd-13 freebsd14_64Guest 78
    picks solaris solaris11_64Guest 29
    picks photon vmwarePhoton64Guest 36
}
test_the_number_chooses_when_there_is_no_id() {
    picks debian '' 96
    picks windows-2016 '' 116
    picks openbsd '' 65
}
test_the_text_makes_it_exact() {
    picks rhel-9 '' 80 'Red Hat Enterprise Linux 9 (64-bit)'
    picks windows-2012r2 '' 1 'Microsoft Windows Server 2012 R2 (64-bit)'
    picks debian otherLinux64Guest 96
}

with_profile() { # NAME < YAML
    mkdir -p data
    cp -r "$TOP/profiles" data/
    cat >"data/profiles/$1.yaml"
    REHOST_DATA=$PWD/data run "$REHOST" profiles
}
test_a_new_system_is_a_file() {
    with_profile haiku <<'EOP'
profile: haiku
inherits: other
about: Haiku
match:
  vmware: [haiku64Guest]
EOP
    expect_status 0
    export REHOST_DATA=$PWD/data
    picks haiku haiku64Guest 1
}
test_an_unknown_key_is_told_with_its_line() {
    with_profile bad <<'EOP'
profile: bad
inherits: other
kvm:
  virtio: {dsik: sata}
EOP
    expect_error PROFILE_FILE 2
    expect_stderr 'bad\.yaml:4: unknown key "dsik"; known here are disk, nic, machine'
}
test_a_wrong_word_is_told_with_the_right_ones() {
    with_profile bad <<'EOP'
profile: bad
inherits: other
clock: moon
EOP
    expect_error PROFILE_FILE 2
    expect_stderr 'bad\.yaml:3: "moon" is not one of utc, localtime'
}
test_an_unknown_fix_is_told() {
    with_profile bad <<'EOP'
profile: bad
inherits: linux
kvm:
  more_fixes: [linux.nonsense]
EOP
    expect_error PROFILE_FILE 2
    expect_stderr 'bad\.yaml:4: unknown fix "linux.nonsense"; known are linux.fstab'
}
test_a_circle_of_inheritance_ends() {
    with_profile bad <<'EOP'
profile: bad
inherits: bad
EOP
    expect_error PROFILE_FILE 2
}
test_broken_yaml_is_told_with_its_line() {
    with_profile bad <<'EOP'
profile: bad
match: {guest: [}
EOP
    expect_error PROFILE_FILE 2
    expect_stderr 'bad\.yaml:2: '
}
run_tests
