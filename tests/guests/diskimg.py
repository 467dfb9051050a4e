"""Small helpers that lay out guest disks as plain files.

No loop devices, no device-mapper and no appliance: partition tables come
from sfdisk, filesystems from mke2fs/mkfs.vfat working at an offset, the LVM2
label and metadata and the BIOS boot blocks are written here.
"""
# SPDX-License-Identifier: LGPL-2.1-or-later
import hashlib
import os
import struct
import subprocess
import sys
import zlib

MIB = 1 << 20
SECTOR = 512


def run(*argv, **kw):
    kw.setdefault("check", True)
    return subprocess.run([str(a) for a in argv], **kw)


def new_disk(path, mib):
    with open(path, "wb") as f:
        f.truncate(mib * MIB)


def sfdisk(path, script):
    run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", path,
        input=script.encode())


def ext4_from_tree(path, tree, start_mib, size_mib, uuid, label, stamp,
                   owner=None, more=()):
    """Make an ext4 filesystem inside `path`, filled from directory `tree`;
    `more` goes to mke2fs."""
    env = dict(os.environ, E2FSPROGS_FAKE_TIME=str(stamp),
               SOURCE_DATE_EPOCH=str(stamp))
    kind = [] if "-t" in more else ["-t", "ext4"]
    size = [] if "-b" in more else ["-b", 4096]
    run("mke2fs", "-q", "-F", *kind, *size, *more, "-m", 1, "-U", uuid,
        "-L", label, "-d", tree,
        "-E", "offset=%d,hash_seed=%s,lazy_itable_init=1,nodiscard%s"
        % (start_mib * MIB, uuid, ",root_owner=" + owner if owner else ""),
        path, "%dM" % size_mib, env=env)


def _embed(path, image, start_mib):
    """Copy a file system image into the disk, holes left out."""
    with open(image, "rb") as i, open(path, "r+b") as f:
        f.seek(start_mib * MIB)
        while True:
            b = i.read(MIB)
            if not b:
                break
            if b.strip(b"\0"):
                f.write(b)
            else:
                f.seek(len(b), 1)


def _xfs_proto(tree, out):
    """mkfs.xfs prototype of a tree of folders, files and symlinks."""
    lines = ["/dev/null", "0 0", "d--755 0 0"]

    def walk(folder, depth):
        for e in sorted(os.scandir(folder), key=lambda x: x.name):
            pad, mode = " " * depth, e.stat(follow_symlinks=False).st_mode & 0o777
            if e.is_symlink():
                lines.append("%s%s l--777 0 0 %s" % (pad, e.name, os.readlink(e.path)))
            elif e.is_dir():
                lines.append("%s%s d--%03o 0 0" % (pad, e.name, mode))
                walk(e.path, depth + 1)
                lines.append(pad + "$")
            else:
                lines.append("%s%s ---%03o 0 0 %s" % (pad, e.name, mode, e.path))
    walk(tree, 1)
    with open(out, "w") as f:
        f.write("\n".join(lines + ["$", "$", ""]))


def fs_from_tree(fs, path, tree, start_mib, size_mib, uuid, label, stamp, work):
    """Like ext4_from_tree for ext4, xfs and btrfs; all files become root's."""
    if fs == "ext4":
        return ext4_from_tree(path, tree, start_mib, size_mib, uuid, label, stamp, owner="0:0")
    image = os.path.join(work, "fs.img")
    with open(image, "wb") as f:
        f.truncate(size_mib * MIB)
    if fs == "xfs":
        proto = os.path.join(work, "proto")
        _xfs_proto(tree, proto)
        run("mkfs.xfs", "-q", "-f", "-L", label, "-m", "uuid=" + uuid, "-p", proto, image)
    else:
        # It adds metadata copies and grows a file that is too small for them.
        run("mkfs.btrfs", "-q", "-f", "-m", "single", "-L", label, "-U", uuid,
            "--rootdir", tree, image, stdout=subprocess.DEVNULL,
            # Its UUID may be the one of a file that blkid was shown once.
            env=dict(os.environ, BLKID_FILE=os.devnull))
        if os.path.getsize(image) != size_mib * MIB:
            raise SystemExit("btrfs does not fit into %d MiB" % size_mib)
    _embed(path, image, start_mib)
    os.unlink(image)


