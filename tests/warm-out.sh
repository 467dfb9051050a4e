#!/bin/bash
# warm-out.sh - a VM that moves while it runs to a server: what the cutover
# delivers, and that nothing is delivered twice.  Strict stand-ins play the
# servers.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

SECRET=s3cr3t-Pa55
VM=(--set memory=1GiB --set firmware=bios --no-guest-fix)

server() { # STAND-IN [OPTION...]: $HOST, $STATE
    STATE=$PWD/server
    python3 "$TOP/tests/oracles/$1_double.py" --state "$STATE" \
        --password "$SECRET" --task-delay 0.1 "${@:2}" >ready 2>double.err &
    SERVER=$!
    trap 'kill $SERVER 2>/dev/null' EXIT
    for _ in $(seq 100); do
        grep -q ^ready ready && break
        sleep 0.1
    done
    HOST=$(sed -n 's|^ready https://\([^ ]*\).*|\1|p' ready)
    export REHOST_PASSWORD=$SECRET REHOST_TOKEN=''
}
warm() { # COMMAND ARGUMENT...
    export XDG_STATE_HOME=$PWD/state
    run timeout 100 "$REHOST" warm "$@"
    ! grep -qF -- "$SECRET" .stdout .stderr || fail "the secret was shown"
}
start() { # URL [OPTION...]
    make_disk d.raw 9437184
    warm start d.raw --out "$1" --tls-ca "$STATE/cert.pem" "${VM[@]}" --job j "${@:2}"
    expect_status 0
}
JOB=state/rehost/warm/j/job.json
# Whoever died after the VM stood and before he wrote that down.
forget() {
    jq '.state = "cutover" | .result = null | .started = false' "$JOB" >job.json
    cp job.json "$JOB"
}
db() {
    jq -r "$1" "$STATE/db.json"
}
vms() { # that the pool has: how many, and how many run
    db '[.VM[] | select((.is_a_template or .is_control_domain) | not)]
        | "\(length) \(map(select(.power_state == "Running")) | length)"'
}
delivered_once() { # COUNT-COMMAND
    warm cutover j
    expect_status 0
    expect_equal "$($1)" "1 0" "VMs, running"
    forget
    warm sync j
    expect_error WARM_STATE 2
    forget
    warm cutover j --start
    expect_status 0
    expect_stdout 'handed over by an earlier run'
    expect_equal "$($1)" "1 1" "VMs, running"
    warm status j --json
    expect_json .state done
    expect_json '.result | contains(" at ")' true
}

test_a_pool_by_xapi() {
    server xapi --tls --login-delay 0
    export REHOST_USER=root
    start "xapi://$HOST/NFS" --to xen
    delivered_once vms
}
test_a_pool_by_xen_orchestra() {
    server xo
    export REHOST_USER=admin
    start "xo://$HOST/NFS" --to xen
    delivered_once vms
}
running_here() {
    echo "$(ls "$STATE/conf" | wc -l) $(grep -c '"status/start"\|/status/start' "$STATE/log.jsonl")"
}
test_proxmox() {
    server pve --auth-delay 0
    export REHOST_USER=root@pam
    start "proxmox://$HOST/pve1/local-lvm" --to kvm
    delivered_once running_here
}
# A result that is no copy of ours: an archive.
test_an_archive_in_a_folder() {
    make_disk d.raw 4194304
    warm start d.raw --to xen --out out "${VM[@]}" --job j
    expect_status 0
    warm cutover j
    expect_status 0
    JOB=out/.rehost-warm/j/job.json
    forget
    sum=$(cat out/d/* | sha256sum)
    mv out/d out/renamed
    warm cutover j
    expect_status 0
    expect_stdout 'handed over by an earlier run'
    expect_equal "$(cat out/renamed/* | sha256sum)" "$sum"
    expect_equal "$(ls out)" renamed
}
# Nobody is asked whether it was delivered: nothing is claimed.
test_a_target_that_does_not_answer() {
    server xapi --tls --login-delay 0
    export REHOST_USER=root
    start "xapi://$HOST/NFS" --to xen
    warm cutover j
    expect_status 0
    forget
    kill $SERVER
    wait $SERVER 2>/dev/null
    warm cutover j
    expect_status 1
    warm status j --json
    expect_json .state cutover
    warm abort j
    expect_status 0
    expect_stdout 'is not known'
}
run_tests
