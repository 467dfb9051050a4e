# The Xen model: XVAs and VHDs that Xen Orchestra's libraries, a strict reader
# and an independent one accept; scripts that import them; limits as findings.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-vm.sh"

JUDGES=$BUILD/judges-xen
judges() {
    need node npm
    [ -e "$JUDGES/.installed" ] || skip_test "npm could not install the judges"
}
timeout 300 "$TOP/tests/judges/xen/get.sh" "$JUDGES" || true

to_xen() { # the VM in ./vm, into ./out
    run "$REHOST" convert vm/vm.ovf --to xen --out out --no-guest-fix "$@"
}
report_xen() {
    run "$REHOST" report vm/vm.ovf --to xen --no-guest --json r.json "$@"
}
finding() { # ID: its severity in the report
    jq -r --arg id "$1" '[.vms[0].targets[0].findings[] |
        select(.id == $id) | .severity] | first // "none"' r.json
}

# --- XVA ---------------------------------------------------------------------------
judged() { # ARGUMENTS... of convert: an XVA of two disks that all judges accept
    need qemu-img zstd
    make_vm web01 "disks=6291456 3145728"
    to_xen "$@"
    expect_status 0
    expect_file out/web01/web01.xva out/web01/import.sh out/web01/vm.json \
        out/web01/web01-metadata.xva out/web01/import.txt
    run python3 "$TOP/tests/judges/xva_read.py" out/web01/web01.xva disks
    expect_status 0
    expect_same_file 0.raw disks/0.raw
    expect_equal "$(stat -c %s disks/1.raw)" 4194304 "a multiple of 2 MiB"
    run cmp -n 3145728 1.raw disks/1.raw
    expect_status 0
    judges
    run node "$JUDGES/judge-xva.mjs" out/web01/web01.xva --raw Ref:002=0.raw \
        --raw Ref:003=1.raw
    expect_status 0
    expect_no_stdout note:
}
check xva_is_accepted_and_identical judged
check xva_with_xxhash_is_accepted judged --xva-sum xxhash
check xva_with_zstd_is_accepted judged --compress zstd

