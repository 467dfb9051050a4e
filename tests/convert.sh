# rehost convert, whole: an OVA becomes a VM; and what happens when it cannot.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-vm.sh"

make_disk "$SCRATCH/disk.raw" 25165824
python3 "$TOP/tests/guests/mkova.py" --name web01 "$SCRATCH/web01.ova" \
    "$SCRATCH/disk.raw" >/dev/null || exit 1
OVA=$SCRATCH/web01.ova
# Where in the OVA its disk starts.
DISK_AT=$(python3 - "$OVA" <<'PY'
import sys, tarfile
print(next(m.offset_data for m in tarfile.open(sys.argv[1]) if m.name.endswith(".vmdk")))
PY
)
convert() { # SOURCE [OPTION...]
    local source=$1
    shift
    run "$REHOST" convert "$source" --to kvm --out out "$@"
}
nothing_left() {
    expect_empty out
    expect_equal "$(find . -name '.*.part')" ""
}

test_ova_to_kvm() {
    need qemu-img
    convert "$OVA"
    expect_status 0
    expect_silent
    expect_sound_qcow2 out/web01/disk0.qcow2
    expect_same_disk "$SCRATCH/disk.raw" out/web01/disk0.qcow2 raw qcow2
    expect_file out/web01/{proxmox.conf,import.sh,libvirt.xml,vm.json} \
        out/web01/{report.json,report.html,receipt.json}
    expect_json '.schema' rehost.vm/1 out/web01/vm.json
    expect_json '.package.manifest' verified out/web01/vm.json
    expect_json '.vms[0].provenance.cpus.from' ovf out/web01/vm.json
    expect_json '.schema' rehost.report/1 out/web01/report.json
    expect_json '.schema' rehost.receipt/1 out/web01/receipt.json
}
test_ova_to_raw() {
    convert "$OVA" --format raw
    expect_status 0
    run cmp "$SCRATCH/disk.raw" out/web01/disk0.raw
    expect_status 0
}
test_ova_to_both_models_reads_the_source_once() {
    need qemu-img strace
    "${STRACE[@]}" -y -e trace=pread64 "$REHOST" convert "$OVA" \
        --to kvm --to xen --format vhd --no-guest-fix --out out \
        >/dev/null 2>&1 || fail "status $?"
    expect_same_disk "$SCRATCH/disk.raw" out/xen/web01/disk0.vhd raw vpc
    expect_file out/xen/web01/import.sh out/kvm/web01/disk0.vhd
    # One pass for the grains and one for the digest, and small change.
    size=$(stat -c %s "$OVA")
    # A call that another thread's interrupts is two lines; the first has the name.
    read_bytes=$(awk -v name="$(basename "$OVA")>" '
        index($0, name) { ours[$1] = 1 } !/resumed/ && !index($0, name) { ours[$1] = 0 }
        ours[$1] && $NF ~ /^[0-9]+$/ { s += $NF } END { printf "%d", s }' trace)
    [ "$read_bytes" -ge "$size" ] || fail "only $read_bytes bytes were read"
    [ "$read_bytes" -lt $((size * 5 / 2)) ] ||
        fail "$read_bytes bytes were read of an OVA of $size"
}
test_two_runs_give_the_same_bytes() {
    convert "$OVA" --threads 1
    mv out one
    convert "$OVA" --threads 4
    run diff -r one/web01 out/web01 -x libvirt.xml
    expect_status 0
}
test_folder_and_loose_descriptor() {
    need qemu-img
    mkdir in
    tar -xf "$OVA" -C in
    convert in
    expect_status 0
    expect_same_disk "$SCRATCH/disk.raw" out/web01/disk0.qcow2 raw qcow2
    convert in/web01.ovf --overwrite
    expect_status 0
}
test_standard_input() {
    need qemu-img
    cat "$OVA" | "$REHOST" convert - --to kvm --out out >/dev/null ||
        fail "status $?"
    expect_same_disk "$SCRATCH/disk.raw" out/web01/disk0.qcow2 raw qcow2
}
test_bare_disk_needs_only_what_it_does_not_say() {
    need qemu-img
    mkdir in
    tar -xf "$OVA" -C in
    convert in/*.vmdk --set memory=1GiB --set cpus=2 --set name=bare
    expect_status 0
    expect_same_disk "$SCRATCH/disk.raw" out/bare/disk0.qcow2 raw qcow2
}
test_options_of_servers_and_platforms_are_refused_for_files() {
    local option
    for option in --snapshot --quiesce --transport=folder --login=l --pin=00 \
        --tls-ca=c --source-pin=00 --source-tls-ca=c; do
        run "$REHOST" convert "$OVA" --to kvm --out out "$option"
        expect_error PLAN_OPTION 2
        expect_stderr "${option%%=*} would do nothing"
        run "$REHOST" report "$OVA" --to kvm "$option"
        expect_error PLAN_OPTION 2
    done
    run "$REHOST" inspect "$OVA" --tls-ca=c
    expect_error PLAN_OPTION 2
    [ ! -e out ] || fail "made something"
}
test_xva_to_a_pipe() {
    "$REHOST" convert "$OVA" --to xen --out - 2>.stderr >vm.xva ||
        fail "status $?" "$(cat .stderr)"
    run tar -tf vm.xva
    expect_status 0
    expect_equal "$(head -n 1 .stdout)" ova.xml
    expect_empty out
}

# Every file that stands there, with its hash; the disks by their contents.
test_receipt_names_every_file() {
    local name
    convert "$OVA" --to xen # and kvm
    expect_status 0
    for name in kvm xen; do
        : >sums
        jq -r '.files[] | .sha256 + "  " + .name' out/$name/web01/receipt.json \
            >sums
        run env -C out/$name/web01 sha256sum --quiet -c ../../../sums
        expect_status 0
        expect_equal "$(cd out/$name/web01 && ls | grep -v '^disk0\|^web01.xva' |
            sort)" "$( (cut -c67- sums; echo receipt.json) | sort)" "$name"
    done
}
# A package with two VMs of one name: each result is of its own.
test_verify_one_of_two_namesakes() {
    local vm
    mkdir in
    for vm in a b; do
        make_disk $vm.raw 4194304 $vm
        python3 "$TOP/tests/guests/mkova.py" --name $vm in/$vm.ova $vm.raw >/dev/null
    done
    two_in_one in a
    convert in/two.ovf --format raw
    expect_status 0
    expect_equal "$(ls out)" "a
a-2"
    expect_same_file b.raw out/a-2/disk0.raw
    run "$REHOST" verify in/two.ovf out/a-2
    expect_status 0
    # The first of them stays when the second fails, and is told.
    rm -r out/a
    convert in/two.ovf --format raw
    expect_error FILE_EXISTS 1
    expect_stdout 'result: +out/a$'
    expect_equal "$(ls -A out)" "a
a-2"
    run "$REHOST" verify in/two.ovf out/a
    expect_status 0
}
verified() { # OPTION...
    run "$REHOST" convert "$OVA" --out out "$@"
    expect_status 0
    run "$REHOST" verify "$OVA" out/web01
    expect_status 0
    expect_stdout '^verified$'
}
test_verify_a_qcow2() {
    verified --to kvm
    at=$(qemu-img map --output=json out/web01/disk0.qcow2 |
        jq '[.[] | select(.data)][0].offset')
    printf '\x5a\xa5' | dd of=out/web01/disk0.qcow2 bs=1 seek="$at" \
        conv=notrunc status=none
    run "$REHOST" verify "$OVA" out/web01
    expect_error VERIFY_DIFFERS 1
}
test_verify_an_xva() {
    verified --to xen
}
test_verify_several_bare_disks() {
    need qemu-img
    make_disk a.raw 4194304 a
    make_disk b.raw 4194304 b
    make_disk c.raw 4194304 c
    qemu-img convert -f raw -O qcow2 b.raw b.qcow2
    mkdir other && cp a.raw other/a.raw # two of one name
    printf 'schema: rehost.overlay/1\nmemory: 1GiB\n' >vm.yaml
    run "$REHOST" convert a.raw b.qcow2 c.raw --to kvm --out out --no-guest-fix --fill vm.yaml
    expect_status 0
    run "$REHOST" verify a.raw b.qcow2 c.raw out/a --fill vm.yaml
    expect_status 0
    expect_stdout '^disk 2: as the source'
    expect_stdout '^verified$'
    # Another order, one too few, another one, none.
    run "$REHOST" verify b.qcow2 a.raw c.raw out/a
    expect_error VERIFY_DIFFERS 1
    run "$REHOST" verify a.raw b.qcow2 out/a
    expect_error VERIFY_RECEIPT 3
    expect_stderr 'all of them'
    run "$REHOST" verify a.raw c.raw b.qcow2 out/a
    expect_error VERIFY_DIFFERS 1
    run "$REHOST" verify out/a
    expect_status 2
    run "$REHOST" verify a.raw a.raw c.raw out/a
    expect_error USAGE 2
    # What was left out is left out again.
    run "$REHOST" convert a.raw b.qcow2 c.raw --to xen --out two --no-guest-fix --fill vm.yaml --drop disk0
    expect_status 0
    run "$REHOST" verify a.raw b.qcow2 c.raw two/a --drop disk0
    expect_status 0
    run "$REHOST" verify a.raw b.qcow2 c.raw two/a
    expect_error VERIFY_DIFFERS 1
    run "$REHOST" verify a.raw b.qcow2 c.raw two/a --drop disk9
    expect_status 2
}
test_verify_another_source() {
    convert "$OVA"
    make_disk other.raw 25165824 other
    python3 "$TOP/tests/guests/mkova.py" --name web01 other.ova other.raw \
        >/dev/null
    run "$REHOST" verify other.ova out/web01
    expect_error VERIFY_DIFFERS 1
}

# --- what must fail, and leave nothing ------------------------------------------------
test_truncated_ova() {
    head -c $((DISK_AT + 100000)) "$OVA" >cut.ova
    convert cut.ova
    expect_status 3
    expect_stderr '^rehost: error: .* \[[A-Z_0-9]+\]$'
    expect_stderr '^  hint: '
    nothing_left
}
test_flipped_byte_in_a_disk() {
    cp "$OVA" bad.ova
    printf '\xff' | dd of=bad.ova bs=1 seek=$((DISK_AT + 200001)) \
        conv=notrunc status=none
    cmp -s "$OVA" bad.ova && printf '\x00' |
        dd of=bad.ova bs=1 seek=$((DISK_AT + 200001)) conv=notrunc status=none
    convert bad.ova
    expect_status 3
    nothing_left
}
# The disk is sound and says something else than the manifest.
test_manifest_that_lies() {
    mkdir in
    tar -xf "$OVA" -C in
    sed -i 's/\(vmdk)= \)\(..\)/\1ff/' in/web01.mf
    (cd in && tar -cf ../lie.ova web01.ovf web01.mf -- *.vmdk)
    convert lie.ova
    expect_error MANIFEST_MISMATCH 3
    nothing_left
}
test_existing_result_stays_untouched() {
    convert "$OVA"
    sha256sum out/web01/* >before
    convert "$OVA"
    expect_error FILE_EXISTS 1
    run sha256sum -c before
    expect_status 0
    convert "$OVA" --overwrite
    expect_status 0
    expect_equal "$(ls -A out)" web01
}
test_full_target() {
    [ "$(id -u)" = 0 ] || skip_test "only root can mount a small file system"
    mkdir small
    mount -t tmpfs -o size=1m none small 2>/dev/null ||
        skip_test "a tmpfs cannot be mounted here"
    run "$REHOST" convert "$OVA" --to kvm --out small
    left=$(ls -A small)
    umount small
    expect_error NO_SPACE 1
    expect_equal "$left" ""
}
test_unwritable_target() {
    run "$REHOST" convert "$OVA" --to kvm --out /proc/none
    expect_error FILE_WRITE 1
}
test_source_that_vanishes() {
    mkdir in
    tar -xf "$OVA" -C in
    rm in/*.vmdk
    convert in
    expect_error PACKAGE_FILE_MISSING 3
    nothing_left
    # A dry run still answers from the descriptor.
    run "$REHOST" report in --to kvm
    expect_status 0
    expect_stdout 'DISK-FILE-MISSING|GUEST-NOT-SEEN'
}
test_no_such_source() {
    convert none.ova
    expect_error FILE_NOT_FOUND 1
}
test_killed_in_the_middle() {
    # A disk from a pipe that stalls: it surely is not done when it is killed.
    mkfifo slow
    (exec 3>slow; head -c $((DISK_AT + 300000)) "$OVA" >&3; sleep 30) &
    feeder=$!
    "$REHOST" convert - --to kvm --out out <slow >/dev/null 2>&1 &
    sleep 1
    kill -KILL $!
    wait $! 2>/dev/null
    kill $feeder
    expect_equal "$(ls out 2>/dev/null)" ""
    convert "$OVA"
    expect_status 0
    expect_equal "$(ls -A out)" web01
}
test_blocked_is_4() {
    run "$REHOST" convert "$OVA" --set os=solaris --to xen --out out
    expect_status 4
    expect_stderr '\[PLAN_BLOCKED\]$'
    nothing_left
}
test_a_blocked_target_leaves_the_others() {
    both() {
        run "$REHOST" convert "$OVA" --set os=solaris --to xen --to kvm \
            --no-guest-fix --out out "$@"
    }
    both --json
    expect_status 4
    expect_json '[.vms[] | .target + " " + .state + " " + (.code // "")] | join(", ")' \
        "xen failed PLAN_BLOCKED, kvm done "
    expect_equal "$(cd out && echo .[!.]* *)" ".[!.]* kvm"
    run "$REHOST" verify "$OVA" out/kvm/web01
    expect_status 0
    # What may be tried again counts more than what is blocked.
    both
    expect_error FILE_EXISTS 1
}
test_a_target_that_fails_leaves_the_others() {
    mkdir -p out/kvm/web01
    echo mine >out/kvm/web01/notes
    run "$REHOST" convert "$OVA" --to kvm --to xen --out out --json
    expect_status 1
    expect_json '[.vms[] | .target + " " + .state + " " + (.code // "")] | join(", ")' \
        "kvm failed FILE_EXISTS, xen done "
    expect_equal "$(cat out/kvm/web01/notes)" mine
    run "$REHOST" verify "$OVA" out/xen/web01
    expect_status 0
    # What an earlier run has made is left out.
    rm -r out/kvm
    run "$REHOST" convert "$OVA" --to kvm --to xen --out out --json --done xen/web01
    expect_status 0
    expect_json '[.vms[] | .target + " " + .state] | join(", ")' "kvm done, xen pending"
    expect_json '.results | length' 1
}
# In the middle of the copy: that target's disk is full, the other's is not.
test_a_full_target_leaves_the_others() {
    unshare -rm true 2>/dev/null || skip_test "no user namespaces here"
    cat >inside.sh <<'SH'
mkdir -p out/xen
mount -t tmpfs -o size=64k none out/xen
"$1" convert "$2" --to kvm --to xen --out out --compress zstd --json >json 2>words
echo "status $?" >outcome
ls -A out/xen >>outcome
SH
    run unshare -rm sh inside.sh "$REHOST" "$OVA"
    expect_equal "$(cat outcome)" "status 1"
    expect_equal "$(jq -r '[.vms[] | .target + " " + .state + " " + (.code // "")] | join(", ")' json)" \
        "kvm done , xen failed NO_SPACE"
    run "$REHOST" verify "$OVA" out/kvm/web01
    expect_status 0
}
test_errors_as_json() {
    run "$REHOST" convert none.ova --to kvm --out out --json
    expect_status 1
    expect_json '.error.code' FILE_NOT_FOUND .stderr
    expect_json '.error.subject' none.ova .stderr
}
run_tests
