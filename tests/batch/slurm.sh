#!/bin/bash
# rehost batch submit on a real Slurm: slurmctld and two nodes on this machine.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"

VMS=10
C=$SCRATCH/cluster
export SLURM_CONF=$C/slurm.conf

# Everything of this cluster, and nothing else: what lives by its slurm.conf.
ours() { # NAME
    local pid
    for pid in $(pgrep "$1"); do
        ! tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null |
            grep -qxF "SLURM_CONF=$SLURM_CONF" || echo "$pid"
    done
}
node() { # NAME
    slurmd -f "$SLURM_CONF" -N "$1"
}
cluster_up() {
    local host
    host=$(hostname)
    mkdir -p "$C/state" "$C/munge"
    chmod 700 "$C" "$C/munge"
    head -c 1024 /dev/urandom >"$C/munge/key"
    chmod 600 "$C/munge/key"
    munged --force --key-file="$C/munge/key" --socket="$C/munge.socket" \
        --pid-file="$C/munged.pid" --log-file="$C/munge/log" \
        --seed-file="$C/munge/seed" --num-threads=2 || return 1
    cat >"$SLURM_CONF" <<CONF
ClusterName=rehost
SlurmctldHost=$host
SlurmUser=$(id -un)
SlurmctldPort=26817
AuthType=auth/munge
AuthInfo=socket=$C/munge.socket
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmctldPidFile=$C/slurmctld.pid
SlurmdPidFile=$C/slurmd.%n.pid
SlurmdSpoolDir=$C/spool.%n
StateSaveLocation=$C/state
SlurmctldLogFile=$C/slurmctld.log
SlurmdLogFile=$C/slurmd.%n.log
ReturnToService=2
MaxArraySize=8
SlurmdTimeout=6
KillWait=2
JobRequeue=1
NodeName=one NodeHostname=$host NodeAddr=127.0.0.1 Port=26818 CPUs=2
NodeName=two NodeHostname=$host NodeAddr=127.0.0.1 Port=26819 CPUs=2
PartitionName=all Nodes=one,two Default=YES State=UP
CONF
    slurmctld -f "$SLURM_CONF" && node one && node two || return 1
    for _ in $(seq 30); do
        [ "$(sinfo -h -o '%t %D' 2>/dev/null)" != "idle 2" ] || return 0
        sleep 0.5
    done
    return 1
}
cluster_down() {
    local name
    for name in slurmstepd slurmd slurmctld; do
        # shellcheck disable=SC2046  # several pids
        kill -9 $(ours $name) 2>/dev/null
    done
    kill "$(cat "$C/munged.pid")" 2>/dev/null
}
wait_for_queue() { # until it is empty
    local job
    for _ in $(seq 180); do
        [ -n "$(squeue -h 2>/dev/null)" ] || return 0
        # Slurm lets what it puts back wait for two minutes.
        for job in $(squeue -h -t PD -o '%i %r' | sed -n 's/ BeginTime$//p'); do
            scontrol update jobid="$job" starttime=now 2>/dev/null
        done
        sleep 0.5
    done
    squeue
    return 1
}
counts() { # of VMs, by state
    "$REHOST" batch status jobs.yaml --json | jq -c '.counts | with_entries(select(.value > 0))'
}

if ! command -v slurmctld munged >/dev/null || [ "$(id -u)" != 0 ]; then
    skip slurm "slurm-wlm, munge and root are needed"
    finish
    exit
fi
make_disk "$SCRATCH/disk.raw" 50331648
for ((i = 1; i <= VMS; i++)); do
    python3 "$TOP/tests/guests/mkova.py" --name "vm$i" "$SCRATCH/vm$i.ova" \
        "$SCRATCH/disk.raw" >/dev/null || exit 1
done
trap 'cluster_down; rm -rf "$SCRATCH"' EXIT
cluster_up || { not_ok "the cluster comes up" "$(tail -n 5 "$C"/*.log)"; finish; exit; }

