# NBD: exports as disks to read and to write, by servers that work and that lie.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

"$REHOST" --version | grep -q '^libnbd: *yes' ||
    { skip nbd "built without libnbd"; finish; exit; }
make_disk "$SCRATCH/a.raw" 12582912 a
make_disk "$SCRATCH/b.raw" 5243392 b # no multiple of 4096
"$REHOST" disk convert "$SCRATCH/a.raw" "$SCRATCH/a.qcow2" >/dev/null || exit 1
export SCRATCH REHOST

# Serve with these words of nbdkit's while a command runs; $uri is the address.
serve() { # WORD... -- COMMAND
    local words=()
    need nbdkit
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    run timeout 60 nbdkit -U - "${words[@]}" --run "$2"
}
# A liar in the background, at ./s; it dies with the test.
lie() { # LIE
    rm -f s
    python3 "$TOP/tests/oracles/nbd_liar.py" "$PWD/s" "$1" >.ready &
    liar=$!
    trap 'kill $liar 2>/dev/null' EXIT
    for _ in $(seq 100); do
        grep -q ready .ready && break
        sleep 0.05
    done
    uri="nbd+unix:///?socket=$PWD/s"
}

# --- reading ------------------------------------------------------------------
test_a_disk_wherever_one_may_stand() {
    need qemu-img
    serve file ../a.raw -- '
        "$REHOST" disk info --json "$uri" >info.json &&
        "$REHOST" disk map --json "$uri" >map.json &&
        "$REHOST" disk compare "$uri" ../a.raw &&
        "$REHOST" disk convert "$uri" o.qcow2 &&
        "$REHOST" inspect --json "$uri" >vm.json &&
        "$REHOST" report "$uri" --to kvm --json report.json --set memory=1GiB &&
        "$REHOST" convert "$uri" --to kvm --set memory=1GiB --out out'
    expect_status 0
    expect_json .virtual_size 12582912 info.json
    expect_json .format raw info.json
    expect_json 'map(select(.zero).length) | add > 1000000' true map.json
    expect_json .vms[0].disks[0].capacity_bytes 12582912 vm.json
    expect_same_disk ../a.raw o.qcow2
    expect_same_disk ../a.raw out/*/disk0.qcow2
}
test_several_are_one_vm() {
    need qemu-nbd
    qemu-nbd -r -t -f raw -k "$PWD/web.sock" -x system ../b.raw &
    trap 'kill %1 2>/dev/null' EXIT
    for _ in $(seq 100); do [ -e web.sock ] && break; sleep 0.05; done
    uri2="nbd+unix:///system?socket=$PWD/web.sock" \
        serve file ../a.raw -- '"$REHOST" convert "$uri" "$uri2" --to kvm \
            --set memory=1GiB --name two --out out'
    expect_status 0
    expect_same_disk ../a.raw out/two/disk0.qcow2
    expect_same_disk ../b.raw out/two/disk1.qcow2
    expect_json '.vms[0].disks[1].file' system out/two/vm.json
}
test_holes_are_not_read() {
    serve --filter=stats file ../a.raw statsfile=stats -- \
        '"$REHOST" disk convert "$uri" o.raw'
    expect_status 0
    expect_same_file o.raw ../a.raw
    local read data
    read=$(sed -n 's/^read: .* \([0-9.]*\) \(MiB\|KiB\).*/\1 \2/p' stats | head -1)
    data=$(du -k ../a.raw | cut -f 1)
    [ -s stats ] || fail "no statistics"
    python3 - stats "$data" <<'PY' || fail "more was read than there is: $(cat stats)"
import re, sys
m = re.search(r"read: \d+ ops, [\d.]+ s, ([\d.]+) (\w+)", open(sys.argv[1]).read())
n = float(m[1]) * {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20}[m[2]]
# Whole units of 1 MiB around what is data.
assert n < 12582912 * 0.9, n
PY
    held
}
test_without_extents_all_is_read() {
    serve --filter=noextents file ../a.raw -- '"$REHOST" disk convert "$uri" o.raw'
    expect_status 0
    expect_same_file o.raw ../a.raw
}
test_what_a_guest_wrote_first_does_not_decide() {
    cp ../a.qcow2 bait.raw
    serve file bait.raw -- '"$REHOST" disk convert "$uri" o.raw &&
        "$REHOST" inspect --json "$uri" >vm.json &&
        "$REHOST" disk convert -f qcow2 "$uri" asked.raw'
    expect_status 0
    expect_same_file o.raw bait.raw
    expect_json .vms[0].disks[0].format raw vm.json
    expect_same_file asked.raw ../a.raw
}
test_blocks_that_must_be_whole() {
    serve --filter=blocksize-policy file ../a.raw blocksize-error-policy=error \
        blocksize-minimum=65536 blocksize-preferred=65536 \
        blocksize-maximum=131072 -- '"$REHOST" disk convert "$uri" o.raw &&
        "$REHOST" disk info "$uri" && "$REHOST" inspect "$uri" >vm'
    expect_status 0
    expect_same_file o.raw ../a.raw
}
test_errors_of_the_server_pass_or_are_told() {
    rm -f ../fails
    serve --filter=error file ../a.raw error-pread=EIO error-pread-rate=20% -- \
        '"$REHOST" disk convert "$uri" o.raw; [ ! -e o.raw ] || cmp o.raw ../a.raw'
    serve --filter=error file ../a.raw error-pread=EIO error-pread-rate=100% -- \
        '"$REHOST" disk convert "$uri" never.raw'
    expect_error FILE_READ 1
    [ ! -e never.raw ] || fail "a result was left"
    serve --filter=error file ../a.raw error-extents=EIO error-extents-rate=100% -- \
        '"$REHOST" disk convert "$uri" whole.raw'
    expect_status 0
    expect_same_file whole.raw ../a.raw
}
test_a_server_that_comes_back() {
    need nbdkit
    head -c 12582912 /dev/urandom >full.raw
    start() {
        rm -f s
        nbdkit -f -U "$PWD/s" --filter=rate file full.raw rate=8M &
        server=$!
        for _ in $(seq 100); do [ -S s ] && break; sleep 0.05; done
    }
    start
    trap 'kill $server 2>/dev/null' EXIT
    run true
    "$REHOST" disk convert "nbd+unix:///?socket=$PWD/s" o.raw 2>.stderr &
    for _ in $(seq 300); do # it has begun
        [ -z "$(find . -name '.o.raw*.part')" ] || break
        sleep 0.05
    done
    sleep 0.3
    kill -9 $server
    start
    wait %?disk
    expect_equal $? 0 "exit status"
        expect_stderr 'connecting again'
    expect_same_file o.raw full.raw
}
test_nobody_there() {
    run "$REHOST" disk info "nbd+unix:///?socket=$PWD/none"
    expect_error NBD_FAILED 1
    expect_stderr 'none'
    run "$REHOST" inspect nbd://127.0.0.1:1
    expect_error NBD_FAILED 1
}
test_a_cancel_is_heard_while_the_server_thinks() {
    local before
    lie silent
    "$REHOST" disk convert "$uri" o.raw 2>.stderr &
    before=$SECONDS
    sleep 0.5
    kill -INT $!
    wait $!
    expect_equal $? 130 "exit status"
    [ $((SECONDS - before)) -lt 3 ] || fail "it took $((SECONDS - before)) s"
    expect_empty out
    [ ! -e o.raw ] || fail "a result was left"
    kill $liar
    lie mute
    "$REHOST" disk info "$uri" 2>.stderr &
    sleep 0.5
    kill -INT $!
    wait $!
    expect_equal $? 130 "exit status"
}

