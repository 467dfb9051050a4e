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
    n=$(ls "$PVE/volumes" | wc -l)
    truncate -s "$(($5 * 1024))" "$PVE/volumes/vm-$3-disk-$n"
    [ -z "${PVE_DIRTY-}" ] ||
        head -c "$(($5 * 1024))" /dev/urandom >"$PVE/volumes/vm-$3-disk-$n"
    chmod 600 "$PVE/volumes/vm-$3-disk-$n"
    echo "successfully created '$2:vm-$3-disk-$n'" ;;
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
    [ -e "$PVE/conf/$2" ] || { echo "no VM $2" >&2; exit 2; }
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
expect_nothing_left() {
    expect_empty pve/volumes
    expect_empty pve/conf
    expect_empty web01/.push
}
test_a_vm_arrives_whole() {
    node
    push --json --start
    expect_status 0
    expect_schema .stdout rehost.delivery-1.json
    expect_json '.vms[0].id' 100
    for i in 0 1; do
        run cmp "$SCRATCH/$i.raw" "pve/volumes/vm-100-disk-$i"
        expect_status 0
        # Zeros were not written.
        expect_equal $(($(stat -c %b "pve/volumes/vm-100-disk-$i") * 512 <= \
            $(stat -c %b "$SCRATCH/$i.raw") * 512 + 1048576)) 1 "sparse"
    done
    run grep -E '^(scsi0|net0|efidisk0|memory)' pve/conf/100
    expect_stdout '^scsi0: tank:vm-100-disk-0,discard=on,iothread=1$'
    expect_stdout '^net0: virtio=00:50:56:AA:BB:00,firewall=1,bridge=lo$'
    expect_stdout '^efidisk0: tank:1,efitype=4m'
    expect_file pve/running
    expect_schema web01/receipt.json rehost.receipt-1.json
    expect_json '.delivery[0].id' 100 web01/receipt.json
}
# A new logical volume holds what was there before: zeros are written, too.
test_a_volume_with_old_data() {
    node
    PVE_TYPE=lvm PVE_DIRTY=1 push
    expect_status 0
    run cmp "$SCRATCH/0.raw" pve/volumes/vm-100-disk-0
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
    run "$REHOST" convert "$SCRATCH/vm" --to kvm --out libvirt:qemu:///system
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
test_killed_and_cleaned() {
    node
    mkdir web01/.push
    "$SCRATCH/bin/pvesm" alloc tank 100 '' 1024 --format raw >/dev/null
    printf '{"kind":"volume","id":"tank:vm-100-disk-0"}\n' \
        >"web01/.push/$(printf %s proxmox-local:tank | sha256sum | cut -c1-16).jsonl"
    push --clean
    expect_status 0
    expect_nothing_left
}
run_tests