jobs() { # VM-LINE...
    printf '%s\n' "schema: rehost.jobs/1" "out: import" "jobs: 4" \
        "lease-seconds: 4" "defaults: {to: kvm, compress: zlib}" "vms:" "$@" >jobs.yaml
}
test_a_batch_goes_through_the_cluster() {
    jobs "  - source: ../vm?.ova" "  - {source: ../vm10.ova, wave: 2, after: vm3}"
    run "$REHOST" batch submit jobs.yaml --engine slurm --time 10
    expect_status 0
    # Arrays are cut to MaxArraySize; the second wave is one of its own.
    expect_equal "$(grep -oE '[0-9]+ VMs? of wave [0-9]+' .stdout | paste -sd,)" \
        "8 VMs of wave 1,1 VM of wave 1,1 VM of wave 2"
    wait_for_queue || fail "the queue does not empty"
    expect_equal "$(counts)" '{"done":10}'
    expect_empty import/.rehost/work
    for i in import/vm*; do
        run "$REHOST" disk compare "$i/disk0.qcow2" ../disk.raw --other-format raw
        expect_status 0
    done
    expect_equal "$(cat import/.rehost/audit/*.jsonl |
        jq -r 'select(.event == "vm-done" or .event == "vm-start") | "\(.time) \(.event) \(.vm)"' |
        sort | tail -n 2 | sed 's/.*Z //' | sort | paste -sd,)" "vm-done vm10,vm-start vm10"
    run "$REHOST" batch submit jobs.yaml --engine slurm
    expect_stdout 'nothing is left to do'
}
test_a_node_dies_with_its_step() {
    jobs "  - source: ../vm*.ova"
    run "$REHOST" batch submit jobs.yaml --engine slurm
    expect_status 0
    for _ in $(seq 40); do # until something runs on the first node
        [ -z "$(squeue -h -w one -t R 2>/dev/null)" ] || break
        sleep 0.1
    done
    # shellcheck disable=SC2046
    kill -9 "$(cat "$C/slurmd.one.pid")" $(ours slurmstepd) 2>/dev/null
    wait_for_queue || fail "the queue does not empty"
    node one
    run "$REHOST" batch submit jobs.yaml --engine slurm
    expect_status 0
    wait_for_queue || fail "the queue does not empty"
    expect_equal "$(counts)" '{"done":10}'
    expect_empty import/.rehost/work
    expect_equal "$(find import -name '*.part')" ""
}
test_requeued_and_cancelled_in_the_middle() {
    local id
    jobs "  - source: ../vm*.ova"
    run "$REHOST" batch submit jobs.yaml --engine slurm
    expect_status 0
    id=$(sed -n 's/submitted: job \([0-9]*\):.*/\1/p' .stdout | head -1)
    for _ in $(seq 40); do
        [ -z "$(squeue -h -t R 2>/dev/null)" ] || break
        sleep 0.1
    done
    scontrol requeue "${id}_0" 2>/dev/null
    scancel "${id}_1"
    wait_for_queue || fail "the queue does not empty"
    run "$REHOST" batch submit jobs.yaml --engine slurm
    expect_status 0
    wait_for_queue || fail "the queue does not empty"
    expect_equal "$(counts)" '{"done":10}'
    expect_empty import/.rehost/work
    expect_equal "$(cat import/.rehost/audit/*.jsonl | jq -r 'select(.event == "vm-done") | .vm' |
        sort | uniq -d)" "" "VMs that were done twice"
}
# Killed when one of its two arrays is in the queue: what is there is left out.
test_an_interrupted_submission_is_gone_on_with() {
    mkdir bin
    cat >bin/sbatch <<SH
#!/bin/sh
$(command -v sbatch) "\$@"
kill -9 \$PPID
SH
    chmod +x bin/sbatch
    jobs "  - source: ../vm*.ova"
    scontrol update PartitionName=all State=DOWN
    run env PATH="$PWD/bin:$PATH" "$REHOST" batch submit jobs.yaml --engine slurm
    expect_status 137
    run "$REHOST" batch submit jobs.yaml --engine slurm
    expect_status 0
    expect_stdout 'in the queue already: 8 VMs'
    expect_stdout ' 2 VMs of wave 1'
    run "$REHOST" batch submit jobs.yaml --engine slurm --json
    expect_json .queued 10
    expect_json '.arrays | length' 0
    scontrol update PartitionName=all State=UP
    wait_for_queue || fail "the queue does not empty"
    expect_equal "$(counts)" '{"done":10}'
    expect_equal "$(cat import/.rehost/audit/*.jsonl | jq -r 'select(.event == "vm-start") | .vm' |
        sort | uniq -d)" "" "VMs that were started twice"
}
test_a_cluster_that_is_not_there_is_an_error() {
    jobs "  - source: ../vm1.ova"
    run env SLURM_CONF=/nonexistent "$REHOST" batch submit jobs.yaml --engine slurm
    expect_error BATCH_SLURM 1
    run "$REHOST" batch submit jobs.yaml --engine pbs
    expect_error USAGE 2
}
run_tests
