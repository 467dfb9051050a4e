#!/usr/bin/env python3
"""Read files of a guest's ext4 root file system, wherever it lies on a raw disk.

  guestfile.py DISK.raw cat PATH          one file to standard output
  guestfile.py DISK.raw tree              every path with kind, mode, owner, hash
  guestfile.py DISK.raw where             byte offset of the file system

Through debugfs alone: no root, no appliance, and nothing of the project.
"""
# SPDX-License-Identifier: LGPL-2.1-or-later
import hashlib
import os
import stat
import sys
import tempfile

sys.dont_write_bytecode = True
from handfix import Fs  # noqa: E402


def tree(fs, tmp):
    top = os.path.join(tmp, "tree")
    os.mkdir(top)
    fs.do('rdump / ' + top)
    for folder, dirs, files in os.walk(top):
        for n in sorted(dirs + files):
            p = os.path.join(folder, n)
            st = os.lstat(p)
            what = "-"
            if stat.S_ISLNK(st.st_mode):
                what = os.readlink(p)
            elif stat.S_ISREG(st.st_mode):
                with open(p, "rb") as f:
                    what = hashlib.sha256(f.read()).hexdigest()
            yield "%s %o %s" % (p[len(top):], st.st_mode, what)


def main():
    if len(sys.argv) < 3 or sys.argv[2] not in ("cat", "tree", "where"):
        sys.exit(__doc__.strip())
    with tempfile.TemporaryDirectory(prefix="guestfile-") as tmp:
        fs = Fs(sys.argv[1], tmp)
        if sys.argv[2] == "where":
            print(fs.at)
        elif sys.argv[2] == "tree":
            print("\n".join(sorted(tree(fs, tmp))))
        else:
            data = fs.get(sys.argv[3])
            if data is None:
                sys.exit("no such file: " + sys.argv[3])
            sys.stdout.buffer.write(data)


main()
