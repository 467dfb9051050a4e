#!/bin/bash
# Every rule that people look up before a move, one by one: a VM with exactly
# that condition is reported with the rule's id, severity, remedy, and whether
# rehost takes care of it; without the condition it is not.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
for tool in jq python3; do
    command -v "$tool" >/dev/null && continue
    skip rules "$tool is not installed"
    finish
    exit 0
done

# A VM with nothing odd, whose every value is said.
base() {
    cat <<'VMX'
.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "19"
displayName = "rule"
guestOS = "debian12-64"
firmware = "bios"
memSize = "1024"
numvcpus = "2"
uuid.bios = "56 4d 11 22 33 44 55 66-77 88 99 aa bb cc dd ee"
scsi0.present = "TRUE"
scsi0.virtualDev = "pvscsi"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "d.vmdk"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "vmxnet3"
ethernet0.networkName = "VM Network"
ethernet0.addressType = "static"
ethernet0.address = "00:50:56:8a:12:34"
VMX
}
# A disk of a size, of which nothing is written; one that changes another; a
# pointer to a LUN.
disk() { # FILE BYTES [CID]
    printf '%s\n' '# Disk DescriptorFile' version=1 CID="${3:-00000001}" \
        parentCID=ffffffff 'createType="monolithicFlat"' \
        "RW $(($2 / 512)) FLAT \"$1.flat\" 0" >"$1"
    truncate -s "$2" "$1.flat"
}
zeros() { # FILE BYTES
    printf '%s\n' '# Disk DescriptorFile' version=1 CID=00000004 \
        parentCID=ffffffff 'createType="monolithicFlat"' \
        "RW $(($2 / 512)) ZERO" >"$1"
}
delta() { # FILE PARENT
    printf '%s\n' '# Disk DescriptorFile' version=1 CID=00000002 \
        parentCID=00000001 'createType="monolithicFlat"' \
        "parentFileNameHint=\"$2\"" "RW 16384 ZERO" >"$1"
}
lun() { # FILE
    printf '%s\n' '# Disk DescriptorFile' version=1 CID=00000003 \
        parentCID=ffffffff 'createType="vmfsPassthroughRawDeviceMap"' \
        'RW 16384 VMFSRDM "rule-rdmp.vmdk"' >"$1"
}
nics() { # COUNT
    local i
    for ((i = 1; i < $1; i++)); do
        printf 'ethernet%d.%s\n' "$i" 'present = "TRUE"' \
            "$i" 'virtualDev = "e1000"' "$i" 'networkName = "VM Network"' \
            "$i" 'addressType = "static"' \
            "$i" "address = \"00:50:56:8a:13:$(printf %02x "$i")\""
    done
}
disks() { # COUNT
    local i
    for ((i = 0; i < $1; i++)); do
        printf 'scsi%d.present = "TRUE"\nscsi%d.virtualDev = "pvscsi"\n' \
            $((1 + i / 15)) $((1 + i / 15))
        printf 'scsi%d:%d.%s\n' \
            $((1 + i / 15)) $((i % 15 + (i % 15 > 6))) 'present = "TRUE"' \
            $((1 + i / 15)) $((i % 15 + (i % 15 > 6))) 'fileName = "d.vmdk"'
    done
}

