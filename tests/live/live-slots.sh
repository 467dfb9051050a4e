#!/bin/bash
# How many connections a host has to bear: never more than four for disks, over
# all runs of a user, and nobody is kept waiting for ever.  The simulator counts
# (tests/oracles/vsphere_more.go); -http1 since HTTP/2 would hide them in one.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/lib-vsphere.sh"

SECRET=s3cr3t-Pa55
export XDG_STATE_HOME=$SCRATCH/state
head -c 12582912 /dev/urandom >a.raw
make_disk b.raw 2097152 b
jq -n 'def disk($f): {file: $f, controller: "pvscsi"};
    [range(6) | {name: "vm\(.)", guest: "debian12_64Guest", cpus: 1,
        memory_mb: 512, power: "off", nics: [], disks: [disk("a.raw")]}] +
    [{name: "web01", guest: "debian12_64Guest", cpus: 1, memory_mb: 512,
        power: "off", nics: [],
        disks: [range(6) | disk("b.raw") + {unit: (if . < 1 then . else . + 1 end)}]}]' \
    >vms.json

most() { # open at once so far
    curl -sk "https://$HOST/_sim/connections" | cut -d' ' -f2
}
copy() { # VM OUT OPTION...; in the background
    REHOST_SOURCE_PASSWORD=$SECRET "$REHOST" convert "esxi://$HOST/$1" \
        --source-tls-ca cert.pem --to kvm --out "$2" --format raw \
        --no-guest-fix --progress none "${@:3}" >"$2.out" 2>"$2.err" &
}
await_all() { # PID...
    local pid
    for pid; do
        wait "$pid" || fail "a copy failed" "$(cat ./*.err)"
    done
}
share_the_host() { # WAY
    simulate esx -http1
    cat >jobs.yaml <<YAML
schema: rehost.jobs/1
out: import
jobs: 2
bandwidth: 8M
defaults: {to: kvm, format: raw, no-guest-fix: true, transport: $1, source-tls-ca: cert.pem}
vms:
  - {source: "esxi://$HOST/vm3"}
  - {source: "esxi://$HOST/vm4"}
  - {source: "esxi://$HOST/vm5"}
YAML
    local pids=() i
    for i in 0 1 2; do
        copy vm$i $i --bandwidth 4M --transport "$1"
        pids+=($!)
    done
    live_env "$REHOST" batch run jobs.yaml --progress none
    expect_status 0
    await_all "${pids[@]}"
    for i in 0 1 2; do
        expect_same_file $i/vm$i/disk0.raw "$SCRATCH/a.raw"
        expect_same_file import/vm$((i + 3))/disk0.raw "$SCRATCH/a.raw"
    done
    i=$(most)
    [ "$i" -ge 3 ] && [ "$i" -le 4 ] || fail "$i connections at once"
    expect_equal "$(curl -sk "https://$HOST/_sim/connections" | cut -d' ' -f1)" 0 "left open"
}
test_runs_and_batches_share_a_host_by_files() {
    share_the_host folder
}
test_runs_and_batches_share_a_host_by_leases() {
    share_the_host lease
}
# What the count is worth: runs that know nothing of each other open more.
test_without_a_common_folder_there_are_more() {
    simulate esx -http1
    local pids=() i
    for i in 0 1 2; do
        XDG_STATE_HOME=$PWD/state$i copy vm$i $i --bandwidth 4M
        pids+=($!)
    done
    await_all "${pids[@]}"
    i=$(most)
    expect_equal "$((i > 4))" 1 "more than four connections ($i)"
}
# More disks, and more files of one disk, than there are connections.
test_one_run_with_many_disks_does_not_wait_for_itself() {
    simulate esx -http1
    local way
    for way in folder lease; do
        live convert "esxi://$HOST/web01" --to kvm --out $way --format raw \
            --no-guest-fix --transport $way
        expect_status 0
        expect_same_file $way/web01/disk5.raw "$SCRATCH/b.raw"
    done
    way=$(most)
    [ "$way" -le 4 ] || fail "$way connections at once"
    expect_clean web01
}
test_a_long_chain_does_not_wait_for_itself() {
    need_pyvmomi
    simulate esx -http1
    "$PYVMOMI" - $HOST "$SECRET" <<'PY' || fail "the VM could not be prepared"
import ssl, sys, time, urllib.parse, urllib.request
from pyVim.connect import Disconnect, SmartConnect
host, port = sys.argv[1].split(":")
tls = ssl._create_unverified_context()
si = SmartConnect(host=host, port=int(port), user="root", pwd=sys.argv[2],
                  sslContext=tls)
vm = si.content.searchIndex.FindByInventoryPath("ha-datacenter/vm/vm0")
for n in range(7):
    task = vm.CreateSnapshot_Task("before %d" % n, "", False, False)
    while task.info.state in ("queued", "running"):
        time.sleep(0.05)
    url = "https://%s/_sim/write?%s" % (sys.argv[1], urllib.parse.urlencode(
        {"vm": "vm0", "disk": 0, "offset": 65536 * n + 512}))
    urllib.request.urlopen(urllib.request.Request(
        url, b"W%d" % n * 40000, method="POST"), context=tls)
Disconnect(si)
PY
    curl -sk "https://$HOST/_sim/raw?vm=vm0&disk=0" >truth.raw
    live convert "esxi://$HOST/vm0" --to kvm --out out --format raw --no-guest-fix
    expect_status 0
    expect_same_file out/vm0/disk0.raw truth.raw
    local n
    n=$(most)
    [ "$n" -le 4 ] || fail "$n connections at once"
}
# Four leases that take long hold all there are: who waits says so, hears a
# cancel, and goes on where one of them is killed.
test_who_waits_is_told_may_leave_and_goes_on() {
    simulate esx -http1
    local pids=() i pid
    for i in 0 1 2 3; do
        copy vm$i $i --bandwidth 100K --transport lease
        pids+=($!)
    done
    for _ in $(seq 100); do
        [ "$(most)" -lt 4 ] || break
        sleep 0.1
    done
    copy vm4 4
    pid=$!
    for _ in $(seq 100); do
        ! grep -q 'waiting for a connection' 4.err || break
        sleep 0.1
    done
    grep -q 'waiting for a connection: 4 are open' 4.err || fail "nothing was said" "$(cat 4.err)"
    kill -INT $pid
    wait $pid
    expect_equal $? 130 "the exit status of who was told to leave"
    copy vm4 5
    pid=$!
    sleep 1
    kill -9 "${pids[0]}"
    wait $pid || fail "it did not go on: $?" "$(cat 5.err 0.err)"
    expect_same_file 5/vm4/disk0.raw "$SCRATCH/a.raw"
    expect_equal "$(most)" 4 "connections at once"
    kill -INT "${pids[@]:1}"
    wait "${pids[@]}" || true
}
test_a_folder_that_cannot_be_had_is_told_once() {
    simulate esx -http1
    : >file
    XDG_STATE_HOME=$PWD/file live convert "esxi://$HOST/web01" --to kvm \
        --out out --format raw --no-guest-fix
    expect_status 0
    expect_same_file out/web01/disk5.raw "$SCRATCH/b.raw"
    expect_equal "$(grep -c 'how many connections other runs have there is not known' .stderr)" \
        1 "times that it was told"
    local n
    n=$(most)
    [ "$n" -le 4 ] || fail "$n connections at once"
}

run_tests
