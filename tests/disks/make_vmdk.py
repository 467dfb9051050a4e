#!/usr/bin/env python3
"""make_vmdk.py - write valid and hostile VMDK files for testing a VMDK reader.

Python 3 standard library only.  Nothing is downloaded and nothing outside the
output folder is written.  The same arguments always give the same bytes (with
the same zlib build; the disk *content* never depends on zlib).

  make_vmdk.py list                          names, with what each one is for
  make_vmdk.py make NAME... --out DIR        write the named cases
  make_vmdk.py all --out DIR                 write every case
  make_vmdk.py verify --out DIR              check them with qemu-img (if present)
  make_vmdk.py seeds --out DIR               small files for the fuzzers, one for each kind

Options of make and all:
  --raw FILE     take the disk content from FILE (valid cases only)
  --seed N       seed of the pseudo-random content          (default 1)
  --size BYTES   virtual size, a multiple of 512            (default 8 MiB + 37 KiB)
  --only valid|hostile

Each case is a folder DIR/NAME/ holding disk.vmdk (what is given to the reader)
and whatever files it refers to.  DIR/manifest.json says for each case:

  expect   "accept": the reader must give exactly `size` bytes with `sha256`
           "refuse": the reader must stop with a clear error and no output
           "either": the reader may refuse, or give exactly size and sha256
                     (with a warning); anything else is wrong
  alt_size a second size that is right too, the disk filled up with zeros (stream-vbox:
           the header rounds the capacity up, the extent line has the true size)
  needs_seek  False: a reader that can only read forward must be able to read it
           (then both the forward and the seeking reader must agree)
"""

import argparse
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib

SECTOR = 512
MIB = 1 << 20
GD_AT_END = 0xFFFFFFFFFFFFFFFF
NO_PARENT = "ffffffff"

# SparseExtentHeader.flags
F_NEWLINE, F_RGD, F_ZEROGTE = 1 << 0, 1 << 1, 1 << 2
F_COMPRESSED, F_MARKERS = 1 << 16, 1 << 17
F_STREAM = F_NEWLINE | F_COMPRESSED | F_MARKERS

# marker types
M_EOS, M_GT, M_GD, M_FOOTER, M_PROGRESS = 0, 1, 2, 3, 4


