#!/bin/bash
# live-warm.sh - VMs of vSphere move while a writer keeps changing their disks:
# the result is the final disk byte for byte, whatever is killed on the way, and
# nothing of ours stays at the source.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
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
 {"name": "loose", "guest": "debian12_64Guest", "cpus": 1, "memory_mb": 512,
  "firmware": "bios", "power": "on", "cbt": false, "tools": "running",
  "disks": [{"file": "a.raw", "controller": "pvscsi", "unit": 0, "thin": true},
            {"file": "b.raw", "controller": "pvscsi", "unit": 1}], "nics": []},
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
    warm start "vcenter://${PROXY:-$HOST}/DC0/vm/$vm" --to kvm --out out --format raw \
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
write_all() { # SEED [VM]
    write_some "${2-web01}" 0 "$1" 50331648
    write_some "${2-web01}" 1 "$1-b" 9437184
}
# By VMware's own client, to the end of its task.
snapshots() { # VM CALL
    "$PYVMOMI" - "$HOST" "$SECRET" "$1" "$2" <<'PY' || fail "snapshots"
import ssl, sys, time
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim
host, port = sys.argv[1].split(":")
s = SmartConnect(host=host, port=int(port), user="root", pwd=sys.argv[2],
                 sslContext=ssl._create_unverified_context())
c = s.RetrieveContent()
v = c.viewManager.CreateContainerView(c.rootFolder, [vim.VirtualMachine], True)
m = [m for m in v.view if m.name == sys.argv[3]][0]
t = eval(sys.argv[4])
while t.info.state in ("queued", "running"):
    time.sleep(0.1)
assert t.info.state == "success", t.info.error
Disconnect(s)
PY
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

# The way to the server leads through somebody who counts, and cuts: $PROXY.
proxied() { # [OPTION...]
    python3 "$TOP/tests/oracles/cut_proxy.py" "$HOST" --count count "$@" >way 2>way.err &
    trap 'kill $SERVER '$!' 2>/dev/null; wait $SERVER 2>/dev/null' EXIT
    for _ in $(seq 100); do
        grep -q ^ready way && break
        sleep 0.1
    done
    PROXY=$(sed -n 's/^ready //p' way)
    [ "$PROXY" ] || fail "the proxy did not start" "$(cat way.err)"
}
travelled() { # bytes since the server started
    local n=
    sleep 0.3
    until [ "$n" ]; do n=$(cat count); done # it is just being written
    echo "$n"
}
# What a disk holds, in units of 64 KiB, as the server tells it.
data_of() { # FILE
    python3 - "$1" <<'PY'
import sys
with open(sys.argv[1], "rb") as f:
    print(sum(len(b) for b in iter(lambda: f.read(65536), b"") if b.strip(b"\0")))
PY
}
write_at() { # VM DISK OFFSET BYTES
    head -c "$4" /dev/urandom | curl -skf --data-binary @- \
        "https://$HOST/_sim/write?vm=$1&disk=$2&offset=$3" || fail "no write"
}
# Counted on the way: what the disks hold, what changed, and 2 %; beside what
# the calls take, which a round without changes shows.
test_no_more_travels_than_must() {
    simulate vcenter
    proxied
    start web01
    expect_status 0
    first=$(travelled)
    warm sync web01
    expect_status 0
    calls=$(($(travelled) - first))
    data=$(($(data_of ../a.raw) + $(data_of ../b.raw)))
    [ "$first" -le $((data * 102 / 100 + calls * 3 / 2)) ] ||
        fail "$first bytes came of $data, $calls of a round, $(sent web01 '.rounds[0]')"
    before=$(travelled)
    for ((i = 0; i < 32; i++)); do
        write_at web01 0 $((i * 1310720)) 65536
    done
    warm sync web01
    expect_status 0
    came=$(($(travelled) - before))
    [ "$came" -le $((32 * 65536 * 102 / 100 + calls * 3 / 2)) ] ||
        fail "$came bytes came of $((32 * 65536)), $calls of a round"
}
# 1 TiB with 2 GiB changed, in which nothing runs for under 2 minutes at 100 MB/s:
# here a thousandth of each.  Not the clock is asked but what travels from the
# shutdown to the end, at a thousandth of that rate, and that no disk is copied.
test_the_downtime_is_that_of_the_changes() {
    truncate -s 1G wide.raw
    dd if=/dev/urandom of=wide.raw bs=1M count=8 seek=300 conv=notrunc status=none
    cp "$SCRATCH/vms.json" "$SCRATCH/all.json"
    jq --arg f "$PWD/wide.raw" '[.[0] | .disks = [.disks[0] | .file = $f]]' \
        "$SCRATCH/all.json" >"$SCRATCH/vms.json"
    simulate vcenter
    mv "$SCRATCH/all.json" "$SCRATCH/vms.json"
    proxied
    start web01
    expect_status 0
    inode=$(stat -c %i out/.rehost-warm/web01/disk0.raw)
    # The guest writes while it shuts down: nothing else is left to the last round.
    (while [ "$(sim_state web01 .power 2>/dev/null)" != poweredOff ] && [ ! -e stop ]; do
        sleep 0.2
    done) &
    for ((i = 0; i < 32; i++)); do
        write_at web01 0 $((i * 33554432)) 65536
    done
    warm cutover web01
    expect_status 0
    touch stop
    # The round before took what had changed; the last one what came since.
    expect_equal "$(sent web01 '.rounds[1].bytes_sent <= 32 * 65536 * 1.02')" true
    expect_equal "$(sent web01 '.rounds[2].bytes_sent <= 32 * 65536 * 1.02')" true
    # At 100 kB/s, and that the fix is what it was when it was tried.
    expect_equal "$(sent web01 '(.rounds[2].bytes_sent / 100000 + .downtime_estimate) < 120')" true
    as_the_source web01 out/web01 1
    expect_equal "$(stat -c %i out/web01/disk0.raw)" "$inode" "the file of the first round"
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
# The snapshot of a round stays until the next is done: what the guest writes
# meanwhile goes into delta files, whose own tables say where.
by_delta_files() { # sesparse|cowd
    simulate vcenter -delta "$1"
    proxied
    start loose --keep-snapshot
    expect_status 0
    expect_stdout 'the snapshot of each round stays until the next is done'
    expect_equal "$(sim_state loose .snapshots)" 1 "snapshots"
    before=$(travelled)
    warm sync loose
    expect_status 0
    calls=$(($(travelled) - before))
    before=$(travelled)
    for ((i = 0; i < 32; i++)); do
        write_at loose 0 $((i * 1310720)) 65536
    done
    warm sync loose
    expect_status 0
    expect_stdout 'round 3 \(changes\)'
    came=$(($(travelled) - before))
    # And the tables of what was touched: COWD has 16 KiB for each 2 MiB, which
    # stand between the data, so that they come with it once more.
    tables=0
    [ "$1" = sesparse ] || tables=$((2 * 24 * 16384))
    [ "$came" -le $((32 * 65536 * 102 / 100 + tables + calls * 3 / 2)) ] ||
        fail "$came bytes came of $((32 * 65536)), $tables of tables, $calls of a round"
    expect_equal "$(sim_state loose .snapshots)" 1 "snapshots"
    expect_equal "$("$REHOST" warm status loose --json | jq '.snapshots | length')" 1
    write_all a loose
    warm sync loose
    expect_status 0
    write_all b loose
    warm cutover loose
    expect_status 0
    expect_equal "$(sent loose '[.rounds[1:][].how] | unique | join(" ")')" changes
    as_the_source loose out/loose 2
    expect_clean loose
}
check by_delta_files_sesparse by_delta_files sesparse
check by_delta_files_cowd by_delta_files cowd
# Somebody else takes our snapshot away, or the VM back behind it: all is
# compared, and told.
test_a_snapshot_that_others_take() {
    need_pyvmomi
    simulate vcenter
    start loose --keep-snapshot
    write_all 1 loose
    snapshots loose "m.RemoveAllSnapshots_Task()"
    write_all 2 loose
    warm sync loose
    expect_status 0
    expect_stdout 'round 2 \(compare\)'
    expect_stderr 'the snapshot of that moment is gone'
    write_all 3 loose
    # One of theirs over it is part of what changed.
    snapshots loose "m.CreateSnapshot_Task('theirs', '', False, False)"
    write_all 4 loose
    warm sync loose
    expect_status 0
    expect_stdout 'round 3 \(changes\)'
    warm cutover loose
    expect_status 0
    as_the_source loose out/loose 2
    expect_equal "$(sim_state loose .snapshots)" 1 "snapshots: theirs"
}
# Where the datastore gets full ours goes, too.
test_a_snapshot_that_must_not_fill_the_datastore() {
    simulate vcenter
    start loose --keep-snapshot
    jq '(.options[] | select(.[0] == "min-free"))[1] = "900T"' \
        out/.rehost-warm/loose/job.json >job.json
    cp job.json out/.rehost-warm/loose/job.json
    warm sync loose
    expect_error WARM_SPACE 4
    expect_equal "$(sim_state loose .snapshots)" 0 "snapshots"
    run "$REHOST" warm start "$SCRATCH/a.raw" --to kvm --out out --keep-snapshot
    expect_error USAGE 2
    warm abort loose
    expect_status 0
    expect_clean loose
    # Not read by its files: as without.
    start loose --keep-snapshot --transport lease
    expect_status 0
    expect_stdout "the disks' delta files can't be read"
    expect_clean loose
    write_all 1 loose
    warm cutover loose
    expect_status 0
    as_the_source loose out/loose 2
    expect_clean loose
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

# What --clean is not to touch it names, with who does.
test_the_snapshot_of_a_round_that_was_killed_is_named() {
    simulate vcenter
    REHOST_SOURCE_PASSWORD=$SECRET "$REHOST" warm start "vcenter://$HOST/DC0/vm/plain" \
        --to kvm --out out --format raw --no-guest-fix --source-tls-ca cert.pem \
        --min-free 1 --job plain --bandwidth 200K >/dev/null 2>&1 &
    local pid=$!
    for _ in $(seq 200); do
        [ "$(sim_state plain .snapshots)" != 1 ] || break
        sleep 0.1
    done
    kill -9 $pid
    wait $pid 2>/dev/null
    live convert "vcenter://$HOST" --clean
    expect_status 0
    expect_stdout 'cleaned: .* \(0 things'
    expect_stderr 'the warm job "plain" keeps a snapshot there: .*rehost warm abort plain'
    expect_equal "$(sim_state plain .snapshots)" 1 snapshots
    warm abort plain
    expect_status 0
    expect_equal "$(sim_state plain .snapshots)" 0 snapshots
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
# What the network ends is done again; anything else is a failure.
until_done() { # COMMAND...
    for _ in $(seq 20); do
        "$@"
        case $status,$stderr in
        0,* | *,*WARM_STATE* | *,*WARM_EXISTS*) return ;;
        *,*HTTP_FAILED* | *,*HTTP_TLS* | *,*HTTP_BUSY* | *,*LIVE_FAULT*) sleep 0.3 ;;
        *) expect_status 0 ;;
        esac
    done
    expect_status 0
}
# Our side is killed, and the server's connections are cut: both at random, and
# now and then the server starts anew: away for seconds, all sessions gone.
one_move() { # SEED VM SNAPSHOTS [OPTION...]: how many of ours stay between rounds
    local seed=$1 vm=$2 stay=$3
    shift 3
    RANDOM=$seed
    simulate vcenter
    proxied --seed "$seed" --every 3 --away 0.3 --restart "https://$HOST/_sim/expire"
    for ((n = 0; n < 4; n++)); do
        killed $((300 + RANDOM % 2500)) "$REHOST" warm start "vcenter://$PROXY/DC0/vm/$vm" \
            --to kvm --out out --format raw --no-guest-fix --min-free 1 \
            --source-tls-ca cert.pem --job $vm "$@"
        [ ! -e out/.rehost-warm/$vm/job.json ] || break
    done
    [ -e out/.rehost-warm/$vm/job.json ] || until_done start $vm "$@"
    for ((n = 0; n < 3; n++)); do
        (for ((k = 0; k < 4; k++)); do write_all "$seed-$n-$k" $vm; sleep 0.2; done) &
        writer=$!
        killed $((300 + RANDOM % 2500)) "$REHOST" warm sync $vm
        wait $writer
        until_done warm sync $vm
        expect_status 0
        expect_equal "$(sim_state $vm .snapshots)" "$stay" "snapshots"
    done
    write_all "$seed-last" $vm
    killed $((500 + RANDOM % 4000)) "$REHOST" warm cutover $vm
    until_done warm cutover $vm
    as_the_source $vm out/$vm 2
    expect_equal "$(power $vm-moved)" off
    expect_equal "$(sim_state $vm '[.lease, .snapshots] | map(tostring) | join(" ")')" \
        "false 0" "lease, snapshots left"
    expect_equal "$(ls out)" $vm
    # Without tracking the first pass alone reads all.
    [ "$stay" = 0 ] ||
        expect_equal "$(sent $vm '[.rounds[].how] | unique | join(" ")')" "changes full"
}
for ((move = 1; move <= MOVES; move++)); do
    check "a_move_with_kills_$move" one_move "$move" web01 0
    ((move % 2 == 0)) ||
        check "a_move_by_delta_files_with_kills_$move" one_move "$move" loose 1 --keep-snapshot
done
run_tests
