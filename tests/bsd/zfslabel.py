#!/usr/bin/env python3
"""zfslabel.py - the first label of a ZFS pool, as the on-disk specification
describes it, onto a partition of an image.

  zfslabel.py IMAGE OFFSET POOL VERSION TYPE MEMBERS [HOSTNAME]
  zfslabel.py - POOL VERSION TYPE MEMBERS      the nvlist alone, to stdout

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import struct
import sys


def text(s):
    b = s.encode()
    return struct.pack(">I", len(b)) + b + bytes(-len(b) % 4)


def pair(name, kind, count, value):
    body = text(name) + struct.pack(">II", kind, count) + value
    return struct.pack(">II", len(body) + 8, len(body) + 8) + body


def number(name, n):
    return pair(name, 8, 1, struct.pack(">Q", n))


def string(name, s):
    return pair(name, 9, 1, text(s))


def nvlist(*pairs):
    return struct.pack(">II", 0, 1) + b"".join(pairs) + bytes(8)


def label(pool, version, kind, members, hostname=""):
    disk = lambda i: nvlist(string("type", "disk"), number("id", i), string("path", "/dev/da%dp3" % i),
                            string("phys_path", "/pci@0,0/disk@%d" % i))
    tree = disk(0) if kind == "disk" else nvlist(
        string("type", kind), number("id", 0),
        pair("children", 20, members, b"".join(disk(i) for i in range(members))))
    return b"\x01\x01\0\0" + nvlist(number("version", version), string("name", pool), number("state", 0),
                                    number("pool_guid", 0x1122334455667788), string("hostname", hostname),
                                    pair("vdev_tree", 19, 1, tree))


if __name__ == "__main__":
    if sys.argv[1] == "-":
        pool, version, kind, members = sys.argv[2:6]
        sys.stdout.buffer.write(label(pool, int(version), kind, int(members)))
    else:
        image, offset, pool, version, kind, members = sys.argv[1:7]
        with open(image, "r+b") as f:
            f.seek(int(offset) + 16384)
            f.write(label(pool, int(version), kind, int(members), *sys.argv[7:8]))
            f.seek(int(offset) + 131072)
            f.write(struct.pack("<QQQ", 0x00BAB10C, int(version), 4))
