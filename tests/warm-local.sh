#!/bin/bash
# warm-local.sh - a VM that moves while it runs to the Proxmox VE node on which
# rehost runs: each round writes into the node's volumes, by a process without
# root's rights; the cutover makes the VM around them.
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
    [ -e d.raw ] || make_disk d.raw 9437184
    mkdir state
    [ "$(id -u)" != 0 ] || chown daemon state
    warm start d.raw --to kvm "${VM[@]}" --job j "$@"
    expect_status 0
}
change() { # OFFSET, while it runs
    head -c 70000 /dev/urandom |
        dd of=d.raw bs=64k seek="$1" oflag=seek_bytes conv=notrunc iflag=fullblock status=none
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

volume() { # [VMID]
    echo pve/volumes/vm-"${1-100}"-disk-0-*
}
as_the_source() { # [VMID]
    run cmp d.raw $(volume "$@")
    expect_status 0
}
# Bytes that a command wrote into volumes, by what the kernel saw.
written() {
    awk '/volumes\/vm-/ && / = [0-9]+$/ { n += $NF } END { print n + 0 }' trace
}

test_each_round_writes_what_changed() {
    start
    expect_stdout 'the disks lie at proxmox-local:tank from the first round on'
    as_the_source
    expect_empty pve/conf
    change 5000000
    warm sync j
    expect_status 0
    as_the_source
    warm status j --json
    expect_json '.rounds | map(.bytes_delivered <= 1048576 * 2) | join(" ")' 'false true'
    expect_json .staged true
    change 100000
    warm cutover j --start
    expect_status 0
    expect_stdout '^delivered: .* as 100 at proxmox-local:tank'
    expect_delivered
    run cat pve/conf/100
    expect_stdout '0: tank:vm-100-disk-0-[0-9a-f]{16},'
    expect_file pve/running
    [ "$(id -u)" != 0 ] || expect_equal "$(stat -c %U "$JOB")" daemon "whose job it is"
    warm status j --json
    expect_json .state done
    expect_json '.result | contains("100 at ")' true
    warm abort j
    expect_status 0
    expect_delivered
}
# What is written while nothing runs: the last round and the guest's edits,
# counted.  A round that comes after a cutover that failed takes the edits back.
test_the_cutover_writes_no_more_than_must() {
    need strace mke2fs sfdisk debugfs
    VM=(--set memory=1GiB --set firmware=bios --set nic0.model=vmxnet3 --network-map '*=lo')
    a_node
    python3 "$TOP/tests/guestfix/mkguest.py" debian d.raw || fail mkguest
    start
    as_the_source
    change 1000
    PVE_FAIL=1 warm cutover j
    expect_error DELIVERY_FAILED 1
    run cmp -s d.raw $(volume)
    expect_status 1
    change 2000
    warm sync j
    expect_status 0
    as_the_source
    size=$(stat -c %s d.raw)
    change $((size - 70000))
    XDG_STATE_HOME=$PWD/state run timeout 100 "${STRACE[@]}" -y -e trace=pwrite64,write,pwritev \
        "$REHOST" warm cutover j --out proxmox-local:tank "${AS[@]}"
    expect_status 0
    run timeout 100 "$REHOST" convert d.raw --to kvm "${VM[@]}" --format raw --out plain
    expect_status 0
    expect_json '.edits | length > 0' true plain/d/receipt.json
    run cmp plain/d/disk0.raw $(volume)
    expect_status 0
    n=$(written)
    # A changed MiB, and a few of the file systems' blocks.
    [ "$n" -ge 70000 ] && [ "$n" -le $((4 * 1048576)) ] && [ "$n" -lt $((size / 4)) ] ||
        fail "$n bytes of $size were written"
}
test_abort_takes_the_volumes_away() {
    start
    as_the_source
    run "$REHOST" warm abort j
    expect_error UNAVAILABLE 1
    expect_stderr '--out proxmox-local:STORAGE to each step'
    as_the_source
    warm abort j
    expect_status 0
    expect_empty pve/volumes
    expect_empty locks
}
# A new logical volume holds what others have left, also behind the disk's end.
test_volumes_with_old_data() {
    export PVE_TYPE=lvm PVE_DIRTY=1
    start
    run cmp -n 9437184 d.raw $(volume)
    expect_status 0
    change 9000000
    warm cutover j
    expect_status 0
    expect_equal "$(stat -c %s $(volume))" 12582912 "the volume"
    run cmp -n 9437184 d.raw $(volume)
    expect_status 0
    run cmp -n 3145728 -i 9437184:0 $(volume) /dev/zero
    expect_status 0
}
# Between the rounds the number is nobody else's on this node; who takes it all
# the same has it, and the volumes are made anew.
test_a_number_that_others_take() {
    start
    run timeout 100 "$REHOST" convert d.raw --to kvm "${VM[@]}" --name other \
        --out proxmox-local:tank "${AS[@]}"
    expect_status 0
    expect_stdout 'as 101 at'
    run timeout 100 "$REHOST" convert d.raw --to kvm "${VM[@]}" --name more --vmid 100 \
        --out proxmox-local:tank "${AS[@]}"
    expect_status 4
    expect_stderr '100 is there already'
    echo 'name: theirs' >pve/conf/100
    change 2000000
    warm sync j
    expect_status 0
    expect_stderr 'a VM 100 was made meanwhile'
    expect_stdout 'disk 0 at the target is gone: it is made anew'
    expect_equal "$(echo $(volume))" 'pve/volumes/vm-100-disk-0-*' "volumes of 100"
    as_the_source 102
    change 2000000
    warm cutover j
    expect_status 0
    as_the_source 102
    expect_equal "$(ls pve/conf | tr '\n' ' ')" '100 101 102 '
    expect_empty locks
}
# A volume that was removed is made anew; one that a guest was given stays.
test_a_volume_that_is_gone() {
    start
    rm $(volume)
    warm sync j
    expect_status 0
    expect_stdout 'disk 0 at the target is gone: it is made anew'
    as_the_source
    echo "scsi1: tank:$(basename $(volume))" >pve/conf/100
    warm sync j
    expect_status 0
    expect_stderr 'VM 100 has taken volumes of ours: they stay with it'
    as_the_source
    as_the_source 101
    warm abort j
    expect_status 0
    expect_equal "$(ls pve/volumes | wc -l)" 1 "volumes: theirs"
}
# Killed at random, one of the two or both, at any step: what is told is done
# again, and in the end the VM has the disk.
test_killed_at_random() {
    start
    RANDOM=5
    for ((k = 0; k < 10; k++)); do
        change $((RANDOM * 250))
        step=sync
        ((k < 7)) || step=cutover
        XDG_STATE_HOME=$PWD/state "$REHOST" warm $step j --out proxmox-local:tank \
            "${AS[@]}" >log 2>&1 </dev/null &
        pid=$!
        sleep "0.$((RANDOM % 5))$((RANDOM % 10))"
        child=$(pgrep -P $pid || true)
        case $((RANDOM % 3)) in
        0) kill -9 $pid 2>/dev/null ;;
        1) kill -9 $child 2>/dev/null ;;
        *) kill -9 $pid $child 2>/dev/null ;;
        esac
        wait $pid 2>/dev/null
        for _ in $(seq 100); do # the other one sees that and ends
            [ -e state/rehost/warm/j/lease ] || break
            [ "$child" ] && kill -0 $child 2>/dev/null || break
            sleep 0.1
        done
        [ ! -s pve/conf/100 ] || break
    done
    for _ in $(seq 40); do
        warm cutover j
        case $status,$stderr in
        0,* | *WARM_STATE*) break ;;
        *WARM_BUSY* | *HTTP_BUSY* | *DELIVERY_TAKEN*) sleep 0.3 ;;
        *) expect_status 0 ;;
        esac
    done
    warm status j --json
    expect_json .state done
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
    as_the_source
    rm $(volume)
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
    expect_stdout 'full copy'
    run grep ^name: pve/conf/101
    expect_stdout 'j-rehearsal'
    as_the_source 101
    as_the_source
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
    as_the_source
    [ "$(id -u)" = 0 ] || return 0
    # Nobody has no place to keep a job at.
    run env -u XDG_STATE_HOME "$REHOST" warm start d.raw --to kvm "${VM[@]}" --job k \
        --out proxmox-local:tank
    expect_error WARM_JOURNAL 1
    expect_stderr '--run-as USER'
}
run_tests
