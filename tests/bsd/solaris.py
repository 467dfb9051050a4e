#!/usr/bin/env python3
"""solaris.py - what makefs writes as UFS1 becomes what Solaris' newfs writes:
folders with names' lengths of 16 bits and no types, owners where Solaris has
them, the state of a file system with a log (illumos sys/fs/ufs_fs.h,
ufs_inode.h, ufs_fsdir.h).

  solaris.py ufs IMAGE OFFSET [CLEAN]   CLEAN: 253 with a log, 0 in use
  solaris.py vtoc IMAGE SECTOR TAG:START:SIZE...   of its second sector

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ufscheck import Ufs  # noqa: E402


def folders(u, n, seen):
    seen.add(n)
    d = u.inode(n)
    for fragment, count in u.runs(d)[1]:
        block = bytearray(u.read(fragment * u.fsize, count * u.fsize))
        at = 0
        while at < len(block):
            inode, length, kind, name = struct.unpack_from("<IHBB", block, at)
            if not length:
                break
            if inode and kind == 4 and inode not in seen:
                folders(u, inode, seen)
            struct.pack_into("<H", block, at + 6, name)
            at += length
        u.write(fragment * u.fsize, block)


def to_solaris(image, offset, clean):
    u = Ufs(image, offset)
    folders(u, 2, set())
    for n in range(2, u.ncg * u.ipg):
        raw = bytearray(u.inode(n)["raw"])
        uid, gid = struct.unpack_from("<II", raw, 112)
        struct.pack_into("<III", raw, 112, 0, uid, gid)
        u.write(u.inode_at(n), raw)
    u.sb[209] = clean
    struct.pack_into("<i", u.sb, 1324, -1)
    u.write(u.sb_at, u.sb)


def vtoc(image, sector, slices):
    v = bytearray(512)
    struct.pack_into("<IHH", v, 12, 0x600DDEEE, 1, 0)
    struct.pack_into("<HH", v, 28, 512, 16)
    for i, s in enumerate(slices):
        tag, start, size = (int(x) for x in s.split(":"))
        struct.pack_into("<HHII", v, 72 + 12 * i, tag, 0, start, size)
    with open(image, "r+b") as f:
        f.seek((sector + 1) * 512)
        f.write(v)


if sys.argv[1] == "ufs":
    to_solaris(sys.argv[2], int(sys.argv[3]), int((sys.argv[4:] or ["253"])[0]))
else:
    vtoc(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
