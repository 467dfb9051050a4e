# The library's job calls: twice, after a failure, from several threads, two on
# one package; VMs of a package end each on its own; a decision is kept to.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-vm.sh"

case ${REHOST_SAN-} in
asan) SAN=-fsanitize=address,undefined ;;
tsan) SAN=-fsanitize=thread ;;
*) SAN= ;;
esac
CALLS=$SCRATCH/job_calls
for program in job_calls other_calls service_calls; do
    # shellcheck disable=SC2086
    "${CC:-cc}" -std=c17 -D_GNU_SOURCE -pthread $SAN -I"$TOP/include" \
        -o "$SCRATCH/$program" "$TOP/tests/$program.c" -L"$BUILD" -lrehost \
        -Wl,-rpath,"$BUILD" || { not_ok build; finish; exit; }
done
make_disk "$SCRATCH/disk.raw" 9000448
python3 "$TOP/tests/guests/mkova.py" --name web01 "$SCRATCH/web01.ova" \
    "$SCRATCH/disk.raw" >/dev/null || exit 1
OVA=$SCRATCH/web01.ova

# in/two.ovf: the VMs a and b, each with a disk of its own.
two_vms() {
    local vm
    mkdir in
    for vm in a b; do
        make_disk $vm.raw 12582912 $vm
        python3 "$TOP/tests/guests/mkova.py" --name $vm in/$vm.ova $vm.raw >/dev/null
    done
    two_in_one in
}
# Grains in the middle that no longer inflate: it shows while they are copied.
damage() { # DISK
    head -c 2048 /dev/zero | tr '\0' '\377' |
        dd of="$1" bs=1 seek=$(($(stat -c %s "$1") * 7 / 10)) conv=notrunc 2>/dev/null
}

