#!/usr/bin/env python3
"""make_qcow2.py - odd and hostile qcow2 files, for testing a reader.

  make_qcow2.py list                  names, what is expected, what each is for
  make_qcow2.py make DIR [NAME...]    write DIR/NAME/disk.qcow2 (and what it
                                      names) and DIR/manifest.tsv:
                                      name, expect, size, sha256 of the content

expect: "accept" (exactly that content), "refuse" (a clear error, no output).
Python's standard library only (zstd cases are qemu-img's to make).  The same
bytes every time.
"""
# SPDX-License-Identifier: LGPL-2.1-or-later

import argparse
import hashlib
import os
import struct
import sys
import zlib

COPIED, COMPRESSED, ZERO = 1 << 63, 1 << 62, 1


def noise(seed, n):
    return hashlib.shake_128(b"%d" % seed).digest(n)


def text(seed, n):
    line = b"cluster %d of a disk that compresses well\n" % seed
    return (line * (n // len(line) + 1))[:n]


class Image:
    """A qcow2 file in the making; every number can be bent before bytes()."""

    def __init__(self, bits=16, size=None, version=3, entry=8):
        self.bits, self.cluster, self.version = bits, 1 << bits, version
        self.size = size if size is not None else 10 * self.cluster + 1536
        self.entry = entry
        self.per_l2 = self.cluster // entry
        reach = self.cluster * self.per_l2
        self.l1_size = -(-self.size // reach)
        self.content = bytearray(self.size) if self.size < 1 << 26 else None
        self.l1, self.l2 = {}, {}           # index -> entry; index -> {i: e}
        self.file = {}                      # cluster -> bytes
        self.next = 0
        self.header_at = self.take(b"")
        self.reftable = self.take(b"")
        self.refblock = self.take(b"")
        l1_clusters = max(1, -(-self.l1_size * 8 // self.cluster))
        self.l1_at = self.take(b"", l1_clusters)
        self.fields, self.extensions = {}, b""
        self.backing = b""
        self.incompatible = self.compatible = self.autoclear = 0
        self.header_length = 104
        self.compression = None
        self.after = None                   # last word on the bytes
        self.siblings = {}
        self.pack_at = None

    def take(self, data, n=1):
        """n clusters at the end of the file; their first byte's place"""
        at = self.next * self.cluster
        for i in range(n):
            self.file[self.next + i] = data[i * self.cluster:
                                            (i + 1) * self.cluster]
        self.next += n
        return at

    def table(self, number):
        index = number // self.per_l2
        if index not in self.l2:
            self.l2[index] = {}
            self.l1[index] = self.take(b"") | COPIED
        return self.l2[index]

    def put(self, number, entry, bitmap=0):
        self.table(number)[number % self.per_l2] = (entry, bitmap)

    def show(self, number, data):
        if self.content is not None:
            at = number * self.cluster
            self.content[at:at + len(data)] = data[:self.size - at]

    def data(self, number, data=None, bitmap=0xffffffff):
        data = noise(number, self.cluster) if data is None else data
        self.table(number)
        at = self.take(data)
        self.put(number, at | COPIED, bitmap if self.entry == 16 else 0)
        self.show(number, data)
        return at

    def zero(self, number, keep_place=False):
        self.table(number)
        at = self.take(noise(99, self.cluster)) if keep_place else 0
        self.put(number, at | ZERO | (COPIED if at else 0))

    def packed(self, number, data=None, stream=None, shared=True, wbits=-12):
        """a compressed cluster, packed behind the one before if shared"""
        data = text(number, self.cluster) if data is None else data
        if stream is None:
            c = zlib.compressobj(9, zlib.DEFLATED, wbits)
            stream = c.compress(data) + c.flush()
        self.table(number)
        last = self.next - 1
        if (self.pack_at is None or not shared or
                self.pack_at // self.cluster != last or
                self.pack_at % self.cluster + len(stream) > self.cluster):
            self.pack_at = self.take(b"")
        at, cluster = self.pack_at, self.pack_at // self.cluster
        had = self.file[cluster].ljust(at % self.cluster, b"\0")
        self.file[cluster] = had + stream
        self.pack_at = at + len(stream)
        self.put(number, self.packed_entry(at, len(stream)))
        self.show(number, data)
        return at

    def packed_entry(self, at, n):
        shift = 62 - (self.bits - 8)
        sectors = (at + n - 1) // 512 - at // 512
        return COMPRESSED | sectors << shift | at

    def header(self):
        f = dict(magic=0x514649fb, version=self.version, backing_at=0,
                 backing_size=0, bits=self.bits, size=self.size, crypt=0,
                 l1_size=self.l1_size, l1=self.l1_at, reftable=self.reftable,
                 reftable_clusters=1, snapshots=0, snapshots_at=0)
        length = 72 if self.version == 2 else self.header_length
        if self.backing:
            f["backing_at"] = length + len(self.extensions) + 8
            f["backing_size"] = len(self.backing)
        f.update(self.fields)
        h = struct.pack(">IIQIIQIIQQIIQ", *f.values())
        if self.version != 2:
            h += struct.pack(">QQQII", self.incompatible, self.compatible,
                             self.autoclear, 4, self.header_length)
        if self.compression is not None:
            h = h.ljust(104, b"\0") + bytes([self.compression])
        h = h[:length].ljust(length, b"\0") if length < 4096 else h
        return h + self.extensions + bytes(8) + self.backing

    def bytes(self):
        for index, table in self.l2.items():
            cluster = (self.l1[index] & ~COPIED) // self.cluster
            raw = bytearray(self.cluster)
            for i, (entry, bitmap) in table.items():
                struct.pack_into(">Q", raw, i * self.entry, entry)
                if self.entry == 16:
                    struct.pack_into(">Q", raw, i * 16 + 8, bitmap)
            self.file.setdefault(cluster, b"")
            self.file[cluster] = bytes(raw)
        out = bytearray()
        for i in range(self.next):
            out += self.file[i][:self.cluster].ljust(self.cluster, b"\0")
        out[:len(self.header())] = self.header()
        for index, entry in self.l1.items():
            struct.pack_into(">Q", out, self.l1_at + index * 8, entry)
        struct.pack_into(">Q", out, self.reftable, self.refblock)
        for i in range(min(self.next, self.cluster // 2)):
            struct.pack_into(">H", out, self.refblock + i * 2, 1)
        return bytes(self.after(out) if self.after else out)


def extension(kind, data):
    return struct.pack(">II", kind, len(data)) + data.ljust(
        -(-len(data) // 8) * 8, b"\0")


def usual(**options):
    """some of everything: the image that most cases bend"""
    i = Image(**options)
    i.data(0)
    i.data(3)
    i.packed(4)
    i.packed(5)
    i.zero(6)
    i.data(10)
    return i


CASES = {}


def case(expect):
    def add(fn):
        CASES[fn.__name__.replace("_", "-")] = (expect, fn)
        return fn
    return add


# --- to be read ----------------------------------------------------------------

@case("accept")
def v3():
    """some of everything"""
    return usual()


@case("accept")
def v2():
    """version 2: bytes 72 to 103 are extensions, not features"""
    i = Image(version=2)
    i.extensions = extension(0xe2792aca, b"")
    i.data(1)
    i.packed(2)
    return i


@case("accept")
def cluster_512():
    """the smallest clusters"""
    i = Image(bits=9, size=200 * 512)
    for n in (0, 1, 64, 65, 130, 199):
        i.data(n)
    i.packed(131)
    return i


@case("accept")
def cluster_2m():
    """the largest clusters"""
    return usual(bits=21, size=21 * (1 << 20))


@case("accept")
def backwards():
    """data lies in the file in the opposite order"""
    i = Image()
    for n in reversed(range(11)):
        i.data(n)
    return i


@case("accept")
def zero_with_place():
    """a zero cluster that keeps its place hides what lies there"""
    i = usual()
    i.zero(1, keep_place=True)
    return i


@case("accept")
def long_header():
    """header_length 112, compression type zlib, unknown extensions"""
    i = usual()
    i.header_length, i.compression = 112, 0
    i.extensions = extension(0x12345678, b"not known") + extension(
        0x6803f857, bytes(48) + bytes(48))
    return i


@case("accept")
def unknown_compatible():
    """compatible and autoclear bits that nobody knows do not matter"""
    i = usual()
    i.compatible, i.autoclear = 1 << 40, 1 << 50
    return i


@case("accept")
def large_l1():
    """more L1 entries than the size needs"""
    i = usual()
    i.l1_size += 100
    return i


@case("accept")
def short_end():
    """the file ends with the last byte of the disk, within a cluster"""
    i = usual()
    at = i.data(10)
    i.after = lambda b: b[:at + 1536]
    return i


@case("accept")
def packed_end():
    """the last compressed stream ends within the file's last sector"""
    i = usual()
    at = i.packed(7, shared=False)
    n = len(i.file[at // i.cluster])
    i.after = lambda b: b[:at + n]
    return i


@case("accept")
def packed_apart():
    """compressed clusters at every kind of place"""
    i = Image()
    for n in range(10):
        i.packed(n, data=text(n, 65536 - 3000) + noise(n, 3000))
    return i


@case("accept")
def packed_stored():
    """a compressed cluster larger than a cluster (deflate's stored blocks)"""
    i = Image(bits=12)
    data = noise(7, 4096)
    c = zlib.compressobj(0, zlib.DEFLATED, -15)
    stream = c.compress(data) + c.flush()
    i.table(2)
    at = i.take(stream, 2)
    i.put(2, i.packed_entry(at, len(stream)))
    i.show(2, data)
    return i


@case("accept")
def dirty():
    """the dirty bit: readable"""
    i = usual()
    i.incompatible = 1
    return i


@case("accept")
def extended():
    """subclusters: data, zeros and nothing within one cluster"""
    i = Image(entry=16)
    i.incompatible = 1 << 4
    i.data(0)
    data = bytearray(noise(5, 65536))
    alloc, zeros = 0x0f0f00ff, 0x30f0ff00
    i.table(2)
    i.put(2, i.take(bytes(data)) | COPIED, alloc | zeros << 32)
    for s in range(32):
        if not alloc >> s & 1:
            data[s * 2048:(s + 1) * 2048] = bytes(2048)
    i.show(2, bytes(data))
    i.packed(3)
    i.put(4, 0, 0xffffffff << 32)
    return i


@case("accept")
def backing_inside():
    """a backing file in the same folder shows through the holes"""
    base = Image(size=8 * 65536)
    for n in range(8):
        base.data(n)
    i = Image()
    i.content[:base.size] = base.content
    i.data(2, noise(77, 65536))
    i.zero(3)
    i.show(3, bytes(65536))
    i.backing = b"base.qcow2"
    i.extensions = extension(0xe2792aca, b"qcow2")
    i.siblings["base.qcow2"] = base.bytes()
    return i


@case("accept")
def backing_raw():
    """a raw backing file, said to be raw, shorter than the disk"""
    base = noise(5, 3 * 65536 - 512)
    i = Image()
    i.content[:len(base)] = base
    i.data(1, noise(78, 65536))
    i.backing = b"base.img"
    i.extensions = extension(0xe2792aca, b"raw")
    i.siblings["base.img"] = base
    return i


# --- to be refused: headers ------------------------------------------------------

def bent(name, about, **fields):
    def make():
        i = usual()
        i.fields.update(fields)
        return i
    make.__name__, make.__doc__ = name, about
    case("refuse")(make)


bent("x_version_1", "the old qcow", version=1)
bent("x_version_4", "a version that does not exist", version=4)
bent("x_cluster_bits_8", "clusters below a sector", bits=8)
bent("x_cluster_bits_22", "clusters above 2 MiB", bits=22)
bent("x_cluster_bits_63", "a shift that overflows", bits=63)
bent("x_cluster_bits_wide", "a shift beyond any integer", bits=0xffffffff)
bent("x_size_0", "a disk without bytes", size=0)
bent("x_size_odd", "a size that is no number of sectors", size=655361)
bent("x_size_2_63", "a size beyond signed integers", size=1 << 63)
bent("x_size_all_ones", "a size that overflows", size=(1 << 64) - 1)
bent("x_size_max", "a size whose L1 cannot be", size=(1 << 63) - 512)
bent("x_size_beyond_l1", "a size that the L1 cannot map", size=1 << 40)
bent("x_size_1e", "1 EiB with an L1 that claims to fit", size=1 << 60,
     l1_size=1 << 31)
bent("x_l1_size_max", "an L1 of 2^32 entries", l1_size=0xffffffff)
bent("x_l1_size_0", "no L1 for a disk that needs one", l1_size=0)
bent("x_l1_at_0", "an L1 on the header", l1=0)
bent("x_l1_unaligned", "an L1 within a cluster", l1=3 * 65536 + 512)
bent("x_l1_past_end", "an L1 past the end", l1=1 << 40)
bent("x_l1_wraps", "an L1 whose end wraps around", l1=(1 << 64) - 65536)
bent("x_l1_on_reftable", "the L1 is the refcount table", l1=65536)
bent("x_crypt_aes", "encrypted, the old way", crypt=1)
bent("x_crypt_luks", "encrypted, LUKS", crypt=2)
bent("x_crypt_unknown", "encrypted, nobody knows how", crypt=7)
bent("x_backing_name_far", "a backing name outside the header",
     backing_at=1 << 30, backing_size=10)
bent("x_backing_name_long", "a backing name of 4 GiB",
     backing_at=200, backing_size=0xffffffff)
bent("x_backing_name_wraps", "a backing name whose end wraps around",
     backing_at=(1 << 64) - 4, backing_size=8)
bent("x_backing_empty", "a backing file without a name",
     backing_at=200, backing_size=0)


def bits_set(name, about, **attributes):
    def make():
        i = usual()
        for key, value in attributes.items():
            setattr(i, key, value)
        return i
    make.__name__, make.__doc__ = name, about
    case("refuse")(make)


bits_set("x_corrupt", "marked as corrupt", incompatible=2)
bits_set("x_external_bit", "the data is elsewhere", incompatible=4)
bits_set("x_external_name", "an external data file without the bit",
         extensions=extension(0x44415441, b"/etc/passwd"))
bits_set("x_external_both", "an external data file of the host",
         incompatible=4, extensions=extension(0x44415441, b"/etc/passwd"))
bits_set("x_unknown_feature", "a feature of the future", incompatible=1 << 5)
bits_set("x_unknown_high", "another one", incompatible=1 << 63)
bits_set("x_header_short", "a version 3 header of 72 bytes", header_length=72)
bits_set("x_header_odd", "a header of 105 bytes", header_length=105)
bits_set("x_header_huge", "a header of 4 GiB", header_length=0xfffffff8)
bits_set("x_compression_unsaid", "zstd without its bit",
         header_length=112, compression=1)
bits_set("x_compression_bit", "the bit without a type",
         header_length=112, compression=0, incompatible=8)
bits_set("x_compression_unknown", "compression type 9",
         header_length=112, compression=9, incompatible=8)
bits_set("x_extension_long", "an extension longer than the header",
         extensions=struct.pack(">II", 0x1234, 0x7fffffff))
bits_set("x_backing_host", "a file of the host as backing file",
         backing=b"/etc/passwd", extensions=extension(0xe2792aca, b"raw"))
bits_set("x_backing_up", "a backing file above the folder",
         backing=b"../secret.img", extensions=extension(0xe2792aca, b"raw"))
bits_set("x_backing_json", "QEMU's pseudo names", backing=b'json:{"driver":'
         b'"file","filename":"/etc/passwd"}')
bits_set("x_backing_url", "a backing file on the network",
         backing=b"nbd://localhost/x")
bits_set("x_backing_missing", "a backing file that is not there",
         backing=b"gone.qcow2")
bits_set("x_backing_self", "a backing file that is the file",
         backing=b"disk.qcow2", extensions=extension(0xe2792aca, b"qcow2"))


@case("refuse")
def x_backing_guess():
    """a raw backing file that is not said to be raw must not be guessed"""
    i = usual()
    i.backing = b"base.img"
    i.siblings["base.img"] = noise(1, 65536)
    return i


@case("refuse")
def x_backing_loop():
    """two files that are each other's backing file"""
    i, other = usual(), usual()
    i.backing, other.backing = b"other.qcow2", b"disk.qcow2"
    i.siblings["other.qcow2"] = other.bytes()
    return i


@case("refuse")
def x_backing_chain():
    """a chain of a hundred backing files"""
    i = usual()
    i.backing = b"0"
    for n in range(100):
        below = Image(size=65536)
        below.backing = b"%d" % (n + 1)
        i.siblings["%d" % n] = below.bytes()
    return i


def beside(name, about, make):
    def fn():
        i = usual()
        i.backing = b"base.img"
        i.extensions = extension(0xe2792aca, b"raw")
        i.siblings["base.img"] = make
        return i
    fn.__name__, fn.__doc__ = name, about
    case("refuse")(fn)


beside("x_backing_link", "a backing file that is a link to the host's",
       lambda path: os.symlink("/etc/passwd", path))
beside("x_backing_fifo", "a backing file that is a named pipe", os.mkfifo)
beside("x_backing_folder", "a backing file that is a folder", os.mkdir)
bits_set("x_backing_nul", "a NUL byte in a backing file's name",
         backing=b"disk.qcow2\0.img")
bits_set("x_backing_control", "a newline in a backing file's name",
         backing=b"disk\n.qcow2")


@case("refuse")
def x_backing_broken():
    """a backing file that is refused itself"""
    i = usual()
    base = usual()
    base.fields["l1"] = 1 << 40
    i.backing = b"base.qcow2"
    i.siblings["base.qcow2"] = base.bytes()
    return i


@case("refuse")
def x_refcount_order():
    """refcounts of 2^7 bits"""
    i = usual()

    def bend(b):
        struct.pack_into(">I", b, 96, 7)
        return b
    i.after = bend
    return i


@case("refuse")
def x_extended_small():
    """extended L2 with clusters too small for it"""
    i = usual(bits=12)
    i.incompatible = 1 << 4
    return i


# --- to be refused: tables ---------------------------------------------------------

def tables(fn):
    def make():
        i = usual()
        fn(i)
        return i
    make.__name__, make.__doc__ = fn.__name__, fn.__doc__
    return case("refuse")(make)


@tables
def x_l2_past_end(i):
    """an L2 table past the end"""
    i.after = lambda b: poke(b, i.l1_at, 1 << 40 | COPIED)


@tables
def x_l2_unaligned(i):
    """an L2 table within a cluster"""
    i.after = lambda b: poke(b, i.l1_at, (i.l1[0] + 512))


@tables
def x_l2_on_header(i):
    """an L1 entry with bits but no place"""
    i.after = lambda b: poke(b, i.l1_at, COPIED)


@tables
def x_l2_is_l1(i):
    """the L1 table as its own L2"""
    i.after = lambda b: poke(b, i.l1_at, i.l1_at | COPIED)


@tables
def x_l1_reserved(i):
    """reserved bits in L1"""
    i.after = lambda b: poke(b, i.l1_at, i.l1[0] | 1 << 60)


@tables
def x_data_past_end(i):
    """data past the end"""
    i.put(1, 1 << 40 | COPIED)


@tables
def x_data_wraps(i):
    """data at the largest place there is"""
    i.put(1, 0x00fffffffffe0000 | COPIED)


@tables
def x_data_unaligned(i):
    """data within a cluster"""
    i.put(1, (i.data(2) + 1024) | COPIED)


@tables
def x_data_on_l1(i):
    """data on the L1 table"""
    i.put(1, i.l1_at | COPIED)


@tables
def x_data_on_l2(i):
    """data on its own L2 table"""
    i.put(1, (i.l1[0] & ~COPIED) | COPIED)


@tables
def x_data_on_refcounts(i):
    """data on the refcount table"""
    i.put(1, i.reftable | COPIED)


@tables
def x_data_twice(i):
    """two entries on one cluster"""
    i.put(1, i.data(2) | COPIED)


@tables
def x_data_on_packed(i):
    """plain data on a cluster of packed data"""
    i.put(1, i.packed(2, shared=False) // 65536 * 65536 | COPIED)


@tables
def x_packed_on_header(i):
    """packed data within the header's cluster"""
    i.put(1, i.packed_entry(100, 600))


@tables
def x_packed_on_l1(i):
    """packed data on the L1 table"""
    i.put(1, i.packed_entry(i.l1_at + 3, 600))


@tables
def x_packed_on_l2(i):
    """packed data on a table"""
    i.put(1, i.packed_entry(i.l1[0] & ~COPIED, 512))


@tables
def x_l2_reserved(i):
    """reserved bits in L2"""
    i.put(1, i.data(2) | 1 << 58)


@tables
def x_copied_hole(i):
    """a used bit without a place"""
    i.put(1, COPIED)


@tables
def x_cut_in_data(i):
    """the file is cut within its last cluster of data"""
    i.data(1)
    i.after = lambda b: b[:-4096]


@tables
def x_cut_in_header(i):
    """the file is cut within the header"""
    i.after = lambda b: b[:90]


@tables
def x_cut_in_l1(i):
    """the file is cut in front of its L1"""
    i.after = lambda b: b[:i.l1_at + 4]


@tables
def x_packed_past_end(i):
    """packed data past the end"""
    i.put(1, i.packed_entry(1 << 40, 600))


@tables
def x_packed_runs_out(i):
    """packed data that goes on past the end"""
    i.put(1, i.packed_entry(i.take(text(1, 65536)) + 65024, 5000))


@tables
def x_packed_noise(i):
    """packed data that is no deflate stream"""
    i.packed(1, stream=b"\xff" * 600)


@tables
def x_packed_short(i):
    """packed data that expands to less than a cluster"""
    c = zlib.compressobj(9, zlib.DEFLATED, -12)
    i.packed(1, stream=c.compress(text(1, 65535)) + c.flush())


@tables
def x_packed_bomb(i):
    """packed data that expands to 64 MiB"""
    c = zlib.compressobj(9, zlib.DEFLATED, -12)
    stream = c.compress(bytes(1 << 26)) + c.flush()
    at = i.take(stream, 2)
    i.put(1, i.packed_entry(at, len(stream)))


@tables
def x_packed_endless(i):
    """packed data whose stream never ends"""
    c = zlib.compressobj(9, zlib.DEFLATED, -12)
    stream = c.compress(text(1, 65536)) + c.flush(zlib.Z_SYNC_FLUSH)
    i.packed(1, stream=stream)


@tables
def x_packed_zlib_head(i):
    """a zlib stream where raw deflate belongs"""
    i.packed(1, stream=zlib.compress(text(1, 65536)))


@case("refuse")
def x_v2_zero():
    """version 2 knows no zero clusters"""
    i = usual(version=2)
    return i


@case("refuse")
def x_one_l2_many():
    """a small file that claims 64 GiB: one L2 table for all of L1"""
    i = Image(size=64 << 30)
    i.data(0)
    i.after = lambda b: [poke(b, i.l1_at + n * 8, i.l1[0])
                         for n in range(i.l1_size)] and b
    return i


@case("refuse")
def x_one_cluster_many():
    """a small file that claims 512 MiB: one cluster for all of L2"""
    i = Image(size=512 << 20)
    at = i.data(0)
    for n in range(8192):
        i.put(n, at | COPIED)
    return i


@case("refuse")
def x_one_packed_many():
    """a small file that claims 512 MiB: one compressed cluster for all"""
    i = Image(size=512 << 20)
    i.packed(0)
    for n in range(8192):
        i.put(n, i.l2[0][0][0])
    return i


@case("refuse")
def x_packed_nested():
    """compressed clusters that begin within each other's bytes"""
    i = Image(size=512 << 20)
    data, stream = noise(3, 65535), b""
    for n in range(600):  # stored blocks: each stream is the end of the first
        stream += struct.pack("<BHH", 0, 0, 0xffff)
    stream += struct.pack("<BHH", 0, 65535, 0) + data
    stream += struct.pack("<BHH", 1, 1, 0xfffe) + b"z"
    i.table(0)
    at = i.take(stream, 2)
    for n in range(600):
        i.put(n, i.packed_entry(at + 5 * n, len(stream) - 5 * n))
    return i


@case("accept")
def packed_small():
    """many streams that expand as far as deflate can, side by side"""
    i = Image(size=1000 << 16)
    for n in range(1000):
        i.packed(n, data=bytes([n & 255]) * i.cluster)
    return i


@case("refuse")
def x_extended_both():
    """a subcluster that is data and zeros"""
    i = Image(entry=16)
    i.incompatible = 1 << 4
    i.data(0, bitmap=1 | 1 << 32)
    return i


@case("refuse")
def x_extended_no_place():
    """subclusters with data, and no place for it"""
    i = Image(entry=16)
    i.incompatible = 1 << 4
    i.put(0, 0, 0xff)
    return i


@case("refuse")
def x_extended_packed():
    """a compressed cluster with subclusters"""
    i = Image(entry=16)
    i.incompatible = 1 << 4
    i.packed(0)
    i.l2[0][0] = (i.l2[0][0][0], 5)
    return i


def poke(b, at, n):
    struct.pack_into(">Q", b, at, n)
    return b


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("what", choices=["list", "make"])
    p.add_argument("dir", nargs="?")
    p.add_argument("names", nargs="*")
    a = p.parse_args()
    if a.what == "list":
        for name, (expect, fn) in CASES.items():
            print("%-24s %-7s %s" % (name, expect, fn.__doc__))
        return
    if not a.dir:
        sys.exit("make needs a folder")
    os.makedirs(a.dir, exist_ok=True)
    with open(os.path.join(a.dir, "manifest.tsv"), "w") as manifest:
        for name in a.names or CASES:
            expect, fn = CASES[name]
            image = fn()
            folder = os.path.join(a.dir, name)
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, "disk.qcow2"), "wb") as f:
                f.write(image.bytes())
            for sibling, data in image.siblings.items():
                path = os.path.join(folder, sibling)
                if callable(data):
                    if not os.path.lexists(path):
                        data(path)
                    continue
                with open(path, "wb") as f:
                    f.write(data)
            digest = "-"
            if expect == "accept":
                digest = hashlib.sha256(image.content).hexdigest()
            print(name, expect, image.size, digest, sep="\t", file=manifest)


main()
