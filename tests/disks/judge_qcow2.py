#!/usr/bin/env python3
"""judge_qcow2.py REHOST FOLDER - does rehost read every case of make_qcow2.py as its manifest says?

Prints one line for each case, as tests/lib.sh has them.
SPDX-License-Identifier: LGPL-2.1-or-later
"""
import hashlib
import os
import re
import resource
import subprocess
import sys

REHOST, CASES = sys.argv[1:3]
SANITIZED = re.search("asan|tsan", os.environ.get("REHOST_BUILD", ""))
MEMORY = 1500000 << 10  # bytes of address space; a sanitizer's own is far larger


def limit():
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def same(what, found, expected):
    assert found == expected, "%s: expected %r, found %r" % (what, expected, found)


def judge(name, expect, size, digest):
    done = subprocess.run([REHOST, "disk", "convert", os.path.join(CASES, name, "disk.qcow2"), "out/disk.raw",
                           "-O", "raw"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                          preexec_fn=limit)
    err = done.stderr.decode("utf-8", "replace")
    assert "Sanitizer: " not in err and "runtime error: " not in err, err
    if expect == "accept":
        same("status", done.returncode, 0)
        with open("out/disk.raw", "rb") as f:
            content = f.read()
        same("size", len(content), int(size))
        same("content", hashlib.sha256(content).hexdigest(), digest)
        return
    same("status", done.returncode, 4 if name.startswith("x-crypt-") else 3)
    assert re.search(r"^rehost: error: .*0x[0-9a-f].*[^ ] \[[A-Z0-9_]+\]\n  hint: .", err, re.M), err
    same("what is left", os.listdir("out"), [])
    assert b"root:" not in done.stdout + done.stderr, "a file of the host was read"


os.mkdir("out")
for line in open(os.path.join(CASES, "manifest.tsv")):
    name, expect, size, digest = (line.rstrip("\n").split("\t") + [""] * 3)[:4]
    if expect not in ("accept", "refuse"):
        continue
    text = ("reads_" if expect == "accept" else "refuses_") + name
    try:
        judge(name, expect, size, digest)
        print("ok", text)
    except (AssertionError, subprocess.TimeoutExpired) as why:
        print("not ok %s\n  %s" % (text, str(why).replace("\n", "\n  ")))
    for left in os.listdir("out"):
        os.unlink(os.path.join("out", left))
    sys.stdout.flush()
