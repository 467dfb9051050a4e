#!/bin/bash
# rehost push and convert --out to Xen Orchestra's REST API, played by a strict
# stand-in on XAPI's.
# long
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-vm.sh"

SECRET=s3cr3t-Pa55
export REHOST_USER=admin REHOST_PASSWORD=$SECRET REHOST_TOKEN=''
NET="Pool-wide network associated with eth0"
cd "$SCRATCH" || exit 1
make_vm web01 nics=2 "disks=8388608 5242880" "network=$NET" >/dev/null
"$REHOST" convert vm --to xen --out xen --no-guest-fix >/dev/null || exit 1
RESULT=$SCRATCH/xen/web01

xo() { # [OPTION...]
    stand_in xo state --password "$SECRET" --task-delay 0.1 "$@"
    URL=xo://$HOST/NFS
    cp -r "$RESULT" web01
    cp -r "$SCRATCH/vm" vm
    export XDG_STATE_HOME=$PWD/kept
}
push() {
    run timeout 100 "$REHOST" push web01 --to "$URL" \
        --tls-ca "$STATE/cert.pem" "$@"
    expect_secret_kept
}
convert_to() {
    run timeout 100 "$REHOST" convert vm --to xen --out "$URL" \
        --no-guest-fix --tls-ca "$STATE/cert.pem" "$@"
    expect_secret_kept
    expect_empty kept/rehost
}
expect_secret_kept() {
    ! grep -rqF -- "$SECRET" .stdout .stderr web01 || fail "a secret was shown"
    held
}
db() {
    jq -r "$1" "$STATE/db.json"
}
expect_nothing_left() {
    expect_equal "$(db '[(.VM // {}), (.VDI // {}), (.VBD // {}), (.VIF // {})] |
        map(length) | join(" ")')" "0 0 0 0" "VMs, disks, drives, NICs left"
    expect_equal "$(db '.network | length')" 1 "networks"
    expect_empty web01/.push
}
expect_the_vm() {
    local i uuid
    # The NICs were made anew, with their MAC addresses.
    expect_equal "$(db '[.VIF[].MAC] | sort | join(" ")')" \
        "00:50:56:aa:bb:00 00:50:56:aa:bb:01" "MAC addresses"
    for i in 0 1; do
        uuid=$(db ".VDI | to_entries | map(select(.value.name_label ==
            \"web01 $i\")) | .[0].value.uuid")
        run cmp -n "$(stat -c %s "$SCRATCH/$i.raw")" "$SCRATCH/$i.raw" \
            "$STATE/vdi/$uuid.raw"
        expect_status 0
    done
}

test_a_vm_arrives_whole() {
    xo
    push -v --json --start
    expect_status 0
    expect_schema .stdout rehost.delivery-1.json
    expect_equal "$(db '.VM[].power_state')" Running "power"
    expect_the_vm
    # With a length: a cut upload could pass for a whole one otherwise.
    run jq -c 'select(.path | endswith("/vms")) | select(.method == "POST") |
        [(.length | tonumber > 1000000), .te]' "$STATE/log.jsonl"
    expect_stdout '^\[true,null\]$'
    expect_json '.delivery | length' 1 web01/receipt.json
}
test_the_guest_tells_its_address() {
    xo --guest-address 10.0.0.5
    push --start --wait-address 20 --json
    expect_status 0
    expect_schema .stdout rehost.delivery-1.json
    expect_json '.vms[0].addresses | join(" ")' 10.0.0.5
}
test_what_stands_there_is_verified() {
    xo
    push
    expect_status 0
    run "$REHOST" verify vm web01 --at "$URL" --tls-ca "$STATE/cert.pem"
    expect_status 0
    expect_stdout '^disk 1 there: content digest as in the receipt$'
}
test_one_pass() {
    xo
    TMPDIR=/nonexistent convert_to
    expect_status 0
    expect_stdout "^delivered: web01 as [0-9a-f-]{36} at $URL\$"
    expect_the_vm
}
test_checked_before_the_first_byte() {
    xo
    push --dry-run --json
    expect_status 0
    expect_schema .stdout rehost.delivery-1.json
    URL=xo://$HOST/ISOs push
    expect_error DELIVERY_PLACE 4
    URL=xo://$HOST/none push
    expect_error DELIVERY_PLACE 4
    push --network-map '*=nowhere'
    expect_error DELIVERY_NETWORK 4
    convert_to --network-map '*=nowhere'
    expect_error PLAN_BLOCKED 4
    REHOST_PASSWORD=wrong push
    expect_error LOGIN_REFUSED 1
    REHOST_PASSWORD=a:b push
    expect_error LOGIN_REFUSED 1
    expect_stderr 'token'
    REHOST_TOKEN=wrong push
    expect_error LOGIN_REFUSED 1
    expect_nothing_left
}
test_a_full_storage() {
    xo --sr-size 1000000
    push
    expect_error DELIVERY_SPACE 4
    expect_stderr 'MiB short'
    expect_nothing_left
}
test_a_storage_that_fails_late() {
    xo --fail-after 2000000
    push
    expect_error DELIVERY_FAILED 1
    expect_stderr 'SR_BACKEND_FAILURE_46'
    expect_nothing_left
    convert_to
    expect_error DELIVERY_FAILED 1
    expect_nothing_left
}
# What the server made of it is not known: the journal stays, and says so.
test_a_connection_that_is_cut() {
    xo --cut-after $((RANDOM * 100 + 30000))
    push
    expect_status 1
    expect_stderr '\[(HTTP_FAILED|HTTP_BUSY)\]$'
    expect_stderr 'has not said what became of the VM'
    run "$REHOST" push web01 --to "$URL" --tls-ca "$STATE/cert.pem" --clean
    expect_status 0
    expect_nothing_left
}
# The VM stands, but its NICs cannot be made again: it goes, too.
test_nics_that_cannot_be_made() {
    xo --broken-vifs
    push
    expect_error HTTP_BUSY 1
    expect_stderr 'told to fail'
    expect_nothing_left
}
# A disk that does not go with its VM is found by its mark.
test_a_disk_that_does_not_go() {
    xo --broken-vifs --fail-call VDI.destroy=1
    push
    expect_error HTTP_BUSY 1
    expect_nothing_left
}
# All was sent when it was broken off: the VM appears only then.
test_a_vm_that_appears_late() {
    xo --late 3
    "$REHOST" push web01 --to "$URL" --tls-ca "$STATE/cert.pem" 2>.stderr &
    local pid=$!
    soon grep -q '"late"' "$STATE/log.jsonl"
    kill -INT $pid
    wait $pid
    expect_equal $? 130 "exit status"
    expect_equal "$(grep -c '"DELETE"' "$STATE/log.jsonl")" 1 "VMs taken away"
    expect_nothing_left
}
test_killed_and_cleaned() {
    xo --hang 2
    "$REHOST" push web01 --to "$URL" --tls-ca "$STATE/cert.pem" &
    local pid=$!
    soon test -e "$STATE/import-1.xva"
    kill -9 $pid
    wait $pid 2>/dev/null
    expect_equal "$(find web01/.push -name '*.jsonl' -size +0 | wc -l)" 1 journals
    sleep 2
    push --clean
    expect_status 0
    expect_nothing_left
}
run_tests
