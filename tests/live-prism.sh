# Live sources: Prism Central by versions 4 and 3, Element by 2 and 3, played
# by a strict stand-in.
# SPDX-License-Identifier: LGPL-2.1-or-later
# long
. "$(dirname "$0")/lib.sh"

"$REHOST" --version | grep -q '^libcurl: *yes' ||
    { skip live-prism "built without libcurl"; finish; exit; }
SECRET=s3cr3t-Pa55
export XDG_STATE_HOME=$SCRATCH/state
export REHOST_SOURCE_USER=admin REHOST_SOURCE_PASSWORD=$SECRET
export REHOST_SOURCE_TOKEN=''
ID=11111111-2222-4333-8444-555555555555
make_disk "$SCRATCH/a.raw" 6291456 a
make_disk "$SCRATCH/b.raw" 2097152 b
cat >"$SCRATCH/vms.json" <<JSON
[{"name": "web 01", "uuid": "$ID", "sockets": 2, "cores": 2,
  "memory_mib": 2048, "boot": "SECURE_BOOT", "machine": "Q35", "vtpm": true,
  "power": "OFF", "description": "the shop", "timezone": "Asia/Tokyo",
  "disks": [{"file": "a.raw", "bus": "SCSI", "index": 0},
            {"file": "b.raw", "bus": "SCSI", "index": 3}],
  "nics": [{"mac": "50:6b:8d:00:00:01", "subnet": "prod"},
           {"mac": "50:6b:8d:00:00:02", "subnet": "backup"}]},
 {"name": "runs", "sockets": 1, "cores": 1, "memory_mib": 512,
  "disks": [{"file": "b.raw", "bus": "SATA", "index": 0}], "nics": []},
 {"name": "twin", "sockets": 1, "cores": 1, "memory_mib": 512, "power": "OFF",
  "disks": [], "nics": []},
 {"name": "twin", "sockets": 1, "cores": 1, "memory_mib": 512, "power": "OFF",
  "disks": [], "nics": []}]
JSON

test_a_pin_is_called_by_its_option() {
    run "$REHOST" inspect prism://127.0.0.1:1/x --source-pin nonsense
    expect_error USAGE 2
    expect_stderr 'error: .*--source-pin nonsense is no SHA-256 fingerprint'
    run "$REHOST" inspect prism://127.0.0.1:1/x --pin nonsense
    expect_stderr 'error: .*--pin nonsense is no SHA-256 fingerprint'
}
prism() { # [OPTION...]
    need qemu-img openssl
    stand_in prism state --spec "${SPEC:-$SCRATCH/vms.json}" --password "$SECRET" \
        --task-delay 0.05 "$@"
    PC=$(sed -n 's|^ready PC https://\([^ ]*\) .*|\1|p' ready)
    PE=$(sed -n 's|^ready .* PE ||p' ready)
    CA=(--tls-ca "$STATE/cert.pem")
}
rehost() {
    run timeout 100 "$REHOST" "$@" "${CA[@]}"
    ! grep -rqF -- "$SECRET" .stdout .stderr || fail "a secret was shown"
}
requests() { # REGEX of "METHOD PATH"
    jq -r 'select(.method) | .method + " " + .path' "$STATE/log.jsonl" |
        grep -cE -- "$1"
}
no_image_left() {
    [ -z "$(ls "$STATE" | grep ^image-)" ] || fail "an image was left there"
    held
}
curl_v() { # URL [OPTION...]
    curl -s --cacert "$STATE/cert.pem" -u "admin:$SECRET" "https://$1" "${@:2}"
}

