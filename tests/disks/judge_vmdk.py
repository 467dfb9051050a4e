#!/usr/bin/env python3
"""judge_vmdk.py - does rehost read every case of make_vmdk.py as its manifest says?

    judge_vmdk.py REHOST DIR file|pipe        one line for each case, as tests/lib.sh has them

accept: exactly the bytes of the manifest, and QEMU, where it reads the case, sees the same disk.
refuse: exit status 3, an error of two lines that names the flaw (for flaws inside a binary file
with its offset; for a parent with the line that names it), nothing left behind, little memory, no file of the host opened.
SPDX-License-Identifier: LGPL-2.1-or-later
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

SECONDS = 30                     # a guard against hanging, not a measurement
MEMORY = 256 * 1024              # KiB
SANITIZED = re.search("asan|tsan|ubsan", os.environ.get("REHOST_BUILD", ""))
# QEMU refuses these or (as the table in the cases' description tells) reads them wrong.
NOT_BY_QEMU = {"flat-crlf-case", "mixed-zero", "sparse-gte-1-no-flag", "stream-zero-tail",
               "stream-3TiB", "stream-5GiB", "stream-vbox", "sparse-gd-damaged", "sparse-gt-damaged",
               "flat-gbk", "split-many", "chain-path", "split-rounded", "chain-windows-path", "chain-esx", "sparse-v3"}
ERROR = re.compile(r"^rehost: error: .+ \[[A-Z_]+\]\n  hint: .+\n$")


def run(command, source=None):
    """(status, standard error, KiB at most) of a command in a process of its own."""
    with tempfile.TemporaryFile() as err:
        reader = subprocess.Popen(["cat", source], stdout=subprocess.PIPE) if source else None
        child = subprocess.Popen(["timeout", "-k", "5", str(SECONDS)] + command, stdout=subprocess.DEVNULL,
                                 stderr=err,
                                 stdin=reader.stdout if reader else subprocess.DEVNULL)
        if reader:
            reader.stdout.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if reader:
            reader.wait()
        err.seek(0)
        return child.returncode, err.read().decode("utf-8", "replace"), usage.ru_maxrss


def digest(path):
    total = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def wrong_content(path, entry):
    """What differs from the manifest, or None."""
    size = os.path.getsize(path)
    if size != entry["size"]:
        return "size %d, not %d" % (size, entry["size"])
    if entry["sha256"]:
        found = digest(path)
        return None if found == entry["sha256"] else "sha256 %s, not %s" % (found, entry["sha256"])
    with open(path, "rb") as handle:
        for start, length, want in entry["extents"]:
            handle.seek(start)
            if hashlib.sha256(handle.read(length)).hexdigest() != want:
                return "other bytes at %#x" % start
    known = sum(length for _, length, _ in entry["extents"])
    if os.stat(path).st_blocks * 512 > 2 * known + (64 << 20):
        return "more is allocated than the disk has"
    return None


def judge_accept(rehost, name, disk, entry, work, pipe):
    raw, qcow2 = os.path.join(work, "out.raw"), os.path.join(work, "out.qcow2")
    command = [rehost, "disk", "convert", "-" if pipe else disk]
    status, err, _ = run(command + [raw, "-O", "raw"], disk if pipe else None)
    if status == 3 and entry["expect"] == "either":
        return None if ERROR.match(err) else "refused with: " + err
    if status:
        return "status %d: %s" % (status, err)
    wrong = wrong_content(raw, entry)
    if wrong or pipe or entry["size"] > 1 << 30 or not shutil.which("qemu-img"):
        return wrong
    status, err, _ = run(command + [qcow2])
    if status:
        return "to qcow2: status %d: %s" % (status, err)
    compare = ["qemu-img", "compare", "-f", "raw", raw]
    status, err, _ = run(compare + ["-F", "qcow2", qcow2])
    if status:
        return "the qcow2 differs: " + err
    if name not in NOT_BY_QEMU:
        status, err, _ = run(compare + ["-F", "vmdk", disk])
        if status:
            return "QEMU reads another disk: " + err
    return None


def wrong_line(err, folder):
    """The error names a line about a parent, and where it is in its file: is it there?"""
    told = re.search(r"error: (.*?): descriptor line (\d+) \(at (0x[0-9a-f]+)\): ", err)
    if not told:
        return "no line of the descriptor in: " + err
    name = "disk.vmdk" if told[1] == "-" else os.path.basename(told[1])
    with open(os.path.join(folder, name), "rb") as handle:
        handle.seek(int(told[3], 16))
        line = handle.read(80)
    return None if line.startswith(b"parent") else "there stands %r: %s" % (line, err)


def judge_refuse(rehost, name, disk, entry, work, pipe):
    out, log = os.path.join(work, "out.raw"), os.path.join(work, "strace")
    command = [rehost, "disk", "convert", "-" if pipe else disk, out, "-O", "raw"]
    trace = shutil.which("strace") and name.startswith(("x-extent", "x-parent", "x-embedded",
                                                        "x-split", "x-type", "x-chain"))
    if trace and not SANITIZED:
        command = ["strace", "-f", "-o", log, "-e", "trace=open,openat,openat2,connect"] + command
    status, err, memory = run(command, disk if pipe else None)
    if status != 3:
        return "status %d, not 3: %s" % (status, err)
    if not ERROR.match(err):
        return "not an error of two lines: " + err
    if entry["names_offset"] and not re.search("0x[0-9a-f]+", err):
        return "no offset in: " + err
    if name.startswith(("x-parent", "x-chain", "x-embedded-parent", "x-stream-parent")):
        wrong = wrong_line(err, os.path.dirname(disk))
        if wrong:
            return wrong
    if [f for f in os.listdir(work) if f != "strace"]:
        return "left behind: " + " ".join(os.listdir(work))
    if memory > (64 * 1024 if name == "x-scattered" else MEMORY) and not SANITIZED:
        return "%d KiB of memory" % memory
    if os.path.exists(log):
        opened = re.search(r'.*("[^"]*(/passwd|/dev/zero|/dev/sd|self/fd)[^"]*"|connect\().*',
                           open(log, errors="replace").read())
        return "opened: " + opened.group(0) if opened else None
    return None


def judge(rehost, folder, name, entry, pipe):
    work = tempfile.mkdtemp(prefix="judge.", dir=os.getcwd())
    how = judge_refuse if entry["expect"] == "refuse" else judge_accept
    try:
        return how(rehost, name, os.path.join(folder, name, "disk.vmdk"), entry, work, pipe)
    except Exception as problem:  # a judge that fails is no pass
        return repr(problem)
    finally:
        shutil.rmtree(work)


def main():
    rehost, folder, way = sys.argv[1:4]
    pipe = way == "pipe"
    with open(os.path.join(folder, "manifest.json")) as handle:
        known = json.load(handle)
    names = sorted(n for n in known if not (pipe and known[n]["needs_seek"]))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        wrong = pool.map(lambda n: judge(rehost, folder, n, known[n], pipe), names)
        for name, what in zip(names, wrong):
            label = "%s_%s_%s" % ("refuses" if known[name]["expect"] == "refuse" else "reads", way,
                                  name)
            print("ok " + label if what is None else "not ok %s\n  %s" %
                  (label, what.replace("\n", "\n  ")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
