#!/bin/bash
# Nutanix: a bare disk and any of Prism's answers make a whole VM; without one
# the list of what is missing says where to find it.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

disk() { # NAME SIZE
    need qemu-img jq
    qemu-img create -q -f qcow2 "$1" "$2"
}
uuid=11111111-2222-4333-8444-555555555555
mac=50:6b:8d:00:11:22

v2() {
    cat <<JSON
{"uuid": "$uuid", "name": "app01", "num_vcpus": 2, "num_cores_per_vcpu": 4,
 "memory_mb": 8192, "timezone": "UTC", "machine_type": "pc",
 "boot": {"uefi_boot": true, "secure_boot": false,
          "boot_device_order": ["CDROM", "DISK", "NIC"]},
 "vm_disk_info": [
  {"disk_address": {"device_bus": "ide", "device_index": 0},
   "is_cdrom": true, "is_empty": true},
  {"disk_address": {"device_bus": "scsi", "device_index": 0,
                    "vmdisk_uuid": "aaaaaaaa-0000-4000-8000-000000000001"},
   "is_cdrom": false, "size": 67108864}],
 "vm_nics": [{"mac_address": "$mac", "model": "", "is_connected": true,
              "network_uuid": "cccccccc-0000-4000-8000-000000000001"}]}
JSON
}
v3() {
    cat <<JSON
{"metadata": {"kind": "vm", "uuid": "$uuid"},
 "spec": {"name": "app01", "resources": {
   "num_sockets": 2, "num_vcpus_per_socket": 4, "num_threads_per_core": 1,
   "memory_size_mib": 8192, "hardware_clock_timezone": "UTC",
   "machine_type": "PC",
   "boot_config": {"boot_type": "UEFI",
                   "boot_device_order_list": ["CDROM", "DISK", "NETWORK"]},
   "disk_list": [], "nic_list": []}},
 "status": {"resources": {
   "disk_list": [
    {"device_properties": {"device_type": "CDROM",
       "disk_address": {"adapter_type": "IDE", "device_index": 0}}},
    {"device_properties": {"device_type": "DISK",
       "disk_address": {"adapter_type": "SCSI", "device_index": 0}},
     "disk_size_mib": 64}],
   "nic_list": [{"mac_address": "$mac", "model": "VIRTIO",
     "is_connected": true, "subnet_reference": {"name": "vlan.100",
     "uuid": "cccccccc-0000-4000-8000-000000000001"}}]}}}
JSON
}
v4() {
    cat <<JSON
{"data": {"\$objectType": "vmm.v4.ahv.config.Vm", "extId": "$uuid",
 "biosUuid": "$uuid", "name": "app01", "numSockets": 2,
 "numCoresPerSocket": 4, "numThreadsPerCore": 1,
 "memorySizeBytes": 8589934592, "hardwareClockTimezone": "UTC",
 "machineType": "PC",
 "bootConfig": {"\$objectType": "vmm.v4.ahv.config.UefiBoot",
   "isSecureBootEnabled": false, "bootOrder": ["CDROM", "DISK", "NETWORK"]},
 "disks": [{"diskAddress": {"busType": "SCSI", "index": 0},
   "backingInfo": {"\$objectType": "vmm.v4.ahv.config.VmDisk",
   "diskSizeBytes": 67108864}}],
 "cdRoms": [{"diskAddress": {"busType": "IDE", "index": 0}}],
 "nics": [{"backingInfo": {"macAddress": "$mac", "isConnected": true},
   "networkInfo": {"subnet": {"extId": "cccccccc-0000-4000-8000-000000000001"}}}]}}
JSON
}
acli() {
    cat <<TEXT
app01 {
  config {
    boot {
      secure_boot: False
      uefi_boot: True
    }
    disk_list {
      addr {
        bus: "ide"
        index: 0
      }
      cdrom: True
      empty: True
    }
    disk_list {
      addr {
        bus: "scsi"
        index: 0
      }
      vmdisk_size: 67108864
      vmdisk_uuid: "aaaaaaaa-0000-4000-8000-000000000001"
    }
    hwclock_timezone: "UTC"
    machine_type: "pc"
    memory_mb: 8192
    name: "app01"
    nic_list {
      mac_addr: "$mac"
      network_name: "vlan.100"
    }
    num_cores_per_vcpu: 4
    num_vcpus: 2
  }
  uuid: "$uuid"
}
TEXT
}

