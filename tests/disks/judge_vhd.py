#!/usr/bin/env python3
"""judge_vhd.py REHOST FOLDER - does rehost read every case of make_vhd.py as its index says?

Prints one line for each case, as tests/lib.sh has them.
SPDX-License-Identifier: LGPL-2.1-or-later
"""
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

REHOST, CASES = sys.argv[1:3]
ERROR = re.compile(r"^rehost: error: .+ \[([A-Z_]+)\]\n  hint: .+\n$")


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    err = done.stderr.decode("utf-8", "replace")
    assert "Sanitizer: " not in err and "runtime error: " not in err, err
    return done.returncode, done.stdout.decode("utf-8", "replace"), err


def same(what, found, expected):
    assert found == expected, "%s: expected %r, found %r" % (what, expected, found)


def content():
    total = hashlib.sha256()
    with open("out.raw", "rb") as f:
        while block := f.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def reads(path, size, digest):
    status, out, err = run(REHOST, "disk", "convert", path, "out.raw", "--overwrite")
    same("convert", (status, out), (0, ""))
    assert all(line.startswith("rehost: warning: ") for line in err.splitlines()), err
    same("size", os.path.getsize("out.raw"), int(size))
    same("content", content(), digest)
    status, out, _ = run(REHOST, "disk", "map", path, "--json")
    at = 0
    for extent in json.loads(out):
        same("start of an extent", extent["start"], at)
        at += extent["length"]
    same("end of the map", (status, at), (0, int(size)))


def refuses(path, number, name=None):
    status, _, err = run(REHOST, "disk", "convert", path, "out.raw")
    same("status", status, number)
    match = ERROR.match(err)
    assert match, "no error and hint: " + err
    if name:
        same("error", match.group(1), name)
        assert name == "DISK_PARENT" or re.search("0x[0-9a-f]", err), "it does not say where: " + err
    same("what is left", os.listdir("."), [])
    same("check", run(REHOST, "disk", "check", path)[0], number)


def is_clean(path):
    same("check", run(REHOST, "disk", "check", path)[:2], (0, "sound\n"))
    if path.endswith(".vhdx") and "child" not in path and shutil.which("qemu-img"):  # it has a check for these alone
        same("qemu-img check", run("qemu-img", "check", "-f", "vhdx", path)[0], 0)


def tells(path, name, at):
    status, out, _ = run(REHOST, "disk", "check", path, "--json")
    problems = json.loads(out)["problems"]
    same("check", (status, [p["id"] for p in problems]), (0, [name]))
    assert re.search(at + r"\b", problems[0]["message"]), problems[0]["message"]


KINDS = {"read": ("reads", reads), "refuse": ("refuses", lambda path, *name: refuses(path, 3, *name)),
         "blocked": ("blocks", lambda path, *name: refuses(path, 4, *name)),
         "clean": ("finds_nothing_in", is_clean), "told": ("tells", tells)}
for line in open(os.path.join(CASES, "index")):
    case, kind, *words = line.split()
    text, judge = KINDS[kind]
    try:
        judge(os.path.join(CASES, case), *words)
        print("ok %s_%s" % (text, case))
    except (AssertionError, subprocess.TimeoutExpired, ValueError) as why:
        print("not ok %s_%s\n  %s" % (text, case, str(why).replace("\n", "\n  ")))
    for left in os.listdir("."):
        os.unlink(left)
    sys.stdout.flush()
