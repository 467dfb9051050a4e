#!/usr/bin/env python3
"""mkzfs.py - a small ZFS pool from folders, by the on-disk specification: one
disk or a mirror, nothing compressed, every block with its checksum.  GRUB's
reader, which checks them, reads it; what ZFS itself writes is tried in
tests/boot/bsd-zfs.sh.

  mkzfs.py POOL VERSION SIZE-MIB IMAGE:OFFSET... -- DATASET=FOLDER[,MTIME]...

  --bootfs DATASET   the pool's property
  --feature NAME     in use, needed for reading (VERSION 5000)
  --path PATH        of the disk, as the system saw it last
  --big yes          big-endian, as SPARC writes it
  --circle yes       each dataset is its own parent and child

Each IMAGE:OFFSET is one side of a mirror.  DATASET is "" for the pool's own,
or "ROOT/default"; those above it are made.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import hashlib
import os
import stat
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from zfslabel import number, nvlist, pair, string  # noqa: E402

E = "<"  # the pool's order of bytes
circle = False
LABEL, FRONT = 256 << 10, 4 << 20
TXG = 10
# dmu_object_type
OBJECT_DIRECTORY, DSL_DIR, CHILD_MAP, DSL_DATASET, ZNODE, FILE, FOLDER, MASTER, POOL_PROPS, FEATURES = \
    1, 12, 13, 16, 17, 19, 20, 21, 22, 196
META, ZPL = 1, 2


def eck(block, at):
    """Seal a block with the checksum that is kept inside it."""
    body = block[:-40] + struct.pack(E + "QQQQQ", 0x0210DA7AB10C7A11, at, 0, 0, 0)
    words = struct.unpack(">4Q", hashlib.sha256(body).digest())
    return block[:-40] + struct.pack(E + "Q4Q", 0x0210DA7AB10C7A11, *words)


def fletcher4(data):
    a = b = c = d = 0
    for (w,) in struct.iter_unpack(E + "I", data):
        a += w
        b += a
        c += b
        d += c
    m = (1 << 64) - 1
    return struct.pack(E + "4Q", a & m, b & m, c & m, d & m)


class Pool:
    def __init__(self, size):
        self.data = bytearray(size - 2 * LABEL)  # from the first label on
        self.next = 1 << 20

    def block(self, data, kind, level=0):
        """Put a block down and name it: a block pointer."""
        data = bytes(data) + bytes(-len(data) % 512)
        at, sectors = self.next, len(data) // 512
        self.next += len(data)
        if FRONT + self.next > len(self.data):
            sys.exit("mkzfs.py: the pool is too small")
        self.data[FRONT + at:FRONT + at + len(data)] = data
        prop = (sectors - 1) | (sectors - 1) << 16 | 2 << 32 | 7 << 40 | kind << 48 | level << 56 | (E == "<") << 63
        return struct.pack(E + "6Q", sectors, at >> 9, 0, 0, 0, 0) + struct.pack(E + "QQQQQQ", prop, 0, 0, 0, TXG, 1) + \
            fletcher4(data)


def dnode(kind, blocks, block_size, bonus_kind=0, bonus=b"", levels=1, last=0):
    n = max(1, len(blocks))  # no flags: what is used counts in sectors
    d = struct.pack(E + "8BHH4xQQ32x", kind, 14, levels, n, bonus_kind, 7, 2, 0, block_size // 512, len(bonus), last,
                    block_size // 512 * len(blocks))
    d += b"".join(blocks) or bytes(128)
    d += bonus
    assert len(d) <= 512, "a dnode is full"
    return d + bytes(512 - len(d))


def zap(entries):
    b = struct.pack(E + "QQQ40x", 1 << 63 | 3, 0x1234567, 0)
    for name, value in entries:
        name = name.encode()
        assert len(name) < 50, name
        b += struct.pack(E + "QIH50s", value, 0, 0, name)
    return b + bytes(-len(b) % 512)


class Objset:
    """Objects by number; what they say is put down when it is finished."""

    def __init__(self, pool, kind):
        self.pool, self.kind, self.dnodes = pool, kind, {}

    def add(self, d=None):
        n = max(self.dnodes, default=0) + 1
        self.dnodes[n] = d
        return n

    def zap(self, kind, entries, at=None, bonus_kind=0, bonus=b""):
        data = zap(entries)
        d = dnode(kind, [self.pool.block(data, kind)], len(data), bonus_kind, bonus)
        if at is None:
            return self.add(d)
        self.dnodes[at] = d
        return at

    def finish(self):
        """A block pointer to it."""
        count = max(self.dnodes) + 1
        all_ = b"".join(self.dnodes.get(i) or bytes(512) for i in range(count))
        all_ += bytes(-len(all_) % 16384)
        blocks = [self.pool.block(all_[i:i + 16384], 10) for i in range(0, len(all_), 16384)]
        levels = 1
        if len(blocks) > 3:
            leaf = b"".join(blocks)
            blocks, levels = [self.pool.block(leaf + bytes(16384 - len(leaf)), 10, 1)], 2
        meta = dnode(10, blocks, 16384, levels=levels, last=len(all_) // 16384 - 1)
        return self.pool.block(meta + bytes(192) + struct.pack(E + "QQ", self.kind, 0) + bytes(1024 - 720), 11)


class Files(Objset):
    """A file system from a folder."""

    def __init__(self, pool, folder, mtime):
        super().__init__(pool, ZPL)
        self.mtime = mtime
        self.add()  # the master node
        root = self.folder(folder, None)
        self.zap(MASTER, [("VERSION", 3), ("ROOT", root), ("DELETE_QUEUE", self.zap(23, []))], 1)

    def znode(self, mode, size, parent, links=1):
        t = struct.pack(E + "QQ", self.mtime, 0) * 4
        z = t + struct.pack(E + "QQQQQ", TXG, mode, size, parent, links) + bytes(264 - 104)
        return z

    def folder(self, path, parent):
        me = self.add()
        entries = []
        for name in sorted(os.listdir(path)) if path else []:
            p = os.path.join(path, name)
            st = os.lstat(p)
            if stat.S_ISDIR(st.st_mode):
                entries.append((name, self.folder(p, me) | 4 << 60))
            elif stat.S_ISLNK(st.st_mode):
                entries.append((name, self.link(os.readlink(p).encode(), me) | 10 << 60))
            else:
                entries.append((name, self.file(open(p, "rb").read(), st.st_mode, me) | 8 << 60))
        z = self.znode(0o40755, len(entries) + 2, parent or me, 2)
        return self.zap(FOLDER, entries, me, ZNODE, z)

    def link(self, target, parent):
        z = self.znode(0o120777, len(target), parent) + target
        return self.add(dnode(FILE, [], 512, ZNODE, z))

    def file(self, data, mode, parent):
        step = min(1 << 17, max(512, len(data) + -len(data) % 512))
        blocks = [self.pool.block(data[i:i + step].ljust(step, b"\0"), FILE) for i in range(0, len(data), step)]
        levels, last = 1, max(0, len(blocks) - 1)
        if len(blocks) > 1:
            leaf = b"".join(blocks)
            blocks, levels = [self.pool.block(leaf + bytes(16384 - len(leaf)), FILE, 1)], 2
        return self.add(dnode(FILE, blocks, step, ZNODE, self.znode(mode, len(data), parent), levels, last))


def build(pool, version, datasets, bootfs, features):
    mos = Objset(pool, META)
    directory = mos.add()
    ids = {}
    tree = {}
    for name in datasets:
        at = tree
        for part in [p for p in name.split("/") if p]:
            at = at.setdefault(part, {})

    def dataset(name, below, parent):
        me, head = mos.add(), mos.add()
        ids[name] = head
        own = [("again", me)] if circle else []
        children = mos.zap(CHILD_MAP, own + [(k, dataset((name + "/" + k).lstrip("/"), v, me))
                                             for k, v in below.items()])
        folder, mtime = datasets.get(name, (None, 1000000000))
        bp = Files(pool, folder, mtime).finish()
        names = mos.zap(15, [])
        bonus = struct.pack(E + "6Q", mtime, head, me if circle else parent, 0, children, 1 << 20) + bytes(256 - 48)
        mos.dnodes[me] = dnode(DSL_DIR, [], 512, DSL_DIR, bonus)
        bonus = struct.pack(E + "16Q", me, 0, 0, 0, names, 0, mtime, TXG, 0, 1 << 20, 1 << 20, 1 << 20, 1 << 20,
                            me + 77, me + 78, 0) + bp + bytes(64)
        mos.dnodes[head] = dnode(DSL_DATASET, [], 512, DSL_DATASET, bonus)
        return me

    entries = [("root_dataset", dataset("", tree, 0))]
    if bootfs is not None:
        entries.append(("pool_props", mos.zap(POOL_PROPS, [("version", version), ("bootfs", ids[bootfs])])))
    if version >= 5000:
        entries.append(("features_for_read", mos.zap(FEATURES, [(f, 1) for f in features])))
    mos.zap(OBJECT_DIRECTORY, entries, directory)
    return mos.finish()


def label(name, version, guids, side, size, path, features):
    disk = lambda i: nvlist(string("type", "disk"), number("id", i), number("guid", guids[i]), string("path", path),
                            number("whole_disk", 0))
    top = [number("metaslab_array", 0), number("metaslab_shift", 24), number("ashift", 9), number("asize", size),
           number("is_log", 0), number("create_txg", 4)]
    if len(guids) == 1:
        tree = nvlist(string("type", "disk"), number("id", 0), number("guid", guids[0]), string("path", path), *top)
        top_guid = guids[0]
    else:
        top_guid = 0x7070707070
        tree = nvlist(string("type", "mirror"), number("id", 0), number("guid", top_guid), *top,
                      pair("children", 20, len(guids), b"".join(disk(i) for i in range(len(guids)))))
    pairs = [number("version", version), string("name", name), number("state", 0), number("txg", TXG),
             number("pool_guid", 0x1122334455667788), number("hostid", 1), string("hostname", "box"),
             number("top_guid", top_guid), number("guid", guids[side]), number("vdev_children", 1),
             pair("vdev_tree", 19, 1, tree)]
    if version >= 5000:
        pairs.append(pair("features_for_read", 19, 1, nvlist(*[pair(f, 1, 0, b"") for f in features])))
    return bytes([1, E == "<", 0, 0]) + nvlist(*pairs)


def main():
    global E, circle
    args, bootfs, features, path = sys.argv[1:], None, [], "/dev/da0p2"
    while args[0].startswith("--"):
        key, value = args[0], args[1]
        args = args[2:]
        if key == "--bootfs":
            bootfs = value
        elif key == "--feature":
            features.append(value)
        elif key == "--big":
            E = ">"
        elif key == "--circle":
            circle = True
        else:
            path = value
    cut = args.index("--")
    name, version, size = args[0], int(args[1]), int(args[2]) << 20
    datasets = {}
    for a in args[cut + 1:]:
        k, v = a.split("=", 1)
        folder, _, mtime = v.partition(",")
        datasets[k] = (folder, int(mtime or 1700000000))
    pool = Pool(size)
    root = build(pool, version, datasets, bootfs, features)
    places = [p.rsplit(":", 1) for p in args[3:cut]]
    guids = [0xABCD0000 + i for i in range(len(places))]
    ub = struct.pack(E + "5Q", 0x00BAB10C, version, TXG, 0x1122334455667788 + sum(guids), 1700000000) + root
    for side, (image, offset) in enumerate(places):
        config = label(name, version, guids, side, size, path, features)
        with open(image, "r+b") as f:
            f.seek(int(offset))
            f.write(pool.data)
            for at in (0, LABEL, size - 2 * LABEL, size - LABEL):
                one = bytearray(LABEL)
                one[16384:131072] = eck(config.ljust(114688, b"\0"), at + 16384)
                slot = 131072 + TXG * 1024
                one[slot:slot + 1024] = eck(ub.ljust(1024, b"\0"), at + slot)
                f.seek(int(offset) + at)
                f.write(one)


main()
