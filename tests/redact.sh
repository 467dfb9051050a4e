#!/bin/bash
# rehost report --redact: no name and no address is left in any form of the
# report, the same one is replaced by the same, and the rest stays.
# SPDX-License-Identifier: LGPL-2.1-or-later
IN_MEMORY=1
. "$(dirname "$0")/lib.sh"

make_disk "$SCRATCH/disk.raw" 2097152
mkdir "$SCRATCH/geheim"
for vm in kunde-db01 kunde-db01-alt; do # one name begins the other
    python3 "$TOP/tests/guests/mkova.py" --name $vm --mac 00:50:56:12:34:56 \
        "$SCRATCH/geheim/$vm.ova" "$SCRATCH/disk.raw" >/dev/null || exit 1
done
echo "no package" >"$SCRATCH/geheim/kaputt.ova"
cat >"$SCRATCH/kunde.yaml" <<'END'
nics: [{network: "LAN Kunde"}]
hostname: db01.kunde.example
annotation: "called by Meier, see https://wiki.kunde.example/db01"
uuid: 42 1e aa bb cc dd ee ff-00 11 22 33 44 55 66 77
END
# Everything that came from outside, as it would be seen.
SECRETS=('[Kk]unde' geheim kaputt 00:50:56 Meier wiki '421e' "$SCRATCH")

report() { # OPTION...
    run "$REHOST" report "$SCRATCH"/geheim/*.ova --to all --redact \
        --network-map "LAN Kunde=kunde-net" --fill "$SCRATCH/kunde.yaml" "$@"
}
none_left() { # FILE
    local secret
    for secret in "${SECRETS[@]}"; do
        run grep -niE -m3 -- "$secret" "$1"
        expect_status 1
    done
}
test_json() {
    report --json report.json
    expect_status 3
    expect_schema report.json rehost.report-1.json
    cp .stdout out
    none_left report.json
    none_left out
    expect_json '.vms | length' 2 report.json
    expect_json '[.vms[].vm.nics[0].network] | unique | length' 1 report.json
    expect_json '[.vms[].vm.nics[0].mac] | unique | length' 1 report.json
    expect_json '[.vms[].vm.name] | unique | length' 2 report.json
    expect_json '.vms[0].vm.memory_bytes > 0' true report.json
    expect_json '.failed | length' 1 report.json
}
test_text() {
    report
    expect_stdout '^vm-[0-9]'
    expect_stdout 'KVM model'
    cp .stdout text
    none_left text
}
test_page() {
    report --html page.html --lang ja
    none_left page.html
    expect_file page.html
}
test_a_lone_source_that_is_refused() {
    run "$REHOST" report "$SCRATCH/geheim/kaputt.ova" --to all --redact --json
    expect_status 3
    cp .stdout out
    none_left out
    none_left .stderr
}
# The server of a live source, and the folders on the way to the VM.
test_an_address_that_fails() {
    local url=vcenter://vc01.corp.example:8443/Osaka-DC/vm/Payroll/web
    run env REHOST_SOURCE_USER= "$REHOST" report --redact "$url" --to kvm --json
    expect_json '.failed[0].error.code' LOGIN_MISSING
    expect_no_stdout 'corp|vc01|Osaka|Payroll'
    run env REHOST_SOURCE_USER= "$REHOST" report --redact "$url" --to kvm
    expect_no_stdout 'corp|vc01|Osaka|Payroll'
    expect_equal "$(grep -E 'corp|vc01|Osaka|Payroll' .stderr)" "" "standard error"
}
# A mistake in what was given ends the report; it may be a name, too.
test_a_value_that_is_refused() {
    echo 'memory: Kunde Meier' >geheim.yaml
    for wrong in "--fill geheim.yaml" "--set kunde=1" "--network-map kunde"; do
        # shellcheck disable=SC2086 # two words
        report $wrong
        expect_status 2
        cat .stdout .stderr >out
        none_left out
    done
    report --set memory=Meier
    expect_stderr 'is not repeated here .--redact. .CONFIG_VALUE.$'
}
test_what_is_no_name_stays() {
    report --json a.json
    run "$REHOST" report "$SCRATCH"/geheim/*.ova --to all --json b.json \
        --network-map "LAN Kunde=kunde-net" --fill "$SCRATCH/kunde.yaml"
    for f in a b; do
        jq '[.vms[].targets[] | {verdict, effort, output_bytes, ids: [.findings[].id]}]' $f.json >$f
    done
    expect_same_file a b
}
run_tests
