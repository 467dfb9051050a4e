#!/bin/bash
# The Debian packages: lintian has nothing to say; installed in a bare system
# they work, and removed they leave nothing.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"

DEBS=$SCRATCH/debs
if ! git -C "$TOP" rev-parse >/dev/null 2>&1; then
    skip packages "they are built of what git holds"
    finish
    exit
fi
"$TOP/scripts/deb" "$DEBS" >built 2>&1 || { not_ok "make deb" "$(cat built)"; finish; exit; }

test_there_are_five() {
    expect_equal "$(ls "$DEBS"/*.deb | sed 's|.*/||; s/_.*//' | paste -sd,)" \
        librehost-dev,librehost1,nbdkit-rehost-plugin,rehost,rehost-ntfs
}
test_lintian_is_content() {
    need lintian
    run lintian --allow-root --fail-on error,warning "$DEBS"/*.changes
    expect_status 0
    expect_equal "$stdout" ""
}
test_a_bare_system_takes_and_gives_them_back() {
    local root=$SCRATCH/root
    need mmdebstrap
    [ "$(id -u)" = 0 ] || skip_test "root is needed for a chroot"
    mmdebstrap --quiet --variant=apt bookworm "$root" >log 2>&1 ||
        skip_test "no bare Debian to be had: $(tail -1 log)"
    make_disk disk.raw 4194304
    python3 "$TOP/tests/guests/mkova.py" --name web01 web01.ova disk.raw >/dev/null
    cp "$DEBS"/*.deb web01.ova "$root/root/"
    find "$root/usr" "$root/etc" | sort >before
    cat >"$root/root/try.sh" <<'SH'
set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
cd /root
apt-get -qq update
apt-get -qq install -y --no-install-recommends ./*.deb >/dev/null 2>&1
rehost --version
rehost profiles | wc -l
rehost convert web01.ova --to kvm --out out >/dev/null
rehost verify web01.ova out/web01
nbdkit --dump-plugin rehost | grep '^name='
test -x /usr/libexec/rehost/rehost-ntfs
apt-get -qq purge -y rehost librehost1 librehost-dev rehost-ntfs nbdkit-rehost-plugin >/dev/null 2>&1
SH
    run chroot "$root" sh /root/try.sh
    expect_status 0
    expect_stdout '^rehost [0-9]'
    expect_stdout '^name=rehost'
    expect_equal "$(find "$root/usr" "$root/etc" | grep -i rehost)" ""
}
test_the_repository_is_signed() {
    need gpg gpgv apt-ftparchive
    export GNUPGHOME=$PWD/gpg
    mkdir -m 700 gpg
    gpg --batch --quiet --passphrase '' --quick-gen-key \
        "Test <test@example.org>" default default never 2>/dev/null
    REHOST_KEY=test@example.org run "$TOP/scripts/repo" "$PWD/repo" "$DEBS"
    expect_status 0
    run gpgv --keyring "$PWD/repo/rehost.gpg" repo/dists/stable/InRelease
    expect_status 0
    grep -q "$(sha256sum <repo/dists/stable/main/binary-amd64/Packages | cut -d' ' -f1)" \
        repo/dists/stable/InRelease || fail "the list of packages is not what was signed"
    expect_equal "$(grep -c '^Package: ' repo/dists/stable/main/binary-amd64/Packages)" 5
    run env -u REHOST_KEY "$TOP/scripts/repo" "$PWD/repo" "$DEBS"
    [ "$status" != 0 ] || fail "without a key"
}
run_tests
