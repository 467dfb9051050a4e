#!/bin/bash
# http.sh - packages read over http(s) from servers with all kinds of manners.
. "$(dirname "$0")/lib.sh"

command -v qemu-img >/dev/null || { skip http "no qemu-img"; finish; exit; }
"$REHOST" --version | grep -q '^libcurl: *yes' ||
    { skip http "built without libcurl"; finish; exit; }
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
WWW=$SCRATCH/www VMDK=$SCRATCH/box.vmdk
make_disk box.raw 8388608
qemu-img convert -q -f raw -O vmdk -o subformat=streamOptimized box.raw "$VMDK"
mkdir "$WWW"
for case in plain-ustar tar-gz symlink; do
    mv "$(python3 "$TOP/tests/mkpackage.py" make $case "$VMDK" "$case")" "$WWW/$case.ova"
done
cp "$VMDK" "$WWW/"
# A large package of which hardly anything should travel.
python3 - "$WWW/large.ova" <<'PY'
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location(
    "m", os.environ["TOP"] + "/tests/mkpackage.py")
m = importlib.util.module_from_spec(spec)
spec.loader.exec_module(m)
m.CAPACITY = size = 1 << 30
with open(sys.argv[1], "wb") as f:
    f.write(m.header("box.raw", size))
    f.seek(size, 1)
    f.write(m.member("box.ovf", m.simple("box.raw")) + m.END)
PY

serve() { # PORT-FILE [CERT KEY]
    python3 "$TOP/tests/httpd.py" "$WWW" "$@" &
    servers="${servers-} $!"
    for _ in $(seq 100); do
        [ -s "$1" ] && break
        sleep 0.1
    done
}
stop() {
    # shellcheck disable=SC2086 # several
    kill ${servers-} 2>/dev/null
}
trap 'stop; cd /; rm -rf "$SCRATCH"' EXIT
serve "$SCRATCH/port"
URL=http://127.0.0.1:$(cat "$SCRATCH/port")
sent() { # MANNER: bytes
    awk -v m="/$1/" 'index($1, m) == 1 { n += $3 } END { print n + 0 }' "$WWW/.log"
}
inspects() { # URL [NAME]
    run timeout 100 "$REHOST" inspect "$1" --json
    expect_status 0
    expect_json '.vms[0].disks[0].capacity_bytes' "${2-8388608}"
}

