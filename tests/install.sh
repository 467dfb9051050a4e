#!/bin/bash
# install.sh - make install puts everything in place, and it works from there.
. "$(dirname "$0")/lib.sh"

root=$SCRATCH/root
installed=$root/usr/local
make_in_tree DESTDIR="$root" install \
    >"$SCRATCH/install.log" 2>&1 || cat "$SCRATCH/install.log"

test_install_puts_everything_in_place() {
    expect_file "$installed/bin/rehost" "$installed/lib/librehost.so.1" \
        "$installed/lib/librehost.so" "$installed/lib/librehost.a" \
        "$installed/lib/pkgconfig/rehost.pc" \
        "$installed/include/rehost/rehost.h" \
        "$installed/share/rehost/profiles"
}
test_every_data_file_of_the_tree_is_installed() {
    local f
    for f in "$TOP"/profiles/*.yaml; do
        expect_file "$installed/share/rehost/profiles/${f##*/}"
    done
    for f in "$TOP"/docs/schemas/*; do
        [ ! -e "$f" ] || expect_file "$installed/share/rehost/schemas/${f##*/}"
    done
    for f in "$TOP"/po/*.po; do
        [ ! -e "$f" ] || expect_file \
            "$installed/share/rehost/locale/$(basename "$f" .po)/LC_MESSAGES/rehost.mo"
    done
    for f in "$TOP"/docs/man/*.[1-8]; do
        [ ! -e "$f" ] || expect_file "$installed/share/man/man${f##*.}/${f##*/}"
    done
}
test_the_installed_program_uses_the_installed_library() {
    run ldd "$installed/bin/rehost"
    expect_stdout "librehost.so.1 => .*$(basename "$root")/usr/local/"
    run "$installed/bin/rehost" --version
    expect_status 0
    expect_stdout "^rehost "
}
test_pkg_config_is_enough_to_build_with_it() {
    export PKG_CONFIG_PATH=$installed/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
    cat >t.c <<'C'
#include <rehost/rehost.h>
#include <stdio.h>
int main(void)
{
    printf("%s\n", rh_version());
    return 0;
}
C
    # The sanitizers' runtime, where the library has them.
    run gcc ${REHOST_SAN:+-fsanitize=address,undefined} \
        $(pkg-config --cflags rehost) t.c -o t $(pkg-config --libs rehost) \
        -Wl,-rpath,"$installed/lib"
    expect_silent
    run ./t
    expect_status 0
    expect_stdout "^$(pkg-config --modversion rehost)"
}
# An integrator's program in C++, against what is installed and nothing else:
# convert, be refused, be stopped from a callback, and start again.
test_a_cxx_program_converts_stops_and_says_why() {
    need g++
    export PKG_CONFIG_PATH=$installed/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
    cat >t.cc <<'CC'
#include <rehost/rehost.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

struct Run {
    rh_lib *lib;
    std::thread::id caller;
    bool stop, strange;
    unsigned calls;
};
static void progress(void *user, const char *, uint64_t done, uint64_t total)
{
    Run *run = static_cast<Run *>(user);
    run->calls++;
    run->strange |= std::this_thread::get_id() != run->caller || done > total;
    if (run->stop)
        rh_cancel(run->lib);
}
static void convert(const char *source, const char *out, bool stop)
{
    rh_error *e = nullptr;
    rh_lib *lib = rh_new(&e);
    Run run = {lib, std::this_thread::get_id(), stop, false, 0};
    rh_options *o = rh_options_new();
    rh_options_add(o, "to", "kvm", &e);
    rh_options_add(o, "out", out, &e);
    rh_on_progress(lib, progress, &run);
    rh_package *p = rh_package_load(lib, source, o, &e);
    rh_job *plan = p ? rh_job_new(p, o, &e) : nullptr;
    rh_options_free(o); // they were copied
    int failed = plan ? rh_job_run(plan, &e) : -1;
    const char *result = plan ? rh_job_result(plan, 0) : nullptr;
    std::printf("%d %d [%s] %s%s%s\n", failed, rh_error_status(e),
                rh_error_id(e), result ? result : "-",
                run.calls ? " progress" : "", run.strange ? " strange" : "");
    rh_job_free(plan);
    rh_package_unload(p);
    rh_error_free(e);
    rh_free(lib);
}
int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    convert(argv[1], "one", true);
    convert(argv[1], "one", false);
    convert(argv[1], "one", false);
    convert("none.ova", "two", false);
    rh_error_free(nullptr);
    rh_free(nullptr);
    rh_job_free(nullptr);
    rh_package_unload(nullptr);
    rh_disk_free(nullptr);
    rh_report_free(nullptr);
    rh_options_free(nullptr);
    return 0;
}
CC
    make_disk disk.raw 8388608
    python3 "$TOP/tests/guests/mkova.py" --name ex1 ex1.ova disk.raw >/dev/null
    run g++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -pthread \
        ${REHOST_SAN:+-fsanitize=address,undefined} \
        $(pkg-config --cflags rehost) t.cc -o t $(pkg-config --libs rehost) \
        -Wl,-rpath,"$installed/lib"
    expect_silent
    run env -u REHOST_DATA ./t ex1.ova
    expect_status 0
    expect_silent
    expect_equal "$(cat .stdout)" "-1 130 [CANCELLED] - progress
0 0 [] one/ex1 progress
-1 1 [FILE_EXISTS] -
-1 1 [FILE_NOT_FOUND] -"
}
# The library itself is static; Debian has no static libguestfs.
test_the_static_library_links_with_what_rehost_pc_names() {
    export PKG_CONFIG_PATH=$installed/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
    echo '#include <rehost/rehost.h>
int main(void) { return rh_list(rh_new(0), "profiles", 0) == 0; }' >t.c
    run gcc ${REHOST_SAN:+-fsanitize=address,undefined} \
        $(pkg-config --cflags rehost) t.c -o t \
        $(pkg-config --static --libs rehost | sed 's/-lrehost/-l:librehost.a/')
    expect_silent
    run readelf -d t
    ! grep -q librehost .stdout || fail "it wants the shared library"
    cp t "$installed/bin/t"
    ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 run "$installed/bin/t"
    expect_status 0
    rm "$installed/bin/t"
    # Its symbols are ours alone.
    nm -g --defined-only "$installed/lib/librehost.a" |
        awk 'NF == 3 && $3 !~ /^_*(rh|asan|odr)/ { print $3 }' >names
    expect_equal "$(cat names)" "" "names without rh_"
}
test_the_installed_program_converts_wherever_it_lies() {
    make_disk disk.raw 8388608
    python3 "$TOP/tests/guests/mkova.py" --name ex1 ex1.ova disk.raw >/dev/null
    run env -u REHOST_DATA "$installed/bin/rehost" convert ex1.ova --to kvm \
        --out out
    expect_status 0
    expect_file out/ex1/libvirt.xml
    run env -u REHOST_DATA "$installed/bin/rehost" report none.ova --to kvm \
        --lang ja
    expect_stderr 'エラー'
}
# A host program's state is its own.
test_the_library_leaves_the_process_alone() {
    need nm
    run nm -D --undefined-only "$installed/lib/librehost.so.1"
    ! grep -E ' (exit|chdir|umask|signal|sigaction|printf|puts|perror)(@|$)' \
        .stdout >bad || fail "the library calls" "$(cat bad)"
    held
}
test_uninstall_leaves_nothing() {
    make_in_tree DESTDIR="$root" uninstall
    expect_equal "$(find "$root" ! -type d)" ""
}
run_tests