def esp(path, start_mib, size_mib, volume_id, root_uuid, work, modules):
    """FAT32 ESP with GRUB at the removable-media path and at EFI/debian."""
    run("mkfs.vfat", "-F", "32", "-s", "1", "-i", volume_id, "-n", "EFI",
        "--offset", start_mib * MIB // SECTOR, path, size_mib * 1024,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    early = os.path.join(work, "early-efi.cfg")
    with open(early, "w") as f:
        f.write("search --no-floppy --fs-uuid --set=root %s\n"
                "set prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n" % root_uuid)
    core = os.path.join(work, "BOOTX64.EFI")
    run("grub-mkimage", "-O", "x86_64-efi", "-o", core, "-p", "/EFI/debian", "-c", early,
        "part_gpt", "part_msdos", "fat", "configfile", "search", "search_fs_uuid",
        "linux", "serial", "terminal", "echo", "test", "minicmd", *modules)
    env = dict(os.environ, MTOOLS_SKIP_CHECK="1")
    img = "%s@@%dM" % (path, start_mib)
    run("mmd", "-i", img, "::/EFI", "::/EFI/BOOT", "::/EFI/debian", env=env)
    run("mcopy", "-i", img, core, "::/EFI/BOOT/BOOTX64.EFI", env=env)
    run("mcopy", "-i", img, core, "::/EFI/debian/grubx64.efi", env=env)


def sample(path):
    """256 KiB of known bytes: a guest that prints their hash has read them."""
    with open(path, "wb") as f:
        for i in range(8192):
            f.write(hashlib.sha256(b"rehost %d" % i).digest())


def grub_bios(path, core):
    """Put GRUB's boot.img and a core.img in the gap before 1 MiB.

    Both default to 'rest of the image follows at sector 1', which is where
    the core image goes, so no block list has to be patched.
    """
    with open("/usr/lib/grub/i386-pc/boot.img", "rb") as f:
        boot = f.read()
    with open(core, "rb") as f:
        data = f.read()
    if len(data) > MIB - SECTOR:
        raise SystemExit("core image does not fit before 1 MiB")
    with open(path, "r+b") as f:
        f.write(boot[:440])
        f.seek(SECTOR)
        f.write(data)


def _lvm_crc(data):
    # LVM uses the reflected CRC-32 with its own seed and no final inversion.
    return zlib.crc32(data, 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff


def lvm_pv(path, start_mib, size_mib, vg, lvs, stamp, tag="rehost"):
    """Write a one-PV LVM2 volume group; lvs = [(name, MiB)], 4 MiB extents.

    Returns {lv name: start in MiB on the disk}.
    """
    def uid(n):
        s = ("%s%s%06d" % (tag, "0" * 32, n))
        s = s[:26] + s[-6:]
        return s, "-".join((s[0:6], s[6:10], s[10:14], s[14:18], s[18:22],
                            s[22:26], s[26:32]))
    pe_start = MIB
    extent = 4 * MIB
    count = (size_mib * MIB - pe_start) // extent
    pv_raw, pv_txt = uid(1)
    used, where, body = 0, {}, []
    for i, (name, mib) in enumerate(lvs):
        n = mib * MIB // extent
        where[name] = start_mib + (pe_start + used * extent) // MIB
        body.append("""%s {
id = "%s"
status = ["READ", "WRITE", "VISIBLE"]
flags = []
creation_time = %d
creation_host = "guest"
segment_count = 1
segment1 {
start_extent = 0
extent_count = %d
type = "striped"
stripe_count = 1
stripes = [
"pv0", %d
]
}
}
""" % (name, uid(10 + i)[1], stamp, n, used))
        used += n
    if used > count:
        raise SystemExit("logical volumes do not fit")
    text = """%s {
id = "%s"
seqno = 1
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = %d
max_lv = 0
max_pv = 0
metadata_copies = 0
physical_volumes {
pv0 {
id = "%s"
device = "/dev/sda2"
status = ["ALLOCATABLE"]
flags = []
dev_size = %d
pe_start = %d
pe_count = %d
}
}
logical_volumes {
%s}
}
# Generated for a test guest
contents = "Text Format Volume Group"
version = 1
description = ""
creation_host = "guest"
creation_time = %d
""" % (vg, uid(2)[1], extent // SECTOR, pv_txt, size_mib * MIB // SECTOR,
       pe_start // SECTOR, count, "".join(body), stamp)
    text = text.encode() + b"\0"

    # Label in sector 1: header, then the PV header it covers with its CRC.
    pv = pv_raw.encode() + struct.pack("<Q", size_mib * MIB)
    pv += struct.pack("<QQQQ", pe_start, 0, 0, 0)
    pv += struct.pack("<QQQQ", 4096, MIB - 4096, 0, 0)
    pv += struct.pack("<II", 2, 1)                    # extension v2, PV in use
    pv += struct.pack("<QQ", 0, 0)                    # no bootloader area
    tail = struct.pack("<I8s", 32, b"LVM2 001") + pv
    tail += bytes(SECTOR - 20 - len(tail))
    label = struct.pack("<8sQI", b"LABELONE", 1, _lvm_crc(tail)) + tail

    head = struct.pack("<16sIQQ", b" LVM2 x[5A%r0N*>", 1, 4096, MIB - 4096)
    head += struct.pack("<QQII", SECTOR, len(text), _lvm_crc(text), 0)
    head += bytes(24)
    head += bytes(SECTOR - 4 - len(head))
    with open(path, "r+b") as f:
        f.seek(start_mib * MIB + SECTOR)
        f.write(label)
        f.seek(start_mib * MIB + 4096)
        f.write(struct.pack("<I", _lvm_crc(head)) + head + text)
    return where


def mkswap(path, start_mib, size_mib, uuid):
    """Swap signature for 4 KiB pages (version 1)."""
    page = 4096
    last = size_mib * MIB // page - 1
    head = bytearray(page)
    struct.pack_into("<III", head, 1024, 1, last, 0)
    head[1036:1052] = bytes.fromhex(uuid.replace("-", ""))
    head[page - 10:] = b"SWAPSPACE2"
    with open(path, "r+b") as f:
        f.seek(start_mib * MIB)
        f.write(head)


if __name__ == "__main__":
    {"sample": sample}[sys.argv[1]](*sys.argv[2:])
