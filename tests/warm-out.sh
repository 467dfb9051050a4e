#!/bin/bash
# warm-out.sh - a VM that moves while it runs to a server: what the cutover
# delivers, and that nothing is delivered twice.  Strict stand-ins play the
# servers.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

SECRET=s3cr3t-Pa55
VM=(--set memory=1GiB --set firmware=bios --no-guest-fix)

server() { # STAND-IN [OPTION...]: $HOST, $STATE
    stand_in "$1" server --password "$SECRET" --task-delay 0.1 "${@:2}"
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
operation() { # add|remove ARGUMENTS [MAP]: as XAPI marks a VM while it is imported
    local session
    call() { # METHOD PARAMETERS
        curl -s --cacert "$STATE/cert.pem" "https://$HOST/jsonrpc" -d \
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"$1\",\"params\":$2}"
    }
    session=$(call session.login_with_password "[\"root\",\"$SECRET\",\"1.0\",\"t\"]" | jq .result)
    call "VM.$1_${3-current_operations}" "[$session,$(db '.VM | to_entries[]
        | select((.value.is_a_template or .value.is_control_domain) | not).key | @json'),$2]" |
        jq -e 'has("result")' >/dev/null || fail "the stand-in refused"
}
# Whose import has not ended, perhaps never will: neither delivered, nor to be
# delivered once more beside it.
test_a_vm_that_is_half_made() {
    server xapi --tls --login-delay 0
    export REHOST_USER=root
    start "xapi://$HOST/NFS" --to xen
    warm cutover j
    expect_status 0
    forget
    operation add_to '"OpaqueRef:0","import"'
    warm cutover j
    expect_error DELIVERY_LEFT 1
    expect_stderr 'no end of its import is known'
    warm status j --json
    expect_json .state cutover
    expect_equal "$(vms)" "1 0" "VMs, running"
    operation remove_from '"OpaqueRef:0"'
    # A master that was started anew has forgotten that, and all tasks.
    operation add_to '"import_task","OpaqueRef:0"' other_config
    warm cutover j
    expect_error DELIVERY_LEFT 1
    operation remove_from '"import_task"' other_config
    warm cutover j
    expect_status 0
    expect_stdout 'handed over by an earlier run'
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
    expect_status 1
    expect_stdout 'is not known'
    expect_stderr 'still at xapi://'
}

# --- disks that lie at the target from the first round on ------------------------
make_guest() {
    need mke2fs sfdisk debugfs
    python3 "$TOP/tests/guestfix/mkguest.py" debian d.raw || fail mkguest
    options=(--to xen --out "xapi://$HOST/NFS" --tls-ca "$STATE/cert.pem"
        --set memory=1GiB --set firmware=bios --job j)
}
change() { # SEED: some MiB of the disk are written, one is zeroed
    python3 - d.raw "$1" <<'PY'
import os, random, sys
r = random.Random(sys.argv[2])
size = os.path.getsize(sys.argv[1])
with open(sys.argv[1], "r+b") as f:
    # behind the file system's superblock and tables, so that the guest stays one
    for data in (r.randbytes(3000), r.randbytes(70000), bytes(1 << 20)):
        f.seek(r.randrange(size * 3 // 4, size - len(data)) // 512 * 512)
        f.write(data)
PY
}
staged() { # the disks there: UUIDs
    db '.VDI[] | select(.other_config["rehost-task"]) | .uuid'
}
same_there() { # FILE: is the disk there
    cmp -n "$(stat -c %s "$1")" "$1" "$STATE/vdi/$(staged).raw" ||
        fail "the disk at the target is another one"
}
delivered() { # FILTER
    "$REHOST" warm status j --json | jq "$1"
}
as_plainly_converted() {
    run "$REHOST" convert d.raw --to xen --format vhd --out plain --overwrite \
        --set memory=1GiB --set firmware=bios
    expect_status 0
    run "$REHOST" disk compare plain/d/disk0.vhd "$STATE/vdi/$(staged).raw"
    expect_status 0
    expect_equal "$(vms)" "1 0" "VMs, running"
    expect_equal "$(db '[.VDI[] | select(.VBDs == [])] | length')" 0 "disks left over"
}
test_each_round_goes_to_the_pool() {
    server xapi --tls --login-delay 0
    export REHOST_USER=root
    make_guest
    warm start d.raw "${options[@]}"
    expect_status 0
    expect_stdout 'each round writes there what changed'
    same_there d.raw
    first=$(delivered '.rounds[0].bytes_delivered')
    change 1
    warm sync j
    expect_status 0
    same_there d.raw
    # Three places: at most two blocks of a VHD each.
    expect_equal "$(delivered ".rounds[1].bytes_delivered | . > 0 and . < 6 * 2200000 and . < $first")" true
    warm sync j
    expect_status 0
    expect_equal "$(delivered '.rounds[2].bytes_delivered')" 0
    change 2
    warm cutover j
    expect_status 0
    as_plainly_converted
    expect_equal "$(delivered '.staged')" true
    # What went there at the cutover is the last round's, and the guest's edits.
    expect_equal "$(delivered '[.rounds[3:][].bytes_delivered] | add < 7 * 2200000')" true
    warm status j --json
    expect_schema .stdout rehost.warm-1.json
}
test_abort_takes_the_disks_away() {
    server xapi --tls --login-delay 0
    export REHOST_USER=root
    make_guest
    warm start d.raw "${options[@]}"
    expect_status 0
    before=$(db '.VDI | length')
    warm abort j
    expect_status 0
    expect_equal "$(($(db '.VDI | length') - before)) $(staged)" "-1 "
}
# Somebody has deleted it there: it is made anew, and told.
test_a_disk_that_is_gone_there() {
    server xapi --tls --login-delay 0
    export REHOST_USER=root
    make_guest
    warm start d.raw "${options[@]}"
    expect_status 0
    jq '.disks[0].there = "11111111-2222-3333-4444-555555555555"' "$JOB" >job.json
    cp job.json "$JOB"
    warm sync j
    expect_status 0
    expect_stdout 'disk 0 at the target is gone'
}
# The VM stands and does not start: the next try finds it.
test_a_vm_that_does_not_start_at_the_pool() {
    server xapi --tls --login-delay 0 --fail-call VM.start=2
    export REHOST_USER=root
    make_guest
    warm start d.raw "${options[@]}"
    expect_status 0
    warm cutover j --start
    expect_status 1
    expect_stderr 'was delivered as'
    warm cutover j --start
    expect_status 1
    expect_equal "$(vms)" "1 0" "VMs, running"
    warm cutover j --start
    expect_status 0
    expect_equal "$(vms)" "1 1" "VMs, running"
}
killed() { # MILLISECONDS COMMAND...
    local pid
    XDG_STATE_HOME=$PWD/state "${@:2}" >log 2>&1 </dev/null &
    pid=$!
    sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
}
test_killed_at_any_moment_on_the_way_to_a_pool() {
    server xapi --tls --login-delay 0
    export REHOST_USER=root
    make_guest
    RANDOM=11
    killed $((300 + RANDOM % 1500)) "$REHOST" warm start d.raw "${options[@]}"
    [ -e "$JOB" ] || warm start d.raw "${options[@]}"
    for ((i = 0; i < 4; i++)); do
        change "kill$i"
        killed $((200 + RANDOM % 1200)) "$REHOST" warm sync j
    done
    warm sync j
    expect_status 0
    same_there d.raw
    for ((i = 0; i < 3; i++)); do
        killed $((500 + RANDOM % 2500)) "$REHOST" warm cutover j
        # Somebody starts the source again: what the guest's fix has written
        # there is the source's again.
        warm sync j
        [[ $stderr == *WARM_STATE* ]] || same_there d.raw
    done
    warm cutover j
    case $stderr in *WARM_STATE*) ;; *) expect_status 0 ;; esac
    as_plainly_converted
}
run_tests
