#!/usr/bin/env python3
# xva_read.py FILE.xva DIR - reads an XVA as a host does and writes its disks:
# DIR/0.raw ... in the order of the VM's positions, and DIR/vm.json with what
# ova.xml says.  Strict: order, gaps, first and last chunks, sums.  Plain and
# zstd (by the zstd program).  Knows nothing of the code that wrote the file.
# SPDX-License-Identifier: LGPL-2.1-or-later
import hashlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

MIB = 1 << 20
MASK = (1 << 64) - 1


def stop(text):
    sys.exit("xva_read: " + text)


def xxh64(data):
    p1, p2, p3, p4, p5 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F,
                          0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
                          0x27D4EB2F165667C5)
    rot = lambda x, r: ((x << r) | (x >> (64 - r))) & MASK
    turn = lambda acc, x: rot((acc + x * p2) & MASK, 31) * p1 & MASK
    words = memoryview(data).cast("Q")  # whole chunks only, little-endian
    v = [(p1 + p2) & MASK, p2, 0, (-p1) & MASK]
    for i in range(0, len(words), 4):
        for k in range(4):
            v[k] = turn(v[k], words[i + k])
    h = (rot(v[0], 1) + rot(v[1], 7) + rot(v[2], 12) + rot(v[3], 18)) & MASK
    for x in v:
        h = ((h ^ turn(0, x)) * p1 + p4) & MASK
    h = (h + len(data)) & MASK
    h = (h ^ h >> 33) * p2 & MASK
    h = (h ^ h >> 29) * p3 & MASK
    return h ^ h >> 32


class Tar:
    def __init__(self, stream):
        self.stream = stream

    def take(self, n):
        data = self.stream.read(n)
        if len(data) != n:
            stop("the archive is cut short")
        return data

    def next(self):
        h = self.take(512)
        if h == bytes(512):
            return None, None
        if int(h[148:156].strip(b"\0 "), 8) != sum(h[:148] + h[156:]) + 256:
            stop("a tar header's sum is wrong")
        if h[156:157] != b"0" or h[257:265] != b"ustar\x0000":
            stop("a tar entry is no plain ustar file")
        name = h[:100].rstrip(b"\0").decode()
        size = int(h[124:136].strip(b"\0 "), 8)
        data = self.take(size)
        if self.take(-size % 512).strip(b"\0"):
            stop("padding of %s is not zero" % name)
        return name, data


def value(v):
    if len(v) == 0:
        return v.text or ""
    kind = v[0]
    if kind.tag == "struct":
        return {m.find("name").text: value(m.find("value")) for m in kind}
    if kind.tag == "array":
        return [value(x) for x in kind.find("data")]
    if kind.tag == "boolean":
        return kind.text == "1"
    return kind.text or ""


def read_disk(tar, ref, size, path):
    last, at = -1, 0
    with open(path, "wb") as out:
        out.truncate(size)
        while at < size:
            name, data = tar.next()
            if name is None or not name.startswith(ref + "/"):
                stop("a chunk of %s is expected, not %s" % (ref, name))
            if len(name) != len(ref) + 9 or not name[-8:].isdigit():
                stop("%s is no chunk's name" % name)
            number = int(name[-8:])
            if last < 0 and number or number <= last or len(data) != MIB:
                stop("%s: out of order, or not 1 MiB" % name)
            if number not in (0, size // MIB - 1) and not data.strip(b"\0"):
                stop("%s: zeros should be left out" % name)
            given, text = tar.next()
            sums = {name + ".checksum": lambda: hashlib.sha1(data).hexdigest(),
                    name + ".xxhash": lambda: "%016X" % xxh64(data)}
            if given not in sums or sums[given]() != text.decode():
                stop("%s: its sum %s is wrong" % (name, given))
            out.seek(number * MIB)
            out.write(data)
            last, at = number, (number + 1) * MIB
    if at != size:
        stop("%s ends at %d, not at %d" % (ref, at, size))


path, folder = sys.argv[1:]
with open(path, "rb") as f:
    packed = f.read(4) == b"\x28\xb5\x2f\xfd"
if packed:
    stream = subprocess.Popen(["zstd", "-dcq", path],
                              stdout=subprocess.PIPE).stdout
else:
    stream = open(path, "rb")
tar = Tar(stream)
name, text = tar.next()
if name != "ova.xml":
    stop("the first file is %s" % name)
document = value(ET.fromstring(text))
objects = document["objects"]
by_id = {o["id"]: o for o in objects}
if len(by_id) != len(objects):
    stop("an id is used twice")
rows = [o["snapshot"] for o in objects if o["class"] == "VBD"]
position = {r["VDI"]: int(r["userdevice"]) for r in rows if not r["empty"]}
disks = sorted(o["id"] for o in objects if o["class"] == "VDI")
order = sorted(position, key=position.get)
os.makedirs(folder, exist_ok=True)
for ref in disks:
    read_disk(tar, ref, int(by_id[ref]["snapshot"]["virtual_size"]),
              "%s/%d.raw" % (folder, order.index(ref)))
if tar.next()[0] is not None:
    stop("something follows the last disk")
if stream.read().strip(b"\0"):
    stop("something follows the archive's end")
of = lambda kind: [o["snapshot"] for o in objects if o["class"] == kind]
with open(folder + "/vm.json", "w") as f:
    json.dump({"version": document["version"], "vm": of("VM")[0],
               "vbds": rows, "vdis": of("VDI"), "vifs": [
                   dict(v, network=by_id[v["network"]]["snapshot"])
                   for v in of("VIF")]}, f, indent=1)
