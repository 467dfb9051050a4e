"""Blocks of a btrfs in a file, to be changed and given their checksums again.

One device, crc32c.  What mkfs.btrfs and the kernel never write is made so:
    b = Btrfs("x.img"); at, p, n = b.item(b.tree(5), 256, 96); b.patch(at, p, ...)
"""
# SPDX-License-Identifier: LGPL-2.1-or-later
import struct

TABLE = []
for i in range(256):
    for _ in range(8):
        i = i >> 1 ^ (0x82f63b78 if i & 1 else 0)
    TABLE.append(i)


def crc32c(data, crc=0xffffffff):
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc


class Btrfs:
    def __init__(self, path):
        self.f = open(path, "r+b")
        self.sb = self.read(65536, 4096)
        self.node, = struct.unpack_from("<I", self.sb, 0x94)
        self.chunks = []
        at, end = 0x32b, 0x32b + struct.unpack_from("<I", self.sb, 0xa0)[0]
        while at < end:
            at += 17 + self.chunk(struct.unpack_from("<Q", self.sb, at + 9)[0], self.sb[at + 17:])
        for key, data in self.all(struct.unpack_from("<Q", self.sb, 0x58)[0]):
            if key[1] == 228:
                self.chunk(key[2], data)

    def read(self, at, n):
        self.f.seek(at)
        return bytearray(self.f.read(n))

    def chunk(self, logical, p):
        n, = struct.unpack_from("<H", p, 44)
        self.chunks.append((logical, struct.unpack_from("<Q", p)[0],
                            [struct.unpack_from("<Q", p, 56 + 32 * i)[0] for i in range(n)]))
        return 48 + 32 * n

    def places(self, logical):
        return [s + logical - at for at, n, stripes in self.chunks if at <= logical < at + n for s in stripes]

    def block(self, logical):
        return self.read(self.places(logical)[0], self.node)

    def put(self, logical, block):
        struct.pack_into("<I", block, 0, crc32c(block[32:]) ^ 0xffffffff)
        for at in set(self.places(logical)):
            self.f.seek(at)
            self.f.write(block)

    def put_super(self):
        struct.pack_into("<I", self.sb, 0, crc32c(self.sb[32:]) ^ 0xffffffff)
        self.f.seek(65536)
        self.f.write(self.sb)

    def leaves(self, logical):
        b = self.block(logical)
        n, level = struct.unpack_from("<IB", b, 0x60)
        for i in range(n if level else 0):
            yield from self.leaves(struct.unpack_from("<Q", b, 101 + 33 * i + 17)[0])
        if not level:
            yield logical, b, n

    def places_of_items(self, root):
        for logical, b, n in self.leaves(root):
            for i in range(n):
                key = struct.unpack_from("<QBQ", b, 101 + 25 * i)
                offset, size = struct.unpack_from("<II", b, 101 + 25 * i + 17)
                yield key, logical, 101 + offset, size, b

    def all(self, root):
        for key, _, at, size, b in self.places_of_items(root):
            yield key, b[at:at + size]

    def tree(self, number):
        roots, = struct.unpack_from("<Q", self.sb, 0x50)
        return [struct.unpack_from("<Q", data, 176)[0] for key, data in self.all(roots)
                if key[:2] == (number, 132)][-1]

    def item(self, root, number, kind, holding=b""):
        """Block, place in it and size of the first such item (number None: any)."""
        for key, logical, at, size, b in self.places_of_items(root):
            if number in (None, key[0]) and key[1] == kind and holding in b[at:at + size]:
                return logical, at, size
        raise SystemExit("no such item")

    def patch(self, logical, at, data):
        b = self.block(logical)
        b[at:at + len(data)] = data
        self.put(logical, b)
