#!/bin/bash
# kept.sh - the appliance that is made once and kept: where, when it is made
# anew, what happens where that cannot be.
#
# The recipe is a stand-in and QEMU does nothing: no appliance is started.
# tests/boot/appliance.sh uses the real ones.
# long
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

# A recipe that notes its calls and makes something of a file of the host's.
prepare() { # BEFORE: what the recipe does first
    need mkfs.xfs python3
    need_built_with libguestfs
    [ -n "$(ls -d /usr/lib*/guestfs/supermin.d /usr/lib/*/guestfs/supermin.d 2>/dev/null)" ] ||
        skip_test "no appliance of libguestfs' is here"
    python3 "$TOP/tests/guestfix/mkguest.py" --xfs rocky g.raw || fail mkguest
    mkdir -p data/appliance
    ln -sfn "$TOP/profiles" data/profiles
    echo first >data/appliance/init
    echo program >host
    cat >data/appliance/make <<END
set -e
echo "\$@" >>'$PWD/calls'
${1-}
cd "\$1"
echo kernel >kernel
echo initrd >initrd
echo root >root
echo readme >README.fixed
stat -c '%s %Y %n' '$PWD/host' >files
[ -e '$PWD/absent' ] && stat -c '%s %Y %n' '$PWD/absent' >>files || echo '- - $PWD/absent' >>files
END
    printf '#!/bin/sh\nexit 1\n' >qemu
    chmod 755 qemu
    : >calls
    unset LIBGUESTFS_PATH REHOST_APPLIANCE
    export REHOST_DATA=$PWD/data LIBGUESTFS_HV=$PWD/qemu XDG_CACHE_HOME=$PWD/cache
}
# The appliance is asked for, and does not start.
ask() { # VARIABLE=VALUE...
    run env "$@" "$REHOST" convert -v g.raw --to kvm --out out --overwrite --set memory=1GiB --set cpus=1
    expect_status 0
    expect_json '.vms[0].targets[0].edits | length' 0 out/g/report.json
}
expect_made() { # TIMES
    expect_equal "$(wc -l <calls)" "$1" "times it was made"
    expect_equal "$(find cache/rehost -mindepth 1 -maxdepth 1 ! -name 'appliance-*' ! -name lock)" "" leftovers
}
expect_own() { # WHY
    expect_stderr "libguestfs' own appliance is started: .*$1"
}
until_there() { # FILE
    local i
    for ((i = 0; i < 200; i++)); do
        [ ! -s "$1" ] || return 0
        sleep 0.1
    done
    fail "$1 does not come"
}
kept() { # NAME
    echo "$(echo cache/rehost/appliance-*)/${1-}"
}

