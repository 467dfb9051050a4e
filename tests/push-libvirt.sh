#!/bin/bash
# rehost push and convert --out to a host with libvirt: a real libvirtd of an
# ordinary user, with pools, networks and QEMU of its own.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-vm.sh"

"$REHOST" --version | grep -q '^libvirt: *yes' ||
    { skip push-libvirt "built without libvirt"; finish; exit; }
for tool in libvirtd virsh qemu-img; do
    command -v $tool >/dev/null ||
        { skip push-libvirt "$tool is not installed"; finish; exit; }
done
cd "$SCRATCH" || exit 1
chmod 755 .
make_vm web01 nics=2 "disks=8388608 5242880" >/dev/null
"$REHOST" convert vm --to kvm --out kvm --no-guest-fix >/dev/null || exit 1

# A session's daemon, as nobody where we are root: root's would be the system's.
mkdir host
host=$SCRATCH/host
as_user=()
[ "$(id -u)" != 0 ] || {
    chown nobody host
    as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
}
"${as_user[@]}" env HOME="$host" XDG_RUNTIME_DIR="$host/run" \
    XDG_CONFIG_HOME="$host/config" XDG_CACHE_HOME="$host/cache" \
    XDG_DATA_HOME="$host/data" bash -c \
    'cd; mkdir -p run config cache data pool; exec libvirtd --timeout 300' \
    >libvirtd.log 2>&1 &
DAEMON=$!
trap 'kill $DAEMON 2>/dev/null; cd /; rm -rf "$SCRATCH"' EXIT
socket=$host/run/libvirt/libvirt-sock
URI="qemu+unix:///session?socket=$socket"
V() {
    virsh -q -c "$URI" "$@"
}
for _ in $(seq 100); do
    [ ! -S "$socket" ] || ! V list >/dev/null 2>&1 || break
    sleep 0.1
done
V pool-create-as images dir --target "$host/pool" >/dev/null 2>libvirt.err ||
    { skip push-libvirt "libvirtd does not run here: $(tail -1 libvirt.err)"; finish; exit; }
echo "<network><name>lan</name><forward mode='bridge'/><bridge name='br77'/></network>" >lan.xml
V net-define lan.xml >/dev/null && V net-start lan >/dev/null

