#!/bin/bash
# VMs of ESXi and vCenter as sources.  VMware's own simulator library plays the
# servers, extended by disks, leases and changed blocks (see lib-vsphere.sh).
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/lib-vsphere.sh"

SECRET=s3cr3t-Pa55
export XDG_STATE_HOME=$SCRATCH/state
make_disk a.raw 25165824 a
make_disk b.raw 5242880 b
cat >vms.json <<'JSON'
[{"name": "web01", "guest": "debian12_64Guest", "cpus": 4,
  "cores_per_socket": 2, "memory_mb": 2048, "firmware": "efi",
  "secure_boot": true, "power": "off", "cbt": true, "note": "the <web> & co",
  "disks": [{"file": "a.raw", "controller": "pvscsi", "unit": 0, "thin": true},
            {"file": "b.raw", "controller": "sata", "unit": 3}],
  "nics": [{"model": "vmxnet3", "network": "LAN", "mac": "00:50:56:aa:bb:01"},
           {"model": "e1000e", "network": "DMZ", "mac": "00:50:56:aa:bb:02"}]},
 {"name": "run 02", "guest": "windows9Server64Guest", "cpus": 1,
  "memory_mb": 1024, "firmware": "bios", "power": "on", "cbt": true,
  "tools": "running",
  "disks": [{"file": "a.raw", "controller": "lsisas", "unit": 1}],
  "nics": [{"model": "e1000", "network": "LAN", "mac": "00:50:56:aa:bb:03"}]}]
JSON

# --- lists -------------------------------------------------------------------

test_a_place_lists_its_vms() {
    simulate vcenter
    live inspect vcenter://$HOST --json
    expect_status 0
    expect_schema .stdout rehost.inventory-1.json
    expect_json '[.vms[] | .path, .power, .cpus, .disk_bytes] | join(" ")' \
        "DC0/vm/run 02 on 1 25165824 DC0/vm/web01 off 4 30408704"
    live inspect vcenter://$HOST/DC0/vm
    expect_status 0
    expect_stdout '^VM +POWER +CPUS'
    expect_stdout '^DC0/vm/web01 +off +4 +2 GiB'
    live inspect vcenter://$HOST/DC0/vm/nothing
    expect_error LIVE_NOT_FOUND 1
    expect_no_sessions
}

test_an_esxi_lists_names() {
    simulate esx
    live inspect esxi://$HOST --json
    expect_json '[.vms[].path] | join(",")' "run 02,web01"
    live inspect esxi://$HOST/web01 --json
    expect_json '.vms[0].cpus' 4
    expect_no_sessions
}

