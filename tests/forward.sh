# A compressed disk of a package that is read forward, and not stored: what comes
# out is what the plain disk gives, and what is wrong with it is said.
# SPDX-License-Identifier: LGPL-2.1-or-later
IN_MEMORY=1
. "$(dirname "$0")/lib.sh"

pack() { # HOW VMDK OUT.ova
    python3 "$TOP/tests/mkpackage.py" pack "$@" || fail "mkpackage.py pack $1"
}
# Nothing can be stored where there is no folder.
convert() { # SOURCE OUT [OPTION...]
    local source=$1 out=$2
    shift 2
    run "$REHOST" convert "$source" --to kvm --out "$out" --no-guest-fix \
        --temp-dir "$PWD/no-such-folder" "$@"
}
streamed() { # RAW OUT.vmdk
    need qemu-img
    qemu-img convert -f raw -O vmdk -o subformat=streamOptimized "$1" "$2"
}
nothing_left() {
    expect_empty out
    expect_equal "$(find . -name '.*.part')" ""
}

make_disk "$SCRATCH/disk.raw" 30000128
VMDK=$SCRATCH/disk.vmdk
if command -v qemu-img >/dev/null; then
    streamed "$SCRATCH/disk.raw" "$VMDK"
    pack gzip "$VMDK" "$SCRATCH/gzip.ova"
fi
PACKED=$SCRATCH/gzip.ova

# --- the same as the plain one -----------------------------------------------
about() { # FOLDER: what is known of the VM, but for its files
    jq -S '.vms[0] | del(.disks[].file, .disks[].compression) | .findings |=
        map(select(.id != "DISK-FORWARD"))
        | .provenance |= del(.["disks/0/file"])' "$1/box/vm.json"
}
digests() { # FOLDER
    jq -c '.disks[] | [.content_digest, .source_digest, .data_bytes]' \
        "$1/box/receipt.json"
}
same_as_plain() { # VMDK [OPTION...]: into in.ova, out and plain
    local vmdk=$1
    shift
    pack gzip "$vmdk" in.ova
    pack plain "$vmdk" plain.ova
    convert plain.ova plain "$@"
    expect_status 0
    convert in.ova out "$@"
    expect_status 0
    expect_same_file out/box/disk0.* plain/box/disk0.*
    expect_equal "$(digests out)" "$(digests plain)" "digests"
    expect_equal "$(about out)" "$(about plain)" "what is known"
}

test_gzip_member_is_not_stored() {
    need qemu-img jq
    same_as_plain "$VMDK"
    expect_silent
    expect_same_disk "$SCRATCH/disk.raw" out/box/disk0.qcow2 raw qcow2
    expect_sound_qcow2 out/box/disk0.qcow2
    expect_json '.package.manifest' verified out/box/vm.json
    expect_json '[.vms[0].findings[].id] | index("DISK-FORWARD") != null' \
        true out/box/vm.json
    expect_json '.source.files[0].verified' true out/box/receipt.json
    run "$REHOST" verify in.ova out/box
    expect_status 0
    expect_stdout 'content digest as in the receipt'
}
test_every_form_of_a_file() {
    need qemu-img
    same_as_plain "$VMDK" --format raw
    expect_same_file "$SCRATCH/disk.raw" out/box/disk0.raw
    rm -r out plain
    same_as_plain "$VMDK" --compress zstd
    rm -r out plain
    convert "$PACKED" out --to xen --format vhd
    expect_status 0
    expect_same_disk "$SCRATCH/disk.raw" out/xen/box/disk0.vhd raw vpc
    expect_same_disk "$SCRATCH/disk.raw" out/kvm/box/disk0.vhd raw vpc
    run "$REHOST" verify "$PACKED" out/xen/box
    expect_status 0
}
test_other_codecs_and_several_gzip_members() {
    need qemu-img
    local how
    for how in xz gzip-members; do
        pack $how "$VMDK" $how.ova
        convert $how.ova $how
        expect_status 0
        expect_same_disk "$SCRATCH/disk.raw" $how/box/disk0.qcow2 raw qcow2
        expect_json '.package.manifest' verified $how/box/vm.json
    done
}
test_two_disks_of_one_file() {
    need qemu-img jq
    pack gzip-twice "$VMDK" in.ova
    convert in.ova out
    expect_status 0
    expect_same_disk "$SCRATCH/disk.raw" out/box/disk0.qcow2 raw qcow2
    expect_same_file out/box/disk0.qcow2 out/box/disk1.qcow2
    expect_json '.package.manifest' verified out/box/vm.json
}
test_without_a_manifest() {
    need qemu-img jq
    mkdir in
    tar -C in --exclude '*.mf' -xf "$PACKED"
    convert in out
    expect_status 0
    expect_same_disk "$SCRATCH/disk.raw" out/box/disk0.qcow2 raw qcow2
    expect_json '.package.manifest' absent out/box/vm.json
}
test_a_file_in_chunks() {
    need qemu-img jq
    pack gzip-chunks "$VMDK" in.ova
    convert in.ova out
    expect_status 0
    expect_same_disk "$SCRATCH/disk.raw" out/box/disk0.qcow2 raw qcow2
    expect_json '.package.manifest' verified out/box/vm.json
}
test_any_number_of_threads_gives_the_same() {
    need qemu-img
    local n
    for n in 1 4; do
        convert "$PACKED" $n --threads $n
        expect_status 0
    done
    # The one that names its folder, and the receipt that has its digest.
    run diff -r 1/box 4/box -x libvirt.xml -x receipt.json
    expect_status 0
}
dense() { # MIB: of noise, in big.raw and big.ova
    python3 -c 'import random, sys
r = random.Random(1)
for i in range(int(sys.argv[1])): sys.stdout.buffer.write(r.randbytes(1 << 20))
' "$1" >big.raw
    streamed big.raw big.vmdk
    pack gzip big.vmdk big.ova
}
test_the_file_is_read_once() {
    need qemu-img strace
    local size read_bytes
    dense 24
    "${STRACE[@]}" -e trace=pread64 "$REHOST" convert big.ova \
        --to kvm --no-guest-fix --out out >/dev/null 2>&1 || fail "status $?"
    size=$(stat -c %s big.ova)
    read_bytes=$(sed -n 's/.* = \([0-9]*\)$/\1/p' trace |
        awk '{ s += $1 } END { printf "%d", s }')
    # And its head, to know it.
    [ "$read_bytes" -lt $((size * 5 / 4)) ] ||
        fail "$read_bytes bytes were read of an OVA of $size"
    held
}
test_memory_does_not_grow_with_the_disk() {
    need qemu-img
    local kib
    dense 160
    kib=$(python3 - "$REHOST" convert big.ova --to kvm --no-guest-fix --threads 2 \
        --out out --temp-dir "$PWD/no-such-folder" <<'PY'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
PY
    ) || fail "status $?"
    case $(nm -D "$REHOST" 2>/dev/null) in
    *__asan_init*) ;; # keeps what was freed
    *) [ "$kib" -lt 102400 ] || fail "$kib KiB for a disk of 160 MiB" ;;
    esac
    expect_same_disk big.raw out/box/disk0.qcow2 raw qcow2
}

