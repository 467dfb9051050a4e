#!/bin/bash
# What tests/batch.sh does, for longer: 30 kills; 10,000 VMs by their
# descriptors alone.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"

test_thirty_kills() {
    KILLS=30 run bash "$TOP/tests/batch.sh"
    expect_stdout '^ok killed_again_and_again'
    expect_no_stdout '^not ok'
}
test_ten_thousand_vms() {
    local began
    mkdir exports
    python3 - <<'PY'
for i in range(10000):
    open("exports/vm%05d.ovf" % i, "w").write("<Envelope>%d</Envelope>" % i)
with open("jobs.yaml", "w") as f:
    f.write("schema: rehost.jobs/1\nout: import\ndefaults: {to: kvm}\nvms:\n")
    for i in range(10000):
        f.write("  - {source: exports/vm%05d.ovf, wave: %d%s}\n"
                % (i, i // 100 + 1, ", after: vm%05d" % (i - 1) if i % 100 else ""))
PY
    began=$(date +%s)
    run "$REHOST" batch status jobs.yaml --json
    expect_status 0
    expect_json '.vms | length' 10000
    [ $(($(date +%s) - began)) -le 10 ] || fail "status took $(($(date +%s) - began)) seconds"
}
run_tests
