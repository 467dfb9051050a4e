#!/usr/bin/env python3
"""Unpack an initramfs as the kernel does: one archive after another, later files
win.  unpack.py IMAGE FOLDER; FOLDER.names lists the entries in order."""
import lzma
import os
import subprocess
import sys
import zlib

data = open(sys.argv[1], "rb").read()
top = sys.argv[2]
names = []


def cpio(buf):
    """Entries of one newc archive; returns the bytes used."""
    at = 0
    while True:
        if buf[at:at + 6] != b"070701":
            sys.exit("no cpio header at %d" % at)
        h = [int(buf[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, n = h[1], h[6], h[11]
        name = buf[at + 110:at + 110 + n - 1].decode()
        start = (at + 110 + n + 3) & ~3
        at = (start + size + 3) & ~3
        if name == "TRAILER!!!":
            return at
        names.append(name)
        path = os.path.join(top, name)
        if mode & 0o170000 == 0o100000:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(buf[start:start + size])
        elif mode & 0o170000 == 0o120000:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            if os.path.lexists(path):
                os.unlink(path)
            os.symlink(buf[start:start + size].decode(), path)


def lz4_legacy(buf):
    """Only legacy frames, here literal or not: by the lz4 tool, frame by frame."""
    at, end = 4, len(buf)
    while at + 4 <= end:
        size = int.from_bytes(buf[at:at + 4], "little")
        if size == 0x184c2102 or not size or size > end - at - 4:
            break
        at += 4 + size
    return subprocess.run(["lz4", "-dc"], input=buf[:at], stdout=subprocess.PIPE, check=True).stdout, at


def zstd_frame(buf):
    """Bytes of the frame: header, blocks with their sizes, checksum."""
    flags = buf[4]
    single = flags >> 5 & 1
    at = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    at += (single, 2, 4, 8)[flags >> 6]
    while True:
        head = int.from_bytes(buf[at:at + 3], "little")
        at += 3 + (1 if head >> 1 & 3 == 1 else head >> 3)
        if head & 1:
            return at + 4 * (flags >> 2 & 1)


os.makedirs(top, exist_ok=True)
at = 0
while at < len(data):
    rest = data[at:]
    if rest[0] == 0:
        at += 1
    elif rest[:5] == b"07070":
        at += cpio(rest)
    elif rest[:2] == b"\x1f\x8b":
        if rest[3] & ~8:
            sys.exit("gzip header flags %#x: Linux skips a name, nothing else" % rest[3])
        d = zlib.decompressobj(31)
        cpio(d.decompress(rest))
        at = len(data) - len(d.unused_data)
    elif rest[:6] == b"\xfd7zXZ\0":
        d = lzma.LZMADecompressor()
        cpio(d.decompress(rest))
        at = len(data) - len(d.unused_data)
    elif rest[:4] == b"\x28\xb5\x2f\xfd":
        used = zstd_frame(rest)
        cpio(subprocess.run(["zstd", "-dcq"], input=rest[:used],
                            stdout=subprocess.PIPE, check=True).stdout)
        at += used
    elif rest[:4] == b"\x02\x21\x4c\x18":
        plain, used = lz4_legacy(rest)
        cpio(plain)
        at += used
    else:
        sys.exit("what stands at %d of %d is no archive: %r" % (at, len(data), rest[:8]))
with open(top + ".names", "w") as f:
    f.write("\n".join(names) + "\n")
