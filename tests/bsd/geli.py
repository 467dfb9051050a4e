#!/usr/bin/env python3
"""geli.py - the metadata of a GELI provider, as sys/geom/eli/g_eli.h has it, at
the end of a part of an image; what is before looks like noise.

  geli.py IMAGE OFFSET SIZE [SECTOR]

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import hashlib
import random
import struct
import sys

image, offset, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sector = int(sys.argv[4]) if len(sys.argv) > 4 else 512
noise = random.Random(16)
BOOT, AES_XTS, KEYS = 2, 22, 1
md = struct.pack("<16sIIHHHQIBi", b"GEOM::ELI", 7, BOOT, AES_XTS, 256, 0, size, 4096, KEYS, 1000)
md += noise.randbytes(64) + noise.randbytes(2 * 192)  # salt, two places of keys
md += hashlib.md5(md).digest()
with open(image, "r+b") as f:
    f.seek(offset)
    f.write(noise.randbytes(1 << 20))
    f.seek(offset + size - sector)
    f.write(md.ljust(sector, b"\0"))