# What is said of the VM, without where it came from and what its disks are
# called.
plain() { # VM.json
    jq -S '.vms[0] | del(.provenance, .findings, .source, .id) |
        .disks |= map({bus, unit, controller, capacity_bytes})' "$1"
}
same_as_by_fill() { # HOST LIVE.json FILL.json
    "$REHOST" inspect --json --fill "$2" ../a.raw ../b.raw >by-fill.json \
        2>.stderr || fail "$(cat .stderr)"
    rehost inspect --json "prism://$1/web%2001"
    expect_status 0
    plain by-fill.json >want
    plain .stdout >found
    [ -z "${3-}" ] || sed -i "$3" want
    diff want found >.d || fail "$(cat .d)"
    expect_same_file found want
    expect_json '[.vms[0].provenance[] | .from] | unique | join(" ")' prism
    expect_json '[.vms[0].findings[].id] | index("TPM-CONTENTS") != null' true
    cp .stdout live.json
    expect_schema live.json rehost.vm-1.json
}
test_version_4_says_what_its_file_says() {
    prism
    curl_v "$PC/api/vmm/v4.1/ahv/config/vms/$ID" >v4.json
    same_as_by_fill "$PC" v4.json "$(
        curl_v "$PC/api/networking/v4.1/config/subnets" |
            jq -r '.data[] | "s/" + .extId + "/" + .name + "/"')"
    expect_json '.vms[0].nics[1].network' backup live.json
    expect_json '.vms[0].provenance.cpus.detail' 'Prism Central v4' live.json
    expect_json '.vms[0].secure_boot' true live.json
}
test_version_3_says_what_its_file_says() {
    prism --v4-minor -1
    curl_v "$PC/api/nutanix/v3/vms/$ID" >v3.json
    same_as_by_fill "$PC" v3.json
    expect_json '.vms[0].provenance.cpus.detail' 'Prism Central v3' live.json
}
test_version_2_says_what_its_file_says() {
    prism
    curl_v "$PE/PrismGateway/services/rest/v2.0/vms/$ID?$(
        echo 'include_vm_disk_config=true&include_vm_nic_config=true')" |
        jq '.vtpm_config = {is_vtpm_enabled: true} |
            .vm_nics[0].network_name = "prod" |
            .vm_nics[1].network_name = "backup"' >v2.json
    same_as_by_fill "$PE" v2.json
    expect_json '.vms[0].provenance.cpus.detail' 'Prism Element v2' live.json
    expect_json '.vms[0].nics[0].network' prod live.json
}
test_a_vm_by_its_id_and_names_that_are_no_good() {
    prism
    rehost inspect --json "prism://$PC/$ID"
    expect_json '.vms[0].name' 'web 01'
    rehost inspect "prism://$PC/nobody"
    expect_error LIVE_NOT_FOUND 1
    rehost inspect "prism://$PC/twin"
    expect_error LIVE_SEVERAL 2
    expect_stderr '2 VMs have that name: [0-9a-f-]{36}, [0-9a-f-]{36}'
    rehost inspect "prism://$PC/a/b"
    expect_error LIVE_URL 2
}

test_many_vms_in_pages() {
    local version
    python3 - >many.json <<'PY'
import json
print(json.dumps([{"name": "vm%03d" % i, "sockets": 1, "cores": 1,
                   "memory_mib": 512, "disks": [], "nics": []}
                  for i in range(250)]))
PY
    SPEC=$PWD/many.json
    prism
    rehost inspect --json "prism://$PC/vm249"
    expect_json '.vms[0].name' vm249
    expect_equal "$(requests 'GET /api/vmm/v4.1/ahv/config/vms$')" 4 "pages"
    rehost inspect --json "prism://$PE/vm249"
    expect_json '.vms[0].name' vm249
    kill $SERVER
    rm -rf state
    prism --v4-minor -1
    rehost inspect --json "prism://$PC/vm249"
    expect_json '.vms[0].name' vm249
    expect_equal "$(requests 'POST /api/nutanix/v3/vms/list')" 4 "pages"
}