# --- what only the disk can say ----------------------------------------------
esp_disk() { # FILE: GPT, an ESP, a BIOS boot partition of zeros, some data behind
    need sfdisk mkfs.vfat mmd mcopy
    truncate -s 96M "$1"
    printf '%s\n' 'label: gpt' '2048,60000,U' \
        '63488,2048,21686148-6449-6E6F-744E-656564454649' '65536,40000,L' \
        '106496,,L' | sfdisk -q "$1" >/dev/null
    mkfs.vfat --offset 2048 "$1" 30000 >/dev/null 2>&1
    mmd -i "$1@@1M" ::EFI ::EFI/BOOT
    echo x >loader
    mcopy -i "$1@@1M" loader ::EFI/BOOT/BOOTX64.EFI
    printf 'LUKS\xba\xbe' |
        dd of="$1" bs=512 seek=65536 conv=notrunc status=none
}
test_firmware_is_what_the_disk_shows() {
    need jq
    esp_disk d.raw
    streamed d.raw d.vmdk
    same_as_plain d.vmdk
    expect_json '.vms[0].firmware' uefi out/box/vm.json
    expect_json '.vms[0].provenance.firmware.from' disk out/box/vm.json
    expect_json '.vms[0].findings[] | select(.id == "DISK-CONTENT").message' \
        'GPT: 1 vfat, 2 unknown content (type 21686148-6449-6e6f-744e-656564454649), 3 crypto_LUKS, 4 unknown content (type 0fc63daf-8483-4772-8e79-3d69d8477de4)' out/box/vm.json
}
test_what_the_descriptor_lacks_may_be_said() {
    need jq
    esp_disk d.raw
    streamed d.raw d.vmdk
    same_as_plain d.vmdk --set firmware=bios
    expect_json '.vms[0].firmware' bios out/box/vm.json
}