test_what_failed_stays_failed() {
    mkdir out out/web01
    run "$CALLS" run-twice "$OVA" out
    expect_status 0
    expect_equal "$stdout" "run: FILE_EXISTS
state: 3
run: FILE_EXISTS
state: 3"
    expect_equal "$(ls -A out out/web01)" "out:
web01

out/web01:"
    run "$CALLS" report-then-run "$OVA" out2 to=xen vmid=7
    expect_equal "$stdout" "report: TARGET_OPTION
run: TARGET_OPTION"
    [ ! -e out2 ] || fail "something was written"
}
test_what_is_done_is_not_done_again() {
    run "$CALLS" run-twice "$OVA" out
    expect_equal "$stdout" "run: ok
state: 2, summed up
run: JOB_DONE
state: 2, summed up"
}
test_two_jobs_see_the_same_package() {
    run "$CALLS" two-jobs "$OVA"
    expect_status 0
    awk '/^---$/ { n++; next } { print >"job" n + 0 }' .stdout
    expect_same_file job0 job1
    python3 "$TOP/tests/guests/mkova.py" --name nomac nomac.ova \
        "$SCRATCH/disk.raw" >/dev/null
    tar xf nomac.ova
    sed -i '/<rasd:Address>/d' nomac.ovf
    rm -f nomac.mf
    run "$CALLS" two-jobs nomac.ovf
    awk '/^---$/ { n++; next } { print >"job" n + 0 }' .stdout
    expect_same_file job0 job1
    grep -q MAC-MADE-UP job1 || fail "the second does not tell of the MAC"
    tail -1 job1 >mac
    expect_equal "$(cat mac)" "mac - -"
}
test_vms_end_each_on_its_own() {
    two_vms
    damage in/a-1.vmdk
    run "$CALLS" walk in/two.ovf out format=raw
    expect_stdout '^run: (VMDK|STREAM)_'
    expect_stdout '^vm 0 a kvm state 2 .* error (VMDK|STREAM).*input result -$'
    expect_stdout '^vm 1 b kvm state 1 verdict .* result out/b$'
    expect_stdout '^finding [A-Z-]+ [012] [01] '
    expect_equal "$(ls -A out)" b
    expect_same_file b.raw out/b/disk0.raw
    run "$REHOST" convert in/two.ovf --to kvm --out out2 --format raw
    expect_status 3
    expect_stdout 'result: +out2/b$'
    run "$REHOST" convert in/two.ovf --to kvm --out out3 --format raw --json
    expect_status 3
    expect_json '[.vms[] | .state] | join(" ")' "failed done"
    expect_json '.vms[0].class' input
    # One that may be tried again weighs more than one that is refused.
    mkdir -p out4/b
    run "$REHOST" convert in/two.ovf --to kvm --out out4 --format raw
    expect_error FILE_EXISTS 1
    expect_stderr 'VMDK_|STREAM_'
}
test_a_report_has_the_vms_that_can_be_read() {
    two_vms
    head -c 100 in/a-1.vmdk >cut
    mv cut in/a-1.vmdk
    run "$REHOST" report in/two.ovf --to kvm --json
    expect_status 3
    run "$REHOST" inspect in/two.ovf
    expect_status 3
}
test_a_decision_is_kept_to() {
    need jq
    run "$CALLS" decide "$OVA" out storage=tank
    expect_status 0
    cp .stdout one
    expect_json '.schema' rehost.decision/1
    expect_schema one rehost.decision-1.json
    expect_json '.vms[0].targets[0].target' kvm
    run "$CALLS" decide "$OVA" out storage=tank
    expect_same_file one .stdout
    run "$CALLS" obey "$OVA" elsewhere one
    expect_equal "$stdout" "obey: ok"
    expect_file elsewhere/web01/proxmox.conf
    grep -q tank elsewhere/web01/import.sh || fail "its options are lost"
    # What would be done now is something else.
    jq '.vms[0].targets[0].devices.disk = "ide"' one >other
    run "$CALLS" obey "$OVA" not other
    expect_equal "$stdout" "obey: DECISION_CHANGED"
    jq '.vms += .vms' one >more
    run "$CALLS" obey "$OVA" not more
    expect_equal "$stdout" "obey: DECISION_CHANGED"
    for text in '' '{' '[]' '{"schema":"rehost.decision/1"}' \
        '{"schema":"rehost.decision/2","options":[],"vms":[]}' \
        '{"schema":"rehost.decision/1","options":[[1]],"vms":[]}'; do
        echo "$text" >bad
        run "$CALLS" obey "$OVA" not bad
        expect_equal "$stdout" "obey: DECISION_FORMAT" "$text"
    done
    [ ! -e not ] || fail "something was written"
}
test_jobs_from_several_threads() {
    run "$CALLS" threads "$OVA" out
    expect_status 0
    expect_silent_errors
    expect_stdout '^vm0 ok$'
    expect_stdout '^vm2 ok$'
    expect_equal "$(grep -cvE '^vm[0-3] (ok|CANCELLED)$' .stdout)" 0
    expect_equal "$(find out -name '.*')" ""
    expect_same_file out/vm0/disk0.raw out/vm2/disk0.raw
}
expect_silent_errors() {
    expect_equal "$stderr" "" "standard error"
}
test_bytes_by_functions_of_the_caller() {
    need qemu-img
    run "$CALLS" own "$OVA" mine
    expect_equal "$stdout" "add twice: USAGE
end web01 1
result app:there/web01
run: ok
open none: FILE_NOT_FOUND"
    run "$REHOST" convert "$OVA" --to kvm --out out
    expect_status 0
    expect_same_file mine/web01/disk0.qcow2 out/web01/disk0.qcow2
    expect_same_file mine/web01/proxmox.conf out/web01/proxmox.conf
    expect_same_file mine/web01/vm.json <(sed 's,"path": "[^"]*","path": "app:in",' \
        out/web01/vm.json)
    run "$CALLS" own-disk out/web01/disk0.qcow2 mine
    expect_equal "$stdout" "disk: ok"
    expect_same_disk mine/disk "$SCRATCH/disk.raw" qcow2 raw
}
test_functions_of_the_caller_that_fail() {
    run "$CALLS" own "$OVA" mine write
    expect_stdout '^run: NO_SPACE$'
    expect_stdout '^end web01 0$'
    run "$CALLS" own "$OVA" mine end
    expect_stdout '^run: FILE_WRITE$'
    run "$CALLS" own "$OVA" mine read
    expect_stdout '^run: FILE_READ$'
}
test_set_and_fill_after_loading() {
    printf 'annotation: by fill\n' >fill.yaml
    sed -i 's/^/name: web01\n/' fill.yaml
    run "$CALLS" late "$OVA" cpus=7 fill.yaml
    expect_status 0
    expect_equal "$(grep -v '^annotation' .stdout)" "cpus=many: CONFIG_VALUE
os=no-such: CONFIG_PROFILE
=: CONFIG_KEY
x=1: CONFIG_KEY
fill: FILE_NOT_FOUND
unchanged 1
set: ok
cpus 7 set
fill: ok
findings 1
of the package 1"
}
test_options_of_another_call_are_refused() {
    run "$CALLS" foreign "$OVA" out
    expect_equal "$stdout" "job: USAGE
load: USAGE
boot: USAGE"
    run "$REHOST" disk convert "$SCRATCH/disk.raw" x.qcow2 --vmid 7
    expect_status 2
}
test_every_other_call_twice_and_from_four_threads() {
    head -c 5000 "$OVA" >broken.ova
    run "$REHOST" convert "$OVA" --to kvm --format raw --out out
    run "$SCRATCH/other_calls" "$OVA" broken.ova out/web01
    expect_equal "$stderr" "the same" "standard error"
    expect_status 0
    expect_stdout '^findings NIC-RENAME$'
    expect_stdout '^none: 0 .{2} .{2} .{2} .{2} .{2}$'
    expect_stdout '^cause: PACKAGE_TRUNCATED'
    expect_stdout '^of the package: ok'
    expect_stdout '^of the job: ok'
    expect_stdout '^of the job: [A-Z]'
    expect_stdout '^cause again: ok'
    expect_stdout '^0 7 split: ok'
    expect_stdout '^-1 7 split: DELIVERY_URL'
    expect_stdout '^verify: ok .*'
    # Every public call is in one of these programs.
    grep -o '\<rh_[a-z_]*;' "$TOP/librehost.map" | tr -d ';' | while read -r call; do
        grep -q "\<$call(" "$TOP"/tests/*_calls.c || echo "$call"
    done >untested
    expect_equal "$(cat untested)" "" "calls without a test"
}
test_batches_twice_and_from_threads() {
    mkdir jobs
    run timeout 100 "$SCRATCH/service_calls" batch "$OVA" "$REHOST" "$PWD/jobs"
    expect_status 0
    expect_stdout '^open: not JOBS_FILE'
    expect_stdout '^submit: not USAGE'
    expect_stdout '^run: status 0'
    expect_stdout '^run again: good'
    expect_stdout '^the same'
    expect_equal "$(find jobs -name receipt.json -path '*/web01/*' | wc -l)" 3 results
}
test_pushes_twice_and_from_threads() {
    local n
    need_built_with libcurl
    stand_in pve state --password secret --auth-delay 0 --task-delay 0.1
    run "$REHOST" convert "$OVA" --to kvm --out out --no-guest-fix
    for n in 0 1 2; do cp -r out/web01 out/web01-$n; done
    printf '"*":\n  user: root@pam\n  password: secret\n' >login
    chmod 600 login
    CERT=$PWD/state/cert.pem LOGIN=$PWD/login REHOST_USER='' REHOST_PASSWORD='' \
        REHOST_TOKEN='' run timeout 100 "$SCRATCH/service_calls" push \
        "proxmox://$HOST/pve1/local-lvm" "$PWD/out/web01"
    expect_status 0
    expect_stdout '^open: not DELIVERY_URL'
    expect_stdout '^result: good'
    expect_stdout '^asked 4'
    expect_stdout '^open: not LOGIN_MISSING'
    expect_stdout '^the same'
}
test_warm_moves_twice_and_from_threads() {
    mkdir moves state
    head -c 3000000 /dev/urandom >disk.raw
    XDG_STATE_HOME=$PWD/state run timeout 100 "$SCRATCH/service_calls" warm "$PWD/disk.raw" "$PWD/moves"
    expect_status 0
    expect_stdout '^start: not FILE_NOT_FOUND'
    expect_stdout '^cutover at: not USAGE'
    expect_stdout '^cutover: good'
    expect_stdout '^abort: good'
    expect_stdout '^the same'
}
# Programs that found faults once, against inputs that did.
test_programs_that_found_faults() {
    need_shared cases/library
    need_shared cases/hostile
    need xz
    local case
    for case in run-twice report-then-run two-plans-one-package; do
        # shellcheck disable=SC2086
        "${CC:-cc}" $SAN -I"$TOP/include" -o $case \
            "$RH_SHARED/cases/library/$case.c" -L"$BUILD" -lrehost \
            -Wl,-rpath,"$BUILD" || fail "$case.c does not build"
    done
    xz -dkc "$RH_SHARED/cases/hostile/fat-name-too-long.qcow2.xz" >long.qcow2
    # They free nothing.
    run env ASAN_OPTIONS=detect_leaks=0 ./run-twice long.qcow2 out
    expect_stdout '^run 1: -1 '
    expect_equal "$(sed -n 's/^run 1/run 2/p' .stdout)" \
        "$(sed -n '/^run 2/p' .stdout)" "the second run's answer"
    expect_equal "$(ls -A out 2>/dev/null)" "" "results"
    run env ASAN_OPTIONS=detect_leaks=0 ./report-then-run long.qcow2 out2 vmid=7
    expect_stdout '^report 1: status 2'
    expect_stdout '^run: status 2'
    run env ASAN_OPTIONS=detect_leaks=0 ./two-plans-one-package "$OVA"
    expect_equal "$(grep -c '^mac now:' .stdout)" 2
    expect_equal "$(grep '^mac now:' .stdout | sort -u | wc -l)" 1
}
# What is at stake decides, not how many cautions there are.
test_effort_follows_what_is_at_stake() {
    run "$REHOST" report "$OVA" --to kvm --json
    expect_status 0
    # Nothing is known of its guest.
    expect_json '.vms[0].targets[0] | .verdict + " " + .effort' "caution manual"
    run "$REHOST" report "$OVA" --to kvm --json --no-guest
    expect_json '.vms[0].targets[0] | .verdict + " " + .effort' \
        "caution some-caution"
}
test_an_option_of_another_target_is_refused() {
    run "$REHOST" convert "$OVA" --to kvm --out out --sr NFS
    expect_error PLAN_OPTION 2
    expect_stderr "it is for --to xen"
    run "$REHOST" report "$OVA" --to xen --no-guest --vmid 200
    expect_error PLAN_OPTION 2
    run "$REHOST" report "$OVA" --to xen --to kvm --no-guest --vmid 200 --sr NFS
    expect_status 0
    [ ! -e out ] || fail "something was left"
}
test_keys_are_named_not_given() {
    local how
    run "$REHOST" convert "$OVA" --to kvm --out out --key secret1
    expect_error KEY_LITERAL 2
    ! grep -q secret1 .stderr || fail 'the key is in the message'
    run env -u K "$REHOST" convert "$OVA" --to kvm --out out --key env:K
    expect_error KEY_MISSING 2
    echo secret1 >k
    for how in file:k env:K; do
        run env K=secret1 "$REHOST" convert "$OVA" --to kvm --out out \
            --overwrite --key $how
        expect_status 0
    done
    printf 'a\0b' >k
    run "$REHOST" convert "$OVA" --to kvm --out no --key file:k
    expect_error KEY_BINARY 2
    : >k
    run "$REHOST" convert "$OVA" --to kvm --out no --key file:k
    expect_error KEY_MISSING 2
    ! grep -rq secret1 out || fail "the key is in the result"
}
# Where none was named a person is asked, on a terminal and without an echo.
test_a_key_is_asked_for_on_a_terminal() {
    python3 - locked.img <<'PY'
import sys
# A LUKS1 header (cryptsetup's LUKS1 on-disk format, 2.1) before random bytes.
head = bytearray(4096)
head[:8] = b"LUKS\xba\xbe\x00\x01"
head[8:11], head[40:49], head[72:78] = b"aes", b"xts-plain", b"sha256"
head[104:108] = (8).to_bytes(4, "big")
head[168:204] = b"5c1f7f0a-6f9b-4b6e-9c7a-2f3d6a1b0c9d"
open(sys.argv[1], "wb").write(bytes(head) + b"\x5a" * (4 << 20))
PY
    cat >asked.py <<'PY'
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said, answered = b"", False
while True:
    try:
        got = os.read(fd, 1024)
    except OSError:
        break
    if not got:
        break
    said += got
    if b"locked: " in said and not answered:
        answered = True
        os.write(fd, b"\n")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), answered)
PY
    run python3 asked.py "$REHOST" convert locked.img --to kvm --out out \
        --format raw --set memory=1GiB --set cpus=1 --progress none
    expect_equal "$stdout" "0 True"
    # Nobody is there: nothing waits.
    run timeout 20 setsid "$REHOST" convert locked.img --to kvm --out out2 \
        --format raw --set memory=1GiB --set cpus=1
    expect_status 0
    run grep -c GUEST-ENCRYPTED out2/locked/report.json
    expect_equal "$stdout" 1
}
run_tests