host() { # the result, and the host as it was
    cp -r "$SCRATCH/kvm/web01" web01
    cp -r "$SCRATCH/vm" vm
    export XDG_STATE_HOME=$PWD/kept
    URL="libvirt:$URI#images"
    for vm in $(V list --all --name); do
        V destroy "$vm" >/dev/null 2>&1
        V undefine "$vm" >/dev/null
    done
    rm -f "$host"/pool/*
    V pool-refresh images >/dev/null
}
push() {
    run timeout 100 "$REHOST" push web01 --to "$URL" --network-map '*=lan' "$@"
}
convert_to() {
    run timeout 100 "$REHOST" convert vm --to kvm --out "$URL" --no-guest-fix \
        --network-map '*=lan' "$@"
    expect_empty kept/rehost
}
expect_nothing_left() {
    expect_equal "$(V list --all --name)" "" "VMs left"
    expect_empty "$host/pool"
    expect_empty web01/.push
}
# The disks of a VM there, in order.
disks_of() {
    V domblklist --details "$1" | awk '$2 == "disk" { print $4 }'
}
expect_disks() { # VM FORMAT
    local i=0 disk
    for disk in $(disks_of "$1"); do
        expect_same_disk "$SCRATCH/$i.raw" "$disk" raw "$2"
        i=$((i + 1))
    done
    expect_equal $i 2 disks
}

test_a_vm_arrives_whole() {
    host
    push --json
    expect_status 0
    expect_schema .stdout rehost.delivery-1.json
    expect_json '.vms[0].nics | map(.mac + " " + .network) | join(" ")' \
        "00:50:56:aa:bb:00 lan 00:50:56:aa:bb:01 lan"
    expect_equal "$(V domuuid web01)" "$(jq -r '.vms[0].uuid' .stdout)" UUID
    expect_disks web01 qcow2
    for disk in $(disks_of web01); do
        expect_sound_qcow2 "$disk"
    done
    # The pool knows what they are.
    run V vol-dumpxml --pool images "$(basename "$disk")"
    expect_stdout "<format type='qcow2'/>"
    expect_empty web01/.push
    expect_schema web01/receipt.json rehost.receipt-1.json
    # A second one is refused before its first byte.
    push
    expect_error DELIVERY_TAKEN 4
    push --name shop
    expect_error DELIVERY_TAKEN 4
    expect_stderr 'UUID'
    expect_equal "$(ls "$host/pool" | wc -l)" 2 volumes
}
test_started() {
    host
    run timeout 100 "$REHOST" push web01 --to "$URL" --start
    expect_status 0
    expect_stdout "^delivered: web01 as [0-9a-f-]{36} at libvirt:"
    expect_equal "$(V domstate web01)" running state
    # Where it cannot start it stays: nobody may make bridges here.
    V destroy web01 >/dev/null
    V undefine web01 >/dev/null
    push --start
    [ "$status" != 0 ] || return 0
    expect_error DELIVERY_FAILED 1
    expect_stderr 'was delivered as .*, but: starting: libvirt says'
    expect_stderr 'hint: .*stays'
    expect_equal "$(V domstate web01)" "shut off" state
}
test_what_stands_there_is_verified() {
    host
    push
    expect_status 0
    run timeout 100 "$REHOST" verify vm web01 --at "$URL"
    expect_status 0
    expect_stdout '^disk 1 there: content digest as in the receipt$'
    qemu-io -f qcow2 -c 'write -P 7 2M 4k' "$(disks_of web01 | tail -1)" >/dev/null
    run timeout 100 "$REHOST" verify vm web01 --at "$URL"
    expect_error VERIFY_DIFFERS 1
    expect_stderr 'disk 1 there is not what was sent'
}
test_one_pass() {
    host
    TMPDIR=/nonexistent convert_to
    expect_status 0
    expect_stdout "^delivered: web01 as [0-9a-f-]{36} at libvirt:"
    expect_disks web01 qcow2
    for disk in $(disks_of web01); do
        expect_sound_qcow2 "$disk"
    done
    V undefine web01 >/dev/null
    convert_to --format raw
    expect_status 0
    expect_disks web01 raw
    # Holes stay holes.
    disk=$(disks_of web01 | head -1)
    expect_equal $(($(stat -c %b "$disk") * 512 < 2000000)) 1 "sparse"
}
# What comes through a pipe is kept until it can be sent in order.
test_one_pass_from_a_pipe() {
    host
    (cd vm && tar cf ../vm.ova vm.ovf disk0.vmdk disk1.vmdk)
    run bash -c 'cat vm.ova | timeout 100 "$1" convert - --to kvm --out "$2" \
        --no-guest-fix --network-map "*=lan"' - "$REHOST" "$URL"
    expect_status 0
    expect_disks "$(V list --all --name | head -1)" qcow2
}
test_checked_before_the_first_byte() {
    host
    push --dry-run --json
    expect_status 0
    expect_schema .stdout rehost.delivery-1.json
    URL="libvirt:$URI#none" push
    expect_error DELIVERY_PLACE 4
    expect_stderr 'there are: images'
    run timeout 100 "$REHOST" push web01 --to "$URL" --network-map '*=nowhere' \
        --network-map 'VM Network=br78'
    expect_error DELIVERY_NETWORK 4
    expect_stderr 'networks there: lan'
    URL=libvirt: push
    expect_error DELIVERY_URL 2
    URL=libvirt:qemu+ssh://root:secret@nowhere/system push
    expect_error HTTP_USERINFO 2
    URL=libvirt:qemu+unix:///session?socket=/nowhere push
    expect_status 1
    expect_stderr 'virsh -c'
    push --login file
    expect_status 2
    push --vmid 100
    expect_error USAGE 2
    push --network-map 'VM Network=lan,tag=7'
    expect_error USAGE 2
    convert_to --network-map 'VM Network=br78'
    expect_error PLAN_BLOCKED 4
    expect_stderr 'DELIVERY-NETWORK'
    convert_to --compress zstd
    expect_error PLAN_OPTION 2
    expect_nothing_left
}
# A result from elsewhere must not reach into the host.
test_a_hostile_result() {
    host
    local n=0 text
    while IFS= read -r text; do
        n=$((n + 1))
        sed "s|</devices>|$text</devices>|" "$SCRATCH/kvm/web01/libvirt.xml" >web01/libvirt.xml
        push
        expect_error DELIVERY_RESULT 3
        expect_stderr 'reaches into the host|disagree'
    done <<'XML'
<hostdev mode='subsystem' type='pci'/>
<filesystem type='mount'><source dir='/'/><target dir='x'/></filesystem>
<emulator>/bin/sh</emulator>
<disk type='block' device='disk'><source dev='/dev/sda'/><target dev='vdz'/></disk>
<disk type='file' device='cdrom'><source file='/etc/shadow'/><target dev='sdz'/></disk>
<disk type='file' device='disk'><source file='/etc/shadow'/><target dev='vdz'/></disk>
<serial type='file'><source path='/etc/passwd'/></serial>
<interface type='direct'><source dev='eth0' mode='passthrough'/></interface>
<rng model='virtio'><backend model='random'>/dev/sda</backend></rng>
<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>
</devices><commandline xmlns='http://libvirt.org/schemas/domain/qemu/1.0'><arg value='-S'/></commandline><devices>
XML
    expect_equal $n 11 "texts tried"
    # A disk that names a file of the host as its parent.
    cp "$SCRATCH/kvm/web01/libvirt.xml" web01/
    qemu-img rebase -q -u -f qcow2 -b /etc/passwd -F raw web01/disk0.qcow2
    push
    expect_status 3
    expect_nothing_left
}
test_a_damaged_disk() {
    host
    truncate -s 100000 web01/disk1.qcow2
    push
    expect_status 3
    expect_nothing_left
}
# A VM that cannot be defined: its volumes go again.
test_a_definition_that_is_refused() {
    host
    sed -i "s|<vcpu placement='static'>2|<vcpu placement='static'>0|;s|<vcpu placement=\"static\">2|<vcpu placement=\"static\">0|" web01/libvirt.xml
    push
    expect_error DELIVERY_FAILED 1
    expect_stderr 'libvirt says'
    expect_nothing_left
}
test_killed_and_cleaned() {
    host
    "${STRACE[@]}" true 2>/dev/null || skip_test "strace is not installed"
    # Killed when the volume's first bytes go out.
    timeout 60 strace -f -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:signal=KILL:when=2 \
        "$REHOST" push web01 --to "$URL" --network-map '*=lan' >/dev/null 2>&1
    expect_equal "$(find web01/.push -name '*.jsonl' -size +0 | wc -l)" 1 journals
    expect_equal "$(ls "$host/pool" | wc -l)" 1 volumes
    run "$REHOST" push web01 --to "$URL" --clean
    expect_status 0
    expect_nothing_left
    push
    expect_status 0
}
test_cleaning_leaves_others_alone() {
    host
    push
    expect_status 0
    mkdir -p web01/.push
    touch "$host/pool/of-others.qcow2"
    V pool-refresh images >/dev/null
    {
        for v in "$host"/pool/*; do
            printf '{"kind":"volume","id":"images/%s"}\n' "${v##*/}"
        done
        printf '{"kind":"domain","id":"%s 00000000"}\n' "$(V domuuid web01)"
    } >"web01/.push/$(printf %s "$URL" | sha256sum | cut -c1-16).jsonl"
    run "$REHOST" push web01 --to "$URL" --clean
    expect_status 0
    expect_equal "$(ls "$host/pool" | wc -l) $(V list --all --name | grep -c .)" "3 1" "volumes, VMs"
}
test_interrupted() {
    host
    truncate -s 300M 0.raw
    head -c 200M /dev/urandom | dd of=0.raw conv=notrunc status=none
    make_vm big disks=314572800 >/dev/null
    "$REHOST" convert vm --to kvm --out out --no-guest-fix >/dev/null
    "$REHOST" push out/big --to "$URL" --network-map '*=lan' >.stdout 2>.stderr &
    local pid=$!
    for _ in $(seq 200); do
        [ -z "$(ls "$host/pool")" ] || break
        sleep 0.02
    done
    kill -INT $pid
    wait $pid
    expect_equal $? 130 "exit status"
    expect_nothing_left
}
run_tests
