#!/usr/bin/env bash
# Exports of RVTools: xlsx and csv are read as a fleet, for planning.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

need_all() { need python3; need jq; }
make_files() { python3 "$TOP/tests/rvtools_files.py" "$@"; }

# What every form of the export says of the VM web01.
expect_web01() {
    expect_json '.vms | length' 5
    expect_json '.vms[0] | .name, .cpus, .memory_bytes, .firmware' \
        $'web01\n4\n8589934592\nuefi'
    expect_json '.vms[0] | .cores_per_socket, .secure_boot, .cpu_hot_add, .memory_hot_add' \
        $'2\ntrue\ntrue\ntrue'
    expect_json '.vms[0].disks | map(.capacity_bytes, .bus, .unit, .mode) | map(tostring) | join(" ")' \
        '21474836480 0 0 persistent 107374182400 1 3 independent_persistent'
    expect_json '.vms[0].nics[0] | .model, .network, .mac, .connected' \
        $'vmxnet3\nFront & back\n00:50:56:aa:00:01\ntrue'
    expect_json '.vms[0].provenance.cpus.from' rvtools
    expect_json '.vms[0].annotation' 'A note: <&>, ü'
    expect_json '.vms[0].os.name' 'Debian GNU/Linux 12 (64-bit)'
    expect_json '.vms[1] | .name, .memory_bytes' $'db 01\n68719476736'
}

test_a_workbook_lists_its_vms() {
    need_all
    make_files xlsx a.xlsx
    run "$REHOST" inspect a.xlsx --json
    expect_status 0
    expect_schema .stdout rehost.vm-1.json
    expect_json .package.kind rvtools
    expect_web01
    expect_json '.vms[0].address' vcenter://vc.example.com/web01
    expect_json '.vms[1].address' vcenter://vc.example.com/db%2001
    # Two of one name go by their ids, and each has its own disk.
    expect_json '.vms[3:] | map(.address, .disks[0].capacity_bytes) | map(tostring) | join(" ")' \
        'vcenter://vc.example.com/vm-104 1073741824 vcenter://vc.example.com/vm-105 2147483648'
    expect_json '.vms | map(.id) | unique | length' 5
    # What no column says is not made up.
    expect_json '.vms[0].disks[0] | .controller, .file' $'null\nnull'
    expect_json '.vms[2].disks[0].controller' nvme
    run "$REHOST" inspect a.xlsx
    expect_status 0
    expect_stdout 'web01'
    run bash -c "'$REHOST' inspect - --json <a.xlsx"
    expect_status 0
    expect_json '.vms | length' 5
}

test_csv_files_are_read_whatever_their_form() {
    need_all
    local form
    make_files csv semicolon
    make_files csv comma , utf-8
    make_files csv tab '\t' utf-16
    make_files csv big ';' utf-16-be '\n'
    python3 - <<'EOF'
for tab in "Info", "CPU", "Memory", "Disk", "Network", "CD", "Snapshot", "Tools":
    p = "big/RVTools_tabv%s.csv" % tab
    b = open(p, "rb").read()
    open(p, "wb").write(b"\xfe\xff" + b)
EOF
    make_files csv latin ';' latin-1
    for form in semicolon comma tab big latin; do
        run "$REHOST" inspect "$form/RVTools_tabvInfo.csv" --json
        expect_status 0
        expect_web01
        # Without ids the rows of twins belong to nobody, and that is said.
        expect_json '.vms[3:] | map(.disks | length) | add' 0
    done
    run "$REHOST" inspect semicolon --json
    expect_status 0
    expect_web01
}

test_a_report_judges_by_the_configuration() {
    need_all
    make_files xlsx a.xlsx
    run "$REHOST" report a.xlsx --to all --json r.json
    expect_status 4 # the raw device mapping's VM
    expect_schema r.json rehost.report-1.json
    expect_json '.vms | length' 5 r.json
    expect_json '[.vms[] | .targets[] | select(.target == "kvm").verdict] | .[1]' blocked r.json
    expect_json '.vms[1].targets[0].findings | map(select(.id == "DISK-RDM")) | length' 1 r.json
    expect_json '[.vms[0].targets[0].findings[] | select(.id == "LIVE-SNAPSHOTS").message]
        | .[0] | test("2 snapshots")' true r.json
    expect_json '[.vms[] | .targets[0].findings | any(.id == "RVTOOLS-ONLY")] | all' true r.json
    expect_json '[.vms[2].targets[0].findings[] | select(.id == "LIVE-TEMPLATE")] | length' 1 r.json
    expect_json '[.vms[0].targets[0].findings[] | select(.id == "LIVE-TOOLS")] | length' 1 r.json
    run "$REHOST" report a.xlsx --to kvm --redact --json r.json
    expect_equal "$(grep -cE 'example\.com|web01|db 01|db%2001' r.json)" 0
}

