#!/bin/bash
# live-warm.sh - VMs of vSphere move while a writer keeps changing their disks:
# the result is the final disk byte for byte, whatever is killed on the way, and
# nothing of ours stays at the source.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-vsphere.sh"

: "${MOVES:=1}" # make check-live asks for 20
SECRET=s3cr3t-Pa55
export XDG_STATE_HOME=$SCRATCH/state
make_disk a.raw 50331648 a
make_disk b.raw 9437184 b
cat >vms.json <<'JSON'
[{"name": "web01", "guest": "debian12_64Guest", "cpus": 2, "memory_mb": 1024,
  "firmware": "bios", "power": "on", "cbt": true, "tools": "running",
  "disks": [{"file": "a.raw", "controller": "pvscsi", "unit": 0, "thin": true},
            {"file": "b.raw", "controller": "pvscsi", "unit": 1}],
  "nics": [{"model": "vmxnet3", "network": "LAN", "mac": "00:50:56:aa:bb:01"}]},
 {"name": "plain", "guest": "debian12_64Guest", "cpus": 1, "memory_mb": 512,
  "firmware": "bios", "power": "on", "cbt": false, "tools": "running",
  "disks": [{"file": "b.raw", "controller": "pvscsi", "unit": 0}], "nics": []},
 {"name": "deaf", "guest": "debian12_64Guest", "cpus": 1, "memory_mb": 512,
  "firmware": "bios", "power": "on", "cbt": true, "tools": "none",
  "disks": [{"file": "b.raw", "controller": "pvscsi", "unit": 0}], "nics": []}]
JSON

