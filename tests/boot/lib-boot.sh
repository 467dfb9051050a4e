# lib-boot.sh - a guest's whole way: source, conversion, boot on other hardware.
#
# Used by the scripts of this folder and by tests/micro-chain.sh, after lib.sh.
# A script converts its guest once, before run_tests, and each test boots it:
#
#   . "$(dirname "$0")/../lib.sh"
#   . "$TOP/tests/boot/lib-boot.sh"
#   guest debian-bios
#   test_boots_on_virtio_blk() { boot virtio-blk; expect_up vda1 virtio_net; }
#   run_tests
#
# The judge is tests/guests/boot.py: it knows nothing of rehost, and believes
# only what the guest itself says on its serial port.
# SPDX-License-Identifier: LGPL-2.1-or-later
GUESTS=$TOP/tests/guests
: "${RH_CACHE:=$BUILD/guests}"
export RH_CACHE
# Seconds, which only a guest that hangs meets: a busy machine is slow.
: "${BOOT_TIMEOUT:=900}"
# MD5 of /usr/share/guest-sample in every guest: what its disk driver must give.
SAMPLE=af4b966564969a5c354dd1d2c8370461

# Makes the guest's disk and OVA, converts it with and without the guest fix.
# What goes wrong here fails the tests, each with its own words.
guest() { # KIND [CONVERT-OPTION...]
    local kind=$1
    shift
    KIND=$kind NAME=vmw-$kind
    UNBUILT='' SOURCE='' FIXED=$SCRATCH/kvm/$NAME PLAIN=$SCRATCH/plain/$NAME
    case $kind in
    debian-* | windows-*)
        [ "$(id -u)" = 0 ] || UNBUILT="building $kind needs root"
        command -v mmdebstrap >/dev/null || UNBUILT="mmdebstrap is not installed"
        ;;
    esac
    [ -z "$UNBUILT" ] || return 0
    SOURCE=$("$GUESTS/get.sh" "$kind") && OVA=$("$GUESTS/get.sh" --ova "$kind") ||
        { SOURCE=''; return 0; }
    "$REHOST" convert "$OVA" --to kvm --out "$SCRATCH/kvm" --progress none "$@" \
        >"$SCRATCH/convert.log" 2>&1 </dev/null
    CONVERTED=$?
    "$REHOST" convert "$OVA" --to kvm --out "$SCRATCH/plain" --progress none \
        --no-guest-fix >"$SCRATCH/plain.log" 2>&1 </dev/null
}
_have_guest() {
    [ -z "$UNBUILT" ] || skip_test "$UNBUILT"
    [ -n "$SOURCE" ] || fail "the guest $KIND could not be built" \
        "$(tail -n 5 "$RH_CACHE/$KIND.log")"
}
_boot() { # HARDWARE DISK [OPTION...]
    local hw=$1 disk=$2
    shift 2
    case $KIND in *uefi*) [ "$hw" = vmware ] || set -- --uefi "$@" ;; esac
    run "$GUESTS/boot.py" --hw "$hw" --timeout "$BOOT_TIMEOUT" --log console "$@" "$disk"
}
# Debian's OVMF does not know PVSCSI: there GRUB's work, reading the kernel and
# the initramfs from the guest's disk, is done from outside.
_direct() { # DISK.raw
    local file="$GUESTS/guestfile.py" kernel root
    case $KIND in *uefi*) ;; *) return 0 ;; esac
    "$file" "$1" cat /boot/grub/grub.cfg >grub.cfg
    root=$(sed -n 's/^[[:space:]]*linux .* root=\([^ ]*\).*/\1/p' grub.cfg)
    kernel=$(sed -n 's/^[[:space:]]*linux .*vmlinuz-\([^ ]*\).*/\1/p' grub.cfg)
    "$file" "$1" cat "/boot/vmlinuz-$kernel" >vmlinuz
    "$file" "$1" cat "/boot/initrd.img-$kernel" >initrd
    printf '%s\n' --kernel "$PWD/vmlinuz" --initrd "$PWD/initrd" \
        --append "root=$root ro console=ttyS0,115200"
}
# The MAC that the target's NIC will have; a guest's network hangs on it.
target_mac() {
    grep -o "<mac address=['\"][0-9a-fA-F:]*" "$FIXED/libvirt.xml" |
        head -n 1 | grep -o '[0-9a-fA-F:]\{17\}$'
}

# The three boots that every test here is about.
boot_source() { # on the hardware that it comes from
    local direct
    _have_guest
    mapfile -t direct < <(_direct "$SOURCE")
    _boot vmware "$SOURCE" "${direct[@]}"
}
boot_plain() { # HARDWARE: converted, but not fixed
    _have_guest
    [ -f "$PLAIN/disk0.qcow2" ] || fail "no unfixed disk" "$(cat "$SCRATCH/plain.log")"
    _boot "$1" "$PLAIN/disk0.qcow2"
}
boot() { # HARDWARE [OPTION...]: converted
    local hw=$1 mac direct=()
    shift
    _have_guest
    [ "$CONVERTED" = 0 ] && [ -f "$FIXED/disk0.qcow2" ] ||
        fail "convert ended with status $CONVERTED" "$(cat "$SCRATCH/convert.log")"
    mac=$(target_mac)
    [ -n "$mac" ] || fail "no MAC in libvirt.xml"
    if [ "$hw" = vmware ]; then
        qemu-img convert -O raw "$FIXED/disk0.qcow2" fixed.raw
        mapfile -t direct < <(_direct fixed.raw)
    fi
    _boot "$hw" "$FIXED/disk0.qcow2" --mac "$mac" "${direct[@]}" "$@"
}

# rehost's own word on both results, on the hardware that they were made for.
rehost_boot_agrees() { # ADDRESS [SCREEN-MODE]
    _have_guest
    run "$REHOST" boot "$FIXED" --json --timeout "$BOOT_TIMEOUT" --screenshot s.png
    expect_status 0
    expect_schema .stdout rehost.boot-1.json
    expect_json .reached login
    expect_json .network.up true
    # Who is configured by hand need not have spoken IPv4 to anybody.
    [ "$1" = - ] || expect_json .network.address "$1"
    expect_equal "$(head -c 4 s.png | tail -c 3)" PNG screenshot
    run "$REHOST" boot "$PLAIN" --json --timeout "$BOOT_TIMEOUT"
    expect_status 1
    expect_schema .stdout rehost.boot-1.json
    expect_json '.failure|test("^(initramfs-shell|dracut-no-root)$")' true
}

# What the guest must say: root on that device, its data, its network as before.
expect_up() { # ROOT-DISK NIC-DRIVER [ADDRESS]
    [ "$status" = 0 ] || fail "the guest did not come up" "$stdout" \
        "$(tail -n 25 console | tr -d '\r')"
    held
    expect_json .result ok
    expect_json .probe.disk "$1"
    expect_json .probe.nic "ens192:$2:up"
    expect_json .probe.addr "${3:-10.0.2.15/24}"
    expect_json .probe.tcp yes
    expect_json .probe.sample $SAMPLE
}
# Stopped before its root file system: the proof that the fix is what helps.
expect_no_root() {
    [ "$status" = 3 ] || fail "expected the guest to stop in its initramfs" "$stdout"
    expect_json '.detail | test("does not exist|Could not boot")' true
}
