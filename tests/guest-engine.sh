#!/bin/bash
# guest-engine.sh - how fixes end: one that fails is undone and told, others
# stay; --fix and --no-fix; disks that break their own rules.
#
# debugfs damages a file that a fix reads after it has written another one; what
# the result holds must then be, byte for byte, what --no-fix leaves.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
here=$TOP/tests/guestfix
mkova=$TOP/tests/guests/mkova.py
mac=00:50:56:8a:12:34

pack() {
    python3 "$mkova" ${uefi:+--uefi} --mac "$mac" --name g g.ova g.raw >/dev/null || fail "mkova"
}
# make_guest MKGUEST-ARGUMENT... : g.raw and g.ova; files on standard input
make_guest() {
    need mke2fs sfdisk qemu-img python3 debugfs
    cat >.files
    python3 "$here/mkguest.py" --with .files "$@" g.raw || fail "mkguest $*"
    pack
}
root() { echo "$1?offset=$(($(jq .root g.raw.json) << 20))"; }
# The file's only extent leads behind the end of the file system.
break_file() { # PATH
    debugfs -w -R "sif $1 block[5] 0x00ffffff" "$(root g.raw)" >/dev/null 2>&1
    pack
}
convert() { # OUT OPTION...
    local out=$1
    shift
    run "$REHOST" convert g.ova --to kvm --out "$out" --format raw "$@"
}
outcome() { # OUT FIX
    jq -r --arg f "$2" '.vms[0].targets[0].guest.fixes[]|select(.fix==$f).outcome' \
        "$1/g/report.json"
}
finding() { # FILE ID
    jq -r --arg i "$2" '.vms[0].targets[0].findings[]|select(.id==$i)|.severity+" "+.message' "$1"
}
xen_console='== /boot/grub/custom.cfg
linux /boot/vmlinuz root=/dev/sda1 console=hvc0'

test_a_fix_that_fails_is_undone_and_others_stay() {
    make_guest --codec zstd debian <<<"$xen_console"
    break_file /etc/default/grub
    convert failed --no-fix linux.boot-arguments
    expect_status 0
    expect_equal "$(outcome failed linux.console)" failed "the fix that met the damaged file"
    expect_equal "$(outcome failed linux.fstab)" "done" "another"
    expect_equal "$(outcome failed linux.boot-arguments)" left-out "one that was left out"
    finding failed/g/report.json GUEST-FIX-FAILED >said
    grep -q '^caution linux.console failed' said || fail "what is said" "$(cat said)"
    expect_json '[.edits[]|select(.fix=="linux.console")]|length' 0 failed/g/receipt.json
    convert without --no-fix linux.boot-arguments --no-fix linux.console
    expect_status 0
    expect_same_file failed/g/disk0.raw without/g/disk0.raw
    debugfs -R 'cat /boot/grub/custom.cfg' "$(root failed/g/disk0.raw)" 2>/dev/null >text
    expect_equal "$(cat text)" "${xen_console#*$'\n'}" "the file that was edited first"
}
test_what_may_not_boot_blocks() {
    make_guest --codec zstd debian <<<"$xen_console"
    break_file /etc/default/grub
    run "$REHOST" report g.ova --to kvm --json report.json
    expect_status 4
    finding report.json GUEST-FIX-FAILED >said
    grep -q '^blocker linux.boot-arguments failed' said || fail "what is said" "$(cat said)"
    convert out
    expect_status 4
    [ ! -e out/g ] || fail "a result is there"
}
test_two_that_fail_leave_what_stands_between_them() {
    make_guest --codec zstd debian <<<"$xen_console"$'\n== /etc/X11/xorg.conf\nDriver "vmware"'
    break_file /etc/default/grub
    break_file /etc/X11/xorg.conf
    convert failed --no-fix linux.boot-arguments
    expect_status 0
    expect_equal "$(outcome failed linux.console) $(outcome failed linux.xorg)" "failed failed" outcomes
    convert without --no-fix linux.boot-arguments --no-fix linux.console --no-fix linux.xorg
    expect_status 0
    expect_same_file failed/g/disk0.raw without/g/disk0.raw
}
test_what_is_asked_for_exists() {
    make_guest debian </dev/null
    for option in --fix --no-fix; do
        convert out $option linux.fstap
        expect_status 2
        expect_stderr 'there is no fix "linux.fstap"'
    done
    convert out --no-fix linux.fstab --no-fix linux.nic-names --fix linux.fstab
    expect_status 0
    expect_equal "$(outcome out linux.fstab)" left-out "left out goes before asked for"
    expect_equal "$(outcome out linux.nic-names)" left-out "a second one"
    finding out/g/report.json GUEST-FIX-LEFT-OUT >said
    expect_equal "$(grep -c ^caution said)" 2 "what is said"
}
test_a_fix_that_is_off_by_default_is_turned_on() {
    make_guest --codec zstd debian <<'END'
== /etc/fstab
/dev/sda1 / ext4 defaults 0 1
UUID=99999999-9999-4999-8999-999999999999 /gone ext4 defaults 0 2
END
    convert off
    expect_status 0
    expect_equal "$(outcome off linux.fstab-nofail)" "" "off by default"
    convert on --fix linux.fstab-nofail --fix windows.boot-start
    expect_status 0
    expect_equal "$(outcome on linux.fstab-nofail)" "done" "asked for"
    debugfs -R 'cat /etc/fstab' "$(root on/g/disk0.raw)" 2>/dev/null >text
    grep -q '^UUID=99999999.*nofail' text || fail "fstab" "$(cat text)"
    finding on/g/report.json GUEST-FIX-FOREIGN >said
    grep -q 'windows.boot-start is left out: the guest is linux' said || fail "what is said" "$(cat said)"
}
test_each_fix_says_how_it_ended() {
    make_guest --codec zstd debian </dev/null
    convert one
    expect_status 0
    expect_equal "$(outcome one linux.fstab)" "done" fstab
    expect_equal "$(outcome one linux.xorg)" nothing-to-do xorg
    jq -r '.edits[].fix' one/g/receipt.json | sort -u >edited
    jq -r '.vms[0].targets[0].guest.fixes[]|select(.outcome=="done").fix' one/g/report.json |
        sort >done_
    expect_same_file edited done_
}
run_tests
