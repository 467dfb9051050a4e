#!/bin/bash
# vmdk.sh - every VMDK there is: read right, by file and by pipe, or refused.
# SPDX-License-Identifier: LGPL-2.1-or-later
IN_MEMORY=1
. "$(dirname "$0")/lib.sh"

CASES=$SCRATCH/cases
MAKE="python3 $TOP/tests/disks/make_vmdk.py"
command -v python3 >/dev/null || { skip vmdk "python3 is not installed"; finish; exit; }
$MAKE all --out "$CASES" --size 1086464 >/dev/null ||
    { not_ok "make_vmdk.py makes its cases"; finish; exit; }
mkdir "$SCRATCH/judge" && cd "$SCRATCH/judge" || exit 1
python3 "$TOP/tests/disks/judge_vmdk.py" "$REHOST" "$CASES" file
python3 "$TOP/tests/disks/judge_vmdk.py" "$REHOST" "$CASES" pipe
cd "$SCRATCH" || exit 1

# --- what is said about disks that are read all the same ----------------------
says() { # CASE PROBLEM-ID COMMAND
    run "$REHOST" disk "$3" --json "$CASES/$1/disk.vmdk"
    expect_status 0
    expect_json '[.problems[].id] | join(" ")' "$2"
}
check unclean_shutdown_is_told says sparse-unclean VMDK-UNCLEAN info
check trailing_zeros_are_told says stream-zero-tail VMDK-TRAILING-ZEROS info
check damaged_directory_is_told \
    says sparse-gd-damaged VMDK-REDUNDANT-DIRECTORY-USED info
check damaged_table_is_told \
    says sparse-gt-damaged \
    'VMDK-REDUNDANT-DIRECTORY-USED VMDK-REDUNDANT-DIFFERS' check
check differing_copies_are_told \
    says sparse-rgd-differs VMDK-REDUNDANT-DIFFERS check
check unannounced_zero_grains_are_told \
    says sparse-gte-1-no-flag VMDK-ZERO-GRAIN check
check a_sound_disk_says_nothing says stream-esx "" check
check a_sound_chain_says_nothing says chain-5 "" check

test_info_names_what_it_is() {
    run "$REHOST" disk info --json "$CASES/stream-esx/disk.vmdk"
    expect_status 0
    expect_json .format vmdk
    expect_json .variant streamOptimized
    expect_json .virtual_size 1086464
    expect_json .cluster_size 65536
    expect_json .backing_file null
    run "$REHOST" disk info --json "$CASES/chain-2/disk.vmdk"
    expect_json .variant monolithicSparse
    expect_json .backing_file disk-0.vmdk
}
test_map_is_whole_and_true() {
    need jq
    run "$REHOST" disk map --json "$CASES/stream-5GiB/disk.vmdk"
    expect_status 0
    expect_json 'map(.length) | add' 5368709120
    expect_json '[range(1; length) as $i | .[$i].start ==
        .[$i - 1].start + .[$i - 1].length] | all' true
    # A hole of some gigabytes is one entry.
    expect_json 'map(select(.data | not) | .length) | max > 4000000000' true
}

# --- what breaks in the middle -------------------------------------------------
# A grain that is damaged far behind the start: `check` finds it, `info` need not.
test_check_reads_every_grain() {
    cp "$CASES/stream-level-0/disk.vmdk" .
    size=$(stat -c %s disk.vmdk)
    printf '\377\376\375' |
        dd of=disk.vmdk bs=1 seek=$((size / 2)) conv=notrunc status=none
    run "$REHOST" disk info disk.vmdk
    expect_status 0
    run "$REHOST" disk check disk.vmdk
    expect_error VMDK_GRAIN 3
    mkdir out
    run "$REHOST" disk convert disk.vmdk out/x.qcow2
    expect_error VMDK_GRAIN 3
    expect_empty out
}
# Cut anywhere, a stream is never taken for a whole one.
test_every_cut_is_noticed() {
    local f=$CASES/stream-esx/disk.vmdk n
    n=$(stat -c %s "$f")
    for at in 100 512 1000 65536 66000 $((n / 3)) $((n / 2)) $((n - 9000)) \
        $((n - 2048)) $((n - 1024)) $((n - 512)); do
        head -c "$at" "$f" >cut.vmdk
        run "$REHOST" disk convert cut.vmdk out.raw -O raw
        expect_status 3
        run bash -c "cat cut.vmdk | '$REHOST' disk convert - out.raw -O raw"
        [ "$status" = 3 ] || [ "$status" = 2 ] || fail "cut at $at: $status"
        [ ! -e out.raw ] || fail "cut at $at: out.raw is there"
    done
}
test_results_do_not_depend_on_threads() {
    local f=$CASES/stream-unordered/disk.vmdk
    "$REHOST" disk convert --threads 1 "$f" one.qcow2
    "$REHOST" disk convert --threads 7 "$f" seven.qcow2
    expect_same_file one.qcow2 seven.qcow2
}
test_kept_deflate_data_is_the_same_disk() {
    need qemu-img
    "$REHOST" disk convert "$CASES/stream-openvmdk/disk.vmdk" plain.raw
    for case in stream-openvmdk stream-esx stream-qemu stream-vbox; do
        run "$REHOST" disk convert --compress keep \
            "$CASES/$case/disk.vmdk" "$case.qcow2"
        expect_status 0
        expect_same_disk plain.raw "$case.qcow2" raw qcow2
    done
}
test_what_qemu_writes_is_read() {
    need qemu-img
    qemu-img create -q -f raw in.raw 33555456
    head -c 3000000 /dev/urandom | dd of=in.raw bs=4096 seek=777 conv=notrunc \
        status=none
    for kind in monolithicSparse monolithicFlat twoGbMaxExtentSparse \
        twoGbMaxExtentFlat streamOptimized; do
        qemu-img convert -f raw -O vmdk -o subformat=$kind in.raw "$kind.vmdk"
        run "$REHOST" disk convert "$kind.vmdk" "$kind.raw"
        expect_status 0
        expect_same_file "$kind.raw" in.raw
    done
    qemu-img create -q -f vmdk -b monolithicSparse.vmdk -F vmdk delta.vmdk
    qemu-io -f vmdk -c 'write -P 0x5a 1M 70k' -c 'write -z 4M 1M' delta.vmdk \
        >/dev/null
    run "$REHOST" disk convert delta.vmdk delta.raw
    expect_status 0
    expect_same_disk delta.raw delta.vmdk raw vmdk
}