# What all four say of one VM.
summary='.vms[0] | [.name, .cpus, .cores_per_socket, .memory_bytes, .firmware,
    (.secure_boot | tostring), .uuid, .machine, .clock, (.disks | length),
    .disks[0].controller, .disks[0].bus, .disks[0].unit,
    .disks[0].capacity_bytes, .nics[0].model, .nics[0].mac,
    (.cdroms | length), .cdroms[0].controller, .source] | join(" ")'
whole="app01 8 4 8589934592 uefi false $uuid pc utc 1 virtio-scsi 0 0 67108864 virtio $mac 1 ide nutanix"

bare_disk_with() { # v2|v3|v4|acli NETWORK
    disk export-of-something.qcow2 64M
    "$1" >answer
    run "$REHOST" inspect --json export-of-something.qcow2 --fill answer \
        --set os=debian-12
    expect_status 0
    expect_json "$summary" "$whole"
    expect_json '.vms[0].nics[0].network' "$2"
    expect_json '.vms[0].provenance.cpus.from' fill:answer
    expect_json '.vms[0].provenance["nics/0/mac"].from' fill:answer
    expect_json '.vms[0].provenance["disks/0/capacity_bytes"].from |
        test("disk|fill")' true
    # No further question.
    expect_json '[.vms[0].findings[] | select(.id == "CONFIG-MISSING" or
        .id == "CONFIG-GUESS") | .subject] | join(" ")' ''
}
subnet=cccccccc-0000-4000-8000-000000000001
check bare_disk_with_prism_v2 bare_disk_with v2 $subnet
check bare_disk_with_prism_v3 bare_disk_with v3 vlan.100
check bare_disk_with_prism_v4 bare_disk_with v4 $subnet
check bare_disk_with_acli bare_disk_with acli vlan.100

