#!/bin/bash
# live-left.sh - what copies from vSphere have left that were killed; sessions that
# end between two files.
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

# --- sessions ----------------------------------------------------------------

# Between two disks, so that the next file can't be opened: one log-in more.
test_a_session_that_has_ended_when_a_file_is_opened() {
    simulate esx -v
    (for _ in $(seq 1500); do
        if grep -q 'web01-flat.vmdk.*-25165823' sim.err; then
            curl -sk "https://$HOST/_sim/expire" -X POST
            break
        fi
        sleep 0.02
    done) &
    live convert esxi://$HOST/web01 --to kvm --out out --format raw \
        --no-guest-fix --transport folder --bandwidth 512K
    expect_status 0
    wait $!
    expect_same_file out/web01/disk1.raw "$SCRATCH/b.raw"
    expect_equal "$(grep -c 'sdk Login' sim.err)" 2 "log-ins"
    expect_clean web01
}
# --- what a kill has left ------------------------------------------------------

by_pyvmomi() { # CODE: with `vm`, the one that runs; what it prints
    "$PYVMOMI" - $HOST "$SECRET" <<PY
import ssl, sys, time
from pyVim.connect import Disconnect, SmartConnect
host, port = sys.argv[1].split(":")
si = SmartConnect(host=host, port=int(port), user="root", pwd=sys.argv[2],
                  sslContext=ssl._create_unverified_context())
vm = si.content.searchIndex.FindByInventoryPath("DC0/vm/run 02")
$1
Disconnect(si)
PY
}
snapshots_named() {
    by_pyvmomi '
def walk(trees):
    for t in trees:
        yield t.name
        yield from walk(t.childSnapshotList)
print(" ".join(walk(vm.snapshot.rootSnapshotList if vm.snapshot else [])))'
}
start_a_copy() { # until CONDITION holds
    REHOST_SOURCE_PASSWORD=$SECRET "$REHOST" convert "vcenter://$HOST/DC0/vm/run%2002" \
        --source-tls-ca cert.pem --to kvm --out killed --no-guest-fix \
        --snapshot --bandwidth 100K >copy 2>&1 &
    COPY=$!
    for _ in $(seq 200); do
        ! "$@" || return 0
        sleep 0.1
    done
    fail "the copy does not begin" "$(cat copy)"
}
kill_it() {
    kill -9 $COPY
    wait $COPY 2>/dev/null
}
has_snapshots() { # N
    [ "$(sim_state 'run 02' .snapshots)" = "$1" ]
}
notes() {
    find "$XDG_STATE_HOME/rehost/sources" -type f 2>/dev/null | wc -l
}
# By the next copy from that server, or by --clean; not what others made, nor
# what a copy that lives still reads.
test_what_a_killed_copy_has_left_is_taken_away() {
    need_pyvmomi
    simulate vcenter
    by_pyvmomi '
t = vm.CreateSnapshot_Task("rehost-by-hand", "mine", False, False)
while t.info.state in ("queued", "running"):
    time.sleep(0.1)'
    start_a_copy has_snapshots 2
    kill_it
    live convert vcenter://$HOST/DC0/vm/web01 --to kvm --out out --no-guest-fix
    expect_status 0
    expect_stderr 'an interrupted run has left'
    expect_equal "$(snapshots_named)" rehost-by-hand
    expect_equal "$(notes)" 0 notes
    start_a_copy has_snapshots 2
    live convert vcenter://$HOST --clean
    expect_status 0
    expect_stdout 'cleaned: .* \(0 things'
    has_snapshots 2 || fail "the snapshot of a copy that lives was removed"
    kill_it
    live convert vcenter://$HOST --clean
    expect_stdout 'cleaned: .* \(1 things'
    expect_equal "$(snapshots_named)" rehost-by-hand
    expect_equal "$(notes)" 0 notes
    for option in --out=x --to=kvm --start --overwrite; do
        live convert vcenter://$HOST --clean $option
        expect_error USAGE 2
    done
    kill_sessions=$(sim_state web01 .sessions)
    expect_equal "$kill_sessions" 2 "sessions, of the killed"
}
# Killed before it knew the snapshot's id.  A note of one that is not there is
# kept for an hour: the platform may still be making it.
test_what_a_kill_left_is_known_by_its_name() {
    simulate vcenter -v -task-delay 3s
    start_a_copy grep -q CreateSnapshot_Task sim.err
    kill_it
    note=$(ls "$XDG_STATE_HOME"/rehost/sources/*)
    sed -n '1s/"rehost-[^"]*"/"rehost-gone"/p' "$note" >"${note%/*}/rehost-gone"
    live convert vcenter://$HOST --clean
    expect_status 0
    expect_stdout 'cleaned: .* \(1 things'
    has_snapshots 0 || fail "it is still there"
    expect_equal "$(notes)" 1 notes
    touch -d '2 hours ago' "${note%/*}/rehost-gone"
    live convert vcenter://$HOST --clean
    expect_equal "$(notes)" 0 notes
    rmdir "$XDG_STATE_HOME/rehost/sources"
    touch "$XDG_STATE_HOME/rehost/sources"
    live convert vcenter://$HOST --clean
    expect_status 1
    expect_stderr 'rehost/sources: cannot see what earlier runs have left'
    rm "$XDG_STATE_HOME/rehost/sources"
}

run_tests