# --- real disks --------------------------------------------------------------------
real() { # FILE SHA256-OF-RAW
    need_shared corpus/disks
    cp -rT "$RH_SHARED/corpus/disks/$(dirname "$1")" d
    chmod -R u+w d
    find d -name '*.bz2' -exec bunzip2 {} + && find d -name '*.xz' -exec unxz {} +
    run "$REHOST" disk convert "d/$(basename "$1")" out.raw -O raw
    expect_status 0
    expect_equal "$(sha256sum <out.raw)" "$2  -" "sha256 of the content"
}
check real_ovftool real cot/input.vmdk \
    49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14
check real_workstation_stream real vmdk-rs/streamOptimized.vmdk \
    a3bcf05f07a1c06a3380eeca8571f0efb2b85afafa1e21662b8cad436d1f7727
check real_workstation_split real vmdk-rs/twoGbMaxExtentSparse.vmdk \
    a3bcf05f07a1c06a3380eeca8571f0efb2b85afafa1e21662b8cad436d1f7727
check real_odd_capacity real vmdk-forensic/plaso_image.vmdk \
    854c3db1c4a07a241e2ed9fbd8892adf2adc662c7862a75deed26f3483f414c9
check real_qemu_stream real vmdk-forensic/compressed_stream_opt.vmdk \
    55f4f09be519d8702500e4442b9efd7d58c912ea774d5f767c2444a02bcf8080
check real_qemu_sparse real go-vmdk-parser/vmdk-monolith.img \
    de2f256064a0af797747c2b97505dc0b9f3df0de4f489eac731c23ae9ca9cc31

# Larger ones: QEMU compares, it knows holes.
real_by_qemu() { # FILE
    need qemu-img
    need_shared corpus/disks
    cp "$RH_SHARED/corpus/disks/$1"* . && chmod u+w ./*
    [ ! -e ./*.bz2 ] || bunzip2 ./*.bz2
    run "$REHOST" disk convert "$(basename "$1")" out.qcow2
    expect_status 0
    expect_same_disk "$(basename "$1")" out.qcow2 vmdk qcow2
}
check real_esxi_export real_by_qemu qemu/iotest-version3.vmdk
check real_virtualbox_export real_by_qemu cot/ubuntu.2.0-disk1.vmdk

real_refused() { # FILE ID
    need_shared corpus/disks
    cp "$RH_SHARED/corpus/disks/$1"* . && chmod u+w ./*
    [ ! -e ./*.bz2 ] || bunzip2 ./*.bz2
    mkdir out
    run "$REHOST" disk convert "$(basename "$1")" out/x.raw -O raw
    expect_error "$2" 3
    expect_empty out
}
check real_delta_without_parent real_refused \
    vmdk-rs/vmfs_thick-000001.vmdk VMDK_EXTENT
check real_split_without_parts real_refused \
    vmdk-forensic/ms3-win.vmdk VMDK_EXTENT
check real_damaged_descriptor real_refused \
    go-vmdk-parser/vmdk-invalid.img VMDK_HEADER
check real_fuzzed_capacity real_refused qemu/afl9.vmdk VMDK_HEADER

run_tests