test_lists_by_every_version() {
    local args
    for args in "" "--v4-minor -1"; do
        # shellcheck disable=SC2086
        prism $args
        for host in "$PC" "$PE"; do
            rehost inspect --json "prism://$host"
            expect_status 0
            expect_schema .stdout rehost.inventory-1.json
            expect_json '.vms | length' 4
            expect_json '.vms[] | select(.name == "web 01") | [.name, .uuid, .power, .cpus, .memory_bytes,
                .disk_bytes] | join(" ")' \
                "web 01 $ID off 4 2147483648 8388608"
            expect_json '.vms[] | select(.name == "web 01") | .networks |
                join(" ")' "prod backup"
            expect_json '.vms[] | select(.name == "runs") | .power' on
        done
        rehost inspect "prism://$PC"
        expect_stdout '^web 01 +off +4 +2 GiB'
        kill $SERVER
        rm -rf state
    done
}
test_a_batch_of_all() {
    SPEC=$PWD/three.json
    jq '.[0:2] | .[1].power = "OFF"' "$SCRATCH/vms.json" >three.json
    cp "$SCRATCH"/[ab].raw .
    prism
    CA=(--source-tls-ca "$STATE/cert.pem")
    rehost batch init "prism://$PC" -o jobs.yaml
    expect_status 0
    grep -q "prism://$PC/web%2001" jobs.yaml || fail "$(cat jobs.yaml)"
    CA=()
    rehost batch run jobs.yaml --progress none
    expect_status 0
    expect_same_disk ../a.raw import/web-01/disk0.qcow2
    expect_same_disk ../b.raw import/runs/disk0.qcow2
    no_image_left
}

# Twice, then after somebody has used the VM: the address is the same.
test_a_batch_takes_a_changed_vm_anew() {
    local minor first
    cp "$SCRATCH"/[ab].raw .
    used() { # WHEN [OPTION...]: another server, where that is the last change
        SPEC=$PWD/one.json
        jq --arg when "$1" '.[0:1] | if $when == "" then . else .[0].updated = $when end' \
            "$SCRATCH/vms.json" >one.json
        [ -z "${SERVER-}" ] || { kill $SERVER; wait $SERVER; } 2>/dev/null
        shift
        prism "$@"
        CA=()
    }
    run_batch() {
        rehost batch run jobs.yaml --progress none
        expect_status 0
        made=$(stat -c %y import/web-01/receipt.json)
    }
    for minor in 0 -1; do
        used 2026-11-01T10:00:00Z --v4-minor $minor
        printf '%s\n' "schema: rehost.jobs/1" "out: import" "vms:" \
            "  - {source: 'prism://$PC/web%2001', to: kvm, source-tls-ca: state/cert.pem}" >jobs.yaml
        run_batch
        first=$made
        run_batch
        expect_equal "$made" "$first" "the result of a VM that has not changed"
        expect_silent
        used 2026-11-02T10:00:00Z --v4-minor $minor --port "${PC##*:}" --pe-port "${PE##*:}"
        run_batch
        [ "$made" != "$first" ] || fail "what has changed was not done anew"
        # Nothing is said: it stays done, and that is told.
        rm -r import
        used "" --v4-minor $minor --port "${PC##*:}" --pe-port "${PE##*:}"
        run_batch
        first=$made
        run_batch
        expect_equal "$made" "$first" "the result where nothing is known"
        expect_stderr 'done, the disks of 1 VM may .* remove its result'
        rm -r import
    done
}
test_a_batch_takes_a_running_vm_anew_that_is_another() {
    local first
    cp "$SCRATCH"/b.raw .
    SPEC=$PWD/one.json
    jq '.[1:2]' "$SCRATCH/vms.json" >one.json
    prism
    CA=()
    printf '%s\n' "schema: rehost.jobs/1" "out: import" "vms:" \
        "  - {source: 'prism://$PC/runs', to: kvm, snapshot: true, source-tls-ca: state/cert.pem}" >jobs.yaml
    for _ in first again; do
        rehost batch run jobs.yaml --progress none
        expect_status 0
        first=${first-$(stat -c %i import/runs)}
        expect_equal "$(stat -c %i import/runs)" "$first" "the result of a VM that runs"
    done
    kill $SERVER
    wait $SERVER 2>/dev/null
    jq '.[1:2] | .[0].cores = 4' "$SCRATCH/vms.json" >one.json
    prism --port "${PC##*:}" --pe-port "${PE##*:}"
    CA=()
    rehost batch run jobs.yaml --progress none
    expect_status 0
    [ "$(stat -c %i import/runs)" != "$first" ] || fail "another VM was not converted anew"
}

