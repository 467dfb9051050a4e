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
# What the library says when the program is not between: rh_plan_run's status.
library_converts() { # SOURCE: leaves its words in .stdout
    [ -z "${REHOST_SAN-}" ] || skip_test "a sanitizer's library cannot be loaded"
    cat >library.py <<'PY'
import ctypes, sys
l = ctypes.CDLL(sys.argv[1])
P, S = ctypes.c_void_p, ctypes.c_char_p
for name in ("rh_new", "rh_options_new", "rh_package_load", "rh_plan_new"):
    getattr(l, name).restype = P
l.rh_error_id.restype = l.rh_error_message.restype = S
l.rh_error_id.argtypes = l.rh_error_message.argtypes = [P]
l.rh_package_load.argtypes = [P, S, P, P]
l.rh_plan_new.argtypes = [P, P, P]
l.rh_plan_run.argtypes = [P, P]
l.rh_options_add.argtypes = [P, S, S, P]
err = P()
lib, options = l.rh_new(ctypes.byref(err)), l.rh_options_new()
for k, v in (b"to", b"kvm"), (b"out", b"lib-out"), (b"no-guest-fix", b"yes"):
    assert l.rh_options_add(options, k, v, None) == 0
p = l.rh_package_load(lib, sys.argv[2].encode(), options, ctypes.byref(err))
plan = p and l.rh_plan_new(p, options, ctypes.byref(err))
done = plan and l.rh_plan_run(plan, ctypes.byref(err)) == 0
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
run_tests
