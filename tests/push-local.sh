#!/bin/bash
# rehost push --to proxmox-local:STORAGE, with stubs of pvesm, qm and pvesh that
# keep volumes as files.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-vm.sh"

cd "$SCRATCH" || exit 1
make_vm web01 nics=2 "disks=8388608 5242880" firmware=uefi >/dev/null
"$REHOST" convert vm --to kvm --out kvm --no-guest-fix >/dev/null || exit 1
mkdir bin
cat >bin/pvesm <<'SH'
#!/bin/bash
# status --storage S | alloc S VMID '' KIB --format raw | path V | list S | free V
set -eu
echo "pvesm $*" >>"$PVE/log"
case $1 in
status)
    [ "$3" = tank ] || { echo "storage '$3' does not exist" >&2; exit 2; }
    echo "Name Type Status Total Used Available %"
    echo "tank ${PVE_TYPE-zfspool} active 1000000 0 ${PVE_FREE-1000000} 0.00%" ;;
alloc)
    [[ $4 = vm-$3-* ]] || { echo "illegal name '$4' - should be 'vm-$3-*'" >&2; exit 255; }
    [ ! -e "$PVE/volumes/$4" ] || { echo "$4 is there" >&2; exit 255; }
    # A thick storage rounds up.
    size=$((($5 * 1024 + 4194303) / 4194304 * 4194304))
    [ -n "${PVE_DIRTY-}" ] || size=$(($5 * 1024))
    truncate -s $size "$PVE/volumes/$4"
    [ -z "${PVE_DIRTY-}" ] || head -c $size /dev/urandom >"$PVE/volumes/$4"
    chmod 600 "$PVE/volumes/$4"
    [ -z "${PVE_KILL-}" ] || kill -9 $PPID
    echo "successfully created '$2:$4'" ;;
path) echo "$PVE/volumes/${2#*:}" ;;
list)
    echo "Volid Format Type Size VMID"
    for f in "$PVE"/volumes/*; do
        [ ! -e "$f" ] || echo "tank:${f##*/} raw images 1 100"
    done ;;
free) rm "$PVE/volumes/${2#*:}" ;;
esac
SH
cat >bin/qm <<'SH'
#!/bin/bash
set -eu
echo "qm $1 $2" >>"$PVE/log"
case $1 in
status | config)
    [ -z "${PVE_BROKEN-}" ] || { echo "cluster not ready - no quorum?" >&2; exit 2; }
    [ -e "$PVE/conf/$2" ] || {
        echo "Configuration file 'nodes/pve/qemu-server/$2.conf' does not exist" >&2
        exit 2
    }
    cat "$PVE/conf/$2" ;;
create)
    [ -z "${PVE_FAIL-}" ] || { echo "unable to create VM $2 - told to fail" >&2; exit 255; }
    id=$2
    shift 2
    while [ $# -gt 0 ]; do
        echo "${1#--}: $2"
        shift 2
    done >"$PVE/conf/$id" ;;
destroy) rm "$PVE/conf/$2" "$PVE"/volumes/vm-"$2"-* ;;
start) echo running >"$PVE/running" ;;
guest) echo '[{"name":"eth0","ip-addresses":[{"ip-address":"10.0.0.5"}]}]' ;;
esac
SH
printf '#!/bin/sh\nn=100\nwhile [ -e "$PVE/conf/$n" ]; do n=$((n + 1)); done\necho $n\n' >bin/pvesh
chmod +x bin/*

node() {
    export PVE=$PWD/pve PATH=$SCRATCH/bin:$PATH
    mkdir -p pve/volumes pve/conf
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
    pid=$(grep -m 1 'setresuid(65534' trace | cut -d' ' -f1)
    expect_equal "$(awk -v p="$pid" '$1 == p && /setresuid\(65534/ { on = 1 }
        on && $1 == p && /openat\(/' trace | grep -cE 'O_WRONLY|O_RDWR')" 0 \
        "files opened by it"
    expect_equal $(($(grep -c "^$pid .*close_range" trace) > 0)) 1 "closes others"
    expect_equal $(($(grep -cE "^$pid .*pwrite(64|v)" trace) > 0)) 1 "it wrote"
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
    # A folder of that name is not what was meant.
    run "$REHOST" convert "$SCRATCH/vm" --to kvm --out proxmox-local:tank
    expect_error DELIVERY_URL 2
    PATH=/usr/bin:/bin run "$REHOST" push web01 --to proxmox-local:tank
    expect_error DELIVERY_PLACE 4
    expect_stderr 'no Proxmox VE'
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
run_tests
