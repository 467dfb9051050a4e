#!/bin/bash
# proxmox-local:STORAGE for rehost push and for rehost convert, with stubs of
# pvesm, qm, pvesh and lvmconfig that keep volumes as files.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-vm.sh"
. "$TOP/tests/lib-node.sh"

cd "$SCRATCH" || exit 1
make_vm web01 nics=2 "disks=8388608 5242880" firmware=uefi >/dev/null
"$REHOST" convert vm --to kvm --out kvm --no-guest-fix >/dev/null || exit 1
chmod -R a+rX "$SCRATCH" # for whoever reads without root's rights

node() {
    a_node
    cp -r "$SCRATCH/kvm/web01" web01
}
push() { # a bridge that is there on any machine
    run timeout 60 "$REHOST" push web01 --to proxmox-local:tank \
        --network-map '*=lo' "$@"
}
volume() { # N: its file
    echo pve/volumes/vm-100-disk-"$1"-*
}
expect_nothing_left() {
    expect_empty pve/volumes
    expect_empty pve/conf
    expect_empty web01/.push
}
test_a_vm_arrives_whole() {
    node
    push --json --start --wait-address 5
    expect_status 0
    expect_json '.vms[0].addresses | join(" ")' 10.0.0.5
    expect_schema .stdout rehost.delivery-1.json
    expect_json '.vms[0].id' 100
    for i in 0 1; do
        run cmp "$SCRATCH/$i.raw" "$(volume $i)"
        expect_status 0
        # Zeros were not written.
        expect_equal $(($(stat -c %b "$(volume $i)") * 512 <= \
            $(stat -c %b "$SCRATCH/$i.raw") * 512 + 1048576)) 1 "sparse"
    done
    run grep -E '^(scsi0|net0|efidisk0|memory)' pve/conf/100
    expect_stdout '^scsi0: tank:vm-100-disk-0-[0-9a-f]{8},discard=on,iothread=1$'
    expect_stdout '^net0: virtio=00:50:56:AA:BB:00,firewall=1,bridge=lo$'
    expect_stdout '^efidisk0: tank:1,efitype=4m'
    expect_file pve/running
    expect_schema web01/receipt.json rehost.receipt-1.json
    expect_json '.delivery[0].id' 100 web01/receipt.json
}
test_what_stands_there_is_verified() {
    node
    push
    expect_status 0
    run "$REHOST" verify "$SCRATCH/vm" web01 --at proxmox-local:tank
    expect_status 0
    expect_stdout '^disk 1 there: content digest as in the receipt$'
    printf x | dd of="$(volume 0)" bs=1 seek=4000000 conv=notrunc status=none
    run "$REHOST" verify "$SCRATCH/vm" web01 --at proxmox-local:tank
    expect_error VERIFY_DIFFERS 1
}
# A new logical volume holds what was there before: zeros are written, too.
test_a_volume_with_old_data() {
    node
    PVE_TYPE=lvm PVE_DIRTY=1 push
    expect_status 0
    run cmp "$SCRATCH/0.raw" "$(volume 0)"
    expect_status 0
    # Also behind the disk: the volume is larger.
    expect_equal "$(stat -c %s "$(volume 1)")" 8388608 "the volume"
    run cmp -n 5242880 "$SCRATCH/1.raw" "$(volume 1)"
    expect_status 0
    run cmp -n 3145728 -i 5242880:0 "$(volume 1)" /dev/zero
    expect_status 0
}
test_the_reader_has_no_rights() {
    need strace
    [ "$(id -u)" = 0 ] || skip_test "not root"
    node
    run "${STRACE[@]}" -e trace=setresuid,setgroups,close_range,openat,write,pwrite64,pwritev \
        "$REHOST" push web01 --to proxmox-local:tank --network-map '*=lo'
    expect_status 0
    # Who writes the volume has become nobody before, and opens nothing after.
    pid=$(grep 'setresuid(65534' trace | tail -n 1 | cut -d' ' -f1)
    expect_equal "$(awk -v p="$pid" '$1 == p && /setresuid\(65534/ { on = 1 }
        on && $1 == p && /openat\(/' trace | grep -cE 'O_WRONLY|O_RDWR')" 0 \
        "files opened by it"
    expect_equal $(($(grep -c "^$pid .*close_range" trace) > 0)) 1 "closes others"
    expect_equal $(($(grep -cE "^$pid .*pwrite(64|v)" trace) > 0)) 1 "it wrote"
}
# Neither are a result's documents taken apart with root's rights.
test_documents_are_read_without_rights() {
    need strace
    as_root
    node
    run "${STRACE[@]}" -y -e trace=setresuid,read,pread64,mmap \
        "$REHOST" push web01 --to proxmox-local:tank --network-map '*=lo'
    expect_status 0
    awk '/setresuid\(65534, 65534, 65534\) *= 0/ { less[$1] = 1 }
        /vm\.json/ { print (less[$1] ? "nobody" : "root: " $0) }' trace | sort -u >readers
    expect_equal "$(cat readers)" nobody "who reads vm.json"
    for file in vm.json receipt.json; do
        cp -r "$SCRATCH/kvm/web01" bad
        printf '{"vms": [' >bad/$file
        run "$REHOST" push bad --to proxmox-local:tank --network-map '*=lo'
        expect_error BOOT_RESULT 3
        expect_stderr "$file: it is no JSON"
        python3 -c 'print("[" * 1000 + "]" * 1000)' >bad/$file
        run "$REHOST" push bad --to proxmox-local:tank --network-map '*=lo'
        expect_error BOOT_RESULT 3
        rm -r bad
    done
}
test_checked_before() {
    node
    run "$REHOST" push web01 --to proxmox-local:none
    expect_error DELIVERY_PLACE 4
    run "$REHOST" push web01 --to 'proxmox-local:a b'
    expect_error DELIVERY_URL 2
    run "$REHOST" push web01 --to proxmox-local:tank --network-map '*=vmbr99'
    expect_error DELIVERY_NETWORK 4
    PVE_FREE=100 push
    expect_error DELIVERY_SPACE 4
    push --vmid 7
    expect_error USAGE 2
    push --dry-run
    expect_status 0
    expect_stdout 'would: .*qm create 100'
    expect_nothing_left
    PATH=/usr/bin:/bin run "$REHOST" push web01 --to proxmox-local:tank
    expect_error DELIVERY_PLACE 4
    expect_stderr 'no Proxmox VE'
}
# While a VM is made its number is nobody else's; but only who may make VMs here
# can hold one.
test_numbers_are_locked_where_only_we_write() {
    node
    mkdir -m 700 locks
    exec 8>locks/vm-100
    flock 8
    push --dry-run
    expect_status 0
    expect_stdout 'would: .*qm create 101$'
    push --dry-run --vmid 100
    expect_error DELIVERY_TAKEN 4
    exec 8>&-
    chmod 777 locks
    push
    expect_error FILE_OPEN 1
    expect_stderr 'locks: .*written to by others'
    mv locks elsewhere
    ln -s elsewhere locks
    push
    expect_error FILE_NOT_FOUND 1
    expect_stderr 'hint: .*REHOST_LOCK_DIR'
    expect_nothing_left
    as_root
    unset REHOST_LOCK_DIR
    push --dry-run
    expect_status 0
    expect_equal "$(stat -c '%a %u' /run/rehost)" "700 0" "the folder of locks"
}
test_create_that_fails() {
    node
    PVE_FAIL=1 push
    expect_error DELIVERY_FAILED 1
    expect_stderr 'told to fail'
    expect_nothing_left
}
test_a_damaged_disk() {
    node
    truncate -s 100000 web01/disk0.qcow2
    push
    expect_status 1
    expect_nothing_left
}
# The journal knows a volume before it is made.
test_killed_and_cleaned() {
    node
    PVE_KILL=1 push
    expect_status 137
    expect_equal "$(ls pve/volumes | wc -l)" 1 "volumes left"
    run "$REHOST" push web01 --to proxmox-local:tank --clean --start
    expect_error USAGE 2
    expect_stderr 'clean takes no --start'
    push_clean
    expect_status 0
    expect_nothing_left
}
push_clean() {
    run timeout 60 "$REHOST" push web01 --to proxmox-local:tank --clean
}
# While the node cannot say whose a volume is, it stays, and so does the journal.
test_a_node_that_does_not_answer() {
    node
    PVE_KILL=1 push
    PVE_BROKEN=1 push_clean
    expect_error DELIVERY_FAILED 1
    expect_stderr 'no quorum'
    expect_equal "$(ls pve/volumes | wc -l)" 1 "volumes left"
    push_clean
    expect_status 0
    expect_nothing_left
}
# A journal from elsewhere, or one whose volume has become another guest's.
test_cleaning_leaves_others_alone() {
    node
    touch pve/volumes/vm-100-disk-0 pve/volumes/vm-100-disk-0-0a1b2c3d
    echo "scsi0: tank:vm-100-disk-0-0a1b2c3d" >pve/conf/100
    mkdir web01/.push
    printf '{"kind":"volume","id":"%s"}\n' tank:vm-100-disk-0 \
        tank:vm-100-disk-0-0a1b2c3d -x:vm-1 \
        >"web01/.push/$(printf %s proxmox-local:tank | sha256sum | cut -c1-16).jsonl"
    push_clean
    expect_status 0
    expect_equal "$(ls pve/volumes | wc -l)" 2 "volumes"
    expect_empty web01/.push
}

# --- convert --out: one pass, by two processes

as_root() {
    [ "$(id -u)" = 0 ] || skip_test "not root"
}
convert() {
    export XDG_STATE_HOME=$PWD/state
    run timeout 60 "$REHOST" convert "$SCRATCH/vm" --to kvm \
        --out proxmox-local:tank --no-guest-fix --network-map '*=lo' "$@"
}
expect_no_volumes() {
    expect_empty pve/volumes
    expect_empty pve/conf
    expect_empty state/rehost
}
test_a_vm_is_converted_in_one_pass() {
    node
    convert --start --wait-address 5
    expect_status 0
    expect_stdout '^delivered: web01 as 100 at proxmox-local:tank, address 10.0.0.5$'
    for i in 0 1; do
        run cmp "$SCRATCH/$i.raw" "$(volume $i)"
        expect_status 0
        expect_equal $(($(stat -c %b "$(volume $i)") * 512 <= \
            $(stat -c %b "$SCRATCH/$i.raw") * 512 + 1048576)) 1 "sparse"
    done
    run grep -E '^(scsi0|net0|efidisk0|description)' pve/conf/100
    expect_stdout '^scsi0: tank:vm-100-disk-0-[0-9a-f]{8},discard=on,iothread=1$'
    expect_stdout '^net0: virtio=00:50:56:AA:BB:00,bridge=lo,firewall=1$'
    expect_stdout '^efidisk0: tank:1,efitype=4m'
    expect_stdout '^description: .*rehost receipt sha256:[0-9a-f]{64}'
    expect_file pve/running
    expect_empty state/rehost
}
test_converted_into_a_volume_with_old_data() {
    node
    PVE_TYPE=lvm PVE_DIRTY=1 convert
    expect_status 0
    run cmp "$SCRATCH/0.raw" "$(volume 0)"
    expect_status 0
    run cmp -n 5242880 "$SCRATCH/1.raw" "$(volume 1)"
    expect_status 0
    run cmp -n 3145728 -i 5242880:0 "$(volume 1)" /dev/zero
    expect_status 0
}
# Whoever opens the source has become nobody, and may not become anybody again;
# the other opens nothing of it.
test_the_converter_has_no_rights() {
    need strace
    as_root
    node
    run "${STRACE[@]}" -e trace=setresuid,prctl,openat,open,execve \
        "$REHOST" convert "$SCRATCH/vm" --to kvm --out proxmox-local:tank \
        --network-map '*=lo' --no-guest-fix
    expect_status 0
    pid=$(grep -m 1 'setresuid(65534, 65534, 65534) *= 0' trace | cut -d' ' -f1)
    expect_equal $(($(grep -c "^$pid .*PR_SET_NO_NEW_PRIVS, 1.* = 0" trace) > 0)) \
        1 "no new rights"
    grep "$SCRATCH/vm" trace | grep open | cut -d' ' -f1 | sort -u >readers
    awk -v p="$pid" '$1 == p && /setresuid\(65534/ { on = 1 } on && $1 == p' \
        trace | grep -c "$SCRATCH/vm" >after
    expect_equal "$(cat readers)" "$pid" "who opens the source"
    expect_equal $(($(cat after) > 0)) 1 "opened after"
    # Neither does it run the node's programs, nor open a volume.
    expect_equal "$(grep "^$pid " trace | grep -cE 'execve.*(pvesm|qm)"')" 0 "programs"
    expect_equal "$(grep "^$pid " trace | grep -c 'pve/volumes')" 0 "volumes"
}
test_a_source_that_only_root_can_read() {
    as_root
    node
    cp -r "$SCRATCH/vm" own
    chmod 700 own
    export XDG_STATE_HOME=$PWD/state
    run "$REHOST" convert own --to kvm --out proxmox-local:tank
    expect_error USAGE 2
    expect_stderr 'run-as'
    run "$REHOST" convert own --to kvm --out proxmox-local:tank --run-as root
    expect_error USAGE 2
    run "$REHOST" convert own --to kvm --out proxmox-local:tank --run-as no-such
    expect_error USAGE 2
    chown -R daemon own
    run "$REHOST" convert own --to kvm --out proxmox-local:tank --run-as daemon \
        --network-map '*=lo' --no-guest-fix
    expect_status 0
    run "$REHOST" convert own --to kvm --out x --run-as daemon
    expect_error PLAN_OPTION 2
    expect_empty state/rehost
}
test_converted_and_checked_before() {
    node
    run "$REHOST" convert "$SCRATCH/vm" --to kvm --out proxmox-local:none
    expect_error DELIVERY_PLACE 4
    run "$REHOST" convert "$SCRATCH/vm" --to kvm --out 'proxmox-local:a b'
    expect_error DELIVERY_URL 2
    run "$REHOST" convert "$SCRATCH/vm" --to kvm --out proxmox-local:tank --no-guest-fix \
        --network-map '*=vmbr99' --network-map '*=vmbr99'
    expect_error PLAN_BLOCKED 4
    PVE_TYPE=lvm PVE_FREE=100 convert
    expect_error PLAN_BLOCKED 4
    expect_stderr 'bytes short'
    convert --vmid 7
    expect_error TARGET_OPTION 2
    convert --format qcow2
    expect_error PLAN_OPTION 2
    touch pve/conf/100
    convert --vmid 100
    expect_error PLAN_BLOCKED 4
    expect_stderr '100 is there already'
    rm pve/conf/100
    expect_no_volumes
}
test_a_conversion_whose_create_fails() {
    node
    PVE_FAIL=1 convert
    expect_error DELIVERY_FAILED 1
    expect_stderr 'told to fail'
    expect_no_volumes
}
# The one that converts is killed: the other one takes everything away.
test_a_converter_that_is_killed() {
    node
    convert_slowly KILL
    expect_status 1
    expect_stderr 'was killed'
    expect_no_volumes
}
# A pipe that never ends keeps the conversion at its first disk.
convert_slowly() { # SIGNAL [broker]
    local pid child n=0
    export XDG_STATE_HOME=$PWD/state
    mkfifo pipe.img
    chmod a+r pipe.img
    exec 9<>pipe.img
    head -c 1048576 /dev/zero >&9 &
    printf '#!/bin/sh\nwhile [ -e "%s/wait" ]; do sleep 0.1; done\nexec %s "$@"\n' \
        "$PWD" "$SCRATCH/bin/pvesm" >slow
    mkdir slowbin
    cat >slowbin/pvesm <<SH
#!/bin/bash
"$SCRATCH/bin/pvesm" "\$@" || exit
[ "\$1" != path ] || while [ -e "$PWD/wait" ]; do sleep 0.1; done
SH
    chmod +x slowbin/pvesm
    touch wait
    PATH=$PWD/slowbin:$PATH timeout 60 "$REHOST" convert "$SCRATCH/vm" --to kvm \
        --out proxmox-local:tank --no-guest-fix --network-map '*=lo' \
        >.stdout 2>.stderr </dev/null &
    pid=$!
    while [ -z "$(ls pve/volumes)" ] && [ $n -lt 200 ]; do
        sleep 0.05
        n=$((n + 1))
    done
    broker=$(pgrep -P $pid)
    child=$(pgrep -P "$broker" rehost)
    [ "${2-}" = broker ] && child=$broker
    kill -"$1" "$child"
    [ "${2-}" != broker ] || sleep 0.5
    rm wait
    wait $pid
    status=$?
    exec 9>&-
    ran="convert, signal $1"
    stderr=$(cat .stderr)
}
test_a_conversion_that_is_interrupted() {
    node
    convert_slowly INT
    expect_status 130
    expect_no_volumes
}
test_a_signal_to_the_first_process() {
    node
    convert_slowly TERM broker
    expect_status 130
    expect_no_volumes
}
# The one with the rights is killed: its journal knows what it left.
test_both_killed_and_cleaned() {
    node
    export XDG_STATE_HOME=$PWD/state
    touch pve/volumes/vm-100-disk-0-0a1b2c3d # another's
    PVE_KILL=1 convert
    expect_status 137
    expect_equal "$(ls pve/volumes | wc -l)" 2 "volumes left"
    expect_equal "$(ls state/rehost | wc -l)" 1 "journal"
    run timeout 60 "$REHOST" push --to proxmox-local:tank --clean
    expect_status 0
    expect_stdout '^cleaned: proxmox-local:tank \(1 things'
    expect_equal "$(ls pve/volumes)" vm-100-disk-0-0a1b2c3d "volumes"
    expect_empty state/rehost
    # Or the next run does.
    rm pve/volumes/*
    PVE_KILL=1 convert
    expect_equal "$(ls pve/volumes | wc -l)" 1 "volumes left"
    convert
    expect_status 0
    expect_stderr 'an earlier run was interrupted'
    expect_equal "$(ls pve/volumes | wc -l)" 2 "volumes"
}
test_what_lvm_must_leave_alone() {
    node
    export XDG_STATE_HOME=$PWD/state
    lvm() { # TYPE SETTINGS
        printf '%s\n' "$2" >pve/lvm
        PVE_TYPE=$1 run timeout 60 "$REHOST" push web01 --to proxmox-local:tank \
            --network-map '*=lo' --dry-run
        expect_status 0
    }
    lvm zfspool 'scan_lvs=0
global_filter=["a|.*|"]'
    expect_stdout 'caution: .*global_filter=\["r\|/dev/zd\.\*\|"\].*lvm.conf'
    lvm zfspool 'scan_lvs=0
global_filter=["r|/dev/zd.*|","r|/dev/rbd.*|"]'
    expect_stdout 'good: .*LVM does not look into'
    lvm zfspool 'global_filter=["a|/dev/zd|","r|/dev/zd.*|"]'
    expect_stdout 'caution: .*global_filter'
    lvm zfspool 'global_filter=["a|/dev/z{1}+++++++++|","r|/dev/zd.*|"]' # not understood
    expect_stdout 'caution: .*global_filter'
    lvm rbd 'global_filter=["r|/dev/zd.*|"]'
    expect_stdout 'caution: .*r\|/dev/rbd'
    lvm lvmthin 'scan_lvs=1'
    expect_stdout 'caution: .*scan_lvs=0'
    lvm lvmthin 'scan_lvs=0'
    expect_stdout 'good: .*LVM does not look into'
    lvm dir 'scan_lvs=1'
    expect_no_stdout 'LVM'
    printf 'global_filter=["a|.*|"]\n' >pve/lvm
    convert
    expect_status 0
    run "$REHOST" report "$SCRATCH/vm" --to kvm --target proxmox-local:tank --json
    expect_json '[.vms[0].targets[0].findings[] | select(.message | test("zd")) | .id] | join(" ")' \
        DELIVERY-NOTE
}
# Each VM of a batch is converted by a process, and so a pair, of its own.
test_a_batch_delivers_to_the_node() {
    node
    export XDG_STATE_HOME=$PWD/state
    cp -r "$SCRATCH/vm" vm2
    cat >jobs.yaml <<YAML
schema: rehost.jobs/1
out: results
jobs: 2
defaults: {to: kvm, no-guest-fix: true, network-map: {"*": lo}, deliver: "proxmox-local:tank"}
vms:
  - {source: $SCRATCH/vm, name: one}
  - {source: vm2, name: two}
YAML
    run timeout 100 "$REHOST" batch run jobs.yaml --progress none
    expect_status 0
    expect_equal "$(ls pve/conf | tr '\n' ' ')" "100 101 " "VMs"
    expect_equal "$(ls pve/volumes | wc -l)" 4 "volumes"
    run "$REHOST" batch status jobs.yaml --json
    expect_json '[.vms[].state] | join(" ")' "done done"
}
# Neither does a batch's root read a source, to plan it.
test_a_batch_reads_without_rights() {
    need strace
    as_root
    node
    export XDG_STATE_HOME=$PWD/state
    cp -r "$SCRATCH/vm" own
    chown -R daemon own
    chmod 700 own
    cat >jobs.yaml <<YAML
schema: rehost.jobs/1
out: results
defaults: {to: kvm, no-guest-fix: true, network-map: {"*": lo}, deliver: "proxmox-local:tank", run-as: daemon}
vms:
  - {source: own, name: one}
YAML
    run "${STRACE[@]}" -e trace=setresuid,openat,open \
        "$REHOST" batch run jobs.yaml --progress none
    expect_status 0
    expect_equal "$(ls pve/conf)" 100 "VMs"
    # The batch itself takes samples for its key, by another way of opening.
    awk '/setresuid\(1, 1, 1\) *= 0/ { less[$1] = 1 }
        /open.*(vm.ovf|disk[01].vmdk).*O_NOCTTY/ { print (less[$1] ? "daemon" : "root: " $0) }' \
        trace | sort -u >readers
    expect_equal "$(cat readers)" daemon "who opens the source"
}
# --- one that has been taken over

# WHAT: the converting process does it (broker_calls.c).
attack() {
    local san=
    case ${REHOST_SAN-} in
    asan) san=-fsanitize=address,undefined ;;
    tsan) san=-fsanitize=thread ;;
    esac
    export XDG_STATE_HOME=$PWD/state
    # shellcheck disable=SC2086
    [ -e "$SCRATCH/broker_calls" ] ||
        "${CC:-cc}" -std=c17 -D_GNU_SOURCE $san -I"$TOP/include" \
            -o "$SCRATCH/broker_calls" "$TOP/tests/broker_calls.c" -L"$BUILD" \
            -lrehost -Wl,-rpath,"$BUILD" || fail "no broker_calls"
    run timeout 30 "$SCRATCH/broker_calls" proxmox-local:tank "$1"
}
# Behind a switch, `qm` would take it for an option of its own.
test_a_setting_that_is_an_option() {
    node
    attack switch
    expect_status 0
    expect_stdout '^alloc: ok$'
    expect_no_stdout '^(create|keep|start): ok$'
    expect_no_volumes
    [ ! -e pve/running ] || fail "started"
    # Nor from a result that is pushed.
    echo 'onboot: --args=-device vfio-pci' >>web01/proxmox.conf
    push
    expect_error DELIVERY_RESULT 3
    expect_stderr 'reaches into the host'
    expect_nothing_left
}
# What did not come to be is not kept, and no VM of others is started.
test_a_vm_that_was_not_made_is_not_kept() {
    node
    PVE_FAIL=1 attack keep
    expect_stdout '^alloc: ok$'
    expect_no_stdout '^(create|keep|start): ok$'
    expect_no_volumes
    [ ! -e pve/running ] || fail "started"
}
# Of volumes that lie there before their VM it has those of its own job.
test_volumes_of_others_are_not_handed_out() {
    node
    echo theirs >pve/volumes/vm-105-disk-0-0a1b2c3d
    attack staged
    expect_status 0
    expect_equal "$(sed -n '1,/^then$/p' .stdout | grep -c ': ok$')" 0 "calls before"
    expect_equal "$(sed '1,/^then$/d' .stdout | sed -n '/: ok$/p')" \
        "$(printf 'stage-open: ok\nstage-use: ok\nstage-drop: ok\nstage-drop: ok')" "calls that passed"
    run ls pve/volumes
    expect_stdout '^vm-105-disk-0-0a1b2c3d$'
    expect_equal "$(cat pve/volumes/*)" theirs
    expect_empty locks
}
# A message that brings its own sender's end would never let it end.
test_descriptors_are_not_taken() {
    node
    attack fds
    expect_status 0
    expect_stdout '^ended: 0$'
    expect_empty state/rehost
}
# It shares root's terminal, but does not type there.
test_nothing_is_typed() {
    node
    attack terminal # builds it
    python3 -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)' \
        timeout --foreground 30 "$SCRATCH/broker_calls" proxmox-local:tank terminal \
        >typed </dev/null
    expect_equal "$(grep -ao 'typed: [a-z]*' typed)" "typed: no" "at a terminal"
}
# The source's two VMs a and b; the batch is interrupted while b is written.
test_what_an_interrupted_batch_has_delivered_is_not_made_again() {
    local pid n=0 name
    node
    export XDG_STATE_HOME=$PWD/state
    mkdir in slowbin
    for name in a b; do
        make_disk $name.raw 4194304 $name
        python3 "$TOP/tests/guests/mkova.py" --name $name in/$name.ova $name.raw >/dev/null
    done
    chmod -R a+rX in
    cat >slowbin/pvesm <<SH
#!/bin/bash
"$SCRATCH/bin/pvesm" "\$@" || exit
[ "\$1" = path ] && [ -n "\$(ls "$PWD/pve/conf")" ] || exit 0
touch "$PWD/second"
while [ -e "$PWD/wait" ]; do sleep 0.1; done
SH
    chmod +x slowbin/pvesm
    cat >jobs.yaml <<YAML
schema: rehost.jobs/1
out: results
defaults: {to: kvm, no-guest-fix: true, network-map: {"*": lo}, deliver: "proxmox-local:tank"}
vms:
  - {source: in/two.ovf, name: both}
YAML
    two_in_one in
    touch wait
    PATH=$PWD/slowbin:$PATH timeout 60 "$REHOST" batch run jobs.yaml \
        --progress none >.stdout 2>.stderr </dev/null &
    pid=$!
    while [ ! -e second ] && [ $n -lt 400 ]; do
        sleep 0.05
        n=$((n + 1))
    done
    kill -INT "$(pgrep -P $pid)"
    sleep 0.5
    rm wait
    wait $pid
    status=$? ran="batch run, interrupted" stderr=$(cat .stderr)
    expect_status 130
    expect_equal "$(cat pve/conf/* | grep ^name)" "name: a" "VMs"
    run timeout 60 "$REHOST" batch run jobs.yaml --progress none
    expect_status 0
    expect_equal "$(cat pve/conf/* | grep ^name | sort)" "name: a
name: b" "VMs"
}
# --- verify by the source and a receipt alone

verify_there() { # [OPTION...]
    run timeout 60 "$REHOST" verify ../g.ova --receipt g.json --at proxmox-local:tank "$@"
}
# A guest in which files are changed, delivered with nothing kept here.
test_what_a_conversion_delivered_is_verified() {
    need mke2fs sfdisk debugfs
    node
    export XDG_STATE_HOME=$PWD/state
    if [ ! -e ../g.ova ]; then
        python3 "$TOP/tests/guestfix/mkguest.py" --with /dev/null debian ../g.raw &&
            python3 "$TOP/tests/guests/mkova.py" --mac 00:50:56:8a:12:34 --name g \
                ../g.ova ../g.raw >/dev/null || fail mkguest
    fi
    mkdir keep
    [ "$(id -u)" != 0 ] || chown nobody keep
    run timeout 100 "$REHOST" convert ../g.ova --to kvm --out proxmox-local:tank \
        --network-map '*=lo' --receipt keep/g.json
    expect_status 0
    mv keep/g.json .
    expect_schema g.json rehost.receipt-1.json
    expect_json '.delivery[0].url' proxmox-local:tank g.json
    verify_there
    expect_status 0
    expect_stdout '^disk 0 there: as the source, but for [1-9][0-9]* bytes of the guest.s edits; content digest'
    expect_stdout "^verified; the VM's configuration there was not compared"
    verify_there --json
    expect_json .verified true
    # A byte where nothing was to be changed, one within an edit, one behind.
    at=$(jq '.disks[0].changed[0][0]' g.json)
    swap() { # OFFSET
        printf x | dd of="$(volume 0)" bs=1 seek="$1" conv=notrunc status=none
    }
    cp "$(volume 0)" good
    swap $((at - 1))
    verify_there
    expect_error VERIFY_DIFFERS 1
    expect_stderr "$(printf '0x%x' $((at - 1))), where nothing was to be changed"
    cp good "$(volume 0)"
    swap "$at"
    verify_there
    expect_error VERIFY_DIFFERS 1
    expect_stderr 'is not what was sent'
    cp good "$(volume 0)"
    # Another source, another receipt, no delivery there.
    run "$REHOST" verify "$SCRATCH/vm" --receipt g.json --at proxmox-local:tank
    expect_error VERIFY_DIFFERS 1
    run "$REHOST" verify ../g.ova --receipt g.json --at proxmox-local:other
    expect_error VERIFY_RECEIPT 3
    sed 's/"changed": \[/"changed": [ /' g.json >bad.json
    run "$REHOST" verify ../g.ova --receipt bad.json --at proxmox-local:tank
    expect_error VERIFY_RECEIPT 3
    run "$REHOST" verify ../g.ova --receipt g.json
    expect_error USAGE 2
    run "$REHOST" verify ../g.ova proxmox-local://tank
    expect_error USAGE 2
    expect_stderr 'changed in the guest'
}
# What came behind its end since was not sent.
test_a_source_that_has_grown_is_another() {
    node
    export XDG_STATE_HOME=$PWD/state
    head -c 1048576 /dev/urandom >d.img
    chmod a+r d.img
    mkdir keep
    [ "$(id -u)" != 0 ] || chown nobody keep
    run timeout 60 "$REHOST" convert d.img --to kvm --out proxmox-local:tank \
        --no-guest-fix --set memory=1GiB --receipt keep/r.json
    expect_status 0
    run "$REHOST" verify d.img --receipt keep/r.json --at proxmox-local:tank
    expect_status 0
    head -c 1048576 /dev/urandom >>d.img
    run "$REHOST" verify d.img --receipt keep/r.json --at proxmox-local:tank
    expect_error VERIFY_DIFFERS 1
    expect_stderr 'larger than what was sent'
}
test_a_receipt_is_for_a_server() {
    node
    touch there.json
    convert --receipt there.json
    expect_error FILE_EXISTS 1
    run "$REHOST" convert "$SCRATCH/vm" --to kvm --out out --receipt r.json
    expect_error PLAN_OPTION 2
    expect_no_volumes
}
run_tests