# As a host in lockdown mode answers: to whoever has the right password, too.
test_a_refusal_by_lockdown_mode_says_so() {
    need openssl python3
    need_built_with libcurl
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 1 \
        -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 2>/dev/null
    python3 - >port <<'PY' &
import http.server, ssl
ENVELOPE = """<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>%s</soapenv:Body></soapenv:Envelope>"""
REFS = "".join('<%s type="%s">ha-%s</%s>' % (n, n[0].upper() + n[1:], n, n) for n in (
    "rootFolder", "propertyCollector", "viewManager", "sessionManager", "authorizationManager", "searchIndex",
    "taskManager", "virtualDiskManager", "fileManager", "licenseManager"))
CONTENT = ('<RetrieveServiceContentResponse xmlns="urn:vim25"><returnval>' + REFS +
           "<about><name>ESXi</name><fullName>VMware ESXi 7.0.3</fullName><vendor>VMware</vendor><version>7.0.3</version>"
           "<build>1</build><osType>vmnix-x86</osType><productLineId>embeddedEsx</productLineId><apiType>HostAgent</apiType>"
           "<apiVersion>7.0.3.0</apiVersion></about></returnval></RetrieveServiceContentResponse>")
FAULT = ('<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>Permission to perform this operation was denied.'
         '</faultstring><detail><NoPermissionFault xmlns="urn:vim25" xsi:type="NoPermission"><object type="Folder">ha-folder-root'
         "</object></NoPermissionFault></detail></soapenv:Fault>")
class Host(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        refused = b"<Login " in self.rfile.read(int(self.headers["Content-Length"]))
        body = (ENVELOPE % (FAULT if refused else CONTENT)).encode()
        self.send_response(500 if refused else 200)
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    log_message = lambda *words: None
server = http.server.HTTPServer(("127.0.0.1", 0), Host)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
PY
    trap "kill $!" EXIT
    soon test -s port
    export REHOST_SOURCE_USER=root
    live inspect "esxi://127.0.0.1:$(cat port)/web01"
    expect_error LIVE_RIGHTS 4
    expect_stderr 'hint: .*lockdown mode'
}

# --- configuration -----------------------------------------------------------

test_a_vm_is_found_by_path_name_id_and_uuid() {
    simulate vcenter
    live inspect vcenter://$HOST --json
    local id uuid way
    id=$(jq -r '.vms[1].moref' .stdout)
    uuid=$(jq -r '.vms[1].uuid' .stdout)
    for way in DC0/vm/web01 web01 "$id" "$uuid" "${uuid^^}"; do
        live inspect "vcenter://$HOST/$way" --json
        expect_json '.vms[0].name' web01
    done
    live inspect "vcenter://$HOST/DC0/vm/run%2002" --json
    expect_json '.vms[0].name' "run 02"
}

test_the_configuration_is_the_source_s() {
    simulate vcenter
    live inspect vcenter://$HOST/DC0/vm/web01 --json
    expect_status 0
    expect_schema .stdout rehost.vm-1.json
    expect_json '.package.kind' vsphere
    expect_json '.vms[0] | [.cpus, .cores_per_socket, .memory_bytes, .firmware,
        .secure_boot, .annotation, .os.vmware_id] | map(tostring) | join(" ")' \
        "4 2 2147483648 uefi true the <web> & co debian12_64Guest"
    expect_json '[.vms[0].disks[] | .controller, .bus, .unit, .capacity_bytes]
        | map(tostring) | join(" ")' \
        "pvscsi 0 0 25165824 sata 0 3 5242880"
    expect_json '[.vms[0].nics[] | .model, .network, .mac] | join(" ")' \
        "vmxnet3 LAN 00:50:56:aa:bb:01 e1000e DMZ 00:50:56:aa:bb:02"
    expect_json '.vms[0].provenance | [.cpus.from, .["nics/0/mac"].from,
        .["disks/1/capacity_bytes"].from] | join(" ")' \
        "vsphere vsphere vsphere"
}

# VMware's own library for Python reads the same server.
test_pyvmomi_sees_the_same_vm() {
    need_pyvmomi
    simulate vcenter
    live inspect vcenter://$HOST/DC0/vm/web01 --json
    jq -S '.vms[0] | {name, cpus, memory_bytes, uuid, firmware, secure_boot,
        macs: [.nics[].mac], disks: [.disks[] | [.file, .capacity_bytes]]}' \
        .stdout >ours
    "$PYVMOMI" - $HOST "$SECRET" <<'PY' | jq -S . >theirs
import json, ssl, sys
from pyVim.connect import SmartConnect, Disconnect
from pyVmomi import vim
host, port = sys.argv[1].split(":")
si = SmartConnect(host=host, port=int(port), user="root", pwd=sys.argv[2],
                  sslContext=ssl._create_unverified_context())
vm = si.content.searchIndex.FindByInventoryPath("DC0/vm/web01")
c, devices = vm.config, vm.config.hardware.device
disks = [d for d in devices if isinstance(d, vim.vm.device.VirtualDisk)]
nics = [d for d in devices if isinstance(d, vim.vm.device.VirtualEthernetCard)]
print(json.dumps({
    "name": c.name, "cpus": c.hardware.numCPU, "uuid": c.uuid,
    "memory_bytes": c.hardware.memoryMB << 20,
    "firmware": {"efi": "uefi"}.get(c.firmware, "bios"),
    "secure_boot": c.bootOptions.efiSecureBootEnabled,
    "macs": [n.macAddress for n in nics],
    "disks": [[d.backing.fileName, d.capacityInBytes] for d in disks]}))
