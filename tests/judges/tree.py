#!/usr/bin/env python3
"""tree.py DIR: what is in it, a line for each file as tests/guest_tree.c writes
them, sorted.
SPDX-License-Identifier: LGPL-2.1-or-later"""
import hashlib
import os
import stat
import sys

lines = []


def sha(b):
    return hashlib.sha256(b).hexdigest()


def show(path, name):
    st = os.lstat(path)
    if stat.S_ISLNK(st.st_mode):
        t = os.readlink(path).encode()
        lines.append("l 777 %d %s %s" % (len(t), sha(t), name))
    elif stat.S_ISDIR(st.st_mode):
        if name:
            lines.append("d %o 0 - %s" % (stat.S_IMODE(st.st_mode), name))
        for child in os.listdir(path):
            show(path + "/" + child, name + "/" + child)
    else:
        with open(path, "rb") as f:
            b = f.read()
        lines.append("f %o %d %s %s" % (stat.S_IMODE(st.st_mode), len(b), sha(b), name))


show(sys.argv[1], "")
print("\n".join(sorted(lines)))
