#!/bin/bash
# kvm-target.sh - what --to kvm leaves, as Proxmox VE's rules and libvirt judge
# it. The VMs differ by --set; their disks are empty.
# long
. "$(dirname "$0")/lib.sh"
JUDGES=$TOP/tests/judges
export JUDGE_CACHE=$SCRATCH/capabilities
chmod 755 "$SCRATCH" # libvirt's judge may be another user

# vm NAME DISKS: a vSphere export with that many small disks.
vm() {
    local i disks=()
    for ((i = 0; i < $2; i++)); do
        truncate -s $((64 + i))M "$SCRATCH/d$i.raw"
        disks+=("$SCRATCH/d$i.raw")
    done
    python3 "$TOP/tests/guests/mkova.py" --name "$1" --guest debian12_64Guest \
        "$SCRATCH/$1.ova" "${disks[@]}" >/dev/null || exit 1
}
vm one 1
vm two 2

# The OVA's descriptor with other words in it: sed's script, then a new OVA.
edited() { # FROM TO SED-SCRIPT
    local dir
    dir=$(mktemp -d)
    tar -C "$dir" -xf "$SCRATCH/$1.ova"
    sed -i -E "$3" "$dir"/*.ovf
    rm -f "$dir"/*.mf
    (cd "$dir" && tar --format=ustar -cf "$SCRATCH/$2.ova" *.ovf *.vmdk)
    rm -rf "$dir"
}

converted() { # NAME OPTION...: into out/, result in $result
    local name=$1
    shift
    run "$REHOST" convert "$SCRATCH/$name.ova" --to kvm --out out \
        --no-guest-fix --network-map '*=vmbr0' "$@"
    expect_status 0
    result=$(echo out/*)
}
judged() { # [define]: PVE has no objection at all, libvirt starts it
    local start=--start last=started
    [ "${1-}" != define ] || { start='' last=defined; }
    python3 "$JUDGES/pve_conf_check.py" --pve 8 "$result/proxmox.conf" \
        >.judge 2>&1
    expect_equal "$(sed 1d .judge)" "" "objections of Proxmox VE 8"
    python3 "$JUDGES/pve_conf_check.py" "$result/proxmox.conf" >.judge 2>&1
    expect_equal "$(sed 1d .judge)" "" "objections of Proxmox VE 9"
    chmod -R a+rwX . && chmod a+x ..
    bash "$JUDGES/libvirt.sh" $start "$result/libvirt.xml" >.judge 2>&1
    case $? in
    2) skip_test "$(cat .judge)" ;;
    esac
    expect_equal "$(tail -n 1 .judge)" $last "libvirt: $(cat .judge)"
}
conf() { # KEY VALUE
    expect_equal "$(sed -n "s/^$1: //p" "$result/proxmox.conf")" "$2" "$1"
}
xml() { # XPATH VALUE
    expect_equal "$(xmllint --xpath "string($1)" "$result/libvirt.xml")" \
        "$2" "$1"
}
found() { # ID
    jq -e --arg id "$1" '[.vms[].targets[].findings[].id] | index($id)' \
        "$result/report.json" >.judge || fail "no finding $1" \
        "$(jq -r '.vms[].targets[].findings[].id' "$result/report.json")"
    held
}
not_found() {
    ! jq -e --arg id "$1" '[.vms[].targets[].findings[].id] | index($id)' \
        "$result/report.json" >.judge || fail "a finding $1"
    held
}

# --- machines ------------------------------------------------------------------
test_linux_on_bios_with_virtio() {
    converted two --set cpus=4 --set cores_per_socket=2 --set memory=1536MiB \
        --set nic0.mac=00:50:56:AA:bb:01
    conf bios seabios
    conf scsihw virtio-scsi-single
    conf scsi0 'local-lvm:vm-100-disk-0,discard=on,iothread=1,size=64M'
    conf scsi1 'local-lvm:vm-100-disk-1,discard=on,iothread=1,size=65M'
    conf net0 'virtio=00:50:56:AA:BB:01,bridge=vmbr0,firewall=1'
    conf boot order=scsi0
    conf sockets 2
    conf cores 2
    conf memory 1536
    conf ostype l26
    conf localtime 0
    conf machine q35
    xml '/domain/vcpu' 4
    xml '/domain/cpu/topology/@sockets' 2
    xml '/domain/devices/interface/mac/@address' 00:50:56:aa:bb:01
    xml '/domain/devices/interface/source/@bridge' vmbr0
    xml '/domain/devices/disk[1]/source/@file' "$PWD/$result/disk0.qcow2"
    xml '/domain/devices/controller/@model' virtio-scsi
    judged
}
test_windows_keeps_pvscsi_and_vmxnet3() {
    converted two --set os=windows-2019
    conf scsihw pvscsi
    conf net0 "vmxnet3=$(sed -n 's/^net0: [^=]*=\([^,]*\).*/\1/p' \
        "$result/proxmox.conf"),bridge=vmbr0,firewall=1"
    conf ostype win10
    conf localtime 1
    conf balloon 0
    conf machine pc-q35-8.0
    xml '/domain/clock/@offset' localtime
    xml '/domain/devices/controller[@type="scsi"]/@model' vmpvscsi
    xml '/domain/features/hyperv/relaxed/@state' on
    found KVM-COMPATIBILITY
    judged
}
test_windows_with_uefi_secure_boot_and_tpm() {
    need swtpm
    converted one --set os=windows-2022 --set firmware=uefi \
        --set secure_boot=yes --set tpm=yes
    conf bios ovmf
    conf efidisk0 'local-lvm:vm-100-disk-0,efitype=4m,pre-enrolled-keys=1,size=528K'
    conf tpmstate0 'local-lvm:vm-100-disk-2,version=v2.0,size=4M'
    conf ostype win11
    xml '/domain/os/@firmware' efi
    xml '/domain/os/firmware/feature[@name="secure-boot"]/@enabled' yes
    xml '/domain/features/smm/@state' on
    xml '/domain/devices/tpm/backend/@version' 2.0
    found KVM-TPM
    found KVM-UEFI-PVSCSI
    judged
}
test_uefi_without_secure_boot() {
    converted one --set firmware=uefi --set secure_boot=no
    conf efidisk0 'local-lvm:vm-100-disk-0,efitype=4m,pre-enrolled-keys=0,size=528K'
    xml '/domain/os/firmware/feature[@name="secure-boot"]/@enabled' no
    judged
}
test_windows_on_lsi_sas_goes_to_sata() {
    # Proxmox VE has no SAS 1068; every Windows brings AHCI.
    converted two --set os=windows-2012r2 --set disk0.controller=lsisas \
        --set disk1.controller=pvscsi
    conf sata0 'local-lvm:vm-100-disk-0,discard=on,size=64M'
    conf scsi0 'local-lvm:vm-100-disk-1,discard=on,size=65M'
    conf scsihw pvscsi
    conf boot order=sata0
    found KVM-DISK-CONTROLLER
    judged
}
test_emulated_devices() {
    converted two --devices emulated
    conf sata0 'local-lvm:vm-100-disk-0,discard=on,size=64M'
    conf balloon 0
    xml '/domain/devices/interface/model/@type' e1000
    xml '/domain/devices/disk[1]/target/@bus' sata
    xml '/domain/devices/memballoon/@model' none
    judged
}
test_solaris() {
    converted one --set os=solaris
    conf ostype solaris
    conf machine pc
    conf sata0 'local-lvm:vm-100-disk-0,discard=on,size=64M'
    judged define
}
test_ide_stays_ide() {
    converted two --set os=other --set disk0.controller=ide
    conf machine pc
    conf boot order=ide0
    xml '/domain/os/type/@machine' pc
    xml '/domain/devices/disk[1]/target/@bus' ide
    judged
}
test_one_disk_on_another_bus() {
    converted two --set disk1.bus=sata
    conf sata0 'local-lvm:vm-100-disk-0,discard=on,size=65M'
    conf boot order=scsi0
    judged define
}
test_nested_virtualisation_takes_the_hosts_cpu() {
    converted one --set nested_virtualization=yes
    conf cpu host
    xml '/domain/cpu/@mode' host-passthrough
    found KVM-NESTED
    judged define
}
test_raw_disks() {
    converted one --format raw
    expect_file "$result/disk0.raw"
    xml '/domain/devices/disk[1]/driver/@type' raw
    judged define
}
test_more_disks_than_a_bus_has() {
    vm many 20
    converted many --devices emulated
    # 6 SATA, IDE's masters without the CD's, then what is left.
    expect_equal "$(grep -cE '^(sata|ide|scsi|virtio)[0-9]+: .*vm-100' \
        "$result/proxmox.conf")" 20 "disks in proxmox.conf"
    found KVM-DISK-OVERFLOW
    judged
}

