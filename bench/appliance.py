"""The appliance: from rehost's start until it answers, libguestfs' own and the
one that is kept, and a whole guest on XFS that is mended by each.

  bench/appliance.py [ROUNDS]     prints the section of docs/bench.md

SPDX-License-Identifier: LGPL-2.1-or-later"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMIT = 8  # seconds
OWN, KEPT, MADE = "libguestfs' own", "the kept one", "the kept one, made first"


def one(rehost, fair, work, place):
    """Seconds until it is up and until all is done, and of processor time."""
    out = os.path.join(work, "out")
    shutil.rmtree(out, ignore_errors=True)
    start, up = time.monotonic(), None
    before = os.times()
    p = subprocess.Popen([*fair, rehost, "convert", os.path.join(work, "guest.raw"), "--to", "kvm", "--out", out,
                          "--set", "memory=1GiB", "--format", "raw"],
                         env=dict(os.environ, LIBGUESTFS_TRACE="1", REHOST_APPLIANCE=place, LC_ALL="C"),
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    for line in p.stderr:
        if up is None and "trace: launch = 0" in line:
            up = time.monotonic() - start
    if p.wait() or up is None:
        sys.exit("the appliance did not start")
    after = os.times()
    return up, time.monotonic() - start, after[2] + after[3] - before[2] - before[3]


def measure(rehost, fair, rounds):
    runs = {OWN: [], KEPT: [], MADE: []}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as work:
        subprocess.run([sys.executable, os.path.join(TOP, "tests/guestfix/mkguest.py"), "--xfs", "rocky",
                        os.path.join(work, "guest.raw")], check=True, stdout=subprocess.DEVNULL)
        one(rehost, fair, work, "off")  # libguestfs builds its own
        for k in range(rounds):
            place = os.path.join(work, "kept%d" % k)
            for kind, where in ((OWN, "off"), (MADE, place), (KEPT, place)):
                runs[kind].append(one(rehost, fair, work, where))
            size = sum(os.stat(os.path.join(root, n)).st_blocks * 512
                       for root, _, names in os.walk(place) for n in names)
            shutil.rmtree(place)
    return {kind: [statistics.median(v) for v in zip(*r)] for kind, r in runs.items()}, size, rounds


def text(result):
    medians, size, rounds = result
    start = medians[KEPT][0]
    kvm = os.access("/dev/kvm", os.R_OK | os.W_OK)
    out = ("\n## The appliance's start\n\nA guest on XFS, mended (`docs/appliance.md`); %s, medians of %d. "
           "The kept one is up in %.1f s (at most %d in emulation): %s. It takes %d MiB on the disk.\n\n"
           "| appliance | up, wall s | all, wall s | all, CPU s |\n|---|---|---|---|\n"
           % ("with KVM" if kvm else "in software emulation", rounds, start, LIMIT,
              "holds" if start <= LIMIT else "**missed**", size >> 20))
    for kind in (OWN, KEPT, MADE):
        out += "| %s | %s |\n" % (kind, " | ".join("%.1f" % v for v in medians[kind]))
    return out


if __name__ == "__main__":
    fair = ["chrt", "-f", "10"]
    if subprocess.run([*fair, "true"], stderr=subprocess.DEVNULL).returncode:
        fair = []
    print(text(measure(os.path.join(TOP, os.environ.get("REHOST_BUILD", "build"), "rehost"), fair,
                       int(sys.argv[1]) if len(sys.argv) > 1 else 5)), end="")