# The same answers as other tools save them.
respelled() { # PYTHON: v (v4's answer), a (acli's tree); prints the answer
    python3 - "$(v4)" "$1" <<'PY'
import json, re, sys
v = json.loads(sys.argv[1])["data"]
def snake(o):
    if isinstance(o, dict):
        return {re.sub("([A-Z])", lambda m: "_" + m[1].lower(), k): snake(x)
                for k, x in o.items() if not k.startswith("$")}
    return [snake(x) for x in o] if isinstance(o, list) else o
def listed(o):  # Terraform's blocks
    if isinstance(o, dict):
        return {k: [listed(x)] if isinstance(x, dict) else listed(x) for k, x in o.items()}
    return [listed(x) for x in o] if isinstance(o, list) else o
s = snake(v)
t = json.loads(json.dumps(s))
for d in t["disks"]:
    d["backing_info"] = {"vm_disk": d["backing_info"]}
t["boot_config"] = {"uefi_boot": t["boot_config"], "legacy_boot": []}
tree = {"config": {
    "boot": {"secure_boot": False, "uefi_boot": True},
    "disk_list": [{"addr": {"bus": "ide", "index": 0}, "cdrom": True, "empty": True},
                  {"addr": {"bus": "scsi", "index": 0}, "vmdisk_size": 67108864}],
    "hwclock_timezone": "UTC", "machine_type": "pc", "memory_mb": 8192,
    "name": "app01", "num_cores_per_vcpu": 4, "num_vcpus": 2,
    "nic_list": [{"mac_addr": v["nics"][0]["backingInfo"]["macAddress"],
                  "network_name": "vlan.100"}]}, "uuid": v["extId"]}
print(json.dumps(eval(sys.argv[2])))
PY
}
acli_json() { respelled '{"status": 0, "error": None, "data": {v["extId"]: tree}}'; }
acli_json_bare() { respelled '{"app01": tree}'; }
ansible() { respelled '{"changed": False, "ext_id": s["ext_id"], "response": s}'; }
terraform_state() {
    respelled '{"version": 4, "resources": [{"type": "nutanix_virtual_machine_v2",
        "instances": [{"attributes": listed(t)}]}]}'
}
terraform_show() {
    respelled '{"values": {"root_module": {"resources": [{"values": listed(t)}]}}}'
}
prompt='nutanix@NTNX-18SM6-A-CVM:10.0.0.31:~$ '
pasted_acli() {
    printf '%sacli vm.get app01\r\n' "$prompt"
    acli | sed 's/$/\r/'
    printf '%s\r\n%sexit\r\n' "$prompt" "$prompt"
}
pasted_shell_of_acli() { echo '<acropolis> vm.get app01'; acli; echo '<acropolis> '; }
pasted_curl() { printf '%scurl -k https://pc:9440/api\n' "$prompt"; v4; printf '%s\n' "$prompt"; }
curl_with_heads() { printf 'HTTP/1.1 200 OK\r\nServer: x\r\n\r\n'; v3; }
check bare_disk_with_acli_in_json bare_disk_with acli_json vlan.100
check bare_disk_with_acli_in_bare_json bare_disk_with acli_json_bare vlan.100
check bare_disk_with_ansible bare_disk_with ansible $subnet
check bare_disk_with_a_terraform_state bare_disk_with terraform_state $subnet
check bare_disk_with_terraform_show bare_disk_with terraform_show $subnet
check bare_disk_with_a_pasted_session bare_disk_with pasted_acli vlan.100
check bare_disk_with_a_session_in_aclis_shell bare_disk_with pasted_shell_of_acli vlan.100
check bare_disk_with_a_pasted_curl bare_disk_with pasted_curl $subnet
check bare_disk_with_the_heads_of_curl bare_disk_with curl_with_heads vlan.100

