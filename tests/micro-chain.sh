# The main job on the smallest guest: a VMware export that cannot boot on virtio
# is converted, and boots there with its data, its swap and its network.
# long
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/boot/lib-boot.sh"

guest micro

test_unfixed_it_stops_in_its_initramfs() {
    boot_plain virtio-blk
    expect_no_root
}
test_boots_on_virtio_blk() {
    boot virtio-blk
    expect_up vda1 virtio_net
    expect_json .probe.swap /dev/vda2
}
test_its_file_system_is_sound() {
    local at
    _have_guest
    qemu-img convert -O raw "$FIXED/disk0.qcow2" fixed.raw
    at=$("$GUESTS/guestfile.py" fixed.raw where)
    run /sbin/e2fsck -fn "fixed.raw?offset=$at"
    expect_status 0
}
# The unfixed result is the source's bytes: the fixed one's receipt names both.
test_receipt_has_the_digests_of_source_and_result() {
    local source
    _have_guest
    source=$(jq -r '.disks[0].content_digest' "$PLAIN/receipt.json")
    expect_json '.disks[0].source_digest' "$source" "$PLAIN/receipt.json"
    expect_json '.disks[0].source_digest' "$source" "$FIXED/receipt.json"
    expect_json ".disks[0].content_digest != \"$source\"" true \
        "$FIXED/receipt.json"
}
# What differs inside the guest is what the receipt says, file by file.
test_only_what_the_receipt_names_has_changed() {
    local file
    _have_guest
    qemu-img convert -O raw "$FIXED/disk0.qcow2" fixed.raw
    "$GUESTS/guestfile.py" "$SOURCE" tree >before
    "$GUESTS/guestfile.py" fixed.raw tree >after
    diff before after | sed -n 's/^[<>] \([^ ]*\) .*/\1/p' | sort -u >changed
    [ -s changed ] || fail "nothing has changed"
    jq -r '.. | strings' "$FIXED/receipt.json" >named
    while read -r file; do
        # A folder that was made for a named file is named with it.
        grep -qxF "$file" named || grep -qF "$file/" named ||
            fail "changed, but not in receipt.json: $file"
    done <changed
    held
}

run_tests