Disconnect(si)
PY
    expect_same_file ours theirs
}

# --- tags, and where it lies ---------------------------------------------------

give_tags() { # tags web01
    live inspect vcenter://$HOST --json
    WEB=$(jq -r '.vms[] | select(.name == "web01").moref' .stdout)
    with_tags
    tag_vm "$(make_tag Env Prod)" "$WEB"
    tag_vm "$(make_tag Größe 'L; XL')" "$WEB"
    tag_vm "$(make_tag 環境 本番)" "$WEB"
    make_tag Team nobody >/dev/null
    without_tags
}
# By each of its paths; also where the session ends meanwhile.
test_tags_come_by_rest() {
    local mode
    simulate vcenter -v
    give_tags
    for mode in on brief old newer; do
        rest_mode $mode
        : >sim.err
        live inspect vcenter://$HOST/DC0/vm/web01 --json
        expect_status 0
        expect_schema .stdout rehost.vm-1.json
        expect_json '.vms[0] | .tags, .provenance.tags.from' \
            "Env:Prod;Größe:L, XL;環境:本番
vsphere"
        expect_json '[.. | objects | select(.id == "LIVE-TAGS")] | length' 0
        expect_no_sessions
    done
    grep -q 'rest POST /api/session' sim.err || fail "not by the newer paths"
    ! grep -q 'rest [A-Z]* /rest' sim.err || fail "by the older paths, too"
}
test_tags_go_to_the_target() {
    simulate vcenter
    give_tags
    live convert vcenter://$HOST/DC0/vm/web01 --to all --out out --no-guest-fix
    expect_status 0
    grep -q '^tags: rehost;vmware;Env-Prod;Gr-e-L-XL$' out/kvm/web01/proxmox.conf ||
        fail "other tags in proxmox.conf" "$(grep ^tags out/kvm/web01/proxmox.conf)"
    run python3 "$TOP/tests/judges/pve_conf_check.py" out/kvm/web01/proxmox.conf
    expect_status 0
    expect_json '[.vms[].targets[].findings[] | select(.id == "KVM-TAGS").message
        | sub(" on Proxmox.*: "; " ")] | sort | join(", ")' \
        "tags that are left out 1, tags that are spelled otherwise 2" \
        out/kvm/web01/report.json
    tar xOf out/xen/web01/web01.xva ova.xml | grep -qF \
        '<name>tags</name><value><array><data><value>Env:Prod</value><value>Größe:L, XL</value><value>環境:本番</value></data>' ||
        fail "other tags in the XVA"
    expect_no_sessions
}
# Nothing fails for them, and who is refused does not try again.
test_tags_that_are_not_read_are_told() {
    local mode
    simulate vcenter -v
    give_tags
    for mode in "absent:has no REST API" "denied:status 401" \
        "down:status 503" "locked:may not read: 3"; do
        rest_mode ${mode%%:*}
        : >sim.err
        live report vcenter://$HOST/DC0 --to all --json report.json --no-guest
        expect_status 0
        expect_json "[.vms[] | select(.vm.name == \"web01\").targets[0].findings[]
            | select(.id == \"LIVE-TAGS\" and .severity == \"info\").message
            | test(\"${mode#*:}\")] | tostring" '[true]' report.json
        expect_equal "$(grep -c 'rest POST /rest/com/vmware/cis/session' sim.err)" 1 \
            "log-ins by REST ($mode)"
        expect_no_sessions
    done
    kill $SERVER
    wait $SERVER 2>/dev/null
    simulate esx
    live inspect esxi://$HOST/web01 --json
    expect_status 0
    expect_json '[.. | objects | select(.id == "LIVE-TAGS")] | length' 1
}
test_tags_of_many_vms_take_few_requests() {
    jq -n '[range(450) | {name: (if . == 0 then "web01" else "vm\(.)" end), guest: "debian12_64Guest", cpus: 1,
        memory_mb: 512, power: "off", nics: [],
        disks: (if . == 0 then [{file: "b.raw", controller: "pvscsi"}] else [] end)}]' >many.json
    mv "$SCRATCH/vms.json" all.json
    cp many.json "$SCRATCH/vms.json"
    simulate vcenter -v
    mv all.json "$SCRATCH/vms.json"
    live inspect vcenter://$HOST --json
    local tag vm
    with_tags
    tag=$(make_tag Env Prod)
    for vm in $(jq -r '.vms[range(0; 450; 50)].moref' .stdout); do
        tag_vm "$tag" "$vm"
    done
    without_tags
    : >sim.err
    live report vcenter://$HOST --to kvm --no-guest --json report.json
    expect_json '[.vms[].vm.tags | select(. == "Env:Prod")] | length' 9 report.json
    # One VM, all by 200; a tag, its category; in and out.
    expect_equal "$(grep -c ' rest ' sim.err)" 8 "requests by REST"
    expect_no_sessions
}

