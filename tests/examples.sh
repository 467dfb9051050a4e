# The example programs link the shared library and do what they say.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

make_ova() { # FILE: a small VM without a system on its disk
    make_disk disk.raw 8388608
    python3 "$TOP/tests/guests/mkova.py" --name ex1 "$1" disk.raw >/dev/null
}
test_convert_makes_a_vm() {
    need qemu-img
    make_ova ex1.ova
    run "$BUILD/examples/convert" ex1.ova kvm out
    expect_status 0
    expect_stdout '^out/ex1$'
    expect_stderr '^copy: '
    expect_same_disk disk.raw out/ex1/disk0.qcow2
    expect_file out/ex1/proxmox.conf out/ex1/libvirt.xml out/ex1/import.sh
}
test_convert_says_what_is_wrong() {
    run "$BUILD/examples/convert" none.ova kvm out
    expect_status 1
    expect_stderr 'none.ova'
    expect_empty out
}
test_report_prints_json() {
    make_ova ex1.ova
    run "$BUILD/examples/report" ex1.ova
    expect_json '.schema' rehost.report/1
    expect_json '.vms[0].vm.name' ex1
    expect_json '[.vms[0].targets[].target] | sort | join(" ")' "kvm xen"
}
run_tests
