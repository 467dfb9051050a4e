# Names that are long, odd or spelled otherwise; limits of the system.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

make_disk "$SCRATCH/d.raw" 4194304

flat() { # DESCRIPTOR EXTENT-NAME: of the size of d.raw
    printf '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff
createType="monolithicFlat"\nRW 8192 FLAT "%s" 0\n' "$2" >"$1"
}
reads() { # DESCRIPTOR
    run "$REHOST" disk convert "$1" out.raw --overwrite
    expect_status 0
    expect_same_file "$SCRATCH/d.raw" out.raw
}

tells() { # DISK [PROBLEM]
    run "$REHOST" disk info --json "$1"
    expect_json '[.problems[].id] | join(" ")' "${2-}"
}

# --- names ---------------------------------------------------------------------
test_names_that_differ_in_case_or_spelling() {
    local said there
    while read -r said there; do
        cp "$SCRATCH/d.raw" "$(printf "$there")"
        flat d.vmdk "$(printf "$said")"
        reads d.vmdk
        tells d.vmdk PACKAGE-FILE-NAME
        rm "$(printf "$there")"
    done <<'END'
Server-Disk-flat.vmdk server-disk-FLAT.VMDK
gr\303\274n-flat.vmdk gru\314\210n-flat.vmdk
gru\314\210n-flat.vmdk GR\303\234N-flat.vmdk
\343\202\254\343\203\211-flat.vmdk \343\202\253\343\202\231\343\203\210\343\202\231-flat.vmdk
\355\225\234-flat.vmdk \341\204\222\341\205\241\341\206\253-flat.vmdk
\320\271-flat.vmdk \320\230\314\206-flat.vmdk
raw\377bytes-flat.vmdk raw\377Bytes-flat.vmdk
END
}
test_the_exact_name_comes_first_and_two_are_too_many() {
    cp "$SCRATCH/d.raw" Disk-flat.vmdk
    head -c 4194304 /dev/zero >disk-flat.vmdk
    flat d.vmdk Disk-flat.vmdk
    reads d.vmdk
    tells d.vmdk
    flat d.vmdk DISK-flat.vmdk
    run "$REHOST" disk convert d.vmdk out.raw --overwrite
    expect_error VMDK_EXTENT 3
    flat d.vmdk Dask-flat.vmdk
    run "$REHOST" disk convert d.vmdk out.raw --overwrite
    expect_error VMDK_EXTENT 3
}
test_a_backing_file_by_a_name_that_is_only_alike() {
    need qemu-img
    cp "$SCRATCH/d.raw" base.img
    qemu-img create -q -f qcow2 -b base.img -F raw d.qcow2
    tells d.qcow2
    mv base.img Base.IMG
    reads d.qcow2
    expect_stderr 'names "base.img"; the file "Base.IMG" was taken'
    tells d.qcow2 PACKAGE-FILE-NAME
    run "$REHOST" report d.qcow2 --to kvm --no-guest --json
    expect_json '[.vms[0].targets[0].findings[].id] |
        any(. == "PACKAGE-FILE-NAME")' true
    run "$REHOST" disk convert --strict d.qcow2 strict.raw
    expect_status 4
    cp Base.IMG BASE.img
    run "$REHOST" disk convert d.qcow2 two.raw
    expect_error FILE_ALIKE 3
}
test_a_descriptor_with_a_byte_order_mark() {
    cp "$SCRATCH/d.raw" d-flat.vmdk
    flat plain.vmdk d-flat.vmdk
    { printf '\357\273\277'; cat plain.vmdk; } >d.vmdk
    reads d.vmdk
    { printf '\357\273\277'; sed 1d plain.vmdk; } >d.vmdk # no title
    reads d.vmdk
}
test_a_part_alone_names_its_descriptor() {
    need qemu-img
    cp "$SCRATCH/d.raw" web01-flat.vmdk
    run "$REHOST" disk info web01-flat.vmdk
    expect_error DISK_FORMAT_UNKNOWN 3
    expect_stderr 'hint: .*"web01.vmdk"'
    qemu-img convert -f raw -O vmdk -o subformat=twoGbMaxExtentSparse \
        "$SCRATCH/d.raw" split.vmdk
    run "$REHOST" disk info split-s001.vmdk
    expect_error VMDK_PART 3
    expect_stderr 'hint: .*"split.vmdk"'
    reads split.vmdk
}
test_messages_have_an_end() {
    flat d.vmdk "$(head -c 900000 /dev/zero | tr '\0' a)"
    run "$REHOST" disk info d.vmdk
    expect_status 3
    [ "$(stat -c %s .stderr)" -lt 3000 ] || fail "$(stat -c %s .stderr) bytes"
    expect_stderr 'aaa \.\.\. '
    run "$REHOST" disk info d.vmdk --json
    [ "$(stat -c %s .stderr)" -lt 4000 ] || fail "$(stat -c %s .stderr) bytes"
    jq -e .error.code .stderr >/dev/null || fail "no JSON"
}
test_a_backing_file_elsewhere_is_told_how_to_mend() {
    need qemu-img
    qemu-img create -q -f qcow2 base.qcow2 1M
    qemu-img create -q -f qcow2 -b "$PWD/base.qcow2" -F qcow2 top.qcow2
    run "$REHOST" disk info top.qcow2
    expect_error NAME_UNSAFE 3
    expect_stderr 'rebase -u'
    qemu-img rebase -u -F qcow2 -b base.qcow2 top.qcow2
    run "$REHOST" disk info top.qcow2
    expect_status 0
}

