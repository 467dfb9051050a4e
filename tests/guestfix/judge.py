#!/usr/bin/env python3
"""Compare a guest's disk before and after, file by file, by debugfs and mtools.

  judge.py BEFORE.raw AFTER.raw LAYOUT.json RECEIPT.json

Says what is wrong, one line each, and ends with 1; or nothing and 0.
- e2fsck -fn finds nothing, fsck.vfat -n neither
- just the files that the receipt names differ (their folders may be new)
- a file's hash afterwards is the one in the receipt, where that gives one
- owner, mode and security.selinux of a file that stayed are what they were
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

before, after, layout, receipt = sys.argv[1:5]
where = json.load(open(layout))
edits = json.load(open(receipt))["edits"]
wrong = []


def out(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace")


def root_of(disk):
    return "%s?offset=%d" % (disk, where["root"] << 20)


def slice_of(disk, mib, size, to):
    with open(disk, "rb") as f, open(to, "wb") as g:
        f.seek(mib << 20)
        g.write(f.read(size << 20))


def tree(folder):
    """path -> sha256 of a file, target of a link; folders are left out."""
    found = {}
    for top, dirs, files in os.walk(folder):
        for name in files + [d for d in dirs if os.path.islink(os.path.join(top, d))]:
            full = os.path.join(top, name)
            path = full[len(folder):]
            if os.path.islink(full):
                found[path] = "-> " + os.readlink(full)
            else:
                found[path] = hashlib.sha256(open(full, "rb").read()).hexdigest()
    return found


def attributes(img, paths):
    """path -> (mode, owner, group) and label, by one debugfs for all of them."""
    with tempfile.NamedTemporaryFile("w") as f:
        f.write("".join('stat "%s"\nea_get "%s" security.selinux\n' % (p, p) for p in paths))
        f.flush()
        said = subprocess.run(["debugfs", "-f", f.name, img], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, errors="replace").stdout
    said = re.split(r"^debugfs: .*\n", said, flags=re.M)[1:]
    got = [re.search(r"Mode: +(\d+).*?User: +(\d+) +Group: +(\d+)", s, re.S) for s in said[::2]]
    return {p: (g.groups() if g else None, label.strip())
            for p, g, label in zip(paths, got, said[1::2], strict=True)}


with tempfile.TemporaryDirectory() as tmp:
    ext, fat = {}, {}
    for side, disk in (("before", before), ("after", after)):
        os.mkdir(os.path.join(tmp, side))
        out("debugfs", "-R", "rdump / %s" % os.path.join(tmp, side), root_of(disk))
        ext[side] = tree(os.path.join(tmp, side))
        if where["esp"]:
            to = os.path.join(tmp, side + "-esp")
            os.mkdir(to)
            out("mcopy", "-s", "-n", "-i", "%s@@%d" % (disk, where["esp"] << 20), "::/", to)
            ext[side].update({"/boot/efi" + k: v for k, v in tree(to).items()})
    if len(ext["before"]) < 30:
        wrong.append("the judge saw only %d files" % len(ext["before"]))
    fsck = out("e2fsck", "-fn", root_of(after))
    if fsck.returncode:
        wrong.append("e2fsck: " + fsck.stdout.strip().replace("\n", " / "))
    if where["esp"]:
        img = os.path.join(tmp, "esp.img")
        slice_of(after, where["esp"], 40, img)
        fsck = out("fsck.vfat", "-n", img)
        if fsck.returncode:
            wrong.append("fsck.vfat: " + fsck.stdout.strip().replace("\n", " / "))
    differ = {p for p in set(ext["before"]) | set(ext["after"])
              if ext["before"].get(p) != ext["after"].get(p)}
    named = {e["where"] for e in edits}
    for p in sorted(differ - named):
        wrong.append("changed, but not in the receipt: " + p)
    for p in sorted(named - differ):
        wrong.append("in the receipt, but not changed: " + p)
    stayed = sorted(p for p in named if p in ext["before"] and p in ext["after"]
                    and not p.startswith("/boot/efi"))
    was, is_now = (attributes(root_of(disk), stayed) for disk in (before, after))
    # Of a file that two fixes changed the last edit tells what it is.
    for e in {e["where"]: e for e in edits}.values():
        p, now = e["where"], ext["after"].get(e["where"])
        said = e["after"]
        if said is not None and said.startswith("sha256:") and now != said[7:]:
            wrong.append("%s has not the hash of the receipt" % p)
        if said is not None and not said.startswith(("sha256:", "->")) and now != \
                hashlib.sha256(said.encode()).hexdigest():
            wrong.append("%s does not read as the receipt says" % p)
    for p in stayed:
        if was[p] != is_now[p] or was[p][0] is None:
            wrong.append("%s: owner, mode or label was %s, is %s" % (p, was[p], is_now[p]))
for line in wrong:
    print(line)
sys.exit(1 if wrong else 0)