warm() { # COMMAND ARGUMENT...
    live_env "$REHOST" warm "$@"
}
start() { # VM [OPTION...]
    local vm=$1
    shift
    warm start "vcenter://$HOST/DC0/vm/$vm" --to kvm --out out --format raw \
        --no-guest-fix --source-tls-ca cert.pem --min-free 1 --job "$vm" "$@"
}
# What a running guest does.
write_some() { # VM DISK SEED SIZE
    python3 - "$HOST" "$@" <<'PY'
import random, ssl, sys, urllib.request
host, vm, disk, seed, size = sys.argv[1:]
r = random.Random(seed)
plain = ssl._create_unverified_context()
for _ in range(5):
    n = r.choice((512, 4096, 65536, 200704))
    at = r.randrange((int(size) - n) // 512) * 512
    urllib.request.urlopen(urllib.request.Request(
        "https://%s/_sim/write?vm=%s&disk=%s&offset=%d" % (host, vm, disk, at),
        data=bytes(n) if r.random() < .25 else r.randbytes(n)), context=plain)
PY
}
write_all() { # SEED
    write_some web01 0 "$1" 50331648
    write_some web01 1 "$1-b" 9437184
}
truth() { # VM DISK FILE
    curl -skf "https://$HOST/_sim/raw?vm=$1&disk=$2" -o "$3" || fail "no truth"
}
power() { # VM, as it is called now
    REHOST_SOURCE_PASSWORD=$SECRET "$REHOST" inspect "vcenter://$HOST/DC0/vm" \
        --json --source-tls-ca cert.pem | jq -r --arg n "$1" '.vms[] | select(.name == $n) | .power'
}
# By VMware's own client, where it is there.
tracked() { # VM, as it is called now
    "$PYVMOMI" - "$HOST" "$SECRET" "$1" <<'PY'
import ssl, sys
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim
host, port = sys.argv[1].split(":")
s = SmartConnect(host=host, port=int(port), user="root", pwd=sys.argv[2],
                 sslContext=ssl._create_unverified_context())
c = s.RetrieveContent()
v = c.viewManager.CreateContainerView(c.rootFolder, [vim.VirtualMachine], True)
print([m.config.changeTrackingEnabled for m in v.view if m.name == sys.argv[3]][0])
Disconnect(s)
PY
}
as_the_source() { # VM RESULT DISKS
    for ((d = 0; d < $3; d++)); do
        truth "$1" $d "truth$d"
        expect_same_file "truth$d" "$2/disk$d.raw"
    done
}
sent() { # JOB FILTER
    "$REHOST" warm status "$1" --json | jq -r "$2"
}

test_rounds_and_a_cutover() {
    simulate vcenter
    start web01
    expect_status 0
    expect_clean web01
    for round in 1 2; do
        write_all "$round"
        warm sync web01
        expect_status 0
        expect_clean web01
    done
    expect_equal "$(sent web01 '[.rounds[].how] | join(" ")')" "full changes changes"
    expect_equal "$(sent web01 '.snapshots | length')" 0
    # The first pass is what is allocated, the others what changed.
    expect_equal "$(sent web01 '[.rounds[1:][].bytes_sent] | add < 4000000')" true
    write_all last
    warm cutover web01
    expect_status 0
    expect_stdout 'is called web01-moved now'
    as_the_source web01 out/web01 2
    expect_equal "$(power web01-moved)" off
    expect_clean web01
    expect_equal "$(jq -r '.vms[0].nics[0].mac' out/web01/vm.json)" 00:50:56:aa:bb:01
    expect_equal "$(find out -name '*.part')" ""
}

# Without tracking all is read; it is switched on and off again where asked.
test_without_tracking() {
    simulate vcenter
    start plain
    expect_status 0
    expect_stdout 'changed block tracking is off'
    write_some plain 0 x 9437184
    warm sync plain
    expect_stdout 'round 2 \(compare\)'
    warm cutover plain
    expect_status 0
    as_the_source plain out/plain 1
    expect_clean plain
}
test_tracking_is_switched_on_and_off_again() {
    need_pyvmomi
    simulate vcenter
    start plain --enable-cbt
    expect_status 0
    expect_equal "$(tracked plain)" True
    write_some plain 0 x 9437184
    warm sync plain
    expect_status 0
    expect_stdout 'round 2 \(changes\)'
    warm cutover plain
    expect_status 0
    as_the_source plain out/plain 1
    expect_equal "$(tracked plain-moved)" False
}
# A reset of the tracking: all is compared, and told.
test_tracking_that_was_reset() {
    simulate vcenter
    start web01
    write_all 1
    curl -skf -X POST "https://$HOST/_sim/cbt-reset?vm=web01" >/dev/null || fail reset
    write_all 2
    warm sync web01
    expect_status 0
    expect_stdout 'round 2 \(compare\)'
    expect_stderr 'all of it is compared'
    write_all 3
    warm cutover web01
    expect_status 0
    as_the_source web01 out/web01 2
}
# No tools: nothing happens to it unless that was allowed.
test_a_guest_that_can_t_be_asked() {
    simulate vcenter
    start deaf
    expect_status 0
    warm cutover deaf
    expect_error LIVE_NO_TOOLS 4
    expect_equal "$(power deaf)" on
    expect_equal "$(sent deaf .state)" synced
    write_some deaf 0 y 9437184
    warm cutover deaf --power-off
    expect_status 0
    as_the_source deaf out/deaf 1
}
test_abort_leaves_nothing_there() {
    need_pyvmomi
    simulate vcenter
    start plain --enable-cbt
    expect_status 0
    warm abort plain
    expect_status 0
    expect_equal "$(tracked plain)" False
    expect_equal "$(power plain)" on
    expect_equal "$(sim_state plain .snapshots)" 0 snapshots
    expect_empty out
}

# --- kills ---------------------------------------------------------------------
killed() { # MILLISECONDS COMMAND...
    local ms=$1 pid
    shift
    REHOST_SOURCE_PASSWORD=$SECRET "$@" >log 2>&1 </dev/null &
    pid=$!
    sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
}
one_move() { # SEED
    RANDOM=$1
    simulate vcenter
    for ((n = 0; n < 4; n++)); do
        killed $((300 + RANDOM % 2500)) "$REHOST" warm start "vcenter://$HOST/DC0/vm/web01" \
            --to kvm --out out --format raw --no-guest-fix --min-free 1 \
            --source-tls-ca cert.pem --job web01
        [ ! -e out/.rehost-warm/web01/job.json ] || break
    done
    [ -e out/.rehost-warm/web01/job.json ] || start web01
    for ((n = 0; n < 3; n++)); do
        (for ((k = 0; k < 4; k++)); do write_all "$1-$n-$k"; sleep 0.2; done) &
        writer=$!
        killed $((300 + RANDOM % 2500)) "$REHOST" warm sync web01
        wait $writer
        warm sync web01
        expect_status 0
        expect_equal "$(sim_state web01 .snapshots)" 0 "snapshots"
    done
    write_all "$1-last"
    killed $((500 + RANDOM % 4000)) "$REHOST" warm cutover web01
    warm cutover web01
    case $stderr in *WARM_STATE*) ;; *) expect_status 0 ;; esac
    as_the_source web01 out/web01 2
    expect_equal "$(power web01-moved)" off
    expect_equal "$(sim_state web01 '[.lease, .snapshots] | map(tostring) | join(" ")')" \
        "false 0" "lease, snapshots left"
    expect_equal "$(ls out)" web01
}
for ((move = 1; move <= MOVES; move++)); do
    check "a_move_with_kills_$move" one_move "$move"
done
run_tests
