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
test_uninstall_leaves_nothing() {
    make_in_tree DESTDIR="$root" uninstall
    expect_equal "$(find "$root" ! -type d)" ""
}
run_tests