test_it_is_made_once_and_kept() {
    prepare
    ask
    expect_made 1
    expect_stderr "is made in $PWD/cache/rehost, once"
    expect_stderr "the appliance in $PWD/cache/rehost/appliance-[0-9a-f]* does not start"
    expect_equal "$(stat -c %a cache/rehost)" 700 "mode"
    [ -z "$(find cache/rehost -perm /022)" ] || fail "others can write" "$(find cache -perm /022)"
    # Libguestfs' own did not start either: it is not to blame.
    [ ! -e "$(kept failed)" ] || fail "it is said to have failed"
    ask
    expect_made 1
}
test_what_changed_is_made_anew() {
    prepare
    ask
    echo a newer program >host
    ask
    expect_made 2
    : >absent
    ask
    expect_made 3
    echo another >data/appliance/init
    ask
    expect_made 4
    expect_equal "$(echo cache/rehost/appliance-* | wc -w)" 2 "appliances kept"
    # The older one goes when nobody has used it for a week.
    touch -d '8 days ago' cache/rehost/appliance-*
    echo third >data/appliance/init
    ask
    expect_equal "$(echo cache/rehost/appliance-* | wc -w)" 1 "appliances kept"
}
test_what_is_damaged_is_made_anew() {
    local name place
    prepare
    ask
    for name in root seal; do
        : >calls
        echo x >>"$(kept $name)"
        ask
        expect_made 1
    done
    : >calls
    chmod 666 "$(kept root)"
    ask
    expect_made 1
    chmod 777 "$(kept)"
    ask
    expect_made 2
    place=$(kept)
    rm -r "$place"
    ln -s "$PWD/data" "${place%/}"
    ask
    expect_made 3
    [ ! -L "$(kept .)" ] && [ -e data/appliance/make ] || fail "a link was followed"
}
test_one_that_did_not_start_is_left_alone_for_a_day() {
    prepare
    ask
    : >"$(kept failed)"
    ask
    expect_own "did not start"
    expect_made 1
    touch -d '25 hours ago' "$(kept failed)"
    ask
    expect_stderr "rehost/appliance-[0-9a-f]* does not start"
}
test_a_folder_of_others_is_not_used() {
    prepare
    mkdir -p cache/rehost
    chmod 777 cache/rehost
    ask
    expect_own "others can write there"
    chmod 700 cache/rehost
    chmod 777 cache
    ask
    expect_own "others can write there"
    rmdir cache/rehost
    ask
    expect_own "others can write there"
    expect_empty cache
    mkdir -m 700 cache/rehost
    chmod 1777 cache
    if [ "$(id -u)" = 0 ]; then
        chown 12345 cache/rehost
        ask
        expect_own "others can write there"
        chown 0 cache/rehost
    fi
    mv cache/rehost cache/real && ln -s real cache/rehost
    ask
    expect_own rehost
    expect_equal "$(cat calls)" "" "made"
}
test_where_nothing_can_be_kept_libguestfs_own_starts() {
    prepare
    ask REHOST_APPLIANCE=off
    expect_own "REHOST_APPLIANCE says so"
    ask LIBGUESTFS_PATH=/usr/lib
    expect_own "LIBGUESTFS_PATH names one"
    ask XDG_CACHE_HOME= HOME=
    expect_own "no home folder"
    ask XDG_CACHE_HOME=/proc
    expect_own /proc/rehost
    ask XDG_CACHE_HOME="$PWD/a:b"
    expect_own colon
    : >cache
    ask
    expect_own cache/rehost
    expect_equal "$(cat calls)" "" "made"
    rm cache
    ask REHOST_APPLIANCE="$PWD/elsewhere/deep"
    expect_file elsewhere/deep/appliance-*/seal
    mkdir home
    ask XDG_CACHE_HOME=relative HOME="$PWD/home"
    expect_file home/.cache/rehost/appliance-*/seal
}
test_making_it_fails() {
    prepare 'echo "no kernel here"; echo more; : >"$1/kernel"; exit 1'
    ask
    expect_own "no kernel here$"
    expect_made 1
    # It says that it has made one, and has not.
    prepare 'exit 0'
    ask
    expect_own "a part of it is missing"
    expect_made 1
    # What it was made of is not there.
    prepare 'stat() { echo "1 2 /nowhere"; }'
    ask
    expect_own "what was made is not right"
    expect_made 1
}
test_a_full_disk_is_told() {
    prepare 'head -c 1000000 /dev/zero >"$1/root"'
    run bash -c "ulimit -f 100; exec '$REHOST' convert -v g.raw --to kvm --out out --set memory=1GiB --set cpus=1"
    expect_own "another one"
    expect_made 1
}
test_two_at_once_make_one() {
    prepare 'sleep 1'
    for i in 1 2 3; do
        "$REHOST" convert -v g.raw --to kvm --out "out$i" --set memory=1GiB --set cpus=1 >log$i 2>&1 &
    done
    wait
    expect_made 1
    expect_equal "$(grep -l 'does not start' log? | wc -l)" 3 "runs that used it"
}
test_a_run_that_is_killed_leaves_nothing_for_long() {
    prepare "[ -e '$PWD/again' ] || exec sleep 30"
    "$REHOST" convert g.raw --to kvm --out out --set memory=1GiB --set cpus=1 2>log &
    until_there calls
    kill -KILL $!
    wait $! 2>/dev/null
    ls -d cache/rehost/.appliance-*.* >/dev/null || fail "nothing was begun"
    : >again
    ask
    expect_made 2
    ! ls -d cache/rehost/.appliance-* 2>/dev/null || fail "the half is still there"
}
# REHOST_APPLIANCE may name a folder with other things in it.
test_what_is_not_ours_stays() {
    prepare
    mkdir -p own/appliance-backup own/.making-things own/.old-letters own/.appliance-notes.d
    touch -d '90 days ago' own/* own/.[!.]*
    export REHOST_APPLIANCE=$PWD/own
    chmod 755 own
    ask
    expect_made 1
    expect_equal "$(cd own && echo appliance-backup .making-* .old-* .appliance-notes.*)" \
        "appliance-backup .making-things .old-letters .appliance-notes.d" "others' folders"
}
test_an_interrupt_ends_the_making() {
    prepare "echo \$\$ >'$PWD/pid'; sleep 300"
    "$REHOST" convert g.raw --to kvm --out out --set memory=1GiB --set cpus=1 2>log &
    until_there pid
    kill -INT $!
    wait $!
    expect_equal $? 130 "exit status"
    ! kill -0 "$(cat pid)" 2>/dev/null || fail "the recipe still runs"
    expect_made 1
}
run_tests
