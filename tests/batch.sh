# rehost batch: job files, runs that are killed, disks that fill up, two machines
# over one folder.  What must hold: the results are those of `rehost convert`,
# and nothing else is left.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

: "${KILLS:=6}" # tests/batch/long.sh asks for more
VMS=20

make_disk "$SCRATCH/disk.raw" 3145728
mkdir "$SCRATCH/exports"
for ((i = 1; i <= VMS; i++)); do
    python3 "$TOP/tests/guests/mkova.py" --name "vm$i" \
        "$SCRATCH/exports/vm$i.ova" "$SCRATCH/disk.raw" >/dev/null || exit 1
done
python3 "$TOP/tests/guests/mkova.py" --name web01 "$SCRATCH/web01.ova" \
    "$SCRATCH/disk.raw" >/dev/null || exit 1

# jobs LINE...: jobs.yaml with these VMs; more keys in $HEAD.
jobs() {
    printf '%s\n' "schema: rehost.jobs/1" "out: import" \
        "defaults: {to: kvm, retries: 0}" ${HEAD:+"$HEAD"} "vms:" "$@" >jobs.yaml
}
batch() { # COMMAND [OPTION...]
    local command=$1
    shift
    run "$REHOST" batch "$command" jobs.yaml "$@"
}
states() { # "done 3, failed 1", as the journal has it
    "$REHOST" batch status jobs.yaml --json |
        jq -r '[.counts | to_entries[] | select(.value > 0)
               | "\(.key) \(.value)"] | join(", ")'
}
state_of() { # NAME [FILTER]
    "$REHOST" batch status jobs.yaml --json |
        jq -r --arg n "$1" ".vms[] | select(.name == \$n) | ${2:-.state}"
}
nothing_left() { # [OUT]
    expect_empty "${1:-import}/.rehost/work"
    expect_equal "$(find "${1:-import}" -name '*.part')" ""
}
same_results() { # OUT OTHER
    run diff -r -x .rehost "$1" "$2"
    expect_status 0
    expect_equal "$(ls "$1" | wc -l)" "$(ls "$2" | wc -l)" "results"
}