# --- names, networks, texts --------------------------------------------------------
test_networks_by_map() {
    local map
    for map in vmbr7:42 vmbr7,tag=42; do # as push has it
        converted one --network-map "VM Network=$map"
        conf net0 "virtio=$(sed -n 's/^net0: [^=]*=\([^,]*\).*/\1/p' \
            "$result/proxmox.conf"),bridge=vmbr7,firewall=1,tag=42"
        found KVM-VLAN
        not_found KVM-NETWORK
        judged define
        rm -r out
    done
    for map in '*=vmbr7,tag=4095' '*=vmbr7,tag=' '*=,tag=7'; do
        run "$REHOST" convert "$SCRATCH/one.ova" --to kvm --out out --network-map "$map"
        expect_error PLAN_OPTION 2
    done
    run "$REHOST" convert "$SCRATCH/one.ova" --to all --out out \
        --network-map '*=vmbr7,tag=42'
    expect_error PLAN_OPTION 2
    run "$REHOST" convert "$SCRATCH/one.ova" --to kvm --out out \
        --network-map 'a=b=vmbr7' --network-map '*=vmbr1' --network-map a=b=vmbr8,tag=4
    expect_error PLAN_OPTION 2
    expect_stderr 'says of "a=b" both "vmbr7" and "vmbr8,tag=4"'
    expect_empty out
}
test_versions_and_names_that_cannot_be() {
    local o
    for o in '--to kvm --target-version 7' '--to xen --target-version 8.20' \
        '--to all --target-version=' '--to kvm --name='; do
        # shellcheck disable=SC2086
        run "$REHOST" convert "$SCRATCH/one.ova" --out out $o
        expect_error PLAN_OPTION 2
        expect_empty out
    done
    run "$REHOST" report "$SCRATCH/one.ova" --to all --target-version 8.2.1 --json r.json
    expect_status 0
}
test_networks_without_a_map_are_said() {
    run "$REHOST" convert "$SCRATCH/one.ova" --to kvm --out out \
        --no-guest-fix
    expect_status 0
    result=$(echo out/*)
    found KVM-NETWORK
    found MAC-MADE-UP
    xml '/domain/devices/interface/@type' user
    judged
}
test_the_same_input_gives_the_same_files() {
    converted one
    mv out first
    converted one
    expect_same_file first/one/proxmox.conf out/one/proxmox.conf
    expect_same_file first/one/disk0.qcow2 out/one/disk0.qcow2
    sed 's#/first/#/out/#' first/one/import.sh >import.sh
    expect_same_file import.sh out/one/import.sh
}
test_a_bridge_that_cannot_be() {
    run "$REHOST" convert "$SCRATCH/one.ova" --to kvm --out out \
        --no-guest-fix --network-map '*=vmbr0;reboot'
    expect_error PLAN_BLOCKED 4
    expect_empty out
}
test_storage_and_vmid() {
    converted one --storage fast.pool-1 --vmid 4711
    conf scsi0 'fast.pool-1:vm-4711-disk-0,discard=on,iothread=1,size=64M'
    judged define
    for o in '--storage a,b' '--storage x' '--vmid 99' '--vmid 0100' \
        '--vmid 1000000000' '--vmid 5x'; do
        run "$REHOST" convert "$SCRATCH/one.ova" --to kvm --out bad \
            --no-guest-fix $o
        expect_error TARGET_OPTION 2
        expect_empty bad
    done
}
test_hostile_names_stay_words() {
    edited one hostile "s|<Name>.*</Name>|<Name>it's \$(touch pwned) \`touch pwned\` \"; touch pwned; #\&amp;\&lt;\&gt;% ünï</Name>|
        s|(<VirtualSystem [^>]*>)|\1<AnnotationSection><Info>x</Info><Annotation>line one: 100%\n'; touch pwned; '\$(touch pwned)\n[PENDING]\nscsi0: none</Annotation></AnnotationSection>|"
    converted hostile
    judged define
    conf name it-s-touch-pwned-touch-pwned-touch-pwned-n
    run sh "$result/import.sh" --dry-run
    expect_status 0
    expect_equal "$(find . -name pwned)" ""
    ! grep -q '^\[' "$result/proxmox.conf" || fail "a section in the file"
    expect_equal "$(python3 -c '
import sys, urllib.parse
for line in open(sys.argv[1]):
    if line.startswith("description: "):
        print(urllib.parse.unquote(line[13:].rstrip("\n")))' \
        "$result/proxmox.conf" | sed -n 2p)" 'line one: 100%'
}

# --- import.sh -----------------------------------------------------------------------
# A node in a folder: qm, pvesm and pvesh that write down what they were told.
node() {
    mkdir -p node
    cat >node/qm <<'QM'
#!/bin/bash
case $1 in
status) [ "$2" = 200 ] ;;
create) shift; printf '%s\0' "$@" >"$NODE/created" ;;
start) echo "$2" >"$NODE/started" ;;
esac
QM
    printf '#!/bin/sh\n[ "$3" = local-lvm ] || [ "$3" = fast ]\n' >node/pvesm
    printf '#!/bin/sh\necho 105\n' >node/pvesh
    chmod +x node/*
    export NODE=$PWD/node PATH=$PWD/node:$PATH
}
as_conf() { # what `qm create` was told, as the file it would write
    python3 - "$1" <<'PY'
import re, sys, urllib.parse
words = open(sys.argv[1], "rb").read().decode().split("\0")[:-1]
print("# vmid", words[0], file=sys.stderr)
for key, value in zip(words[1::2], words[2::2]):
    assert key.startswith("--"), key
    m = re.match(r"([^:]+):0,import-from=(/[^,]*),(.*)", value)
    if m:
        open(m[2]).close()
        value = "%s:vm-1-%s,%s" % (m[1], key[2:], m[3])
    value = re.sub(r"^([a-zA-Z0-9.-]+):1,(.*)", r"\1:vm-1-%s,\2" % key[2:],
                   value)
    if key == "--description":
        value = urllib.parse.quote(value)
    print("%s: %s" % (key[2:], value))
PY
}
test_import_asks_for_the_same_vm() {
    node
    converted two --set os=windows-2022 --set firmware=uefi \
        --set secure_boot=yes --set tpm=yes --set memory=3GiB
    run sh "$result/import.sh" --force --storage fast --start
    expect_status 0
    expect_stdout 'imported: VM 105'
    expect_equal "$(cat node/started)" 105
    as_conf node/created >asked.conf 2>/dev/null
    python3 "$JUDGES/pve_conf_check.py" asked.conf >.judge
    expect_equal "$(sed 1d .judge)" "" "objections of Proxmox VE"
    # Word for word as in the file, but for volumes and the generation.
    expect_equal "$(grep -vE '(scsi|efidisk|tpmstate)[0-9]:|vmgenid' asked.conf)" \
        "$(grep -vE '(scsi|efidisk|tpmstate)[0-9]:|vmgenid' \
            "$result/proxmox.conf")"
    expect_equal "$(grep -c 'fast:vm-1' asked.conf)" 4
}
test_import_passes_hostile_texts_as_they_are() {
    node
    edited one annotated "s|(<VirtualSystem [^>]*>)|\1<AnnotationSection><Info>x</Info><Annotation>it's \$(touch pwned) \\\\ \"two\"\nlines</Annotation></AnnotationSection>|"
    converted annotated
    run sh "$result/import.sh" --force
    expect_status 0
    expect_equal "$(tr '\0' '\n' <node/created |
        grep -A 2 -e '^--description$' | tail -n 2)" \
        "it's \$(touch pwned) \\ \"two\"
lines"
    expect_equal "$(find . -name pwned)" ""
}
test_import_refuses_what_cannot_work() {
    converted one
    run sh "$result/import.sh" --help
    expect_status 0
    expect_stdout '^usage: import.sh'
    run sh "$result/import.sh" --nonsense
    expect_status 2
    run env PATH=/usr/bin:/bin sh "$result/import.sh"
    expect_status 1
    expect_stderr 'there is no qm here'
    node
    run sh "$result/import.sh" --storage nowhere
    expect_status 1
    expect_stderr "there is no storage 'nowhere'"
    run sh "$result/import.sh"
    expect_status 1
    expect_stderr "there is no bridge 'vmbr0'"
    run sh "$result/import.sh" --force --vmid 200
    expect_status 1
    expect_stderr 'a VM 200 exists already'
    for o in '--vmid 99' '--vmid 12x' '--storage ../x'; do
        run sh "$result/import.sh" --force $o
        expect_status 1
        expect_stderr 'cannot be'
    done
    mv "$result/disk0.qcow2" elsewhere
    run sh "$result/import.sh" --force
    expect_status 1
    expect_stderr 'disk0.qcow2 is missing'
    [ ! -e node/created ] || fail "something was created"
}

# --- the judge itself -------------------------------------------------------------------
test_the_checker_agrees_with_proxmox() {
    # Verdicts recorded from Proxmox VE's own parser and API schema.
    python3 - "$JUDGES" >.judge 2>&1 <<'PY' || fail "$(cat .judge)"
import json, subprocess, sys
judges = sys.argv[1]
rows = [json.loads(line) for line in open(judges + "/pve_conf_corpus.jsonl")]
names = []
for row in rows:
    names.append(row["id"] + ".conf")
    open(names[-1], "w", newline="").write(row["conf"])
out = subprocess.run(["python3", judges + "/pve_conf_check.py", "--json"] +
                     names, capture_output=True, text=True).stdout
differ = [r["id"] for r, g in zip(rows, json.loads(out))
          if g["ok"] != (r["verdict"] == "OK")]
assert len(rows) > 200 and not differ, differ
PY
    held
}
# `rehost boot` asks QEMU for the machine that the configuration names.
booted_machine() { # DIR
    mkdir -p bin
    printf '#!/bin/sh\nprintf "%%s\\n" "$@" >%s/asked\n' "$PWD" \
        >bin/qemu-system-x86_64
    chmod +x bin/qemu-system-x86_64
    PATH=$PWD/bin:$PATH run "$REHOST" boot "$1" --timeout 5
    expect_equal "$(sed -n '/^-machine$/{n;s/,.*//;p}' asked)" "$2" machine
}
test_boot_on_the_machine_that_was_emitted() {
    converted one
    booted_machine "$result" q35
    rm -r out
    converted one --set machine=pc
    xml '/domain/os/type/@machine' pc
    booted_machine "$result" pc
}

run_tests
