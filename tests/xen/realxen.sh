# A converted guest boots on a real Xen hypervisor: Xen 4.17 in QEMU's software
# emulation (tests/guests/realxen.sh).  The same guest without the guest fix stops
# there, for the kernel unplugs the emulated disk and has no driver for Xen's.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/boot/lib-boot.sh"

xen_guest() {
    OVA=$("$GUESTS/get.sh" --ova micro) || return 1
    "$REHOST" convert "$OVA" --to xen --out "$SCRATCH/xen" --progress none &&
        "$REHOST" convert "$OVA" --to xen --out "$SCRATCH/plain" --progress none \
            --no-guest-fix || return 1
    MAC=$("$GUESTS/xva2raw.py" "$SCRATCH/xen/vmw-micro/vmw-micro.xva" "$SCRATCH/fixed.raw") &&
        "$GUESTS/xva2raw.py" "$SCRATCH/plain/vmw-micro/vmw-micro.xva" "$SCRATCH/plain.raw"
}
cannot=''
: >"$SCRATCH/xen.log"
command -v mmdebstrap >/dev/null || cannot="mmdebstrap is not installed"
if [ -z "$cannot" ] && xen_guest >"$SCRATCH/made" 2>&1 </dev/null; then
    "$GUESTS/realxen.sh" -t "${XEN_TIMEOUT:-5000}" -m "$MAC" \
        "$SCRATCH/plain.raw" '(initramfs) ' "$SCRATCH/fixed.raw" ' PROBE-END' \
        >"$SCRATCH/xen.log" 2>&1
    cp "$RH_CACHE"/xen/guest[12].serial "$SCRATCH" 2>/dev/null
fi

ran_on_xen() {
    [ -z "$cannot" ] || skip_test "$cannot"
    grep -q 'xen_version *: 4\.17' "$SCRATCH/xen.log" ||
        fail "no guest ran on Xen" "$(tail -n 20 "$SCRATCH/made" "$SCRATCH/xen.log")"
}
said() { # GUEST REGEX
    grep -aqE -- "$2" "$SCRATCH/guest$1.serial" ||
        fail "guest $1 did not say: $2" "$(tail -n 20 "$SCRATCH/guest$1.serial")"
    held
}
test_unfixed_it_finds_no_disk() {
    ran_on_xen
    said 1 'Device with no driver: device/vbd/51712'
    said 1 'ALERT!  /dev/sda1 does not exist'
}
test_converted_it_boots_from_xvda() {
    ran_on_xen
    said 2 'PROBE root=/dev/xvda1 mode=rw disk=xvda1 driver=vbd '
    said 2 'swap=/dev/xvda2'
    said 2 'hypervisor=xen'
}
test_its_data_came_through_blkfront() {
    ran_on_xen
    said 2 "sample=$SAMPLE"
}
test_its_network_is_as_before() {
    ran_on_xen
    said 2 'nic=ens192:vif:up addr=10\.0\.2\.15/24 tcp=yes'
}

run_tests