test_prism_v1_says_what_it_knows() {
    disk a.qcow2 64M
    cat >v1.json <<JSON
{"metadata": {}, "entities": [{"vmId": "0005::$uuid", "uuid": "$uuid", "vmName": "app01",
 "numVCpus": 8, "memoryCapacityInBytes": 8589934592, "hypervisorType": "kKvm",
 "nutanixVirtualDiskUuids": ["aaaaaaaa-0000-4000-8000-000000000001"],
 "virtualNicIds": ["0005::$uuid:$mac"]}]}
JSON
    run "$REHOST" inspect --json a.qcow2 --fill v1.json
    expect_status 0
    expect_json '.vms[0] | [.name, .cpus, .memory_bytes, .nics[0].mac, .source] | join(" ")' \
        "app01 8 8589934592 $mac nutanix"
}
test_an_error_or_a_page_is_no_answer() {
    disk a.qcow2 64M
    while IFS='|' read -r text says; do
        printf '%b' "$text" >answer.json
        run "$REHOST" inspect a.qcow2 --fill answer.json
        expect_error FILL_KIND 3
        expect_stderr "$says"
        expect_stderr "log in and save"
    done <<'END'
<!DOCTYPE html><html><head><title>Prism</title>|this is a web page
\n<HTML><body>Sign in</body>|this is a web page
{"state": "ERROR", "code": 401, "message_list": [{"reason": "AUTHENTICATION_REQUIRED", "message": "Authentication required."}], "kind": "vm"}|an error.*Authentication required
{"message": "An Authentication object was not found in the SecurityContext"}|an error.*Authentication object
{"data": {"$objectType": "vmm.v4.error.ErrorResponse", "error": [{"message": "not signed in"}]}}|an error.*not signed in
{"error_type": "UNAUTHENTICATED", "messages": []}|an error
{"status": 3, "error": "Unknown name: app02", "data": null}|an error.*Unknown name: app02
HTTP/1.1 401 Unauthorized\r\nServer: x\r\n\r\n|an error.*401 Unauthorized
END
    echo '{"metadata": {"total_matches": 0}, "entities": []}' >none.json
    run "$REHOST" inspect a.qcow2 --fill none.json
    expect_error FILL_KIND 3
    expect_stderr "without any VM"
}
test_what_powershell_cut_is_told_with_what_to_do() {
    disk a.qcow2 64M
    told() { # ANSWER WORD
        echo "$1" >cut.json
        run "$REHOST" inspect --json a.qcow2 --fill cut.json
        expect_status 0
        expect_json "[.vms[0].findings[] | select(.id == \"FILL-VALUE\" and
            (.message | contains(\"$2\")) and (.remedy | contains(\"-Depth 10\")))] |
            length" 1
    }
    cut=$(v2 | jq -c '.boot = "@{uefi_boot=True; secure_boot=False}" |
        .vm_disk_info = "System.Object[]" | .vm_nics = ["@{mac_address=x}"]')
    told "$cut" boot
    told "$cut" vm_disk_info
    told "$cut" mac_address
    expect_json .vms[0].firmware null
    told "$(v3 | jq -c '.spec.resources = "@{num_sockets=2}"')" resources
    told "$(v4 | jq -c '.data.bootConfig = "@{isSecureBootEnabled=False}"')" bootConfig
    # Any other wrong type is told, too.
    v2 | jq -c '.memory_mb = [8192] | .num_vcpus = "two" | .vm_nics = 3 | .machine_type = {"a": 1}' >wrong.json
    run "$REHOST" inspect --json a.qcow2 --fill wrong.json
    expect_status 0
    expect_json '[.vms[0].findings[] | select(.id == "FILL-VALUE") | .message |
        capture("\"(?<a>[a-z_]+)\"").a] | sort | join(" ")' \
        'machine_type memory_mb num_vcpus vm_nics'
}
test_bare_disk_without_an_answer_lists_what_is_missing() {
    disk a.qcow2 64M
    run "$REHOST" inspect --json a.qcow2
    expect_status 0
    expect_json '[.vms[0].findings[] | select(.id == "CONFIG-MISSING" or
        .id == "CONFIG-GUESS") | .subject] | sort | join(" ")' \
        'cpus firmware memory_bytes nics os/profile uuid'
    expect_json '.vms[0].findings[] | select(.subject == "memory_bytes") |
        .severity' blocker
    expect_json '[.vms[0].findings[] | select(.subject == "cpus") | .remedy |
        contains("/api/vmm/v4.0/ahv/config/vms") and contains("acli vm.get")]
        | all' true
}
test_a_list_of_answers_is_searched_by_name() {
    disk app01.qcow2 64M
    echo "{\"entities\": [$(v2 | sed 's/app01/other/;s/8192/1024/'), $(v2)]}" \
        >list.json
    run "$REHOST" inspect --json app01.qcow2 --fill list.json
    expect_json '.vms[0].memory_bytes' 8589934592
}
test_a_list_of_answers_is_searched_by_disk() {
    disk aaaaaaaa-0000-4000-8000-000000000001 64M
    mv aaaaaaaa-0000-4000-8000-000000000001{,.qcow2}
    echo "[$(v2 | sed 's/app01/other/;s/aaaaaaaa/bbbbbbbb/'), $(v2)]" >list.json
    run "$REHOST" inspect --json aaaaaaaa-*.qcow2 --fill list.json
    expect_status 0
    expect_json '.vms[0].name' app01
}
test_a_list_without_the_vm_names_its_own() {
    disk x.qcow2 64M
    echo "[$(v2 | sed 's/app01/one/'), $(v2 | sed 's/app01/two/')]" >list.json
    run "$REHOST" inspect x.qcow2 --fill list.json
    expect_error FILL_VM 2
    expect_stderr 'one, two'
    run "$REHOST" inspect --json x.qcow2 --fill 'list.json#two'
    expect_json '.vms[0].name' two
}
test_package_is_trusted_more_and_the_conflict_is_said() {
    need jq
    cp "$TOP/tests/ovf/nutanix_topology_is_the_product.ovf" a.ovf
    v2 | sed 's/app01/a/' >prism.json
    run "$REHOST" inspect --json a.ovf --fill prism.json
    expect_status 0
    expect_json '.vms[0].cpus' 12
    expect_json '.vms[0].provenance.cpus.from' ovf
    expect_json '[.vms[0].findings[] | select(.id == "CONFIG-CONFLICT" and
        .subject == "memory_bytes") | .message | test("8 GiB.*because")] | any' \
        true
    expect_json '.vms[0].nics[0].mac' $mac
    expect_json '.vms[0].provenance["nics/0/mac"].from' fill:prism.json
    expect_json '.vms[0].uuid' $uuid
}
test_the_first_of_two_fill_files_is_trusted_more() {
    disk a.qcow2 64M
    v2 >one.json
    v2 | sed 's/8192/4096/' >two.json
    run "$REHOST" inspect --json a.qcow2 --fill one.json --fill two.json
    expect_json '.vms[0].memory_bytes' 8589934592
    expect_json '[.vms[0].findings[] | select(.id == "CONFIG-CONFLICT" and
        .subject == "memory_bytes")] | length' 1
}
test_order_of_prism_lists_means_nothing() {
    disk a.qcow2 64M
    cat >v4.json <<'JSON'
{"extId": "x", "name": "a", "numSockets": 1, "memorySizeBytes": 1073741824,
 "disks": [
  {"diskAddress": {"busType": "SCSI", "index": 6}, "backingInfo": {"diskSizeBytes": 512}},
  {"diskAddress": {"busType": "PCI", "index": 0}, "backingInfo": {"diskSizeBytes": 1024}},
  {"diskAddress": {"busType": "SCSI", "index": 1}, "backingInfo": {"diskSizeBytes": 67108864}},
  {"diskAddress": {"busType": "SATA", "index": 0},
   "backingInfo": {"$objectType": "vmm.v4.ahv.config.ADSFVolumeGroupReference"}}]}
JSON
    run "$REHOST" inspect --json a.qcow2 --fill v4.json
    expect_status 0
    expect_json '.vms[0].disks[0] | "\(.controller) \(.unit)"' 'virtio-scsi 1'
    expect_json '[.vms[0].findings[] | select(.id == "FILL-DISK")] | length' 2
    expect_json '[.vms[0].findings[].id] | index("NUTANIX-VOLUME-GROUP") != null' \
        true
}
test_size_of_the_disk_itself_counts() {
    disk a.qcow2 128M
    v2 >prism.json
    run "$REHOST" inspect --json a.qcow2 --fill prism.json
    expect_json '.vms[0].disks[0].capacity_bytes' 134217728
    expect_json '.vms[0].disks[0].controller' virtio-scsi
}
test_ovf_and_vmx_are_fill_files() {
    disk a.qcow2 64M
    run "$REHOST" inspect --json a.qcow2 \
        --fill "$TOP/tests/ovf/vmware_config_keys.ovf" \
        --fill "$TOP/tests/ovf/vmx_static_mac.vmx"
    expect_status 0
    expect_json '.vms[0].firmware' uefi
    expect_json '.vms[0].provenance.firmware.from' fill:vmware_config_keys.ovf
    expect_json '.vms[0].nics[0].mac' 00:50:56:11:22:33
    expect_json '.vms[0].provenance["nics/0/mac"].from' fill:vmx_static_mac.vmx
}
test_overlay_in_yaml_and_json() {
    disk a.qcow2 64M
    printf '%s\n' 'cpus: 3' 'memory: 2GiB' 'os: {profile: debian-12}' \
        'disks: [{controller: nvme, bus: 0, unit: 1}]' \
        'nics:' '  - {network: one, mac: "00:50:56:00:00:01"}' '  - network: two' \
        >o.yaml
    run "$REHOST" inspect --json a.qcow2 --fill o.yaml
    expect_status 0
    expect_json '.vms[0] | [.cpus, .memory_bytes, .os.profile,
        .disks[0].controller, .disks[0].unit, .nics[0].mac, .nics[1].network] |
        map(tostring) | join(" ")' \
        '3 2147483648 debian-12 nvme 1 00:50:56:00:00:01 two'
    echo '{"cpus": 3, "memory_bytes": 2147483648, "firmware": "efi"}' >o.json
    run "$REHOST" inspect --json a.qcow2 --fill o.json
    expect_json '.vms[0] | [.cpus, .memory_bytes, .firmware] | map(tostring) |
        join(" ")' '3 2147483648 uefi'
}
overlay_is_refused() { # ID STATUS TEXT
    disk a.qcow2 64M
    printf '%b' "$3" >bad.yaml
    run "$REHOST" inspect a.qcow2 --fill bad.yaml
    expect_error "$1" "$2"
    expect_stderr 'bad.yaml'
}
check overlay_with_an_unknown_key overlay_is_refused CONFIG_KEY 2 'cpu_s: 4\n'
check overlay_with_a_wrong_value overlay_is_refused CONFIG_VALUE 2 'cpus: lots\n'
check overlay_with_an_unknown_profile overlay_is_refused CONFIG_PROFILE 2 \
    'os: windows-2020\n'
