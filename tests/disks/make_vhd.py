#!/usr/bin/env python3
# make_vhd.py DIR - makes VHD and VHDX files, sound, odd and hostile, and
# DIR/index, one line for each:
#
#   NAME read SIZE SHA256     reads as SIZE bytes with that content
#   NAME refuse ID            refused with that error id, exit status 3
#   NAME blocked ID           likewise, exit status 4
#   NAME clean                `disk check` finds nothing
#   NAME told ID OFFSET       `disk check` tells that problem, there, and no
#                             other; it reads all the same (also a line "read")
#
# Independent of the code under test: written from the format's documents.
# SPDX-License-Identifier: LGPL-2.1-or-later
import hashlib
import random
import struct
import sys

SECTOR = 512
NONE = 0xffffffff


# --- VHD ---------------------------------------------------------------------
def vhd_sum(data, at):
    data = bytearray(data)
    data[at:at + 4] = bytes(4)
    return ~sum(data) & 0xffffffff


def geometry(size):
    total = min(size // SECTOR, 65535 * 16 * 255)
    if total >= 65535 * 16 * 63:
        spt, heads, tracks = 255, 16, total // 255
    else:
        spt, tracks = 17, total // 17
        heads = max((tracks + 1023) // 1024, 4)
        if tracks >= heads * 1024 or heads > 16:
            spt, heads, tracks = 31, 16, total // 31
        if tracks >= heads * 1024:
            spt, heads, tracks = 63, 16, total // 63
    return tracks // heads, heads, spt


def footer(size, kind=3, creator=b"win ", header=512, chs=None, version=0x10000,
           saved=0, good=True, cookie=b"conectix", made=0x000a0000,
           uuid=bytes(range(1, 17))):
    c, h, s = chs or geometry(size)
    f = bytearray(512)
    struct.pack_into(">8sIIQI4sI4sQQHBBI", f, 0, cookie, 2, version,
                     header if kind != 2 else 0xffffffffffffffff, 0, creator,
                     made, b"Wi2k", size, size, c, h, s, kind)
    f[68:84] = uuid
    f[84] = saved
    struct.pack_into(">I", f, 64, vhd_sum(f, 64) ^ (0 if good else 1))
    return bytes(f)


def header(entries, block, table=1536, version=0x10000, good=True,
           cookie=b"cxsparse", parent=None):
    h = bytearray(1024)
    struct.pack_into(">8sQQIII", h, 0, cookie, 0xffffffffffffffff, table,
                     version, entries, block)
    if parent:
        h[40:56] = parent
    struct.pack_into(">I", h, 36, vhd_sum(h, 36) ^ (0 if good else 1))
    return bytes(h)


def up(n, unit):
    return (n + unit - 1) // unit * unit


class Vhd:
    """A dynamic VHD; `disk` is its content, `present` the blocks stored."""

    def __init__(self, size, block=2 << 20, seed=0, order=None, every=2):
        r = random.Random(seed)
        self.size, self.block = size, block
        self.count = (size + block - 1) // block
        self.bitmap = up(max(block // SECTOR // 8, 1), SECTOR)
        self.disk = bytearray(size)
        self.present = [i for i in range(self.count) if i % every == 0]
        for i in self.present:
            for _ in range(4):
                n = r.choice((512, 4096, 20000))
                at = i * block + r.randrange(block)
                n = max(0, min(n, size - at, (i + 1) * block - at))
                self.disk[at:at + n] = r.randbytes(n)
        if order:
            order(self.present)
        self.entries, self.table, self.head = self.count, 1536, 512
        self.footer, self.header = {}, {}
        self.bats = {}      # entry: sector, instead of the true one
        self.bits = {}      # block: bitmap, instead of all ones
        self.junk = {}      # block: bytes there, instead of the disk's
        self.gap = 0        # sectors between blocks
        self.cut = 0        # bytes taken off the end
        self.tail = self.copy = True  # footers are there
        self.batmap = None  # or what is special about it
        self.room = {}      # block: bytes left free in front of it

    def bytes(self):
        first = up(max(self.table + self.entries * 4, self.head + 1024), SECTOR)
        if self.table >= 1 << 20:
            first = 4096
        out, bat = {}, [NONE] * self.entries
        if self.batmap is not None:
            out.update(self.map(first))
            first += 1024
        at = first
        for i in self.present:
            at += self.gap * SECTOR + self.room.get(i, 0)
            bat[i] = at // SECTOR
            data = bytes(self.disk[i * self.block:(i + 1) * self.block])
            data = self.junk.get(i, data).ljust(self.block, b"\0")
            bits = self.bits.get(i, b"\xff" * self.bitmap)
            out[at] = bits.ljust(self.bitmap, b"\0") + data
            at += self.bitmap + self.block
        for i, sector in self.bats.items():
            bat[i] = sector
        foot = footer(self.size, **{"header": self.head, **self.footer})
        if self.copy:
            out[0] = foot if self.copy is True else self.copy
        out[self.head] = header(self.entries, self.block,
                                **{"table": self.table, **self.header})
        out[self.table] = struct.pack(">%dI" % len(bat), *bat)
        end = max(p + len(b) for p, b in out.items())
        image = bytearray(up(end, SECTOR))
        for p, b in out.items():
            image[p:p + len(b)] = b
        if self.tail:
            image += foot if self.tail is True else self.tail
        return bytes(image[:len(image) - self.cut])

    def map(self, at):
        b = {"cookie": b"tdbatmap", "at": at + 512, "sectors": 1,
             "version": 0x10002, "full": self.present, "good": True,
             **self.batmap}
        bits = bytearray(512)
        for i in b["full"]:
            bits[i // 8] |= 0x80 >> i % 8
        h = struct.pack(">8sQIII", b["cookie"], b["at"], b["sectors"],
                        b["version"],
                        ~sum(bits) & 0xffffffff ^ (0 if b["good"] else 1))
        return {at: h.ljust(512, b"\0") + bits}


def bent(raw, where, at, data):
    """A field of the "footer" (both) or "header", the sums made right."""
    raw = bytearray(raw)
    head = struct.unpack_from(">Q", raw, len(raw) - 512 + 16)[0]
    places = [head] if where == "header" else [len(raw) - 512]
    if where == "footer" and raw[:8] == b"conectix":
        places.append(0)
    size, seal = (1024, 36) if where == "header" else (512, 64)
    for p in places:
        raw[p + at:p + at + len(data)] = data
        struct.pack_into(">I", raw, p + seal, vhd_sum(raw[p:p + size], seal))
    return bytes(raw)


# --- VHDX --------------------------------------------------------------------
def crc32c(data):
    crc = 0xffffffff
    for b in data:
        crc = crc >> 8 ^ TABLE[(crc ^ b) & 255]
    return crc ^ 0xffffffff


TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
    TABLE.append(n)


def guid(text):
    a, b, c, d, e = text.split("-")
    return struct.pack("<IHH", int(a, 16), int(b, 16), int(c, 16)) + \
        bytes.fromhex(d + e)


BAT = guid("2DC27766-F623-4200-9D64-115E9BFD4A08")
METADATA = guid("8B7CA206-4790-4B9A-B8FE-575F050F886E")
PARAMETERS = guid("CAA16737-FA36-4D43-B3B6-33F0AA44E76B")
DISK_SIZE = guid("2FA54224-CD1B-4876-B211-5DBED83BF4B8")
LOGICAL = guid("8141BF1D-A96F-4709-BA47-F233A8FAAB5F")
DISK_ID = guid("BECA12AB-B2E6-4523-93EF-C309E000C746")
PARENT = guid("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C")
PHYSICAL = guid("CDA348C7-445D-4471-9CC9-E9885251C556")
MIB = 1 << 20


def sealed(data, good=True):
    data = bytearray(data)
    data[4:8] = bytes(4)
    struct.pack_into("<I", data, 4, crc32c(data) ^ (0 if good else 1))
    return bytes(data)


class Vhdx:
    def __init__(self, size, block=MIB, sector=512, seed=0, every=2):
        r = random.Random(seed)
        self.size, self.block, self.sector = size, block, sector
        self.ratio = (1 << 23) * sector // block
        self.count = (size + block - 1) // block
        self.disk = bytearray(size)
        self.states = {}
        for i in range(0, self.count, every):
            self.states[i] = 6
            at = i * block + r.randrange(max(1, min(block, size - i * block)))
            n = min(9000, size - at, (i + 1) * block - at)
            self.disk[at:at + n] = r.randbytes(n)
        self.order = list
        self.sequence = (5, 6)
        self.good_head, self.good_regions = (True, True), (True, True)
        self.log_guid, self.log_offset, self.log = bytes(16), MIB, b""
        self.version, self.flags = 1, 0
        self.bat_offset, self.bat_size = 3 * MIB, MIB
        self.metadata_offset = 2 * MIB
        self.regions = []   # more entries: (guid, offset, length, required)
        self.items = None   # instead of the true ones
        self.offsets = {}   # block: file offset
        self.region_count = None

    def bytes(self):
        out = {0: b"vhdxfile".ljust(64 * 1024, b"\0")}
        for i in range(2):
            h = bytearray(4096)
            struct.pack_into("<4sIQ16s16s16sHHIQ", h, 0, b"head", 0,
                             self.sequence[i], b"w" * 16, b"d" * 16,
                             self.log_guid if i else bytes(16), 0,
                             self.version, MIB, self.log_offset)
            out[(64 << 10) * (i + 1)] = sealed(h, self.good_head[i])
        entries = [(BAT, self.bat_offset, self.bat_size, 1),
                   (METADATA, self.metadata_offset, MIB, 1)] + self.regions
        t = bytearray(64 * 1024)
        struct.pack_into("<4sIII", t, 0, b"regi", 0,
                         self.region_count or len(entries), 0)
        for i, e in enumerate(entries):
            struct.pack_into("<16sQII", t, 16 + 32 * i, *e)
        for i in range(2):
            out[(192 << 10) + (64 << 10) * i] = sealed(t, self.good_regions[i])
        out[MIB] = self.log.ljust(MIB, b"\0")
        out[self.metadata_offset] = self.metadata()
        at, bat = max(self.bat_offset + self.bat_size, 4 * MIB), {}
        for i in self.order(sorted(self.states)):
            if self.states[i] != 6:
                bat[i] = self.states[i]
                continue
            bat[i] = self.offsets.get(i, at) | 6
            out[at] = bytes(
                self.disk[i * self.block:(i + 1) * self.block]).ljust(
                    self.block, b"\0")
            at += self.block
        table = bytearray(self.bat_size)
        for i, e in bat.items():
            struct.pack_into("<Q", table, (i + i // self.ratio) * 8, e)
        out[self.bat_offset] = bytes(table)
        end = max(p + len(b) for p, b in out.items())
        image = bytearray(end)
        for p, b in sorted(out.items()):
            image[p:p + len(b)] = b
        return bytes(image)

    def metadata(self):
        items = self.items or [
            (PARAMETERS, struct.pack("<II", self.block, self.flags)),
            (DISK_SIZE, struct.pack("<Q", self.size)),
            (LOGICAL, struct.pack("<I", self.sector)),
            (PHYSICAL, struct.pack("<I", 4096)),
            (DISK_ID, bytes(range(1, 17)))]
        m = bytearray(MIB)
        struct.pack_into("<8sHH", m, 0, b"metadata", 0, len(items))
        at = 64 * 1024
        for i, item in enumerate(items):
            key, data = item[:2]
            where = item[2] if len(item) > 2 else at
            struct.pack_into("<16sIII", m, 32 + 32 * i, key, where, len(data),
                             4 | 2)
            if where + len(data) <= MIB:
                m[where:where + len(data)] = data
            at += 64
        return bytes(m)


# --- the cases ---------------------------------------------------------------
folder = sys.argv[1]
index = open(folder + "/index", "w")


def put(name, data, *expect):
    zeros = bytes(65536)
    with open("%s/%s" % (folder, name), "wb") as f:
        f.truncate(len(data))
        for at in range(0, len(data), 65536):
            if data[at:at + 65536] != zeros[:len(data) - at]:
                f.seek(at)
                f.write(data[at:at + 65536])
    print(name, *expect, file=index)


def good(name, data, disk, size=None):
    disk = bytes(disk[:size])
    put(name, data, "read", len(disk), hashlib.sha256(disk).hexdigest())


def refuse(name, data, error="", blocked=False):
    put(name, data, "blocked" if blocked else "refuse", error)


def told(name, data, disk, problem, at):
    good(name, data, disk)
    print(name, "told", problem, "0x%x" % at, file=index)


def clean(name):
    print(name, "clean", file=index)


def vhd(name, change=None, error=None, blocked=False, size=9 << 20, **kw):
    v = Vhd(size, **kw)
    if change:
        change(v)
    if error:
        refuse(name + ".vhd", v.bytes(), error, blocked)
    else:
        good(name + ".vhd", v.bytes(), v.disk)
    return v


def setter(**values):
    def change(v):
        for key, value in values.items():
            setattr(v, key, value)
    return change


# Sound ones.
vhd("plain")
vhd("size-odd", size=(5 << 20) + 1536)
vhd("one-sector", size=512)
vhd("block-4k", size=300 * 512, block=4096)
vhd("block-64k", size=3 << 20, block=65536)
vhd("block-512k", size=3 << 20, block=512 << 10)
vhd("block-8m", size=20 << 20, block=8 << 20)
vhd("backwards", setter(), order=lambda p: p.reverse(), every=1)
vhd("gaps", setter(gap=7))
vhd("empty", setter(present=[], disk=bytearray(9 << 20)))
vhd("table-longer", setter(entries=70))
vhd("no-copy", setter(copy=b"\xee" * 512))
vhd("no-footer", setter(tail=b"\xee" * 512))
vhd("footer-cut", setter(tail=False))
vhd("saved-state", setter(footer={"saved": 1}))
vhd("header-elsewhere", setter(head=4096, table=8192))
vhd("header-behind-table", setter(head=4096, table=1024))
for creator in (b"win ", b"qem2", b"d2v ", b"CTXS", b"tap\0", b"vbox"):
    vhd("creator-" + creator.decode().strip(" \0"),
        setter(footer={"creator": creator}))


def bitmap(v):
    # Sectors that were never written hold junk: they read as zeros.
    bits = bytearray(b"\xff" * v.bitmap)
    block = bytearray(v.disk[:v.block])
    junk = bytearray(block)
    for s in (0, 1, 9, 77, 1000, 4095):
        bits[s // 8] &= ~(0x80 >> s % 8)
        junk[s * 512:(s + 1) * 512] = b"J" * 512
        v.disk[s * 512:(s + 1) * 512] = bytes(512)
    v.bits[0], v.junk[0] = bytes(bits), bytes(junk)
    # A block of which no sector was ever written.
    v.bits[2], v.junk[2] = bytes(v.bitmap), b"J" * v.block
    v.disk[2 * v.block:3 * v.block] = bytes(v.block)


vhd("bitmap", bitmap)
for creator in (b"zzzz", b"gofr", b"vpc\0", b"w2ru"):  # unknown: none loses its tail
    vhd("creator-" + creator.hex(), setter(footer={"creator": creator}))
for creator in (b"vpc ", b"qemu"):
    v = Vhd(9 << 20)
    v.footer = {"creator": creator}
    c, h, s = geometry(v.size)
    good("chs-%s.vhd" % creator.decode().strip(), v.bytes(), v.disk,
         c * h * s * 512)
v = Vhd(9 << 20)
v.footer = {"creator": b"d2v\0", "chs": (65535, 16, 255)}
good("chs-most.vhd", v.bytes(), v.disk)
v = Vhd(7 << 20)
good("fixed.vhd", bytes(v.disk) + footer(v.size, kind=2), v.disk)
v = Vhd((1 << 20) + 512)
good("fixed-odd.vhd", bytes(v.disk) + footer(v.size, kind=2), v.disk)
v = Vhd(9 << 20)
c, h, s = geometry(v.size)
good("fixed-length.vhd",  # as long as the footer says: that settles it
     bytes(v.disk) + footer(v.size, kind=2, creator=b"vpc "), v.disk)
good("fixed-chs.vhd",
     bytes(v.disk[:c * h * s * 512]) + footer(v.size, kind=2, creator=b"vpc "),
     v.disk, c * h * s * 512)
v.footer = {"chs": (0, 0, 0)}
good("no-geometry.vhd", v.bytes(), v.disk)
v.footer = {"chs": (0, 0, 0), "creator": b"vpc "}
good("no-geometry-vpc.vhd", v.bytes(), v.disk)
# Virtual PC before 2004: the footer at the end has 511 bytes.
v = Vhd(9 << 20)
v.cut = 1
good("footer-511.vhd", v.bytes(), v.disk)
good("fixed-511.vhd", bytes(v.disk) + footer(v.size, kind=2)[:511], v.disk)


# Differencing: a sector whose bit is set is here, any other is the parent's.
class Child(Vhd):
    def __init__(self, parent, name, uuid, seed, size=None, every=2):
        super().__init__(size or parent.size, seed=seed, every=every)
        self.uuid, self.parent_uuid = uuid, parent.uuid
        self.locator = name.encode("utf-16-le")
        self.name = name
        r = random.Random(seed)
        for i in self.present:
            bits = bytearray(r.randbytes(self.bitmap))
            bits[9:200] = b"\xff" * 191
            bits[200:300] = bytes(100)
            self.bits[i] = bytes(bits)
        whole = bytearray(parent.disk.ljust(self.size, b"\0")[:self.size])
        for i in self.present:
            for s in range(self.block // 512):
                if self.bits[i][s // 8] & 0x80 >> s % 8:
                    at = i * self.block + s * 512
                    whole[at:at + 512] = self.disk[at:at + 512]
        self.own, self.whole = self.disk, whole
        self.footer = {"kind": 4, "uuid": uuid}

    def bytes(self):
        self.disk, self.table = self.own, 2048  # the locator's path in front
        raw = bytearray(super().bytes())
        self.disk = self.whole[:self.size]
        raw[1536:1536 + len(self.locator)] = self.locator
        h = bytearray(raw[512:1536])
        h[40:56] = self.parent_uuid
        name = self.name.encode("utf-16-be")
        h[64:64 + len(name)] = name
        struct.pack_into(">4sIIIQ", h, 576, b"W2ru", 512, len(self.locator), 0,
                         1536)
        struct.pack_into(">I", h, 36, vhd_sum(h, 36))
        raw[512:1536] = h
        return bytes(raw)


base = Vhd(9 << 20, seed=11)
base.uuid = b"b" * 16
base.footer = {"uuid": base.uuid}
good("base.vhd", base.bytes(), base.disk)
child = Child(base, "C:\\vms\\base.vhd", b"c" * 16, 12)
good("child.vhd", child.bytes(), child.whole)
clean("child.vhd")
grand = Child(child, ".\\child.vhd", b"d" * 16, 13, size=13 << 20, every=3)
good("grandchild.vhd", grand.bytes(), grand.whole)
odd = Child(base, "../elsewhere/gone.vhd", b"e" * 16, 14)
odd.locator = "..\\base.vhd".encode("utf-16-le")
good("child-by-locator.vhd", odd.bytes(), odd.whole)
fixed = bytes(base.disk) + footer(base.size, kind=2, uuid=b"f" * 16)
good("base-fixed.vhd", fixed, base.disk)
base.uuid = b"f" * 16
good("child-of-fixed.vhd", Child(base, "base-fixed.vhd", b"g" * 16, 15).bytes(),
     Child(base, "", b"", 15).whole)
refuse("x-child-alone.vhd", Child(base, "gone.vhd", b"h" * 16, 12).bytes(),
       "DISK_PARENT")
refuse("x-child-of-another.vhd", Child(base, "base.vhd", b"h" * 16, 12).bytes(),
       "DISK_PARENT")
base.uuid = b"i" * 16
refuse("x-child-of-itself.vhd",
       Child(base, "x-child-of-itself.vhd", b"i" * 16, 12).bytes(), "DISK_PARENT")
refuse("x-child-of-a-path.vhd", Child(base, "a\x07.vhd", b"i" * 16, 12).bytes(),
       "")

# What a check tells.
for name in ("plain", "size-odd", "one-sector", "block-4k", "block-8m", "gaps",
             "backwards", "empty", "table-longer", "header-elsewhere",
             "header-behind-table", "creator-win", "creator-vbox", "chs-most",
             "fixed", "fixed-odd"):
    clean(name + ".vhd")


def says(name, problem, at, change=None, field=None, **kw):
    """`at`: from the end when negative; `field`: to bend."""
    v = Vhd(10 << 20, **kw)
    if change:
        change(v)
    raw = v.bytes()
    if field:
        raw = bent(raw, *field)
    told(name + ".vhd", raw, v.disk, problem, at if at >= 0 else len(raw) + at)


BLOCK = 512 + (2 << 20)
says("t-copy-bad", "VHD-FOOTER", 0, setter(copy=b"\xee" * 512))
says("t-footer-bad", "VHD-FOOTER", -512, setter(tail=b"\xee" * 512))
says("t-copy-differs", "VHD-FOOTER", 67,  # the sum
     setter(copy=bent(b"\0" * 512 + footer(10 << 20), "footer", 70, b"!")[512:]))
says("t-features", "VHD-FIELDS", 8 - 512, field=("footer", 8, b"\0\0\0\0"))
says("t-features-more", "VHD-FIELDS", 8 - 512,
     field=("footer", 8, b"\0\0\0\x12"))
says("t-hidden", "VHD-FIELDS", 84 - 512, field=("footer", 85, b"\7"))
says("t-reserved", "VHD-FIELDS", 300 - 512, field=("footer", 300, b"x"))
says("t-geometry", "VHD-FIELDS", 56 - 512,
     setter(footer={"chs": (20000, 16, 63)}))
says("t-header-data", "VHD-FIELDS", 512 + 8, field=("header", 8, bytes(8)))
says("t-header-parent", "VHD-FIELDS", 512 + 44, field=("header", 44, b"p"))
says("t-header-name", "VHD-FIELDS", 512 + 65, field=("header", 64, b"\0c" * 9))
says("t-header-locator", "VHD-FIELDS", 512 + 576, field=("header", 576, b"W2ku"))
says("t-header-reserved", "VHD-FIELDS", 512 + 1000, field=("header", 1000, b"x"))
says("t-bitmap", "VHD-BITMAP", 2048 + 512, bitmap)
v = Vhd(9 << 20)
v.bits[2] = b"\0" + b"\xff" * 511
v.disk[4 << 20:(4 << 20) + 8 * 512] = bytes(8 * 512)
good("bitmap-zeros.vhd", v.bytes(), v.disk)
clean("bitmap-zeros.vhd")
says("t-room", "VHD-SPACE", 2048 + BLOCK, lambda v: v.room.update({2: BLOCK}))
says("t-room-last", "VHD-SPACE", 2048 + 2 * BLOCK, lambda v: (
    v.bats.update({4: NONE}),
    v.disk.__setitem__(slice(8 << 20, 10 << 20), bytes(2 << 20))))
says("t-behind", "VHD-SPACE", 2048 + BLOCK, lambda v: (
    setattr(v, "entries", 70), v.room.update({2: BLOCK}),
    v.bats.update({69: (2048 + BLOCK) // SECTOR})))
v = Vhd(7 << 20)
told("t-fixed-more.vhd", bytes(v.disk) + bytes(1024) + footer(v.size, kind=2),
     v.disk, "VHD-SPACE", 7 << 20)
told("t-fixed-header.vhd",
     bytes(v.disk) + bent(bytes(512) + footer(v.size, kind=2), "footer", 16,
                          bytes(8))[512:],
     v.disk, "VHD-FIELDS", (7 << 20) + 16)


def tap(name, told_at, change=None, **batmap):
    v = Vhd(10 << 20)
    v.footer, v.batmap = {"creator": b"tap\0", "made": 0x10003}, batmap
    if change:
        change(v)
    if told_at is None:
        good(name + ".vhd", v.bytes(), v.disk)
        clean(name + ".vhd")
    else:
        told(name + ".vhd", v.bytes(), v.disk, "VHD-BATMAP", told_at)


FIRST = 3072  # of the blocks, behind a batmap
tap("batmap", None)
tap("batmap-old", None, version=0x10001, good=False)
tap("t-batmap-mark", 2048, cookie=b"tdbatmaq")
tap("t-batmap-sum", 2048, good=False)
tap("t-batmap-none", 2048, sectors=0)
tap("t-batmap-huge", 2048, sectors=0xffffffff)
tap("t-batmap-past-end", 2048, at=1 << 40)
tap("t-batmap-top", 2048, at=0xfffffffffffffe00)
tap("t-batmap-unaligned", 2048, at=2561)
tap("t-batmap-absent", 2560, full=[0, 1, 2, 4])
tap("t-batmap-bent", FIRST + BLOCK, lambda v: (
    v.bits.update({2: b"\xff" * 511 + b"\xfe"}),
    v.disk.__setitem__(slice((6 << 20) - 512, 6 << 20), bytes(512))))
tap("t-batmap-on-block", FIRST, at=FIRST + 4096 * 130, version=0x10001)
v = Vhd(9 << 20)
v.footer = {"creator": b"tap\0"}
told("t-batmap-gone.vhd", v.bytes(), v.disk, "VHD-BATMAP", 2048)

# Hostile ones.
vhd("x-no-footers", setter(copy=b"\xee" * 512, tail=False),
    "DISK_FORMAT_UNKNOWN")
vhd("x-no-sums", setter(footer={"good": False}), "VHD_FOOTER")
vhd("x-version", setter(footer={"version": 0x20000}), "VHD_VERSION")
vhd("x-type", setter(footer={"kind": 5}), "VHD_FOOTER")
vhd("x-differencing", setter(footer={"kind": 4}), "DISK_PARENT")
vhd("x-footers-differ", setter(copy=footer(8 << 20)), "VHD_FOOTER")
vhd("x-footers-type", setter(copy=footer(9 << 20, kind=2)), "VHD_FOOTER")
vhd("x-header-mark", setter(header={"cookie": b"cxsparsf"}), "VHD_HEADER")
vhd("x-header-sum", setter(header={"good": False}), "VHD_HEADER")
vhd("x-header-version", setter(header={"version": 0x20000}), "VHD_VERSION")
for name, at in (("past-end", 1 << 40), ("top", 0xfffffffffffffe00),
                 ("unaligned", 513), ("on-copy", 0)):
    vhd("x-header-" + name, setter(footer={"header": at}), "VHD_HEADER")
for name, at in (("past-end", 1 << 40), ("top", 0xfffffffffffffe00),
                 ("unaligned", 1537)):
    vhd("x-table-" + name, setter(header={"table": at}), "VHD_TABLE")
vhd("x-table-on-header", setter(header={"table": 512}), "VHD_TABLE")
vhd("x-table-on-copy", setter(header={"table": 0}), "VHD_TABLE")
for name, block in (("0", 0), ("odd", 3 << 20), ("512", 512),
                    ("2g", 1 << 31)):
    v = Vhd(9 << 20)
    raw = bytearray(v.bytes())
    raw[512:1536] = header(v.entries, block)
    refuse("x-block-%s.vhd" % name, raw, "VHD_HEADER")
for name, entries, error in (("short", 2, "VHD_TABLE"),
                             ("most", 0xffffffff, "VHD_TABLE"),
                             ("many", 0x800000, "VHD_TABLE")):
    v = Vhd(9 << 20)
    raw = bytearray(v.bytes())
    raw[512:1536] = header(entries, v.block)
    refuse("x-entries-%s.vhd" % name, raw, error)
for name, sector in (("past-end", 0x1000000), ("top", 0xfffffffe),
                     ("on-copy", 0), ("on-header", 1), ("on-table", 3)):
    vhd("x-bat-" + name, setter(bats={1: sector}), "VHD_BLOCK")
vhd("x-bat-twice", lambda v: v.bats.update({1: 4}), "VHD_BLOCK")
vhd("x-bat-overlap", lambda v: v.bats.update({1: 5}), "VHD_BLOCK")
vhd("x-bat-behind", setter(entries=70, bats={69: 0x1000000}), "VHD_BLOCK")
vhd("x-cut", setter(cut=(1 << 20) + 512), "VHD_BLOCK")
for name, size in (("0", 0), ("most", 0xfffffffffffffe00),
                   ("2040g", (2040 << 30) + 512)):
    v = Vhd(9 << 20)
    v.footer, v.size = {"chs": (65535, 16, 255)}, size
    refuse("x-size-%s.vhd" % name, v.bytes(), "VHD_SIZE")
refuse("x-fixed-short.vhd", bytes(5 << 20) + footer(6 << 20, kind=2),
       "VHD_SIZE")
refuse("x-fixed-most.vhd",
       bytes(5 << 20) + footer(0xfffffffffffffe00, kind=2), "VHD_SIZE")
refuse("x-only-copy.vhd", footer(1 << 20), "VHD_FOOTER")


# VHDX: sound ones.
def vhdx(name, change=None, error=None, blocked=False, size=9 << 20, **kw):
    v = Vhdx(size, **kw)
    if change:
        change(v)
    if error:
        refuse(name + ".vhdx", v.bytes(), error, blocked)
    else:
        good(name + ".vhdx", v.bytes(), v.disk)


vhdx("plain")
vhdx("size-odd", size=(5 << 20) + 1536)
vhdx("one-sector", size=512)
vhdx("block-4m", block=4 << 20)
vhdx("block-256m", size=20 << 20, block=256 << 20, every=1)
vhdx("sectors-4k", sector=4096)
vhdx("ratio", lambda v: v.states.update({5: 3, 7: 2, 1: 1, 3: 0}),
     size=12 << 20)
vhdx("backwards", setter(order=lambda p: list(reversed(p))), every=1)
vhdx("header-1-bad", setter(good_head=(False, True)))
vhdx("header-2-bad", setter(good_head=(True, False)))
vhdx("header-1-newer", setter(sequence=(9, 2), log_guid=b"g" * 16,
                              log=b"loge" + bytes(28) + b"g" * 16))
vhdx("regions-1-bad", setter(good_regions=(False, True)))
vhdx("log-guid-empty", setter(log_guid=b"g" * 16))
vhdx("log-other", setter(log_guid=b"g" * 16,
                         log=b"loge" + bytes(28) + b"h" * 16))
vhdx("region-unknown", setter(regions=[(b"r" * 16, 2 * MIB, MIB, 0)]))



# VHDX: a log to be applied.
GUID = b"g" * 16


def entry(sequence, tail, writes, size, good=True, last=None, flushed=None):
    """`writes`: (offset, 4096 bytes) or (offset, length of zeros)"""
    data = [w for w in writes if not isinstance(w[1], int)]
    lead = up(64 + 32 * len(writes), 4096)
    e = bytearray(lead + 4096 * len(data))
    struct.pack_into("<4sIIIQII16sQQ", e, 0, b"loge", 0, len(e), tail, sequence,
                     len(writes), 0, GUID, flushed or size, last or size)
    k = lead
    for i, (at, what) in enumerate(writes):
        if isinstance(what, int):
            struct.pack_into("<4sIQQQ", e, 64 + 32 * i, b"zero", 0, what, at,
                             sequence)
            continue
        struct.pack_into("<4s4s8sQQ", e, 64 + 32 * i, b"desc", what[4092:],
                         what[:8], at, sequence)
        struct.pack_into("<4sI4084sI", e, k, b"data", sequence >> 32,
                         what[8:4092], sequence & 0xffffffff)
        k += 4096
    return sealed(e, good)


def logged(name, make, read=True, size=9 << 20):
    """`make(size of the file)` gives the log's bytes and a change of the disk."""
    v = Vhdx(size)
    v.log_guid = GUID
    log, change = make(len(v.bytes()))
    v.log = log
    raw = v.bytes()
    if not read:
        refuse(name + ".vhdx", raw, "VHDX_LOG", True)
        return
    change(v.disk)
    told(name + ".vhdx", raw, v.disk, "VHDX-LOG", MIB)


def at_ring(*pieces):
    ring = bytearray(MIB)
    for at, data in pieces:
        for i in range(0, len(data), 4096):
            ring[(at + i) % MIB:(at + i) % MIB + 4096] = data[i:i + 4096]
    return bytes(ring)


def page(seed):
    return random.Random(seed).randbytes(4096)


FIRST_BLOCK = 4 * MIB  # block 0 of the disk lies there


def put_page(at, data):
    return lambda disk: disk.__setitem__(slice(at, at + len(data)), data)


logged("log-one", lambda n: (
    at_ring((0, entry(7, 0, [(FIRST_BLOCK + 8192, page(1))], n))),
    put_page(8192, page(1))))
logged("log-last-word", lambda n: (  # the later entry, and zeros behind it
    at_ring((0, entry(7, 0, [(FIRST_BLOCK, page(1)), (FIRST_BLOCK + 8192, page(2))], n)),
            (12288, entry(8, 0, [(FIRST_BLOCK, page(3)), (FIRST_BLOCK + 8192, 4096),
                                 (FIRST_BLOCK + 65536, 16384)], n))),
    lambda disk: (put_page(0, page(3))(disk), put_page(8192, bytes(4096))(disk),
                  put_page(65536, bytes(16384))(disk))))
logged("log-wraps", lambda n: (
    at_ring((MIB - 4096, entry(9, MIB - 4096, [(FIRST_BLOCK, page(4))], n))),
    put_page(0, page(4))))
logged("log-old-entries", lambda n: (  # of an earlier round: not applied
    at_ring((0, entry(20, 0, [(FIRST_BLOCK, page(5))], n)),
            (8192, entry(3, 8192, [(FIRST_BLOCK, page(6))], n)),
            (65536, entry(19, 65536, [(FIRST_BLOCK + 4096, page(6))], n))),
    put_page(0, page(5))))
logged("log-tail-moved", lambda n: (  # the first one is done
    at_ring((0, entry(7, 0, [(FIRST_BLOCK, page(1))], n)),
            (8192, entry(8, 8192, [(FIRST_BLOCK + 4096, page(2))], n))),
    put_page(4096, page(2))))
logged("log-torn-end", lambda n: (  # what was being written when it stopped
    at_ring((0, entry(7, 0, [(FIRST_BLOCK, page(1))], n)),
            (8192, entry(8, 0, [(FIRST_BLOCK, page(2))], n, good=False))),
    put_page(0, page(1))))
logged("log-grows", lambda n: (
    at_ring((0, entry(7, 0, [(FIRST_BLOCK, page(1))], n, last=n + MIB))),
    put_page(0, page(1))))
logged("x-log-cut", lambda n: (
    at_ring((0, entry(7, 0, [(FIRST_BLOCK, page(1))], n, flushed=n + MIB))), None), False)
logged("x-log-outside", lambda n: (
    at_ring((0, entry(7, 0, [(n + MIB, page(1))], n))), None), False)
logged("x-log-far", lambda n: (
    at_ring((0, entry(7, 0, [(0xfffffffffffff000, page(1))], n))), None), False)
logged("x-log-zeros", lambda n: (
    at_ring((0, entry(7, 0, [(FIRST_BLOCK, 1 << 63)], n))), None), False)
logged("x-log-sum", lambda n: (
    at_ring((0, entry(7, 0, [(FIRST_BLOCK, page(1))], n, good=False))), None), False)
logged("x-log-tail", lambda n: (
    at_ring((0, entry(7, 65536, [(FIRST_BLOCK, page(1))], n))), None), False)


# VHDX: differencing disks.
class ChildX(Vhdx):
    def __init__(self, parent, path, linkage, seed, size=None, states=None):
        super().__init__(size or parent.size, seed=seed)
        self.flags = 2
        self.states = states or {0: 6, 1: 7, 2: 2, 3: 3, 4: 7, 5: 1}
        self.bitmap_at = 64 * MIB
        r = random.Random(seed)
        self.own = bytearray(r.randbytes(self.size))
        bits = bytearray(MIB)
        for i, state in self.states.items():
            if state == 7:
                at = i * (self.block // self.sector // 8)
                bits[at:at + 256] = r.randbytes(100) + bytes(56) + b"\xff" * 100
        self.bits = bits
        self.whole = bytearray(parent.disk.ljust(self.size, b"\0"))
        for i in range(self.count):
            state = self.states.get(i, 0)
            for s in range(self.block // self.sector):
                at = i * self.block + s * self.sector
                here = slice(at, min(at + self.sector, self.size))
                bit = i * (self.block // self.sector) + s
                if state == 6 or (state == 7 and bits[bit // 8] >> bit % 8 & 1):
                    self.whole[here] = self.own[here]
                elif state in (1, 2, 3):
                    self.whole[here] = bytes(here.stop - here.start)
        pairs = [("parent_linkage", "{%s}" % linkage), ("relative_path", path)]
        texts, table, at = b"", b"", 20 + 12 * len(pairs)
        for key, value in pairs:
            k, v = key.encode("utf-16-le"), value.encode("utf-16-le")
            table += struct.pack("<IIHH", at + len(texts),
                                 at + len(texts) + len(k), len(k), len(v))
            texts += k + v
        self.locator = b"l" * 16 + struct.pack("<HH", 0, len(pairs)) + table + texts
        self.items = [
            (PARAMETERS, struct.pack("<II", self.block, self.flags)),
            (DISK_SIZE, struct.pack("<Q", self.size)),
            (LOGICAL, struct.pack("<I", self.sector)),
            (PHYSICAL, struct.pack("<I", 4096)),
            (DISK_ID, bytes(range(1, 17))), (PARENT, self.locator)]

    def bytes(self):
        states, self.disk = self.states, self.own
        self.states = {i: 6 if s == 7 else s for i, s in states.items()}
        raw = bytearray(super().bytes())
        self.states, self.disk = states, self.whole
        bat = self.bat_offset
        for i, s in states.items():
            if s == 7:
                raw[bat + 8 * i] |= 7
        if 7 in states.values():
            at = up(len(raw), MIB)
            raw = raw.ljust(at, b"\0") + self.bits
            struct.pack_into("<Q", raw, bat + 8 * self.ratio,
                             self.offsets.get("bitmap", at) | 6)
        return bytes(raw)


LINK = "64646464-6464-6464-6464-646464646464"  # what Vhdx has in its headers
base = Vhdx(9 << 20, seed=21)
good("base.vhdx", base.bytes(), base.disk)
child = ChildX(base, ".\\base.vhdx", LINK, 22)
good("child.vhdx", child.bytes(), child.whole)
clean("child.vhdx")
grand = ChildX(child, "C:\\elsewhere\\child.vhdx", LINK, 23, size=12 << 20,
               states={0: 7, 2: 7, 10: 6})
grand.whole = grand.whole
good("grandchild.vhdx", grand.bytes(), grand.whole)
refuse("x-child-alone.vhdx", ChildX(base, "gone.vhdx", LINK, 22).bytes(),
       "DISK_PARENT")
refuse("x-child-of-another.vhdx",
       ChildX(base, "base.vhdx", LINK.replace("64", "65"), 22).bytes(),
       "DISK_PARENT")
refuse("x-child-of-itself.vhdx",
       ChildX(base, "x-child-of-itself.vhdx", LINK, 22).bytes(), "DISK_PARENT")
for name, at in (("past-end", 1 << 40), ("zero", 0), ("on-block", 4 * MIB)):
    v = ChildX(base, "base.vhdx", LINK, 22)
    v.offsets["bitmap"] = at
    refuse("x-sectors-%s.vhdx" % name, v.bytes(), "VHDX_BLOCK")

# VHDX: what a check tells.
for name in ("plain", "size-odd", "one-sector", "block-4m", "block-256m",
             "ratio", "backwards", "log-guid-empty", "log-other"):
    clean(name + ".vhdx")
HEAD, REGIONS, META, ITEMS, TABLE_AT = (
    64 << 10, 192 << 10, 2 * MIB, 2 * MIB + (64 << 10), 3 * MIB)


def xsays(name, problem, at, change=None, poke=None, size=9 << 20, **kw):
    """`poke`: (place, bytes under its sum or 0, offset, data)"""
    v = Vhdx(size, **kw)
    if change:
        change(v)
    raw = bytearray(v.bytes())
    if poke:
        place, under, offset, data = poke
        raw[place + offset:place + offset + len(data)] = data
        if under:
            raw[place:place + under] = sealed(raw[place:place + under])
    told(name + ".vhdx", bytes(raw), v.disk, problem, at)


def items(**other):
    def change(v):
        v.items = [(key, data) for key, data in (
            (PARAMETERS, struct.pack("<II", v.block, other.get("flags", 0))),
            (DISK_SIZE, struct.pack("<Q", v.size)),
            (LOGICAL, struct.pack("<I", v.sector)),
            (PHYSICAL, struct.pack("<I", other.get("physical", 4096))),
            (DISK_ID, other.get("id", b"i" * 16)),
            (PARENT, other.get("parent"))) if data]
    return change


xsays("t-header-1-bad", "VHDX-HEADER", HEAD, setter(good_head=(False, True)))
xsays("t-header-2-bad", "VHDX-HEADER", 2 * HEAD, setter(good_head=(True, False)))
xsays("t-headers-even", "VHDX-HEADER", HEAD,
      setter(sequence=(5, 5), log_guid=b"g" * 16))
xsays("t-regions-1-bad", "VHDX-HEADER", REGIONS,
      setter(good_regions=(False, True)))
xsays("t-regions-2-bad", "VHDX-HEADER", REGIONS + HEAD,
      setter(good_regions=(True, False)))
xsays("t-regions-differ", "VHDX-HEADER", 0x100,
      poke=(REGIONS + HEAD, 64 << 10, 0x100, b"x"))
xsays("t-log-version", "VHDX-FIELDS", 2 * HEAD + 64,
      poke=(2 * HEAD, 4096, 64, b"\1"))
xsays("t-header-reserved", "VHDX-FIELDS", 2 * HEAD + 100,
      poke=(2 * HEAD, 4096, 100, b"\1"))
for name, at, length in (("on-metadata", 2 * MIB, MIB), ("top", 1 << 63, MIB),
                         ("long", 4 * MIB, 0xfff00000), ("odd", 4096, 4096)):
    xsays("t-region-" + name, "VHDX-FIELDS", REGIONS + 16 + 64,
          setter(regions=[(b"r" * 16, at, length, 0)]))
xsays("t-item-overlap", "VHDX-FIELDS", META + 32 * 5,
      poke=(META, 0, 32 * 5 + 16, struct.pack("<I", (64 << 10) + 64)))
xsays("t-item-unknown", "VHDX-FIELDS", META + 32 * 6, lambda v: (
    items(parent=b"p")(v), v.items.__setitem__(5, (b"u" * 16, b"p"))),
    poke=(META, 0, 32 * 6 + 16, struct.pack("<III", 1 << 31, 8, 0)))
xsays("t-no-id", "VHDX-FIELDS", META, items(id=None))
xsays("t-parent", "VHDX-FIELDS", ITEMS + 64 * 5, items(parent=b"p" * 20))
xsays("t-parameters", "VHDX-FIELDS", ITEMS + 4, items(flags=8))
xsays("t-physical", "VHDX-FIELDS", ITEMS + 64 * 3, items(physical=777))
xsays("t-bat-reserved", "VHDX-FIELDS", TABLE_AT + 8,
      poke=(TABLE_AT, 0, 8, b"\x10"))
xsays("t-bat-bitmap", "VHDX-FIELDS", TABLE_AT + 4096 * 8,
      poke=(TABLE_AT, 0, 4096 * 8, struct.pack("<Q", 5 * MIB | 6)))
xsays("t-bat-behind", "VHDX-SPACE", TABLE_AT + 9 * 8,
      poke=(TABLE_AT, 0, 9 * 8, struct.pack("<Q", 5 * MIB | 6)))
v = Vhdx(9 << 20)
raw = bytearray(v.bytes())
raw[TABLE_AT + 16:TABLE_AT + 24] = bytes(8)     # where block 2 is forgotten
v.disk[2 * MIB:3 * MIB] = bytes(MIB)
told("t-room.vhdx", bytes(raw), v.disk, "VHDX-SPACE", 5 * MIB)

# VHDX: hostile ones.
vhdx("x-log", setter(log_guid=b"g" * 16,
                     log=b"loge" + bytes(28) + b"g" * 16), "VHDX_LOG", True)
vhdx("x-headers", setter(good_head=(False, False)), "VHDX_HEADER")
vhdx("x-version", setter(version=2), "VHDX_HEADER")
vhdx("x-log-past-end", setter(log_offset=1 << 40), "VHDX_HEADER")
vhdx("x-log-top", setter(log_offset=0xfffffffffff00000), "VHDX_HEADER")
vhdx("x-regions", setter(good_regions=(False, False)), "VHDX_REGION")
vhdx("x-regions-count", setter(region_count=2048), "VHDX_REGION")
vhdx("x-region-required", setter(regions=[(b"r" * 16, 2 * MIB, MIB, 1)]),
     "DISK_UNSUPPORTED", True)
vhdx("x-region-twice", setter(regions=[(BAT, 2 * MIB, MIB, 1)]), "VHDX_REGION")
for name, at, length in (("unaligned", 5 * MIB + 4096, MIB),
                         ("low", 64 << 10, MIB), ("past-end", 1 << 40, MIB),
                         ("wraps", 0xfffffffffff00000, MIB),
                         ("long", 4 * MIB, 0xfff00000), ("odd", 4 * MIB, 1000),
                         ("empty", 4 * MIB, 0)):
    v = Vhdx(9 << 20)
    raw = bytearray(v.bytes())
    for t in (192 << 10, 256 << 10):  # the block table's entry is the first
        struct.pack_into("<QI", raw, t + 32, at, length)
        raw[t:t + (64 << 10)] = sealed(raw[t:t + (64 << 10)])
    refuse("x-region-%s.vhdx" % name, raw, "VHDX_REGION")
v = Vhdx(9 << 20)
raw = bytearray(v.bytes())
for t in (192 << 10, 256 << 10):
    struct.pack_into("<I", raw, t + 8, 0)
    raw[t:t + (64 << 10)] = sealed(raw[t:t + (64 << 10)])
refuse("x-regions-none.vhdx", raw, "VHDX_REGION")
for name, at, data in (("mark", 0, b"metadatb"), ("count", 10, b"\xff\xff"),
                       ("item-low", 32 + 16, struct.pack("<I", 32)),
                       ("item-unknown", 32, b"q" * 16)):
    v = Vhdx(9 << 20)
    raw = bytearray(v.bytes())
    raw[2 * MIB + at:2 * MIB + at + len(data)] = data
    if name == "item-unknown":
        refuse("x-metadata-%s.vhdx" % name, raw, "DISK_UNSUPPORTED", True)
    else:
        refuse("x-metadata-%s.vhdx" % name, raw, "VHDX_METADATA")
vhdx("x-regions-overlap", lambda v: setattr(v, "log_offset", 3 * MIB),
     "VHDX_REGION")
vhdx("x-differencing", setter(flags=2), "DISK_PARENT")
for name, key, data, error in (
        ("size-0", DISK_SIZE, struct.pack("<Q", 0), "VHDX_METADATA"),
        ("size-most", DISK_SIZE, struct.pack("<Q", 0xfffffffffffffe00),
         "VHDX_METADATA"),
        ("size-odd", DISK_SIZE, struct.pack("<Q", 1000001), "VHDX_METADATA"),
        ("size-64t", DISK_SIZE, struct.pack("<Q", 64 << 40), "VHDX_REGION"),
        ("block-0", PARAMETERS, struct.pack("<II", 0, 0), "VHDX_METADATA"),
        ("block-odd", PARAMETERS, struct.pack("<II", 3 << 20, 0),
         "VHDX_METADATA"),
        ("sector-1k", LOGICAL, struct.pack("<I", 1024), "VHDX_METADATA"),
        ("item-long", LOGICAL, struct.pack("<Q", 512), "VHDX_METADATA")):
    v = Vhdx(9 << 20)
    base = {PARAMETERS: struct.pack("<II", v.block, 0),
            DISK_SIZE: struct.pack("<Q", v.size),
            LOGICAL: struct.pack("<I", 512)}
    base[key] = data
    v.items = list(base.items())
    refuse("x-%s.vhdx" % name, v.bytes(), error)
v = Vhdx(9 << 20)
v.items = [(PARAMETERS, struct.pack("<II", v.block, 0)),
           (DISK_SIZE, struct.pack("<Q", v.size))]
refuse("x-item-missing.vhdx", v.bytes(), "VHDX_METADATA")
v.items += [(DISK_SIZE, struct.pack("<Q", 4096)),
            (LOGICAL, struct.pack("<I", 512))]
refuse("x-item-twice.vhdx", v.bytes(), "VHDX_METADATA")
v.items = [(PARAMETERS, struct.pack("<II", v.block, 0), 0xfffffff8),
           (DISK_SIZE, struct.pack("<Q", v.size)),
           (LOGICAL, struct.pack("<I", 512))]
refuse("x-item-past-end.vhdx", v.bytes(), "VHDX_METADATA")
for name, at in (("past-end", 1 << 40), ("top", 0xfffffffffff00000),
                 ("zero", 0), ("on-log", MIB), ("on-metadata", 2 * MIB),
                 ("on-bat", 3 * MIB), ("on-block", 4 * MIB)):
    vhdx("x-bat-" + name, setter(offsets={2: at}), "VHDX_BLOCK")
for state in (4, 5, 7):
    vhdx("x-state-%d" % state, lambda v: v.states.update({3: state}),
         "VHDX_BLOCK")
refuse("x-short.vhdx", b"vhdxfile".ljust(4096, b"\0"), "VHDX_HEADER")
v = Vhdx(9 << 20)
refuse("x-cut.vhdx", v.bytes()[:-(1 << 20) + 512], "VHDX_BLOCK")
index.close()