# --- servers that lie ----------------------------------------------------------
refused() { # LIE ID STATUS
    lie "$1"
    run timeout 20 "$REHOST" disk convert "$uri" o.raw
    expect_error "$2" "$3"
    [ ! -e o.raw ] || fail "a result was left"
}
survived() { # LIE
    lie "$1"
    run timeout 20 "$REHOST" disk convert "$uri" o.raw --overwrite
    expect_status 0
    truncate -s 4M zeros
    expect_same_file o.raw zeros
}
test_sizes_that_cannot_be() {
    refused huge DISK_TOO_BIG 3
}
test_an_export_of_nothing() {
    refused empty NBD_ANSWER 1
}
test_blocks_that_cannot_be() {
    survived block # libnbd does not listen to such
}
test_blocks_that_contradict() {
    survived backwards
}
test_noise() {
    refused noise NBD_FAILED 1
}
test_answers_to_what_nobody_asked() {
    refused cookie NBD_FAILED 1
}
test_an_export_that_shrinks() {
    refused shrinks NBD_ANSWER 1
}
test_extents_in_crumbs() {
    survived crumbs
}
test_extents_of_nothing() {
    lie nothing
    run timeout 20 "$REHOST" disk convert "$uri" o.raw
    case $status in
    0) held ;;
    *) expect_error NBD_'(FAILED|ANSWER)' 1 ;;
    esac
}
test_extents_of_an_answer_that_breaks_off() {
    lie relapse
    run timeout 60 "$REHOST" disk convert "$uri" o.raw
    expect_status 0
    python3 - o.raw <<'PY' || fail "what is not zero was lost"
import sys
d = open(sys.argv[1], "rb").read()
m = 1 << 20
sys.exit(d != bytes(m) + b"\xa5" * m + bytes(2 * m))
PY
}
test_extents_beyond_the_end() {
    survived beyond
}