# --- limits --------------------------------------------------------------------
test_a_limit_of_file_lengths_is_an_error() {
    need qemu-img
    local format
    for format in raw qcow2 vhd; do
        run bash -c "ulimit -f 200; exec '$REHOST' disk convert -O $format \
            '$SCRATCH/d.raw' out.$format"
        expect_error FILE_LIMIT 1
        expect_equal "$(ls -A out.$format .out.$format* 2>/dev/null)" ""
    done
    run bash -c "ulimit -f 200; gzip -c '$SCRATCH/d.raw' |
        '$REHOST' disk convert -f raw - out.raw" # the spool
    expect_error FILE_LIMIT 1
}
test_too_many_open_files_are_an_error() {
    local i
    {
        printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n'
        printf 'createType="twoGbMaxExtentFlat"\n'
        for i in $(seq 100); do
            printf 'RW 128 FLAT "p-f%03d.vmdk" 0\n' "$i"
            truncate -s 65536 "$(printf 'p-f%03d.vmdk' "$i")"
        done
    } >d.vmdk
    run bash -c "ulimit -Sn 60; ulimit -Hn 60; exec '$REHOST' disk info d.vmdk"
    expect_status 1
    expect_stderr '\[OPEN_FILES\]'
    run "$REHOST" disk info d.vmdk
    expect_status 0
}
test_a_length_that_the_file_system_does_not_take() {
    local type
    type=$(stat -f -c %T .)
    [ "$type" = ext2/ext3 ] || skip_test "the file system is $type"
    run "$REHOST" disk convert "$SCRATCH/d.raw" out.raw --size 17TiB
    expect_error FILE_LIMIT 1
    expect_empty out.raw
}
test_a_fifo_in_a_folder_of_packages() {
    mkdir many
    mkfifo many/a.ova many/b.ova
    printf '<x/>' >many/c.ovf
    run timeout 20 "$REHOST" report many --to kvm
    expect_status 3
}
test_threads_follow_the_processors_that_may_be_used() {
    need taskset strace
    local n started=()
    for n in 0 0,1; do
        taskset -c $n true 2>/dev/null || skip_test "there is one processor"
        "${STRACE[@]}" -e trace=clone,clone3 taskset -c $n "$REHOST" \
            disk convert "$SCRATCH/d.raw" out.raw --overwrite >/dev/null 2>&1 ||
            fail "status $?"
        started+=("$(grep -cE 'clone3?\(' trace)")
    done
    expect_equal "${started[1]}" $((started[0] + 1)) "threads on two"
}
test_compare_of_different_sizes_says_so() {
    need jq
    cp "$SCRATCH/d.raw" long.raw
    truncate -s 5M long.raw
    run "$REHOST" disk compare "$SCRATCH/d.raw" long.raw
    expect_status 0
    expect_stdout '^identical$'
    expect_stderr 'long.raw is longer by 1048576 bytes of zeros'
    run "$REHOST" disk compare --json long.raw "$SCRATCH/d.raw"
    expect_json '.sizes | @csv' 5242880,4194304
    run "$REHOST" disk compare long.raw long.raw
    expect_silent
}
run_tests