check overlay_with_an_alias overlay_is_refused FILL_SYNTAX 3 \
    'a: &a [x]\nb: *a\n'
check overlay_of_damaged_json overlay_is_refused FILL_SYNTAX 3 '{"cpus": 4'
check overlay_that_is_a_list overlay_is_refused FILL_KIND 3 '- a\n- b\n'
check overlay_of_nothing overlay_is_refused FILL_KIND 3 ''
check acli_that_was_cut_short overlay_is_refused FILL_SYNTAX 3 'app01 {\n config {\n'

# No prompt of a shell, and no VMX.
test_an_overlay_is_one_whatever_its_texts_hold() {
    disk a.qcow2 64M
    printf '%s\n' 'cpus: 3 # three' 'annotation: |' '  path = "/srv"' '  $ ls > x' \
        'disks: [' '{controller: nvme}' ']' >o.yaml
    run "$REHOST" inspect --json a.qcow2 --fill o.yaml
    expect_status 0
    expect_json '.vms[0] | [.cpus, .annotation, .disks[0].controller] | tostring' \
        '[3,"path = \"/srv\"\n$ ls > x\n","nvme"]'
}
test_a_key_that_stands_twice_has_no_last_word() {
    disk a.qcow2 64M
    printf '%s\n' 'cpus: 3' 'memory: 2GiB' 'cpus: 5' >o.yaml
    echo '{"cpus": 3, "memory": "2GiB", "cpus": 5}' >o.json
    for file in o.yaml o.json; do
        run "$REHOST" inspect a.qcow2 --fill "$file"
        expect_error FILL_SYNTAX 3
    done
}
test_a_fill_file_that_is_not_there() {
    disk a.qcow2 64M
    run "$REHOST" inspect a.qcow2 --fill nowhere.json
    expect_error FILE_NOT_FOUND 1
}
test_qcow2_ova_is_known_by_content() {
    disk disk.qcow2 64M
    sed -e 's/a-disk1.vmdk/disk.qcow2/' -e 's/ ovf:size="[0-9]*"//' \
        "$TOP/tests/ovf/nutanix_config_at_any_depth.ovf" >a.ovf
    tar -cf a.ova a.ovf disk.qcow2
    run "$REHOST" inspect --json a.ova
    expect_status 0
    expect_json '.vms[0].source' nutanix
    expect_json '.vms[0].disks[0].format' qcow2
}