# --- disks that cannot come so -----------------------------------------------
test_disorder_is_copied_without_a_digest() {
    need qemu-img jq
    python3 "$TOP/tests/disks/make_vmdk.py" make stream-unordered --out made \
        >/dev/null
    pack gzip made/stream-unordered/disk.vmdk in.ova
    run "$REHOST" convert in.ova --to kvm --out out --no-guest-fix --format raw
    expect_status 0
    expect_json '.disks[0].content_digest' null out/box/receipt.json
    expect_equal "$(sha256sum <out/box/disk0.raw | cut -d' ' -f1)" \
        "$(jq -r '.["stream-unordered"].sha256' made/manifest.json)"
    run "$REHOST" verify in.ova out/box
    expect_status 0
}
# Jumping about in the stream costs a walk each time; there is an end to it.
test_a_disk_from_back_to_front_is_stored_to_be_looked_at() {
    need jq
    esp_disk d.raw
    python3 - d.raw d.vmdk <<'PY'
import os, sys
sys.path.insert(0, os.environ["TOP"] + "/tests/disks")
import make_vmdk
with open(sys.argv[1], "r+b") as f: # something in every grain
    for grain in range(96 * 16):
        f.seek(grain * 65536 + 65000)
        f.write(b"x")
make_vmdk.stream(sys.argv[2], make_vmdk.FileContent(sys.argv[1]), tables="front",
                 overhead=1, order=lambda grains: grains[::-1])
PY
    pack gzip d.vmdk in.ova
    not_forward in.ova --to kvm
    expect_json '.vms[0].firmware' uefi out/box/vm.json
    expect_json '.vms[0].findings[] | select(.id == "DISK-CONTENT").message' \
        'GPT: 1 vfat, 2 unknown content (type 21686148-6449-6e6f-744e-656564454649), 3 crypto_LUKS, 4 unknown content (type 0fc63daf-8483-4772-8e79-3d69d8477de4)' out/box/vm.json
    expect_same_disk d.raw out/box/disk0.qcow2 raw qcow2
}
not_forward() { # SOURCE [OPTION...]: no folder, no result; else as ever
    convert "$1" out "${@:2}"
    expect_error FILE_WRITE 1
    nothing_left
    run "$REHOST" convert "$1" --out out --no-guest-fix "${@:2}"
    expect_status 0
}
test_an_archive_is_written_from_a_stored_disk() {
    need qemu-img
    not_forward "$PACKED" --to xen
    rm -r out
    not_forward "$PACKED" --to xen --format xva --name box
}
test_large_clusters_and_kept_ones_are_stored() {
    need qemu-img jq
    not_forward "$PACKED" --to kvm --cluster-size 2M
    expect_same_disk "$SCRATCH/disk.raw" out/box/disk0.qcow2 raw qcow2
    expect_json '[.vms[0].findings[].id] | index("DISK-FORWARD")' null \
        out/box/vm.json
    rm -r out
    not_forward "$PACKED" --to kvm --compress keep
    expect_same_disk "$SCRATCH/disk.raw" out/box/disk0.qcow2 raw qcow2
}
test_another_format_is_stored() {
    need qemu-img
    qemu-img convert -f raw -O vmdk "$SCRATCH/disk.raw" other.vmdk
    pack gzip other.vmdk in.ova
    not_forward in.ova --to kvm
    expect_same_disk "$SCRATCH/disk.raw" out/box/disk0.qcow2 raw qcow2
}
test_a_guest_that_is_fixed_is_stored() {
    need qemu-img
    run "$REHOST" convert "$PACKED" --to kvm --out out --temp-dir "$PWD/none"
    expect_error FILE_WRITE 1
    nothing_left
}

# --- damage ------------------------------------------------------------------
refused() { # HOW [ID]
    pack "$1" "$VMDK" in.ova
    convert in.ova out
    if [ -n "${2-}" ]; then
        expect_error "$2" 3
    else
        expect_status 3
    fi
    nothing_left
}
test_a_changed_byte_is_told_by_the_manifest() {
    need qemu-img
    refused gzip-time MANIFEST_MISMATCH
}
test_bytes_behind_the_end_are_told_by_the_manifest() {
    need qemu-img
    refused gzip-behind MANIFEST_MISMATCH
}
test_a_changed_byte_in_the_data_is_refused() {
    need qemu-img
    refused gzip-byte
}
test_a_cut_file_is_refused() {
    need qemu-img
    refused gzip-cut
}
# Sound bytes, a sound manifest, and a table that does not name what is there.
test_tables_that_name_other_grains_are_refused() {
    need qemu-img
    python3 "$TOP/tests/disks/make_vmdk.py" make stream-esx --out made >/dev/null
    python3 - made/stream-esx/disk.vmdk bad.vmdk <<'PY'
import struct, sys
d = bytearray(open(sys.argv[1], "rb").read())
# Walk to the first table's marker (8 bytes of sectors, 4 of size 0, type 1).
at = struct.unpack_from("<Q", d, 64)[0] * 512
while struct.unpack_from("<I", d, at + 8)[0]:
    at += -(-(12 + struct.unpack_from("<I", d, at + 8)[0]) // 512) * 512
assert struct.unpack_from("<I", d, at + 12)[0] == 1
a, b = struct.unpack_from("<II", d, at + 512)
assert a > 1 and b > 1
struct.pack_into("<II", d, at + 512, b, a)
open(sys.argv[2], "wb").write(d)
PY
    pack gzip bad.vmdk in.ova
    convert in.ova out
    expect_error VMDK_GRAIN_TABLE 3
    nothing_left
}
run_tests
