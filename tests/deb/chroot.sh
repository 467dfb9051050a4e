#!/bin/bash
# The Debian packages: lintian has nothing to say; installed in a bare system
# they work, and removed they leave nothing.  SUITE=trixie builds and tries them
# in that release of Debian; by default it is the one that runs.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib.sh"

DEBS=$SCRATCH/debs
: "${SUITE:=$(. /etc/os-release && echo "${VERSION_CODENAME-}")}"
export SUITE
if ! git -C "$TOP" rev-parse >/dev/null 2>&1; then
    skip packages "they are built of what git holds"
    finish
    exit
fi
"$TOP/scripts/deb" "$DEBS" >built 2>&1 || { not_ok "make deb" "$(cat built)"; finish; exit; }

test_there_are_five() {
    expect_equal "$(ls "$DEBS" | sed -n '/\.deb$/s/_.*//p' | sort | paste -sd,)" \
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
    mmdebstrap --quiet --variant=apt "$SUITE" "$root" >log 2>&1 ||
        skip_test "no bare Debian $SUITE to be had: $(tail -1 log)"
    make_disk disk.raw 4194304
    python3 "$TOP/tests/guests/mkova.py" --name web01 web01.ova disk.raw >/dev/null
    mkdir "$root/try"
    cp "$DEBS"/*.deb web01.ova "$root/try/"
    cat >"$root/try/try.sh" <<'SH'
set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
packages="rehost librehost1 librehost-dev rehost-ntfs nbdkit-rehost-plugin"
named() { # what the system has of ours
    find / -xdev \( -path /try -o -path /proc \) -prune -o -iname '*rehost*' -print
}
cd /try
apt-get -qq update
echo "before: $(named)"
apt-get -qq install -y --no-install-recommends ./*.deb >/try/apt.log 2>&1 ||
    { cat /try/apt.log; exit 1; }
rehost --version
rehost profiles | wc -l
rehost convert web01.ova --to kvm --out out >/dev/null
rehost verify web01.ova out/web01
nbdkit --dump-plugin rehost | grep '^name='
test -x /usr/libexec/rehost/rehost-ntfs
test -e /usr/libexec/rehost/rehost-zfs.so
dpkg -L $packages | grep -v "^/\.$" | sort -u >files
echo "installed: $(named | wc -l)"
apt-get -qq purge -y $packages >/try/apt.log 2>&1 || { cat /try/apt.log; exit 1; }
# A folder that another package shares stays.
while read -r f; do
    ! test -e "$f" || dpkg -S "$f" >/dev/null 2>&1 || echo "left: $f"
done <files
echo "after: $(named)"
dpkg-query -W -f 'known: ${Package} ${Status}\n' | grep rehost || true
SH
    run chroot "$root" sh /try/try.sh
    expect_status 0
    expect_stdout '^before: $'
    expect_stdout '^rehost [0-9]'
    expect_stdout '^verified$'
    expect_stdout '^name=rehost'
    expect_stdout '^installed: [1-9][0-9]'
    expect_stdout '^after: $'
    expect_no_stdout '^(left|known):'
    expect_same_disk disk.raw "$root/try/out/web01/disk0.qcow2"
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