# --- what the disk itself says ------------------------------------------------------
table() { # FILE SFDISK-LINES
    need sfdisk
    truncate -s 64M "$1"
    printf '%b' "$2" | sfdisk -q "$1" >/dev/null
}
boot_code() { # FILE
    printf '\xeb\x63\x90\x01\x02' | dd of="$1" conv=notrunc status=none
}
esp() { # FILE [LOADER]
    need mkfs.vfat mmd mcopy
    mkfs.vfat --offset 2048 "$1" 30000 >/dev/null 2>&1
    mmd -i "$1@@1M" ::EFI ::EFI/BOOT
    [ -z "${2-}" ] || { echo x >loader
        mcopy -i "$1@@1M" loader ::EFI/BOOT/BOOTX64.EFI; }
}
firmware_is() { # WORD DETAIL
    run "$REHOST" inspect --json d.img
    expect_status 0
    expect_json '.vms[0].firmware' "$1"
    [ "$1" = null ] || expect_json '.vms[0].provenance.firmware |
        "\(.from): \(.detail)"' "disk: $2"
}
gpt='label: gpt\n2048,60000,U\n'
bios_boot=',2048,21686148-6449-6E6F-744E-656564454649\n'
test_mbr_with_boot_code_is_bios() {
    table d.img '2048,100000,83,*\n'
    boot_code d.img
    firmware_is bios 'boot code on disk0'
    expect_json '.vms[0].disks[0].boot' true
}
test_mbr_without_boot_code_says_nothing() {
    table d.img '2048,100000,83\n'
    dd if=/dev/zero of=d.img bs=440 count=1 conv=notrunc status=none
    firmware_is null
}
test_gpt_with_esp_is_uefi() {
    table d.img "$gpt,,L\n"
    esp d.img
    firmware_is uefi 'EFI system partition on disk0'
}
test_gpt_with_bios_boot_partition_is_bios() {
    table d.img "label: gpt\n$bios_boot,,L\n"
    firmware_is bios 'BIOS boot partition on disk0'
}
test_hybrid_with_loader_is_uefi() {
    table d.img "$gpt$bios_boot,,L\n"
    esp d.img loader
    firmware_is uefi 'EFI system partition with a boot loader on disk0'
}
test_hybrid_without_loader_is_bios() {
    table d.img "$gpt$bios_boot,,L\n"
    esp d.img
    firmware_is bios 'BIOS boot partition on disk0'
}
test_empty_disk_says_nothing() {
    truncate -s 64M d.img
    firmware_is null
}
test_gpt_of_4096_byte_sectors_is_read() {
    need python3
    python3 - <<'PY'
import struct
d = bytearray(64 << 20)
s = 4096
d[s:s + 92] = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0,
                          1, 16383, 6, 16000, bytes(16), 2, 128, 128, 0)