# --- the job file --------------------------------------------------------------
bad_file() { # LINE REGEX, the file on standard input
    cat >jobs.yaml
    batch run
    expect_error JOBS_FILE 2
    expect_stderr "jobs\.yaml:$1: .*$2"
    expect_equal "$(ls -A)" "$(printf '.stderr\n.stdout\njobs.yaml')"
}
test_errors_name_the_line() {
    local head=$'schema: rehost.jobs/1\nout: o\nvms:\n'
    bad_file 1 'out.* is missing' <<<'schema: rehost.jobs/1'
    bad_file 1 'rehost.jobs/1' <<<$'schema: rehost.jobs/7\nout: o\nvms: [{source: a}]'
    bad_file 5 'no key or option "wawe"' <<<"$head  - source: a.ova"$'\n    wawe: 2'
    bad_file 4 'no source' <<<"$head  - {wave: 2}"
    bad_file 5 'number from 1' <<<"$head  - source: a.ova"$'\n    wave: 0'
    bad_file 5 'true or false' <<<"$head  - source: a.ova"$'\n    strict: perhaps'
    bad_file 5 'time like 22:00' <<<"$head  - source: a.ova"$'\n    not-before: noon'
    bad_file 4 'no VM here is called "b"' <<<"$head  - {source: a.ova, after: b}"
    bad_file '[45]' 'circle' <<<"$head  - {source: a.ova, after: b}"$'\n  - {source: b.ova, after: a}'
    bad_file 4 'circle' <<<"$head  - {source: a.ova, after: a}"
    bad_file 4 'later wave' <<<"$head  - {source: a.ova, after: b}"$'\n  - {source: b.ova, wave: 2}'
    bad_file 5 'second VM is called "a" .*line 4' <<<"$head  - {source: x.ova, name: a}"$'\n  - {source: y.ova, name: a}'
    bad_file 4 'nothing matches' <<<"$head  - {source: none/*.ova}"
    bad_file 4 'standard input' <<<"$head  - {source: -}"
    bad_file 4 'whole batch' <<<"$head  - {source: a.ova, threads: 4}"
    bad_file 5 'stands twice' <<<"$head  - source: a.ova"$'\n    source: b.ova'
    bad_file 5 '.' <<<"$head  - {source: a.ova"
    bad_file 6 'second document' <<<"$head  - source: a.ova"$'\n---\nvms: []'
    bad_file 3 'no VM in it' <<<$'schema: rehost.jobs/1\nout: o\nvms: []'
}
test_every_option_of_convert_is_a_key() {
    local option argument value
    local not_here=" out name results-at fetched-dir fetched-most done clean json lang progress threads memory bandwidth verbose help "
    "$REHOST" convert --help |
        sed -nE 's/^ +(-., )?--([a-z-]+)( ([^ ]+))?  .*/\2 \4/p' >"$SCRATCH/options"
    [ "$(wc -l <"$SCRATCH/options")" -gt 20 ] || fail "no options: $(cat "$SCRATCH/options")"
    while read -r option argument; do
        [[ $not_here != *" $option "* ]] || continue
        value=1
        [ -n "$argument" ] || value=true
        printf '%s\n' "schema: rehost.jobs/1" "out: o" "vms:" \
            "  - {source: a.ova, $option: $value}" >jobs.yaml
        batch status
        [ "$status" = 0 ] || fail "$option: $stderr"
        held
        [ -z "$argument" ] || continue
        bad_file 4 'true or false' <<<$'schema: rehost.jobs/1\nout: o\nvms:\n'"  - {source: a.ova, $option: perhaps}"
        rm jobs.yaml
    done <"$SCRATCH/options"
}
test_a_switch_reaches_convert() {
    jobs "  - {source: ../web01.ova, skip-free: true}" \
        "  - {source: ../exports/vm1.ova, skip-free: false}"
    batch run
    expect_status 0
    expect_json .skip_free true import/web01/receipt.json
    expect_json .skip_free false import/vm1/receipt.json
}
test_options_of_other_commands_are_none() {
    local option words
    for words in push report boot "disk convert" "batch run"; do
        # shellcheck disable=SC2086  # "disk convert" is two words
        "$REHOST" $words --help | sed -nE 's/^ +(-., )?--([a-z-]+).*/\2/p'
    done | sort -u >others
    "$REHOST" convert --help | sed -nE 's/^ +(-., )?--([a-z-]+).*/\2/p' | sort -u >ours
    [ "$(comm -23 others ours | wc -l)" -gt 5 ] || fail "no options"
    for option in $(comm -23 others ours | grep -v '^wave$') out results-at threads; do
        printf '%s\n' "schema: rehost.jobs/1" "out: o" "vms:" \
            "  - {source: a.ova, $option: 1}" >jobs.yaml
        batch status
        expect_error JOBS_FILE 2
    done
}
test_defaults_and_overrides() {
    cat >jobs.yaml <<'YAML'
schema: rehost.jobs/1
out: import
defaults: {to: kvm, format: raw, set: {cpus: 3}, network-map: {"*": vmbr9}}
vms:
  - source: ../web01.ova
  - source: ../exports/vm1.ova
    name: renamed
    format: qcow2
    set: {memory: 1GiB}
    network-map: {"VM Network": vmbr2}
    no-guest-fix: true
YAML
    python3 -c 'import json,sys,yaml; json.dump(yaml.safe_load(open("jobs.yaml")), open("jobs.json","w"))' 2>/dev/null &&
        expect_schema jobs.json rehost.jobs-1.json
    batch run
    expect_status 0
    expect_file import/web01/disk0.raw import/renamed/disk0.qcow2
    expect_json '.vms[0].cpus' 3 import/web01/vm.json
    expect_json '.vms[0] | "\(.cpus) \(.memory_bytes)"' "3 1073741824" \
        import/renamed/vm.json
    grep -q bridge=vmbr9 import/web01/proxmox.conf || fail "not the default's bridge"
    grep -q bridge=vmbr2 import/renamed/proxmox.conf || fail "not its own bridge"
    expect_equal "$(ls import)" $'renamed\nweb01'
}
test_init_writes_what_run_reads() {
    cp ../web01.ova a.ova
    head -c 4000 a.ova >broken.ova
    mkdir in
    mv -- *.ova in
    run "$REHOST" batch init in -o jobs.yaml --to xen --out there
    expect_status 0
    expect_equal "$(grep -c source: jobs.yaml)" 2
    batch status
    expect_status 0
    run "$REHOST" batch init in -o jobs.yaml
    expect_error USAGE 2
    "$REHOST" report in --to xen --json report.json >/dev/null 2>&1
    run "$REHOST" batch init --from-report report.json --to xen
    expect_status 0
    expect_stdout '^  - source: "in/a.ova"'
    expect_stdout '^# - source: "in/broken.ova"'
    expect_stdout '^    # .*ends at'
    cp .stdout jobs.yaml
    batch status
    expect_status 0
    expect_stdout '^a  '
    expect_no_stdout broken
}

