#!/bin/bash
# rehost push: results go to hypervisors' APIs.  Strict stand-ins play the
# servers; clients that others wrote look at what came of it.
# long
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-vm.sh"

# A password that no message may show.
SECRET=s3cr3t-Pa55
export REHOST_USER=root REHOST_PASSWORD=$SECRET
NET="Pool-wide network associated with eth0"
cd "$SCRATCH" || exit 1
make_vm web01 nics=2 "disks=8388608 5242880" "network=$NET" >/dev/null
"$REHOST" convert vm --to xen --out xen --no-guest-fix >/dev/null || exit 1
RESULT=$SCRATCH/xen/web01

# A stand-in in a folder of its own: $URL, $STATE; extra options as given.
xapi() { # [OPTION...]
    stand_in xapi state --tls --password "$SECRET" --task-delay 0.1 --login-delay 0 "$@"
    SLAVE=$(sed -n 's|.* slave ||p' ready)
    URL=xapi://$HOST/NFS
    cp -r "$RESULT" web01
}
push() { # [OPTION...]: to $URL
    run timeout 100 "$REHOST" push web01 --to "$URL" \
        --tls-ca "$STATE/cert.pem" "$@"
    expect_secrets_kept
}
# Neither the password nor the session appears in what was printed or kept.
expect_secrets_kept() {
    echo "$SECRET" >.secrets
    jq -r '.session // {} | keys[]' "$STATE/db.json" >>.secrets 2>/dev/null
    ! grep -rqFf .secrets .stdout .stderr web01 ||
        fail "a secret was shown: $(grep -rlFf .secrets .stdout .stderr web01)"
    held
}
db() { # FILTER: of the pool's records
    jq -r "$1" "$STATE/db.json"
}
# Nothing of ours is there: no VM, no disk, no network, no task, no journal.
left() { db '[(.VM // {}), (.VDI // {}), (.VBD // {}), (.VIF // {}), (.task // {})] | map(length) | join(" ")'; }
expect_nothing_left() {
    local tries
    sleep 0.2
    for tries in {1..50}; do # the server ends its own work a moment later
        [ "$(left)" != "0 0 0 0 0" ] || break
        sleep 0.1
    done
    expect_equal "$(left)" "0 0 0 0 0" \
        "VMs, disks, drives, NICs, tasks left"
    expect_equal "$(db '.network | length')" 1 "networks"
    expect_empty web01/.push
}

