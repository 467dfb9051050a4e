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
test_receive_gets_the_disks() {
    make_ova ex1.ova
    mkdir shelf
    run "$BUILD/examples/receive" ex1.ova kvm shelf
    expect_status 0
    expect_json '.vm.name' ex1
    expect_same_file disk.raw shelf/disk0.raw
    # What is there already is not written over, nor taken away.
    run "$BUILD/examples/receive" ex1.ova kvm shelf
    expect_status 1
    expect_stderr 'did not empty a disk'
    expect_same_file disk.raw shelf/disk0.raw
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
test_a_service_runs_many_and_stops_some() {
    local i sources=()
    make_disk disk.raw 8388608
    for i in 1 2 3 4 5 6 7 8; do
        python3 "$TOP/tests/guests/mkova.py" --name "s$i" "s$i.ova" disk.raw >/dev/null
        [ $((i % 3)) = 0 ] && sources+=("!s$i.ova") || sources+=("s$i.ova")
    done
    run "$BUILD/examples/service" out "${sources[@]}"
    expect_status 0
    expect_equal "$(sort .stdout | paste -sd,)" "done s1.ova out/s1,done s2.ova out/s2,\
done s4.ova out/s4,done s5.ova out/s5,done s7.ova out/s7,done s8.ova out/s8,\
failed s3.ova CANCELLED,failed s6.ova CANCELLED"
    expect_equal "$(ls -A out | paste -sd,)" s1,s2,s4,s5,s7,s8
}
# Eight at once, again and again, each stopped at a random moment or done before.
test_a_service_whose_jobs_are_stopped_at_random() {
    local i turn sources=()
    make_disk disk.raw 8388608
    for i in 1 2 3 4 5 6 7 8; do
        python3 "$TOP/tests/guests/mkova.py" --name "s$i" "s$i.ova" disk.raw >/dev/null
        sources+=("?s$i.ova")
    done
    for turn in 1 2 3 4; do
        run "$BUILD/examples/service" "out$turn" "${sources[@]}"
        expect_status 0
        expect_silent
        expect_equal "$(grep -cE '^(done|failed s[0-9].ova CANCELLED)' .stdout)" 8 "jobs that ended"
        expect_equal "$(ls -A "out$turn" 2>/dev/null | paste -sd,)" \
            "$(sed -n 's|^done .*/||p' .stdout | sort | paste -sd,)" "results"
    done
}
# 4 MiB of buffers are allowed to each; beside them a job costs little.
test_a_services_memory_is_what_it_allowed() {
    [ -z "${REHOST_SAN-}" ] || skip_test "sanitizers take memory of their own"
    local i sources=()
    head -c 41943040 /dev/urandom >disk.raw
    for i in 1 2 3 4 5 6 7 8; do
        python3 "$TOP/tests/guests/mkova.py" --name "s$i" "s$i.ova" disk.raw >/dev/null
        sources+=("s$i.ova")
    done
    cat >peak.py <<'PY'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
PY
    one=$(python3 peak.py "$BUILD/examples/service" one s1.ova)
    eight=$(python3 peak.py "$BUILD/examples/service" eight "${sources[@]}")
    [ "$eight" -lt $((one + 7 * (4 + 6) * 1024)) ] ||
        fail "$one KiB for one job, $eight KiB for eight"
    held
}
test_cpp_objects_free_themselves() {
    [ -z "${REHOST_SAN-}" ] || skip_test "built without the sanitizer"
    need g++
    make_ova ex1.ova
    g++ -std=c++17 -Wall -Wextra -Werror -I"$TOP/include" -o inspect \
        "$TOP/examples/inspect.cpp" -L"$BUILD" -lrehost -Wl,-rpath,"$BUILD" || fail "g++"
    run ./inspect ex1.ova
    expect_status 0
    expect_stdout '^ex1: [0-9]+ CPUs$'
    run ./inspect none.ova
    expect_status 1
    expect_stderr '\[FILE_NOT_FOUND\]'
}
test_python_runs_a_batch() {
    [ -z "${REHOST_SAN-}" ] || skip_test "python3 is without the sanitizer"
    make_ova ex1.ova
    printf '%s\n' "schema: rehost.jobs/1" "out: out" "vms:" \
        "  - {source: ex1.ova, to: kvm}" >jobs.yaml
    LIBREHOST=$BUILD/librehost.so.1 REHOST=$REHOST run python3 \
        "$TOP/examples/batch.py" jobs.yaml
    expect_status 0
    expect_stdout '^vm-done ex1$'
    expect_stdout "'done': 1"
    expect_file out/ex1/receipt.json
}
run_tests