test_by_ranges() {
    inspects "$URL/plain/plain-ustar.ova"
    expect_json .package.kind ova
    expect_json .package.path "$URL/plain/plain-ustar.ova"
    expect_equal "$(grep -c 'plain-ustar.ova None' "$WWW/.log")" 0 "whole requests"
}
test_little_of_a_large_package_travels() {
    inspects "$URL/plain/large.ova" 1073741824
    expect_equal $(($(sent plain) < 20000000)) 1 "$(sent plain) bytes of 1 GiB sent"
}
test_a_connection_that_breaks_is_taken_up() {
    inspects "$URL/breaks/plain-ustar.ova"
    inspects "$URL/breaks/tar-gz.ova"
    expect_json .package.kind ova.gz
}
test_a_server_that_is_busy_at_first() {
    inspects "$URL/busy/plain-ustar.ova"
}
test_a_server_without_ranges() {
    inspects "$URL/whole/plain-ustar.ova"
    inspects "$URL/whole/tar-gz.ova"
}
test_a_server_without_ranges_that_breaks() {
    run timeout 100 "$REHOST" inspect "$URL/whole-breaks/plain-ustar.ova"
    expect_error HTTP_FAILED 1
    expect_stderr "no ranges"
}
test_a_redirect_is_followed() {
    inspects "$URL/moved/plain-ustar.ova"
}
test_a_redirect_in_a_circle() {
    run timeout 100 "$REHOST" inspect "$URL/loop/box.ova"
    expect_error HTTP_REDIRECT 1
}
test_a_redirect_to_a_file() {
    run timeout 100 "$REHOST" inspect "$URL/to-file/plain-ustar.ova"
    expect_error HTTP_REDIRECT 1
}
test_a_file_that_changes_meanwhile() {
    run timeout 100 "$REHOST" inspect "$URL/changes/large.ova"
    expect_error HTTP_CHANGED 1
}
test_an_answer_to_another_question() {
    run timeout 100 "$REHOST" inspect "$URL/lies/large.ova"
    expect_error HTTP_FAILED 1
}
test_a_page_that_is_not_there() {
    run timeout 100 "$REHOST" inspect "$URL/plain/gone.ova"
    expect_error HTTP_STATUS 1
    expect_stderr "404"
}
# With a manifest the digests are computed beside a copy that is slower, or
# faster, than they are: no byte travels twice for that.
travels_once() { # OPTION...
    [ -e "$SCRATCH/heavy.raw" ] || {
        head -c 96000000 /dev/urandom >"$SCRATCH/heavy.raw"
        qemu-img convert -q -f raw -O vmdk -o subformat=streamOptimized \
            "$SCRATCH/heavy.raw" "$SCRATCH/heavy.vmdk"
        made=$(python3 "$TOP/tests/mkpackage.py" make plain-ustar "$SCRATCH/heavy.vmdk" heavy)
        mv "$made" "$WWW/heavy.ova"
    }
    : >"$WWW/.log"
    run timeout 100 "$REHOST" convert "$URL/heavy/heavy.ova" --to kvm --out out \
        --no-guest-fix --overwrite "$@"
    expect_status 0
    expect_json .source.manifest verified out/box/receipt.json
    size=$(stat -c %s "$WWW/heavy.ova")
    expect_equal $(($(sent heavy) < size + size / 20)) 1 "$(sent heavy) bytes of $size sent"
}
test_a_manifest_and_slow_workers_take_the_bytes_once() { travels_once --compress zlib; }
test_a_manifest_and_one_slow_worker_take_the_bytes_once() {
    travels_once --compress zlib --threads 1
}
test_a_manifest_and_fast_workers_take_the_bytes_once() { travels_once --format raw; }