# --- disks --------------------------------------------------------------------
converted() { # HOST [OPTION...]
    local host=$1
    shift
    rehost convert "prism://$host/web%2001" --to kvm --out out "$@"
    expect_status 0
    expect_same_disk ../a.raw out/web-01/disk0.qcow2
    expect_same_disk ../b.raw out/web-01/disk1.qcow2
    expect_json '.vms[0].nics[0].mac' 50:6b:8d:00:00:01 out/web-01/vm.json
}
test_images_of_version_4() {
    prism
    converted "$PC"
    no_image_left
    expect_equal "$(requests '^DELETE .*/content/images/')" 2 "images deleted"
    grep -q 'bios: ovmf' out/web-01/proxmox.conf || fail "no UEFI"
}
test_images_of_version_3() {
    prism --v4-minor -1
    converted "$PC"
    no_image_left
}
test_files_of_a_mounted_container() {
    prism
    converted "$PE" --datastore-map "default-container=$STATE/nfs/default-container"
    expect_equal "$(requests /images)" 0 "requests for images"
    rm -r out
    converted "$PC" --datastore-map "default-container=$STATE/nfs/default-container"
    expect_equal "$(requests /images)" 0 "requests for images"
    rehost report "prism://$PE/web%2001" --to kvm --json r.json \
        --datastore-map "default-container=$STATE/nfs/default-container"
    expect_json '[.vms[0].targets[0].findings[].id] |
        index("DISK-CONTENT") != null' true r.json
}
test_a_report_downloads_nothing() {
    prism
    rehost report "prism://$PC/web%2001" --to all --json r.json
    expect_status 0
    expect_json '[.vms[0].targets[0].findings[] | select(.id == "LIVE-NOT-READ")] |
        length' 2 r.json
    expect_equal "$(requests /images)" 0 "requests for images"
}
test_a_download_that_breaks_begins_anew() {
    prism --drop-after 1000000 --drop-once
    converted "$PC"
    expect_stderr 'begins anew'
    no_image_left
}
test_a_download_that_always_breaks_leaves_nothing() {
    prism --drop-after 1000000
    rehost convert "prism://$PC/web%2001" --to kvm --out out
    expect_status 1
    expect_empty out
    no_image_left
}
# A download that was whole when the run was killed is not made again.
test_what_came_before_a_kill_does_not_travel_again() {
    SPEC=$PWD/one.json
    cp "$SCRATCH"/[ab].raw .
    jq '.[0:1] | .[0].updated = "2026-11-01T10:00:00Z"' "$SCRATCH/vms.json" >one.json
    prism
    printf '%s\n' "schema: rehost.jobs/1" "out: import" "bandwidth: 4M" "vms:" \
        "  - {source: 'prism://$PC/web%2001', to: kvm, source-tls-ca: state/cert.pem}" >jobs.yaml
    "$REHOST" batch run jobs.yaml >first 2>&1 &
    local pid=$!
    # The first disk is there, the second on its way.
    for _ in $(seq 200); do
        [ "$(ls import/.rehost/fetched/*/*.bytes 2>/dev/null | wc -l)" -lt 2 ] || break
        sleep 0.05
    done
    kill -9 $pid
    wait $pid 2>/dev/null
    expect_equal "$(ls import/.rehost/fetched/*/*.bytes | wc -l)" 2 "disks that came: $(cat first)"
    : >"$STATE/log.jsonl"
    sed -i '/^bandwidth/d' jobs.yaml
    CA=()
    rehost batch resume jobs.yaml --progress none
    expect_status 0
    expect_same_disk ../a.raw import/web-01/disk0.qcow2
    expect_same_disk ../b.raw import/web-01/disk1.qcow2
    expect_equal "$(requests '^POST .*/content/images')" 1 "images made for the second run"
    [ ! -e import/.rehost/fetched ] || fail "left: $(ls -R import/.rehost/fetched)"
}
test_a_vm_that_runs_is_not_copied_unasked() {
    prism
    rehost convert "prism://$PC/runs" --to kvm --out out
    expect_error LIVE_RUNNING 4
    expect_equal "$(requests '^(POST|DELETE|PUT) ')" 0 "changes"
    rehost report "prism://$PC/runs" --to kvm --json r.json
    expect_json '[.vms[0].targets[0].findings[].id] |
        index("LIVE-RUNNING") != null' true r.json
    rehost convert "prism://$PC/runs" --to kvm --out out --snapshot
    expect_status 0
    expect_same_disk ../b.raw out/runs/disk0.qcow2
    no_image_left
}
test_a_running_vms_snapshot_by_element() {
    prism
    rehost convert "prism://$PE/runs" --to kvm --out out --snapshot \
        --datastore-map "default-container=$STATE/nfs/default-container"
    expect_status 0
    expect_same_disk ../b.raw out/runs/disk0.qcow2
    expect_equal "$(requests '^POST .*/v3/vm_snapshots$')" 1 "snapshots"
    expect_equal "$(find "$STATE/nfs" -path '*.snapshot*' -type f)" "" \
        "snapshots left"
}

