#!/bin/bash
# Descriptors: every file of tests/ovf is one trap that other tools fall into,
# and says in its own comment what must come out of `rehost inspect --json`:
#
#   args KEY=VALUE...         more options of the command
#   json FILTER = VALUE       what a jq filter gives
#   finding ID [SEVERITY]     a finding of one of the VMs (pfinding: package's)
#   remedy ID TEXT            such a finding's remedy holds the text
#   error ID STATUS           it is refused
#   stderr REGEX              and the message says that
#
# Then real descriptors of many writers, where the shared material is.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

expectation() { # WORD REST
    local filter id
    case $1 in
    json) expect_json "${2% = *}" "${2##* = }" ;;
    finding)
        read -r id severity <<<"$2"
        filter="[.vms[].findings[] | select(.id == \"$id\")"
        [ -z "$severity" ] || filter+=" | select(.severity == \"$severity\")"
        expect_json "$filter] | length > 0" true ;;
    pfinding)
        read -r id severity <<<"$2"
        expect_json "[.package.findings[] | select(.id == \"$id\" and
            .severity == \"$severity\")] | length > 0" true ;;
    remedy)
        expect_json "[.vms[].findings[] | select(.id == \"${2%% *}\") |
            .remedy // \"\" | contains(\"${2#* }\")] | any" true ;;
    error)
        read -r id wanted <<<"$2"
        expect_status "$wanted"
        expect_json .error.code "$id" .stderr ;;
    stderr)
        jq -r .error.message .stderr | grep -qE -- "$2" ||
            _differ "message" "/$2/" "$(jq -r .error.message .stderr)"
        held ;;
    esac
}
says() { # FILE: the expectations in its comment, one a line
    sed -n -E '/-->/q; s/^(  |# )((args|json|finding|pfinding|remedy|error|stderr) .*[^\r])\r?$/\2/p' \
        "$1" | grep -aE '^[a-z]+ '
}
trap_of() { # FILE
    local word rest args=()
    need jq
    for word in $(says "$1" | sed -n 's/^args //p'); do
        case $word in # an XML comment cannot hold two dashes
        fill=*) args+=(--fill "$TOP/tests/ovf/${word#*=}") ;;
        *=*) args+=("--${word%%=*}" "${word#*=}") ;;
        *) args+=("--$word") ;;
        esac
    done
    cp "$1" "./$(basename "$1")"
    run "$REHOST" inspect --json "${args[@]}" "$(basename "$1")"
    [ -z "$(says "$1" | grep '^error')" ] && expect_status 0
    while read -r word rest; do
        expectation "$word" "$rest"
    done < <(says "$1")
}
for file in "$TOP"/tests/ovf/*.ovf "$TOP"/tests/ovf/*.vmx; do
    name=$(basename "$file")
    check "${name%.*}" trap_of "$file"
done

# --- traps of size, made here -------------------------------------------------
ovf_start='<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"><VirtualSystem id="a"><VirtualHardwareSection>'
ovf_end='</VirtualHardwareSection></VirtualSystem></Envelope>'

test_a_million_items_are_refused() {
    { echo "$ovf_start"
      yes '<Item></Item>' | head -n 1000000
      echo "$ovf_end"; } >big.ovf
    run "$REHOST" inspect big.ovf
    expect_error OVF_LIMIT 3
}
test_too_many_items_are_refused() {
    { echo "$ovf_start"
      yes '<Item/>' | head -n 30000
      echo "$ovf_end"; } >many.ovf
    run "$REHOST" inspect many.ovf
    expect_error OVF_LIMIT 3
}
test_elements_nested_too_deeply_are_refused() {
    { echo "$ovf_start"
      yes '<a>' | head -n 5000 | tr -d '\n'
      yes '</a>' | head -n 5000 | tr -d '\n'
      echo "$ovf_end"; } >deep.ovf
    run "$REHOST" inspect deep.ovf
    expect_error OVF_XML 3
}
test_too_many_disks_are_refused() {
    { echo "$ovf_start"
      yes '<Item><ResourceType>17</ResourceType></Item>' | head -n 500
      echo "$ovf_end"; } >disks.ovf
    run "$REHOST" inspect disks.ovf
    expect_error OVF_LIMIT 3
}
test_a_thousand_controllers_are_refused() {
    { echo "$ovf_start"
      yes '<Item><ResourceType>6</ResourceType></Item>' | head -n 1000
      echo "$ovf_end"; } >controllers.ovf
    run "$REHOST" inspect controllers.ovf
    expect_error OVF_LIMIT 3
}
test_many_findings_of_one_kind_are_bounded() {
    need jq
    { echo "$ovf_start"
      for ((i = 0; i < 3000; i++)); do
          echo "<Item><ResourceType>77</ResourceType><Caption>$i</Caption></Item>"
      done
      echo "$ovf_end"; } >odd.ovf
    run "$REHOST" inspect --json odd.ovf
    expect_status 0
    expect_json '[.vms[0].findings[] | select(.id == "OVF-ITEM-UNKNOWN")] |
        length' 250
    expect_json '[.vms[0].findings[] | select(.id == "OVF-ITEM-UNKNOWN")] |
        .[249].message' '... and more of this kind'
}
test_a_descriptor_of_ten_gib_is_not_read() {
    truncate -s 10G huge.ovf
    run "$REHOST" inspect huge.ovf
    expect_status 3
}
test_a_doctype_in_utf_16_is_refused() {
    need iconv
    { printf '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a [<!ENTITY b "c">]>'
      echo "$ovf_start$ovf_end"; } | iconv -t UTF-16 >utf16.ovf
    run "$REHOST" inspect utf16.ovf
    expect_error OVF_DOCTYPE 3
}
test_bytes_of_a_name_do_not_reach_the_terminal() {
    local name
    # ESC cannot stand in XML 1.0; U+009B (a one-byte CSI) and U+202E can.
    name=$(printf 'x\xc2\x9b31m\xe2\x80\xaey')
    printf '%s' "${ovf_start/id=\"a\"/id=\"$name\"}$ovf_end" >csi.ovf
    run "$REHOST" inspect csi.ovf
    expect_status 0
    expect_stdout '\\xc2\\x9b31m\\xe2\\x80\\xaey'
    if grep -q "$(printf '\xc2\x9b')" .stdout; then
        fail "the raw character was printed"
    fi
}

# --- an overlay of what is missing, there and back ------------------------------
test_template_holds_what_is_missing_and_comes_back() {
    need jq
    cp "$TOP/tests/ovf/firmware_not_said_stays_unknown.ovf" a.ovf
    run "$REHOST" inspect --template a.ovf
    expect_status 0
    expect_stdout '^firmware: null'
    expect_stdout '^  - mac: null'
    expect_no_stdout '^(cpus|memory):'
    sed -e 's/^firmware: null/firmware: efi/' -e 's/^os: null/os: debian-12/' \
        -e 's/mac: null/mac: "00:50:56:00:00:07"/' .stdout >a.yaml
    run "$REHOST" inspect --json a.ovf --fill a.yaml
    expect_status 0
    expect_json '.vms[0].firmware' uefi
    expect_json '.vms[0].provenance.firmware.from' fill:a.yaml
    expect_json '.vms[0].nics[0].mac' 00:50:56:00:00:07
    expect_json '.vms[0].clock' utc
    expect_json '.vms[0].provenance.clock.from' default:debian-12
}
test_template_of_several_vms_comes_back() {
    cp "$TOP/tests/ovf/collections_nest.ovf" a.ovf
    run "$REHOST" inspect --template a.ovf
    sed 's/^firmware: null/firmware: bios/' .stdout >a.yaml
    run "$REHOST" inspect --json a.ovf --fill a.yaml
    expect_status 0
    expect_json '[.vms[].firmware] | join(" ")' 'bios bios'
}
test_vm_json_is_a_fill_file() {
    cp "$TOP/tests/ovf/vmware_config_keys.ovf" a.ovf
    run "$REHOST" inspect --json a.ovf
    cp .stdout vm.json
    cp "$TOP/tests/ovf/firmware_not_said_stays_unknown.ovf" b.ovf
    run "$REHOST" inspect --json b.ovf --fill vm.json
    expect_status 0
    expect_json '.vms[0].secure_boot' true
    expect_json '.vms[0].provenance.secure_boot.from' fill:vm.json
}
test_inspect_shows_field_value_and_source() {
    cp "$TOP/tests/ovf/vmware_config_keys.ovf" a.ovf
    run "$REHOST" inspect a.ovf --set cpus=4
    expect_status 0
    expect_stdout '^  FIELD +VALUE +SOURCE$'
    expect_stdout '^  virtual CPUs +4 +--set$'
    expect_stdout '^  memory +1 GiB +OVF descriptor$'
    expect_stdout '^  BIOS UUID +422c5082'
}
test_documents_follow_their_schema() {
    need jq python3
    python3 -c 'import jsonschema' 2>/dev/null ||
        skip_test "python3-jsonschema is not installed"
    for f in vmware_config_keys devices_without_a_field_are_said \
        host_resource_in_every_form nutanix_config_at_any_depth \
        startup_items_are_no_hardware; do
        cp "$TOP/tests/ovf/$f.ovf" .
        run "$REHOST" inspect --json $f.ovf
        expect_schema .stdout rehost.vm-1.json
    done
}

# --- real descriptors, with values worked out by hand -----------------------------
real_ovf() { # FILE
    need jq
    local expected=$RH_SHARED/corpus/ovf/expected.json
    cp "$RH_SHARED/corpus/ovf/$1" .
    run "$REHOST" inspect --json "$1"
    if [ "$(jq -r --arg f "$1" '.[$f].refuse' "$expected")" = true ]; then
        expect_status 3
        return
    fi
    expect_status 0
    jq -S --arg f "$1" '
        def word: if . == "" then null else . end;
        [.[$f].vms[] | {name, cpus, cores_per_socket, memory_bytes, secure_boot,
            firmware: (if .firmware == "efi" then "uefi" else .firmware end),
            os_id, os_type: (.os_type // "" | word),
            disks: [.disks[] | {capacity_bytes, file: (.file | word), bus,
                bus_no, unit}],
            nics: [.nics[] | {network, mac,
                type: (.type | ascii_downcase | split(" ")[0] | word)}]}]' \
        "$expected" >expected
    jq -S '
        def bus: {ide: "ide", sata: "sata", nvme: "nvme"}[.] // "scsi";
        [.vms[] | {name, cpus, cores_per_socket, memory_bytes, secure_boot,
            firmware, os_id: .os.ovf_id, os_type: .os.vmware_id,
            disks: [.disks[] | {capacity_bytes, file,
                bus: (.controller | bus), bus_no: .bus, unit}],
            nics: [.nics[] | {network, mac, type: .model}]}]' .stdout >found
    diff -u expected found >.cmp || _differ "$1" "as in expected.json" \
        "$(cat .cmp)"
    held
}
if [ -e "$RH_SHARED/corpus/ovf/expected.json" ]; then
    for file in $(jq -r 'keys[]' "$RH_SHARED/corpus/ovf/expected.json"); do
        check "real_${file%.ovf}" real_ovf "$file"
    done
else
    skip real_descriptors "shared material corpus/ovf is not here"
fi

real_vmx() { # FILE FILTER EXPECTED
    need_shared "corpus/ovf/$1"
    cp "$RH_SHARED/corpus/ovf/$1" .
    run "$REHOST" inspect --json "$1"
    expect_status 0
    expect_json ".vms[0] | $2" "$3"
}
summary='[.name, .cpus, .memory_bytes, .firmware, (.secure_boot | tostring),
    (.disks[] | "\(.controller) \(.bus):\(.unit) \(.file)"),
    (.nics[] | "\(.model) \(.network) \(.mac)"), .os.vmware_id] | join("; ")'
check real_vmx_efi_pvscsi real_vmx vmx-efi-pvscsi.vmx "$summary" \
    'RHEL 7.1 UEFI; 1; 2147483648; uefi; null; pvscsi 0:0 RHEL-7.1-UEFI.vmdk; vmxnet3 VM Network 00:0c:29:4b:2b:8c; rhel6-64'
check real_vmx_fusion_win10 real_vmx vmx-fusion-win10.vmx "$summary" \
    'MSEdge - Win10_preview; 1; 2147483648; bios; null; lsisas 0:0 MSEdge-Win10_preview.vmdk; e1000e null 00:0c:29:bf:e4:5d; windows9-64'
check real_vmx_nvme real_vmx vmx-nvme.vmx "$summary" \
    'esx6.7-rhel8.6-nvme-disk; 1; 2147483648; bios; null; nvme 0:0 nvme-disk.vmdk; vmxnet3 VM Network 00:50:56:ac:cf:51; rhel8-64'
check real_vmx_secureboot_sata real_vmx vmx-secureboot-sata.vmx "$summary" \
    'win2019; 2; 4294967296; uefi; true; lsisas 0:0 win2019.vmdk; sata 0:3 win2019_1.vmdk; vmxnet3 VM Network 00:0c:29:46:9b:0b; windows2019srv-64'

run_tests
