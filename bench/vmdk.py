"""vmdk.py - streamOptimized disks as VMware's exports lay them out.

Header, descriptor, grains in the disk's order, each grain table behind the
grains it names, the directory and a footer at the end (Virtual Disk Format
5.0).  qemu-img writes the other layout, tables in front.
SPDX-License-Identifier: LGPL-2.1-or-later"""
import multiprocessing
import os
import struct
import zlib

SECTOR, GRAIN, TABLE = 512, 1 << 16, 512
AT_END = (1 << 64) - 1
TEXT = """# Disk DescriptorFile
version=1
CID=5245484f
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW %d SPARSE "bench.vmdk"

# The Disk Data Base
ddb.adapterType = "lsilogic"
ddb.virtualHWVersion = "13"
"""


def packed(grain):
    number, data = grain
    return number, zlib.compress(data, 6)


def header(sectors, directory):
    return struct.pack("<4sIIQQQQIQQQB4sH", b"KDMV", 3, 0x30001, sectors, GRAIN // SECTOR,
                       1, 20, TABLE, 0, directory, 128, 0, b"\n \r\n", 1).ljust(SECTOR, b"\0")


def padded(data):
    return data + bytes(-len(data) % SECTOR)


class Stream:
    def __init__(self, f, size):
        self.f, self.sectors = f, size // SECTOR
        self.directory = [0] * -(-size // (GRAIN * TABLE))
        self.table, self.number = [0] * TABLE, None
        f.write(header(self.sectors, AT_END))
        f.write((TEXT % self.sectors).encode().ljust(127 * SECTOR, b"\0"))

    def marker(self, kind, data):
        self.f.write(struct.pack("<QII", len(data) // SECTOR, 0, kind).ljust(SECTOR, b"\0"))
        at = self.f.tell() // SECTOR
        self.f.write(data)
        return at

    def end_table(self):
        if self.number is not None:
            self.directory[self.number] = self.marker(1, struct.pack("<%dI" % TABLE, *self.table))
        self.table = [0] * TABLE

    def grain(self, number, data):
        if number // TABLE != self.number:
            self.end_table()
            self.number = number // TABLE
        self.table[number % TABLE] = self.f.tell() // SECTOR
        self.f.write(padded(struct.pack("<QI", number * GRAIN // SECTOR, len(data)) + data))

    def end(self):
        self.end_table()
        at = self.marker(2, padded(struct.pack("<%dI" % len(self.directory), *self.directory)))
        self.marker(3, header(self.sectors, at))
        self.f.write(bytes(SECTOR))


def write(path, size, grains):
    """grains: (number, its 64 KiB) in the disk's order."""
    with open(path + ".part", "wb") as f, multiprocessing.Pool() as pool:
        stream = Stream(f, size)
        for number, data in pool.imap(packed, grains, 16):
            stream.grain(number, data)
        stream.end()
    os.rename(path + ".part", path)


def from_raw(raw, path):
    def grains():
        with open(raw, "rb") as f:
            for number, data in enumerate(iter(lambda: f.read(GRAIN), b"")):
                if data.strip(b"\0"):
                    yield number, data.ljust(GRAIN, b"\0")
    write(path, os.path.getsize(raw), grains())


def scattered(path, tib, mib):
    """A huge disk with some data, of which half deflates, in pieces of 1 MiB
    all over it."""
    size = tib << 40

    def grains():
        for i in range(mib):
            first = (size // mib * i + 12345 * 512 * i) // GRAIN
            for k in range(16):
                data = os.urandom(GRAIN // 2) + b"rehost  " * (GRAIN // 16)
                yield first + k, data
    write(path, size, grains())