# Killed, its image or snapshot stays; --clean takes it away, and no other.
wait_for() { # COMMAND...
    for _ in $(seq 200); do
        ! "$@" || return 0
        sleep 0.05
    done
    fail "it does not come: $*" "$(cat killed)"
}
images_there() {
    ls "$STATE" | grep -c ^image-
}
has_images() { # N
    [ "$(images_there)" = "$1" ]
}
a_killed_download() { # [OPTION of the stand-in...]
    prism "$@"
    disk=$(curl_v "$PE/PrismGateway/services/rest/v2.0/vms/?include_vm_disk_config=true" |
        jq -r '.entities[] | select(.name == "runs") | .vm_disk_info[0].disk_address.device_uuid')
    curl_v "$PC/api/nutanix/v3/images" -H 'Content-Type: application/json' -d "{\"spec\":
        {\"name\": \"rehost-runs-mine\", \"resources\": {\"image_type\": \"DISK_IMAGE\",
        \"data_source_reference\": {\"kind\": \"vm_disk\", \"uuid\": \"$disk\"}}},
        \"metadata\": {\"kind\": \"image\"}}" >/dev/null
    wait_for has_images 1
    "$REHOST" convert "prism://$PC/runs" --to kvm --out out --snapshot \
        "${CA[@]}" --bandwidth 100K >killed 2>&1 &
    local pid=$!
    wait_for has_images 2
    sleep 0.3
    rehost convert "prism://$PC" --clean
    expect_stdout '\(0 things'
    kill -9 $pid
    wait $pid 2>/dev/null
    rehost convert "prism://$PC" --clean
    expect_status 0
    expect_stdout '\(1 things'
    expect_equal "$(images_there)" 1 "images left"
    rehost convert "prism://$PC" --clean
    expect_stdout '\(0 things'
    expect_equal "$(curl_v "$PC/api/nutanix/v3/images/list" -d '{}' |
        jq -r '.entities[].spec.name')" rehost-runs-mine
}
test_an_image_that_a_killed_copy_left() {
    a_killed_download
}
test_an_image_that_a_killed_copy_left_by_version_3() {
    a_killed_download --v4-minor -1
}
test_a_snapshot_that_a_killed_copy_left() {
    prism
    map="default-container=$STATE/nfs/default-container"
    mkfifo nobody
    exec 7<>nobody
    "$REHOST" convert "prism://$PE/runs" --to xen --out - --snapshot \
        --datastore-map "$map" "${CA[@]}" >nobody 2>killed &
    local pid=$!
    has_snapshot() {
        [ "$(find "$STATE/nfs" -path '*.snapshot*' -type f)" ]
    }
    wait_for has_snapshot
    sleep 0.5
    kill -9 $pid
    wait $pid 2>/dev/null
    has_snapshot || fail "the copy was too fast"
    rehost convert "prism://$PE/runs" --to kvm --out out --snapshot \
        --datastore-map "$map"
    expect_status 0
    expect_stderr 'an interrupted run has left'
    ! has_snapshot || fail "it is still there"
}
test_what_changed_between_two_snapshots() {
    prism --page 1
    run timeout 60 "$BUILD/live-changes" "prism://$PE/runs" \
        "source-tls-ca=$STATE/cert.pem" \
        "datastore-map=default-container=$STATE/nfs/default-container" -- "
        head -c 70000 /dev/urandom | curl -so /dev/null --cacert $STATE/cert.pem \
            --data-binary @- 'https://$PE/_sim/write?vm=runs&offset=131072' &&
        head -c 65536 /dev/zero | curl -so /dev/null --cacert $STATE/cert.pem \
            --data-binary @- 'https://$PE/_sim/write?vm=runs&offset=1048576' &&
        head -c 5 /dev/urandom | curl -so /dev/null --cacert $STATE/cert.pem \
            --data-binary @- 'https://$PE/_sim/write?vm=runs&offset=2097147'"
    expect_status 0
    expect_stdout '^131072 131072 data$'
    expect_stdout '^2031616 65536 data$'
    curl_v "$PE/_sim/raw?vm=runs" >now
    expect_same_file at-snapshot now
    expect_equal "$(find "$STATE/nfs" -path '*.snapshot*' -type f)" "" \
        "snapshots left"
    run timeout 60 "$BUILD/live-changes" "prism://$PC/runs" \
        "source-tls-ca=$STATE/cert.pem" -- true
    expect_status 1
    expect_stderr 'LIVE_UNTRACKED'
}

