#!/bin/bash
# inputs.sh - nothing of a package is lost or mixed up without a word: disks that
# share a file, items that share an id, disks that nobody has, things left out.
. "$(dirname "$0")/lib.sh"

make_vmdk() { # FILE SEED: a small streamOptimized one
    make_disk "$1.raw" 2097152 "$2"
    qemu-img convert -q -f raw -O vmdk -o subformat=streamOptimized "$1.raw" "$1"
}
has_finding() { # ID [SEVERITY [SUBJECT]]: of a VM or of the package
    expect_json "[.package.findings[], .vms[].findings[] | select(.id == \"$1\" and
        (\"${2-}\" == \"\" or .severity == \"${2-}\") and
        (\"${3-}\" == \"\" or .subject == \"${3-}\"))] | length > 0" true
}
hasnt_finding() { # ID
    expect_json "[.package.findings[], .vms[].findings[] | select(.id == \"$1\")] | length" 0
}
# box.ovf with these parts: each disk an Item of its own, on SCSI 0.
descriptor() { # PYTHON: files=, disks=, items= ... ; see below
    python3 - "$1" >box.ovf <<'PY'
import sys
R = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
def item(id, type, attributes="", **fields):
    fields = dict(fields, InstanceID=id, ResourceType=type)
    return "<Item %s>%s</Item>" % (attributes, "".join(
        "<rasd:%s>%s</rasd:%s>" % (k, v, k) for k, v in sorted(fields.items())))
def disk(id, ref, place=0, type=17, attributes="", **more):
    return item(id, type, attributes, HostResource="ovf:/disk/" + ref, Parent=3,
                AddressOnParent=place, ElementName="disk " + ref, **more)
files, disks, items, head = [("f1", "a.vmdk")], [("d1", "f1")], [disk(10, "d1")], ""
vms = None
exec(sys.argv[1])
base = [item(1, 3, VirtualQuantity=2),
        item(2, 4, VirtualQuantity=512, AllocationUnits="byte * 2^20"),
        item(3, 6, ResourceSubType="VirtualSCSI", Address=0)]
def system(name, items):
    return ("<VirtualSystem ovf:id='%s'><Info/><Name>%s</Name><VirtualHardwareSection>"
            "<Info/>%s</VirtualHardwareSection></VirtualSystem>" % (
                name, name, "".join(base + items)))
body = system("box", items) if vms is None else (
    "<VirtualSystemCollection ovf:id='c'><Info/>%s</VirtualSystemCollection>"
    % "".join(system(*vm) for vm in vms))
print("<?xml version='1.0'?><Envelope xmlns='http://schemas.dmtf.org/ovf/envelope/1'"
      " xmlns:ovf='http://schemas.dmtf.org/ovf/envelope/1' xmlns:rasd='%s'>"
      "<References>%s</References>%s<DiskSection><Info/>%s</DiskSection>%s</Envelope>" % (
      R, "".join("<File ovf:id='%s' ovf:href='%s'/>" % f for f in files), head,
      "".join("<Disk ovf:diskId='%s' ovf:fileRef='%s' ovf:capacity='2097152'/>" % d
              for d in disks), body))
PY
}
# What the library says when the program is not between.
library_converts() { # SOURCE: leaves its words in .stdout
    [ -z "${REHOST_SAN-}" ] || skip_test "a sanitizer's library cannot be loaded"
    cat >library.py <<'PY'
import ctypes, sys
l = ctypes.CDLL(sys.argv[1])
P, S = ctypes.c_void_p, ctypes.c_char_p
for name in ("rh_lib_new", "rh_options_new", "rh_package_load", "rh_job_new"):
    getattr(l, name).restype = P
l.rh_error_id.restype = l.rh_error_message.restype = S
l.rh_error_id.argtypes = l.rh_error_message.argtypes = [P]
l.rh_package_load.argtypes = [P, S, P, P]
l.rh_job_new.argtypes = [P, P, P]
l.rh_job_run.argtypes = [P, P]
l.rh_options_add.argtypes = [P, S, S, P]
err = P()
lib, options = l.rh_lib_new(ctypes.byref(err)), l.rh_options_new()
for k, v in (b"to", b"kvm"), (b"out", b"lib-out"), (b"no-guest-fix", b"yes"):
    assert l.rh_options_add(options, k, v, None) == 0
p = l.rh_package_load(lib, sys.argv[2].encode(), options, ctypes.byref(err))
plan = p and l.rh_job_new(p, options, ctypes.byref(err))
done = plan and l.rh_job_run(plan, ctypes.byref(err)) == 0
print("done" if done else l.rh_error_id(err).decode() + ": " + l.rh_error_message(err).decode())
PY
    run python3 library.py "$BUILD/librehost.so.1" "$1"
}

# --- two disks, one file ---------------------------------------------------------
vmx_of_two_datastores() {
    printf '%s\n' 'config.version = "8"' 'displayName = "box"' 'memsize = "512"' \
        'guestOS = "debian12-64"' 'scsi0.present = "TRUE"' 'scsi0.virtualDev = "pvscsi"' \
        'scsi0:0.present = "TRUE"' 'scsi0:0.fileName = "/vmfs/volumes/A/b/b.vmdk"' \
        'scsi0:1.present = "TRUE"' 'scsi0:1.fileName = "/vmfs/volumes/B/b/b.vmdk"' >"$1"
}
test_two_datastores_never_meet_in_one_file() {
    need qemu-img
    mkdir -p vm ds-a/b ds-b/b
    vmx_of_two_datastores vm/box.vmx
    make_vmdk vm/b.vmdk beside
    make_vmdk ds-a/b/b.vmdk a
    make_vmdk ds-b/b/b.vmdk b
    run "$REHOST" inspect vm/box.vmx --json
    expect_status 0
    has_finding DISK-SAME-FILE blocker disks/1
    expect_stdout '/vmfs/volumes/A/b/b.vmdk.*/vmfs/volumes/B/b/b.vmdk'
    run "$REHOST" convert vm/box.vmx --to kvm --out out --no-guest-fix
    expect_error PLAN_BLOCKED 4
    expect_empty out
    library_converts vm/box.vmx
    expect_stdout '^PLAN_BLOCKED: .*DISK-SAME-FILE'
    # Each in its place: the disks are those of the datastores.
    run "$REHOST" convert vm/box.vmx --to kvm --out out --no-guest-fix --format raw \
        --datastore-map /vmfs/volumes/A=ds-a --datastore-map /vmfs/volumes/B=ds-b
    expect_status 0
    expect_same_file out/box/disk0.raw ds-a/b/b.vmdk.raw
    expect_same_file out/box/disk1.raw ds-b/b/b.vmdk.raw
    # One of them is enough to tell them apart.
    run "$REHOST" convert vm/box.vmx --to kvm --out out --no-guest-fix --format raw \
        --datastore-map /vmfs/volumes/B=ds-b --overwrite
    expect_status 0
    expect_same_file out/box/disk0.raw vm/b.vmdk.raw
    expect_same_file out/box/disk1.raw ds-b/b/b.vmdk.raw
}
test_a_datastore_map_opens_nothing_else() {
    mkdir -p vm ds/b
    vmx_of_two_datastores vm/box.vmx
    make_vmdk vm/b.vmdk beside
    make_vmdk ds/b/b.vmdk b
    sed -i 's|/vmfs/volumes/B/b/b.vmdk|/vmfs/volumes/B/../vm/b.vmdk|' vm/box.vmx
    run "$REHOST" convert vm/box.vmx --to kvm --out out --no-guest-fix \
        --datastore-map /vmfs/volumes/B=ds
    expect_status 3
    expect_empty out
    # A prefix ends where a name does.
    sed -i 's|/vmfs/volumes/B/../vm/b.vmdk|/vmfs/volumes/BB/b/b.vmdk|' vm/box.vmx
    run "$REHOST" inspect vm/box.vmx --json --datastore-map /vmfs/volumes/B=ds
    has_finding DISK-SAME-FILE blocker
    run "$REHOST" inspect vm/box.vmx --datastore-map /vmfs/volumes/B
    expect_error USAGE 2
    run "$REHOST" inspect vm/box.vmx --datastore-map /vmfs/volumes/B=nowhere
    expect_error FILE_NOT_FOUND 1
}
test_two_file_ids_with_one_name_are_a_blocker() {
    need qemu-img
    make_vmdk a.vmdk a
    for name in a.vmdk ./a.vmdk a%2evmdk; do
        descriptor "files = [('f1', 'a.vmdk'), ('f2', '$name')]
disks = [('d1', 'f1'), ('d2', 'f2')]; items = [disk(10, 'd1', 0), disk(11, 'd2', 1)]"
        run "$REHOST" inspect box.ovf --json
        expect_status 0
        has_finding DISK-SAME-FILE blocker disks/1
        library_converts box.ovf
        expect_stdout '^PLAN_BLOCKED: .*DISK-SAME-FILE'
    done
    # One File for two disks is what the descriptor says: told, and done.
    descriptor "disks = [('d1', 'f1'), ('d2', 'f1')]; items = [disk(10, 'd1', 0), disk(11, 'd2', 1)]"
    run "$REHOST" inspect box.ovf --json
    has_finding DISK-SAME-FILE caution disks/1
}
test_two_descriptors_of_one_extent_are_a_blocker() {
    need qemu-img
    make_disk x-flat.vmdk 2097152 x
    two() { # EXTENT1 EXTENT2: a.vmdk and b.vmdk
        for n in a b; do
            printf '%s\n' '# Disk DescriptorFile' version=1 CID=1234567$n parentCID=ffffffff \
                'createType="monolithicFlat"' "RW 4096 FLAT \"$1\" 0" >$n.vmdk
            shift
        done
        descriptor "files = [('f1', 'a.vmdk'), ('f2', 'b.vmdk'), ('f3', 'x-flat.vmdk')]
disks = [('d1', 'f1'), ('d2', 'f2')]; items = [disk(10, 'd1', 0), disk(11, 'd2', 1)]"
        tar -cf box.ova box.ovf a.vmdk b.vmdk *-flat.vmdk
    }
    two x-flat.vmdk x-flat.vmdk
    for source in box.ovf box.ova; do
        run "$REHOST" inspect $source --json
        has_finding DISK-SAME-FILE blocker disks/1
        run "$REHOST" convert $source --to kvm --out out --no-guest-fix
        expect_error PLAN_BLOCKED 4
        run "$REHOST" convert $source --to kvm --out out --no-guest-fix --drop disk1 --overwrite
        expect_status 0
    done
    cp x-flat.vmdk y-flat.vmdk
    two x-flat.vmdk y-flat.vmdk
    run "$REHOST" inspect box.ova --json
    hasnt_finding DISK-SAME-FILE
    # Two disks over one parent are two.
    qemu-img create -q -f raw base.raw 2M
    rm -f x-flat.vmdk y-flat.vmdk
    qemu-img convert -q -f raw -O vmdk base.raw base.vmdk
    for n in a b; do qemu-img create -q -f vmdk -b base.vmdk -F vmdk $n.vmdk; done
    descriptor "files = [('f1', 'a.vmdk'), ('f2', 'b.vmdk'), ('f3', 'base.vmdk')]
disks = [('d1', 'f1'), ('d2', 'f2')]; items = [disk(10, 'd1', 0), disk(11, 'd2', 1)]"
    run "$REHOST" inspect box.ovf --json
    hasnt_finding DISK-SAME-FILE
}
test_two_vms_on_one_file_are_told() {
    make_vmdk a.vmdk a
    descriptor "files = [('f1', 'a.vmdk'), ('f2', 'a.vmdk')]; disks = [('d1', 'f1'), ('d2', 'f2')]
vms = [('one', [disk(10, 'd1')]), ('two', [disk(10, 'd2')])]"
    run "$REHOST" inspect box.ovf --json
    has_finding OVF-SHARED-DISK caution
    hasnt_finding DISK-SAME-FILE
}

# --- items with one id -------------------------------------------------------------
test_items_with_one_id_are_all_kept() {
    need qemu-img
    make_vmdk a.vmdk a
    make_vmdk b.vmdk b
    two="files = [('f1', 'a.vmdk'), ('f2', 'b.vmdk')]; disks = [('d1', 'f1'), ('d2', 'f2')]"
    descriptor "$two; items = [disk(10, 'd1', 0), disk(10, 'd2', 1)]"
    run "$REHOST" inspect box.ovf --json
    expect_json '[.vms[0].disks[].file] | join(" ")' "a.vmdk b.vmdk"
    has_finding OVF-INSTANCE-TWICE caution
    library_converts box.ovf
    expect_stdout '^done'
    expect_file lib-out/box/disk0.qcow2 lib-out/box/disk1.qcow2
    # Network cards, and an id that a controller has, too: the parent is that one.
    descriptor "$two; items = [disk(3, 'd1', 0), disk(11, 'd2', 1)] + [
        item(5, 10, Connection='LAN %d' % i, ResourceSubType='E1000') for i in range(3)]"
    run "$REHOST" inspect box.ovf --json
    expect_json '[.vms[0].nics[].network] | join(",")' "LAN 0,LAN 1,LAN 2"
    expect_json '[.vms[0].disks[] | .controller] | join(" ")' "pvscsi pvscsi"
}
test_only_an_item_of_a_configuration_overrides() {
    options="head = \"<DeploymentOptionSection><Info/><Configuration ovf:id='big'/></DeploymentOptionSection>\""
    descriptor "$options; items = [disk(10, 'd1'),
        item(1, 3, \"ovf:configuration='big'\", VirtualQuantity=8)]"
    run "$REHOST" inspect box.ovf --json
    expect_json .vms[0].cpus 8
    hasnt_finding OVF-INSTANCE-TWICE
    # ... one of its own type.
    descriptor "$options; items = [disk(10, 'd1'),
        item(10, 10, \"ovf:configuration='big'\", Connection='LAN')]"
    run "$REHOST" inspect box.ovf --json
    expect_json '.vms[0] | [(.disks | length), (.nics | length)] | join(" ")' "1 1"
    has_finding OVF-INSTANCE-TWICE
}

# --- disks that nobody has -------------------------------------------------------
test_a_disk_of_any_storage_type_is_a_disk() {
    need qemu-img
    make_vmdk a.vmdk a
    for type in 19 31 32; do
        descriptor "items = [disk(10, 'd1', type=$type)]"
        run "$REHOST" inspect box.ovf --json
        expect_json '.vms[0].disks | length' 1
        hasnt_finding DISK-UNUSED
    done
}
test_a_disk_that_nobody_has_is_told() {
    need qemu-img
    make_vmdk a.vmdk a
    make_vmdk b.vmdk b
    two="files = [('f1', 'a.vmdk'), ('f2', 'b.vmdk')]; disks = [('d1', 'f1'), ('d2', 'f2')]"
    descriptor "$two"
    run "$REHOST" inspect box.ovf --json
    has_finding DISK-UNUSED caution
    expect_stdout 'd2.*b.vmdk.*attached to no VM'
    library_converts box.ovf
    expect_stdout '^done'
    # None attached: nothing is converted, and it is no success.
    for items in "[]" "[item(10, 77, HostResource='ovf:/disk/d1')]" \
        "[item(10, 17, HostResource='ovf:/disk/other')]"; do
        descriptor "items = $items"
        run "$REHOST" convert box.ovf --to kvm --out out --no-guest-fix
        expect_error PLAN_BLOCKED 4
        expect_empty out
        rm -rf lib-out
        library_converts box.ovf
        expect_stdout '^PLAN_BLOCKED'
    done
}
test_disks_of_other_vms_and_configurations_are_not_nobodys() {
    make_vmdk a.vmdk a
    make_vmdk b.vmdk b
    two="files = [('f1', 'a.vmdk'), ('f2', 'b.vmdk')]; disks = [('d1', 'f1'), ('d2', 'f2')]"
    descriptor "$two; vms = [('one', [disk(10, 'd1')]), ('two', [disk(10, 'd2')])]"
    run "$REHOST" inspect box.ovf --json --vm two
    expect_json .vms[0].disks[0].file b.vmdk
    hasnt_finding DISK-UNUSED
    descriptor "$two; head = \"<DeploymentOptionSection><Info/><Configuration ovf:id='s'/><Configuration ovf:id='l'/></DeploymentOptionSection>\"
items = [disk(10, 'd1'), disk(11, 'd2', 1, attributes=\"ovf:configuration='l'\")]"
    run "$REHOST" inspect box.ovf --json
    has_finding DISK-UNUSED info
    run "$REHOST" inspect box.ovf --json --configuration l
    hasnt_finding DISK-UNUSED
    # A CD drive's, and the parent of a used one.
    descriptor "$two; items = [disk(10, 'd1'), item(11, 15, HostResource='ovf:/disk/d2')]"
    run "$REHOST" inspect box.ovf --json
    hasnt_finding DISK-UNUSED
}

# --- other tools' descriptions ----------------------------------------------------
domain() { # DISK-SOURCE...
    cat <<XML
<domain type='kvm'>
  <name>web01</name>
  <uuid>4d7b8f1e-3a6c-4f7e-9a54-0f1e2d3c4b5a</uuid>
  <metadata><libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
    <libosinfo:os id="http://debian.org/debian/12"/></libosinfo:libosinfo></metadata>
  <memory unit='KiB'>2097152</memory>
  <vcpu placement='static' current='4'>8</vcpu>
  <os><type arch='x86_64' machine='pc-q35-6.2'>hvm</type>
    <loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.secboot.fd</loader>
    <nvram>/var/lib/libvirt/qemu/nvram/web01_VARS.fd</nvram><boot dev='hd'/><boot dev='network'/></os>
  <cpu><topology sockets='4' cores='2' threads='1'/></cpu>
  <clock offset='localtime'/>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$2'/>
      <target dev='sdb' bus='scsi'/><address type='drive' controller='0' bus='0' target='0' unit='1'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$1'/>
      <target dev='sda' bus='scsi'/><serial>S1</serial><boot order='1'/>
      <address type='drive' controller='0' bus='0' target='0' unit='0'/></disk>
    <disk type='file' device='cdrom'><target dev='sdc' bus='sata'/><readonly/></disk>
    <controller type='scsi' index='0' model='virtio-scsi'/>
    <interface type='bridge'><mac address='52:54:00:11:22:33'/><source bridge='br0'/><model type='virtio'/></interface>
    <interface type='network'><mac address='52:54:00:11:22:44'/><source network='lan' portgroup='dmz'/>
      <model type='e1000e'/><link state='down'/></interface>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
  </devices>
</domain>
XML
}
summary='.vms[0] | [.name, .cpus, .cores_per_socket, .memory_bytes, .firmware, .secure_boot, .tpm,
    .machine, .clock, .os.name, (.disks | map("\(.controller) \(.bus):\(.unit)") | join(",")),
    (.nics | map("\(.model) \(.mac) \(.network) \(.connected)") | join(",")), (.cdroms | length)] |
    map(tostring) | join("|")'
web01="web01|4|2|2147483648|uefi|true|true|q35|localtime|debian 12|virtio-scsi 0:0,virtio-scsi 0:1"
web01+="|virtio 52:54:00:11:22:33 br0 null,e1000e 52:54:00:11:22:44 dmz false|1"
test_libvirt_xml_is_a_source_and_a_fill() {
    need qemu-img
    mkdir vm
    for n in a b; do
        make_disk $n.raw 2097152 $n
        qemu-img convert -q -O qcow2 $n.raw vm/$n.qcow2
    done
    domain /var/lib/libvirt/images/a.qcow2 /var/lib/libvirt/images/b.qcow2 >vm/web01.xml
    ! command -v virt-xml-validate >/dev/null ||
        virt-xml-validate vm/web01.xml domain >/dev/null || fail "the test's own XML is not valid"
    for source in vm/web01.xml vm; do
        run "$REHOST" inspect $source --json
        expect_status 0
        expect_json "$summary" "$web01"
        expect_json '.package.kind' libvirt
        expect_json '.vms[0].provenance.cpus.from' libvirt
        expect_json '.vms[0].disks | map(.file) | join(" ")' "a.qcow2 b.qcow2"
    done
    run "$REHOST" convert vm/web01.xml --to kvm --out out --no-guest-fix --format raw
    expect_status 0
    expect_same_file out/web01/disk0.raw a.raw
    expect_same_file out/web01/disk1.raw b.raw
    run "$REHOST" inspect vm/a.qcow2 --json --fill vm/web01.xml
    expect_status 0
    expect_json '.vms[0] | [.name, .cpus, .firmware, .nics[1].mac] | join(" ")' \
        "web01 4 uefi 52:54:00:11:22:44"
    expect_json '.vms[0].provenance.cpus.from' fill:web01.xml
    # The same names elsewhere: where they lie is said.
    mkdir images
    mv vm/*.qcow2 images
    run "$REHOST" inspect vm/web01.xml --json --datastore-map /var/lib/libvirt/images=images
    expect_status 0
    expect_json '.vms[0].disks[1].format' qcow2
}
vbox() {
    cat <<'XML'
<?xml version="1.0"?>
<VirtualBox xmlns="http://www.virtualbox.org/" version="1.19-linux">
  <Machine uuid="{4d7b8f1e-3a6c-4f7e-9a54-0f1e2d3c4b5a}" name="box" OSType="Debian_64">
    <MediaRegistry><HardDisks>
      <HardDisk uuid="{00000000-0000-4000-8000-00000000000b}" location="b.vmdk" format="VMDK" type="Normal"/>
      <HardDisk uuid="{00000000-0000-4000-8000-00000000000a}" location="a.vmdk" format="VMDK" type="Normal"/>
    </HardDisks></MediaRegistry>
    <Hardware>
      <CPU count="3"/><Memory RAMSize="1024"/><Firmware type="EFI"/><Chipset type="ICH9"/>
      <Boot><Order position="1" device="DVD"/><Order position="2" device="HardDisk"/></Boot>
      <Network>
        <Adapter slot="0" enabled="true" MACAddress="080027112233" cable="true" type="82540EM"><NAT/></Adapter>
        <Adapter slot="1" enabled="false" MACAddress="080027112244" type="82540EM"/>
        <Adapter slot="2" enabled="true" MACAddress="080027112255" cable="false" type="virtio">
          <BridgedInterface name="eth0"/></Adapter>
      </Network>
      <RTC localOrUTC="UTC"/>
      <StorageControllers>
        <StorageController name="SATA" type="AHCI" PortCount="3">
          <AttachedDevice type="HardDisk" port="1" device="0"><Image uuid="{00000000-0000-4000-8000-00000000000b}"/></AttachedDevice>
          <AttachedDevice type="HardDisk" port="0" device="0"><Image uuid="{00000000-0000-4000-8000-00000000000a}"/></AttachedDevice>
          <AttachedDevice passthrough="false" type="DVD" port="2" device="0"/>
        </StorageController>
      </StorageControllers>
    </Hardware>
  </Machine>
</VirtualBox>
XML
}
test_a_vbox_file_is_a_source_and_a_fill() {
    need qemu-img
    mkdir vm
    make_vmdk vm/a.vmdk a
    make_vmdk vm/b.vmdk b
    vbox >vm/box.vbox
    run "$REHOST" inspect vm/box.vbox --json
    expect_status 0
    expect_json "$summary" "box|3|null|1073741824|uefi|null|null|q35|utc|Debian_64|sata 0:0,sata 0:1|e1000 08:00:27:11:22:33 NAT true,virtio 08:00:27:11:22:55 eth0 false|1"
    expect_json '.package.kind' vbox
    expect_json '.vms[0].disks | map(.file) | join(" ")' "a.vmdk b.vmdk"
    run "$REHOST" convert vm --to kvm --out out --no-guest-fix --format raw
    expect_status 0
    expect_same_file out/box/disk0.raw vm/a.vmdk.raw
    expect_same_file out/box/disk1.raw vm/b.vmdk.raw
    run "$REHOST" inspect vm/a.vmdk --json --fill vm/box.vbox
    expect_json '.vms[0] | [.name, .cpus, .nics[1].mac] | join(" ")' "box 3 08:00:27:11:22:55"
    # A disk that no list names, and a file without a machine.
    sed -i 's/0000000b}" location/0000000c}" location/' vm/box.vbox
    run "$REHOST" convert vm/box.vbox --to kvm --out out2 --no-guest-fix
    expect_error PACKAGE_FILE_MISSING 3
    run "$REHOST" inspect vm/box.vbox --json
    has_finding OVF-REFERENCE blocker disks/1
    echo '<VirtualBox version="1.19"><MachineEncrypted/></VirtualBox>' >vm/box.vbox
    run "$REHOST" inspect vm/box.vbox
    expect_error OVF_NO_VM 3
}

# --- several bare disks, one VM -------------------------------------------------------
prism_of() { # SIZE-OF-SCSI-0 SIZE-OF-SCSI-1: v2's answer
    jq -n --argjson a "$1" --argjson b "$2" '{uuid: "11111111-2222-4333-8444-555555555555",
        name: "app01", num_vcpus: 2, memory_mb: 1024, vm_nics: [{mac_address: "50:6b:8d:00:11:22"}],
        vm_disk_info: [{disk_address: {device_bus: "scsi", device_index: 1}, size: $b},
                       {disk_address: {device_bus: "scsi", device_index: 0}, size: $a}]}'
}
test_several_bare_disks_are_one_vm() {
    need qemu-img jq
    make_disk a.img 2097152 a
    make_disk b.raw 4194304 b
    qemu-img convert -q -O qcow2 b.raw b.qcow2
    run "$REHOST" inspect a.img b.qcow2 --json
    expect_status 0
    expect_json '.vms | length' 1
    expect_json '.vms[0] | [.name, (.disks | map("\(.file) \(.format)") | join(","))] | join(" ")' \
        "a a.img raw,b.qcow2 qcow2"
    # The fill says which is which, whatever the order.
    prism_of 4194304 2097152 >vm.json
    run "$REHOST" convert a.img b.qcow2 --fill vm.json --to kvm --out out --no-guest-fix --format raw
    expect_status 0
    expect_same_file out/app01/disk0.raw b.raw
    expect_same_file out/app01/disk1.raw a.img
    expect_json '.source.files | map(.name) | sort | join(" ")' "a.img b.qcow2" out/app01/receipt.json
    run "$REHOST" inspect a.img b.qcow2 --json --fill vm.json
    hasnt_finding FILL-DISK-ORDER
    expect_json '.vms[0].disks | map("\(.file) \(.unit)") | join(",")' "b.qcow2 0,a.img 1"
    # Sizes that tell nothing: in the order given, and called a guess.
    cp b.raw c.img
    prism_of 4194304 4194304 >same.json
    run "$REHOST" inspect b.qcow2 c.img --json --fill same.json
    expect_status 0
    expect_json '.vms[0].disks | map(.file) | join(" ")' "b.qcow2 c.img"
    has_finding FILL-DISK-ORDER caution
    run "$REHOST" report a.img b.qcow2 --one-vm --to kvm --json
    expect_json '.vms | map(.vm.disks | length) | join(" ")' 2
    run "$REHOST" report a.img b.qcow2 --to kvm --json
    expect_json '.vms | length' 2
}
# A disk without a boot loader begins with zeros and its signature, four bytes of
# chance: one of 256 reads as the begin of an XML document.
test_a_disk_whose_signature_is_an_angle_bracket_is_a_disk() {
    truncate -s 20M d.raw
    echo 'start=2048,type=83' | sfdisk -q --label dos d.raw
    printf '<OVF' | dd of=d.raw bs=1 seek=440 conv=notrunc status=none
    run "$REHOST" convert d.raw --to kvm --out out --set memory=1GiB --set firmware=bios \
        --no-guest-fix --format raw
    expect_status 0
    expect_same_disk d.raw out/d/disk0.raw raw raw
    for code in utf-16 utf-32be; do # as libxml2 reads them
        printf "<Envelope/>" | iconv -t $code >e.ovf
        run "$REHOST" inspect e.ovf
        expect_status 3
        expect_stderr OVF_NO_VM
    done
}
test_several_disks_that_are_no_vm() {
    make_disk a.img 2097152 a
    mkdir d
    make_disk d/a.img 2097152 b
    descriptor ""
    run "$REHOST" inspect a.img box.ovf
    expect_error USAGE 2
    expect_stderr "box.ovf"
    run "$REHOST" inspect box.ovf a.img
    expect_error USAGE 2
    run "$REHOST" inspect a.img ./a.img
    expect_error USAGE 2
    expect_stderr "given twice"
    run "$REHOST" inspect a.img gone.img
    expect_error FILE_NOT_FOUND 1
    # One name in two folders is two disks.
    run "$REHOST" convert a.img d/a.img --set memory=1GiB --to kvm --out out --no-guest-fix --format raw
    expect_status 0
    expect_same_file out/a/disk0.raw a.img
    expect_same_file out/a/disk1.raw d/a.img
}

# --- names ---------------------------------------------------------------------------
test_a_file_is_found_however_its_name_is_written() {
    need qemu-img
    make_vmdk ok.vmdk a
    written() { # HREF FILE
        mkdir pair
        cp ok.vmdk "pair/$2"
        descriptor "files = [('f1', '$1')]"
        mv box.ovf pair
        for source in pair pair.ova; do
            [ $source = pair ] || tar -C pair -cf pair.ova box.ovf "$2"
            run "$REHOST" inspect $source --json
            expect_status 0
            expect_json '.vms[0].disks[0].format' vmdk
            has_finding PACKAGE-FILE-NAME info
        done
        rm -r pair pair.ova
    }
    written server-disk.vmdk Server-Disk.VMDK
    nfc=$(printf 'dürer-ガ.vmdk')
    nfd=$(python3 -c "import sys,unicodedata; sys.stdout.write(unicodedata.normalize('NFD', sys.argv[1]))" "$nfc")
    written "$nfc" "$nfd"
    written "$nfd" "$nfc"
    written 業務サーバ.vmdk "$(printf '業務サーバ.vmdk' | iconv -t CP932)"
    # Two that it could be: none is taken.
    descriptor "files = [('f1', 'a.vmdk')]"
    cp ok.vmdk A.vmdk
    cp ok.vmdk a.VMDK
    run "$REHOST" inspect box.ovf --json
    has_finding DISK-FILE-MISSING
}
test_a_digest_is_asked_for_however_the_name_is_written() {
    need qemu-img
    make_vmdk a.vmdk a
    vouched() { # FILE LINE [WRONG]: a package whose manifest says LINE of FILE
        mkdir p
        cp a.vmdk "p/$1"
        descriptor "files = [('f1', 'server-disk.vmdk')]"
        sum=$(sha256sum <a.vmdk)
        [ $# -lt 3 ] || sum=${sum/[0-8]/9}
        printf 'SHA256(%s)= %s\n' box.ovf "$(sha256sum <box.ovf | cut -c1-64)" "$2" "${sum:0:64}" >p/box.mf
        mv box.ovf p
        tar -C p -cf p.ova box.ovf box.mf "$1"
        for source in p p.ova; do
            rm -rf out
            run "$REHOST" convert $source --to kvm --out out --no-guest-fix --require-manifest
            if [ $# -lt 3 ]; then
                expect_status 0
                expect_json .package.manifest verified out/box/vm.json
            else
                expect_error MANIFEST_MISMATCH 3
            fi
        done
        rm -r p p.ova
    }
    vouched Server-Disk.VMDK server-disk.vmdk
    vouched Server-Disk.VMDK server-disk.vmdk WRONG
    vouched Server-Disk.VMDK Server-Disk.VMDK
    vouched server-disk.vmdk SERVER-DISK.vmdk
    vouched server-disk.vmdk SERVER-DISK.vmdk WRONG
    # A line that has a file of its own says nothing of another one.
    descriptor "files = [('f1', 'A.vmdk')]"
    make_vmdk A.vmdk b
    printf 'SHA256(%s)= %s\n' box.ovf "$(sha256sum <box.ovf | cut -c1-64)" a.vmdk "$(sha256sum <a.vmdk | cut -c1-64)" >box.mf
    tar -cf two.ova box.ovf box.mf a.vmdk A.vmdk
    run "$REHOST" inspect two.ova --json
    expect_status 0
    has_finding PACKAGE-NOT-LISTED "" A.vmdk
}
test_parts_and_folders_are_found_however_they_are_written() {
    need qemu-img
    make_disk d.raw 2097152 d
    qemu-img convert -q -f raw -O vmdk -o subformat=twoGbMaxExtentSparse d.raw split.vmdk
    qemu-img convert -q -f raw -O vmdk -o subformat=streamOptimized d.raw one.vmdk
    mkdir -p p/Disks p/nowhere
    cp split.vmdk p/Disks && cp split-s001.vmdk p/Disks/Split-S001.vmdk
    split -a 9 -d -b 300000 one.vmdk p/Disks/chunk.vmdk.
    for href in disks/split.vmdk DISKS/Split.VMDK disks/Chunk.vmdk; do
        descriptor "files = [('f1', '$href')]"
        mv box.ovf p
        tar -C p -cf p.ova box.ovf Disks
        for source in p p.ova; do
            rm -rf out
            run "$REHOST" convert $source --to kvm --out out --no-guest-fix --format raw
            expect_status 0
            expect_same_file d.raw out/box/disk0.raw
            run "$REHOST" inspect $source --json
            has_finding PACKAGE-FILE-NAME info
        done
    done
}
test_a_backslash_may_be_half_a_letter() { # in Windows' Japanese code page
    need qemu-img
    make_vmdk ok.vmdk a
    name=ソ表能.vmdk
    bytes=$(printf %s $name | iconv -t CP932)
    taken() { # SOURCE
        run "$REHOST" inspect "$1" --json
        expect_status 0
        expect_json '.vms[0].disks[0].format' vmdk
        has_finding PACKAGE-FILE-NAME info
    }
    zipped() { # FILE NAME...: names as these bytes, not marked as UTF-8
        python3 - "$@" <<'PY'
import os, sys, zipfile
class Info(zipfile.ZipInfo):
    def _encodeFilenameFlags(self):
        return self.raw, 0
with zipfile.ZipFile(sys.argv[1], "w") as z:
    for n in sys.argv[2:]:
        i = Info(str(len(z.namelist())))
        i.raw = os.fsencode(n)
        i.create_system = 0  # Windows
        z.writestr(i, open("box.ovf" if n.endswith(".ovf") else "ok.vmdk", "rb").read())
PY
    }
    descriptor "files = [('f1', '$name')]"
    zipped a.zip box.ovf "$bytes"
    taken a.zip
    folder=$(printf 表 | iconv -t CP932)
    zipped b.zip "$folder/box.ovf" "$folder/$bytes"
    taken b.zip
    mkdir p && cp ok.vmdk "p/$bytes" && cp box.ovf p
    tar -C p -cf c.ova box.ovf "$bytes"
    taken c.ova
    taken p
    iconv -t CP932 box.ovf | sed "s/<?xml version='1.0'?>/<?xml version='1.0' encoding='Shift_JIS'?>/" >p/box.ovf
    taken p
    rm p/box.ovf
    for path in "$name" "C:\\VM\\$name"; do
        for encoding in '' '.encoding = "Shift_JIS"' '.encoding = "windows-31j"'; do
            printf '%s\n' "$encoding" 'config.version = "8"' 'displayName = "ソース"' 'memsize = "512"' \
                'scsi0.present = "TRUE"' "scsi0:0.fileName = \"$path\"" | iconv -t CP932 >p/box.vmx
            taken p
            expect_json '.vms[0].name' ソース
        done
    done
    # One that is a backslash, or climbs, is refused as ever.
    for wrong in "$bytes/../../x" "..\\$bytes"; do
        zipped w.zip box.ovf "$wrong"
        run "$REHOST" inspect w.zip
        expect_error PACKAGE_MEMBER_NAME 3
    done
}
test_a_name_without_latin_letters_stays_telling() {
    need qemu-img
    make_vmdk a.vmdk a
    for name in 業務サーバ 経理サーバ; do
        descriptor "vms = [('x', [disk(10, 'd1')])]"
        sed -i "s|<Name>x</Name>|<Name>$name</Name>|" box.ovf
        run "$REHOST" convert box.ovf --to kvm --out out --no-guest-fix
        expect_status 0
        expected=vm-$(printf %s $name | sha256sum | head -c 8)
        expect_file "out/$expected/proxmox.conf"
        expect_equal "$(sed -n 's/^name: //p' "out/$expected/proxmox.conf")" "$expected" "Proxmox's name"
        run grep -c "$name" "out/$expected/libvirt.xml"
        expect_stdout '^[1-9]'
        run python3 -c "import sys, urllib.parse
print(urllib.parse.unquote(open(sys.argv[1]).read()))" "out/$expected/proxmox.conf"
        expect_stdout "$name"
    done
    run "$REHOST" convert box.ovf --to kvm --out out --no-guest-fix --name web
    expect_equal "$(sed -n 's/^name: //p' out/web/proxmox.conf)" web "Proxmox's name"
}
test_a_wrong_vm_lists_names_too() {
    descriptor "vms = [('one', [disk(10, 'd1')]), ('two', [])]"
    sed -i "s|<Name>two</Name>|<Name>Mail</Name>|" box.ovf
    run "$REHOST" inspect box.ovf --vm three
    expect_stderr 'one, two \("Mail"\)'
    run "$REHOST" inspect box.ovf --vm Mail --json
    expect_json '.vms[0].id' two
}

# --- smaller kinds ---------------------------------------------------------------------
test_ovirts_own_words() {
    make_disk 9b7e2c1a-0000-4000-8000-000000000001 2097152
    descriptor "files = [('f1', '9b7e2c1a-0000-4000-8000-000000000001')]
items = [disk(10, 'd1'), item(11, 10, ResourceSubType='3', MACAddress='56:6f:00:00:00:01'),
         item(12, 32768, Device='spice', Type='graphics')]"
    sed -i "s|ovf:diskId='d1'|ovf:parentRef='' ovf:volume-format='RAW' ovf:boot='true' ovf:disk-interface='VirtIO_SCSI' &|
        s|<VirtualHardwareSection>|<BiosType>4</BiosType>&|" box.ovf
    run "$REHOST" inspect box.ovf --json
    expect_status 0
    expect_json '.vms[0] | [.firmware, .secure_boot, .machine, .disks[0].format, .nics[0].model,
        .nics[0].mac] | map(tostring) | join(" ")' "uefi true q35 raw virtio 56:6f:00:00:00:01"
    hasnt_finding OVF-ITEM-UNKNOWN
    tar -cf box.ova box.ovf 9b7e*
    run "$REHOST" convert box.ova --to kvm --out out --no-guest-fix --format raw
    expect_status 0
    expect_same_file out/box/disk0.raw 9b7e2c1a-0000-4000-8000-000000000001
}
test_smaller_kinds_of_items_and_files() {
    descriptor "files = [('f1', 'a.vmdk'), ('f2', 'http://host/readme.txt')]
items = [disk(10, 'd1'), item(11, 32768, ResourceSubType='nvram', HostResource='ovf:/file/f3'),
         item(12, 18, ElementName='tape')]"
    run "$REHOST" inspect box.ovf --json
    expect_status 0
    has_finding PACKAGE-FILE-ELSEWHERE info
    has_finding NVRAM-CONTENTS
    has_finding DEVICE-DROPPED info
    hasnt_finding OVF-ITEM-UNKNOWN
    descriptor "files = [('f1', 'http://host/a.vmdk')]" # what is used is refused
    run "$REHOST" inspect box.ovf
    expect_error PACKAGE_HREF 3
}
test_a_mac_address_in_any_usual_spelling() {
    descriptor "items = [disk(10, 'd1')] + [item(20 + n, 10, ResourceSubType='VmxNet3', Address=a)
    for n, a in enumerate(('00-50-56-8A-00-0A', '0050568a000b', '0050.568A.000c', '01-50-56-8a-00-0d',
                           '00:50-56:8a:00:0e'))]"
    run "$REHOST" inspect box.ovf --json --set nic4.mac=0050568A000F
    expect_status 0
    expect_json '.vms[0].nics | map(.mac) | tostring' \
        '["00:50:56:8a:00:0a","00:50:56:8a:00:0b","00:50:56:8a:00:0c",null,"00:50:56:8a:00:0f"]'
    expect_json '[.vms[0].findings[] | select(.id == "OVF-VALUE")] | length' 2
}
test_a_second_hardware_section_is_told() {
    descriptor "pass"
    sed -i 's|</VirtualHardwareSection>|&<VirtualHardwareSection><Info/></VirtualHardwareSection>|' box.ovf
    run "$REHOST" inspect box.ovf --json
    expect_status 0
    has_finding OVF-SECTION-CAUTION caution vm
    expect_json '.vms[0].cpus' 2
}
test_a_vmx_as_hosts_really_write_it() {
    printf '%s\n' 'config.version = "8"' 'displayName = "box"' 'memsize = "512"' \
        'scsi0.virtualDev = "pvscsi"' 'scsi0:0.fileName = "a.vmdk"' \
        'scsi0:1.present = "TRUE"' 'scsi0:1.deviceType = "scsi-passthru"' \
        'scsi0:1.fileName = "/vmfs/devices/genscsi/tape"' \
        'ethernet0.virtualDev = "vmxnet3"' 'ethernet0.networkName = "LAN"' \
        'ethernet1.present = "FALSE"' 'ethernet1.virtualDev = "e1000"' \
        "guestInfo.detailed.data = \"familyName='Linux' prettyName='Debian GNU/Linux 12 (bookworm)'\"" >box.vmx
    run "$REHOST" inspect box.vmx --json
    expect_status 0
    expect_json '.vms[0] | [(.disks | length), (.nics | map(.model) | join(",")), .os.name] |
        map(tostring) | join("|")' "1|vmxnet3|Debian GNU/Linux 12 (bookworm)"
    has_finding VMX-PRESENT info disks/0
    has_finding VMX-PRESENT info nics/0
    has_finding DEVICE-DROPPED info
    hasnt_finding DEVICE-SCSI-PASSTHROUGH
    # What stands twice is there once, what is none is told.
    printf '%s\n' 'usb.autoConnect.device0 = "path:1"' 'usb.autoConnect.device0 = "path:2"' 'what' >>box.vmx
    run "$REHOST" inspect box.vmx --json
    expect_json '[.vms[0].findings[] | select(.id == "DEVICE-USB")] | length' 1
    expect_json '[.vms[0].findings[] | select(.id == "VMX-LINES").message] | sort | join("|")' \
        '"usb.autoconnect.device0" stands there more than once; its first line counts|line 16 is not understood'
}

# --- what VMware's tools reported of the running guest ------------------------------------
reported() { # GUESTOS DATA: a .vmx
    printf '%s\n' 'config.version = "8"' 'displayName = "box"' 'memsize = "512"' \
        "guestOS = \"$1\"" "guest${3-Info}.detailed.data = \"$2\"" >box.vmx
    run "$REHOST" inspect box.vmx --json
    expect_status 0
}
test_the_system_that_ran_beats_the_type_that_was_chosen() {
    is() { # EXPECTED [SEVERITY of the contradiction]
        expect_json '.vms[0].os | [.profile, .family, .version, .kernel, .name] | map(tostring) | join("|")' "$1"
        if [ $# -gt 1 ]; then has_finding GUEST-OS-CONFLICT "$2" os; else hasnt_finding GUEST-OS-CONFLICT; fi
    }
    local linux="architecture='X86' bitness='64' familyName='Linux'"
    reported debian11-64 "$linux distroName='Debian GNU/Linux' distroVersion='12' kernelVersion='6.1.0-13-amd64' prettyName='Debian GNU/Linux 12 (bookworm)'"
    is "debian-12|linux|12|6.1.0-13-amd64|Debian GNU/Linux 12 (bookworm)" info
    expect_json '.vms[0].provenance["os/kernel"] | .from + " " + .detail' "vmx guestInfo.detailed.data"
    # Another order, the newer name of the setting, another family.
    reported debian12-64 "prettyName='Windows Server 2019, 64-bit (Build 17763.3650)' kernelVersion='17763.3650' familyName='Windows' distroVersion='10.0'" OS
    is "windows-2019|windows|10.0|17763.3650|Windows Server 2019, 64-bit (Build 17763.3650)" caution
    reported other-64 "$linux distroName='AlmaLinux' distroVersion='9.5' kernelVersion='5.14.0' prettyName='AlmaLinux 9.5 (Teal Serval)'"
    is "alma-9|linux|9.5|5.14.0|AlmaLinux 9.5 (Teal Serval)"
    # A vague word takes nothing away; a quote within a value; the first of two counts.
    reported debian11-64 "$linux kernelVersion='5.10' prettyName='Bob\\'s Linux' prettyName='Ubuntu 22.04'"
    is "debian-11|linux|null|5.10|Bob's Linux"
    # Nonsense is nothing.
    for no in "prettyName='Ubuntu" "='' = '" "familyName=Linux" ""; do
        reported debian11-64 "$no"
        is "debian-11|linux|null|null|null"
    done
    # --set has the last word.
    reported debian11-64 "$linux kernelVersion='6.1' prettyName='Debian GNU/Linux 12 (bookworm)'"
    run "$REHOST" inspect box.vmx --json --set os=rocky-9
    is "rocky-9|linux|null|6.1|Debian GNU/Linux 12 (bookworm)"
}
test_an_ovf_says_it_in_its_extra_settings() {
    make_vmdk a.vmdk a
    for where in before after; do
        descriptor ""
        python3 - $where <<'PY'
import re, sys
t = open("box.ovf").read()
os = '<OperatingSystemSection ovf:id="96" vmw:osType="debian11_64Guest" xmlns:vmw="http://www.vmware.com/schema/ovf"><Info/><Description>Debian GNU/Linux 11 (64-bit)</Description></OperatingSystemSection>'
more = '<vmw:ExtraConfig xmlns:vmw="http://www.vmware.com/schema/ovf" ovf:required="false" vmw:key="guestInfo.detailed.data" vmw:value="distroVersion=&apos;12&apos; familyName=&apos;Linux&apos; kernelVersion=&apos;6.1&apos; prettyName=&apos;Debian GNU/Linux 12 (bookworm)&apos;"/>'
t = t.replace("</VirtualHardwareSection>", more + "</VirtualHardwareSection>")
at = t.index("<VirtualHardwareSection") if sys.argv[1] == "before" else t.index("</VirtualHardwareSection>") + 25
open("box.ovf", "w").write(t[:at] + os + t[at:])
PY
        run "$REHOST" inspect box.ovf --json
        expect_status 0
        expect_json '.vms[0] | [.os.profile, .os.name, .provenance["os/name"].from] | join("|")' \
            "debian-12|Debian GNU/Linux 12 (bookworm)|ovf"
        has_finding GUEST-OS-CONFLICT info os
        hasnt_finding OVF-CONFIG-UNKNOWN
    done
}
test_what_a_vmx_does_not_say_is_not_looked_for_in_it() {
    reported debian12-64 ""
    expect_json '[.vms[0].findings[].remedy | strings | select(test("--fill"))] | length' 0
    expect_json '.vms[0].findings[] | select(.subject == "clock").remedy | test("timedatectl")' true
    descriptor ""
    run "$REHOST" inspect box.ovf --json --fill box.vmx --set os=debian-12
    expect_json '.vms[0].findings[] | select(.subject == "clock").remedy | test("timedatectl")' true
}
test_a_partition_of_unknown_content_is_told_by_its_type() {
    need sfdisk
    truncate -s 8M box.raw
    printf 'label: dos\nstart=2048, size=2048, type=da\nstart=4096, size=2048, type=83\n' |
        sfdisk -q box.raw
    run "$REHOST" inspect box.raw --json
    expect_status 0
    expect_json '.vms[0].findings[] | select(.id == "DISK-CONTENT").message' \
        "MBR: 1 unknown content (type 0xda), 2 unknown content (type 0x83)"
}

# --- nothing is lost: every real descriptor, counted by another reader -------------------
test_devices_out_and_told_are_those_in() {
    cat >count.py <<'PY'
import json, re, subprocess, sys, xml.etree.ElementTree as ET
def local(e): return e.tag.split("}")[-1]
def child(e, *names):
    return next((c.text or "" for c in e if local(c) in names), "")
def of_ovf(path):
    root, n, same = ET.parse(path).getroot(), [0, 0, 0, 0], set()
    for e in root.iter():
        if local(e) not in ("Item", "StorageItem", "EthernetPortItem"): continue
        a = {k.split("}")[-1]: v for k, v in e.attrib.items()}
        if a.get("bound") in ("min", "max"): continue
        t = child(e, "ResourceType") or {"StorageItem": "17", "EthernetPortItem": "10"}.get(local(e), "")
        disk = t in ("17", "19", "31", "32") and (t == "17" or "/disk/" in child(e, "HostResource"))
        n[0] += disk; n[1] += t == "10"; n[2] += t in ("15", "16") and not disk
        # All else but processors, memory, controllers, screens and VMCI.
        kind = child(e, "ResourceSubType").lower()
        # Two of one name and text are one finding.
        name = (t, kind, child(e, "ElementName", "Caption"))
        if not t or (name in same and len(root.findall(".//{*}VirtualSystem")) < 2): continue
        same.add(name)
        n[3] += (t not in ("3", "4", "5", "6", "7", "8", "9", "10", "15", "16", "17", "19", "20", "24", "31", "32")
                 and not (t == "32768" and "nvram" not in kind) and "vmci" not in kind
                 and not ("nvdimm" in kind and "controller" in kind))
    return n
def of_vmx(path):
    text = open(path, "rb").read().decode("latin-1").lower()
    v = dict(re.findall(r'^\s*([\w.:]+)\s*=\s*"(.*?)"', text, re.M))
    off = lambda k: v.get(k + ".present") == "false" or v.get(k.split(":")[0] + ".present") == "false"
    disks = {m[1] for k in v if (m := re.match(r"((?:scsi|sata|ide|nvme)\d+:\d+)\.", k))}
    disks = [d for d in disks if not off(d) and "cdrom" not in v.get(d + ".devicetype", "")]
    nics = {m[1] for k in v if (m := re.match(r"(ethernet\d+)\.(present|virtualdev|networkname|connectiontype|addresstype)", k))}
    cdroms = [k for k in {k.rsplit(".", 1)[0] for k in v if re.match(r"(scsi|sata|ide)\d+:\d+\.devicetype", k)}
              if "cdrom" in v[k + ".devicetype"] and not off(k)]
    others = [k for k in v if re.fullmatch(r"(floppy[01]|serial\d+|parallel\d+|usb|ehci|usb_xhci|sound|pcipassthru\d+|nvdimm0:\d+)\.present", k)
              and v[k] == "true"]
    return [len(disks), len([e for e in nics if v.get(e + ".present", "true") == "true"]),
            len(cdroms), len(others)]
bad = 0
TOLD = ("DEVICE-SERIAL DEVICE-DROPPED DEVICE-PASSTHROUGH DEVICE-SCSI-PASSTHROUGH DEVICE-VGPU DEVICE-USB "
        "DEVICE-NVDIMM NVRAM-CONTENTS TPM-CONTENTS OVF-ITEM-UNKNOWN DEVICE-SRIOV").split()
for path in sys.argv[2:]:
    try: want = of_vmx(path) if path.endswith(".vmx") else of_ovf(path)
    except ET.ParseError: continue
    r = subprocess.run([sys.argv[1], "inspect", "--json", path], capture_output=True)
    if r.returncode: continue  # refused, as other tests know
    d = json.loads(r.stdout)
    told = [f["message"] for v in d["vms"] for f in v["findings"]] + [f["message"] for f in d["package"]["findings"]]
    ids = [f["id"] for v in d["vms"] for f in v["findings"]]
    got = [sum(len(v[k]) for v in d["vms"]) for k in ("disks", "nics", "cdroms")]
    # What has no place on the target is a finding each; the 250th says how many more there are.
    got.append(sum(ids.count(i) for i in TOLD))
    # Told instead: left out, passed through, of another configuration, overridden.
    spare = [ids.count("OVF-REFERENCE") + ids.count("DEVICE-SCSI-PASSTHROUGH") + ids.count("DEVICE-DROPPED"), 0,
             ids.count("DEVICE-DROPPED"), 0]
    configured = any(f["id"] == "OVF-CONFIGURATION" for f in d["package"]["findings"]) or b"ovf:configuration=" in open(path, "rb").read()
    for i, what in enumerate(("disks", "network cards", "CD drives", "other devices")):
        if (i < 3 and got[i] > want[i] + ids.count("DEVICE-SRIOV")) or (got[i] + spare[i] < want[i] and not configured):
            bad += 1
            print("%s: %s in %d, out %d, told %d" % (path, what, want[i], got[i], spare[i]))
print("counted", len(sys.argv) - 2)
sys.exit(bad > 0)
PY
    files=("$TOP"/tests/ovf/*.ovf "$TOP"/tests/ovf/*.vmx)
    [ ! -d "$RH_SHARED/corpus/ovf" ] || files+=("$RH_SHARED"/corpus/ovf/*.{ovf,vmx})
    run python3 count.py "$REHOST" "${files[@]}"
    expect_status 0
    expect_stdout '^counted'
}

# --- left out on purpose ---------------------------------------------------------------
test_drop_leaves_out_what_it_names() {
    need qemu-img
    for n in a b c; do make_vmdk $n.vmdk $n; done
    three="files = [('f1', 'a.vmdk'), ('f2', 'b.vmdk'), ('f3', 'c.vmdk')]
disks = [('d1', 'f1'), ('d2', 'f2'), ('d3', 'f3')]
items = [disk(10, 'd1', 0), disk(11, 'd2', 1), disk(12, 'd3', 2), item(13, 15), item(14, 15)] + [
    item(20 + i, 10, Connection='LAN %d' % i, ResourceSubType='E1000') for i in range(3)]"
    descriptor "$three"
    run "$REHOST" inspect box.ovf --json --drop disk0 --drop disk2 --drop nic1 --drop cdrom0 \
        --set nic2.network=last
    expect_status 0
    expect_json '.vms[0] | [(.disks | map(.file) | join(",")), (.nics | map(.network) | join(",")),
        (.cdroms | length)] | join("|")' "b.vmdk|LAN 0,last|1"
    expect_json '[.vms[0].findings[] | select(.id == "DEVICE-LEFT-OUT")] | length' 4
    run "$REHOST" convert box.ovf --drop disk1 --to kvm --out out --no-guest-fix --format raw
    expect_status 0
    expect_same_file out/box/disk0.raw a.vmdk.raw
    expect_same_file out/box/disk1.raw c.vmdk.raw
    # What was said of it goes, and of the others stays with them.
    rm b.vmdk
    run "$REHOST" inspect box.ovf --json --drop disk0
    has_finding DISK-FILE-MISSING "" disks/0
    run "$REHOST" inspect box.ovf --json --drop disk1
    hasnt_finding DISK-FILE-MISSING
    descriptor "files = [('f1', 'a.vmdk'), ('f2', 'a.vmdk')]
disks = [('d1', 'f1'), ('d2', 'f2')]; items = [disk(10, 'd1', 0), disk(11, 'd2', 1)]"
    run "$REHOST" convert box.ovf --drop disk0 --to kvm --out out2 --no-guest-fix
    expect_status 0
    for wrong in disk2 nic0 floppy0 disk disk-1; do
        run "$REHOST" inspect box.ovf --drop $wrong
        expect_status 2
    done
}

# --- what a source is, and is not ---------------------------------------------------
test_plain_bytes_by_their_name_or_an_option() {
    make_disk x.dd 2097152
    run "$REHOST" inspect x.dd --json
    expect_status 0
    expect_json '.vms[0].disks[0].format' raw
    run "$REHOST" disk info x.dd
    expect_status 0
    cp x.dd x.bin
    run "$REHOST" inspect x.bin
    expect_error PACKAGE_UNKNOWN 3
    expect_stderr 'source-format raw'
    run "$REHOST" convert x.bin --source-format raw --to kvm --out out --no-guest-fix \
        --format raw --set memory=1GiB
    expect_status 0
    expect_same_file out/x/disk0.raw x.dd
    run "$REHOST" inspect x.bin --source-format nonsense
    expect_error USAGE 2
    # A member of a package.
    descriptor "files = [('f1', 'x.bin')]"
    run "$REHOST" convert box.ovf --to kvm --out out --no-guest-fix
    expect_status 3
    run "$REHOST" convert box.ovf --to kvm --out out --no-guest-fix --format raw --source-format raw
    expect_status 0
    expect_same_file out/box/disk0.raw x.dd
}
test_what_is_no_package_is_called_by_its_name() {
    refuses() { # FILE ID TEXT
        run "$REHOST" inspect "$1"
        expect_error "$2" 3
        expect_stderr "$3"
    }
    printf '\n<!DOCTYPE html><html>Sign in</html>' >page.ova
    refuses page.ova PACKAGE_UNKNOWN "web page"
    printf 'QED\0' >box.raw # never raw because of its name
    truncate -s 1M box.raw
    run "$REHOST" inspect box.raw
    expect_stderr "QED.*DISK_UNSUPPORTED"
    mkdir -p hv/"Virtual Machines" hv/"Virtual Hard Disks"
    refuses hv PACKAGE_NO_DESCRIPTOR "Hyper-V"
    descriptor ""
    cp box.ovf other.ovf
    python3 -c "import zipfile
with zipfile.ZipFile('two.zip', 'w') as z: z.write('box.ovf'); z.write('other.ovf')"
    run "$REHOST" inspect two.zip
    expect_error PACKAGE_SEVERAL 3
    expect_stderr "unpack it"
}
test_xml_as_it_is_really_written() {
    make_vmdk a.vmdk a
    descriptor ""
    sed -i "s|<?xml version='1.0'?>|<?xml version=\"1.0\" encoding=\"utf-16\"?>|" box.ovf
    run "$REHOST" inspect box.ovf --json
    expect_status 0
    expect_json '.vms[0].disks | length' 1
    descriptor ""
    sed -i "s| xmlns='http://schemas.dmtf.org/ovf/envelope/1'||; s|<\(/\?\)ovf:|<\1|g" box.ovf
    run "$REHOST" inspect box.ovf --json
    expect_status 0
    expect_json '.vms[0].disks | length' 1
    printf '<Envelope>\xe9\x22\xff' >bad.ovf
    run "$REHOST" inspect bad.ovf
    expect_error OVF_XML 3
    expect_equal "$(LC_ALL=C grep -c '[^ -~]' .stderr)" 0 "lines with raw bytes"
}
# A name that no file can have: as one that is not there.
test_a_file_of_a_name_too_long_is_not_there() {
    descriptor 'files = [("f1", "x" * 70000)]'
    run "$REHOST" inspect box.ovf --json
    expect_status 0
    run "$REHOST" convert box.ovf --to kvm --out out
    expect_error PACKAGE_FILE_MISSING 3
    [ "$(wc -c <.stderr)" -lt 2000 ] || fail "an error of $(wc -c <.stderr) bytes"
    expect_equal "$(ls -A out 2>/dev/null)" ""
}

# A copy that broke off looks like a disk, up to where its partitions should end.
test_a_disk_that_is_cut_is_told() {
    local label
    need sfdisk
    for label in dos gpt; do
        truncate -s 64M $label.raw
        printf 'label: %s\n1M,60M,L\n' $label | sfdisk -q $label.raw
        for size in 64M 30M; do
            truncate -s $size $label.raw
            run "$REHOST" report $label.raw --source-format raw --to kvm --no-guest --set memory=1GiB --json r.json
            expect_equal "$(jq -r '[.vms[0].targets[0].findings[] | select(.id == "DISK-CUT") | .message] | join(" ")' r.json)" \
                "$([ $size = 64M ] || echo 'its partitions reach 32505856 bytes behind its end')" "$label of $size"
        done
    done
}
run_tests
