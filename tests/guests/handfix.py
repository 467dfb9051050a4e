#!/usr/bin/env python3
"""Do by hand what a converter must do inside a Linux guest, as a reference.

  handfix.py [options] DISK.raw

Edits DISK in place: a supplementary cpio segment with the target's drivers is
appended to every initramfs, /dev/sdXN becomes UUID= in fstab and grub.cfg,
and the network name is pinned to its MAC.  Works on ext4 wherever it lies on
the disk (partition or LVM), through debugfs alone: no root, no appliance.
It knows only our test guests: it shows that a boot test can pass, and takes
the converter's place where a test asks whether the judge itself works.

  --modules LIST   drivers for the segment, comma separated ("" = no segment)
  --segment FORM   gzip (default), zstd, xz, lz4 (legacy) or none (plain cpio)
  --pad N          zero bytes to put before the segment at least (default 0;
                   always fills to a multiple of 4 unless --no-align)
  --no-align       append right behind the last byte
  --no-conf        leave conf/modules out (dracut images have none)
  --no-index       leave the modules.* index files out
  --lib DIR        lib or usr/lib: where the archive has its modules
  --mac MAC        for the .link file; --nic NAME (default ens192)
  --no-names       leave fstab, grub.cfg and the NIC name alone
"""
# SPDX-License-Identifier: LGPL-2.1-or-later
import argparse
import os
import re
import subprocess
import sys
import tempfile
import uuid

here = os.path.dirname(os.path.abspath(__file__))
ALL = "virtio_pci,virtio_blk,virtio_scsi,virtio_net,xen-blkfront,xen-netfront"
PACK = {"gzip": ["gzip", "-n", "-1"], "zstd": ["zstd", "-q", "-3"],
        "xz": ["xz", "--check=crc32", "-1"], "lz4": ["lz4", "-q", "-l", "-1"],
        "none": ["cat"]}


def filesystem(disk):
    """Offset and UUID of the first ext4 file system of the disk."""
    with open(disk, "rb") as f:
        size = os.path.getsize(disk)
        for at in range(1 << 20, size, 1 << 20):
            f.seek(at + 1024)
            sb = f.read(1024)
            if len(sb) == 1024 and sb[56:58] == b"\x53\xef" \
                    and sb[90:92] == b"\0\0":        # not a backup superblock
                return at, str(uuid.UUID(bytes=sb[104:120]))
    sys.exit("no ext file system on " + disk)


def swap_uuid(disk):
    with open(disk, "rb") as f:
        for at in range(1 << 20, os.path.getsize(disk), 1 << 20):
            f.seek(at + 4086)
            if f.read(10) == b"SWAPSPACE2":
                f.seek(at + 1036)
                return str(uuid.UUID(bytes=f.read(16)))


class Fs:
    def __init__(self, disk, tmp):
        self.at, self.uuid = filesystem(disk)
        self.dev, self.tmp = "%s?offset=%d" % (disk, self.at), tmp

    def do(self, *commands, write=False):
        script = os.path.join(self.tmp, "script")
        with open(script, "w") as f:
            f.write("\n".join(commands) + "\n")
        r = subprocess.run(["debugfs"] + (["-w"] if write else []) + ["-f", script, self.dev],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return r.stdout

    def names(self, folder):
        out = self.do("ls -p " + folder)
        rows = [l.split("/") for l in out.splitlines() if l.startswith("/")]
        return [r[5] for r in rows if r[1] != "0" and r[5] not in (".", "..")]

    def get(self, path):
        to = os.path.join(self.tmp, "got")
        if os.path.exists(to):
            os.unlink(to)
        self.do("dump %s %s" % (path, to))
        if not os.path.exists(to):
            return None
        with open(to, "rb") as f:
            return f.read()

    def put(self, path, data, mode="0100644"):
        src = os.path.join(self.tmp, "put")
        with open(src, "wb") as f:
            f.write(data)
        self.do("rm " + path, "write %s %s" % (src, path),
                "sif %s mode %s" % (path, mode), "sif %s uid 0" % path,
                "sif %s gid 0" % path, write=True)
        if self.get(path) != data:
            sys.exit("writing %s failed" % path)


def segment(fs, o, kver, tmp):
    root = os.path.join(tmp, "root")
    lib = o.lib or ("usr/lib" if "modules" not in fs.names("/lib/.")
                    or b"symlink" in fs.do("stat /lib").encode() else "lib")
    os.makedirs(os.path.join(root, lib, "modules"))
    real = "/usr/lib" if "modules" in fs.names("/usr/lib") else "/lib"
    fs.do("rdump %s/modules/%s %s" % (real, kver, os.path.join(root, lib, "modules")))
    conf = os.path.join(tmp, "conf")
    with open(conf, "wb") as f:
        f.write(fs.get("/etc/initramfs-tools/modules") or b"")
    out = os.path.join(tmp, "add.cpio")
    env = dict(os.environ, CONF_MODULES=conf)
    argv = [sys.executable, os.path.join(here, "addcpio.py")]
    argv += ["--no-conf"] * o.no_conf + ["--no-index"] * o.no_index
    subprocess.run(argv + [root, kver, out] + o.modules.split(","), check=True, env=env)
    with open(out, "rb") as f:
        return subprocess.run(PACK[o.segment], stdin=f, stdout=subprocess.PIPE, check=True).stdout


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--modules", default=ALL)
    p.add_argument("--segment", choices=sorted(PACK), default="gzip")
    p.add_argument("--pad", type=int, default=0)
    p.add_argument("--no-align", action="store_true")
    p.add_argument("--no-conf", action="store_true")
    p.add_argument("--no-index", action="store_true")
    p.add_argument("--lib")
    p.add_argument("--mac", default="00:50:56:8a:12:34")
    p.add_argument("--nic", default="ens192")
    p.add_argument("--no-names", action="store_true")
    p.add_argument("disk")
    o = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="handfix-") as tmp:
        fs = Fs(o.disk, tmp)
        for name in fs.names("/boot"):
            m = re.match(r"(?:initrd\.img|initramfs)-(.*?)(?:\.img)?$", name)
            if not m or not o.modules:
                continue
            seg = segment(fs, o, m.group(1), tmp)
            img = fs.get("/boot/" + name)
            img += bytes(o.pad)
            if not o.no_align:
                img += bytes(-len(img) % 4)
            fs.put("/boot/" + name, img + seg)
            print("%s: %d bytes added" % (name, len(seg)))
        if o.no_names:
            return
        swap = swap_uuid(o.disk)
        for path in ("/etc/fstab", "/boot/grub/grub.cfg"):
            text = fs.get(path).decode()
            text = re.sub(r"^/dev/sda1(?= )", "UUID=" + fs.uuid, text, flags=re.M)
            text = text.replace("root=/dev/sda1 ", "root=UUID=%s " % fs.uuid)
            if swap:
                text = re.sub(r"^/dev/sda2(?= )", "UUID=" + swap, text, flags=re.M)
            fs.put(path, text.encode())
        fs.do("mkdir /etc/systemd", "mkdir /etc/systemd/network", write=True)
        fs.put("/etc/systemd/network/10-%s.link" % o.nic,
               ("[Match]\nMACAddress=%s\n[Link]\nName=%s\n" % (o.mac, o.nic)).encode())


if __name__ == "__main__":
    main()
