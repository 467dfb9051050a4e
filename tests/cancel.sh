# Whatever is waited for, a signal ends it: exit status 130, nothing half-made.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

command -v qemu-img >/dev/null && {
    make_disk "$SCRATCH/disk.raw" 30000128
    qemu-img convert -f raw -O vmdk -o subformat=streamOptimized \
        "$SCRATCH/disk.raw" "$SCRATCH/disk.vmdk"
}

# Start a command and, once it waits, send a signal.  FEED is what it finds on
# standard input before that falls silent: a file, "FILE+zeros" for a tail
# without end, or - for nothing.  Its standard output is a pipe nobody reads.
interrupt() { # SIGNAL FEED COMMAND...
    ran="$*"
    python3 - "$@" >.stdout 2>.stderr <<'PY'
import os, signal, subprocess, sys, threading, time
name, feed, command = sys.argv[1], sys.argv[2], sys.argv[3:]
p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def pour():
    try:
        if feed != "-":
            p.stdin.write(open(feed.split("+")[0], "rb").read())
            p.stdin.flush()
        while feed.endswith("+zeros"):
            p.stdin.write(bytes(1 << 20))
    except OSError:
        pass
threading.Thread(target=pour, daemon=True).start()
def ticks():
    return sum(map(int, open("/proc/%d/stat" % p.pid).read().rsplit(")")[-1].split()[11:13]))
still, last = 0, -1
while still < 3 and p.poll() is None:  # no longer at work: it waits
    time.sleep(0.1)
    now = ticks()
    still = still + 1 if now == last or feed.endswith("+zeros") else 0
    last = now
p.send_signal(getattr(signal, name))
try:
    status = p.wait(timeout=20)
except subprocess.TimeoutExpired:
    p.kill()
    print("still there 20 s after", name, file=sys.stderr)
    status = 99
os._exit(status & 255 if status >= 0 else 128 - status)
PY
    status=$?
    stdout=
    stderr=$(cat .stderr)
}
ended() {
    expect_error CANCELLED 130
    expect_empty out
    expect_equal "$(find . -name '.*.part')" ""
}
need_disk() {
    need qemu-img
    head -c 200000 "$SCRATCH/disk.vmdk" >head.vmdk
    mkdir out
}

test_a_disk_from_a_pipe_that_fell_silent() {
    need_disk
    local how
    for how in SIGINT SIGTERM; do
        interrupt $how head.vmdk "$REHOST" disk convert - out/d.qcow2
        ended
    done
    interrupt SIGINT head.vmdk "$REHOST" disk convert -O vhd - -
    ended
}
test_a_pipe_that_is_silent_from_the_start() {
    need_disk
    interrupt SIGTERM - "$REHOST" disk info -
    ended
    interrupt SIGINT - "$REHOST" convert - --to kvm --out out
    ended
}
test_a_compressed_disk_that_is_stored_first() {
    need_disk
    gzip -c "$SCRATCH/disk.raw" | head -c 30000 >head.raw.gz
    interrupt SIGTERM head.raw.gz "$REHOST" disk convert -f raw -O qcow2 - out/d
    ended
    interrupt SIGTERM head.raw.gz "$REHOST" disk compare - "$SCRATCH/disk.vmdk"
    ended
}
test_zeros_without_end() {
    need_disk
    interrupt SIGTERM "$SCRATCH/disk.vmdk+zeros" "$REHOST" disk convert - out/d.raw
    case $status in
    130) ended ;;
    *) expect_error VMDK_MARKER 3 ;; # they were more than the disk has bytes
    esac
    expect_empty out
}
test_zeros_have_an_end() {
    need_disk
    { cat "$SCRATCH/disk.vmdk"; head -c 100M /dev/zero; } >long.vmdk
    run bash -c "'$REHOST' disk convert - out/d.raw <long.vmdk"
    expect_status 0
    run bash -c "cat long.vmdk | '$REHOST' disk convert - out/e.raw"
    expect_error VMDK_MARKER 3
}
test_a_reader_that_does_not_read() {
    need_disk
    local form
    for form in raw qcow2; do
        interrupt SIGTERM - "$REHOST" disk convert -O $form "$SCRATCH/disk.vmdk" -
        ended
    done
}
test_a_fifo_that_nobody_opens() {
    need_disk
    mkfifo in.fifo to.fifo
    interrupt SIGINT - "$REHOST" disk info in.fifo
    ended
    interrupt SIGTERM - "$REHOST" disk convert -O raw "$SCRATCH/disk.vmdk" to.fifo
    ended
    interrupt SIGTERM - "$REHOST" inspect in.fifo
    ended
}
test_a_slow_pipe_is_read_and_written_whole() {
    need_disk
    mkfifo in.fifo to.fifo
    { sleep 0.3; cat "$SCRATCH/disk.vmdk"; } >in.fifo &
    { sleep 0.3; cat; } <to.fifo >got.raw &
    run "$REHOST" disk convert -O raw in.fifo to.fifo
    expect_status 0
    wait
    expect_same_file got.raw "$SCRATCH/disk.raw"
}
run_tests