test_a_vm_arrives_whole() {
    xapi
    push --json
    expect_status 0
    expect_schema .stdout rehost.delivery-1.json
    expect_json '.vms[0].nics | map(.mac) | join(" ")' \
        "00:50:56:aa:bb:00 00:50:56:aa:bb:01"
    # The disks, byte by byte (the storage rounds their sizes up).
    cp .stdout delivery.json
    for i in 0 1; do
        uuid=$(jq -r ".vms[0].disks[$i].id" delivery.json)
        run cmp -n "$(stat -c %s "$SCRATCH/$i.raw")" "$SCRATCH/$i.raw" \
            "$STATE/vdi/$uuid.raw"
        expect_status 0
    done
    expect_schema web01/receipt.json rehost.receipt-1.json
    expect_json '.delivery[0].id' "$(db '.VM[] | .uuid')" web01/receipt.json
    expect_empty web01/.push
    run "$REHOST" verify "$SCRATCH/vm" web01
    expect_status 0
    # Neither a length nor chunks, and the MACs kept.
    run jq -c 'select(.path == "/import") | [.query.restore, .length, .te]' \
        "$STATE/log.jsonl"
    expect_stdout '^\["true",null,null\]$'
}
test_bandwidth_holds_for_a_delivery() {
    local from sent
    xapi
    from=$(date +%s.%N)
    push --json --bandwidth 2M
    expect_status 0
    sent=$(jq '[.vms[].bytes_sent] | add' .stdout)
    awk -v b="$sent" -v a="$from" -v t="$(date +%s.%N)" \
        'BEGIN { exit !(b > 2e6 && t - a > b / 2097152 - 0.3) }' ||
        fail "$sent bytes were sent too soon"
    held
}
test_what_stands_there_is_verified() {
    xapi
    push
    expect_status 0
    verify_there() {
        run timeout 100 "$REHOST" verify "$SCRATCH/vm" web01 --at "$URL" \
            --tls-ca "$STATE/cert.pem"
        expect_secrets_kept
    }
    verify_there
    expect_status 0
    expect_stdout '^disk 1 there: content digest as in the receipt$'
    printf x | dd of="$STATE/vdi/$(jq -r '.delivery[0].disks[1].id' web01/receipt.json).raw" \
        bs=1 seek=4000000 conv=notrunc status=none
    verify_there
    expect_error VERIFY_DIFFERS 1
    expect_stderr 'disk 1 there is not what was sent'
    run "$REHOST" verify "$SCRATCH/vm" "$URL"
    expect_error USAGE 2
    expect_stderr 'hint: .*--at URL'
    URL=xapi://$HOST/Elsewhere verify_there
    expect_error VERIFY_RECEIPT 3
    expect_stderr 'no delivery to'
}
test_another_client_sees_the_vm() {
    /usr/bin/python3 -c 'import os_xenapi' 2>/dev/null ||
        skip_test "python3-os-xenapi is not installed"
    xapi
    push --start
    expect_status 0
    expect_stdout "^delivered: web01 as [0-9a-f-]{36} at $URL\$"
    cat >judge.py <<'PY'
import ssl
import sys
ssl._create_default_https_context = ssl._create_unverified_context
from os_xenapi.client import XenAPI
s = XenAPI.Session(sys.argv[1])
s.xenapi.login_with_password("root", sys.argv[2], "1.0", "judge")
for ref in s.xenapi.VM.get_by_name_label("web01"):
    vm = s.xenapi.VM.get_record(ref)
    print(vm["power_state"], vm["VCPUs_max"], vm["memory_static_max"],
          sorted(s.xenapi.VIF.get_MAC(v) for v in vm["VIFs"]))
PY
    run /usr/bin/python3 judge.py "https://$HOST" "$SECRET"
    expect_stdout "^Running 2 1073741824 \['00:50:56:aa:bb:00', '00:50:56:aa:bb:01'\]"
}
test_no_address_is_told() {
    xapi
    push --start --wait-address 1 --json
    expect_status 0
    expect_json '.vms[0].addresses | length' 0
    expect_stderr 'no address within 1 second'
}
test_a_dry_run_changes_nothing() {
    xapi
    push --dry-run --json
    expect_status 0
    expect_schema .stdout rehost.delivery-1.json
    expect_json '.vms[0].checks | map(select(.result != "good")) | length' 0
    expect_json '.vms[0].requests | map(select(test("PUT .*/import"))) | length' 1
    expect_nothing_left
    expect_json '.delivery' null web01/receipt.json
}
# What is refused before the first byte: MESSAGE, ID, STATUS.
refused() { # ID STATUS REGEX [OPTION...]
    local id=$1 status_wanted=$2 regex=$3
    shift 3
    push "$@"
    expect_error "$id" "$status_wanted"
    expect_stderr "$regex"
    expect_nothing_left
    expect_equal "$(grep -c '"/import"' "$STATE/log.jsonl")" 0 "imports begun"
}
test_checked_before_the_first_byte() {
    xapi
    URL=xapi://$HOST/Nowhere refused DELIVERY_PLACE 4 'no storage named "Nowhere"'
    URL=xapi://$HOST/ISOs refused DELIVERY_PLACE 4 'for ISO images'
    refused DELIVERY_NETWORK 4 'no network "nowhere"' --network-map '*=nowhere'
    expect_stderr 'there are: "Pool-wide network'
    REHOST_USER=nobody refused LOGIN_REFUSED 1 SESSION_AUTHENTICATION_FAILED
    REHOST_PASSWORD='' refused LOGIN_MISSING 1 'no log-in is known'
    URL=xapi://root:s3cr3t-Pa55@$HOST/NFS refused HTTP_USERINFO 2 'may not hold'
    URL=nowhere://$HOST refused DELIVERY_URL 2 'no delivery that is known'
    refused USAGE 2 '--vmid is not for xapi' --vmid 100
    URL=xapi://127.0.0.1:1/NFS refused HTTP_FAILED 1 connect
}
test_a_full_storage() {
    xapi --sr-size 1000000
    refused DELIVERY_SPACE 4 'is 6\.[0-9] MiB short'
}
test_a_vm_that_is_there() {
    xapi
    push
    expect_status 0
    push
    expect_error DELIVERY_TAKEN 4
    expect_equal "$(db '.VM | length')" 1 "VMs"
}
test_no_default_storage() {
    xapi --no-default-sr
    URL=xapi://$HOST refused DELIVERY_PLACE 4 'no default storage'
}
test_whom_to_believe() {
    local pin
    xapi
    pin=$(openssl x509 -in "$STATE/cert.pem" -noout -fingerprint -sha256)
    run "$REHOST" push web01 --to "$URL"
    expect_error HTTP_TLS 1
    expect_equal "$(wc -l <"$STATE/log.jsonl")" 0 "requests before trust"
    expect_stderr "$(echo "${pin#*=}" | tr A-F a-f)"
    run "$REHOST" push web01 --to "$URL" --pin "${pin#*=}" --dry-run
    expect_status 0
    run "$REHOST" push web01 --to "$URL" --pin "127.0.0.1=${pin#*=}" --dry-run
    expect_status 0
    run "$REHOST" push web01 --to "$URL" --pin "$(printf '%064d' 0)"
    expect_error HTTP_TLS 1
    expect_stderr "not the pinned one"
    run "$REHOST" push web01 --to "$URL" --pin 12:34
    expect_error USAGE 2
    # A pin of one host says nothing of another.
    run "$REHOST" push web01 --to "$URL" --pin "elsewhere=${pin#*=}"
    expect_error HTTP_TLS 1
    expect_nothing_left
}
test_a_login_file() {
    local pin
    xapi
    pin=$(openssl x509 -in "$STATE/cert.pem" -noout -fingerprint -sha256)
    printf '127.0.0.1:\n  user: root\n  password: "%s"\n  pin: %s\nelsewhere:\n  password: x\n' \
        "$REHOST_PASSWORD" "${pin#*=}" >login
    local keep=$REHOST_PASSWORD
    export REHOST_PASSWORD=
    chmod 644 login
    run "$REHOST" push web01 --to "$URL" --login login --dry-run
    expect_error LOGIN_MODE 2
    chmod 600 login
    run "$REHOST" push web01 --to "$URL" --login login --dry-run
    expect_status 0
    printf '127.0.0.1: [a, b]\n' >login
    run "$REHOST" push web01 --to "$URL" --login login --dry-run
    expect_error LOGIN_FILE 2
    printf '127.0.0.1:\n  pasword: x\n' >login
    run "$REHOST" push web01 --to "$URL" --login login --dry-run
    expect_error LOGIN_FILE 2
    expect_stderr pasword
    # Of two, either could be meant.
    local two
    for two in '127.0.0.1: {user: a, user: b}' '"*": {token: "a\n", token: b}' \
        $'127.0.0.1: {user: a}\n127.0.0.1: {user: b}' $'127.0.0.1: {user: a}\n---\nx: {}'; do
        echo "$two" >login
        run "$REHOST" push web01 --to "$URL" --login login --dry-run
        expect_error LOGIN_FILE 2
    done
    export REHOST_PASSWORD=$keep
    run "$REHOST" push web01 --to "$URL" --network-map 'a=b' --network-map 'a=c' --dry-run
    expect_error USAGE 2
}
# The disks as they were sent, byte by byte (the storage rounds their sizes up).
expect_disks() {
    local i uuid
    for i in 0 1; do
        uuid=$(db ".VDI[] | select(.name_label == \"web01 $i\") | .uuid")
        run cmp -n "$(stat -c %s "$SCRATCH/$i.raw")" "$SCRATCH/$i.raw" \
            "$STATE/vdi/$uuid.raw"
        expect_status 0
    done
}
test_disk_by_disk() {
    xapi
    push --disk-by-disk --dry-run --json
    expect_status 0
    expect_json '.vms[0].requests | map(select(test("import_raw_vdi"))) | length' 2
    expect_nothing_left
    push -v --disk-by-disk --json --start
    expect_status 0
    expect_schema .stdout rehost.delivery-1.json
    expect_json '.vms[0].nics | map(.mac) | join(" ")' \
        "00:50:56:aa:bb:00 00:50:56:aa:bb:01"
    expect_disks
    expect_equal "$(db '[.VM[] | .power_state] | join(" ")')" Running power
    expect_empty web01/.push
    # Another program of ours' results, with their disks in files, go so, too.
    "$REHOST" convert "$SCRATCH/vm" --to xen --format vhd --out vhd \
        --no-guest-fix --set uuid=5b0a1a6e-1111-4222-8333-444455556666 \
        --name shop >/dev/null
    rm -rf web01
    mv vhd/shop web01
    push
    expect_status 0
    expect_equal "$(db '[.VM, .VDI] | map(length) | join(" ")')" "2 4" "VMs, disks"
}
# Changed ranges over what an earlier pass has left: the rest stays.
test_ranges_over_a_disk() {
    [ -x "$BUILD/vdi-write" ] || make_in_tree "$REHOST_BUILD/vdi-write" >/dev/null
    xapi
    push
    expect_status 0
    uuid=$(db '.VDI[] | select(.name_label == "web01 0") | .uuid')
    cp "$STATE/vdi/$uuid.raw" there.raw
    head -c 8388608 /dev/urandom >new.raw
    run "$BUILD/vdi-write" "$URL" "$STATE/cert.pem" "$uuid" new.raw \
        0 4096 65536 512 2096640 1024 4194304 2097152 8388096 512
    expect_status 0
    python3 - <<'PY'
there, new = bytearray(open("there.raw", "rb").read()), open("new.raw", "rb").read()
for at, n in (0, 4096), (65536, 512), (2096640, 1024), (4194304, 2097152), (8388096, 512):
    there[at:at + n] = new[at:at + n]
open("wanted.raw", "wb").write(there)
PY
    expect_same_file "$STATE/vdi/$uuid.raw" wanted.raw
    # Four blocks of 2 MiB, a head and a tail.
    expect_equal $(($(cat .stdout) / 1048576)) 8 "MiB sent"
    run "$BUILD/vdi-write" "$URL" "$STATE/cert.pem" OpaqueRef:none new.raw 0 512
    expect_status 1
}
# Only the piece that broke off is sent again.
test_disk_by_disk_over_a_broken_line() {
    xapi --cut-raw $((RANDOM * 10 + 10000))
    push --disk-by-disk
    expect_status 0
    expect_stderr 'is sent again'
    expect_disks
    expect_equal "$(grep -c '"/import_raw_vdi"' "$STATE/log.jsonl")" 3 "pieces sent"
    expect_equal "$(db '[.VM, .VDI] | map(length) | join(" ")')" "1 2" "VMs, disks"
}
# Beyond a VHD: 8.3 keeps it as qcow2, and takes it in chunks.
test_a_disk_beyond_2040_gib() {
    need qemu-io
    xapi --sr-size 9000000000000
    rm -rf web01
    qemu-img create -q -f qcow2 big.qcow2 2100G
    qemu-io -f qcow2 -c 'write -P 7 1M 3M' -c 'write -P 9 2090G 64k' big.qcow2 >/dev/null
    "$REHOST" convert big.qcow2 --to xen --out out --set firmware=bios \
        --set cpus=1 --set memory=1GiB --set os=debian-12 --no-guest-fix \
        --set "nic0.network=$NET" --set nic0.mac=00:50:56:aa:bb:07 >/dev/null
    mv out/big web01
    push
    expect_error DELIVERY_LIMIT 4
    expect_stderr 'hint: .*--disk-by-disk'
    push --disk-by-disk
    expect_status 0
    expect_equal "$(db '.VDI[] | .sm_config["image-format"]')" qcow2 format
    expect_same_disk big.qcow2 "$(ls "$STATE"/vdi/*.raw)" qcow2 raw
}
test_disk_by_disk_that_fails() {
    xapi --fail-after 3000000
    push --disk-by-disk
    expect_error DELIVERY_FAILED 1
    expect_stderr 'SR_BACKEND_FAILURE_46'
    expect_nothing_left
}
kill_disk_by_disk() { # N [OPTION...]: at the N-th line of its journal
    local n=$1
    shift
    strace -f -qq -o /dev/null -e trace=fdatasync \
        -e inject=fdatasync:signal=KILL:when="$n" "$REHOST" push web01 --to "$URL" \
        --tls-ca "$STATE/cert.pem" --disk-by-disk "$@" >/dev/null 2>&1
}
# What was sent whole before is not sent again.
test_disk_by_disk_goes_on() {
    xapi
    kill_disk_by_disk 2
    expect_equal "$(db '[.VM // {}, .VDI] | map(length) | join(" ")')" "0 1" "left"
    push --disk-by-disk
    expect_status 0
    expect_stderr 'disk 0 stands there whole'
    expect_disks
    expect_equal "$(grep -c '"/import_raw_vdi"' "$STATE/log.jsonl")" 2 "disks sent"
    expect_equal "$(db '[.VM, .VDI] | map(length) | join(" ")')" "1 2" "VMs, disks"
    expect_empty web01/.push
}
# Unless the result is another, or it does not go by disks any more; and what is
# kept goes when this run fails, too.
test_disk_by_disk_that_does_not_go_on() {
    xapi
    kill_disk_by_disk 3
    expect_equal "$(db '.VDI | length')" 2 "left"
    sed -i 's/\("id": *"1 [^ ]* \)./\1x/' web01/.push/*.jsonl
    kill_disk_by_disk 2 # of disk 1: disk 0 is noted already
    expect_equal "$(db '.VDI | length')" 2 "left again"
    push
    expect_status 0
    expect_stderr 'taken away first'
    expect_equal "$(db '[.VM, .VDI] | map(length) | join(" ")')" "1 2" "VMs, disks"
}
# A disk in another storage than the one that is asked for now is of no use.
test_disk_by_disk_into_another_storage() {
    local url
    xapi
    url=$URL
    URL=${URL%/NFS}
    kill_disk_by_disk 2 --sr NFS
    expect_equal "$(db '.VDI | length')" 1 "left"
    push --disk-by-disk --sr "Local storage"
    expect_status 0
    expect_equal "$(db '[.VM, .VDI] | map(length) | join(" ")')" "1 2" "VMs, disks"
    URL=$url
    expect_empty web01/.push
}
test_disk_by_disk_that_is_killed() {
    xapi
    kill_disk_by_disk 4
    expect_equal "$(db '[.VM // {}, .VDI] | map(length) | join(" ")')" "0 2" "left"
    push --clean
    expect_status 0
    expect_nothing_left
}
test_a_slave_sends_us_to_the_master() {
    xapi
    URL=xapi://$SLAVE/NFS push
    expect_status 0
    expect_equal "$(db '.VM | length')" 1 "VMs"
}
test_the_storage_of_another_host() {
    xapi
    URL="xapi://$HOST/Slave%20storage" push
    expect_status 0
    run jq -r 'select(.path == "/import") | .on' "$STATE/log.jsonl"
    expect_equal "$stdout" slave "the host that was asked, once"
}
test_a_redirect_within_the_pool() {
    xapi --redirect
    push
    expect_status 0
    run jq -r 'select(.path == "/import") | .on' "$STATE/log.jsonl"
    expect_equal "$(tr '\n' ' ' <.stdout)" "master slave " "hosts asked"
}
test_a_redirect_out_of_the_pool() {
    xapi --redirect --redirect-to 127.0.0.2:443
    push
    expect_error HTTP_REDIRECT 1
    expect_stderr 'no host of its pool'
    expect_nothing_left
}
test_a_storage_that_fails_late() {
    xapi --fail-after 2000000
    push
    expect_error DELIVERY_FAILED 1
    expect_stderr 'SR_BACKEND_FAILURE_46, .*told to fail'
    expect_nothing_left
    expect_json '.delivery' null web01/receipt.json
}
test_a_connection_that_is_cut() {
    xapi --cut-after $((RANDOM * 100 + 30000))
    push
    expect_error HTTP_FAILED 1
    expect_nothing_left
}
# While the host looks at the metadata, and while it takes the disks.
test_interrupted() {
    local at
    xapi --hang 3
    for at in 1 3; do
        rm -f "$STATE"/import-*
        "$REHOST" push web01 --to "$URL" --tls-ca "$STATE/cert.pem" \
            >.stdout 2>.stderr &
        local pid=$!
        soon test -e "$STATE/import-$at.xva"
        kill -INT $pid
        wait $pid
        expect_equal $? 130 "exit status"
        expect_stderr CANCELLED
        expect_nothing_left
    done
}
test_killed_and_cleaned() {
    xapi --hang 2
    "$REHOST" push web01 --to "$URL" --tls-ca "$STATE/cert.pem" &
    local pid=$!
    soon test -e "$STATE/import-2.xva" # the first checks the metadata
    kill -9 $pid
    wait $pid 2>/dev/null
    expect_equal "$(find web01/.push -name '*.jsonl' -size +0 | wc -l)" 1 journals
    push --clean
    expect_status 0
    expect_stdout '^cleaned: web01 \(1 thing'
    expect_nothing_left
    push
    expect_status 0
}
# The VM goes, a disk of it does not: the next run finds that, too.
test_a_disk_that_does_not_go() {
    xapi --task-delay 4 --fail-call VDI.destroy=1
    "$REHOST" push web01 --to "$URL" --tls-ca "$STATE/cert.pem" &
    local pid=$!
    for _ in $(seq 100); do
        [ "$(db '.VM // {} | length' 2>/dev/null)" != 1 ] || break
        sleep 0.1
    done
    sleep 1
    kill -9 $pid
    wait $pid 2>/dev/null
    push --clean
    expect_error DELIVERY_FAILED 1
    expect_equal "$(db '[.VM, .VDI] | map(length) | join(" ")')" "0 1" "left"
    push --clean
    expect_status 0
    expect_nothing_left
}
test_cleaning_leaves_others_alone() {
    xapi
    push
    expect_status 0
    mkdir -p web01/.push
    jq -c '.VDI | keys[] | {kind: "vdi", id: "\(.) OpaqueRef:x"}' "$STATE/db.json" \
        >"web01/.push/$(printf %s "$URL" | sha256sum | cut -c1-16).jsonl"
    push --clean
    expect_status 0
    expect_equal "$(db '[.VM, .VDI] | map(length) | join(" ")')" "1 2" "VMs, disks"
    run "$REHOST" push web01 --to "$URL" --clean --name shop
    expect_error USAGE 2
}
test_a_result_of_another_kind() {
    xapi
    "$REHOST" convert "$SCRATCH/vm" --to kvm --out kvm --no-guest-fix >/dev/null
    run "$REHOST" push kvm/web01 --to "$URL" --tls-ca "$STATE/cert.pem"
    expect_error DELIVERY_RESULT 3
    # A receipt that somebody changed would get a good seal by the delivery.
    sed -i 's/"virtual_size": 8388608/"virtual_size": 8388609/' web01/receipt.json
    push
    expect_error DELIVERY_RESULT 3
    expect_stderr 'seal is broken'
    # Nor does one that has none get one: that is told, each time.
    sed -i '/^  "seal": /d' web01/receipt.json
    push
    expect_status 0
    expect_stderr 'receipt.json has no seal'
    expect_json '.delivery | length' 1 web01/receipt.json
    expect_json '.seal' null web01/receipt.json
    run "$REHOST" push nowhere --to "$URL" --tls-ca "$STATE/cert.pem"
    expect_error FILE_NOT_FOUND 1
}
test_a_packed_xva_and_another_name() {
    xapi
    "$REHOST" convert "$SCRATCH/vm" --to xen --out zst --no-guest-fix \
        --compress zstd >/dev/null
    rm -rf web01
    mv zst/web01 web01
    push --name shop --network-map "$NET=xenbr0"
    expect_status 0
    expect_equal "$(db '.VM[].name_label')" shop "name"
    expect_equal "$(db '.network | length')" 1 "networks"
}
# --- convert --out URL: the same in one pass -------------------------------------
convert_to() { # [OPTION...]: ./vm to $URL
    export XDG_STATE_HOME=$PWD/kept
    run timeout 100 "$REHOST" convert vm --to xen --out "$URL" \
        --no-guest-fix --tls-ca "$STATE/cert.pem" "$@"
    expect_secrets_kept
    expect_empty kept/rehost
}
test_one_pass_keeps_nothing_here() {
    xapi
    make_vm big "disks=21474836480" "network=$NET"
    export TMPDIR=/nonexistent
    convert_to --start
    expect_status 0
    expect_stdout "^delivered: big as [0-9a-f-]{36} at $URL\$"
    expect_same_disk 0.raw "$STATE"/vdi/*.raw raw raw
    expect_equal "$(db '.VM[].power_state')" Running "power"
    expect_equal "$(ls -A | sort | tr '\n' ' ')" \
        ".cmp .secrets .stderr .stdout 0.raw double.err kept ready state vm web01 " "files here"
    # A second one is refused before its first byte.
    run "$REHOST" convert vm --to xen --out "$URL" --no-guest-fix \
        --tls-ca "$STATE/cert.pem"
    expect_error PLAN_BLOCKED 4
    expect_stderr DELIVERY-TAKEN
}
test_one_pass_and_a_receipt() {
    xapi
    run timeout 100 "$REHOST" convert "$SCRATCH/vm" --to xen --no-guest-fix \
        --out "$URL" --tls-ca "$STATE/cert.pem" --receipt r.json
    expect_status 0
    expect_schema r.json rehost.receipt-1.json
    run "$REHOST" verify "$SCRATCH/vm" --receipt r.json --at "$URL" \
        --tls-ca "$STATE/cert.pem"
    expect_status 0
    expect_stdout '^disk 1 there: as the source, but for 0 bytes'
    expect_secrets_kept
}
test_the_guest_tells_its_address() {
    xapi --guest-address 10.0.0.5
    cp -r "$SCRATCH/vm" vm
    convert_to --start --wait-address 20
    expect_status 0
    expect_stdout "^delivered: .* at $URL, address 10\\.0\\.0\\.5\$"
    push --wait-address 5
    expect_error USAGE 2
    push --start --wait-address soon
    expect_error USAGE 2
}
# What was delivered stays, in one pass as by a push.
test_a_start_that_fails() {
    xapi --fail-call VM.start=2
    cp -r "$SCRATCH/vm" vm
    convert_to --start
    expect_error DELIVERY_FAILED 1
    expect_stderr 'the VM was delivered as [0-9a-f-]{36} at .*, but: .*VM.start'
    expect_stderr 'hint: the VM stays'
    expect_equal "$(db '[.VM, .VDI] | map(length) | join(" ")')" "1 2" "VMs, disks"
    run "$REHOST" convert vm --to xen --out other --no-guest-fix --set uuid=5b0a1a6e-1111-4222-8333-444455556666
    rm -rf web01 && mv other/web01 .
    push --start
    expect_error DELIVERY_FAILED 1
    expect_stderr 'the VM was delivered as'
    expect_equal "$(db '.VM | length')" 2 "VMs"
}
test_one_pass_that_breaks_off() {
    xapi --cut-after $((RANDOM + 30000))
    cp -r "$SCRATCH/vm" vm
    convert_to
    expect_error HTTP_FAILED 1
    expect_stderr 'hint: .*disk-by-disk'
    expect_nothing_left
}
test_one_pass_that_fails_late() {
    xapi --fail-after 200000
    cp -r "$SCRATCH/vm" vm
    convert_to
    expect_error DELIVERY_FAILED 1
    expect_stderr 'SR_BACKEND_FAILURE_46'
    expect_nothing_left
}
test_one_pass_is_checked_before() {
    xapi
    cp -r "$SCRATCH/vm" vm
    convert_to --network-map '*=nowhere'
    expect_error PLAN_BLOCKED 4
    expect_nothing_left
    # The report says the same.
    run "$REHOST" report vm --to all --no-guest --target "$URL" --json r.json \
        --tls-ca "$STATE/cert.pem" --network-map '*=nowhere'
    expect_equal "$(jq -r '.vms[0].targets[] | select(.findings | map(.id) |
        index("DELIVERY-NETWORK")) | .target' r.json)" xen "who cannot take it"
    run "$REHOST" convert vm --to xen --out "nowhere://$HOST"
    expect_error DELIVERY_URL 2
    run "$REHOST" convert vm --to kvm --out "$URL"
    expect_error PLAN_OPTION 2
    convert_to --overwrite
    expect_error PLAN_OPTION 2
    run "$REHOST" convert vm --to xen --out here --start
    expect_error PLAN_OPTION 2
    expect_stderr 'for --out URL'
    expect_equal "$(ls -d ./*:* 2>/dev/null)" "" "folders named like a URL"
}
run_tests
