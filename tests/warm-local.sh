#!/bin/bash
# warm-local.sh - a VM that moves while it runs to the Proxmox VE node on which
# rehost runs: the cutover writes into the node's volumes, by a process without
# root's rights.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-node.sh"

chmod -R a+rX "$SCRATCH" # for whoever reads without root's rights
VM=(--set memory=1GiB --set firmware=bios --no-guest-fix)
AS=()
[ "$(id -u)" != 0 ] || AS=(--run-as daemon)

warm() { # COMMAND ARGUMENT...: by who began it
    export XDG_STATE_HOME=$PWD/state
    run timeout 100 "$REHOST" warm "$@" --out proxmox-local:tank "${AS[@]}"
}
start() { # [OPTION...]
    a_node
    make_disk d.raw 9437184
    mkdir state
    [ "$(id -u)" != 0 ] || chown daemon state
    warm start d.raw --to kvm "${VM[@]}" --job j "$@"
    expect_status 0
}
change() { # OFFSET, while it runs
    head -c 70000 /dev/urandom | dd of=d.raw bs=1 seek="$1" conv=notrunc status=none
}
JOB=state/rehost/warm/j/job.json
# Whoever died after the VM stood and before he wrote that down.
forget() {
    jq '.state = "cutover" | .result = null | .started = false' "$JOB" >job.json
    cat job.json >"$JOB"
}
expect_delivered() {
    expect_equal "$(ls pve/conf)" 100 "VMs"
    expect_equal "$(ls pve/volumes | wc -l)" 1 "volumes"
    run cmp d.raw pve/volumes/vm-100-disk-0-*
    expect_status 0
    expect_empty locks
}

test_the_cutover_delivers_what_the_rounds_brought() {
    start
    change 5000000
    warm sync j
    expect_status 0
    expect_empty pve/volumes
    change 100000
    warm cutover j --start
    expect_status 0
    expect_stdout '^delivered: .* as 100 at proxmox-local:tank'
    expect_delivered
    expect_file pve/running
    [ "$(id -u)" != 0 ] || expect_equal "$(stat -c %U "$JOB")" daemon "whose job it is"
    warm status j --json
    expect_json .state done
    expect_json '.result | contains("100 at ")' true
    warm abort j
    expect_status 0
    expect_delivered
}
test_nothing_is_delivered_twice() {
    start
    warm cutover j
    expect_status 0
    [ ! -e pve/running ] || fail "started"
    forget
    warm cutover j --start
    expect_status 0
    expect_stdout 'handed over by an earlier run: 100 at proxmox-local:tank'
    expect_delivered
    expect_file pve/running
    # While the node can't say what there is, nothing is delivered.
    forget
    PVE_BROKEN=1 warm cutover j
    expect_error DELIVERY_FAILED 1
    expect_delivered
}
# What both left when they were killed is taken away, then it is delivered.
test_a_cutover_that_fails_or_is_killed() {
    start
    PVE_FAIL=1 warm cutover j
    expect_error DELIVERY_FAILED 1
    expect_stderr 'told to fail'
    expect_empty pve/volumes
    PVE_KILL=1 warm cutover j
    expect_status 137
    expect_equal "$(ls pve/volumes | wc -l)" 1 "volumes left"
    for _ in $(seq 100); do # the other one sees that and ends
        [ -e state/rehost/warm/j/lease ] || break
        sleep 0.1
    done
    change 3000000
    warm cutover j
    expect_status 0
    expect_delivered
}
test_rehearsed_beside_it() {
    start
    warm rehearse j
    expect_status 0
    run grep ^name: pve/conf/100
    expect_stdout 'j-rehearsal'
    run cmp d.raw pve/volumes/vm-100-disk-0-*
    expect_status 0
}
test_who_may_not() {
    start
    run "$REHOST" warm cutover j --out proxmox-local:other "${AS[@]}"
    expect_error USAGE 2
    expect_stderr 'the job goes to proxmox-local:tank, not to proxmox-local:other'
    run "$REHOST" warm cutover j --run-as daemon
    expect_error PLAN_OPTION 2
    run "$REHOST" warm cutover j
    expect_error UNAVAILABLE 1
    expect_stderr '--out proxmox-local:STORAGE to each step'
    expect_empty pve/volumes
    [ "$(id -u)" = 0 ] || return 0
    # Nobody has no place to keep a job at.
    run env -u XDG_STATE_HOME "$REHOST" warm start d.raw --to kvm "${VM[@]}" --job k \
        --out proxmox-local:tank
    expect_error WARM_JOURNAL 1
    expect_stderr '--run-as USER'
}
run_tests
