#!/bin/bash
# v2v.sh - virt-v2v and rehost on the same image: what virt-v2v writes into the
# registry is among what rehost writes, or the reason why not stands here.
# virt-v2v takes minutes (its appliance, in emulation).
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/lib-windows.sh"

for need in virt-v2v hivexregedit ntfs-3g ntfscat mkntfs; do
    command -v "$need" >/dev/null || {
        skip "virt-v2v" "$need is not installed"
        finish
        exit 0
    }
done
hive=$RH_SHARED/corpus/hives/system/win10-21h2-vmware-uefi.SYSTEM.xz
: "${V2V_TIME:=1500}" # seconds

set -- LAYOUT=gpt SIZE_MIB=224
if [ -e "$hive" ]; then
    xz -dc "$hive" >hive
    set -- "$@" SYSTEM_HIVE="$PWD/hive"
fi
env "$@" sh "$tools/mkwindows.sh" g.raw win10 >made 2>&1 || fail "$(cat made)"
virtio_win drv microsoft w10
rm -rf drv/viostor # both take virtio-scsi then
mkdir data
for f in rhsrvany.exe pnp_wait.exe; do
    python3 "$tools/mkpe.py" "data/$f" x86 console 0
done
flat() { # RAW NAME OUT
    hive_of "$1" "$2" "$3.hive"
    hivexregedit --export --unsafe-printable-strings "$3.hive" '\' 2>/dev/null |
        awk '/^\[/ { key = $0; print; next } NF { print key " " $0 }' | LC_ALL=C sort >"$3"
}
changed() { # BEFORE AFTER
    diff "$1" "$2" | grep '^[<>]' | tr A-Z a-z | LC_ALL=C sort
}
for h in SYSTEM SOFTWARE; do flat g.raw $h "before.$h"; done

"$REHOST" convert g.raw --to kvm --devices virtio --drivers drv --out ours --format raw \
    --set memory=1GiB --set cpus=1 --set nic0.mac=00:50:56:00:00:01 >said 2>&1 || cat said
mkdir v2v
start=$SECONDS
LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg \
    VIRTIO_WIN=$PWD/drv VIRT_TOOLS_DATA_DIR=$PWD/data \
    timeout "$V2V_TIME" virt-v2v -i disk g.raw -o local -os v2v -of raw -on g >v2v.log 2>&1
v2v=$?
echo "  virt-v2v took $((SECONDS - start)) s, with status $v2v"

# What is only virt-v2v's, and why.
cat >reasons <<'EOF'
# A crash at the first start shall stay on the screen; virt-v2v never sets it
# back.  Ours leaves what the administrator chose.
controlset[0-9]+.control.crashcontrol\] "autoreboot"=dword:0000000[01]$
# Its service runs a program that is put into the guest (rhsrvany.exe); ours is
# Services\rehost-firstboot, of cmd.exe alone.
^> .\\controlset[0-9]+.services.firstboot(.parameters)?\]
# It has Windows search a folder that anyone may write drivers to; ours are
# installed by pnputil out of a folder of SYSTEM and Administrators.
^[<>] .\\microsoft.windows.currentversion\] "devicepath"=
EOF
test_what_virt_v2v_writes_is_among_ours_or_explained() {
    [ $v2v != 124 ] || skip_test "virt-v2v took more than $V2V_TIME s"
    [ $v2v = 0 ] || skip_test "virt-v2v failed: $(tail -3 "$SCRATCH/v2v.log" | tr '\n' ' ')"
    for h in SYSTEM SOFTWARE; do
        flat "$SCRATCH/v2v/g-sda" $h "v2v.$h"
        flat "$SCRATCH/ours/g/disk0.raw" $h "ours.$h"
        changed "$SCRATCH/before.$h" "v2v.$h" >v2v.changed
        changed "$SCRATCH/before.$h" "ours.$h" >ours.changed
        LC_ALL=C comm -23 v2v.changed ours.changed
    done >only
    [ -z "${SHOW-}" ] || cp only "$SHOW"
    grep -v '^#' "$SCRATCH/reasons" | grep . >patterns
    expect_equal "$(grep -v -E -f patterns only)" ""
}
run_tests
