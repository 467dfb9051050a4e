#!/bin/bash
# rehost push to Proxmox VE: a strict stand-in plays the server (its table of
# parameters is the API's own); a client that others wrote looks at the VM.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-vm.sh"

. "$TOP/tests/lib-pve.sh"
test_a_vm_arrives_whole() {
    pve
    push --json
    expect_status 0
    expect_schema .stdout rehost.delivery-1.json
    expect_json '.vms[0].id' 100
    # What proxmox.conf decided stands there, MACs and all.
    for key in bios boot cores cpu machine memory name net0 net1 ostype scsihw \
        smbios1 sockets tags; do
        expect_equal "$(setting 100 "$key")" \
            "$(sed -n "s/^$key: //p" web01/proxmox.conf)" "$key"
    done
    expect_same_disk "$SCRATCH/0.raw" "$STATE/images/vm-100-disk-1.raw" raw raw
    expect_same_disk "$SCRATCH/1.raw" "$STATE/images/vm-100-disk-2.raw" raw raw
    expect_empty "$STATE/local/import"
    expect_empty web01/.push
    expect_schema web01/receipt.json rehost.receipt-1.json
    expect_json '.delivery[0].node' pve1 web01/receipt.json
    # The next one takes the next number.
    # (Either form, as convert has them.)
    local map vm=101
    for map in vmbr1,tag=7 vmbr1:7; do
        push --start --network-map "VM Network=$map"
        expect_status 0
        expect_stdout "^delivered: web01 as $vm at $URL\$"
        expect_equal "$(setting $vm net1 | tr , '\n' | grep -E 'bridge|tag' |
            tr '\n' ' ')" "bridge=vmbr1 tag=7 " "the mapped NIC"
        vm=$((vm + 1))
    done
}
test_the_guest_tells_its_address() {
    pve --guest-address 10.0.0.5
    push -v --start --wait-address 20
    expect_status 0
    expect_stdout ' at proxmox://.*, address 10\.0\.0\.5$'
}
test_another_client_sees_the_vm() {
    /usr/bin/python3 -c 'import proxmoxer' 2>/dev/null ||
        skip_test "python3-proxmoxer is not installed"
    pve
    push --start
    expect_status 0
    cat >judge.py <<'PY'
import sys
from proxmoxer import ProxmoxAPI
host, port = sys.argv[1].split(":")
api = ProxmoxAPI(host, port=int(port), user="root@pam", token_name="full",
                 token_value=sys.argv[2], verify_ssl=False, service="PVE")
for vm in api.nodes("pve1").qemu.get():
    conf = api.nodes("pve1").qemu(vm["vmid"]).config.get()
    print(conf["name"], conf["memory"], conf["net0"].split(",")[0],
          api.nodes("pve1").qemu(vm["vmid"]).status.current.get()["status"])
PY
    run env PYTHONWARNINGS=ignore /usr/bin/python3 judge.py "$HOST" "$TOKEN"
    expect_stdout '^web01 1024 virtio=00:50:56:AA:BB:00 running$'
}
test_a_dry_run_changes_nothing() {
    pve
    push --dry-run --json
    expect_status 0
    expect_schema .stdout rehost.delivery-1.json
    expect_json '.vms[0].requests | map(select(test("^POST.*/upload"))) | length' 2
    expect_nothing_left
    expect_equal "$(jq -r 'select(.method != null and .method != "GET") |
        .path' "$STATE/log.jsonl")" "" "requests that change something"
}
# The API gives nobody a disk to read: that is said.
test_what_stands_there_cannot_be_verified() {
    pve
    push
    expect_status 0
    run "$REHOST" verify "$SCRATCH/vm" web01 --at "$URL" --tls-ca "$STATE/cert.pem"
    expect_status 1
    expect_stderr 'gives nobody a disk to read'
}
test_user_and_password() {
    pve
    REHOST_TOKEN='' REHOST_USER=root REHOST_PASSWORD=$PASSWORD push
    expect_status 0
    REHOST_TOKEN='' REHOST_USER=root REHOST_PASSWORD=wrong push
    expect_error LOGIN_REFUSED 1
}
test_a_cookie_that_is_too_long_is_left_out() {
    PVE_COOKIE=70000 pve
    REHOST_TOKEN='' REHOST_USER=root REHOST_PASSWORD=$PASSWORD push --dry-run
    expect_status 0
    expect_stderr 'cookie "big" of 70000 bytes is too long'
}
refused() { # ID STATUS REGEX [OPTION...]
    local id=$1 status_wanted=$2 regex=$3
    shift 3
    push "$@"
    expect_error "$id" "$status_wanted"
    expect_stderr "$regex"
    expect_nothing_left
}
test_checked_before_the_first_byte() {
    pve
    URL=proxmox://$HOST/pve9 refused DELIVERY_PLACE 4 'there are: pve1, pve2'
    URL=proxmox://$HOST/pve2 refused HTTP_BUSY 1 'cannot be reached'
    URL=proxmox://$HOST/pve1/none refused DELIVERY_PLACE 4 'no storage "none"'
    URL=proxmox://$HOST/pve1/noimport refused DELIVERY_PLACE 4 \
        'does not take disks'
    URL=proxmox://$HOST refused DELIVERY_URL 2 'proxmox://HOST'
    refused DELIVERY_PLACE 4 'content type "Import"' --import-storage local-lvm
    refused DELIVERY_NETWORK 4 'no bridge "vmbr9"' --network-map '*=vmbr9'
    refused DELIVERY_TAKEN 4 'number 99' --vmid 99
    REHOST_TOKEN="root@pam!full=wrong" refused LOGIN_REFUSED 1 'status 401'
    REHOST_TOKEN="nonsense" refused LOGIN_REFUSED 1 'not the form'
    REHOST_TOKEN='' refused LOGIN_MISSING 1 'no log-in'
    REHOST_TOKEN='ci@pve!audit=aaaaaaaa-2222-3333-4444-555555555555' \
        refused DELIVERY_RIGHTS 4 'VM.Allocate on /vms/100 is missing'
    expect_stderr "pveum acl modify /vms/100 --tokens 'ci@pve!audit'"
}
test_a_node_that_is_too_old() {
    pve --pve 8 --old
    refused DELIVERY_PLACE 4 'has not the content type|is uploaded' \
        --import-storage local
}
test_a_full_var_tmp() {
    pve --tmp-size 100000
    refused HTTP_FAILED 1 'uploading disk0.qcow2'
    expect_stderr '/var/tmp'
}
test_a_connection_that_is_cut() {
    pve --cut-after $((RANDOM * 10 + 1))
    refused HTTP_FAILED 1 'uploading disk'
}
test_tasks_that_fail() {
    pve --fail-task qmcreate
    refused DELIVERY_FAILED 1 'told to fail \(its log: TASK ERROR: told to fail\)'
}
test_an_upload_task_that_fails() {
    pve --fail-task imgcopy
    push
    expect_error DELIVERY_FAILED 1
    expect_stderr 'told to fail'
    expect_empty "$STATE/conf"
    expect_empty "$STATE/local/import"
}
# The server ends a connection on which nothing comes for a while.
test_no_silence_on_the_wire() {
    pve --silence 1
    python3 -c 'import random, sys
r = random.Random(3)
for i in range(24): sys.stdout.buffer.write(r.randbytes(1 << 20))' >0.raw
    make_vm big disks=25165824
    "$REHOST" convert vm --to kvm --out out --no-guest-fix >/dev/null
    rm -rf web01
    mv out/big web01
    push
    expect_status 0
    expect_same_disk 0.raw "$STATE/images/vm-100-disk-0.raw" raw raw
}
test_interrupted() {
    pve --hang-task qmcreate --hang 2
    "$REHOST" push web01 --to "$URL" --tls-ca "$STATE/cert.pem" \
        >.stdout 2>.stderr &
    local pid=$!
    for _ in $(seq 100); do
        grep -q '/qemu"' "$STATE/log.jsonl" && break
        sleep 0.1
    done
    kill -INT $pid
    wait $pid
    expect_equal $? 130 "exit status"
    expect_nothing_left
}
test_killed_and_cleaned() {
    pve --hang-task qmcreate --hang 1
    "$REHOST" push web01 --to "$URL" --tls-ca "$STATE/cert.pem" &
    local pid=$!
    soon grep -q '/qemu"' "$STATE/log.jsonl"
    kill -9 $pid
    wait $pid 2>/dev/null
    push --clean
    expect_status 0
    expect_nothing_left
    push
    expect_status 0
}
# Only what is ours goes: somebody else's VM under the number stays.
test_cleaning_leaves_others_alone() {
    pve
    push
    expect_status 0
    mkdir web01/.push
    printf '{"kind":"vm","id":"pve1/100/rehost receipt sha256:0"}\n%s\n' \
        '{"kind":"file","id":"local:import/of-others.qcow2"}' \
        >"web01/.push/$(printf %s "$URL" | sha256sum | cut -c1-16).jsonl"
    push --clean
    expect_status 0
    expect_file "$STATE/conf/100.conf"
    expect_empty web01/.push
}
# --- convert --out URL: no folder in between --------------------------------------
convert_to() { # [OPTION...]: ./vm to $URL
    export XDG_STATE_HOME=$PWD/kept TMPDIR=$PWD/tmp
    mkdir -p tmp
    run timeout 100 "$REHOST" convert vm --to kvm --out "$URL" \
        --no-guest-fix --tls-ca "$STATE/cert.pem" "$@"
    expect_secrets_kept
    expect_empty kept/rehost
    expect_empty tmp
}
test_convert_to_a_node() {
    pve
    cp -r "$SCRATCH/vm" vm
    convert_to --start
    expect_status 0
    expect_stdout "^delivered: web01 as 100 at $URL\$"
    expect_same_disk "$SCRATCH/0.raw" "$STATE/images/vm-100-disk-1.raw" raw raw
    expect_same_disk "$SCRATCH/1.raw" "$STATE/images/vm-100-disk-2.raw" raw raw
    expect_equal "$(setting 100 net0)" \
        "$(sed -n 's/^net0: //p' web01/proxmox.conf)" "net0"
    expect_empty "$STATE/local/import"
    convert_to --format raw --vmid 200 --network-map '*=vmbr1:7'
    expect_status 0
    expect_equal "$(setting 200 net0 | grep -o 'bridge=.*')" 'bridge=vmbr1,firewall=1,tag=7' net0
    expect_same_disk "$SCRATCH/1.raw" "$STATE/images/vm-200-disk-2.raw" raw raw
}
test_convert_that_fails_there() {
    pve --fail-task qmcreate
    cp -r "$SCRATCH/vm" vm
    convert_to
    expect_error DELIVERY_FAILED 1
    expect_nothing_left
    convert_to --network-map '*=vmbr9'
    expect_error PLAN_BLOCKED 4
    expect_stderr 'DELIVERY-NETWORK'
    expect_nothing_left
}
run_tests