# In OPTIONS a '?' stands for a blank.
report() { # OPTION...
    local map=(--network-map '*=vmbr0')
    [[ " $*" != *" *="* ]] || map=() # it has one of its own
    set -- "${@//\?/ }"
    (set -f; run "$REHOST" report rule.vmx --to all --no-guest --json \
        --set clock=utc "${map[@]}" "$@"; echo "$status" >.status)
    status=$(cat .status)
}
# What the report says of one id: "severity by-itself remedy?", "" when nothing.
said() { # TARGET ID
    jq -r --arg t "$1" --arg id "$2" '[.vms[0].targets[] |
        select(.target == $t) | .findings[] | select(.id == $id) |
        .severity + (if .automatic then " auto" else " hand" end) +
        (if .remedy then " remedy" else "" end)] | first // ""' .stdout
}
rule() { # TARGET ID WANTED OPTIONS LINES
    local target found
    cp "$SCRATCH/plain.json" .stdout
    for target in ${1/all/kvm xen}; do
        expect_equal "$(said "$target" "$2")" "" "$2 without its condition"
    done
    base >rule.vmx
    disk d.vmdk 8388608
    eval "$5" >>rule.vmx # new keys: of two alike the first counts
    [ ! -e base.vmx ] || mv base.vmx rule.vmx
    # shellcheck disable=SC2086 # words
    (set -f; report $4)
    for target in ${1/all/kvm xen}; do
        found=$(said "$target" "$2")
        expect_equal "$found" "$3" "$2 on $target"
    done
    grep -q "^| \`$2\` |" "$TOP/docs/findings.md" ||
        fail "$2 is not in docs/findings.md"
}
line() {
    printf '%s\n' "$@"
}
# Another value for a key that the base has.
instead() { # KEY LINE...
    base | grep -v "^$1 " >base.vmx
    shift
    [ $# -eq 0 ] || printf '%s\n' "$@" >>base.vmx
}

# name target id severity/by-itself/remedy options condition
rules() {
    while IFS='|' read -r name target id wanted options condition; do
        case $name in '' | '#'*) continue ;; esac
        check "$name" rule "$target" "$id" "$wanted" "$options" "$condition"
    done <<'TABLE'
# --- disks
snapshot|all|VMX-SNAPSHOT|info auto||instead scsi0:0.fileName 'scsi0:0.fileName = "d-000001.vmdk"'; delta d-000001.vmdk d.vmdk
independent_disk|all|DISK-INDEPENDENT|info hand remedy||line 'scsi0:0.mode = "independent-persistent"'
disk_that_forgets|all|VMX-NONPERSISTENT|caution hand remedy||line 'scsi0:0.mode = "independent-nonpersistent"'
shared_bus|all|VMWARE-SHARED-DISK|caution hand remedy||line 'scsi0.sharedBus = "virtual"'
shared_disk|all|VMWARE-SHARED-DISK|caution hand remedy||line 'scsi0:0.sharing = "multi-writer"'
raw_device_mapping|all|DISK-RDM|blocker hand remedy||line 'scsi0:1.present = "TRUE"' 'scsi0:1.fileName = "r.vmdk"'; lun r.vmdk
disk_serials|all|VMWARE-DISK-UUID|info hand remedy||line 'disk.EnableUUID = "TRUE"'
changed_block_tracking|all|VMWARE-CBT|info hand remedy||line 'ctkEnabled = "TRUE"'
disk_file_missing|all|DISK-FILE-MISSING|blocker hand remedy||line 'scsi0:1.present = "TRUE"' 'scsi0:1.fileName = "n.vmdk"'
disk_over_2040_gib|xen|XEN-DISK-QCOW2|caution hand remedy||disk d.vmdk 3298534883328
disk_over_2040_gib_as_vhd|xen|XEN-DISK-SIZE|blocker hand remedy|--format vhd|disk d.vmdk 3298534883328
disk_over_2040_gib_on_8_2|xen|XEN-DISK-SIZE|blocker hand remedy|--target-version 8.2|disk d.vmdk 3298534883328
disk_too_large_at_all|xen|XEN-DISK-SIZE|blocker hand remedy||zeros d.vmdk 17592186044416
raw_file_too_large_for_ext4|kvm|KVM-DISK-FILE|caution hand remedy|--format raw|zeros d.vmdk 17592186044416
disk_of_no_2_mib|xen|XEN-DISK-ROUNDED|info auto||disk d.vmdk 8389120
disks_that_no_driver_sees|xen|XEN-DISK-POSITION|caution hand remedy|--devices emulated|disks 3
disks_beyond_the_bus|kvm|KVM-DISK-OVERFLOW|caution hand remedy||disks 31
disks_beyond_all_places|kvm|KVM-DISK-COUNT|blocker hand remedy||disks 58
form_of_the_other_model|kvm|KVM-FORMAT|blocker hand remedy|--format xva|true
form_for_an_import_only|kvm|KVM-FORMAT-VHD|caution hand remedy|--format vhd|true
form_of_new_releases|xen|XEN-FORMAT-QCOW2|caution hand remedy|--format qcow2|true
compressed_disks|kvm|KVM-COMPRESSED|info hand remedy|--compress zlib|true
# --- machine
cpu_hot_add_kvm|kvm|KVM-HOTPLUG|info hand remedy||line 'vcpu.hotadd = "TRUE"'
memory_hot_add_kvm|kvm|KVM-HOTPLUG|info hand remedy||line 'mem.hotadd = "TRUE"'
cpu_hot_add_xen|xen|XEN-HOTPLUG|info hand remedy||line 'vcpu.hotadd = "TRUE"'
affinity|all|VMWARE-PLACEMENT|info hand remedy||line 'sched.cpu.affinity = "0,1"'
reservation_of_memory|all|VMWARE-RESERVATION|info hand remedy||line 'sched.mem.min = "1024"'
reservation_of_cpu|all|VMWARE-RESERVATION|info hand remedy||line 'sched.cpu.min = "500"'
shares|all|VMWARE-SHARES|info hand remedy||line 'sched.cpu.shares = "high"'
numa|all|VMWARE-NUMA|info hand remedy||line 'numa.vcpu.maxPerVirtualNode = "4"'
latency|all|VMWARE-LATENCY|info hand remedy||line 'sched.cpu.latencySensitivity = "high"'
too_many_cpus_kvm|kvm|KVM-CPU-COUNT|blocker hand remedy|--set cpus=300|true
too_many_cpus_xen|xen|XEN-CPU-COUNT|blocker hand remedy|--set cpus=65|true
many_cpus_xen|xen|XEN-CPU-MANY|caution hand remedy|--set cpus=33|true
cpus_and_sockets_kvm|kvm|KVM-TOPOLOGY|caution auto remedy|--set cpus=3 --set cores_per_socket=2|true
cpus_and_sockets_xen|xen|XEN-TOPOLOGY|caution auto remedy|--set cpus=3 --set cores_per_socket=2|true
too_much_memory_kvm|kvm|KVM-MEMORY|blocker hand remedy|--set memory=5TiB|true
memory_beyond_40_bits|kvm|KVM-MEMORY-FAR|info auto|--set memory=600GiB|true
much_memory_xen|xen|XEN-MEMORY|caution hand remedy|--set memory=2TiB|true
nested_kvm|kvm|KVM-NESTED|caution auto remedy||line 'vhv.enable = "TRUE"'
nested_xen|xen|XEN-NESTED|caution hand remedy||line 'vhv.enable = "TRUE"'
memory_protected_from_the_host|all|VMWARE-CONFIDENTIAL|caution hand remedy||line 'sev.enable = "TRUE"'
# --- devices
pci_passthrough|all|DEVICE-PASSTHROUGH|caution hand remedy||line 'pciPassthru0.present = "TRUE"' 'pciPassthru0.deviceId = "0x1"'
sr_iov|all|DEVICE-SRIOV|caution auto remedy||instead ethernet0.virtualDev 'ethernet0.virtualDev = "sriov"'
virtual_gpu|all|DEVICE-VGPU|caution hand remedy||line 'pciPassthru0.present = "TRUE"' 'pciPassthru0.vgpu = "grid_p4-1q"'
usb_device|all|DEVICE-USB|caution hand remedy||line 'usb.present = "TRUE"' 'usb.autoConnect.device0 = "path:1/2"'
serial_port|all|DEVICE-SERIAL|info hand remedy||line 'serial0.present = "TRUE"'
# --- security
tpm|all|TPM-CONTENTS|caution hand remedy||line 'vtpm.present = "TRUE"'
new_tpm_kvm|kvm|KVM-TPM|caution auto remedy||line 'vtpm.present = "TRUE"'
new_tpm_xen|xen|XEN-TPM|caution auto remedy||line 'vtpm.present = "TRUE"'
no_tpm_on_8_2|xen|XEN-TPM-MISSING|blocker hand remedy|--target-version 8.2|line 'vtpm.present = "TRUE"'
secure_boot_kvm|kvm|KVM-SECURE-BOOT|info auto remedy|--set firmware=uefi --set secure_boot=yes|true
secure_boot_xen|xen|XEN-SECURE-BOOT|caution hand remedy|--set firmware=uefi --set secure_boot=yes|true
uefi_variables|kvm|KVM-UEFI-VARIABLES|info hand remedy|--set firmware=uefi|true
uefi_from_pvscsi|kvm|KVM-UEFI-PVSCSI|caution hand remedy|--set firmware=uefi --devices vmware|true
# --- names, licences, time
name_that_is_no_dns_name|kvm|KVM-NAME|info auto|--set name=web_01|true
name_kept_in_plain_characters|all|RESULT-NAME|info auto remedy|--set name=業務サーバー|true
bios_uuid_not_known|all|CONFIG-MISSING|info hand remedy||instead uuid.bios
bios_uuid_that_changes|xen|XEN-UUID-NEW|caution hand remedy|--format vhd|true
mac_not_known|all|MAC-MADE-UP|caution auto remedy||instead ethernet0.address
windows_activation|all|WINDOWS-ACTIVATION|info hand remedy||instead guestOS 'guestOS = "windows2019srv-64"'
licence_bound_to_the_host|all|VMWARE-HOST-IDENTITY|caution hand remedy||line 'SMBIOS.reflectHost = "TRUE"'
clock_in_local_time_kvm|kvm|KVM-CLOCK|info auto remedy|--set clock=localtime|true
clock_in_local_time_xen|xen|XEN-CLOCK|caution hand remedy|--set clock=localtime|true
clock_of_a_known_zone_xen|xen|XEN-CLOCK-SET|info auto remedy|--set clock=localtime --set timezone=Asia/Tokyo|true
time_by_vmware_tools|all|VMWARE-TIME-SYNC|info hand remedy||line 'tools.syncTime = "TRUE"'
# --- network
nic_disconnected_kvm|kvm|KVM-NIC-DISCONNECTED|info auto remedy||line 'ethernet0.startConnected = "FALSE"'
nic_disconnected_xen|xen|XEN-NIC-DISCONNECTED|info auto remedy||line 'ethernet0.startConnected = "FALSE"'
too_many_nics_xen|xen|XEN-NIC-COUNT|blocker hand remedy||nics 8
too_many_nics_kvm|kvm|KVM-NIC-COUNT|blocker hand remedy||nics 33
bridge_that_cannot_be|kvm|KVM-BRIDGE|blocker hand remedy|--network-map VM?Network=no/bridge|true
vlan|kvm|KVM-VLAN|info hand remedy|--network-map *=vmbr0:20|true
# --- guests
solaris_on_xen|xen|OS-UNSUPPORTED|blocker hand remedy||instead guestOS 'guestOS = "solaris11-64"'
windows_on_xen|xen|XEN-WINDOWS-TOOLS|info hand remedy||instead guestOS 'guestOS = "windows2019srv-64"'
vmware_devices_kept|kvm|KVM-COMPATIBILITY|info auto remedy|--devices vmware|true
vmware_devices_on_xen|xen|DEVICES-CHANGED|caution auto remedy|--devices vmware|true
TABLE
}
(cd "$SCRATCH" && base >rule.vmx && disk d.vmdk 8388608 && report &&
    cp .stdout plain.json) || not_ok the_plain_vm_is_reported
