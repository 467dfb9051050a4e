#!/usr/bin/env python3
"""Give a guest of mkguest.py an initramfs that lacks no driver.

  fullimage.py DISK.raw LAYOUT.json IMAGE

All modules of the guest's only kernel are put into one more cpio archive behind
what is there, as MODULES=most has them.
"""
import gzip
import json
import os
import subprocess
import sys
import tempfile

disk, layout, image = sys.argv[1:4]
dev = "%s?offset=%d" % (disk, json.load(open(layout))["root"] << 20)


def debugfs(*argv):
    return subprocess.run(["debugfs", *argv, dev], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


with tempfile.TemporaryDirectory() as tmp:
    os.makedirs(tmp + "/t/usr/lib")
    debugfs("-R", "rdump /usr/lib/modules %s/t/usr/lib" % tmp)
    old = debugfs("-R", "cat " + image)
    from_old = subprocess.run(["lz4", "-dc"] if old[:4] == b"\x02\x21\x4c\x18" else ["gzip", "-dc"],
                              input=old, stdout=subprocess.PIPE, check=True).stdout
    os.makedirs(tmp + "/o")
    subprocess.run(["cpio", "-idmu", "--quiet"], input=from_old, cwd=tmp + "/o", check=True)
    subprocess.run(["cp", "-a", tmp + "/t/usr", tmp + "/o/"], check=True)
    names = subprocess.run(["find", "."], cwd=tmp + "/o", stdout=subprocess.PIPE, check=True).stdout
    data = subprocess.run(["cpio", "-oH", "newc", "--quiet", "-R", "0:0"], input=names, cwd=tmp + "/o",
                          stdout=subprocess.PIPE, check=True).stdout
    with open(tmp + "/image", "wb") as f:
        f.write(gzip.compress(data, mtime=0))
    with open(tmp + "/do", "w") as f:
        f.write("rm %s\nwrite %s/image %s\n" % (image, tmp, image))
    debugfs("-w", "-f", tmp + "/do")