# --- runs ------------------------------------------------------------------------
test_init_of_what_is_not_there() {
    run "$REHOST" batch init nowhere.ova -o jobs.yaml
    expect_error FILE_NOT_FOUND 1
    run "$REHOST" batch init '' -o jobs.yaml
    expect_error FILE_NOT_FOUND 1
    [ ! -e jobs.yaml ] || fail "a job file"
    run "$REHOST" batch init 'later/*.ova'
    expect_status 0
}
test_results_are_those_of_convert() {
    HEAD="jobs: 3" jobs "  - source: ../exports/vm?.ova"
    batch run
    expect_status 0
    expect_silent
    expect_stdout '^done 9$'
    mv import batch # results name their place
    for i in 1 2 3 4 5 6 7 8 9; do
        "$REHOST" convert ../exports/vm$i.ova --to kvm --out import >/dev/null 2>&1
    done
    same_results batch import
    rm -r import
    mv batch import
    nothing_left
    run "$REHOST" verify ../exports/vm1.ova import/vm1
    expect_status 0
    batch status --json
    expect_schema .stdout rehost.batch-1.json
    expect_json '.vms[0] | "\(.state) \(.results[0]) \(.error)"' \
        "done import/vm1 null"
    expect_file import/.rehost/runbook/vm1.txt import/.rehost/status.html
    # What is done stays done: nothing is converted again.
    touch mark
    batch resume
    expect_status 0
    expect_equal "$(find import -name receipt.json -newer mark)" ""
}
test_one_bad_vm_stops_nobody() {
    head -c 9000 ../web01.ova >cut.ova
    jobs "  - source: cut.ova" "  - source: gone.ova" "  - source: ../web01.ova" \
        "  - {source: ../exports/vm1.ova, after: cut}"
    batch run
    expect_status 1
    expect_equal "$(states)" "waiting 1, done 1, failed 1, refused 1"
    expect_equal "$(state_of vm1 .reason)" "after cut, which is refused"
    expect_equal "$(state_of gone .error.code)" FILE_NOT_FOUND
    nothing_left
    # With the file there, only that one is done.
    cp ../exports/vm2.ova gone.ova
    batch resume
    expect_status 3
    expect_equal "$(states)" "waiting 1, done 2, refused 1"
}
test_what_is_blocked_is_exit_4() {
    jobs "  - {source: ../web01.ova, to: xen, set: {cpus: 999}}"
    batch run
    expect_status 4
    expect_equal "$(states)" "blocked 1"
}
# Of a VM that goes to two targets each is there, or not, by itself.
of_targets() { # NAME: "kvm done, xen failed PLAN_BLOCKED"
    state_of "$1" '[.targets[] | "\(.target) \(.state)\(if .code then " " + .code else "" end)"] | sort | join(", ")'
}
test_a_target_that_is_blocked_leaves_the_other_there() {
    jobs "  - {source: ../exports/vm1.ova, to: [xen, kvm], set: {os: solaris}, no-guest-fix: true}" \
        "  - {source: ../exports/vm2.ova, after: vm1}"
    batch run
    expect_status 4
    expect_stdout 'vm1: blocked: .*PLAN_BLOCKED\]; there: kvm/vm1$'
    expect_equal "$(states)" "waiting 1, blocked 1"
    expect_equal "$(of_targets vm1)" "kvm done, xen failed PLAN_BLOCKED"
    expect_equal "$(state_of vm1 '.results | join(" ")')" import/kvm/vm1
    "$REHOST" batch status jobs.yaml --json >status.json
    expect_schema status.json rehost.batch-1.json
    expect_equal "$(cd import && echo .[!.]* *)" ".rehost kvm"
    grep -q 'not there: xen/vm1: .*PLAN_BLOCKED' import/.rehost/runbook/vm1.txt ||
        fail "$(cat import/.rehost/runbook/vm1.txt)"
    grep -q 'there: kvm/vm1' import/.rehost/status.html || fail "not on the page"
    first=$(stat -c %i import/kvm/vm1)
    batch resume
    expect_status 4
    expect_equal "$(stat -c %i import/kvm/vm1)" "$first" "the one that was there"
    run "$REHOST" verify ../exports/vm1.ova import/kvm/vm1
    expect_status 0
    nothing_left
}
test_only_the_target_that_failed_is_done_again() {
    jobs "  - {source: ../exports/vm1.ova, to: [xen, kvm]}"
    mkdir -p import/xen/vm1
    echo mine >import/xen/vm1/notes
    batch run
    expect_status 1
    expect_equal "$(states)" "failed 1"
    expect_equal "$(of_targets vm1)" "kvm done, xen failed FILE_EXISTS"
    expect_equal "$(cat import/xen/vm1/notes)" mine
    first=$(stat -c %i import/kvm/vm1)
    rm -r import/xen
    batch resume
    expect_status 0
    expect_equal "$(states)" "done 1"
    expect_equal "$(of_targets vm1)" "kvm done, xen done"
    expect_equal "$(state_of vm1 '.results | sort | join(" ")')" \
        "import/kvm/vm1 import/xen/vm1"
    expect_equal "$(stat -c %i import/kvm/vm1)" "$first" "the one that was there"
    batch resume
    expect_equal "$(stat -c %i import/kvm/vm1)" "$first" "the one that was there"
    # One that somebody has taken away is made again, a changed source wholly.
    rm -r import/xen/vm1
    batch resume
    expect_status 0
    expect_file import/xen/vm1/receipt.json
    nothing_left
}
test_waves_and_order() {
    HEAD="jobs: 4" jobs "  - {source: ../exports/vm1.ova, wave: 2}" \
        "  - {source: ../exports/vm2.ova, after: vm3}" \
        "  - {source: ../exports/vm3.ova}"
    batch run --progress json
    expect_status 0
    expect_equal "$(jq -r 'select(.event == "vm-start" or .event == "vm-done")
        | "\(.event) \(.vm)"' .stderr | sed 's/vm-//' | paste -sd,)" \
        "start vm3,done vm3,start vm2,done vm2,start vm1,done vm1"
    batch run --wave 7
    expect_status 0
    batch run --only nobody
    expect_error BATCH_VM 2
}
test_deliver_goes_elsewhere() {
    jobs "  - {source: ../web01.ova, to: xen, deliver: 'xapi://127.0.0.1:1'}"
    printf '127.0.0.1: {user: root, password: x}\n' >login
    chmod 600 login
    sed -i 's/retries: 0/retries: 0, login: login/' jobs.yaml
    batch run
    expect_status 1 # nobody listens there
    expect_equal "$(state_of web01 .error.class)" network
    expect_equal "$(ls import)" ""
    nothing_left
}
test_defaults_for_servers_are_for_those_who_ask_one() {
    printf '127.0.0.1: {user: root, password: x}\n' >login
    chmod 600 login
    jobs "  - {source: ../web01.ova}" \
        "  - {source: 'https://127.0.0.1:1/far.ova'}"
    sed -i 's/retries: 0/retries: 0, login: login, transport: folder/' jobs.yaml
    batch run
    expect_status 1 # nobody listens at the second
    expect_equal "$(state_of web01 .state)" done
    expect_equal "$(state_of far .error.class)" network
}
test_dry_run_writes_nothing() {
    jobs "  - source: ../web01.ova"
    batch run --dry-run
    expect_status 0
    expect_stdout 'would be converted: '
    [ ! -e import ] || fail "import is there"
}
test_a_changed_source_is_done_anew() {
    cp ../web01.ova web01.ova
    jobs "  - source: web01.ova"
    batch run
    expect_status 0
    before=$(sha256sum <import/web01/receipt.json)
    python3 "$TOP/tests/guests/mkova.py" --name web01 --cpus 7 web01.ova \
        ../disk.raw >/dev/null
    batch run
    expect_status 0
    expect_json '.vms[0].cpus' 7 import/web01/vm.json
    [ "$before" != "$(sha256sum <import/web01/receipt.json)" ] || fail "not anew"
    # Another decision is another piece of work, too.
    sed -i 's/ova$/ova\n    set: {cpus: 5}/' jobs.yaml
    batch run
    expect_status 0
    expect_json '.vms[0].cpus' 5 import/web01/vm.json
    rm -r import/web01
    batch run
    expect_status 0
    expect_file import/web01/receipt.json
    nothing_left
}
test_results_of_others_stay() {
    mkdir -p import/web01
    echo mine >import/web01/precious
    jobs "  - source: ../web01.ova"
    for _ in 1 2; do
        batch run
        expect_status 1
        expect_equal "$(state_of web01 .error.code)" FILE_EXISTS
        expect_equal "$(cat import/web01/*)" mine
        nothing_left
    done
    sed -i 's/ova$/ova\n    overwrite: true/' jobs.yaml
    batch run
    expect_status 0
    expect_file import/web01/receipt.json
    nothing_left
}
test_windows_of_time() {
    jobs "  - {source: ../web01.ova, not-before: 2099-01-01 22:00}" \
        "  - {source: ../exports/vm1.ova, not-after: 2001-01-01 22:00}" \
        "  - {source: ../exports/vm2.ova, not-before: 2001-01-01 22:00}"
    timeout -s INT 2 "$REHOST" batch run jobs.yaml >/dev/null 2>&1
    expect_equal $? 124 # timeout's own
    expect_equal "$(state_of web01 .reason)" "not before 2099-01-01 22:00"
    expect_equal "$(state_of vm1 .reason)" "not after 2001-01-01 22:00"
    expect_equal "$(states)" "waiting 2, done 1"
}
# A default counts for those VMs whose target takes it.
test_a_default_of_another_target_is_left_out() {
    mkdir -p import
    printf '%s\n' "schema: rehost.jobs/1" "out: import" \
        "defaults: {storage: local-lvm, sr: NFS, to: kvm}" vms: \
        "  - {source: $SCRATCH/exports/vm1.ova}" \
        "  - {source: $SCRATCH/exports/vm2.ova, to: xen}" >jobs.yaml
    batch run
    expect_status 0
    grep -q local-lvm: import/vm1/proxmox.conf || fail "the storage"
    sed -i 's/to: xen}/to: xen, vmid: 7}/; s/vm1/vm3/' jobs.yaml
    run timeout 100 "$REHOST" batch run jobs.yaml
    expect_stdout "PLAN_OPTION"
}
# Longer than what a pipe takes in one piece.
test_a_long_event_is_not_lost() {
    local deep
    command -v python3 >/dev/null || skip_test "python3 is not installed"
    [ -z "${REHOST_SAN-}" ] || skip_test "python3 cannot load a library with a sanitizer"
    deep=$(printf "$(printf 'x%.0s' $(seq 200))/%.0s" $(seq 11))
    mkdir -p "$deep"
    jobs "  - source: $SCRATCH/web01.ova"
    mv jobs.yaml "$deep"
    LIBREHOST=$BUILD/librehost.so.1 REHOST=$REHOST run python3 \
        "$TOP/examples/batch.py" "$PWD/${deep}jobs.yaml"
    expect_status 0
    expect_stdout "^vm-done web01"
    expect_equal "$(grep -c '"event":"vm-done"' "$deep"/import/.rehost/audit/*.jsonl)" 1
    expect_equal $(($(grep -h '"event":"vm-done"' "$deep"/import/.rehost/audit/*.jsonl | wc -c) > 4400)) 1 "it is long"
}
test_events_reach_the_command() {
    jobs "  - source: ../web01.ova"
    batch run --on-event 'cat >>events'
    expect_status 0
    expect_equal "$(jq -r .event events | sort | paste -sd,)" \
        "batch-begin,batch-end,vm-done,vm-start"
    expect_equal "$(jq -r 'select(.event == "vm-done") | .receipts["web01"]' \
        import/.rehost/audit/*.jsonl)" "$(sha256sum <import/web01/receipt.json | cut -d' ' -f1)"
    # One that fails, or takes nothing, is no reason to stop.
    rm -r import
    batch run --on-event 'exit 7'
    expect_status 0
    expect_stderr 'on-event'
}
test_keys_and_table_on_a_terminal() {
    jobs "  - {source: ../web01.ova, not-before: 2099-01-01 22:00}" \
        "  - {source: ../exports/vm1.ova}"
    cat >drive.py <<'PY'
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execv(sys.argv[1], [sys.argv[1], "batch", "run", "jobs.yaml"])
seen, keys, began = b"", [b"p", b"p", b"s", b"web", b"\x7f", b"b01\n"], time.time()
while time.time() - began < 20:
    ready = select.select([fd], [], [], 0.3)[0]
    try:
        if ready:
            seen += os.read(fd, 65536)
    except OSError:
        break
    if keys and b"done" in seen:
        os.write(fd, keys.pop(0))
        time.sleep(0.2)
else:
    os.kill(pid, 9)
status = os.waitpid(pid, 0)[1]
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(status))
PY
    run python3 drive.py "$REHOST"
    expect_status 1 # skipped by hand is not done
    expect_stdout 'paused: p goes on'
    expect_stdout 'skip which VM\? web01'
    expect_stdout 'web01: pending: skipped by hand'
}
test_the_page_refreshes_itself_in_two_languages() {
    jobs "  - source: ../web01.ova"
    batch status --html page.html
    expect_status 0
    grep -q '<meta http-equiv="refresh" content="5">' page.html || fail "no refresh"
    grep -q '<html lang="en">' page.html || fail "language"
    run xmllint --html --noout page.html
    held
}

# --- what goes wrong --------------------------------------------------------------
# The batch and its workers are gone when it was killed.
killed_after() { # SECONDS
    "$REHOST" batch run jobs.yaml >/dev/null 2>&1 &
    local pid=$!
    sleep "$1"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
}
test_killed_again_and_again() {
    local k
    HEAD="jobs: 3" jobs "  - source: ../exports/vm*.ova"
    batch run
    expect_status 0
    mv import whole # results name their place
    for ((k = 0; k < KILLS; k++)); do
        killed_after "0.$((RANDOM % 60 + 10))"
        # What stands under its name is whole.
        for receipt in import/vm*/receipt.json; do
            [ ! -e "$receipt" ] || jq -e .schema "$receipt" >/dev/null || fail "$receipt"
        done
        # At some moments nothing is done yet, at some all is: begin again.
        [ "$(ls import 2>/dev/null | wc -l)" -lt $VMS ] || rm -r import
    done
    batch resume
    expect_status 0
    same_results import whole
    nothing_left
    expect_equal "$(find import -name lease)" ""
}
test_a_disk_that_fills_up() {
    unshare -rm true 2>/dev/null || skip_test "no user namespaces here"
    HEAD="jobs: 2" jobs "  - source: ../exports/vm*.ova"
    sed -i "s/retries: 0/retries: 0, format: raw/" jobs.yaml
    mkdir import
    cat >inside.sh <<'SH'
mount -t tmpfs -o size="$2"k none import
"$1" batch run jobs.yaml >first 2>&1
echo "first $?" >outcome
ls import | wc -l >>outcome
ls -A import/.rehost/work | wc -l >>outcome
mount -o remount,size=400m import
"$1" batch resume jobs.yaml >second 2>&1
echo "second $?" >>outcome
ls import | wc -l >>outcome
ls -A import/.rehost/work | wc -l >>outcome
for i in import/vm*; do cmp -s $i/disk0.raw ../disk.raw || echo "$i differs"; done >>outcome
SH
    # Room for about eight of them.
    run unshare -rm sh inside.sh "$REHOST" $(($(du -k ../disk.raw | cut -f1) * 8 + 2000))
    set -- $(cat outcome)
    expect_equal "$1 $2" "first 1"
    [ "$3" -ge 2 ] && [ "$3" -lt $VMS ] || fail "$3 results on the small disk" "$(cat first)"
    grep -q 'space: it needs' first || fail "no word of space" "$(cat first)"
    shift 3
    expect_equal "$*" "0 second 0 $VMS 0"
}

# Two machines: each with its own host name, machine and boot id, pids, over one
# folder on which flock() locks nothing.
machine() { # NAME COMMAND...
    local name=$1
    shift
    unshare -rm -u -p -f --mount-proc sh -c '
        hostname "$1" && echo "$1" | md5sum | cut -c1-32 >"id.$1" &&
        mount --bind "id.$1" /etc/machine-id &&
        mount --bind "id.$1" /proc/sys/kernel/random/boot_id || exit 99
        export LD_PRELOAD="$2"
        shift 2
        exec "$@"' - "$name" "$PWD/noflock.so" "$@"
}
two_machines() {
    [ -z "${REHOST_SAN-}" ] || skip_test "LD_PRELOAD and sanitizers do not mix"
    echo 'int flock(int fd, int how) { return fd + how ? 0 : 0; }' >noflock.c
    ${CC:-gcc} -shared -fPIC -o noflock.so noflock.c || skip_test "no compiler"
    machine probe true 2>/dev/null || skip_test "no namespaces here"
}
test_two_machines_share_the_work() {
    two_machines
    HEAD=$'jobs: 2\nlease-seconds: 4' jobs "  - source: ../exports/vm*.ova"
    machine one "$REHOST" batch run jobs.yaml >one 2>&1 &
    machine two "$REHOST" batch run jobs.yaml >two 2>&1 &
    wait
    expect_equal "$(states)" "done $VMS"
    expect_equal "$(cat import/.rehost/audit/*.jsonl | jq -r 'select(.event == "vm-done") | .vm' |
        sort | uniq -d)" "" "VMs that were done twice"
    hosts=$(cat import/.rehost/audit/*.jsonl | jq -r 'select(.event == "vm-done") | .host' | sort -u | paste -sd,)
    expect_equal "$hosts" "one,two"
    nothing_left
}
test_a_machine_that_dies_is_taken_over_from() {
    two_machines
    HEAD=$'jobs: 2\nlease-seconds: 2' jobs "  - source: ../exports/vm*.ova"
    machine one "$REHOST" batch run jobs.yaml >one 2>&1 &
    sleep 0.4
    # pid 1 of its namespace: all in it die at once, as in a power failure.
    kill -9 "$(pgrep -P $! | head -1)" 2>/dev/null
    wait
    [ "$(states)" != "done $VMS" ] || echo "it was too fast to be killed"
    run machine two "$REHOST" batch resume jobs.yaml
    expect_status 0
    expect_equal "$(states)" "done $VMS"
    nothing_left
    for i in import/vm*; do
        run "$REHOST" disk compare "$i/disk0.qcow2" ../disk.raw --other-format raw
        expect_status 0
    done
}
run_tests
