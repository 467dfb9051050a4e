# Who owns a half-made result: its maker, wherever that runs; and nobody's files
# are taken for one.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

make_disk "$SCRATCH/disk.raw" 12582912
python3 "$TOP/tests/guests/mkova.py" --name web01 "$SCRATCH/web01.ova" \
    "$SCRATCH/disk.raw" >/dev/null || exit 1
OVA=$SCRATCH/web01.ova
# A file system on which locks are local to each host: they always succeed.
echo 'int flock(int fd, int how); int flock(int fd, int how) { (void)fd; (void)how; return 0; }' >"$SCRATCH/flock.c"
gcc -shared -fPIC -o "$SCRATCH/flock.so" "$SCRATCH/flock.c" || exit 1
unlocked=(env "LD_PRELOAD=$SCRATCH/flock.so")
[ -z "${REHOST_SAN-}" ] || unlocked=(env)

other_host=(unshare --pid --fork --mount --mount-proc --uts)
need_namespaces() {
    need unshare
    "${other_host[@]}" true 2>/dev/null || skip_test "no namespaces here"
}
convert() {
    run timeout 60 "${unlocked[@]}" "$REHOST" convert "$OVA" --to kvm --out out \
        --format raw "$@"
}
# One that works slowly, until it is let go; $maker is its strace.
start_slow() {
    local i
    need strace
    "${unlocked[@]}" "${STRACE[@]}" -e trace=pwritev \
        -e inject=pwritev:delay_enter=300000 "$REHOST" convert "$OVA" --to kvm \
        --format raw --out out >slow.out 2>slow.err &
    maker=$!
    for i in $(seq 100); do
        [ -z "$(find out -name '.web01.*.part' 2>/dev/null)" ] || return 0
        sleep 0.1
    done
    fail "the slow one never began" "$(cat slow.err)"
}
kill_slow() {
    kill -9 "$(pgrep -P $maker)"
    wait $maker 2>/dev/null
}

test_another_host_leaves_the_first_ones_part_alone() {
    need_namespaces
    start_slow
    part=$(find out -name '.web01.*.part')
    run timeout 60 "${unlocked[@]}" "${other_host[@]}" "$REHOST" convert "$OVA" \
        --to kvm --format raw --out out
    expect_status 0
    expect_file "$part"
    wait $maker
    expect_equal $? 1 "the first one's end"
    grep -q 'FILE_EXISTS' slow.err || fail "not FILE_EXISTS: $(cat slow.err)"
    expect_equal "$(ls -A out)" web01
    run "$REHOST" verify "$OVA" out/web01
    expect_status 0
}
test_what_died_here_goes_at_once() {
    start_slow
    kill_slow
    expect_equal "$(find out -name '.web01.*.lease' | wc -l)" 1 "leases left"
    convert
    expect_status 0
    expect_equal "$(ls -A out)" web01
}
test_what_died_elsewhere_goes_when_its_lease_is_old() {
    local lease
    start_slow
    kill_slow
    lease=$(find out -name '.web01.*.lease')
    sed -i 's/"boot":"[^"]*"/"boot":"another"/' "$lease"
    convert
    expect_status 0
    expect_file "$lease" "${lease%.lease}.part"
    touch -d '5 minutes ago' "$lease"
    convert --overwrite
    expect_status 0
    expect_equal "$(ls -A out)" web01
}
test_files_of_others_stay_and_hang_nobody() {
    mkdir -p out/.web01.6.part out/.web01.8.part
    mkfifo out/.web01.5.lease out/.web01.5.part
    echo mine >out/.web01.6.part/precious
    echo 'not a lease' >out/.web01.7.lease
    touch -d '1 day ago' out/.web01.7.lease
    ln -s /etc out/.web01.9.part
    find out | sort >before
    convert
    expect_status 0
    find out -not -path 'out/web01*' | sort >after
    expect_same_file before after
    expect_equal "$(cat out/.web01.6.part/precious)" mine
    run timeout 20 "$REHOST" disk convert "$SCRATCH/disk.raw" out/web01.qcow2
    expect_status 0
}
# Where there are no flags for rename, the earlier result steps aside; when the
# new one can't come, it comes back.
test_a_second_rename_that_fails_rolls_back() {
    need strace
    convert
    expect_status 0
    (cd out/web01 && sha256sum -- *) >before
    run "${STRACE[@]}" -e trace=renameat,renameat2 \
        -e inject=renameat2:error=EINVAL -e inject=renameat:error=EIO:when=3 \
        "$REHOST" convert "$OVA" --to kvm --format raw --out out --overwrite \
        --set cpus=7
    expect_error FILE_WRITE 1
    expect_equal "$(ls -A out)" web01
    run env -C out/web01 sha256sum --quiet -c ../../before
    expect_status 0
}
test_killed_while_it_stands_aside() {
    need strace
    convert
    (cd out/web01 && sha256sum -- *) >before
    "${STRACE[@]}" -e trace=renameat,renameat2 \
        -e inject=renameat2:error=EINVAL -e inject=renameat:signal=KILL:when=3 \
        "$REHOST" convert "$OVA" --to kvm --format raw --out out --overwrite \
        --set cpus=7 >/dev/null 2>&1
    expect_equal $? 137 "its end"
    convert
    expect_error FILE_EXISTS 1
    expect_equal "$(ls -A out)" web01
    run env -C out/web01 sha256sum --quiet -c ../../before
    expect_status 0
}
test_names() {
    local given
    for given in .hidden=_hidden -x=_x a/b=a-b 業務サーバ1=-----1 ..=vm-b1a2e4ce; do
        rm -rf out
        convert --name "${given%%=*}"
        expect_status 0
        case $given in
        ..=*) expect_equal "$(ls -A out | sed 's/[0-9a-f]*$//')" vm- "$given" ;;
        業*) expect_equal "$(ls -A out)" _----1 "$given" ;;
        *) expect_equal "$(ls -A out)" "${given#*=}" "$given" ;;
        esac
    done
    rm -rf out
    convert --name 業務サーバ
    expect_equal "$(ls -A out)" "vm-$(printf 業務サーバ | sha256sum | head -c 8)"
}
test_next_can_be_typed() {
    local dir="it's here; \$(touch gone)" line
    run "$REHOST" convert "$OVA" --to kvm --format raw --out "$dir"
    expect_status 0
    line=$(sed -n 's/^  next: *//p' .stdout)
    run bash -c "$line"
    expect_status 0
    expect_stdout 'usage'
    [ ! -e gone ] || fail "the shell took the path for a command"
}
run_tests