test_xva_is_reproducible() {
    need qemu-img
    make_vm web01
    to_xen --threads 1
    expect_status 0
    mv out first
    to_xen --threads 4
    expect_same_file first/web01/web01.xva out/web01/web01.xva
    expect_same_file first/web01/web01-metadata.xva \
        out/web01/web01-metadata.xva
}
test_xva_to_a_pipe() {
    need qemu-img
    make_vm web01
    to_xen
    expect_status 0
    "$REHOST" convert vm/vm.ovf --to xen --no-guest-fix --out - >pipe.xva ||
        fail "status $?"
    expect_same_file pipe.xva out/web01/web01.xva
}
test_xva_of_an_empty_terabyte() {
    need qemu-img
    truncate -s 1T 0.raw
    printf x | dd of=0.raw conv=notrunc bs=1 seek=777777777777 status=none
    make_vm big disks=1099511627776
    to_xen
    expect_status 0
    [ "$(stat -c %s out/big/big.xva)" -lt 5000000 ] || fail "too large"
    tar -tf out/big/big.xva >names
    expect_equal "$(grep -c '^Ref:002/........$' names)" 3 chunks
    expect_equal "$(sed -n '$p' names)" Ref:002/01048575.checksum
}
test_metadata_alone_is_one_file() {
    need qemu-img
    make_vm web01
    to_xen
    expect_equal "$(tar -tf out/web01/web01-metadata.xva)" ova.xml
    tar -xOf out/web01/web01-metadata.xva ova.xml >a
    tar -xOf out/web01/web01.xva ova.xml >b
    expect_same_file a b
}
read_vm() { # FILTER EXPECTED: of ova.xml, as the independent reader sees it
    expect_json "$1" "$2" disks/vm.json
}
test_settings_of_a_linux_vm() {
    need qemu-img
    make_vm "web 01" cpus=4 cores=2 nics=2
    to_xen --network-map "VM Network=Pool-wide <1>"
    expect_status 0
    run python3 "$TOP/tests/judges/xva_read.py" out/web-01/web-01.xva disks
    expect_status 0
    read_vm .vm.name_label "web 01"
    read_vm .vm.name_description "about web 01"
    read_vm '.vm.VCPUs_max + " " + .vm.platform."cores-per-socket"' "4 2"
    read_vm '[.vm | to_entries[] | select(.key | test("^memory_(s|d)")) |
        .value] | unique | join(" ")' 1073741824
    read_vm .vm.HVM_boot_params.firmware bios
    read_vm '.vm.platform."device-model"' qemu-upstream-compat
    read_vm .vm.platform.viridian false
    read_vm .vm.has_vendor_device false
    read_vm '[.vifs[].MAC] | join(" ")' "00:50:56:aa:bb:00 00:50:56:aa:bb:01"
    read_vm '[.vifs[].network.name_label] | unique | join("+")' "Pool-wide <1>"
    read_vm '[.vifs[].network.bridge] | unique | join("+")' ""
    read_vm '[.vbds[] | .userdevice + .type] | join(" ")' "0Disk 3CD"
}
test_hardware_clock_in_a_time_zone() {
    need qemu-img
    [ -e /usr/share/zoneinfo/Asia/Tokyo ] || skip_test "no time zones here"
    make_vm win os=112 vmware=windows2019srv_64Guest
    report_xen
    expect_equal "$(finding XEN-CLOCK)" caution
    report_xen --set timezone=Asia/Kathmandu
    expect_equal "$(finding XEN-CLOCK)" none
    report_xen --set timezone=../../../etc/passwd
    expect_equal "$(finding XEN-CLOCK)" caution
    for zone in Asia/Tokyo=32400 America/New_York=-18000 UTC=0 \
        Asia/Kathmandu=20700; do
        to_xen --set timezone="${zone%=*}" --overwrite
        expect_status 0
        tar -xOf out/win/win-metadata.xva ova.xml >ova.xml
        grep -q "<name>timeoffset</name><value>${zone#*=}<" ova.xml ||
            fail "$zone: no such timeoffset"
    done
}
test_a_nic_that_was_not_connected_is_locked() {
    need qemu-img
    make_vm web01 nics=2
    sed -i 's/true<\/rasd:AutomaticAllocation>/false<\/rasd:AutomaticAllocation>/' \
        vm/vm.ovf
    report_xen
    expect_equal "$(finding XEN-NIC-DISCONNECTED)" info
    to_xen --format raw
    expect_status 0
    fake_xe "VM Network"
    import out/web01
    called "[vif-param-set][uuid=uuid-of-vif][locking-mode=disabled]"
}
test_description_keeps_its_lines() {
    need qemu-img
    make_vm "$(printf 'web01\nsecond <line>')"
    to_xen
    expect_status 0
    dir=$(echo out/*)
    tar -xOf "$dir"/*-metadata.xva ova.xml >ova.xml
    grep -A 1 '<value>about web01$' ova.xml | grep -q '^second &lt;line&gt;<' ||
        fail "$(grep -A 1 about ova.xml)"
    held
}
test_settings_of_a_windows_vm() {
    need qemu-img
    make_vm win firmware=uefi secure_boot=yes tpm=yes os=112 \
        vmware=windows2019srv_64Guest "disks=65536 65536 65536 65536 65536"
    to_xen --network-map "*=xenbr1"
    expect_status 0
    run python3 "$TOP/tests/judges/xva_read.py" out/win/win.xva disks
    read_vm .vm.HVM_boot_params.firmware uefi
    read_vm '.vm.platform."device-model"' qemu-upstream-uefi
    read_vm .vm.platform.secureboot true
    read_vm '.vm.platform | .viridian + .device_id' true0002
    read_vm '[.vbds[] | .userdevice] | sort | join(" ")' "0 1 2 3 4 5"
    read_vm '.vifs[0].network | .name_label + " " + .bridge' "xenbr1 xenbr1"
    grep -q vtpm-create out/win/import.sh || fail "no vTPM in import.sh"
    judges
    run node "$JUDGES/judge-xva.mjs" out/win/win.xva
    expect_status 0
}

# --- scripts, run with an xe that writes down how it was called ------------------------
fake_xe() { # NETWORKS: lines of names that the pool has
    mkdir -p bin
    printf '%s\n' "$1" >networks
    cat >bin/xe <<'SH'
#!/bin/sh
{ printf '[%s]' "$@"; echo; } >>"$XE_LOG"
case $1 in
network-list) name=${2#*=}
    grep -qxF -- "$name" "${XE_LOG%log}networks" && echo uuid-of-network ;;
pool-list) echo 11111111-2222-3333-4444-555555555555 ;;
sr-list) case $2 in name-label=*) echo uuid-of-sr ;; esac ;;
vdi-import) [ -z "${XE_FAIL-}" ] || exit 1 ;;
*-create | vm-install | vm-import) echo "uuid-of-${1%%-*}" ;;
esac
exit 0
SH
    chmod +x bin/xe
    : >log
}
import() { # FOLDER ARGUMENTS...
    local folder=$1
    shift
    run env PATH="$PWD/bin:$PATH" XE_LOG="$PWD/log" sh "$folder/import.sh" "$@"
}
called() { # LINE of the log
    grep -qxF -- "$1" log || fail "xe was not called as" "$1" "but as" \
        "$(cat log)"
    held
}
HOSTILE="a'; touch pwned; echo '\$(touch pwned)\`touch pwned\`\" \\ \$HOME"
test_import_of_an_xva() {
    need qemu-img
    make_vm web01
    to_xen --network-map "VM Network=LAN"
    fake_xe LAN
    import out/web01
    expect_status 0
    called "[network-list][name-label=LAN][--minimal]"
    called "[vm-import][filename=$PWD/out/web01/web01.xva][preserve=true][sr-uuid=11111111-2222-3333-4444-555555555555]"
    import out/web01 --sr fast --start
    expect_status 0
    called "[vm-import][filename=$PWD/out/web01/web01.xva][preserve=true][sr-uuid=uuid-of-sr]"
    called "[vm-start][uuid=uuid-of-vm]"
    import out/web01 --help
    expect_status 0
    expect_stdout '^usage: import.sh'
    import out/web01 --nonsense
    expect_status 2
}
test_import_stops_where_a_network_is_missing() {
    need qemu-img
    make_vm web01
    to_xen
    fake_xe OTHER
    import out/web01
    expect_status 1
    expect_stderr "no network named 'VM Network'"
    ! grep -q vm-import log || fail "it was imported"
    import out/web01 --new-networks
    expect_status 0
    grep -q vm-import log || fail "it was not imported"
}
test_import_of_disks() {
    need qemu-img
    make_vm web01 firmware=uefi "disks=2097152 3145728"
    to_xen --format vhd --sr "$HOSTILE" --network-map "*=$HOSTILE" \
        --set "tags=Env:Prod;${HOSTILE//;/,}"
    expect_status 0
    expect_file out/web01/disk0.vhd out/web01/disk1.vhd \
        out/web01/xe-import.sh out/web01/import.sh
    fake_xe "$HOSTILE"
    import out/web01
    expect_status 0
    called "[sr-list][name-label=$HOSTILE][--minimal]"
    called "[network-list][name-label=$HOSTILE][--minimal]"
    called "[vm-param-set][uuid=uuid-of-vm][HVM-boot-policy=BIOS order][HVM-boot-params:firmware=uefi][HVM-boot-params:order=cdn]"
    called "[vm-param-set][uuid=uuid-of-vm][VCPUs-max=2]"
    called "[vm-param-set][uuid=uuid-of-vm][name-description=about web01]"
    called "[vm-param-add][uuid=uuid-of-vm][param-name=tags][param-key=Env:Prod]"
    called "[vm-param-add][uuid=uuid-of-vm][param-name=tags][param-key=${HOSTILE//;/,}]"
    called "[vm-memory-limits-set][uuid=uuid-of-vm][static-min=1073741824][dynamic-min=1073741824][dynamic-max=1073741824][static-max=1073741824]"
    called "[vdi-create][sr-uuid=uuid-of-sr][name-label=web01 1][virtual-size=4194304][type=user]"
    called "[vdi-import][uuid=uuid-of-vdi][filename=$PWD/out/web01/disk1.vhd][format=vhd][--progress]"
    called "[vbd-create][vm-uuid=uuid-of-vm][vdi-uuid=uuid-of-vdi][device=0][bootable=true][type=Disk][mode=RW]"
    called "[vbd-create][vm-uuid=uuid-of-vm][device=3][type=CD][mode=RO][bootable=false]"
    called "[vif-create][vm-uuid=uuid-of-vm][network-uuid=uuid-of-network][device=0][mac=00:50:56:aa:bb:00]"
    [ ! -e pwned ] || fail "a name of the package ran as a command"
}
test_failed_import_of_disks_takes_everything_back() {
    need qemu-img
    make_vm web01
    to_xen --format vhd
    fake_xe "VM Network"
    XE_FAIL=yes import out/web01
    expect_status 1
    called "[vm-destroy][uuid=uuid-of-vm]"
    called "[vdi-destroy][uuid=uuid-of-vdi]"
}
test_hostile_names_stay_names() {
    need qemu-img
    make_vm "$HOSTILE <b>&amp;" "network=$HOSTILE"
    to_xen
    expect_status 0
    dir=$(echo out/*)
    fake_xe "$HOSTILE"
    import "$dir"
    expect_status 0
    called "[network-list][name-label=$HOSTILE][--minimal]"
    [ ! -e pwned ] || fail "a name of the package ran as a command"
    run python3 "$TOP/tests/judges/xva_read.py" "$dir/${dir#out/}.xva" disks
    expect_status 0
    read_vm .vm.name_label "$HOSTILE <b>&amp;"
    read_vm '.vifs[0].network.name_label' "$HOSTILE"
}
test_shell_scripts_are_clean() {
    need qemu-img shellcheck
    make_vm web01 tpm=yes firmware=uefi
    to_xen
    mv out xva
    to_xen --format qcow2
    expect_status 0
    run shellcheck -s sh xva/web01/import.sh out/web01/import.sh \
        out/web01/xe-import.sh
    expect_status 0
}

# --- VHD -------------------------------------------------------------------------------------
test_vhd_is_accepted_by_every_judge() {
    need qemu-img vhdiinfo
    judges
    make_vm web01 "disks=6291456 3145728"
    to_xen --format vhd
    expect_status 0
    for i in 0 1; do
        run node "$JUDGES/judge-vhd.mjs" out/web01/disk$i.vhd --raw $i.raw
        expect_status 0
        expect_no_stdout note:
    done
    run vhdiinfo out/web01/disk1.vhd
    expect_stdout '\(4194304 bytes\)'
}
lone_vhd_is_accepted() { # SIZE
    judges
    make_disk in.raw "$1" "$1"
    "$REHOST" disk convert in.raw a.vhd || fail "status $?"
    "$REHOST" disk convert in.raw - -O vhd >b.vhd || fail "status $?"
    for f in a.vhd b.vhd; do
        run node "$JUDGES/judge-vhd.mjs" $f --raw in.raw
        expect_status 0
    done
}
for size in 2097152 10486272 75497472; do
    check "vhd_of_${size}_is_accepted" lone_vhd_is_accepted $size
done
test_judges_refuse_what_is_wrong() {
    judges
    make_disk in.raw 4194304
    "$REHOST" disk convert in.raw a.vhd || fail "status $?"
    printf 'x' | dd of=a.vhd bs=1 seek=100 conv=notrunc status=none
    run node "$JUDGES/judge-vhd.mjs" a.vhd
    expect_status 1
    make_vm web01
    to_xen
    python3 - out/web01/web01.xva <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:
    data = f.read()
    at = data.index(b"Ref:002/00000000\0") + 512
    f.seek(at)
    f.write(bytes([data[at] ^ 1]))
PY
    run node "$JUDGES/judge-xva.mjs" out/web01/web01.xva
    expect_status 1
    run python3 "$TOP/tests/judges/xva_read.py" out/web01/web01.xva disks
    expect_status 1
}

# --- limits ------------------------------------------------------------------------------------
test_limits_become_findings() {
    need qemu-img
    make_vm web01 nics=8 cpus=3 cores=2 firmware=uefi secure_boot=yes
    report_xen
    expect_equal "$(finding XEN-NIC-COUNT)" blocker
    expect_equal "$(finding XEN-NETWORK)" caution
    expect_equal "$(finding XEN-TOPOLOGY)" caution
    expect_equal "$(finding XEN-SECURE-BOOT)" caution
    expect_equal "$(finding XEN-MAC)" info
    expect_status 4
    expect_json .vms[0].targets[0].verdict blocked r.json
    report_xen --network-map "*=LAN"
    expect_equal "$(finding XEN-NETWORK)" none
}
test_blocked_vm_is_not_converted() {
    need qemu-img
    make_vm web01 nics=8
    to_xen
    expect_status 4
    expect_empty out
}
test_disks_over_2040_gib() {
    need qemu-img
    truncate -s 2100G 0.raw
    make_vm web01 disks=2254857830400
    report_xen
    expect_status 0
    expect_equal "$(finding XEN-DISK-QCOW2)" caution
    report_xen --format vhd
    expect_equal "$(finding XEN-DISK-SIZE)" blocker
    expect_status 4
    to_xen --format vhd
    expect_status 4
    expect_empty out
    to_xen
    expect_status 0
    expect_file out/web01/web01.xva
}
test_solaris_is_blocked() {
    need qemu-img
    make_vm sol os=30 vmware=solaris11_64Guest
    to_xen
    expect_status 4
    expect_empty out
}
run_tests