test_what_is_left_out_is_told() {
    need_all
    make_files xlsx a.xlsx
    run "$REHOST" inspect a.xlsx
    expect_stdout '1 of the 3 rows of the tab vSnapshot belong to no VM'
    make_files csv old
    rm old/RVTools_tabvDisk.csv
    run "$REHOST" inspect old/RVTools_tabvInfo.csv
    expect_status 0
    expect_stdout 'no tab vDisk'
}

test_nothing_is_converted_from_a_list() {
    need_all
    make_files xlsx a.xlsx
    run "$REHOST" convert a.xlsx --to kvm --out out
    expect_error RVTOOLS_NO_DISKS 4
    expect_empty out
}

test_batch_init_makes_a_job_file_by_verdict() {
    need_all
    make_files xlsx a.xlsx
    run "$REHOST" batch init a.xlsx --to kvm -o jobs.yaml
    expect_status 0
    expect_equal "$(grep -c 'source: "vcenter://vc.example.com/' jobs.yaml)" 5
    expect_equal "$(grep -A2 'db%2001' jobs.yaml | head -3 | tr -s ' \n' ' ')" \
        '# - source: "vcenter://vc.example.com/db%2001" # db 01 # a person must see to this one: '
    expect_equal "$(grep -c '^  - source' jobs.yaml)" 4
    make_files csv old
    run "$REHOST" batch init old/RVTools_tabvInfo.csv --to kvm -o old.yaml
    expect_status 0
    expect_equal "$(grep -c '^# - source: ' old.yaml)" 5
    expect_equal "$(grep -c '^  - source' old.yaml)" 0
    expect_equal "$(grep -c 'fill in where its export lies' old.yaml)" 5
    # The same from a report's document.
    run "$REHOST" report a.xlsx --to kvm --json r.json
    run "$REHOST" batch init --from-report r.json --to kvm -o again.yaml
    expect_same_file jobs.yaml again.yaml
}

test_a_list_fills_in_what_a_disk_does_not_say() {
    need_all
    local fill
    make_files xlsx a.xlsx
    make_files csv csv
    truncate -s 4M web01.raw twin.raw other.raw
    for fill in a.xlsx csv/RVTools_tabvInfo.csv; do
        run "$REHOST" inspect web01.raw --fill $fill --json
        expect_status 0
        expect_json '.vms[0] | .cpus, .memory_bytes, .firmware, .nics[0].mac, .nics[0].network' \
            $'4\n8589934592\nuefi\n00:50:56:aa:00:01\nFront & back'
        expect_json '.vms[0].provenance.cpus.from' "fill:${fill##*/}"
    done
    # By its name, but not where two have it, nor where none has.
    run "$REHOST" inspect twin.raw --fill a.xlsx
    expect_error FILL_VM 2
    expect_stderr 'describes 2 VMs "twin"'
    run "$REHOST" inspect other.raw --fill a.xlsx
    expect_error FILL_VM 2
    run "$REHOST" inspect other.raw --fill a.xlsx#web01 --json
    expect_json '.vms[0].nics[0].mac' 00:50:56:aa:00:01
    printf 'PK\3\4junk' >bad.xlsx
    run "$REHOST" inspect other.raw --fill bad.xlsx
    expect_status 3
}
test_batch_init_takes_a_folder_of_csv_files() {
    need_all
    make_files xlsx a.xlsx
    make_files csv csv
    run "$REHOST" batch init a.xlsx --to kvm
    expect_status 0
    grep -o 'source: .*' .stdout >want
    run "$REHOST" batch init csv --to kvm
    expect_status 0
    grep -o 'source: .*' .stdout >found
    [ "$(wc -l <found)" = 5 ] || fail "$(cat found)"
}
test_hostile_files_are_refused() {
    need_all
    make_files hostile bad
    for case in doctype:RVTOOLS_FORMAT other:RVTOOLS_FORMAT empty:RVTOOLS_FORMAT \
        long:RVTOOLS_LIMIT bomb:RVTOOLS_LIMIT; do
        run "$REHOST" inspect "bad/${case%:*}.xlsx"
        expect_error "${case#*:}" 3
    done
    run "$REHOST" inspect bad/cut.xlsx
    expect_status 3
    make_files csv old
    run "$REHOST" inspect old/RVTools_tabvDisk.csv
    expect_error RVTOOLS_FORMAT 3
}

test_thousands_of_vms_take_seconds() {
    need_all
    make_files xlsx many.xlsx 2000
    run timeout 60 "$REHOST" inspect many.xlsx --json
    expect_status 0
    expect_json '.vms | length' 2000
    expect_json '[.vms[] | .disks | length] | add' 2000
}

run_tests
