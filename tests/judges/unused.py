#!/usr/bin/env python3
"""unused.py KIND BEFORE AFTER [OFFSET]: may AFTER stand for BEFORE?

The file system's own tools (dumpe2fs, xfs_db, ntfscat, btrfs) say which blocks are in
use: these must be the same in both, and a block in use by nobody is the same
or zeros.  Prints the MiB that became zeros; any other difference is an error.
The file system lies at OFFSET of both files.
SPDX-License-Identifier: LGPL-2.1-or-later"""
import re
import struct
import subprocess
import sys
import tempfile


def said(*words):
    return subprocess.run(words, check=True, capture_output=True)


def ext(image, whole):
    text = said("dumpe2fs", image).stdout.decode()
    block = int(re.search(r"^Block size:\s+(\d+)", text, re.M)[1])
    free = []
    for line in re.findall(r"^  Free blocks: (\S.*)$", text, re.M):
        for part in line.split(", "):
            first, _, last = part.partition("-")
            free.append((int(first), int(last or first) + 1))
    return block, free


def xfs(image, whole):
    text = said("xfs_db", "-r", "-c", "sb 0", "-c", "p blocksize agblocks", "-c",
                "freesp -d", image).stdout.decode()
    block, group = [int(re.search(n + r" = (\d+)", text)[1]) for n in ("blocksize", "agblocks")]
    free = []
    for row in re.findall(r"^\s+(\d+)\s+(\d+)\s+(\d+)\s*$", text, re.M):
        n, start, count = map(int, row)
        free.append((n * group + start, n * group + start + count))
    return block, free


def ntfs(image, whole):
    used = said("ntfscat", "-i", "6", image).stdout
    block = struct.unpack_from("<H", whole, 11)[0] * whole[13]
    count = struct.unpack_from("<Q", whole, 40)[0] // whole[13]
    return block, [(i, i + 1) for i in range(count) if not used[i // 8] >> i % 8 & 1]


def btrfs(image, whole):
    def dump(*tree):
        return said("btrfs", "inspect-internal", "dump-tree", *tree, image).stdout.decode()
    node, sector = struct.unpack_from("<I", whole, 0x10094)[0], struct.unpack_from("<I", whole, 0x10090)[0]
    chunks = []
    for text in dump("-t", "chunk").split("CHUNK_ITEM ")[1:]:
        chunks.append((int(text.split(")")[0]), int(re.search(r"length (\d+)", text)[1]),
                       [int(n) for n in re.findall(r"devid 1 offset (\d+)", text)]))
    used = bytearray(len(whole) // sector)
    for start, n in [(0, 1 << 20), (1 << 26, 1 << 16)]:
        used[start // sector:(start + n) // sector] = b"\1" * (n // sector)
    for key in re.finditer(r"key \((\d+) (EXTENT|METADATA)_ITEM (\d+)\)", dump("-t", "extent")):
        at, n = int(key[1]), int(key[3]) if key[2] == "EXTENT" else node
        for start, length, places in chunks:
            for place in places if start <= at < start + length else []:
                first = (place + at - start) // sector
                used[first:first + n // sector] = b"\1" * (n // sector)
    return sector, [(i, i + 1) for i in range(len(used)) if not used[i]]


def main():
    kind, before, after = sys.argv[1:4]
    offset = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    with open(before, "rb") as f, open(after, "rb") as g:
        a, b = f.read(), g.read()
    if len(a) != len(b):
        sys.exit("the lengths differ")
    with tempfile.NamedTemporaryFile() as alone:
        alone.write(a[offset:])
        alone.flush()
        block, free = {"ext": ext, "xfs": xfs, "ntfs": ntfs, "btrfs": btrfs}[kind](alone.name, a[offset:])
    may, zeros = bytearray(len(a) // block + 1), 0
    for start, end in free:
        may[start:end] = b"\1" * (end - start)
    for at in range(0, len(a), block):
        p, q = a[at:at + block], b[at:at + block]
        if p == q:
            continue
        if at < offset or not may[(at - offset) // block] or q.strip(b"\0"):
            sys.exit("a block in use differs, at 0x%x" % at)
        zeros += block
    print(zeros >> 20)


main()