rules

# --- what is left out on purpose leads to a rule ---------------------------------
prepare() {
    base >rule.vmx
    disk d.vmdk 8388608
}
test_unmapped_networks_are_told() {
    prepare
    run "$REHOST" report rule.vmx --to all --no-guest --json --set clock=utc
    expect_equal "$(said kvm KVM-NETWORK)" "caution hand remedy"
    expect_equal "$(said xen XEN-NETWORK)" "caution hand remedy"
    report
    expect_equal "$(said kvm KVM-NETWORK)$(said xen XEN-NETWORK)" ""
}
test_a_clock_that_nobody_told_is_told() {
    prepare
    run "$REHOST" report rule.vmx --to all --no-guest --json
    expect_equal "$(said kvm CONFIG-GUESS)" "caution hand remedy"
    run "$REHOST" report rule.vmx --to all --no-guest --json --strict
    expect_status 4
    expect_equal "$(said kvm CONFIG-GUESS)" "blocker hand remedy"
}
test_bios_uuid_that_an_import_keeps() {
    prepare
    report
    expect_equal "$(said xen XEN-UUID)" "info auto remedy"
    report --format vhd
    expect_equal "$(said xen XEN-UUID)" ""
}
test_an_encrypted_vm_is_refused_and_a_row() {
    prepare
    printf '%s\n' 'encryption.keySafe = "vmware:key/list"' \
        'encryption.data = "x"' >>rule.vmx
    report
    expect_status 4
    expect_json '.failed[0].error.code' VMX_ENCRYPTED
    expect_json '.failed[0].error.hint | length > 0' true
}
test_the_same_mac_name_and_uuid_in_a_fleet() {
    prepare
    cp rule.vmx other.vmx
    run "$REHOST" report rule.vmx other.vmx --to all --no-guest --json
    expect_equal "$(said kvm FLEET-DUPLICATE-MAC)" "caution hand remedy"
    expect_equal "$(said xen FLEET-DUPLICATE-NAME)" "caution hand remedy"
    expect_equal "$(said xen FLEET-DUPLICATE-UUID)" "info hand remedy"
}
# What people do is said, whatever the rule: each row of the table has a remedy
# unless there is nothing to do.
test_every_finding_of_the_table_says_what_to_do() {
    run grep -E '^FINDING\([A-Z0-9_]+, (CAUTION|BLOCKER), 0, .*, NULL\)' \
        "$TOP/report/findings.def"
    expect_equal "$(grep -cv 'PLAN_OTHER' .stdout)" 0 "cautions without a remedy"
}
run_tests
