#!/usr/bin/env python3
"""ufscheck.py - a second opinion on UFS1 and UFS2, from the documentation.

  ufscheck.py check IMAGE OFFSET       everything adds up; says what does not
  ufscheck.py seal  IMAGE OFFSET       keep check hashes from now on (FreeBSD 13)
  ufscheck.py cat   IMAGE OFFSET PATH  a file's bytes
  ufscheck.py mark  IMAGE OFFSET KIND  make it unclean, snapshot, gjournal
  ufscheck.py fill  IMAGE OFFSET PATH  take the fragments behind the file's last
  ufscheck.py shrink IMAGE OFFSET PATH give the file's last fragment back

Shares no code with rehost.  Little-endian, up to single indirect blocks.
SPDX-License-Identifier: LGPL-2.1-or-later
"""
import struct
import sys

TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c = c >> 8 ^ TABLE[(c ^ b) & 255]
    return c


class Ufs:
    def __init__(self, path, offset):
        self.f = open(path, "r+b")
        self.base = offset
        for at in (65536, 8192):
            sb = self.read(at, 1376)
            magic = struct.unpack_from("<I", sb, 1372)[0]
            self.v2 = magic in (0x19540119, 0x19012038)
            if magic == 0x011954 or self.v2 and struct.unpack_from("<q", sb, 1000)[0] == at:
                break
        else:
            sys.exit("no superblock")
        self.sb_at = at
        self.load()

    def load(self):
        sb = self.sb = bytearray(self.read(self.sb_at, 8192))
        u = lambda o: struct.unpack_from("<I", sb, o)[0]
        self.cblkno, self.iblkno, self.dblkno = u(12), u(16), u(20)
        self.cgoff, self.cgmask = u(24), u(28)
        self.ncg, self.bsize, self.fsize, self.frag = u(44), u(48), u(52), u(56)
        self.sbsize, self.cgsize, self.ipg, self.fpg = u(104), u(160), u(184), u(188)
        self.size = struct.unpack_from("<q", sb, 1080)[0] if self.v2 else u(36)
        self.csaddr = struct.unpack_from("<q", sb, 1096)[0] if self.v2 else u(152)
        self.cssum = u(1316)
        self.ck = u(1308) if self.v2 and u(1312) & 0x200 else 0

    def read(self, at, n):
        self.f.seek(self.base + at)
        return self.f.read(n)

    def write(self, at, b):
        self.f.seek(self.base + at)
        self.f.write(b)

    def start(self, c):
        return self.fpg * c + (0 if self.v2 else self.cgoff * (c & ~self.cgmask & 0xFFFFFFFF))

    def inode_at(self, n):
        size = 256 if self.v2 else 128
        per = self.bsize // size
        i = n % self.ipg
        return (self.start(n // self.ipg) + self.iblkno + i // per * self.frag) * self.fsize + i % per * size

    def inode(self, n):
        raw = self.read(self.inode_at(n), 256 if self.v2 else 128)
        d = {"n": n, "raw": raw, "mode": struct.unpack_from("<H", raw)[0]}
        if self.v2:
            d["size"], d["blocks"] = struct.unpack_from("<QQ", raw, 16)
            d["db"] = struct.unpack_from("<12q3q", raw, 112)
        else:
            d["size"] = struct.unpack_from("<Q", raw, 8)[0]
            d["blocks"] = struct.unpack_from("<I", raw, 104)[0]
            d["db"] = struct.unpack_from("<12i3i", raw, 40)
        return d

    def runs(self, d):
        """(fragment, count) of every block of an inode, with its pointers' blocks."""
        size, lbn, out = d["size"], 0, []
        if d["mode"] & 0o170000 == 0o120000 and not d["blocks"]:
            return out, []
        blocks = -(-size // self.bsize)
        addresses = list(d["db"][:12])
        if blocks > 12:
            if d["db"][12]:
                out.append((d["db"][12], self.frag))
            w = "q" if self.v2 else "i"
            n = self.bsize // (8 if self.v2 else 4)
            addresses += struct.unpack("<%d%s" % (n, w), self.read(d["db"][12] * self.fsize, self.bsize))
        data = []
        for lbn in range(blocks):
            n = self.frag
            if lbn == blocks - 1 and lbn < 12:
                n = -(-(size - lbn * self.bsize) // self.fsize)
            data.append((addresses[lbn], n))
        return out + [r for r in data if r[0]], data

    def contents(self, d):
        if d["mode"] & 0o170000 == 0o120000 and not d["blocks"]:
            return d["raw"][112 if self.v2 else 40:][:d["size"]]
        out = b""
        for a, n in self.runs(d)[1]:
            out += self.read(a * self.fsize, n * self.fsize) if a else bytes(n * self.fsize)
        return out[:d["size"]]

    def entries(self, d):
        b, at = self.contents(d), 0
        while at < len(b):
            ino, reclen, _, namlen = struct.unpack_from("<IHBB", b, at)
            assert reclen >= 8 and at % 512 + reclen <= 512, "a bad entry at %d" % at
            if ino:
                yield b[at + 8:at + 8 + namlen].decode(), ino
                assert b[at + 8 + namlen] == 0 or reclen == 8 + namlen
            at += reclen

    def find(self, path):
        n = 2
        for name in path.strip("/").split("/"):
            n = dict(self.entries(self.inode(n)))[name]
        return self.inode(n)

    def group(self, c):
        return bytearray(self.read((self.start(c) + self.cblkno) * self.fsize, self.cgsize))

    def put_group(self, c, g):
        self.write((self.start(c) + self.cblkno) * self.fsize, g)

    def hashed(self, b, at):
        b = bytearray(b)
        struct.pack_into("<I", b, at, 0)
        return crc32c(b)

    def check(self):
        bad = []
        say = lambda ok, text: ok or bad.append(text)
        used = set()
        seen, todo = {2}, [2]
        while todo:
            d = self.inode(todo.pop())
            runs, _ = self.runs(d)
            n = 0
            for a, k in runs:
                say(not used & set(range(a, a + k)), "inode %d shares a fragment" % d["n"])
                used |= set(range(a, a + k))
                n += k
            say(d["blocks"] == n * self.fsize // 512, "inode %d: %d sectors are counted, %d are there" % (d["n"], d["blocks"], n * self.fsize // 512))
            if self.ck & 4:
                say(struct.unpack_from("<I", d["raw"], 244)[0] == self.hashed(d["raw"], 244), "inode %d: its check hash" % d["n"])
            if d["mode"] & 0o170000 == 0o040000:
                for _, i in self.entries(d):
                    if i not in seen:
                        seen.add(i)
                        todo.append(i)
        total = 0
        for c in range(self.ncg):
            g = self.group(c)
            u = lambda o: struct.unpack_from("<I", g, o)[0]
            say(u(4) == 0x090255, "group %d: its magic" % c)
            free = [g[u(96) + i // 8] >> i % 8 & 1 for i in range(min(self.fpg, self.size - c * self.fpg))]
            for i, bit in enumerate(free):
                say(not (bit and c * self.fpg + i in used), "fragment %d is free and used" % (c * self.fpg + i))
            sums, nffree = [0] * 8, 0
            for b in range(0, len(free), self.frag):
                block = free[b:b + self.frag]
                if all(block):
                    continue
                run = 0
                for bit in block + [0]:
                    if bit:
                        run += 1
                    elif run:
                        sums[run] += 1
                        nffree += run
                        run = 0
            say(list(struct.unpack_from("<8I", g, 52))[:self.frag] == sums[:self.frag], "group %d: runs of free fragments" % c)
            say(u(36) == nffree, "group %d: %d free fragments counted, %d there" % (c, u(36), nffree))
            row = struct.unpack("<4I", self.read(self.csaddr * self.fsize + 16 * c, 16))
            say(row == struct.unpack_from("<4I", g, 24), "group %d: its row of the table" % c)
            total += nffree
            if self.ck & 2:
                say(u(132) == self.hashed(g, 132), "group %d: its check hash" % c)
        kept = struct.unpack_from("<q", self.sb, 1032)[0] if self.v2 else struct.unpack_from("<I", self.sb, 204)[0]
        say(kept == total, "superblock: %d free fragments counted, %d there" % (kept, total))
        if self.ck & 1:
            say(struct.unpack_from("<I", self.sb, 1304)[0] == self.hashed(self.sb[:self.sbsize], 1304), "superblock: its check hash")
        return bad

    def seal(self):
        struct.pack_into("<I", self.sb, 1312, struct.unpack_from("<I", self.sb, 1312)[0] | 0x200)
        struct.pack_into("<I", self.sb, 1308, 7)
        for n in range(2, self.ncg * self.ipg):
            raw = bytearray(self.inode(n)["raw"])
            struct.pack_into("<I", raw, 244, self.hashed(raw, 244))
            self.write(self.inode_at(n), raw)
        for c in range(self.ncg):
            g = self.group(c)
            struct.pack_into("<I", g, 132, self.hashed(g, 132))
            self.put_group(c, g)
        self.put_super()

    def put_super(self):
        if struct.unpack_from("<I", self.sb, 1308)[0] & 1:
            struct.pack_into("<I", self.sb, 1304, self.hashed(self.sb[:self.sbsize], 1304))
        self.write(self.sb_at, self.sb[:self.sbsize])

    def mark(self, kind):
        if kind == "unclean":
            self.sb[209] = 0
        elif kind == "snapshot":
            struct.pack_into("<I", self.sb, 1116, 77)
        elif kind == "gjournal":
            struct.pack_into("<I", self.sb, 1312, struct.unpack_from("<I", self.sb, 1312)[0] | 0x40)
        self.put_super()

    def shrink(self, path):
        """Give the file's last fragment back; it must have two at least."""
        d = self.find(path)
        a, n = self.runs(d)[1][-1]
        c, i = a // self.fpg, (a + n - 1) % self.fpg
        size = d["size"] - ((d["size"] - 1) % self.fsize + 1)
        raw = bytearray(d["raw"])
        struct.pack_into("<Q", raw, 16 if self.v2 else 8, size)
        struct.pack_into("<Q" if self.v2 else "<I", raw, 24 if self.v2 else 104, d["blocks"] - self.fsize // 512)
        if self.ck & 4:
            struct.pack_into("<I", raw, 244, self.hashed(raw, 244))
        self.write(self.inode_at(d["n"]), raw)
        g = self.group(c)
        u = lambda o: struct.unpack_from("<I", g, o)[0]
        bit = lambda k: g[u(96) + k // 8] >> k % 8 & 1
        after = 0
        while (i + 1 + after) % self.frag and bit(i + 1 + after):
            after += 1
        if after:
            struct.pack_into("<I", g, 52 + 4 * after, u(52 + 4 * after) - 1)
        struct.pack_into("<I", g, 52 + 4 * (after + 1), u(52 + 4 * (after + 1)) + 1)
        g[u(96) + i // 8] |= 1 << i % 8
        struct.pack_into("<I", g, 36, u(36) + 1)
        if self.ck & 2:
            struct.pack_into("<I", g, 132, self.hashed(g, 132))
        self.put_group(c, g)
        self.write(self.csaddr * self.fsize + 16 * c, bytes(g[24:40]))
        struct.pack_into("<q", self.sb, 1032, struct.unpack_from("<q", self.sb, 1032)[0] + 1)
        if not self.v2:
            struct.pack_into("<I", self.sb, 204, struct.unpack_from("<I", self.sb, 204)[0] + 1)
        self.put_super()

    def fill(self, path):
        """As another file would: the rest of the last block is in use."""
        a, n = self.runs(self.find(path))[1][-1]
        c = a // self.fpg
        g = self.group(c)
        for k in range(n, self.frag - a % self.frag):
            i = a % self.fpg + k
            at = struct.unpack_from("<I", g, 96)[0] + i // 8
            g[at] &= ~(1 << i % 8) & 255
        self.put_group(c, g)


def main():
    what, image, offset = sys.argv[1:4]
    u = Ufs(image, int(offset))
    if what == "check":
        bad = u.check()
        print("\n".join(bad) or "sound")
        sys.exit(bool(bad))
    elif what == "seal":
        u.seal()
    elif what == "cat":
        sys.stdout.buffer.write(u.contents(u.find(sys.argv[4])))
    elif what == "ls":
        for name, _ in u.entries(u.find(sys.argv[4])):
            print(name)
    elif what == "mark":
        u.mark(sys.argv[4])
    elif what == "shrink":
        u.shrink(sys.argv[4])
    elif what == "fill":
        u.fill(sys.argv[4])


if __name__ == "__main__":
    main()