# --- a move while it runs --------------------------------------------------------
warm() { # COMMAND ARGUMENT...
    XDG_STATE_HOME=$PWD/kept run timeout 100 "$REHOST" warm "$@"
    ! grep -rqF -- "$SECRET" .stdout .stderr || fail "a secret was shown"
}
start_move() {
    warm start "prism://$PE/runs" --to kvm --format raw --out out --no-guest-fix \
        --set firmware=bios --job j --source-tls-ca "$STATE/cert.pem" \
        --datastore-map "default-container=$STATE/nfs/default-container"
    expect_status 0
}
guest_writes() { # OFFSET BYTES
    head -c "$2" /dev/urandom |
        curl_v "$PE/_sim/write?vm=runs&offset=$1" --data-binary @- >/dev/null
}
snapshots_there() {
    find "$STATE/nfs" -path '*.snapshot*' -type f | wc -l
}
# One snapshot of ours stays between rounds: what changed is told against it.
test_rounds_by_changed_regions() {
    prism
    start_move
    expect_equal "$(snapshots_there)" 1 snapshots
    for at in 131072 1048576; do
        guest_writes $at 70000
        warm sync j
        expect_status 0
        expect_stdout '\(changes\)'
        expect_equal "$(snapshots_there)" 1 snapshots
    done
    warm status j --json
    expect_json '.snapshots | length' 1
    expect_json '[.rounds[1:][].bytes_sent] | max < 400000' true
    expect_schema .stdout rehost.warm-1.json
    guest_writes 4096 512
    warm cutover j --power-off --shutdown-timeout 1s
    expect_status 0
    curl_v "$PE/_sim/raw?vm=runs" >now
    expect_same_file out/runs/disk0.raw now
    expect_equal "$(snapshots_there)" 0 "snapshots left"
}
# Whoever died before he knew the snapshot's id: it is found by its name.
test_a_snapshot_of_one_that_died() {
    prism
    start_move
    job=out/.rehost-warm/j/job.json
    jq '.snapshot_name = .held[0][0] | .held = []' $job >job.json
    cp job.json $job
    warm sync j
    expect_status 0
    expect_equal "$(snapshots_there)" 1 snapshots
    warm abort j
    expect_status 0
    expect_equal "$(snapshots_there)" 0 "snapshots left"
}
# It expired, or somebody removed it: all is compared.
test_a_snapshot_that_somebody_removed() {
    prism
    start_move
    curl_v "$PE/api/nutanix/v3/vm_snapshots/$(jq -r '.held[0][1]' \
        out/.rehost-warm/j/job.json)" -X DELETE >/dev/null
    expect_equal "$(snapshots_there)" 0 snapshots
    guest_writes 65536 4096
    warm sync j
    expect_status 0
    expect_stdout '\(compare\)'
    guest_writes 65536 4096
    warm sync j
    expect_stdout '\(changes\)'
    warm abort j
    expect_status 0
}

