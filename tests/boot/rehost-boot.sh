# What `rehost boot` says of guests that show themselves on the screen only.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/boot/lib-boot.sh"

guest micro-screen

test_login_and_initramfs_shell_are_read_off_the_screen() {
    rehost_boot_agrees 10.0.2.15
    expect_json .screen.mode text
    expect_json '.screen.lines|last|test("Dropping to a shell|initramfs")' true
}
test_moved_and_renamed_it_still_boots() {
    _have_guest
    mv "$FIXED" "moved, and renamed"
    run "$REHOST" boot "moved, and renamed" --timeout "$BOOT_TIMEOUT" --devices emulated
    expect_error BOOT_FAILED 1 # its initramfs was not made for SATA
    expect_stdout '^disk: +sata$'
    expect_stdout '^  .*ALERT!  UUID=.* does not exist'
}
run_tests