esp = bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")
d[2 * s:2 * s + 48] = esp + bytes(16) + struct.pack("<QQ", 256, 8000)
d[510:512] = b"\x55\xaa"
open("d.img", "wb").write(d)
PY
    firmware_is uefi 'EFI system partition on disk0'
}
test_signatures_are_named() {
    table d.img 'label: gpt\n2048,2048,L\n,2048,L\n,2048,L\n,2048,L\n'
    printf -- '-FVE-FS-' | dd of=d.img bs=1 seek=$((1048576 + 3)) conv=notrunc status=none
    printf 'LUKS\xba\xbe' | dd of=d.img bs=1 seek=$((2 * 1048576)) conv=notrunc status=none
    printf 'LVM2 001' | dd of=d.img bs=1 seek=$((3 * 1048576 + 0x218)) conv=notrunc status=none
    printf 'XFSB' | dd of=d.img bs=1 seek=$((4 * 1048576)) conv=notrunc status=none
    run "$REHOST" inspect --json d.img
    expect_json '.vms[0].findings[] | select(.id == "DISK-CONTENT") | .message' \
        'GPT: 1 BitLocker, 2 crypto_LUKS, 3 LVM2_member, 4 xfs'
    expect_json '[.vms[0].findings[].id] | index("DISK-BITLOCKER") != null' true
}
test_a_package_that_contradicts_its_disk_is_said() {
    need qemu-img jq
    table d.img '2048,100000,83,*\n'
    boot_code d.img
    qemu-img convert -O vmdk -o subformat=streamOptimized d.img a-disk1.vmdk
    sed 's/ovf:size="[0-9]*"//' "$TOP/tests/ovf/vmware_config_keys.ovf" >a.ovf
    run "$REHOST" inspect --json a.ovf
    expect_status 0
    expect_json '.vms[0].firmware' uefi
    expect_json '[.vms[0].findings[] | select(.id == "CONFIG-CONFLICT" and
        .subject == "firmware")] | length' 1
    # The size was said, and the disk is smaller.
    expect_json '.vms[0].disks[0].capacity_bytes' 67108864
    expect_json '.vms[0].disks[0].variant' streamOptimized
}

