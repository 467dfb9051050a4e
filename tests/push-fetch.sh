#!/bin/bash
# rehost push to Proxmox VE whose node fetches the disks from us: the stand-in
# downloads with the program that the real one uses.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-vm.sh"
. "$TOP/tests/lib-pve.sh"
command -v wget >/dev/null || {
    skip push-fetch "wget is not installed"
    finish
    exit
}
# Requests by their last word: "upload", "download-url".
posts() {
    jq -r 'select(.method == "POST") | .path' "$STATE/log.jsonl" |
        grep -c "/$1\$"
}
expect_arrived() {
    expect_same_disk "$SCRATCH/0.raw" "$STATE/images/vm-100-disk-1.raw" raw raw
    expect_same_disk "$SCRATCH/1.raw" "$STATE/images/vm-100-disk-2.raw" raw raw
    expect_empty "$STATE/local/import"
    expect_empty web01/.push
}
# The address that a URL named: nobody answers there any more.
expect_closed() {
    run timeout 5 curl -sk "$(tail -n 1 "$STATE/urls")"
    expect_status 7
}

test_the_node_fetches_the_disks() {
    pve
    push --serve 127.0.0.1 --json
    expect_status 0
    expect_schema .stdout rehost.delivery-1.json
    expect_arrived
    expect_equal "$(posts download-url) $(posts upload)" "2 0" "requests"
    # Another path for each, which nobody guesses.
    expect_equal "$(sort -u "$STATE/urls" | grep -cE \
        '^https://127\.0\.0\.1:[0-9]+/[0-9a-f]{64}$')" 2 "paths"
    expect_json '.vms[0].bytes_sent' \
        "$(($(stat -c %s web01/disk0.qcow2) + $(stat -c %s web01/disk1.qcow2)))"
    expect_closed
}
test_a_dry_run_says_so() {
    pve
    push --transfer download --dry-run
    expect_status 0
    expect_stdout 'the node fetches the disks from https://127\.0\.0\.1:[0-9]+ and checks'
    expect_stdout 'would: .*/download-url \(disk0\.qcow2, sha256, from https://127'
    expect_nothing_left
    push --dry-run
    expect_stdout 'would: .*/upload \(disk0\.qcow2\)'
}
test_convert_in_one_go() {
    pve
    cp -r "$SCRATCH/vm" vm
    mkdir tmp
    run env XDG_STATE_HOME="$PWD/kept" TMPDIR="$PWD/tmp" timeout 100 "$REHOST" \
        convert vm --to kvm --out "$URL" --no-guest-fix --serve 127.0.0.1 \
        --tls-ca "$STATE/cert.pem"
    expect_secrets_kept
    expect_status 0
    expect_arrived
    expect_equal "$(posts download-url)" 2 "downloads"
    expect_empty tmp
    expect_empty kept/rehost
}
# The node has room for the disks, but not in its /var/tmp.
test_auto_where_an_upload_has_no_room() {
    pve --root-free 100000
    push -v
    expect_status 0
    expect_stderr 'root file system has .* free'
    expect_equal "$(posts download-url) $(posts upload)" "2 0" "requests"
    expect_arrived
}
# --- a certificate that the node trusts ---------------------------------------------
certificate() { # HOST
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj /CN=here -addext "subjectAltName=DNS:$1" -keyout here.key \
        -out here.pem 2>/dev/null
}
test_a_certificate_that_the_node_trusts() {
    certificate localhost
    pve --trust "$PWD/here.pem"
    push --serve localhost --transfer download --serve-cert here.pem \
        --serve-key here.key
    expect_status 0
    expect_arrived
    expect_equal "$(grep -c ^https://localhost: "$STATE/urls")" 2 "URLs"
}
test_a_certificate_that_it_does_not_trust() {
    certificate localhost
    pve
    push --serve localhost --transfer download --serve-cert here.pem \
        --serve-key here.key
    expect_error DELIVERY_UNREACHED 1
    expect_stderr 'certificate'
    expect_nothing_left
}
# --- what goes wrong -----------------------------------------------------------------
test_what_comes_changed_is_refused() {
    pve --tamper
    push --serve 127.0.0.1
    expect_error DELIVERY_FAILED 1
    expect_stderr 'checksum mismatch'
    expect_nothing_left
    expect_closed
}
test_a_connection_that_breaks_is_resumed() {
    pve --cut-fetch 200000
    push --transfer download
    expect_status 0
    expect_arrived
}
test_a_node_that_cannot_reach_us() {
    pve --no-route
    push --transfer download
    expect_error DELIVERY_UNREACHED 1
    expect_stderr 'could not fetch from https://127\.0\.0\.1:[0-9]+: .*[Cc]onnection refused'
    expect_stderr 'transfer upload'
    expect_nothing_left
    # Where it was not asked for, the disks are sent.
    push --serve 127.0.0.1
    expect_status 0
    expect_stderr 'the disks are uploaded instead'
    expect_equal "$(posts download-url) $(posts upload)" "2 2" "requests"
    expect_arrived
}
test_a_node_that_never_comes() {
    pve --hang-task download --hang 90
    push --transfer download
    expect_error DELIVERY_UNREACHED 1
    expect_stderr 'did not come to https://127\.0\.0\.1:[0-9]+ within'
    expect_nothing_left
    expect_closed
}
test_the_file_changes_under_way() {
    pve --wget-rate 100k
    truncate -s 64M web01/disk0.qcow2 # more than the kernel holds for a socket
    { push --transfer download; expect_error FILE_SHORT 3; } &
    local pid=$!
    wait_for_url
    truncate -s 100000 web01/disk0.qcow2
    wait $pid || fail "$(cat .stderr)"
    expect_nothing_left
}
wait_for_url() {
    for _ in $(seq 100); do
        [ ! -s "$STATE/urls" ] || break
        sleep 0.1
    done
    sleep 0.5
}
test_interrupted() {
    pve --wget-rate 50k
    truncate -s 64M web01/disk0.qcow2
    "$REHOST" push web01 --to "$URL" --tls-ca "$STATE/cert.pem" --serve 127.0.0.1 \
        >.stdout 2>.stderr &
    local pid=$!
    wait_for_url
    kill -INT $pid
    wait $pid
    expect_equal $? 130 "exit status"
    expect_secrets_kept
    expect_nothing_left
    expect_closed
}
test_checked_before_the_first_byte() {
    certificate localhost
    pve
    push --transfer none
    expect_error USAGE 2
    push --transfer upload --serve 127.0.0.1
    expect_error USAGE 2
    push --transfer download --serve localhost --serve-cert here.pem
    expect_error USAGE 2
    push --serve 192.0.2.1
    expect_error SERVE_ADDRESS 1
    push --serve 0.0.0.0
    expect_error SERVE_ADDRESS 1
    push --serve 'a b'
    expect_error SERVE_ADDRESS 1
    push --serve localhost --serve-cert here.pem --serve-key here.pem
    expect_error SERVE_CERT 2
    run "$REHOST" push web01 --to xapi://127.0.0.1:1 --transfer upload
    expect_error USAGE 2
    run "$REHOST" convert "$SCRATCH/vm" --to kvm --out out --serve 127.0.0.1
    expect_error PLAN_OPTION 2
    expect_nothing_left
}
test_without_the_right() {
    printf '{"ci@pve!some": {"secret": "s", "rights": {"/": [%s]}}}' \
        "$(printf '"%s", ' Datastore.AllocateTemplate Datastore.AllocateSpace \
            Datastore.Audit VM.Allocate VM.Audit VM.Config.Disk VM.Config.CPU \
            VM.Config.Memory VM.Config.Network VM.Config.HWType \
            VM.Config.Options SDN.Use | sed 's/, $//')" >tokens.json
    pve --tokens tokens.json
    REHOST_TOKEN='ci@pve!some=s' push --transfer download
    expect_error DELIVERY_RIGHTS 4
    expect_stderr 'Sys\.AccessNetwork on /nodes/pve1'
    expect_nothing_left
    REHOST_TOKEN='ci@pve!some=s' push --serve 127.0.0.1
    expect_status 0
    expect_stderr 'the disks are uploaded: there is no right'
    expect_arrived
}
# --- strangers -----------------------------------------------------------------------
test_strangers_get_nothing() {
    touch hold
    pve --hold "$PWD/hold"
    "$REHOST" push web01 --to "$URL" --tls-ca "$STATE/cert.pem" --serve 127.0.0.1 \
        >.stdout 2>.stderr &
    local pid=$!
    wait_for_url
    cat >stranger.py <<'PY'
import socket, ssl, sys, urllib.parse
u = urllib.parse.urlsplit(sys.argv[1])
context = ssl._create_unverified_context()
def say(request, source="127.0.0.1", close=True):
    try:
        raw = socket.create_connection((u.hostname, u.port), 5, (source, 0))
        s = context.wrap_socket(raw)
        s.sendall(request)
        answer = s.recv(4096).split(b"\r\n")[0].decode()
    except OSError as e:
        return type(e).__name__
    return answer
head = " HTTP/1.1\r\nHost: x\r\n"
for name, text in (("guess", "GET /" + "0" * 64 + head + "\r\n"),
                   ("root", "GET /" + head + "\r\n"),
                   ("part", "GET " + u.path[:-1] + head + "\r\n"),
                   ("post", "POST " + u.path + head + "\r\n"),
                   ("body", "GET " + u.path + head + "Content-Length: 5\r\n\r\nhello"),
                   ("old", "GET " + u.path + "\r\n\r\n"),
                   ("long", "GET " + u.path + head + "X: " + "a" * 9000),
                   ("head", "HEAD " + u.path + head + "\r\n"),
                   ("range", "GET " + u.path + head + "Range: bytes=4-7\r\n\r\n"),
                   ("past", "GET " + u.path + head + "Range: bytes=999999999-\r\n\r\n")):
    print(name, say(text.encode()))
print("elsewhere", say(("GET " + u.path + head + "\r\n").encode(), "127.0.0.2"))
# More who say nothing than there are places, and who are no TLS.
idle = [socket.create_connection((u.hostname, u.port), 5) for _ in range(40)]
for s in idle[:20]:
    try:
        s.sendall(b"GET " + u.path.encode() + b" HTTP/1.1\r\n\r\n")
    except OSError:
        pass
print("again", say(("HEAD " + u.path + head + "\r\n").encode()))
PY
    run timeout 60 python3 stranger.py "$(head -n 1 "$STATE/urls")"
    expect_stdout '^guess HTTP/1.1 404'
    expect_stdout '^root HTTP/1.1 404'
    expect_stdout '^part HTTP/1.1 404'
    expect_stdout '^post HTTP/1.1 405'
    expect_stdout '^body HTTP/1.1 400'
    expect_stdout '^old HTTP/1.1 400'
    expect_stdout '^long HTTP/1.1 431'
    expect_stdout '^head HTTP/1.1 200'
    expect_stdout '^range HTTP/1.1 206'
    expect_stdout '^past HTTP/1.1 416'
    expect_stdout '^elsewhere [A-Z][A-Za-z]*Error$'
    expect_stdout '^again HTTP/1.1 200'
    rm hold
    wait $pid
    expect_equal $? 0 "exit status"
    expect_arrived
}
# Nobody is asked: what does nothing there is told at once.
test_options_of_another_target() {
    local option
    for option in import-storage=local transfer=upload serve=127.0.0.1; do
        run "$REHOST" convert "$SCRATCH/vm" --to xen --no-guest-fix \
            --out xapi://127.0.0.1:1/NFS "--$option"
        expect_error PLAN_OPTION 2
        expect_stderr "--${option%=*} is not for xapi"
    done
    run "$REHOST" convert "$SCRATCH/vm" --to kvm --no-guest-fix \
        --out libvirt:test:///default --transfer upload
    expect_error PLAN_OPTION 2
    for option in start wait-address=5 keep-failed; do
        run "$REHOST" convert "$SCRATCH/vm" --to xen --no-guest-fix --out - "--$option"
        expect_error PLAN_OPTION 2
        expect_stderr "--${option%=*} is not for standard output"
    done
}
run_tests