test_where_it_lies_is_told() {
    need_pyvmomi
    simulate vcenter
    "$PYVMOMI" - $HOST "$SECRET" <<'PY' || fail "the VM could not be moved"
import ssl, sys, time
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim
host, port = sys.argv[1].split(":")
si = SmartConnect(host=host, port=int(port), user="root", pwd=sys.argv[2],
                  sslContext=ssl._create_unverified_context())
vm = si.content.searchIndex.FindByInventoryPath("DC0/vm/web01")
def wait(task):
    while task.info.state in ("queued", "running"):
        time.sleep(0.1)
    assert task.info.state == "success", task.info.error
def share(limit, reserved, level):
    return vim.ResourceAllocationInfo(limit=limit, reservation=reserved,
        expandableReservation=True, shares=vim.SharesInfo(level=level, shares=0))
def pool(above, name, cpu, memory):
    return above.CreateResourcePool(name, vim.ResourceConfigSpec(
        cpuAllocation=cpu, memoryAllocation=memory))
none = share(-1, 0, "normal")
gold = pool(vm.resourcePool, "Gold", share(2000, 0, "high"), none)
web = pool(gold, "Web", none, share(-1, 512, "normal"))
wait(vm.RelocateVM_Task(vim.vm.RelocateSpec(pool=web)))
folder = vm.parent.CreateFolder("Shop")
wait(folder.MoveIntoFolder_Task([vm]))
Disconnect(si)
PY
    live inspect vcenter://$HOST/DC0/vm/Shop/web01 --json
    expect_status 0
    expect_schema .stdout rehost.vm-1.json
    expect_json '.vms[0] | .folder, .resource_pool' \
        "DC0/vm/Shop
DC0/host/DC0_H0/Resources/Gold/Web"
    expect_json '[.. | objects | select(.id == "LIVE-POOL").message] | join("\n")' \
        "the VM's resource pool shares out: memory reservation 512 MiB
a resource pool above the VM's shares out: CPU limit 2000 MHz, CPU shares high"
    cp .stdout vm.json
    live report vcenter://$HOST/DC0/vm/Shop/web01 --to kvm --redact --json r.json
    expect_json '.vms[0].vm | .folder, .resource_pool' "...
..." r.json
}

# --- bytes -------------------------------------------------------------------

test_a_cold_copy_equals_the_disk_by_each_way() {
    simulate vcenter
    local way
    for way in folder lease; do
        live convert vcenter://$HOST/DC0/vm/web01 --to kvm --out $way \
            --format raw --no-guest-fix --transport $way
        expect_status 0
        expect_same_file $way/web01/disk0.raw "$SCRATCH/a.raw"
        expect_same_file $way/web01/disk1.raw "$SCRATCH/b.raw"
        live verify vcenter://$HOST/DC0/vm/web01 $way/web01 --transport $way
        expect_status 0
        live convert vcenter://$HOST/DC0/vm/web01 --to xen --out $way \
            --transport $way --format vhd --overwrite
        expect_status 0
        expect_same_disk $way/web01/disk0.vhd "$SCRATCH/a.raw" vpc raw
        expect_clean web01
    done
}