# --- writing --------------------------------------------------------------------
test_a_disk_written_into_an_export() {
    serve memory 12582912 -- '"$REHOST" disk convert ../a.qcow2 "$uri" &&
        nbdcopy "$uri" o.raw && nbdinfo --map --totals "$uri"'
    expect_status 0
    expect_stdout 'hole,zero'
    expect_same_file o.raw ../a.raw
}
test_qemus_server_stores_it_as_it_likes() {
    need qemu-nbd qemu-img
    qemu-img create -q -f qcow2 o.qcow2 20M
    qemu-nbd -f qcow2 -k "$PWD/s" o.qcow2 &
    trap 'kill %1 2>/dev/null' EXIT
    for _ in $(seq 100); do [ -e s ] && break; sleep 0.05; done
    run "$REHOST" disk convert ../b.raw "nbd+unix:///?socket=$PWD/s"
    expect_status 0
    wait %1
    expect_sound_qcow2 o.qcow2
    expect_same_disk ../b.raw o.qcow2
    qemu-img map --output=json o.qcow2 >map.json
    expect_json 'map(select(.data).length) | add < 5000000' true map.json
}
test_old_contents_are_gone_however_zeros_are_made() {
    local how
    for how in "file old.raw" "--filter=nozero file old.raw" \
        "--filter=nozero file old.raw zeromode=emulate" \
        "--filter=noextents file old.raw" \
        "--filter=nozero --filter=noextents file old.raw" \
        "--filter=multi-conn file old.raw multi-conn-mode=disable"; do
        head -c 14680064 /dev/urandom >old.raw
        # shellcheck disable=SC2086
        serve $how -- \
            '"$REHOST" disk convert ../a.qcow2 "$uri" --overwrite'
        expect_status 0
        cp ../a.raw want.raw
        truncate -s 14680064 want.raw
        expect_same_file old.raw want.raw
    done
}
test_blocks_that_must_be_written_whole() {
    head -c 6291456 /dev/urandom >old.raw
    serve --filter=blocksize-policy file old.raw blocksize-error-policy=error \
        blocksize-minimum=65536 blocksize-preferred=65536 \
        blocksize-maximum=131072 -- \
        '"$REHOST" disk convert ../b.raw "$uri" --overwrite'
    expect_status 0
    cp ../b.raw want.raw
    truncate -s 6291456 want.raw
    expect_same_file old.raw want.raw
}
test_what_is_there_stays_unless_told() {
    cp ../a.raw old.raw
    serve file old.raw -- '"$REHOST" disk convert ../a.qcow2 "$uri"'
    expect_error FILE_EXISTS 1
    expect_same_file old.raw ../a.raw
}
test_exports_that_cannot_take_it() {
    serve memory 1M -- '"$REHOST" disk convert ../a.qcow2 "$uri"'
    expect_error NO_SPACE 1
    serve -r memory 16M -- '"$REHOST" disk convert ../a.qcow2 "$uri"'
    expect_error NBD_READ_ONLY 2
    serve memory 16M -- '"$REHOST" disk convert ../a.qcow2 -O qcow2 "$uri"'
    expect_error USAGE 2
    serve --filter=error memory 16M error-pwrite=ENOSPC error-pwrite-rate=100% \
        -- '"$REHOST" disk convert ../a.qcow2 "$uri"'
    expect_status 1
    expect_stderr 'No space left'
    serve file ../a.raw -- '"$REHOST" disk convert "$uri" "$uri" --overwrite'
    expect_error USAGE 2
}
test_all_is_flushed_at_the_end() {
    serve --filter=log memory 12582912 logfile=log -- \
        '"$REHOST" disk convert ../a.qcow2 "$uri"'
    expect_status 0
    grep -E 'Write|Flush|Zero' log | grep -v '\.\.\.' | tail -n 1 | grep -q Flush ||
        grep -E 'Write|Flush' log | tail -n 2 | grep -q Flush ||
        fail "no flush after the last write: $(tail -n 5 log)"
    held
}