def up(value, unit):
    """value rounded up to a multiple of unit"""
    return -(-value // unit) * unit


def pad(data, unit=SECTOR, fill=b"\0"):
    return data + fill * (up(len(data), unit) - len(data))


# --------------------------------------------------------------------------
# Disk content
# --------------------------------------------------------------------------

def keystream(seed, offset, length):
    """Incompressible bytes that depend on the position only (SHAKE-128 per 4 KiB)."""
    out = bytearray()
    page = offset // 4096
    while len(out) < length + offset % 4096:
        out += hashlib.shake_128(b"%d/%d" % (seed, page)).digest(4096)
        page += 1
    return bytes(out[offset % 4096:offset % 4096 + length])


def textstream(seed, offset, length):
    """Compressible bytes that depend on the position only."""
    line = 64
    first = offset // line
    count = length // line + 2
    out = b"".join((b"seed %d line %d " % (seed, first + i)).ljust(line - 1, b".") + b"\n"
                   for i in range(count))
    return out[offset % line:offset % line + length]


class Content:
    """The raw disk: a list of extents (start, length, kind); the rest is zero."""

    def __init__(self, size, extents, seed):
        assert size % SECTOR == 0
        self.size, self.extents, self.seed = size, extents, seed

    def read(self, offset, length):
        length = min(length, self.size - offset)
        out = None
        for start, run, kind in self.extents:
            lo, hi = max(start, offset), min(start + run, offset + length)
            if lo >= hi:
                continue
            if out is None:
                out = bytearray(length)
            make = keystream if kind == "random" else textstream
            out[lo - offset:hi - offset] = make(self.seed, lo, hi - lo)
        return bytes(out) if out is not None else bytes(length)

    def busy(self, offset, length):
        """False only where the range is certainly zero"""
        return any(start < offset + length and offset < start + run
                   for start, run, _ in self.extents)

    def without(self, start, run):
        """The same disk with one range set to zero"""
        kept = []
        for first, length, kind in self.extents:
            end = first + length
            if first < start:
                kept.append((first, min(end, start) - first, kind))
            if end > start + run:
                low = max(first, start + run)
                kept.append((low, end - low, kind))
        return Content(self.size, kept, self.seed)

    def grains(self, grain_bytes, skip_zero=True):
        """(number, data) of the grains that are not all zero, in disk order"""
        seen = set()
        for start, run, _ in sorted(self.extents):
            for number in range(start // grain_bytes, -(-(start + run) // grain_bytes)):
                if number in seen or number * grain_bytes >= self.size:
                    continue
                seen.add(number)
                data = self.read(number * grain_bytes, grain_bytes)
                if data.strip(b"\0") or not skip_zero:
                    yield number, data

    def sha256(self):
        digest, step = hashlib.sha256(), 16 * MIB
        zero = bytes(step)
        for offset in range(0, self.size, step):
            length = min(step, self.size - offset)
            digest.update(self.read(offset, length) if self.busy(offset, length)
                          else memoryview(zero)[:length])
        return digest.hexdigest()


class FileContent(Content):
    """The raw disk taken from a file (read sparsely: zero grains are found by looking)."""

    def __init__(self, path):
        size = os.path.getsize(path)
        if size % SECTOR:
            raise SystemExit("%s: size is not a multiple of 512" % path)
        self.file = open(path, "rb")
        super().__init__(size, [(0, size, "file")], 0)

    def read(self, offset, length):
        self.file.seek(offset)
        return self.file.read(min(length, self.size - offset))


def seeded(size, seed):
    """Content with every kind of extent: random, text, tiny, unaligned, at both ends."""
    extents = [(0, SECTOR, "text"), (3 * SECTOR, 2 * SECTOR, "random")]
    where, turn = 40 * 1024, 0
    while where < size - 256 * 1024:
        step = int.from_bytes(hashlib.sha256(b"%d:%d" % (seed, turn)).digest()[:4], "little")
        length = min(SECTOR * (1 + step % 300), size - where)
        extents.append((where, length, ("random", "text", "text")[step % 3]))
        where += length + SECTOR * (step // 7 % 900)
        turn += 1
        if turn > 400:                      # huge disks: a few hundred extents are enough
            break
    extents.append((max(0, size - 2 * SECTOR), 2 * SECTOR, "random"))
    return Content(size, [(start, min(run, size - start), kind)
                          for start, run, kind in extents if start < size], seed)


# --------------------------------------------------------------------------
# Building blocks of the format
# --------------------------------------------------------------------------

def header(capacity, flags=F_NEWLINE | F_RGD, version=1, grain=128, desc_off=1, desc_size=20,
           gtes=512, rgd=0, gd=0, overhead=128, unclean=0, check=b"\n \r\n", compress=0,
           magic=b"KDMV"):
    return pad(struct.pack("<4sIIQQQQIQQQB4sH", magic, version, flags, capacity, grain, desc_off,
                           desc_size, gtes, rgd, gd, overhead, unclean, check, compress))


def marker(kind, sectors, fill=0):
    """A metadata marker; fill = value of the padding that readers must ignore."""
    return struct.pack("<QII", sectors, 0, kind) + bytes([fill]) * 496


def grain_record(lba, data, level=6, fill=b"\0", size_field=None, packed=None):
    """Grain marker + zlib stream (RFC 1950, whatever the technote says) + sector padding."""
    body = zlib.compress(data, level) if packed is None else packed
    size = len(body) if size_field is None else size_field
    return pad(struct.pack("<QI", lba, size) + body, SECTOR, fill)


def descriptor(create_type, extents, parent_cid=NO_PARENT, cid="7a3b19c2", more="", ddb=None,
               eol="\n", ddb_title="# The Disk Data Base"):
    if ddb is None:
        ddb = [("adapterType", "lsilogic"), ("geometry.cylinders", "1"),
               ("geometry.heads", "255"), ("geometry.sectors", "63"), ("virtualHWVersion", "4")]
    lines = ["# Disk DescriptorFile", "version=1", "CID=" + cid, "parentCID=" + parent_cid,
             'createType="%s"' % create_type]
    lines += [more] if more else []
    lines += ["", "# Extent description"] + list(extents)
    lines += ["", ddb_title, "#DDB", ""] + ['ddb.%s = "%s"' % pair for pair in ddb]
    return (eol.join(lines) + eol).encode("utf-8")


def embed(text, sectors):
    assert len(text) <= sectors * SECTOR, "descriptor too long"
    return pad(text, sectors * SECTOR)


def table_bytes(entries):
    return pad(struct.pack("<%dI" % len(entries), *entries))


class Tables:
    """Grain directory + grain tables of one extent, filled with grain positions."""

    def __init__(self, capacity, grain=128, gtes=512):
        self.gtes = gtes
        self.count = -(-capacity // (grain * gtes))       # number of grain tables
        self.gt_sectors = up(gtes * 4, SECTOR) // SECTOR
        self.gd_sectors = up(self.count * 4, SECTOR) // SECTOR
        self.gt = {}                                       # table number -> list of entries

    def set(self, number, value):
        self.gt.setdefault(number // self.gtes, [0] * self.gtes)[number % self.gtes] = value

    def block(self, at, skip_empty=False):
        """GD and GTs laid out together from sector `at` (GD first)"""
        directory, tables, where = [], [], at + self.gd_sectors
        for number in range(self.count):
            entries = self.gt.get(number)
            if skip_empty and not entries:
                directory.append(0)
                continue
            directory.append(where)
            where += self.gt_sectors
            tables.append(table_bytes(entries or [0] * self.gtes))
        return table_bytes(directory) + b"".join(tables)

    def sectors(self):
        return self.gd_sectors + self.count * self.gt_sectors


# --------------------------------------------------------------------------
# Writers of whole extents
# --------------------------------------------------------------------------

def gather(grains, tab, start, level, grain, gtes):
    """Every grain from sector `start` on, tables left for later"""
    tab.gt.clear()
    body, where = [], start
    for number, data in grains:
        tab.set(number, where)
        body.append(grain_record(number * grain, data, level))
        where += len(body[-1]) // SECTOR
    return body, where


def stream(path, disk, tables="end", empty_gts=False, header_gd=None, rgd_flag=False, grain=128,
           gtes=512, version=3, level=6, desc=None, desc_sectors=20, overhead=128, eos=True,
           order=None, progress=False, tables_before=False, fill=0, round_capacity=False,
           short_last=False, zero_run=0, gt_val=None, two_directories=False, keep_zero=False, one_marker=False, lie=0,
           zero_gte=(), tail=b"", extent_name="generated-stream.vmdk", access="RDONLY", edit=None,
           ddb=None, ddb_title="# The Disk Data Base ", eol="\n"):
    """One streamOptimized file.

    tables        "end"   each GT follows its grains, then GD, footer (VMware export, VirtualBox)
                  "front" GD and GTs right after the descriptor, no footer (open-vmdk, qemu-img)
    empty_gts     also write grain tables that have no grain
    header_gd     value of gdOffset in the first header (default: what the kind uses)
    order         function: list of grains -> list in file order
    tables_before each GT marker + GT stands before the grains it describes
    zero_run      sectors of zeros between the last grain and the tables (Xen Orchestra)
    one_marker    all grains first, then one marker and every table (Xen Orchestra)
    edit          function(parts) called with the dict of pieces before they are written
    """
    capacity = disk.size // SECTOR
    if desc is None:
        desc = descriptor("streamOptimized",
                          ['%s %d SPARSE "%s"' % (access, capacity, extent_name)],
                          ddb=ddb,
                          ddb_title=ddb_title, eol=eol)
    if round_capacity:
        capacity = up(capacity, grain)
    flags = F_STREAM | (F_RGD if rgd_flag else 0) | (F_ZEROGTE if zero_gte else 0)
    tab = Tables(capacity, grain, gtes)
    grains = list(disk.grains(grain * SECTOR, skip_zero=not keep_zero))
    if not short_last:
        grains = [(n, data + bytes(grain * SECTOR - len(data))) for n, data in grains]
    if order:
        grains = order(grains)
    common = dict(version=version, grain=grain, gtes=gtes, compress=1, flags=flags,
                  desc_size=desc_sectors)

    if tables == "front":
        first = 1 + desc_sectors
        copies = 2 if rgd_flag else 1
        start = first + copies * tab.sectors()
        start = up(start, overhead) if overhead > 1 else start
        body, where = [], start
        for number, data in grains:
            record = grain_record(number * grain, data, level, bytes([fill]))
            tab.set(number, where)
            body.append(record)
            where += len(record) // SECTOR
        for number in zero_gte:
            tab.set(number, 1)
        head = header(capacity, rgd=first if rgd_flag else 0,
                      gd=first + (copies - 1) * tab.sectors(), overhead=start, **common)
        parts = {"header": head, "descriptor": embed(desc, desc_sectors)}
        for copy in range(copies):
            parts["tables%d" % copy] = tab.block(first + copy * tab.sectors())
        used = sum(map(len, parts.values()))
        parts["gap"] = bytes(start * SECTOR - used)
        parts["grains"] = b"".join(body)
        parts["eos"] = marker(M_EOS, 0, fill) if eos else b""
    else:
        start = overhead if overhead > 1 + desc_sectors else 1 + desc_sectors
        body, where, directory, records = [], start, [0] * tab.count, 0
        by_table = {}
        for number, data in grains:
            by_table.setdefault(number // gtes, []).append((number, data))
        wanted = range(tab.count) if empty_gts else sorted(
            set(by_table) | {number // gtes for number in zero_gte})
        for table in wanted:
            packed = [(n, grain_record(n * grain, data, level, bytes([fill])))
                      for n, data in by_table.get(table, [])]
            at = where + (1 + tab.gt_sectors if tables_before else 0)
            for number, record in packed:
                if progress and records % 5 == 4:
                    body.append(marker(M_PROGRESS, 0))
                    at += 1
                tab.set(number, at)
                at += len(record) // SECTOR
                records += 1
                if not tables_before:
                    body.append(record)
            for number in zero_gte:
                if number // gtes == table:
                    tab.set(number, 1)
            gt = table_bytes(tab.gt.get(table, [0] * gtes))
            gt_marker = marker(M_GT, tab.gt_sectors if gt_val is None else gt_val, fill)
            if tables_before:
                directory[table] = where + 1
                body += [gt_marker, gt] + [record for _, record in packed]
                where = at
            else:
                directory[table] = at + 1
                if zero_run and table == wanted[-1]:
                    body.append(bytes(zero_run * SECTOR))
                    directory[table] += zero_run
                    at += zero_run
                body += [gt_marker, gt]
                where = at + 1 + tab.gt_sectors
        if one_marker:
            body, where = gather(grains, tab, start, level, grain, gtes)
            where += zero_run + 1
            block = tab.block(where)[tab.gd_sectors * SECTOR:]
            body += [bytes(zero_run * SECTOR), marker(M_GT, 0, fill), block]
            directory = [where + number * tab.gt_sectors for number in range(tab.count)]
            where += tab.count * tab.gt_sectors
        gd = where + 1
        gd_marker = marker(M_GD, tab.gd_sectors if gt_val is None else gt_val, fill)
        rgd = 0
        if two_directories:
            rgd, gd = gd, gd + tab.gd_sectors + 1
        if header_gd is None:
            header_gd = GD_AT_END
        elif header_gd == "real":
            header_gd = gd
        parts = {
            "header": header(capacity, gd=header_gd, overhead=start + lie, **common),
            "descriptor": embed(desc, desc_sectors)}
        parts["gap"] = bytes(start * SECTOR - sum(map(len, parts.values())))
        parts["grains"] = b"".join(body)
        parts["gd"] = (gd_marker + table_bytes(directory)) * (2 if two_directories else 1)
        parts["footer"] = marker(M_FOOTER, 1 if gt_val is None else gt_val, fill) + \
            header(capacity, rgd=rgd, gd=gd, overhead=start, **common)
        parts["eos"] = marker(M_EOS, 0, fill) if eos else b""
    parts["tail"] = tail
    if edit:
        edit(parts)
    with open(path, "wb") as out:
        for piece in parts.values():
            out.write(piece)


def sparse(path, disk, grain=128, gtes=512, version=1, flags=F_NEWLINE | F_RGD, desc=True,
           first=0, length=None, order=None, zero_gte=(), skip_empty=False, unclean=0, edit=None,
           bad_rgd=False, name=None, create_type="monolithicSparse", more="",
           parent_cid=NO_PARENT, cid="7a3b19c2"):
    """One hosted sparse extent (monolithicSparse, or one part of a split disk)."""
    length = disk.size - first if length is None else length
    capacity = length // SECTOR
    grain_bytes = grain * SECTOR
    tab = Tables(capacity, grain, gtes)
    has_rgd = bool(flags & F_RGD)
    desc_sectors = 20 if desc else 0
    where = 1 + desc_sectors
    rgd = where if has_rgd else 0
    where += tab.sectors() if has_rgd else 0
    gd = where
    overhead = up(gd + tab.sectors(), grain)
    numbers = [n for n in range(-(-length // grain_bytes))
               if disk.busy(first + n * grain_bytes, min(grain_bytes, length - n * grain_bytes))]
    numbers = [n for n in numbers if n not in zero_gte]
    if order:
        numbers = order(numbers)
    body, at = [], overhead
    for number in numbers:
        data = disk.read(first + number * grain_bytes, min(grain_bytes, length - number * grain_bytes))
        if not data.strip(b"\0"):
            continue
        tab.set(number, at)
        body.append(data + bytes(grain_bytes - len(data)))
        at += grain
    for number in zero_gte:
        tab.set(number, 1)
    text = b""
    if desc:
        text = embed(descriptor(create_type, ['RW %d SPARSE "%s"' % (
            capacity, name or os.path.basename(path))], more=more, parent_cid=parent_cid, cid=cid), 20)
    parts = {"header": header(capacity, flags=flags, version=version, grain=grain, gtes=gtes,
                              desc_off=1 if desc else 0, desc_size=desc_sectors, rgd=rgd, gd=gd,
                              overhead=overhead, unclean=unclean), "descriptor": text}
    if has_rgd:
        block = tab.block(rgd, skip_empty)
        if bad_rgd:
            block = block[:tab.gd_sectors * SECTOR] + bytes(len(block) - tab.gd_sectors * SECTOR)
        parts["rgd"] = pad(block, tab.sectors() * SECTOR)
    parts["gd"] = pad(tab.block(gd, skip_empty), tab.sectors() * SECTOR)
    parts["gap"] = bytes(overhead * SECTOR - sum(map(len, parts.values())))
    parts["grains"] = b"".join(body)
    if edit:
        edit(parts)
    with open(path, "wb") as out:
        for piece in parts.values():
            out.write(piece)


def flat(path, disk, first=0, length=None, lead=0):
    length = disk.size - first if length is None else length
    with open(path, "wb") as out:
        out.write(keystream(99, 0, lead * SECTOR))       # must never show up in the output
        for offset in range(first, first + length, 64 * 1024):
            out.write(disk.read(offset, min(64 * 1024, first + length - offset)))


def cowd(path, disk):
    """ESX copy-on-write extent (vmfsSparse): grain of one sector, 4096 entries per table."""
    capacity = disk.size // SECTOR
    count = -(-capacity // 4096)
    gd_sectors = up(count * 4, SECTOR) // SECTOR
    at, directory, chunks = 4 + gd_sectors, [0] * count, []
    for table in range(count):
        busy = [n for n in range(table * 4096, min(capacity, table * 4096 + 4096))
                if disk.busy(n * SECTOR, SECTOR)]
        if not busy:
            continue
        directory[table] = at
        entries = [0] * 4096
        data = []
        for index, number in enumerate(busy):
            entries[number % 4096] = at + 32 + index
            data.append(disk.read(number * SECTOR, SECTOR))
        chunks += [table_bytes(entries)] + data
        at += 32 + len(busy)
    head = struct.pack("<4sIIIIIIIIII", b"COWD", 1, 3, capacity, 1, 4, count, at, 1, 255, 63)
    with open(path, "wb") as out:
        out.write(pad(head, 4 * SECTOR) + table_bytes(directory) + b"".join(chunks))


def sesparse(path, disk, dirty=0, holes=False):
    """ESXi seSparse extent: grain 4 KiB, table 32 KiB (4096 entries of 64 bits)."""
    capacity = disk.size // SECTOR
    tables = -(-capacity // (8 * 4096))
    gd_sectors = up(tables * 8, SECTOR) // SECTOR
    gd_at, gt_at = 16, 16 + gd_sectors
    gt_sectors = tables * 64
    grains_at = up(gt_at + gt_sectors, 8)
    directory, gts, data = [], [], []
    for table in range(tables):
        directory.append((1 << 60) | table)
        entries = [0] * 4096
        for slot in range(4096):
            number = table * 4096 + slot
            if number * 4096 >= disk.size:
                break
            if not disk.busy(number * 4096, 4096):
                entries[slot] = (2 << 60) if slot % 2 and not holes else 0  # zero grain or none
                continue
            index = len(data)
            entries[slot] = (3 << 60) | ((index & 0xFFF) << 48) | (index >> 12)
            data.append(pad(disk.read(number * 4096, 4096), 4096))
        gts.append(struct.pack("<4096Q", *entries))
    const = struct.pack("<26Q", 0xCAFEBABE, 0x200000001, capacity, 8, 64, 0, 0, 0, 0, 0, 1, 1,
                        2, 1, 3, 1, gd_at, gd_sectors, gt_at, gt_sectors, 4, 1, 5, 1,
                        grains_at, len(data) * 8)
    volatile = struct.pack("<4Q", 0xCAFECAFE, 0, 1, dirty)
    image = pad(const) + pad(volatile)
    image = pad(image, gd_at * SECTOR)
    image += pad(struct.pack("<%dQ" % tables, *directory)) + b"".join(gts)
    image = pad(image, grains_at * SECTOR) + b"".join(data)
    with open(path, "wb") as out:
        out.write(image)


# --------------------------------------------------------------------------
# The cases
# --------------------------------------------------------------------------

# A flaw in these stands at an offset that the reader's message must name.
BINARY = ("x-scattered", "x-stream-l", "x-stream-g", "x-stream-t", "x-stream-m", "x-stream-n", "x-stream-f",
          "x-stream-s", "x-stream-a", "x-stream-b", "x-stream-h", "x-stream-e", "x-gd", "x-gt", "x-grain", "x-capacity", "x-descriptor", "x-truncated",
          "x-version-0", "x-version-4", "x-flags", "x-text-mode", "x-table", "x-compress")
CASES = {}          # name -> dict(kind, expect, seek, why, make)


def case(name, expect="accept", seek=True, why="", size=None):
    def add(function):
        CASES[name] = dict(expect=expect, seek=seek, why=why, make=function, size=size,
                           hostile=name.startswith("x-"), binary=name.startswith(BINARY))
        return function
    return add


def shuffled(items):
    """A fixed disorder: by the hash of the position."""
    return [item for _, item in sorted(
        (hashlib.sha256(b"%d" % index).digest(), item) for index, item in enumerate(items))]


def punched(disk, options):
    """The disk with the grains that zero_gte declares to be zero really zero."""
    grain_bytes = options.get("grain", 128) * SECTOR
    for number in options.get("zero_gte", ()):
        disk = disk.without(number * grain_bytes, grain_bytes)
    return disk


def stream_case(name, why, expect="accept", seek=False, size=None, **options):
    @case(name, expect, seek, why, size)
    def make(folder, disk):
        disk = punched(disk, options)
        stream(os.path.join(folder, "disk.vmdk"), disk, **options)
        return disk


def sparse_case(name, why, expect="accept", size=None, **options):
    @case(name, expect, True, why, size)
    def make(folder, disk):
        disk = punched(disk, options)
        sparse(os.path.join(folder, "disk.vmdk"), disk, **options)
        return disk


# ---- valid: streamOptimized ----------------------------------------------

ESX_DDB = [("adapterType", "lsilogic"), ("geometry.cylinders", "2"), ("geometry.heads", "255"),
           ("geometry.sectors", "63"), ("longContentID", "f56c691c480fc22c0f8b7effd5dbb1b1"),
           ("virtualHWVersion", "8")]
VBOX_DDB = [("virtualHWVersion", "4"), ("adapterType", "ide"), ("geometry.cylinders", "16"),
            ("geometry.heads", "16"), ("geometry.sectors", "63"),
            ("uuid.image", "0f3c4b1e-7d2a-4f0e-9a63-5c6f6f0a1b2c"),
            ("uuid.parent", "00000000-0000-0000-0000-000000000000"),
            ("uuid.modification", "00000000-0000-0000-0000-000000000000"),
            ("uuid.parentmodification", "00000000-0000-0000-0000-000000000000"),
            ("comment", "")]

stream_case("stream-esx", "ESXi/vSphere export: header v3, gdOffset -1, GT after its grains, "
            "empty GTs left out, RDONLY line, blanks at line ends, zlib level 1",
            level=1, desc_sectors=2, ddb=ESX_DDB, eol=" \n")
stream_case("stream-ovftool", "ovftool: like ESXi but every GT is written, also empty ones, and "
            "the first header already has the real gdOffset (a footer follows all the same)",
            empty_gts=True, header_gd="real", level=1, desc_sectors=2)
stream_case("stream-vbox", "VirtualBox export: capacity in the header rounded up to the grain "
            "(the extent line has the true size), ddb.uuid.* lines, zlib level 6",
            round_capacity=True, desc_sectors=2, ddb=VBOX_DDB,
            ddb_title="# The disk Data Base ")
stream_case("stream-vbox-aligned", "VirtualBox export of a disk whose size is a multiple of 64 KiB",
            desc_sectors=2, ddb=VBOX_DDB, ddb_title="# The disk Data Base ", size=4 * MIB)
stream_case("stream-openvmdk", "open-vmdk / Workstation: GD and GTs in front without markers, "
            "gdOffset real, grains right behind, only an end-of-stream marker at the end",
            tables="front", overhead=1, access="RW", extent_name="disk")
stream_case("stream-unordered", "open-vmdk with several threads: as above, grains not in disk order",
            tables="front", overhead=1, access="RW", extent_name="disk", order=shuffled)
stream_case("stream-qemu", "qemu-img: flag bit 1 set, RGD and GD in front, header v3, no "
            "end-of-stream marker, last grain shorter than a grain",
            tables="front", rgd_flag=True, eos=False, short_last=True, access="RW")
stream_case("stream-xo", "Xen Orchestra export: zero sectors between grains and tables, marker "
            "val fields 0, RGD and GD both at the end", zero_run=64, gt_val=0,
            two_directories=True, rgd_flag=True, level=1, access="RW", desc_sectors=12,
            overhead=1, empty_gts=True)
stream_case("stream-xo-tables", "Xen Orchestra, several tables: all of them behind one marker that "
            "does not say how many", zero_run=64, gt_val=0, two_directories=True, rgd_flag=True,
            level=1, access="RW", desc_sectors=12, overhead=1, empty_gts=True, one_marker=True,
            grain=8)
stream_case("stream-xo-old", "Xen Orchestra of 2020: the header counts the tables into its metadata, "
            "though they stand behind the grains", gt_val=0, level=9, access="RW", desc_sectors=3,
            overhead=1, empty_gts=True, one_marker=True, eol="\n        ", lie=9)
stream_case("stream-xo-old-large", "the same, with more metadata than there is file", gt_val=0,
            level=9, access="RW", desc_sectors=3, overhead=1, empty_gts=True, one_marker=True,
            eol="\n        ", lie=1 << 20)
stream_case("stream-xo-many", "markers of value 0, one for each of several tables", zero_run=64,
            gt_val=0, two_directories=True, rgd_flag=True, level=1, access="RW", desc_sectors=12,
            overhead=1, empty_gts=True, grain=8)
stream_case("stream-progress", "markers of type 4 (one sector, no payload) between grains, "
            "as some vSphere versions write", progress=True, level=1)
stream_case("stream-gt-first", "each GT marker and GT stands before its grains", tables_before=True)
stream_case("stream-v1", "header version 1 with compression, as the technote has it", version=1)
stream_case("stream-grain-8", "grain of 8 sectors (4 KiB)", grain=8, overhead=1)
stream_case("stream-grain-32", "grain of 32 sectors (16 KiB)", grain=32)
stream_case("stream-grain-256", "grain of 256 sectors (128 KiB)", grain=256, overhead=256)
stream_case("stream-level-0", "stored blocks: compressed grains larger than the grain", level=0)
stream_case("stream-level-9", "zlib level 9", level=9)
stream_case("stream-dirty-padding", "padding of markers and after grains is not zero "
            "(to be ignored on reading)", fill=0xA5)
stream_case("stream-full-zero", "grains that inflate to zeros are present", keep_zero=True)
stream_case("stream-zero-gte", "flag bit 2 and GTE=1 for two grains", zero_gte=(5, 6),
            seek=False)
stream_case("stream-crlf", "descriptor with CR LF", eol="\r\n")
stream_case("stream-1-sector", "disk of one sector", size=SECTOR)
stream_case("stream-3TiB", "capacity above 2^32 sectors, few grains",
            size=3 * (1 << 40) + 5 * SECTOR)
stream_case("stream-5GiB", "several grain tables, most of them empty", size=5 * 1024 * MIB)
stream_case("stream-zero-tail", "1 MiB of zeros after the end-of-stream marker",
            tail=bytes(MIB), expect="either")


@case("stream-empty", seek=False, why="no grain at all: directory of zeros, footer")
def _(folder, disk):
    empty = Content(disk.size, [], 0)
    stream(os.path.join(folder, "disk.vmdk"), empty, desc_sectors=2)
    return empty


# ---- valid: monolithicSparse ---------------------------------------------

sparse_case("sparse-plain", "version 1, RGD and GD, 64 KiB grains")
sparse_case("sparse-no-rgd", "flag bit 1 clear, rgdOffset 0", flags=F_NEWLINE)
sparse_case("sparse-shuffled", "grains in any order in the file", order=shuffled)
sparse_case("sparse-zero-gte", "version 2, flag bit 2, GTE=1", version=2, zero_gte=(5, 9),
            flags=F_NEWLINE | F_RGD | F_ZEROGTE)
sparse_case("sparse-gte-1-no-flag", "GTE=1 in a version 1 file without flag bit 2: zero grain (as "
            "open-vmdk reads it) or refused; never the bytes at sector 1", zero_gte=(5, 9),
            expect="either")
sparse_case("sparse-gd-holes", "GDE=0 where a table has no grain", skip_empty=True,
            size=200 * MIB)
sparse_case("sparse-grain-8", "grain of 8 sectors", grain=8)
sparse_case("sparse-grain-16", "grain of 16 sectors", grain=16)
sparse_case("sparse-grain-2048", "grain of 2048 sectors (1 MiB)", grain=2048)
sparse_case("sparse-odd-capacity", "capacity is not a multiple of the grain", size=200 * SECTOR)
sparse_case("sparse-gtes-128", "128 entries per table", gtes=128, expect="either")
sparse_case("sparse-v3", "version 3 without compression (changed block tracking)", version=3)
sparse_case("sparse-unclean", "uncleanShutdown = 1: read it, and warn", unclean=1, expect="either")
sparse_case("sparse-rgd-differs", "primary tables good, redundant tables empty: read the "
            "primary and warn, or refuse", bad_rgd=True, expect="either")


# ---- valid: descriptor + extents ------------------------------------------

def write_text(folder, text, name="disk.vmdk"):
    with open(os.path.join(folder, name), "wb") as out:
        out.write(text)


@case("split-sparse", why="twoGbMaxExtentSparse, parts of 3 MiB, the parts have no descriptor")
def _(folder, disk):
    lines, part = [], 3 * MIB
    for index, first in enumerate(range(0, disk.size, part), 1):
        length = min(part, disk.size - first)
        name = "disk-s%03d.vmdk" % index
        sparse(os.path.join(folder, name), disk, desc=False, first=first, length=length)
        lines.append('RW %d SPARSE "%s"' % (length // SECTOR, name))
    write_text(folder, descriptor("twoGbMaxExtentSparse", lines))


@case("split-flat", why="twoGbMaxExtentFlat, parts of 3 MiB")
def _(folder, disk):
    lines, part = [], 3 * MIB
    for index, first in enumerate(range(0, disk.size, part), 1):
        length = min(part, disk.size - first)
        name = "disk-f%03d.vmdk" % index
        flat(os.path.join(folder, name), disk, first, length)
        lines.append('RW %d FLAT "%s" 0' % (length // SECTOR, name))
    write_text(folder, descriptor("twoGbMaxExtentFlat", lines))


@case("flat-mono", why="monolithicFlat")
def _(folder, disk):
    flat(os.path.join(folder, "disk-flat.vmdk"), disk)
    write_text(folder, descriptor("monolithicFlat",
                                  ['RW %d FLAT "disk-flat.vmdk" 0' % (disk.size // SECTOR)]))


@case("flat-offset", why="flat extent that starts at sector 130 of its file")
def _(folder, disk):
    flat(os.path.join(folder, "disk-flat.vmdk"), disk, lead=130)
    write_text(folder, descriptor("monolithicFlat",
                                  ['RW %d FLAT "disk-flat.vmdk" 130' % (disk.size // SECTOR)]))


@case("flat-vmfs", why="vmfs (copied from a datastore): VMFS line, thin flag, encoding line")
def _(folder, disk):
    flat(os.path.join(folder, "my disk_1-flat.vmdk"), disk)
    write_text(folder, descriptor(
        "vmfs", ['RW %d VMFS "my disk_1-flat.vmdk"' % (disk.size // SECTOR)],
        more='encoding="UTF-8"\nisNativeSnapshot="no"',
        ddb=[("adapterType", "pvscsi"), ("thinProvisioned", "1"), ("toolsVersion", "2147483647"),
             ("uuid", "60 00 C2 90 6f ee 5b 7e-d5 51 99 ed 52 8e b8 b0"),
             ("virtualHWVersion", "21")]))


@case("flat-crlf-case", why="CR LF, blanks and a tab before lines, comment lines, "
      "createType in other letters (the technote says case does not matter)", expect="either")
def _(folder, disk):
    flat(os.path.join(folder, "disk-flat.vmdk"), disk)
    text = descriptor("monolithicFlat", ['  RW %d FLAT "disk-flat.vmdk" 0' % (disk.size // SECTOR)],
                      eol="\r\n").replace(b"createType", b"\tCREATETYPE")
    write_text(folder, text.replace(b"version=1", b"# a comment\r\n\r\n  version=1"))


@case("mixed-zero", why="custom: FLAT + ZERO + SPARSE extents (qemu-img refuses it)",
      expect="either", size=6 * MIB)
def _(folder, disk):
    kept = Content(disk.size, [e for e in disk.extents
                               if e[0] + e[1] <= 2 * MIB or e[0] >= 4 * MIB], disk.seed)
    flat(os.path.join(folder, "a-flat.vmdk"), kept, 0, 2 * MIB)
    sparse(os.path.join(folder, "c-s001.vmdk"), kept, desc=False, first=4 * MIB)
    write_text(folder, descriptor("custom", ['RW 4096 FLAT "a-flat.vmdk" 0', "RW 4096 ZERO",
                                             'RW 4096 SPARSE "c-s001.vmdk"']))
    return kept


@case("esx-cowd", why="vmfsSparse with no parent: COWD extent", expect="either")
def _(folder, disk):
    cowd(os.path.join(folder, "disk-delta.vmdk"), disk)
    write_text(folder, descriptor("vmfsSparse", ['RW %d VMFSSPARSE "disk-delta.vmdk"'
                                                 % (disk.size // SECTOR)]))


@case("esx-sesparse", why="seSparse with no parent", expect="either")
def _(folder, disk):
    sesparse(os.path.join(folder, "disk-sesparse.vmdk"), disk)
    write_text(folder, descriptor("seSparse", ['RW %d SESPARSE "disk-sesparse.vmdk"'
                                               % (disk.size // SECTOR)]))


# ---- valid: redundant copies, chains, names --------------------------------

def damage(piece, offset, value):
    """An edit: one 32-bit entry of one piece becomes something impossible."""
    def edit(parts):
        data = bytearray(parts[piece])
        struct.pack_into("<I", data, offset, value)
        parts[piece] = bytes(data)
    return edit


sparse_case("sparse-gd-damaged", "an entry of the directory is damaged, the redundant one is sound: "
            "read that, and say so", edit=damage("gd", 0, 0x7FFFFFFF))
sparse_case("sparse-gt-damaged", "an entry of a table is damaged, the redundant table is sound: "
            "read that, and say so", edit=damage("gd", SECTOR + 4, 0x7FFFFFF0))


def layered(disk, count):
    """`count` disks of which the last one, read through the others, is `disk`: the parts of each
    64 KiB grain come from one of them, and earlier ones hold something else there."""
    grain, layers = 64 * 1024, []
    for level in range(count):
        kept = []
        for start, run, kind in disk.extents:
            number = start // grain
            owner = number % count if start % grain + run <= grain else count - 1
            if owner == level:
                kept.append((start, run, kind))
        layers.append(Content(disk.size, kept, disk.seed))
    return layers


def spread(disk):
    """The disk with no extent over a 64 KiB boundary, so that layers can share it."""
    grain, kept = 64 * 1024, []
    for start, run, kind in disk.extents:
        kept.append((start, min(run, grain - start % grain), kind))
    return Content(disk.size, kept, disk.seed)


def chain_files(folder, disk, count, hint="disk-%d.vmdk", cids=None):
    """monolithicSparse disks on top of each other: disk-0.vmdk ... disk.vmdk"""
    disk = spread(disk)
    layers = layered(disk, count)
    cids = cids or ["%08x" % (0x1000 + level) for level in range(count)]
    merged = None
    for level, layer in enumerate(layers):
        last = level == count - 1
        name = "disk.vmdk" if last else "disk-%d.vmdk" % level
        parent = dict(parent_cid=cids[level - 1],
                      more='parentFileNameHint="%s"' % (hint % (level - 1))) if level else {}
        merged = layer if merged is None else over(merged, layer)
        sparse(os.path.join(folder, name), layer,
               cid="%08x" % (0x1000 + level), **parent)
    return merged


def over(below, above):
    """What a grain holds that the upper disk has: the upper disk's, all of it."""
    grain = 64 * 1024
    own = {start // grain for start, _, _ in above.extents}
    kept = [e for e in below.extents if e[0] // grain not in own]
    return Content(above.size, sorted(kept + above.extents), above.seed)


@case("chain-2", why="a snapshot on its parent")
def _(folder, disk):
    return chain_files(folder, disk, 2)


@case("chain-5", why="five disks on each other")
def _(folder, disk):
    return chain_files(folder, disk, 5)


@case("chain-path", why="the parent is named by a path of the host it came from, and lies beside it",
      expect="either")
def _(folder, disk):
    return chain_files(folder, disk, 2, hint="/vmfs/volumes/5f0a-11/old/disk-%d.vmdk")


@case("chain-windows-path", why="the same with a Windows path", expect="either")
def _(folder, disk):
    return chain_files(folder, disk, 2, hint="C:\\VMs\\old\\disk-%d.vmdk")


@case("chain-zero-grain", why="a zero grain hides what the parent has there")
def _(folder, disk):
    disk = spread(disk)
    grain = 64 * 1024
    first = disk.extents[0][0] // grain
    sparse(os.path.join(folder, "base.vmdk"), disk, cid="00001000")
    sparse(os.path.join(folder, "disk.vmdk"), Content(disk.size, [], disk.seed), version=2,
           flags=F_NEWLINE | F_RGD | F_ZEROGTE, zero_gte=(first,), parent_cid="00001000",
           more='parentFileNameHint="base.vmdk"')
    return disk.without(first * grain, grain)


@case("chain-esx", why="a datastore's folder: vmfs base, COWD delta, seSparse delta", expect="accept")
def _(folder, disk):
    disk = spread(disk)
    base, middle, top = layered(disk, 3)
    sectors = disk.size // SECTOR
    flat(os.path.join(folder, "base-flat.vmdk"), base)
    write_text(folder, descriptor("vmfs", ['RW %d VMFS "base-flat.vmdk"' % sectors], cid="aaaa0001"),
               "base.vmdk")
    cowd(os.path.join(folder, "base-000001-delta.vmdk"), middle)
    write_text(folder, descriptor(
        "vmfsSparse", ['RW %d VMFSSPARSE "base-000001-delta.vmdk"' % sectors], cid="aaaa0002",
        parent_cid="aaaa0001", more='parentFileNameHint="base.vmdk"'), "base-000001.vmdk")
    sesparse(os.path.join(folder, "disk-sesparse.vmdk"), top, holes=True)
    write_text(folder, descriptor(
        "seSparse", ['RW %d SESPARSE "disk-sesparse.vmdk"' % sectors], cid="aaaa0003",
        parent_cid="aaaa0002", more='parentFileNameHint="base-000001.vmdk"'))
    return shown_through(base, [(middle, SECTOR), (top, 4096)])


def shown_through(base, layers):
    """What a reader sees: a unit of an upper layer hides all that is below it."""
    class Seen(Content):
        def read(self, offset, length):
            length = min(length, self.size - offset)
            out = bytearray(base.read(offset, length))
            for layer, unit in layers:
                at = offset - offset % unit
                while at < offset + length:
                    if layer.busy(at, min(unit, self.size - at)):
                        low, high = max(at, offset), min(at + unit, offset + length)
                        out[low - offset:high - offset] = layer.read(low, high - low)
                    at += unit
            return bytes(out)

        def busy(self, offset, length):
            return base.busy(offset, length) or any(one.busy(offset, length) for one, _ in layers)
    return Seen(base.size, [], base.seed)


@case("split-many", why="1500 files, more than a process may open by default")
def _(folder, disk):
    lines, part = [], up(-(-disk.size // 1500), SECTOR)
    for index, first in enumerate(range(0, disk.size, part), 1):
        length = min(part, disk.size - first)
        flat(os.path.join(folder, "disk-f%04d.vmdk" % index), disk, first, length)
        lines.append('RW %d FLAT "disk-f%04d.vmdk" 0' % (length // SECTOR, index))
    write_text(folder, descriptor("twoGbMaxExtentFlat", lines))


@case("x-stream-parent", "refuse", False, "a stream that is a snapshot of a disk that is not there")
def _(folder, disk):
    stream(os.path.join(folder, "disk.vmdk"), disk, desc=descriptor(
        "streamOptimized", ['RW %d SPARSE "x"' % (disk.size // SECTOR)], parent_cid="01234567",
        more='parentFileNameHint="base.vmdk"'))


@case("split-rounded", why="a part whose header rounds its capacity up to a grain", expect="either")
def _(folder, disk):
    rounded = Content(up(disk.size, 65536), disk.extents, disk.seed)
    sparse(os.path.join(folder, "disk-s001.vmdk"), rounded, desc=False)
    write_text(folder, descriptor("twoGbMaxExtentSparse", [
        'RW %d SPARSE "disk-s001.vmdk"' % (disk.size // SECTOR)]))


@case("flat-gbk", why="a name that is not UTF-8, in the encoding that the descriptor says",
      expect="either")
def _(folder, disk):
    flat(os.path.join(folder, "\u78c1\u76d8-flat.vmdk"), disk)
    text = descriptor("vmfs", ['RW %d VMFS "NAME"' % (disk.size // SECTOR)], more='encoding="GBK"')
    write_text(folder, text.replace(b"NAME", "\u78c1\u76d8-flat.vmdk".encode("gbk")))


# ---- hostile: headers ------------------------------------------------------

def patched(function, offset, layout, value, piece="header"):
    """An edit that overwrites a packed value at a byte offset of one piece."""
    def edit(parts):
        data = bytearray(parts[piece])
        struct.pack_into(layout, data, offset, value)
        parts[piece] = bytes(data)
    return edit


def x_sparse(name, why, offset=None, layout=None, value=None, piece="header", edit=None,
             expect="refuse", **options):
    if edit is None:
        edit = patched(None, offset, layout, value, piece)
    sparse_case("x-" + name, why, expect=expect, edit=edit, **options)


def x_stream(name, why, offset=None, layout=None, value=None, piece="header", edit=None,
             expect="refuse", **options):
    if edit is None and offset is not None:
        edit = patched(None, offset, layout, value, piece)
    stream_case("x-" + name, why, expect=expect, edit=edit, **options)


def chain(*edits):
    def edit(parts):
        for one in edits:
            one(parts)
    return edit


x_sparse("magic", "magic VMDX", 0, "<4s", b"XDMV")
x_sparse("version-4", "header version 4", 4, "<I", 4)
x_sparse("version-0", "header version 0", 4, "<I", 0)
x_sparse("flags-unknown", "unknown incompatible flag bit 18", 8, "<I", F_NEWLINE | F_RGD | 1 << 18)
x_sparse("text-mode-copy", "check characters damaged by a text-mode transfer", 73, "<4s", b"\n \n\n")
x_sparse("capacity-max", "capacity 2^64-1", 12, "<Q", 0xFFFFFFFFFFFFFFFF)
x_sparse("capacity-wraps", "capacity * 512 is 0 modulo 2^64", 12, "<Q", 1 << 55)
x_sparse("capacity-1PiB", "capacity 1 PiB while the directory is one sector long: "
         "needs entries behind the directory, no huge allocation", 12, "<Q", 1 << 41)
x_sparse("capacity-line", "header says 4 times the size of the extent line", 12, "<Q",
         4 * (8 * MIB // SECTOR))
x_sparse("grain-0", "grain size 0 (division)", 20, "<Q", 0)
x_sparse("grain-3", "grain size 3, not a power of two", 20, "<Q", 3)
x_sparse("grain-1GiB", "grain size 2^21 sectors: a 1 GiB buffer for each grain", 20, "<Q", 1 << 21)
x_sparse("grain-wraps", "grain size 2^55 sectors", 20, "<Q", 1 << 55)
x_sparse("gtes-0", "0 entries per table (division)", 44, "<I", 0)
x_sparse("gtes-max", "2^32-1 entries per table", 44, "<I", 0xFFFFFFFF)
x_sparse("gtes-product-wraps", "entries * grain = 0 modulo 2^32",
         edit=chain(patched(None, 44, "<I", 1 << 25), patched(None, 20, "<Q", 1 << 7)))
x_sparse("gd-past-end", "directory behind the end of the file", 56, "<Q", 1 << 40)
x_sparse("gd-0", "gdOffset 0: the header would be read as directory", 56, "<Q", 0)
x_sparse("gd-wraps", "gdOffset * 512 wraps to 0", 56, "<Q", 1 << 55)
x_sparse("gd-at-end-in-sparse", "gdOffset -1 in a file without markers and footer", 56, "<Q",
         GD_AT_END)
x_sparse("gt-past-end", "first GDE points behind the end of the file", 0, "<I", 0x7FFFFFFF, "gd",
         flags=F_NEWLINE)
x_sparse("gt-is-header", "first GDE points at sector 1 (the descriptor is read as table)", 0, "<I",
         1, "gd", flags=F_NEWLINE)
x_sparse("gt-is-gd", "first GDE points at the directory itself", 0, "<I", 21, "gd",
         flags=F_NEWLINE)
x_sparse("grain-past-end", "first GTE points behind the end of the file", SECTOR, "<I",
         0x7FFFFFFF, "gd", flags=F_NEWLINE)
x_sparse("grain-in-metadata", "first GTE points at sector 2, inside the descriptor", SECTOR, "<I",
         2, "gd", flags=F_NEWLINE)
x_sparse("grain-unaligned", "first GTE is in the middle of another grain", SECTOR, "<I", 129 + 128,
         "gd", flags=F_NEWLINE)
x_sparse("compress-algo-2", "unknown compression algorithm",
         edit=chain(patched(None, 77, "<H", 2), patched(None, 8, "<I", F_STREAM)))
x_sparse("descriptor-past-end", "descriptor behind the end of the file", 28, "<Q", 1 << 30)
x_sparse("descriptor-size-0", "descriptor offset set, size 0", 36, "<Q", 0)
x_sparse("descriptor-size-max", "descriptor of 2^63 sectors", 36, "<Q", 1 << 63)


def share_grain(parts):
    """Two entries of the first table point to the same grain."""
    data = bytearray(parts["gd"])
    entries = [i for i in range(512) if struct.unpack_from("<I", data, SECTOR + 4 * i)[0]]
    value = struct.unpack_from("<I", data, SECTOR + 4 * entries[0])[0]
    struct.pack_into("<I", data, SECTOR + 4 * entries[1], value)
    parts["gd"] = bytes(data)


x_sparse("grain-shared", "two entries point to the same grain", edit=share_grain, flags=F_NEWLINE)


def cut(count, piece="grains"):
    def edit(parts):
        for name in list(parts):
            if name == piece:
                parts[name] = parts[name][:-count]
    return edit


def cut_after(fraction, piece="grains"):
    """Keep only a part of one piece and nothing behind it."""
    def edit(parts):
        names = list(parts)
        for name in names[names.index(piece) + 1:]:
            parts[name] = b""
        parts[piece] = parts[piece][:int(len(parts[piece]) * fraction)]
    return edit


x_sparse("truncated", "last grain cut short", edit=cut(40000))
x_sparse("truncated-half", "half of the grains missing", edit=cut_after(0.5))

# ---- hostile: streams ------------------------------------------------------

x_stream("stream-truncated", "cut in the middle of a grain", edit=cut_after(0.4))
x_stream("stream-truncated-tables", "grains complete, nothing behind them (no tables, no footer)",
         edit=cut_after(1.0))
x_stream("stream-no-footer", "gdOffset -1 but the footer marker and footer are missing",
         edit=lambda parts: parts.update(footer=b""))
x_stream("stream-no-eos", "footer present, end-of-stream marker missing", eos=False)
x_stream("stream-footer-at-end", "the footer too has gdOffset -1", SECTOR + 56, "<Q", GD_AT_END,
         "footer")
x_stream("stream-footer-capacity", "footer and header disagree about the capacity", SECTOR + 12,
         "<Q", 4096, "footer")
x_stream("stream-footer-grain", "footer and header disagree about the grain size", SECTOR + 20,
         "<Q", 64, "footer")
x_stream("stream-footer-descriptor", "footer names another descriptor than the header",
         SECTOR + 28, "<Q", 3, "footer")
x_stream("stream-footer-gd", "footer points to a wrong directory", SECTOR + 56, "<Q", 130, "footer")
x_stream("stream-marker-7", "unknown marker type 7", 12, "<I", 7, "gd")
x_stream("stream-gt-claims-more", "GT marker claims 2^40 sectors", gt_val=1 << 40)
x_stream("stream-no-markers-flag", "compressed, flag bit 17 clear", 8, "<I",
         F_NEWLINE | F_COMPRESSED)
x_stream("stream-no-compress-flag", "markers without compression", 8, "<I", F_NEWLINE | F_MARKERS)


def first_grain(change):
    """An edit that rewrites the first grain record; later positions stay as they are."""
    def edit(parts):
        data = bytearray(parts["grains"])
        lba, size = struct.unpack_from("<QI", data, 0)
        room = up(12 + size, SECTOR)
        record = change(lba, zlib.decompress(bytes(data[12:12 + size])), size)
        record = record[:room] + bytes(max(0, room - len(record)))
        data[:room] = record
        parts["grains"] = bytes(data)
    return edit


def bomb(lba, data, size):
    return grain_record(lba, b"", packed=zlib.compress(bytes(len(data) * 400), 9))


x_stream("stream-bomb", "a grain inflates to 25 MiB instead of 64 KiB", edit=first_grain(bomb))
x_stream("stream-grain-too-long", "a grain inflates to one byte more than a grain",
         edit=first_grain(lambda lba, data, size: grain_record(
             lba, b"", packed=zlib.compress(bytes(len(data) + 1), 9))))
x_stream("stream-grain-too-short", "a grain inflates to half a grain",
         edit=first_grain(lambda lba, data, size: grain_record(
             lba, b"", packed=zlib.compress(bytes(len(data) // 2), 9))))
x_stream("stream-grain-size-max", "compressed size field 2^32-1",
         edit=patched(None, 8, "<I", 0xFFFFFFFF, "grains"))
x_stream("stream-grain-size-small", "compressed size field cuts the zlib stream",
         edit=first_grain(lambda lba, data, size: grain_record(lba, data, size_field=size - 9)))
x_stream("stream-grain-garbage", "the compressed bytes are no zlib stream",
         edit=patched(None, 12, "<I", 0x12345678, "grains"))
x_stream("stream-grain-raw-deflate", "raw deflate without the zlib wrapper (RFC 1951)",
         edit=first_grain(lambda lba, data, size: grain_record(
             lba, b"", packed=zlib.compress(data)[2:-4])), expect="refuse")


def bad_adler(lba, data, size):
    body = bytearray(zlib.compress(data))
    body[-1] ^= 0xFF
    return grain_record(lba, b"", packed=bytes(body))


x_stream("stream-adler", "wrong Adler-32 at the end of a grain", edit=first_grain(bad_adler))
x_stream("stream-lba-beyond", "grain LBA behind the capacity",
         edit=patched(None, 0, "<Q", 1 << 40, "grains"))
x_stream("stream-lba-wraps", "grain LBA * 512 wraps", edit=patched(None, 0, "<Q", 1 << 55, "grains"))
x_stream("stream-lba-unaligned", "grain LBA not a multiple of the grain size",
         edit=patched(None, 0, "<Q", 64, "grains"))
x_stream("stream-lba-lies", "LBA in the grain marker is not the one of its table entry",
         edit=patched(None, 0, "<Q", 128 * 40, "grains"))


def repeat_first(grains):
    """The first grain twice, with other content the second time."""
    number, data = grains[0]
    return grains + [(number, keystream(5, 0, len(data)))]


x_stream("stream-lba-twice", "two grains with the same LBA and different content",
         order=repeat_first)
x_stream("stream-lba-twice-front", "the same with the tables in front", order=repeat_first,
         tables="front", overhead=1)


def table_lies(parts):
    """Swap two entries in the first grain table that follows the grains."""
    data = bytearray(parts["grains"])
    at = len(data) - 2048
    entries = [i for i in range(512) if struct.unpack_from("<I", data, at + 4 * i)[0] > 1]
    a, b = (at + 4 * i for i in entries[:2])
    data[a:a + 4], data[b:b + 4] = data[b:b + 4], data[a:a + 4]
    parts["grains"] = bytes(data)


x_stream("stream-table-lies", "two table entries swapped: table and grain markers disagree",
         edit=table_lies)


def drop_entry(parts):
    data = bytearray(parts["grains"])
    at = len(data) - 2048
    entries = [i for i in range(512) if struct.unpack_from("<I", data, at + 4 * i)[0] > 1]
    struct.pack_into("<I", data, at + 4 * entries[0], 0)
    parts["grains"] = bytes(data)


x_stream("stream-table-omits", "a grain stands in the stream but not in its table: the forward "
         "and the seeking reader would give different disks", edit=drop_entry)
x_stream("stream-tail-data", "data after the end-of-stream marker", tail=b"\x55" * 4096)
x_stream("stream-second-file", "a second complete VMDK after the end-of-stream marker",
         tail=header(4096, flags=F_STREAM, version=3, gd=GD_AT_END, compress=1) + bytes(4096))

# ---- hostile: descriptors --------------------------------------------------


def text_case(name, why, text, expect="refuse", files=None):
    @case("x-" + name, expect, True, why)
    def make(folder, disk):
        flat(os.path.join(folder, "disk-flat.vmdk"), disk)
        sectors = disk.size // SECTOR
        body = text(sectors) if callable(text) else text
        write_text(folder, body if isinstance(body, bytes) else body.encode())
        if files:
            files(folder)


def flat_line(line, create_type="monolithicFlat", **options):
    return lambda sectors: descriptor(create_type, [line.replace("%N", str(sectors))], **options)


text_case("extent-absolute", "extent line with an absolute path",
          flat_line('RW 8 FLAT "/etc/passwd" 0'))
text_case("extent-dotdot", "extent line that leaves the folder",
          flat_line('RW 8 FLAT "../../../../../../etc/passwd" 0'))
text_case("extent-dotdot-inside", "dot-dot in the middle of the path",
          flat_line('RW %N FLAT "sub/../../x-extent-dotdot-inside/disk-flat.vmdk" 0'))
text_case("extent-backslash", "Windows path", flat_line('RW 8 FLAT "C:\\\\secret\\\\disk.vmdk" 0'))
text_case("extent-device", "extent is a device node", flat_line('RW 2048 FLAT "/dev/zero" 0'))
text_case("parent-json", "qemu json: pseudo file name as parent", flat_line(
    'RW %N FLAT "disk-flat.vmdk" 0', parent_cid="01234567",
    more="parentFileNameHint=\"json:{'driver':'raw','file':{'driver':'file',"
         "'filename':'/etc/passwd'}}\""))
text_case("extent-json", "qemu json: pseudo file name", flat_line(
    "RW 8 FLAT \"json:{'driver':'raw','file':{'driver':'file','filename':'/etc/passwd'}}\" 0"))
text_case("extent-url", "URL as extent name", flat_line('RW 8 FLAT "http://127.0.0.1:9/x" 0'))
text_case("extent-nbd", "nbd: as extent name", flat_line('RW 8 FLAT "nbd://127.0.0.1:9/x" 0'))
text_case("extent-fd", "/proc/self/fd as extent name", flat_line('RW 8 FLAT "/proc/self/fd/0" 0'))
text_case("extent-nul", "NUL byte in the extent name", flat_line('RW %N FLAT "disk-flat.vmdk\0x" 0'))
text_case("extent-empty-name", "empty extent name", flat_line('RW %N FLAT "" 0'))
text_case("extent-self", "sparse extent that names the descriptor itself",
          flat_line('RW %N SPARSE "disk.vmdk"', "twoGbMaxExtentSparse"))
text_case("extent-missing", "extent file does not exist", flat_line('RW %N FLAT "none-flat.vmdk" 0'))
text_case("extent-short", "flat file shorter than the line says",
          lambda n: descriptor("monolithicFlat", ['RW %d FLAT "disk-flat.vmdk" 0' % (n * 4)]))
text_case("extent-offset-past-end", "flat offset behind the end of the file",
          flat_line('RW %N FLAT "disk-flat.vmdk" 9999999'))
text_case("extent-offset-wraps", "flat offset * 512 wraps",
          flat_line('RW %N FLAT "disk-flat.vmdk" 36028797018963968'))
text_case("extent-negative", "negative size", flat_line('RW -8 FLAT "disk-flat.vmdk" 0'))
text_case("extent-size-0", "size 0", flat_line('RW 0 FLAT "disk-flat.vmdk" 0'))
text_case("extent-size-2^64", "size 2^64", flat_line('RW 18446744073709551616 FLAT "disk-flat.vmdk" 0'))
text_case("extent-size-hex", "size in hexadecimal", flat_line('RW 0x10 FLAT "disk-flat.vmdk" 0'))
text_case("extent-sum-wraps", "sizes whose sum wraps",
          lambda n: descriptor("twoGbMaxExtentFlat",
                               ['RW 18014398509481984 FLAT "disk-flat.vmdk" 0'] * 4))
text_case("extent-unquoted", "name without quotes", flat_line("RW %N FLAT disk-flat.vmdk 0"))
text_case("extent-unknown-type", "unknown extent type", flat_line('RW %N MAGIC "disk-flat.vmdk" 0'))
text_case("extent-noaccess", "NOACCESS extent", flat_line('NOACCESS %N FLAT "disk-flat.vmdk" 0'))
text_case("extent-none", "no extent line", lambda n: descriptor("monolithicFlat", []))
text_case("extent-bomb", "one small file for thousands of extents",
          lambda n: descriptor("twoGbMaxExtentFlat", ['RW %d FLAT "disk-flat.vmdk" 0' % n] * 8000))
text_case("extent-overlaps", "two extents share some bytes of a file",
          lambda n: descriptor("twoGbMaxExtentFlat", ['RW 8 FLAT "disk-flat.vmdk" 7',
                                                      'RW 8 FLAT "disk-flat.vmdk" 0']))
text_case("extent-sum-large", "extents of 2^52 sectors together",
          lambda n: descriptor("twoGbMaxExtentFlat",
                               ['RW %d ZERO' % (1 << 48)] * 16))
text_case("extent-many", "20000 extent lines (limit the count, answer quickly)",
          lambda n: descriptor("twoGbMaxExtentFlat", ['RW 1 FLAT "disk-flat.vmdk" 0'] * 20000))
text_case("type-fulldevice", "createType fullDevice",
          flat_line('RW 8 FLAT "/dev/sda" 0', "fullDevice"))
text_case("type-partitioned", "createType partitionedDevice",
          flat_line('RW 8 FLAT "/dev/sda1" 0', "partitionedDevice"))
text_case("type-rdm", "createType vmfsRawDeviceMap (RDM pointer)",
          flat_line('RW %N VMFSRDM "disk-flat.vmdk"', "vmfsRawDeviceMap"))
text_case("type-rdmp", "createType vmfsPassthroughRawDeviceMap",
          flat_line('RW %N VMFSRDM "disk-flat.vmdk"', "vmfsPassthroughRawDeviceMap"))
text_case("type-unknown", "unknown createType", flat_line('RW %N FLAT "disk-flat.vmdk" 0', "wonder"))
text_case("type-missing", "no createType", lambda n: descriptor(
    "monolithicFlat", ['RW %d FLAT "disk-flat.vmdk" 0' % n]).replace(b"createType", b"creatType"))
text_case("type-twice", "createType twice, with different values", lambda n: descriptor(
    "monolithicFlat", ['RW %d FLAT "disk-flat.vmdk" 0' % n], more='createType="fullDevice"'))
text_case("type-in-comment", "the only createType is in a comment (a substring search finds it)",
          lambda n: descriptor("monolithicFlat", ['RW %d FLAT "disk-flat.vmdk" 0' % n]).replace(
              b"createType", b"# createType"))
text_case("version-9", "descriptor version 9", lambda n: descriptor(
    "monolithicFlat", ['RW %d FLAT "disk-flat.vmdk" 0' % n]).replace(b"version=1", b"version=9"))
text_case("encrypted", "encrypted disk (encryptionKeys line)", flat_line(
    'RW %N FLAT "disk-flat.vmdk" 0', more='encryptionKeys="vmware:key/list/(pair/(fqid/x))"'))
text_case("parent-file", "delta disk whose parent is a host file", flat_line(
    'RW %N FLAT "disk-flat.vmdk" 0', parent_cid="01234567",
    more='parentFileNameHint="/etc/passwd"'))
text_case("parent-cid-only", "parentCID set, no parent named: content is incomplete", flat_line(
    'RW %N FLAT "disk-flat.vmdk" 0', parent_cid="01234567"))
text_case("garbage-line", "a line that is no key, extent or comment", flat_line(
    'RW %N FLAT "disk-flat.vmdk" 0', more="#include /etc/passwd\nhello world"))
text_case("binary", "random bytes after the first line",
          lambda n: b"# Disk DescriptorFile\n" + keystream(3, 0, 4096))
text_case("long-line", "one line of 8 MiB", lambda n: b"# Disk DescriptorFile\nversion=1\nCID="
          + b"a" * (8 * MIB))
text_case("empty", "empty file", b"")
text_case("3-bytes", "file of 3 bytes", b"KDM")
text_case("header-only", "only the first 100 bytes of a sparse header",
          lambda n: header(n)[:100])


@case("x-split-bomb", "refuse", True, "one small sparse file for thousands of extents: its tables"
      " would be looked through each time")
def _(folder, disk):
    sparse(os.path.join(folder, "disk-s001.vmdk"), disk, desc=False)
    write_text(folder, descriptor("twoGbMaxExtentSparse", ['RW %d SPARSE "disk-s001.vmdk"' %
                                                           (disk.size // SECTOR)] * 8000))


@case("x-extent-symlink", "refuse", True, "extent is a symbolic link that leaves the folder")
def _(folder, disk):
    os.symlink("/etc/passwd", os.path.join(folder, "disk-flat.vmdk"))
    write_text(folder, descriptor("monolithicFlat", ['RW 1 FLAT "disk-flat.vmdk" 0']))


@case("x-extent-fifo", "refuse", True, "extent is a named pipe (opening it would hang)")
def _(folder, disk):
    os.mkfifo(os.path.join(folder, "disk-flat.vmdk"))
    write_text(folder, descriptor("monolithicFlat", ['RW 8 FLAT "disk-flat.vmdk" 0']))


@case("x-extent-directory", "refuse", True, "extent is a directory")
def _(folder, disk):
    os.mkdir(os.path.join(folder, "disk-flat.vmdk"))
    write_text(folder, descriptor("monolithicFlat", ['RW 8 FLAT "disk-flat.vmdk" 0']))


@case("x-embedded-descriptor-flat", "refuse", True,
      "sparse header with capacity 0 whose embedded descriptor is a monolithicFlat that names a "
      "host file (the trick behind CVE-2022-47951)")
def _(folder, disk):
    text = embed(descriptor("monolithicFlat", ['RW 8 FLAT "/etc/passwd" 0']), 20)
    write_text(folder, header(0) + text + bytes(64 * 1024))


@case("x-embedded-two-extents", "refuse", True,
      "monolithicSparse whose descriptor has a second extent, a host file")
def _(folder, disk):
    path = os.path.join(folder, "disk.vmdk")
    sparse(path, disk)
    text = embed(descriptor("monolithicSparse", [
        'RW %d SPARSE "disk.vmdk"' % (disk.size // SECTOR), 'RW 8 FLAT "/etc/passwd" 0']), 20)
    with open(path, "r+b") as out:
        out.seek(SECTOR)
        out.write(text)


@case("x-embedded-parent", "refuse", True, "monolithicSparse delta: parentFileNameHint names a host file")
def _(folder, disk):
    sparse(os.path.join(folder, "disk.vmdk"), disk, parent_cid="01234567",
           more='parentFileNameHint="/etc/passwd"')


@case("x-split-size-differs", "refuse", True, "sparse part has another capacity than its extent line")
def _(folder, disk):
    sparse(os.path.join(folder, "disk-s001.vmdk"), disk, desc=False)
    write_text(folder, descriptor("twoGbMaxExtentSparse", ['RW %d SPARSE "disk-s001.vmdk"'
                                                           % (disk.size // SECTOR - 128)]))


@case("x-split-nested", "refuse", True, "sparse part is itself a descriptor-carrying file that "
      "names a host file")
def _(folder, disk):
    text = embed(descriptor("monolithicFlat", ['RW 8 FLAT "/etc/passwd" 0']), 20)
    write_text(folder, header(0) + text + bytes(4096), "disk-s001.vmdk")
    write_text(folder, descriptor("twoGbMaxExtentSparse", ['RW %d SPARSE "disk-s001.vmdk"'
                                                           % (disk.size // SECTOR)]))


@case("x-cowd-directory", "refuse", True, "COWD with 2^31 directory entries")
def _(folder, disk):
    cowd(os.path.join(folder, "disk-delta.vmdk"), disk)
    with open(os.path.join(folder, "disk-delta.vmdk"), "r+b") as out:
        out.seek(24)
        out.write(struct.pack("<I", 1 << 31))
    write_text(folder, descriptor("vmfsSparse", ['RW %d VMFSSPARSE "disk-delta.vmdk"'
                                                 % (disk.size // SECTOR)]))


@case("x-sesparse-dirty", "refuse", True, "seSparse with a journal to replay")
def _(folder, disk):
    sesparse(os.path.join(folder, "disk-sesparse.vmdk"), disk, dirty=1)
    write_text(folder, descriptor("seSparse", ['RW %d SESPARSE "disk-sesparse.vmdk"'
                                               % (disk.size // SECTOR)]))


# ---- hostile: chains, shared tables, hidden grains ---------------------------

@case("x-scattered", "refuse", True, "grains far apart, so that keeping track of them takes much memory")
def _(folder, disk):
    tables, step = 1024, 4096
    text = descriptor("monolithicSparse", ['RW %d SPARSE "disk.vmdk"' % (tables * 512)])
    first = 21 + tables * 4 // SECTOR
    start = up(first + tables * 4, step)
    header = struct.pack("<4sIIQQQQIQQQB4s", b"KDMV", 1, 1, tables * 512, 1, 1, 20, 512, 0, 21, start,
                         0, b"\n \r\n")
    with open(os.path.join(folder, "disk.vmdk"), "wb") as f:
        f.write(pad(header) + pad(text.encode() if isinstance(text, str) else text, 20 * SECTOR))
        f.write(struct.pack("<%dI" % tables, *range(first, first + 4 * tables, 4)))
        for at in range(start, start + step * 512 * tables, step * 512):
            f.write(struct.pack("<512I", *range(at, at + step * 512, step)))
        f.truncate((start + step * 512 * tables) * SECTOR)


@case("x-chain-cid", "refuse", True, "the parent was changed after the snapshot: another CID")
def _(folder, disk):
    chain_files(folder, disk, 2, cids=["0000dead", "00001001"])


@case("x-chain-self", "refuse", True, "a disk that is its own parent")
def _(folder, disk):
    sparse(os.path.join(folder, "disk.vmdk"), disk, parent_cid="7a3b19c2",
           more='parentFileNameHint="disk.vmdk"')


@case("x-chain-loop", "refuse", True, "two disks that are each other's parent")
def _(folder, disk):
    for name, other in (("disk", "b"), ("b", "disk")):
        sparse(os.path.join(folder, name + ".vmdk"), disk, parent_cid="7a3b19c2",
               more='parentFileNameHint="%s.vmdk"' % other)


@case("x-chain-deep", "refuse", True, "a chain of 200 disks")
def _(folder, disk):
    small = Content(64 * SECTOR, [(0, SECTOR, "text")], 1)
    for level in range(200):
        more = dict(parent_cid="7a3b19c2", more='parentFileNameHint="disk-%d.vmdk"' % (level + 1))
        sparse(os.path.join(folder, "disk%s.vmdk" % ("-%d" % level if level else "")), small,
               **(more if level < 199 else {}))


@case("x-chain-missing", "refuse", True, "the parent's parent is not there")
def _(folder, disk):
    chain_files(folder, disk, 3)
    os.unlink(os.path.join(folder, "disk-0.vmdk"))


@case("x-chain-symlink", "refuse", True, "the parent is a symbolic link that leaves the folder")
def _(folder, disk):
    chain_files(folder, disk, 2)
    os.unlink(os.path.join(folder, "disk-0.vmdk"))
    os.symlink("/etc/passwd", os.path.join(folder, "disk-0.vmdk"))


@case("x-chain-larger", "refuse", True, "the parent is larger than the disk on it")
def _(folder, disk):
    sparse(os.path.join(folder, "base.vmdk"), Content(disk.size * 2, disk.extents, 1))
    sparse(os.path.join(folder, "disk.vmdk"), disk, parent_cid="7a3b19c2",
           more='parentFileNameHint="base.vmdk"')


def share_table(parts):
    """The second directory entry names the first table."""
    data = bytearray(parts["gd"])
    data[4:8] = data[0:4]
    parts["gd"] = bytes(data)


x_sparse("table-shared", "two directory entries name one table", edit=share_table,
         flags=F_NEWLINE, grain=8, size=5 * MIB)


def grain_on_table(parts):
    """The first entry names a place that a table is at: tables moved behind the grains."""
    data = bytearray(parts["gd"])
    at = (sum(len(parts[n]) for n in ("header", "descriptor", "gd", "gap")) + len(parts["grains"]))
    table = bytearray(data[SECTOR:SECTOR + 2048])
    struct.pack_into("<I", data, 0, at // SECTOR)
    struct.pack_into("<I", table, 0, at // SECTOR)
    parts["gd"] = bytes(data)
    parts["grains"] += pad(bytes(table), 64 * 1024)


x_sparse("grain-on-table", "an entry names the table it stands in", edit=grain_on_table,
         flags=F_NEWLINE)


def hide_grain(parts):
    """A record of a grain that is otherwise not there inside the data of another one (stored
    blocks), and the table names it: markers and tables tell two disks."""
    data = bytearray(parts["grains"])
    table_at = len(data) - 2048
    entries = [struct.unpack_from("<I", data, table_at + 4 * i)[0] for i in range(512)]
    start = parts_start(parts)
    places = sorted(e for e in entries if e > 1)
    for host in places[1:]:
        at = (host - start) * SECTOR
        lba, size = struct.unpack_from("<QI", data, at)
        index = entries.index(0)
        fake = grain_record(index * 128, keystream(77, 0, 512) + bytes(65024), 9)
        inside = up(at + 64, SECTOR)
        if size < 60000 or inside + len(fake) > at + 12 + size - 64:
            continue
        plain = bytearray(zlib.decompress(bytes(data[at + 12:at + 12 + size])))
        skip = inside - at - 12 - 7           # one stored block: 2 + 5 bytes in front
        plain[skip:skip + len(fake)] = fake
        body = zlib.compress(bytes(plain), 0)
        data[at:at + len(pad(struct.pack("<QI", lba, len(body)) + body))] = \
            pad(struct.pack("<QI", lba, len(body)) + body)
        struct.pack_into("<I", data, table_at + 4 * index, start + inside // SECTOR)
        parts["grains"] = bytes(data)
        return
    raise SystemExit("no grain to hide one in")


def parts_start(parts):
    return sum(len(parts[n]) for n in ("header", "descriptor", "gap")) // SECTOR


@case("x-stream-hidden-grain", "refuse", False, "the table names a grain record that hides inside "
      "another grain's data: whoever follows the markers reads another disk", 4 * MIB)
def _(folder, disk):
    whole = Content(disk.size, [(0, 512 * 1024, "random")], disk.seed)
    stream(os.path.join(folder, "disk.vmdk"), whole, level=0, edit=hide_grain)


@case("x-stream-endless", "refuse", True, "a terabyte of zeros (a hole) behind the stream")
def _(folder, disk):
    path = os.path.join(folder, "disk.vmdk")
    stream(path, disk)
    os.truncate(path, 1 << 40)


# --------------------------------------------------------------------------
# Commands
# --------------------------------------------------------------------------

DEFAULT_SIZE = 8 * MIB + 37 * 1024
HASH_LIMIT = 1 << 30            # do not hash terabytes of zeros


def build(names, out, raw, size, seed):
    os.makedirs(out, exist_ok=True)
    listing = os.path.join(out, "manifest.json")
    known = json.load(open(listing)) if os.path.exists(listing) else {}
    for name in names:
        spec = CASES[name]
        folder = os.path.join(out, name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        disk = FileContent(raw) if raw and not spec["hostile"] and not spec["size"] \
            else seeded(spec["size"] or size, seed)
        disk = spec["make"](folder, disk) or disk
        entry = {"expect": spec["expect"], "needs_seek": spec["seek"], "why": spec["why"],
                 "names_offset": spec["binary"]}
        if spec["expect"] != "refuse":
            entry["size"] = disk.size
            if name == "stream-vbox":
                entry["alt_size"] = up(disk.size, 128 * SECTOR)
            large = disk.size > HASH_LIMIT
            entry["sha256"] = None if large else disk.sha256()
            entry["extents"] = [[start, run, hashlib.sha256(disk.read(start, run)).hexdigest()]
                                for start, run, _ in disk.extents] if large else None
        known[name] = entry
    with open(listing, "w") as handle:
        json.dump(known, handle, indent=1, sort_keys=True)
        handle.write("\n")


def verify(out):
    """What qemu-img makes of every case: the table of README.md."""
    known = json.load(open(os.path.join(out, "manifest.json")))
    wrong = 0
    for name in sorted(known):
        entry = known[name]
        image, target = os.path.join(out, name, "disk.vmdk"), os.path.join(out, name + ".raw")
        try:
            run = subprocess.run(["qemu-img", "convert", "-f", "vmdk", "-O", "raw", image, target],
                                 capture_output=True, text=True, timeout=20,
                                 stdin=subprocess.DEVNULL)
            failed, message = run.returncode, (run.stderr.strip().split("\n") or [""])[0]
        except subprocess.TimeoutExpired:
            failed, message = 1, "no answer in 20 s"
        if failed:
            verdict = "refused: " + message.replace(image, "IMAGE").replace(out, "OUT")
        else:
            size = os.path.getsize(target)
            verdict = "read %d bytes" % size
            if entry.get("sha256"):
                digest, left = hashlib.sha256(), entry["size"]
                with open(target, "rb") as handle:
                    while left > 0:
                        block = handle.read(min(MIB, left))
                        if not block:
                            break
                        digest.update(block)
                        left -= len(block)
                    rest = handle.read()
                same = digest.hexdigest() == entry["sha256"] and not rest.strip(b"\0") and \
                    size in (entry["size"], entry.get("alt_size"))
                verdict = "same" if same else "DIFFERENT (%d bytes)" % size
            elif entry.get("extents"):
                with open(target, "rb") as handle:
                    same = size == entry["size"]
                    for start, run, want in entry["extents"]:
                        handle.seek(start)
                        same = same and hashlib.sha256(handle.read(run)).hexdigest() == want
                verdict = "same (extents)" if same else "DIFFERENT"
        if os.path.exists(target):
            os.unlink(target)
        good = verdict.startswith("same")
        if entry["expect"] == "accept" and not good:
            wrong += 1
        print("| %s | %s | %s |" % (name, entry["expect"], verdict[:150]))
    return wrong


def seeds(out):
    """As small as a kind can be; files that belong together are joined by a line "----"."""
    os.makedirs(out, exist_ok=True)
    disk = Content(24 * SECTOR, [(0, 600, "text"), (9 * SECTOR, 40, "random"),
                                 (20 * SECTOR, 2048, "text")], 1)
    small = dict(grain=8, desc_sectors=2, overhead=1)
    path = lambda name: os.path.join(out, name)
    stream(path("stream-end"), disk, **small)
    stream(path("stream-front"), disk, tables="front", **small)
    stream(path("stream-qemu"), disk, tables="front", rgd_flag=True, eos=False, short_last=True,
           **small)
    stream(path("stream-before"), disk, tables_before=True, progress=True, **small)
    stream(path("stream-ovftool"), disk, empty_gts=True, header_gd="real", **small)
    stream(path("stream-xo"), disk, zero_run=3, gt_val=0, two_directories=True, rgd_flag=True,
           one_marker=True, gtes=128, **small)
    stream(path("stream-zero"), disk, zero_gte=(1,), keep_zero=True, level=0, **small)
    sparse(path("sparse"), disk, grain=8)
    sparse(path("sparse-holes"), disk, grain=8, gtes=128, flags=F_NEWLINE | F_ZEROGTE, version=2,
           zero_gte=(1,), skip_empty=True)
    sectors = disk.size // SECTOR

    def joined(name, text, make=None):
        data = path(name + ".part")
        if make:
            make(data)
        with open(path(name), "wb") as handle:
            handle.write(text + (b"\n----\n" + open(data, "rb").read() if make else b""))
        if make:
            os.unlink(data)

    joined("flat", descriptor("monolithicFlat", ['RW %d FLAT "a" 0' % sectors]),
           lambda name: flat(name, disk))
    joined("custom", descriptor("custom", ['RW 8 FLAT "a" 8', "RW 9 ZERO", 'RW 8 VMFS "a"']),
           lambda name: flat(name, disk))
    joined("split", descriptor("twoGbMaxExtentSparse", ['RW %d SPARSE "%s"' % (sectors, n) for n in "ab"]),
           lambda name: sparse(name, disk, desc=False, grain=8))
    joined("cowd", descriptor("vmfsSparse", ['RW %d VMFSSPARSE "a"' % sectors]),
           lambda name: cowd(name, disk))
    joined("sesparse", descriptor("seSparse", ['RW %d SESPARSE "a"' % sectors]),
           lambda name: sesparse(name, disk))
    joined("parent", descriptor("custom", ["RW %d ZERO" % sectors], parent_cid="7a3b19c2",
                                more='parentFileNameHint="a"\nencoding="GBK"'),
           lambda name: sparse(name, disk, grain=8))
    joined("comments", descriptor("vmfs", ['RDONLY 8 VMFS "x"', "# RW"], eol=" \r\n"))


def main():
    parser = argparse.ArgumentParser(description="valid and hostile VMDK files for tests")
    parser.add_argument("command", choices=["list", "make", "all", "verify", "seeds"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", default="vmdk-cases")
    parser.add_argument("--raw")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=DEFAULT_SIZE)
    parser.add_argument("--only", choices=["valid", "hostile"])
    args = parser.parse_args()
    names = args.names or [n for n in CASES if not args.only or
                           CASES[n]["hostile"] == (args.only == "hostile")]
    unknown = [n for n in names if n not in CASES]
    if unknown:
        parser.error("no such case: " + " ".join(unknown))
    if args.size <= 0 or args.size % SECTOR:
        parser.error("--size must be a positive multiple of 512")
    if args.command == "list":
        for name in names:
            print("%-28s %-7s %s" % (name, CASES[name]["expect"], CASES[name]["why"]))
        return 0
    if args.command == "seeds":
        seeds(args.out)
        return 0
    if args.command == "verify":
        return 1 if verify(args.out) else 0
    if args.command == "make" and not args.names:
        parser.error("make needs at least one NAME")
    build(names, args.out, args.raw, args.size, args.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