# Not in text, JSON or page, receipts, errors or progress; nor a query's token.
test_no_secret_of_a_source_is_shown_anywhere() {
    secret="${URL/:\/\//:\/\/user:pass@}/secret/plain-ustar.ova?sig=t0ken"
    bad="${URL/:\/\//:\/\/user:pass@}x/secret/plain-ustar.ova?sig=t0ken"
    gone=http://user:pass@127.0.0.1:9/secret/plain.ova?sig=t0ken
    for source in "$secret" "$bad" "$gone" ftp://user:pass@host/a.ova https:/user:pass@host/a.ova; do
        for command in "inspect" "inspect --json" "report --to all" "report --to all --json" \
            "report --to all --html page.html" "verify" "disk info" "disk convert" "disk compare" \
            "convert --to kvm --no-guest-fix --progress json --overwrite --out out"; do
            extra=()
            case $command in verify | "disk c"*) extra=(out) ;; esac
            # shellcheck disable=SC2086 # words
            run timeout 60 "$REHOST" ${command%% --*} "$source" "${extra[@]}" \
                $(case $command in *--*) echo "--${command#* --}" ;; esac)
            found=$(grep -rlE 'user:|pass@|t0ken' .stdout .stderr out page.html 2>/dev/null)
            expect_equal "$found" "" "secrets after $command $source"
        done
    done
    expect_file out/box/receipt.json page.html
}
test_a_password_is_used_and_never_shown() {
    inspects "${URL/:\/\//:\/\/user:pass@}/secret/plain-ustar.ova"
    expect_no_stdout "pass"
    run timeout 100 "$REHOST" inspect "${URL/:\/\//:\/\/user:wrong@}/secret/plain-ustar.ova"
    expect_error HTTP_STATUS 1
    expect_equal "$(grep -c wrong .stderr)" 0 "password shown"
}
# At RATE, SECONDS (a float) were enough for what was sent, but for what an idle
# link catches up on.
paced() { # RATE SECONDS
    awk -v b="$(sent plain)" -v r="$1" -v t="$2" 'BEGIN { exit !(t > b / r - 0.3) }' ||
        fail "$(sent plain) bytes in $2 seconds: more than $1 a second"
    held
}
took() { # COMMAND...: sets TOOK
    local from
    from=$(date +%s.%N)
    run timeout 100 "$@"
    TOOK=$(awk -v a="$from" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')
}
test_bandwidth_holds_for_a_source() {
    : >"$WWW/.log"
    took "$REHOST" disk convert "$URL/plain/box.vmdk" out.raw -O raw --bandwidth 2M
    expect_status 0
    expect_same_disk "$WWW/box.vmdk" out.raw
    paced 2097152 "$TOOK"
    for bad in 0 1K much 4M@0 4M@99 -1; do
        run "$REHOST" disk convert "$URL/plain/box.vmdk" b.raw -O raw --bandwidth "$bad"
        expect_error USAGE 2
    done
}
test_bandwidth_is_shared_by_a_batch() {
    cat >jobs.yaml <<END
schema: rehost.jobs/1
out: import
jobs: 3
bandwidth: 3M
defaults: {to: kvm, format: raw}
vms:
  - {source: "$URL/plain/plain-ustar.ova", name: a}
  - {source: "$URL/plain/plain-ustar.ova?2", name: b}
  - {source: "$URL/plain/plain-ustar.ova?3", name: c}
END
    : >"$WWW/.log"
    took "$REHOST" batch run jobs.yaml
    expect_status 0
    paced 3145728 "$TOOK"
    expect_file import/a/receipt.json import/b/receipt.json import/c/receipt.json
}
# Done is what was made of the file that is there: by its ETag or date and size.
test_a_changed_source_is_done_anew() {
    cp "$WWW/plain-ustar.ova" "$WWW/moving.ova"
    cat >jobs.yaml <<END
schema: rehost.jobs/1
out: import
defaults: {to: kvm, format: raw, retries: 0}
vms: [{source: "$URL/plain/moving.ova", name: a}]
END
    run "$REHOST" batch run jobs.yaml
    expect_status 0
    first=$(stat -c %i import/a)
    run "$REHOST" batch run jobs.yaml
    expect_status 0
    expect_equal "$(stat -c %i import/a)" "$first" "done once"
    : >"$WWW/.log"
    run "$REHOST" batch resume jobs.yaml
    expect_equal $(($(sent plain) < 10)) 1 "$(sent plain) bytes to learn that nothing changed"
    printf x >>"$WWW/moving.ova"
    run "$REHOST" batch run jobs.yaml
    expect_status 0
    [ "$(stat -c %i import/a)" != "$first" ] || fail "the changed source was not done anew"
    # A server that is away has changed nothing.
    mv "$WWW/moving.ova" "$WWW/away.ova"
    run "$REHOST" batch run jobs.yaml
    expect_status 0
}
# What a killed run has fetched is not fetched again.  On its way when it died
# were at most four requests of 2 MiB.
LOST=$((4 * 2097152)) BIG=25165824
big() { # [BYTES MORE]: a package of which all must travel; jobs.yaml
    [ -e "$SCRATCH/big.raw" ] || head -c $BIG /dev/urandom >"$SCRATCH/big.raw"
    python3 - "$WWW/big.ova" "$SCRATCH/big.raw" <<'PY'
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location(
    "m", os.environ["TOP"] + "/tests/mkpackage.py")
m = importlib.util.module_from_spec(spec)
spec.loader.exec_module(m)
data = open(sys.argv[2], "rb").read()
m.CAPACITY = len(data)
with open(sys.argv[1], "wb") as f:
    f.write(m.member("box.ovf", m.simple("box.raw")) +
            m.member("box.raw", data) + m.END)
PY
    printf %s "${1-}" >>"$WWW/big.ova"
    SIZE=$(stat -c %s "$WWW/big.ova")
    printf '%s\n' "schema: rehost.jobs/1" "out: import" "bandwidth: ${PACE-12M}" \
        "defaults: {to: kvm, format: raw, retries: 0, no-guest-fix: true${KEYS-}}" \
        "vms: [{source: \"$URL/${MANNER-plain}/big.ova\", name: a}]" >jobs.yaml
    : >"$WWW/.log"
}
killed_at() { # BYTES: when as many are kept
    "$REHOST" batch run jobs.yaml >/dev/null 2>&1 &
    local pid=$! n=0
    for _ in $(seq 400); do
        n=$(cat import/.rehost/fetched/a/*.bytes 2>/dev/null | wc -c)
        [ "$n" = 0 ] || n=$(du -B1 -c import/.rehost/fetched/a/*.bytes | tail -1 | cut -f1)
        [ "$n" -lt "$1" ] || break
        sleep 0.02
    done
    kill -9 $pid
    wait $pid 2>/dev/null
    [ "$n" -ge "$1" ] || fail "only $n bytes were kept"
}
resumed() {
    sed -i '/^bandwidth/d' jobs.yaml
    run timeout 100 "$REHOST" batch resume jobs.yaml
    expect_status 0
    expect_same_file import/a/disk0.raw "$SCRATCH/big.raw"
    [ ! -e import/.rehost/fetched ] || fail "left: $(ls -R import/.rehost/fetched)"
}
test_what_came_before_a_kill_does_not_travel_again() {
    MANNER=twice big
    killed_at 8000000
    killed_at 16000000
    resumed
    n=$(sent twice)
    [ "$n" -le $((SIZE + 2 * LOST + 300000)) ] && [ "$n" -ge "$SIZE" ] ||
        fail "$n bytes of $SIZE sent"
}
test_a_failed_try_goes_on_with_what_came() {
    MANNER=dies big
    sed -i 's/retries: 0/retries: 3/; s/^bandwidth.*/retry-delay: 1/' jobs.yaml
    resumed
    n=$(sent dies)
    [ "$n" -le $((SIZE + LOST + 300000)) ] || fail "$n bytes of $SIZE sent"
    [ "$(grep -c vm-retry import/.rehost/audit/*.jsonl)" -ge 1 ] || fail "no second try"
}
test_what_was_kept_is_believed_by_its_digest_alone() {
    MANNER=torn big
    killed_at 12000000
    python3 - import/.rehost/fetched/a/*.bytes import/.rehost/fetched/a/*.map <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(6000000)
    f.write(bytes(70000))
with open(sys.argv[2], "r+b") as f:
    data = f.read()
    f.seek(45)
    f.write(b"\xff")
    f.seek(len(data))
    f.write(data[40:60])
PY
    resumed
    n=$(sent torn)
    [ "$n" -le $((SIZE + LOST + 2 * 1048576 + 300000)) ] || fail "$n bytes of $SIZE sent"
}
test_what_has_changed_is_fetched_anew() {
    MANNER=changed big
    killed_at 12000000
    head -c $BIG /dev/urandom >"$SCRATCH/big.raw"
    MANNER=changed PACE=4M big x
    killed_at 2000000
    expect_equal "$(ls import/.rehost/fetched/a | wc -l)" 2 "files of one state"
    : >"$WWW/.log"
    resumed
    [ "$(sent changed)" -ge $((SIZE - 16000000)) ] || fail "only $(sent changed) bytes sent"
}
test_what_may_change_unseen_is_not_kept() {
    for manner in loose whole; do
        MANNER=$manner big
        "$REHOST" batch run jobs.yaml >/dev/null 2>&1 &
        sleep 0.7
        kill -9 $!
        wait $! 2>/dev/null
        expect_equal "$(find import/.rehost/fetched -type f)" ""
    done
}
test_what_is_kept_is_bounded_and_can_be_switched_off() {
    MANNER=bounded KEYS=", keep-fetched: false" big
    sed -i '/^bandwidth/d' jobs.yaml
    run timeout 100 "$REHOST" batch run jobs.yaml
    expect_status 0
    [ ! -e import/.rehost/fetched ] || fail "kept"
    "$REHOST" convert "$URL/plain/big.ova" --to kvm --out out --format raw \
        --no-guest-fix --fetched-dir kept --fetched-most 3M --bandwidth 12M >killed 2>&1 &
    sleep 1.2
    kill -9 $!
    wait $! 2>/dev/null
    n=$(du -B1 -c kept/*.bytes | tail -1 | cut -f1)
    [ "$n" -gt 1000000 ] && [ "$n" -le 3145728 ] || fail "$n bytes kept of 3 MiB" "$(cat killed)"
    run "$REHOST" convert "$URL/plain/big.ova" --to kvm --out out --format raw \
        --no-guest-fix --fetched-dir kept
    expect_status 0
    expect_same_file out/box/disk0.raw "$SCRATCH/big.raw"
    [ ! -e kept ] || fail "left: $(ls kept)"
    # Of a VM that the job file does not name any more nothing stays.
    rm -r import
    MANNER=bounded big
    killed_at 2000000
    sed -i 's/name: a/name: b/; /^bandwidth/d' jobs.yaml
    run timeout 100 "$REHOST" batch run jobs.yaml
    expect_status 0
    [ ! -e import/.rehost/fetched ] || fail "left: $(ls -R import/.rehost/fetched)"
}
test_a_cancel_does_not_wait_for_bandwidth() {
    took timeout -s INT 1 "$REHOST" disk convert "$URL/plain/box.vmdk" out.raw -O raw --bandwidth 64K
    expect_equal "$(ls)" ""
    awk -v t="$TOOK" 'BEGIN { exit !(t < 4) }' || fail "it took $TOOK seconds to stop"
}
test_a_log_in_by_the_environment() {
    local REHOST_SOURCE_USER=user REHOST_SOURCE_PASSWORD=pass
    run timeout 100 "$REHOST" inspect "$URL/asks/plain-ustar.ova"
    expect_error HTTP_STATUS 1
    expect_stderr "hint: .*REHOST_SOURCE_PASSWORD"
    export REHOST_SOURCE_USER REHOST_SOURCE_PASSWORD
    inspects "$URL/asks/plain-ustar.ova"
    export REHOST_SOURCE_PASSWORD=wrong
    run timeout 100 "$REHOST" inspect "$URL/asks/plain-ustar.ova"
    expect_error HTTP_STATUS 1
    expect_equal "$(grep -c wrong .stderr)" 0 "password shown"
}
# What may change unseen is compared with its manifest, and not called verified.
test_a_server_that_does_not_say_when_a_file_changes() {
    run timeout 100 "$REHOST" convert "$URL/loose/plain-ustar.ova" --to kvm \
        --out out --no-guest-fix
    expect_status 0
    expect_json .source.manifest unverified out/box/receipt.json
    expect_json '[.source.files[].verified] | any' false out/box/receipt.json
    expect_json '[.vms[0].targets[0].findings[].id] |
        any(. == "PACKAGE-UNPINNED")' true out/box/report.json
    run timeout 100 "$REHOST" convert "$URL/loose/plain-ustar.ova" --to kvm \
        --out no --no-guest-fix --require-manifest
    expect_error MANIFEST_UNPINNED 1
    [ ! -e no ] || fail "something was left"
    for manner in dated plain; do
        run timeout 100 "$REHOST" convert "$URL/$manner/plain-ustar.ova" \
            --to kvm --out $manner --no-guest-fix --require-manifest
        expect_status 0
        expect_json .source.manifest verified $manner/box/receipt.json
    done
}
test_a_bare_disk() {
    inspects "$URL/plain/box.vmdk"
    expect_json .vms[0].name box
}
# A lone disk: by ranges where there are some, else forward and never stored.
converts() { # URL
    local VMDK=${2-$VMDK}
    run env TMPDIR=/nonexistent timeout 100 "$REHOST" disk convert "$1" \
        out.qcow2 --overwrite
    expect_status 0
    expect_silent
    expect_same_disk "$VMDK" out.qcow2 vmdk qcow2
}
test_disk_by_ranges() {
    converts "$URL/plain/box.vmdk"
    run timeout 100 "$REHOST" disk info --json "$URL/plain/box.vmdk"
    expect_json .virtual_size 8388608
}
test_disk_from_a_server_without_ranges() {
    converts "$URL/whole/box.vmdk"
    run timeout 100 "$REHOST" disk compare "$URL/whole/box.vmdk" "$VMDK"
    expect_stdout '^identical$'
}
test_compressed_disk_by_http() {
    gzip -c "$VMDK" >"$WWW/packed.vmdk.gz"
    converts "$URL/plain/packed.vmdk.gz"
    converts "$URL/whole/packed.vmdk.gz"
}
# A package's compressed disk is neither stored nor fetched again for its digest.
test_compressed_member_travels_once() {
    local size
    python3 -c 'import random, sys
r = random.Random(1)
for i in range(40): sys.stdout.buffer.write(r.randbytes(1 << 20))' >noise.raw
    qemu-img convert -f raw -O vmdk -o subformat=streamOptimized noise.raw noise.vmdk
    python3 "$TOP/tests/mkpackage.py" pack gzip noise.vmdk "$WWW/member.ova"
    run env TMPDIR=/nonexistent timeout 100 "$REHOST" convert \
        "$URL/plain/member.ova" --to kvm --no-guest-fix --format raw --out out
    expect_status 0
    expect_same_file noise.raw out/box/disk0.raw
    expect_json .package.manifest verified out/box/vm.json
    size=$(stat -c %s "$WWW/member.ova")
    expect_equal $(($(awk '/member.ova/ { n += $3 } END { print n }' \
        "$WWW/.log") < size * 3 / 2)) 1 "$(grep member.ova "$WWW/.log") of $size"
}
# A distant server: ranges side by side and ahead, and no byte twice.
test_ranges_ahead_of_a_distant_server() {
    local size
    python3 -c 'import random, sys
r = random.Random(2)
for i in range(32): sys.stdout.buffer.write(r.randbytes(1 << 20))' >noise.raw
    qemu-img convert -f raw -O vmdk -o subformat=streamOptimized noise.raw \
        "$WWW/distant.vmdk"
    converts "$URL/distant/distant.vmdk" "$WWW/distant.vmdk"
    size=$(stat -c %s "$WWW/distant.vmdk")
    expect_equal $(($(sent distant) <= size + size / 50)) 1 \
        "$(sent distant) bytes travelled of $size"
    expect_equal $(($(cat "$WWW/.most") >= 3)) 1 \
        "requests side by side: $(cat "$WWW/.most")"
}
test_disk_that_must_be_stored() {
    qemu-img convert -f vmdk -O qcow2 "$VMDK" "$WWW/box.qcow2"
    run timeout 100 "$REHOST" disk convert -v "$URL/whole/box.qcow2" \
        out.raw
    expect_status 0
    expect_stderr 'box.qcow2: cannot be read forward; it is stored first'
    expect_same_disk "$VMDK" out.raw vmdk raw
}
test_disk_from_a_server_that_breaks() {
    run timeout 100 "$REHOST" disk convert "$URL/whole-breaks/box.vmdk" \
        out.qcow2
    expect_error HTTP_FAILED 1
    expect_equal "$(ls)" "" "files left"
}
test_a_hostile_package() {
    run timeout 100 "$REHOST" inspect "$URL/plain/symlink.ova"
    expect_error PACKAGE_MEMBER_TYPE 3
}
test_nobody_listens() {
    run timeout 100 "$REHOST" inspect "http://127.0.0.1:1/box.ova"
    expect_error HTTP_FAILED 1
}
test_libcurl_is_loaded_when_needed_only() {
    mkdir broken
    : >broken/libcurl.so.4
    : >broken/libguestfs.so.0
    export LD_LIBRARY_PATH=$PWD/broken
    run "$REHOST" inspect "$WWW/plain-ustar.ova"
    expect_status 0
    run "$REHOST" inspect "$URL/plain/plain-ustar.ova"
    expect_error UNAVAILABLE 1
    expect_stderr 'libcurl\.so\.4'
}
test_tls_that_nobody_vouches_for() {
    need openssl
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem \
        -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null
    servers=
    serve port cert.pem key.pem
    run timeout 100 "$REHOST" inspect "https://127.0.0.1:$(cat port)/plain/plain-ustar.ova"
    expect_error HTTP_TLS 1
    # The same server is fine once its certificate is known.
    CURL_CA_BUNDLE=$PWD/cert.pem SSL_CERT_FILE=$PWD/cert.pem \
        inspects "https://127.0.0.1:$(cat port)/plain/plain-ustar.ova"
    stop
}
run_tests