test_what_is_left_of_the_disks_is_the_right_one() {
    simulate esx
    live convert esxi://$HOST/web01 --to kvm --out out --format raw \
        --no-guest-fix --drop disk0
    expect_status 0
    expect_same_file out/web01/disk0.raw "$SCRATCH/b.raw"
    expect_json '.disks | length' 1 out/web01/receipt.json
}

test_a_broken_connection_goes_on_by_range() {
    simulate esx -drop-after 700000
    live convert esxi://$HOST/web01 --to kvm --out out --format raw \
        --no-guest-fix
    expect_status 0
    expect_same_file out/web01/disk0.raw "$SCRATCH/a.raw"
}

# Twice: each time one log-in, and the bytes go on where they were.
test_a_session_that_ends_while_files_are_read() {
    simulate esx
    (for _ in 1 2; do
        sleep 1.5
        curl -sk "https://$HOST/_sim/expire" -X POST
    done) &
    live convert esxi://$HOST/web01 --to kvm --out out --format raw \
        --no-guest-fix --transport folder --bandwidth 8M
    expect_status 0
    wait $!
    expect_same_file out/web01/disk0.raw "$SCRATCH/a.raw"
    expect_clean web01
}
# What a killed run has fetched of a VM that is off is not fetched again.
test_what_came_before_a_kill_does_not_travel_again() {
    cp "$SCRATCH/vms.json" "$SCRATCH/all.json"
    head -c 25165824 /dev/urandom >big.raw
    jq --arg f "$PWD/big.raw" '.[0].disks[0].file = $f' "$SCRATCH/all.json" \
        >"$SCRATCH/vms.json"
    simulate vcenter -v
    mv "$SCRATCH/all.json" "$SCRATCH/vms.json"
    printf '%s\n' "schema: rehost.jobs/1" "out: import" "bandwidth: 12M" \
        "defaults: {to: kvm, format: raw, no-guest-fix: true, source-tls-ca: cert.pem}" \
        "vms: [{source: vcenter://$HOST/DC0/vm/web01}]" >jobs.yaml
    REHOST_SOURCE_PASSWORD=$SECRET "$REHOST" batch run jobs.yaml >first 2>&1 &
    local pid=$! all
    for _ in $(seq 400); do
        n=$(du -B1 -c import/.rehost/fetched/*/*.bytes 2>/dev/null | tail -1 | cut -f1)
        [ "${n:-0}" -lt 12582912 ] || break
        sleep 0.02
    done
    kill -9 $pid
    wait $pid 2>/dev/null
    [ "${n:-0}" -ge 12582912 ] || fail "only ${n:-0} bytes were kept" "$(cat first)"
    : >sim.err
    sed -i '/^bandwidth/d' jobs.yaml
    live_env "$REHOST" batch resume jobs.yaml --progress none
    expect_status 0
    expect_same_file import/web01/disk0.raw big.raw
    expect_same_file import/web01/disk1.raw "$SCRATCH/b.raw"
    [ ! -e import/.rehost/fetched ] || fail "left: $(ls -R import/.rehost/fetched)"
    # Of 12 requests of 2 MiB half is left, and what tells the size.
    all=$(grep -c 'GET /folder/web01/web01-flat' sim.err)
    [ "$all" -ge 1 ] && [ "$all" -le 9 ] || fail "$all requests" "$(cat sim.err)"
}

# What VMFS has not allocated of a thin disk is not asked for.
test_holes_of_a_thin_disk_do_not_travel() {
    simulate esx -v
    truncate -s 1G thin.raw
    cp "$SCRATCH/vms.json" "$SCRATCH/all.json"
    kill $SERVER
    jq --arg f "$PWD/thin.raw" '.[0].disks[0].file = $f' "$SCRATCH/all.json" \
        >"$SCRATCH/vms.json"
    printf 'data' | dd of=thin.raw bs=1 seek=700000000 conv=notrunc status=none
    simulate esx -v
    live convert esxi://$HOST/web01 --to kvm --out out --no-guest-fix
    mv "$SCRATCH/all.json" "$SCRATCH/vms.json"
    expect_status 0
    expect_same_disk thin.raw out/web01/disk0.qcow2 raw
    expect_equal "$(($(grep -c 'GET /folder/web01/web01-flat' sim.err) < 40))" \
        1 "few requests"
}

# A lease's stream can't be taken up: nothing half-made is left of it.
test_a_broken_lease_leaves_nothing() {
    simulate esx -drop-after 700000
    live convert esxi://$HOST/web01 --to kvm --out out --transport lease
    expect_error HTTP_FAILED 1
    expect_empty out
    expect_clean web01
}

# The progress that is reported keeps it, however slowly the bytes go.
test_a_lease_outlives_its_timeout() {
    simulate esx -lease-timeout 2
    live convert esxi://$HOST/web01 --to kvm --out out --transport lease \
        --no-guest-fix --format raw --bandwidth 6M
    expect_status 0
    expect_same_file out/web01/disk0.raw "$SCRATCH/a.raw"
    expect_clean web01
}

snapshots_then_copy() { # KIND
    simulate esx -delta "$1"
    "$PYVMOMI" - $HOST "$SECRET" <<'PY' || fail "the VM could not be prepared"
import sys, ssl, time, urllib.parse, urllib.request
from pyVim.connect import SmartConnect, Disconnect
host, port = sys.argv[1].split(":")
si = SmartConnect(host=host, port=int(port), user="root", pwd=sys.argv[2],
                  sslContext=ssl._create_unverified_context())
def wait(task):
    while task.info.state in ("queued", "running"):
        time.sleep(0.1)
find = si.content.searchIndex.FindByInventoryPath
vm = find("ha-datacenter/vm/run 02")
def write(offset, data):
    url = "https://%s/_sim/write?%s" % (sys.argv[1], urllib.parse.urlencode(
        {"vm": "run 02", "disk": 0, "offset": offset}))
    urllib.request.urlopen(urllib.request.Request(url, data, method="POST"),
                           context=ssl._create_unverified_context())
for n in range(2):
    wait(vm.CreateSnapshot_Task("before %d" % n, "", False, False))
    write(65536 * n + 4096, b"A%d" % n * 3000)
    write(9000000 + 1000 * n, bytes(20000))
wait(vm.PowerOffVM_Task())
Disconnect(si)
PY
    curl -sk "https://$HOST/_sim/raw?vm=run%2002&disk=0" >truth.raw
    cmp -s truth.raw "$SCRATCH/a.raw" && fail "nothing was written"
    live convert "esxi://$HOST/run%2002" --to kvm --out out --format raw \
        --no-guest-fix
    expect_status 0
    expect_same_file out/run-02/disk0.raw truth.raw
    expect_json '[.vms[].targets[].findings[] | select(.id == "LIVE-SNAPSHOTS")]
        | length' 1 out/run-02/report.json
}
test_a_chain_of_sesparse_deltas_is_read() {
    need_pyvmomi
    snapshots_then_copy sesparse
}
test_a_chain_of_cowd_deltas_is_read() {
    need_pyvmomi
    snapshots_then_copy cowd
}

# --- VMs that run ------------------------------------------------------------

test_a_running_vm_is_refused_or_copied_from_a_snapshot() {
    simulate vcenter
    local way
    live convert "vcenter://$HOST/DC0/vm/run%2002" --to kvm --out out
    expect_error LIVE_RUNNING 4
    expect_empty out
    for way in folder lease; do
        live convert "vcenter://$HOST/DC0/vm/run%2002" --to kvm --out $way \
            --format raw --no-guest-fix --snapshot --transport $way
        expect_status 0
        expect_same_file $way/run-02/disk0.raw "$SCRATCH/a.raw"
        expect_clean "run 02"
    done
}

test_a_free_licence_is_told() {
    simulate esx -free
    live convert "esxi://$HOST/run%2002" --to kvm --out out --snapshot
    expect_error LIVE_LICENCE 4
    expect_empty out
    live convert esxi://$HOST/web01 --to kvm --out out --no-guest-fix
    expect_status 0
    expect_no_sessions
}

interrupt_a_copy() { # WAY VM
    REHOST_SOURCE_PASSWORD=$SECRET "$REHOST" convert "esxi://$HOST/$2" \
        --source-tls-ca cert.pem --to kvm --out out --no-guest-fix \
        --snapshot --transport "$1" --bandwidth 100K >.stdout 2>.stderr &
    local pid=$!
    sleep 2.5
    kill -INT $pid
    wait $pid
    status=$?
    expect_status 130
    expect_empty out
}
test_an_interrupt_leaves_nothing_on_either_side() {
    simulate esx
    local way
    for way in folder lease; do
        interrupt_a_copy $way run%2002
        expect_clean "run 02"
    done
}

# --- log-in, trust -----------------------------------------------------------

test_a_wrong_password_is_tried_once() {
    simulate esx -v
    REHOST_SOURCE_PASSWORD=wrong run "$REHOST" inspect esxi://$HOST/web01 \
        --source-tls-ca cert.pem
    expect_error LOGIN_REFUSED 1
    expect_equal "$(grep -c 'sdk Login' sim.err)" 1 "log-ins"
    REHOST_SOURCE_PASSWORD=wrong run "$REHOST" report esxi://$HOST/web01 \
        esxi://$HOST/other esxi://$HOST/third --to kvm --source-tls-ca cert.pem
    expect_status 1
    expect_equal "$(grep -c 'sdk Login' sim.err)" 2 "log-ins"
    run env -u REHOST_SOURCE_USER "$REHOST" inspect esxi://$HOST/web01
    expect_error LOGIN_MISSING 1
    run "$REHOST" inspect esxi://root:$SECRET@$HOST/web01
    expect_error HTTP_USERINFO 2
}

test_a_batch_tries_a_wrong_password_once() {
    simulate esx -v
    cat >jobs.yaml <<YAML
schema: rehost.jobs/1
out: out
jobs: 1
defaults: {to: kvm, source-tls-ca: cert.pem}
vms:
  - {source: "esxi://$HOST/web01", name: one}
  - {source: "esxi://$HOST/other", name: two}
  - {source: "esxi://$HOST/third", name: three}
YAML
    REHOST_SOURCE_PASSWORD=wrong run "$REHOST" batch run jobs.yaml
    expect_status 1
    expect_equal "$(grep -c 'sdk Login' sim.err)" 1 "log-ins"
    run "$REHOST" batch status jobs.yaml --json
    expect_json '[.vms[].error.code] | unique | join(" ")' LOGIN_REFUSED
}
test_a_login_file_and_a_pin_will_do() {
    simulate esx
    local pin
    pin=$(openssl x509 -in cert.pem -noout -fingerprint -sha256 | cut -d= -f2)
    printf '"%s":\n  user: root\n  password: %s\n' "$HOST" "$SECRET" >login
    chmod 600 login
    run env -u REHOST_SOURCE_USER "$REHOST" inspect esxi://$HOST/web01 \
        --login login --source-pin "$pin"
    expect_status 0
    run "$REHOST" inspect esxi://$HOST/web01 --login login \
        --source-pin "${pin//[0-9]/0}"
    expect_error HTTP_TLS 1
    run "$REHOST" inspect esxi://$HOST/web01 --login login
    expect_error HTTP_TLS 1
    expect_no_sessions
}
# One server, however its name is written: one log-in, also a refused one.
test_a_server_has_many_spellings() {
    simulate esx -v
    local port=${HOST#*:}
    printf 'LOCALHOST.:\n  user: root\n  password: %s\n  pin: %s\n' "$SECRET" \
        "$(openssl x509 -in cert.pem -noout -fingerprint -sha256 | cut -d= -f2)" >login
    chmod 600 login
    run "$REHOST" report "esxi://localhost:$port/web01" --no-guest --login login \
        "esxi://LocalHost:$port/web01" "esxi://localhost.:$port/web01" --to kvm
    expect_status 0
    expect_equal "$(grep -c 'sdk Login' sim.err)" 1 "log-ins"
    REHOST_SOURCE_PASSWORD=wrong run "$REHOST" report --to kvm \
        "esxi://localhost:$port/web01" "esxi://LOCALHOST:$port/other" \
        --source-tls-ca cert.pem
    expect_status 1
    expect_equal "$(grep -c 'sdk Login' sim.err)" 2 "log-ins"
    expect_no_sessions
}

# --- many --------------------------------------------------------------------

test_a_report_and_a_batch_take_a_whole_place() {
    simulate vcenter -v
    live report vcenter://$HOST/DC0 --to all --json report.json --no-guest
    expect_status 0
    expect_json '[.vms[].vm.name] | join(",")' "run 02,web01" report.json
    expect_equal "$(grep -c 'sdk Login' sim.err)" 1 "log-ins"
    ! grep -q 'GET /folder' sim.err || fail "disks were read"
    live batch init vcenter://$HOST/DC0/vm --to kvm -o jobs.yaml
    expect_status 0
    sed -i 's/^defaults:/&\n  no-guest-fix: true\n  format: raw\n  snapshot: true/' \
        jobs.yaml
    live_env "$REHOST" batch run jobs.yaml
    expect_status 0
    expect_same_file import/web01/disk1.raw "$SCRATCH/b.raw"
    expect_clean "run 02"
}

test_a_batch_takes_a_changed_vm_anew() {
    need_pyvmomi
    simulate vcenter
    printf '%s\n' "schema: rehost.jobs/1" "out: import" \
        "defaults: {to: kvm, no-guest-fix: true, snapshot: true, source-tls-ca: cert.pem}" "vms:" \
        "  - source: vcenter://$HOST/DC0/vm/web01" \
        "  - source: vcenter://$HOST/DC0/vm/run%2002" >jobs.yaml
    local web run
    run_batch() {
        live_env "$REHOST" batch run jobs.yaml --progress none
        expect_status 0
        now_web=$(stat -c %y import/web01/receipt.json)
        now_run=$(stat -c %y import/run-02/receipt.json)
    }
    run_batch
    web=$now_web run=$now_run
    run_batch
    expect_equal "$now_web" "$web" "the result of a VM that has not changed"
    expect_equal "$now_run" "$run" "the result of a VM that runs"
    expect_stderr 'done, the disks of 1 VM may .* remove its result'
    reconfigure() { # NAMES CHANGE
    "$PYVMOMI" - $HOST "$SECRET" <<PY || fail "the VM could not be changed"
import ssl, sys
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim
host, port = sys.argv[1].split(":")
si = SmartConnect(host=host, port=int(port), user="root", pwd=sys.argv[2],
                  sslContext=ssl._create_unverified_context())
for name in $1:
    vm = si.content.searchIndex.FindByInventoryPath("DC0/vm/" + name)
    vm.ReconfigVM_Task(vim.vm.ConfigSpec($2)).info
Disconnect(si)
PY
    sleep 1
    }
    reconfigure '"web01", "run 02"' 'annotation="used"'
    run_batch
    [ "$now_web" != "$web" ] || fail "what has changed was not done anew"
    expect_equal "$now_run" "$run" "the result of a VM that runs"
    reconfigure '"run 02",' 'numCPUs=3'
    run_batch
    [ "$now_run" != "$run" ] || fail "a VM that runs, and is another, was not done anew"
    run=$now_run
    run_batch
    expect_equal "$now_run" "$run" "the result of a VM that runs"
    expect_no_sessions
}

run_tests
