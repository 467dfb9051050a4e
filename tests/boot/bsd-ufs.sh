#!/bin/bash
# bsd-ufs.sh - UFS after edits, read by Linux's own driver in the appliance: all
# files are as they were but those that the receipt names, and these are what our
# reader and the independent one say.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
mkbsd=$TOP/tests/guests/mkbsd.sh
ufs="python3 $TOP/tests/bsd/ufscheck.py"
at=$((2 << 20)) # where mkbsd.sh puts the root's file system

vm() { # NAME
    printf '%s\n' '# Disk DescriptorFile' version=1 CID=fffffffe parentCID=ffffffff \
        'createType="monolithicFlat"' \
        "RW $(($(stat -c %s "$1.raw") / 512)) FLAT \"$1.raw\" 0" >"$1.vmdk"
    printf '%s\n' "displayName = \"$1\"" 'numvcpus = "1"' 'memSize = "1024"' 'firmware = "bios"' \
        'scsi0.present = "TRUE"' 'scsi0.virtualDev = "pvscsi"' "scsi0:0.fileName = \"$1.vmdk\"" \
        'ethernet0.present = "TRUE"' 'ethernet0.virtualDev = "vmxnet3"' \
        'ethernet0.networkName = "LAN"' 'ethernet0.address = "00:50:56:00:00:01"' \
        'ethernet0.addressType = "static"' >"$1.vmx"
}
root_of() { # DISK IMAGE: its file system alone
    dd if="$1" of="$2" bs=1M skip=2 count=48 status=none
}
listed() { # TAR: every path with its kind and contents
    python3 - "$1" <<'PY'
import hashlib, sys, tarfile
with tarfile.open(sys.argv[1]) as t:
    for m in sorted(t.getmembers(), key=lambda m: m.name):
        data = t.extractfile(m).read() if m.isreg() else b""
        print("/" + m.name.strip("./"), m.type.decode(), oct(m.mode), m.uid, len(data), hashlib.sha256(data).hexdigest())
PY
}
test_linux_reads_what_was_edited() {
    need makefs sfdisk python3 guestfish
    local letters=abcdefgh n i=0 drives=() script=run type sd
    for n in freebsd openbsd netbsd ffs1; do
        case $n in
        ffs1) FFS=1 sh "$mkbsd" openbsd $n.raw ;;
        *) sh "$mkbsd" $n $n.raw ;;
        esac || fail "mkbsd $n"
        [ $n != freebsd ] || $ufs seal $n.raw $at # check hashes, as FreeBSD 13 keeps them
        vm $n
        run "$REHOST" convert $n.vmx --to kvm --out out --format raw --overwrite --devices virtio
        expect_status 0
        expect_json '.edits | length > 0' true out/$n/receipt.json
        run $ufs check out/$n/disk0.raw $at
        expect_equal "$stdout" sound
        root_of $n.raw $n.before
        root_of out/$n/disk0.raw $n.after
        type=ufs2
        case $n in netbsd | ffs1) type=44bsd ;; esac
        for when in before after; do
            sd=/dev/sd${letters:i++:1}
            drives+=(-a "$n.$when")
            script+=$'\n'"mount-vfs ro,ufstype=$type ufs $sd /"$'\n'"tar-out / $n.$when.tar"$'\n'"umount /"
        done
    done
    LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg guestfish --ro --format=raw "${drives[@]}" <<<"$script" >log 2>&1 ||
        fail "guestfish failed" "$(cat log)"
    for n in freebsd openbsd netbsd ffs1; do
        listed $n.before.tar >before
        listed $n.after.tar >after
        # Names are compared as the receipt says them: an edit of a file, or a
        # file that became another one.
        diff before after | sed -n 's/^[<>] \([^ ]*\) .*/\1/p' | sort -u >differ
        jq -r '.edits[].where' out/$n/receipt.json | sort -u >edited
        expect_equal "$(comm -23 edited differ)" "" "$n: edits that Linux does not see"
        while read -r path; do
            grep -qF -- "$path" edited || jq -e --arg p "$path" '[.edits[] | tostring | contains($p)] | any' \
                out/$n/receipt.json >/dev/null || fail "$n: $path changed, and no edit says so" "$(cat edited)"
        done <differ
        while read -r path; do # what Linux reads is what the second reader does
            tar -xOf $n.after.tar ".$path" >linux 2>/dev/null || continue
            $ufs cat out/$n/disk0.raw $at "$path" >other
            expect_same_file linux other
        done <differ
    done
}
run_tests