test_no_regions_told_are_not_none() {
    prism --no-regions
    run timeout 60 "$BUILD/live-changes" "prism://$PE/runs" \
        "source-tls-ca=$STATE/cert.pem" \
        "datastore-map=default-container=$STATE/nfs/default-container" -- true
    expect_status 1
    expect_stderr 'LIVE_ANSWER'
}

# --- a Prism that is busy, and who we are ------------------------------------------
test_busy_broken_and_forgetful() {
    local how
    for how in --busy --gateway --forget; do
        prism $how 4
        rehost inspect --json "prism://$PC/web%2001"
        expect_status 0
        expect_json '.vms[0].cpus' 4
        kill $SERVER
        wait $SERVER 2>/dev/null
        rm -rf state
    done
}
test_a_wrong_password_is_tried_once() {
    prism
    REHOST_SOURCE_PASSWORD=wrong rehost inspect "prism://$PC/web%2001"
    expect_error LOGIN_REFUSED 1
    expect_equal "$(requests .)" 1 "requests"
}
test_a_password_that_is_changed_meanwhile() {
    prism --revoke 6
    rehost convert "prism://$PC/web%2001" --to kvm --out out
    expect_error LOGIN_REFUSED 1
    # The session may have ended: once more is asked, and never again.
    expect_equal "$(requests .)" 8 "requests"
}
test_an_api_key() {
    prism
    REHOST_SOURCE_PASSWORD='' REHOST_SOURCE_TOKEN=key-0001 \
        rehost inspect --json "prism://$PC/web%2001"
    expect_status 0
    expect_json '.vms[0].memory_bytes' 2147483648
    REHOST_SOURCE_PASSWORD='' REHOST_SOURCE_TOKEN=key-0001 \
        rehost inspect "prism://$PE/web%2001"
    expect_error LOGIN_REFUSED 1
    expect_stderr 'version 4'
}
test_a_server_that_nobody_vouches_for() {
    prism
    CA=()
    rehost inspect "prism://$PC/web%2001"
    expect_error HTTP_TLS 1
    expect_equal "$(wc -l <"$STATE/log.jsonl")" 0 "requests"
}
test_what_is_no_prism() {
    need python3
    prism
    CA=(--tls-ca "$STATE/cert.pem")
    rehost inspect "prism://127.0.0.1:1/web"
    expect_status 1
}
run_tests
