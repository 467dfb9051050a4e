# `rehost boot` itself, on disks without a system: no guest is booted here, but
# QEMU is started.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

# The first sector's code by printf; none: the disk cannot be started from.
make_result() { # NAME [CODE [CONVERT-OPTION...]]
    local name=$1 code=${2-}
    shift $(($# < 2 ? $# : 2))
    truncate -s 8M "$name.raw"
    if [ -n "$code" ]; then
        # shellcheck disable=SC2059
        printf "$code" | dd of="$name.raw" conv=notrunc status=none
        printf '\125\252' | dd of="$name.raw" bs=1 seek=510 conv=notrunc status=none
    fi
    run "$REHOST" convert "$name.raw" --to kvm --out out --no-guest-fix \
        --set cpus=1 --set memory=256MiB --set firmware=bios --set os=debian-12 "$@"
    expect_status 0
    result=out/$name
}
hang='\353\376' # jmp to itself
# The keyboard controller resets the machine: mov al,0xfe; out 0x64,al.
reset="\260\376\346\144$hang"
# Nothing of it stays: no process that has this folder in its arguments, no file.
expect_nothing_left() {
    ! env -u TMPDIR grep -lzsxF "TMPDIR=$TMPDIR" /proc/[0-9]*/environ >.left ||
        fail "processes are left" "$(cat .left)"
    expect_empty "$TMPDIR"
}

test_disk_without_a_system_is_told_by_the_screen() {
    need qemu-system-x86_64
    export TMPDIR=$PWD/tmp
    mkdir tmp
    make_result empty
    run "$REHOST" boot "$result" --json --timeout 300 --screenshot s.png
    expect_status 1
    expect_schema .stdout rehost.boot-1.json
    expect_json .failure no-boot-device
    expect_json .screen.mode text
    expect_json '.screen.lines|map(select(test("No bootable device")))|length' 1
    expect_equal "$(file -b --mime-type s.png)" image/png
    expect_nothing_left
}
test_hang_ends_with_the_time() {
    need qemu-system-x86_64
    make_result hung "$hang"
    run "$REHOST" boot "$result" --json --timeout 6
    expect_status 1
    expect_json .failure timeout
    expect_stderr 'as far as: nothing'
}
test_reboot_loop_is_seen() {
    need qemu-system-x86_64
    make_result loop "$reset"
    run "$REHOST" boot "$result" --json --timeout 300
    expect_status 1
    expect_json .failure reboot-loop
}
test_interrupt_leaves_nothing() {
    local pid
    need qemu-system-x86_64 pgrep
    export TMPDIR=$PWD/tmp
    mkdir tmp
    make_result hung "$hang"
    "$REHOST" boot "$result" --timeout 300 >.stdout 2>.stderr &
    pid=$!
    for _ in $(seq 300); do
        ! pgrep -P $pid qemu >/dev/null || break
        sleep 0.2
    done
    kill -INT $pid
    wait $pid
    status=$?
    ran="rehost boot, interrupted"
    expect_status 130
    expect_nothing_left
}
# A qemu-system-x86_64 of our own: what it writes, and how it ends.
fake_qemu() { # SHELL-TEXT
    mkdir -p bin
    printf '#!/bin/sh\n%s\n' "$1" >bin/qemu-system-x86_64
    chmod +x bin/qemu-system-x86_64
}
test_without_qemu_it_says_what_to_install() {
    make_result none
    mkdir -p nothing
    run env PATH="$PWD/nothing" "$REHOST" boot "$result"
    expect_error BOOT_QEMU 1
    expect_stderr 'install qemu-system-x86'
}
test_words_of_a_qemu_that_ends_are_in_the_error() {
    make_result broken
    fake_qemu 'echo "qemu: no such device: \033[31mfoo" >&2; exit 1'
    run env PATH="$PWD/bin:$PATH" "$REHOST" boot "$result"
    expect_error BOOT_QEMU 1
    expect_stderr 'QEMU ended at once: qemu: no such device'
    ! grep -q "$(printf '\033')" .stderr || fail "raw bytes on the terminal"
}
test_tpm_is_there_for_a_vm_that_had_one() {
    need swtpm
    make_result sealed "" --set tpm=true
    fake_qemu 'printf "%s\n" "$@" >asked'
    run env PATH="$PWD/bin:$PATH" "$REHOST" boot "$result"
    expect_error BOOT_QEMU 1
    grep -qx 'tpm-crb,tpmdev=tpm0' asked || fail "no TPM was asked for" "$(cat asked)"
    held
}
run_tests