# --- Prism's real and mocked answers, where the shared material is ---------------------
shared_answer() { # FILE NAME FILTER EXPECTED
    need_shared "corpus/ovf/$1"
    disk a.qcow2 64M
    run "$REHOST" inspect --json a.qcow2 --fill "$RH_SHARED/corpus/ovf/$1#$2"
    expect_status 0
    expect_json ".vms[0] | $3" "$4"
}
brief='[.cpus, .memory_bytes, .firmware, (.secure_boot | tostring), .machine,
    .timezone, (.cdroms | length), (.nics[].mac)] | join(" ")'
v4=nutanix-v4-vms.json
v3=nutanix-v3-vms-list.mock.json
check real_v4_legacy_many_disks shared_answer $v4 PC-NameOption-1 "$brief" \
    '4 19327352832 bios null pc UTC 1 50:6b:8d:c3:f1:67'
check real_v4_uefi_on_pc shared_answer $v4 test-windows-2022 "$brief" \
    '8 10737418240 uefi false pc Asia/Calcutta 2 50:6b:8d:bc:d1:73'
check real_v4_two_nics shared_answer $v4 Acme-UAT-R-3 "$brief" \
    '4 8589934592 uefi false pc Asia/Calcutta 0 50:6b:8d:ec:aa:bf 50:6b:8d:d8:1d:19'
few='[.cpus, .memory_bytes, .firmware, (.secure_boot | tostring), .machine] |
    join(" ")'
check mock_v3_secure_boot shared_answer $v3 secure-boot-vm "$few" \
    '4 8589934592 uefi true q35'
check mock_v3_windows shared_answer $v3 win2022-app-server "$few" \
    '8 34359738368 uefi false q35'
check mock_v3_legacy shared_answer $v3 ubuntu-test-vm "$few" \
    '2 4294967296 bios false pc'
test_reconstructed_ovf_asks_nothing_but_the_network() {
    need_shared design/nutanix-ova.reconstructed.ovf
    need_shared corpus/ovf/nutanix-v2-vm.reconstructed.json
    disk 3f0c9d1e-0000-4000-8000-000000000001.qcow2 40G
    sed 's/ ovf:size="[0-9]*"//' \
        "$RH_SHARED/design/nutanix-ova.reconstructed.ovf" >n.ovf
    run "$REHOST" inspect --json n.ovf --set os=rhel-8 \
        --fill "$RH_SHARED/corpus/ovf/nutanix-v2-vm.reconstructed.json"
    expect_status 0
    expect_json '.vms[0] | [.cpus, .memory_bytes, .firmware, .uuid,
        .nics[0].mac] | join(" ")' "8 8589934592 uefi $uuid $mac"
    expect_json '[.vms[0].findings[] | select(.id == "CONFIG-MISSING" or
        .id == "CONFIG-GUESS")] | length' 0
}
run_tests
