#!/usr/bin/env python3
"""Take one disk out of an XVA, the way a host's import reads it.

  xva2raw.py FILE.xva OUT.raw     prints the MAC of the first NIC

For XVAs with one disk: 1 MiB chunks named Ref:N/00000000 and on, those of zeros
left out.  The checksums beside the chunks are not looked at here.
"""
# SPDX-License-Identifier: LGPL-2.1-or-later
import re
import sys
import tarfile

CHUNK = 1 << 20


def main():
    refs, mac = set(), None
    with tarfile.open(sys.argv[1], "r|") as tar, open(sys.argv[2], "wb") as out:
        for member in tar:
            if member.name == "ova.xml":
                text = tar.extractfile(member).read().decode()
                m = re.search(r"<name>MAC</name>\s*<value>(?:<string>)?([0-9A-Fa-f:]{17})<", text)
                mac = m and m.group(1)
                continue
            m = re.fullmatch(r"(Ref:\d+)/(\d{8,})", member.name)
            if not m:
                continue
            refs.add(m.group(1))
            out.seek(int(m.group(2)) * CHUNK)
            out.write(tar.extractfile(member).read())
    if len(refs) != 1:
        sys.exit("%d disks in %s, expected one" % (len(refs), sys.argv[1]))
    print(mac or "")


main()
