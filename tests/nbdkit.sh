# nbdkit rehost: what the plugin serves is what convert writes.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

PLUGIN=$BUILD/nbdkit-rehost-plugin.so
make_disk "$SCRATCH/a.raw" 12582912 a
make_disk "$SCRATCH/b.raw" 5242880 b
python3 "$TOP/tests/guests/mkova.py" --name two "$SCRATCH/two.ova" \
    "$SCRATCH/a.raw" "$SCRATCH/b.raw" >/dev/null || exit 1
GUEST=$("$TOP/tests/guests/get.sh" --ova micro 2>/dev/null) || GUEST=

serve() { # PARAMETER... -- COMMAND, with $uri in it
    local words=()
    [ -e "$PLUGIN" ] || skip_test "built without nbdkit"
    [ -z "${REHOST_SAN-}" ] || skip_test "nbdkit is without the sanitizer"
    need nbdkit nbdcopy nbdinfo
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    run timeout 60 nbdkit -U - "$PLUGIN" "${words[@]}" --run "$2"
}
test_each_disk_by_its_number() {
    serve ../two.ova -- 'nbdcopy "$uri" 0.raw'
    expect_status 0
    expect_same_file 0.raw ../a.raw
    serve ../two.ova vm=0 disk=1 -- 'nbdcopy "$uri" 1.raw'
    expect_status 0
    expect_same_file 1.raw ../b.raw
}
test_holes_are_told_and_nothing_can_be_written() {
    serve ../two.ova -- 'nbdinfo --json "$uri"; nbdinfo --map --totals "$uri"'
    expect_status 0
    expect_stdout '"is_read_only": true'
    expect_stdout '"can_multi_conn": true'
    expect_stdout ' 3 hole,zero'
    expect_stdout ' 0 data'
}
test_qemu_reads_what_convert_writes() {
    need qemu-img
    "$REHOST" convert ../two.ova --to kvm --out out >/dev/null 2>&1
    serve ../two.ova -- 'qemu-img compare -f raw "$uri" out/two/disk0.qcow2'
    expect_status 0
    expect_stdout identical
}
test_fixed_is_the_guest_after_its_edits() {
    [ -n "$GUEST" ] || skip_test "the sample guest could not be made"
    "$REHOST" convert "$GUEST" --to kvm --format raw --out out >/dev/null 2>&1
    serve "$GUEST" fixed=1 -- 'nbdcopy "$uri" fixed.raw'
    expect_status 0
    expect_same_file fixed.raw out/*/disk0.raw
    serve "$GUEST" -- 'nbdcopy "$uri" plain.raw'
    ! cmp -s plain.raw fixed.raw || fail "no edits in it"
}
test_what_is_not_there_is_an_error() {
    serve ../two.ova disk=2 -- 'true'
    expect_stderr 'there is no disk 2'
    serve gone.ova -- 'true'
    expect_stderr 'No such file'
    head -c 5000 ../two.ova >cut.ova
    serve cut.ova -- 'true'
    expect_stderr '\[PACKAGE_TRUNCATED\]'
    serve ../two.ova colour=blue -- 'true'
    expect_stderr 'there is no option "colour"'
}
run_tests
