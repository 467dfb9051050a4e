#!/usr/bin/env python3
"""Make a supplementary initramfs archive that adds drivers to an existing one.

  addcpio.py [--no-conf] [--no-index] ROOT KVER OUT.cpio MODULE...

ROOT is a directory that holds the guest's lib/modules/KVER (a full tree, or
just modules.* and the .ko files).  The kernel unpacks concatenated archives
one after the other and later files win, so `initrd + OUT.cpio` behaves like an
initramfs made with the extra modules.  Written for initramfs-tools: listed in
conf/modules, found through full module indexes.
"""
# SPDX-License-Identifier: LGPL-2.1-or-later
import os
import sys

flags = [a for a in sys.argv[1:] if a.startswith("--")]
root, kver, out, *want = [a for a in sys.argv[1:] if not a.startswith("--")]
base = None
for lib in ("usr/lib", "lib"):
    d = os.path.join(root, lib, "modules", kver)
    if os.path.isdir(d) and not os.path.islink(os.path.join(root, lib)):
        base, prefix = d, lib
        break
if base is None:
    sys.exit("no lib/modules/%s below %s" % (kver, root))

deps = {}
with open(os.path.join(base, "modules.dep")) as f:
    for line in f:
        ko, _, rest = line.strip().partition(":")
        name = os.path.basename(ko).split(".ko")[0].replace("-", "_")
        deps[name] = [ko] + rest.split()
files, names = [], []
for m in want:
    ks = deps.get(m.replace("-", "_"))
    if ks is None:
        print("built in or missing: " + m, file=sys.stderr)
        continue
    names.append(m)
    files += [k for k in reversed(ks) if k not in files]

ino = 0


def entry(name, mode, data=b""):
    global ino
    ino += 1
    n = name.encode() + b"\0"
    h = b"070701" + b"".join(b"%08X" % v for v in (
        ino, mode, 0, 0, 2 if mode & 0o040000 else 1, 1735689600, len(data),
        0, 0, 0, 0, len(n), 0))
    r = h + n
    r += bytes(-len(r) % 4)
    return r + data + bytes(-len(data) % 4)


with open(out, "wb") as o:
    done = set()

    def put(path, data):
        # Never name 'lib' itself: it may be a symlink that a directory entry
        # would replace.
        parts = path.split("/")[:-1]
        for i in range(1, len(parts) + 1):
            p = "/".join(parts[:i])
            if p not in done and p not in ("lib", "usr", "usr/lib", "conf"):
                done.add(p)
                o.write(entry(p, 0o040755))
        o.write(entry(path, 0o100644, data))

    for k in files:
        with open(os.path.join(base, k), "rb") as f:
            put("%s/modules/%s/%s" % (prefix, kver, k), f.read())
    for i in sorted(os.listdir(base)) if "--no-index" not in flags else ():
        if i.startswith("modules.") and i not in ("modules.symbols", "modules.symbols.bin"):
            with open(os.path.join(base, i), "rb") as f:
                put("%s/modules/%s/%s" % (prefix, kver, i), f.read())
    old = os.environ.get("CONF_MODULES")
    lines = open(old).read().split("\n") if old else []
    lines = [x for x in lines if x] + [n for n in names if n not in lines]
    if "--no-conf" not in flags:
        put("conf/modules", ("\n".join(lines) + "\n").encode())
    o.write(entry("TRAILER!!!", 0))
    o.write(bytes(-o.tell() % 512))