# --- TLS -------------------------------------------------------------------------
test_certificates() {
    need openssl nbdkit
    mkdir pki
    openssl req -x509 -newkey rsa:2048 -nodes -keyout pki/ca-key.pem \
        -out pki/ca-cert.pem -days 2 -subj "/CN=test CA" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -keyout pki/server-key.pem \
        -subj "/CN=localhost" -out r.csr 2>/dev/null
    echo "subjectAltName=DNS:localhost" >san
    openssl x509 -req -in r.csr -CA pki/ca-cert.pem -CAkey pki/ca-key.pem \
        -CAcreateserial -days 2 -extfile san -out pki/server-cert.pem 2>/dev/null
    port=$((20000 + RANDOM % 20000))
    nbdkit -f -p $port -i 127.0.0.1 --tls=require --tls-certificates=pki \
        file ../a.raw 2>/dev/null &
    trap 'kill %1 2>/dev/null' EXIT
    sleep 0.5
    mkdir ca tmp
    export TMPDIR=$PWD/tmp
    cp pki/ca-cert.pem ca/
    run "$REHOST" disk convert \
        "nbds://localhost:$port/?tls-certificates=$PWD/ca" o.raw
    expect_status 0
    expect_same_file o.raw ../a.raw
    run "$REHOST" disk convert "nbds://localhost:$port/" no.raw
    expect_error NBD_FAILED 1
    expect_stderr 'tls-certificates'
    SSL_CERT_FILE=ca/ca-cert.pem run "$REHOST" disk compare \
        "nbds://localhost:$port/" ../a.raw
    expect_status 0
    SSL_CERT_FILE=ca/ca-cert.pem run "$REHOST" disk info \
        "nbds://127.0.0.1:$port/"
    expect_error NBD_FAILED 1
    expect_empty tmp
    run "$REHOST" inspect --json "nbds://localhost:$port/" \
        --source-tls-ca ca/ca-cert.pem
    expect_status 0
    expect_json '.vms[0].disks[0].capacity_bytes' 12582912
    run "$REHOST" disk convert "nbd://localhost:$port/" no.raw
    expect_error NBD_FAILED 1
    # The other side of a copy: whom to believe is an option of its own.
    cp ../a.raw into.raw
    truncate -s 0 into.raw
    truncate -r ../a.raw into.raw
    port=$((port + 1))
    nbdkit -f -p $port -i 127.0.0.1 --tls=require --tls-certificates=pki \
        file into.raw 2>/dev/null &
    trap 'kill %1 %2 2>/dev/null' EXIT
    sleep 0.5
    run "$REHOST" disk convert ../a.raw "nbds://localhost:$port/"
    expect_error NBD_FAILED 1
    expect_stderr '--tls-ca FILE'
    run "$REHOST" disk convert ../a.raw "nbds://localhost:$port/" \
        --tls-ca ca/ca-cert.pem
    expect_status 0
    expect_same_file into.raw ../a.raw
    run "$REHOST" disk convert ../a.raw o.qcow2 --tls-ca ca/ca-cert.pem
    expect_error USAGE 2
    expect_empty tmp
}
test_a_shared_key() {
    need nbdkit
    echo "alice:$(openssl rand -hex 32)" >keys.psk
    chmod 600 keys.psk
    nbdkit -f -U "$PWD/s" --tls=require --tls-psk="$PWD/keys.psk" \
        file ../a.raw 2>/dev/null &
    trap 'kill %1 2>/dev/null' EXIT
    for _ in $(seq 100); do [ -S s ] && break; sleep 0.05; done
    run "$REHOST" disk convert \
        "nbds+unix://alice@/?socket=$PWD/s&tls-psk-file=$PWD/keys.psk" o.raw
    expect_status 0
    expect_same_file o.raw ../a.raw
    echo "alice:$(openssl rand -hex 32)" >wrong.psk
    run "$REHOST" disk convert \
        "nbds+unix://alice@/?socket=$PWD/s&tls-psk-file=$PWD/wrong.psk" no.raw
    expect_error NBD_FAILED 1
    run "$REHOST" disk info "nbds+unix:///?socket=$PWD/s"
    expect_error NBD_ADDRESS 2
}
run_tests
