#!/bin/bash
# appliance.sh - a Windows guest where rehost-ntfs is not installed: libguestfs'
# appliance does the same.  What it does is compared with what the program does:
# edits, files with who may use them, the registry.  Each start of the appliance
# takes half a minute where there is no KVM.
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/lib-windows.sh"

for need in ntfs-3g ntfscat ntfsfix mkntfs hivexregedit getfattr; do
    command -v "$need" >/dev/null || {
        skip "appliance" "$need is not installed"
        finish
        exit 0
    }
done
[ -x "$BUILD/rehost-ntfs" ] && "$REHOST" --version | grep -q libguestfs || {
    skip "appliance" "built without the NTFS helper or libguestfs"
    finish
    exit 0
}
nic='--set nic0.model=vmxnet3 --set nic0.slot=192 --set nic0.mac=00:50:56:8a:01:02'
machine='--set memory=2GiB --set cpus=2'

disk() { # NAME PROFILE [VARIABLE=...]
    local name=$1 profile=$2
    shift 2
    env SIZE_MIB=16 "$@" sh "$tools/mkwindows.sh" "$name.raw" "$profile" >made 2>&1 ||
        fail "$(cat made)"
}
# What a result is, for comparing: names, contents, who may use them, attributes,
# and the registry.
look_into() { # RAW OUT
    volume "$1"
    ntfsfix -n ntfs 2>&1 | grep -v '^Mounting'
    mkdir -p mnt && ntfs-3g -o ro ntfs mnt || return 1
    (cd mnt && find . | sort | while read -r f; do
        [ ! -f "$f" ] || sha256sum "$f"
        for a in acl attrib; do
            echo "$f $(getfattr -h --absolute-names -e hex -n system.ntfs_$a "$f" | grep '=')"
        done
    done)
    fusermount -u mnt
    ntfscat -f ntfs Windows/System32/config/SYSTEM >SYSTEM
    export_of SYSTEM registry && cat registry
}
both() { # NAME [OPTION...]: into helper/ and appliance/, with ended, edits, seen
    local name=$1 way
    shift
    for way in helper appliance; do
        [ $way = helper ] || local -x REHOST_LIBEXEC=/nonexistent
        mkdir $way
        run "$REHOST" convert "$name.raw" --out $way/out --format raw $machine "$@"
        echo "$status" >$way/ended
        jq '[.edits[]]' $way/out/*/receipt.json >$way/edits
        jq '.vms[0].targets[0] | [.guest.fixes, ([.findings[] | select(.id != "GUEST-NO-KVM") | .id + " " + .severity])]' \
            $way/out/*/report.json >$way/said
        look_into $way/out/*/disk0.raw >$way/seen
    done
    expect_json '.vms[0].targets[0].guest.backend' direct helper/out/*/report.json
    expect_json '.vms[0].targets[0].guest.backend' libguestfs appliance/out/*/report.json
    for f in ended edits said seen; do expect_same_file helper/$f appliance/$f; done
}

test_the_appliance_does_what_the_helper_does() {
    disk w2019 win2019
    virtio_win drv microsoft 2k19
    both w2019 --to kvm --devices virtio --drivers drv $nic --remove-vmware-tools
    expect_equal "$(cat appliance/ended)" 0
    expect_json 'length > 20' true appliance/edits
    # The job's folder is for administrators alone.
    expect_equal "$(grep -c 'rehost-firstboot.*ntfs_acl=0x01000494' appliance/seen | awk '{print ($1 > 2)}')" 1
    # A dry run says the same, and a second run has nothing left to do.
    REHOST_LIBEXEC=/nonexistent run "$REHOST" report w2019.raw --to kvm $machine --json - \
        --devices virtio --drivers drv $nic --remove-vmware-tools
    jq '[.vms[0].targets[0].edits[] | {where, what, fix}]' .stdout >dry
    jq '[.[] | {where, what, fix}]' appliance/edits >did
    expect_same_file dry did
    REHOST_LIBEXEC=/nonexistent run "$REHOST" report appliance/out/w2019/disk0.raw --to kvm \
        $machine --json - --devices virtio --drivers drv $nic
    expect_json '.vms[0].targets[0].edits | length' 0
}
# The ESP is edited in-process, the volume beside it by the appliance.
test_both_ways_mix_on_one_disk_with_uefi() {
    disk w11 win11 LAYOUT=gpt
    mdel -i w11.raw@@1M ::/EFI/Boot/bootx64.efi
    both w11 --to kvm --devices emulated $nic
    for way in helper appliance; do
        mcopy -i $way/out/w11/disk0.raw@@1M ::/EFI/Boot/bootx64.efi $way/loader
    done
    expect_same_file helper/loader appliance/loader
}
test_a_fix_that_fails_is_undone_and_the_others_stay() {
    local free
    disk full win2019
    mkdir drv
    head -c 3M /dev/urandom >drv/XenTools-x64.msi
    volume full.raw
    mkdir mnt && ntfs-3g ntfs mnt || fail "no mount"
    free=$(($(stat -f -c '%f * %S' mnt)))
    head -c $((free - 2048 * 1024)) /dev/zero >mnt/filler
    fusermount -u mnt
    dd if=ntfs of=full.raw bs=1M seek=1 conv=notrunc status=none
    both full --to xen --drivers drv $nic
    expect_json '[.[1][] | select(startswith("GUEST-FIX-FAILED"))] | length > 0' true appliance/said
    expect_json '[.[] | select(.fix == "windows.boot-start")] | length > 0' true appliance/edits
}
test_a_hibernated_volume_is_read_and_stays_as_it_is() {
    disk asleep win10 HIBERNATED=1
    REHOST_LIBEXEC=/nonexistent run "$REHOST" convert asleep.raw --to kvm --devices vmware \
        --out out --format raw $machine
    expect_status 0
    expect_same_file asleep.raw out/asleep/disk0.raw
    expect_json '.vms[0].targets[0] | .guest.backend + " " + .guest.version + " " + (.edits | length | tostring)' \
        "libguestfs 10.0.19045 0" out/asleep/report.json
    expect_json '[.vms[0].targets[0].findings[].id | select(. == "GUEST-HIBERNATED")] | length' 1 \
        out/asleep/report.json
}
# Eight volumes on one disk, each left in its own way.
test_how_a_volume_was_left_is_told_as_by_the_helper() {
    local f i=0 corpus=$RH_SHARED/corpus/windows-disks
    need_shared corpus/windows-disks/dfir_ntfs-LogFile_10.bin.xz
    truncate -s 200M all.raw
    for i in 0 1 2 3 4 5 6; do echo "start=$((2048 + i * 49152)), size=40960"; done |
        sed '1i label: gpt' | sfdisk -q all.raw
    i=0
    for f in 10 10_downgraded 7 empty clean dirty short; do
        rm -f one && truncate -s 20M one
        mkntfs -q -F -Q one >/dev/null 2>&1
        case $f in
        clean) ;;
        dirty) # the flag of $Volume, in its record and the mirror's
            python3 - one <<'END'
import struct, sys
f = open(sys.argv[1], 'r+b'); b = f.read()
sec, per = struct.unpack_from('<HB', b, 11)
for lcn in struct.unpack_from('<QQ', b, 48):
    at = lcn * sec * per + 3 * 1024
    a = at + struct.unpack_from('<H', b, at + 20)[0]
    while struct.unpack_from('<I', b, a)[0] != 0x70:
        a += struct.unpack_from('<I', b, a + 4)[0]
    flags = a + struct.unpack_from('<H', b, a + 20)[0] + 10
    f.seek(flags); f.write(struct.pack('<H', struct.unpack_from('<H', b, flags)[0] | 1))
END
            ;;
        short) # hiberfil.sys of a volume that Windows did not start from
            echo x >short && ntfscp -q -f one short hiberfil.sys ;;
        *)
            { xz -dc "$corpus/dfir_ntfs-LogFile_$f.bin.xz"
              head -c 4M /dev/zero | tr '\0' '\377'; } | head -c 4M >log
            ntfscp -f -i one log 2 >/dev/null 2>&1 ;;
        esac
        dd if=one of=all.raw bs=1M seek=$((1 + i * 24)) conv=notrunc status=none
        i=$((i + 1))
    done
    for f in helper appliance; do
        [ $f = helper ] || local -x REHOST_LIBEXEC=/nonexistent
        run "$REHOST" report all.raw --to kvm $machine --json -
        jq -r '.vms[0].targets[0].findings[] | select(.message | test("/dev/sda")) | .id + " " + .message' \
            .stdout | sort >$f.said
    done
    expect_same_file helper.said appliance.said
    expect_equal "$(grep -o '/dev/sda[0-9]' appliance.said | uniq | tr '\n' ' ')" "/dev/sda6 /dev/sda7 /dev/sda1 "
}
run_tests
