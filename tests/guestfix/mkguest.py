#!/usr/bin/env python3
"""Make the disk of a small Linux guest that does not boot but looks right.

  mkguest.py [options] KIND OUT.raw

KIND: debian ubuntu rocky sles rhel6 alpine arch: the configuration files, the
names in /boot, and an initramfs of that distribution's builder that holds the
driver of VMware's disk only.  Beside OUT.raw, OUT.raw.json tells where each
file system lies.  No root, no loop devices.

  --layout plain|lvm|uefi   MBR; MBR with LVM over two segments; GPT with an ESP
  --codec NAME   gzip zstd xz lz4 none: of the initramfs's main segment
  --second NAME  one more segment of that codec behind it, with every module
  --early        a plain microcode archive in front of it
  --no-module M  the guest has no such module (again and again)
  --hibernated   the swap holds a suspended system
  --sd-boot      (uefi) kernel and initramfs lie on the ESP, for systemd-boot
  --small-fat    (uefi) the ESP is a FAT32 with few clusters
  --uki          it starts from a unified kernel image on the ESP
  --bare-esp     (uefi) nothing is on the ESP but what --with puts there
  --kernel NAME  the kernel's file has that name, and its version in its header
  --image NAME   the initramfs's file has that name
  --by-mac       (ubuntu) the network is configured by MAC address alone
  --xfs, --btrfs the root file system is of that kind (by mkfs), --layout plain only
  --mke2fs ARGS  the root file system has other features
  --strange      an initramfs that is no archive
  --without PATH the guest has no such file (again and again)
  --ova WORDS    then pack the disk by mkova.py with these words
  --with FILE    more files: each after a line "== PATH [MODE]", "== PATH -> TARGET"
                 for a link, "== PATH +" to put them into the initramfs instead,
                 "== PATH +-> TARGET" for a link in there; with --layout uefi
                 what is below /boot/efi lies on the ESP
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "guests"))
import diskimg  # noqa: E402

STAMP = 1735689600
BY_MAC = False
ROOT, SWAP = "52484f53-5400-4000-8000-0000000000c1", \
    "52484f53-5400-4000-8000-0000000000c2"
KVER = {"debian": "6.1.0-18-amd64", "ubuntu": "5.15.0-91-generic",
        "rocky": "5.14.0-362.8.1.el9_3.x86_64", "sles": "5.14.21-150500.53-default",
        "rhel6": "2.6.32-754.el6.x86_64", "alpine": "6.6.16-0-lts",
        "arch": "6.7.4-arch1-1"}
# path below kernel/drivers: what it needs
MODULES = {
    "virtio/virtio": [], "virtio/virtio_ring": ["virtio/virtio"],
    "virtio/virtio_pci": ["virtio/virtio", "virtio/virtio_ring"],
    "block/virtio_blk": ["virtio/virtio", "virtio/virtio_ring"],
    "scsi/virtio_scsi": ["virtio/virtio", "virtio/virtio_ring"],
    "net/virtio_net": ["virtio/virtio", "virtio/virtio_ring"],
    "scsi/vmw_pvscsi": [], "net/vmxnet3/vmxnet3": [], "scsi/sd_mod": [],
    "block/xen-blkfront": ["xen/xenbus"], "net/xen-netfront": ["xen/xenbus"],
    "xen/xenbus": [], "ata/ahci": [], "ata/ata_piix": [],
    "net/ethernet/intel/e1000/e1000": []}
SUFFIX = {"debian": ".ko", "ubuntu": ".ko", "rocky": ".ko.xz", "sles": ".ko.zst",
          "rhel6": ".ko", "alpine": ".ko.gz", "arch": ".ko.zst"}
BUILDER = {"debian": "tools", "ubuntu": "tools", "rocky": "dracut", "sles": "dracut",
           "rhel6": "dracut004", "alpine": "mkinitfs", "arch": "mkinitcpio"}
IMAGE = {"debian": "initrd.img-%s", "ubuntu": "initrd.img-%s", "rocky": "initramfs-%s.img",
         "sles": "initrd-%s", "rhel6": "initramfs-%s.img", "alpine": "initramfs-lts",
         "arch": "initramfs-linux.img"}
KERNEL = {"alpine": "vmlinuz-lts", "arch": "vmlinuz-linux"}
RELEASE = {
    "debian": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "ubuntu": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"\nPRETTY_NAME="Ubuntu 22.04.3 LTS"\n',
    "rocky": 'ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.3"\nPRETTY_NAME="Rocky Linux 9.3"\n',
    "sles": 'ID="sles"\nID_LIKE="suse"\nVERSION_ID="15.5"\nPRETTY_NAME="SUSE Linux Enterprise Server 15 SP5"\n',
    "alpine": 'ID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME="Alpine Linux v3.19"\n',
    "arch": 'ID=arch\nPRETTY_NAME="Arch Linux"\n'}


def put(tree, path, text, mode=0o644):
    full = os.path.join(tree, path.lstrip("/"))
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    os.chmod(full, mode)


def cpio(files):
    out, ino = b"", 0
    for name, (mode, data) in list(files.items()) + [("TRAILER!!!", (0, b""))]:
        ino += 1
        n = name.encode() + b"\0"
        out += b"070701" + b"".join(b"%08X" % v for v in (
            ino, mode, 0, 0, 1, STAMP, len(data), 0, 0, 0, 0, len(n), 0)) + n
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return out + bytes(-len(out) % 512)


def pack(data, codec):
    argv = {"gzip": ["gzip", "-n"], "zstd": ["zstd", "-q"], "none": ["cat"],
            "xz": ["xz", "--check=crc32"], "lz4": ["lz4", "-q", "-l"]}[codec]
    return subprocess.run(argv, input=data, stdout=subprocess.PIPE, check=True).stdout


def bzimage(version):
    """The setup header of a kernel: "HdrS", and where its version stands."""
    data = bytearray(b"MZ" + bytes(0x1000))
    data[0x202:0x206] = b"HdrS"
    data[0x20e:0x210] = (0x300).to_bytes(2, "little")
    text = version.encode() + b" (root@tests) #1 SMP\0"
    data[0x500:0x500 + len(text)] = text
    return bytes(data)


def pe(sections):
    """A program for UEFI with these sections and nothing to run."""
    head, at = bytearray(b"MZ" + bytes(0x3a) + (0x40).to_bytes(4, "little")), 0x400
    head += b"PE\0\0" + (0x8664).to_bytes(2, "little") + len(sections).to_bytes(2, "little") + bytes(12)
    head += (0xf0).to_bytes(2, "little") + (0x0206).to_bytes(2, "little")
    head += (0x20b).to_bytes(2, "little") + bytes(0xee)
    body = b""
    for name, data in sections.items():
        size = (len(data) + 511) & ~511
        head += name.encode().ljust(8, b"\0") + b"".join(v.to_bytes(4, "little") for v in (
            len(data), 0x10000 + at, size, at + len(body), 0, 0, 0, 0x40000040))
        body += data + bytes(size - len(data))
    return bytes(head.ljust(at, b"\0")) + body


def module_bytes(name):
    return (b"\x7fELF module " + name.encode() + b"\n") * 40


def blocks(name):
    """(path, mode or "+" or link target, text) for each block of --with."""
    found = []
    for line in open(name) if name else []:
        if line.startswith("== "):
            words = line[3:].split()
            found.append([words[0], " ".join(words[1:]), ""])
        else:
            found[-1][2] += line
    return found


def overlay(o, tree):
    for path in o.without:
        os.unlink(tree + path)
    for path, how, text in blocks(o.more):
        if o.layout == "uefi" and path.startswith("/boot/efi/"):
            continue
        if how.startswith("-> "):
            os.makedirs(os.path.dirname(tree + path), exist_ok=True)
            os.symlink(how[3:], tree + path)
        elif not how.startswith("+"):
            put(tree, path, text, int(how or "644", 8))


def initramfs(o):
    kver, lib = KVER[o.kind], "usr/lib" if o.kind not in ("rhel6", "alpine") else "lib"
    f = {"lib": (0o120777, b"usr/lib")} if lib == "usr/lib" else {"lib": (0o040755, b"")}
    mark = {"tools": {"conf/initramfs.conf": b"MODULES=dep\n", "conf/modules": b"vmw_pvscsi\n",
                      "scripts/functions": b"#\n"},
            "dracut": {lib + "/dracut/dracut-version": b"059\n"},
            "dracut004": {"dracut-004-411.el6": b"", "initqueue-finished/x.sh": b"#\n"},
            "mkinitcpio": {"init_functions": b"#\n", "config": b"\n"},
            "mkinitfs": {"sbin/nlplug-findfs": b"\x7fELF"}}[BUILDER[o.kind]]
    if o.mark:  # of another builder, by an entry that it leaves
        mark = {o.mark: b"#\n"}
    elif BUILDER[o.kind] == "dracut004":
        f["initqueue-finished/devexists-\\x2fdev\\x2fsda1.sh"] = (0o100755, b'[ -e "/dev/sda1" ]\n')
    if BUILDER[o.kind] == "dracut" and not o.mark:
        f[lib + "/dracut"] = (0o040755, b"")
        f["var/lib/dracut/hooks/initqueue/finished/devexists-\\x2fdev\\x2fsda1.sh"] = \
            (0o100755, b'[ -e "/dev/sda1" ]\n')
    for k, v in mark.items():
        f[k] = (0o100755, v)
    for m in ("vmw_pvscsi", "sd_mod"):
        f["%s/modules/%s/kernel/drivers/scsi/%s%s" % (lib, kver, m, SUFFIX[o.kind])] = \
            (0o100644, module_bytes(m))
    f["%s/modules/%s/modules.dep" % (lib, kver)] = (0o100644, b"")
    for path, how, text in blocks(o.more):
        if how == "+":
            f[path.lstrip("/")] = (0o100644, text.encode())
        elif how.startswith("+-> "):
            f[path.lstrip("/")] = (0o120777, how[4:].encode())
    f["usr/lib/systemd/systemd-udevd"] = (0o100755, b"\x7fELF")
    data = pack(cpio(f), o.codec)
    if o.second:
        data += bytes(-len(data) % 4 + 4) + pack(cpio({
            "%s/modules/%s/kernel/drivers/%s%s" % (lib, kver, m, SUFFIX[o.kind]):
            (0o100644, module_bytes(os.path.basename(m))) for m in MODULES}), o.second)
    if o.early:
        data = cpio({"kernel/x86/microcode/GenuineIntel.bin": (0o100644, b"\1" * 3000)}) + data
    return data


def system(o, tree):
    k, kver = o.kind, KVER[o.kind]
    dev = "/dev/mapper/vg--one-root" if o.layout == "lvm" else \
        "/dev/sda2" if o.layout == "uefi" else "/dev/sda1"
    swap = "/dev/sda3" if o.layout == "uefi" else "/dev/sda2" if o.layout == "plain" else ""
    # In merged-/usr distributions /lib is a link.
    if k in ("rhel6", "alpine"):
        os.makedirs(tree + "/lib")
    else:
        os.makedirs(tree + "/usr/lib")
        os.symlink("usr/lib", tree + "/lib")
    base = "lib/modules/%s/" % kver
    dep = ""
    for m, needs in MODULES.items():
        if os.path.basename(m) in o.no_module:
            continue
        path = "kernel/drivers/%s%s" % (m, SUFFIX[k])
        put(tree, base + path, module_bytes(os.path.basename(m)))
        dep += path + ":" + "".join(" kernel/drivers/%s%s" % (n, SUFFIX[k]) for n in needs) + "\n"
    put(tree, base + "modules.dep", dep)
    put(tree, base + "modules.dep.bin", b"\xb0\x07\xf4\x57 index")
    put(tree, base + "modules.alias", "alias pci:v00001AF4d* virtio_pci\n")
    put(tree, base + "modules.symbols", "alias symbol:x y\n")
    put(tree, base + "modules.builtin", "kernel/fs/ext4/ext4.ko\n")
    if k == "arch":
        put(tree, base + "pkgbase", "linux\n")
    image = "/boot/" + (o.image or (IMAGE[k] % kver if "%" in IMAGE[k] else IMAGE[k]))
    kernel = "/boot/" + (o.kernel or KERNEL.get(k, "vmlinuz-" + kver))
    put(tree, kernel, bzimage(kver) if o.kernel else b"\x4d\x5a kernel " * 100)
    put(tree, image, b"\x01\x02 not an archive" * 99 if o.strange else initramfs(o), 0o600)
    if k in RELEASE:
        put(tree, "/etc/os-release", RELEASE[k])
    else:
        put(tree, "/etc/redhat-release", "CentOS release 6.10 (Final)\n")
    put(tree, "/etc/hostname", "tester\n")
    put(tree, "/sbin/init", b"\x7fELF", 0o755)
    if k not in ("rhel6", "alpine"):
        put(tree, "/usr/lib/systemd/systemd", b"\x7fELF", 0o755)
    fstab = "# made by the installer\n%s\t/    ext4 defaults 0 1\n" % dev
    if swap:
        fstab += swap + "\tnone swap sw 0 0\n"
    if o.layout == "uefi":
        fstab += "/dev/sda1  /boot/efi vfat umask=0077 0 1\n"
    fstab += "/dev/sdx9 /lost ext4 noauto 0 0\n#/dev/sdb1 /old ext4 defaults 0 0\n"
    put(tree, "/etc/fstab", fstab)
    line = "root=%s ro quiet%s" % (dev, " resume=" + swap if swap else "")
    {"debian": debian, "ubuntu": ubuntu, "rocky": rocky, "sles": sles, "rhel6": rhel6,
     "alpine": alpine, "arch": arch}[k](tree, line, swap, os.path.basename(image))
    if o.layout == "uefi":
        os.makedirs(tree + "/boot/efi", exist_ok=True)
    for i in range(40):
        put(tree, "/srv/data/%d" % i, os.urandom(0) + b"%d " % i * 500)


def grub2(tree, path, line, image):
    put(tree, path, "set default=0\nmenuentry 'Linux' {\n\tset root='hd0,msdos1'\n\tlinux\t/boot/vmlinuz %s\n"
        "\tinitrd\t/boot/%s\n}\nmenuentry 'single' {\n\tlinux\t/boot/vmlinuz %s single\n}\n" % (line, image, line))


def debian(t, line, swap, image):
    grub2(t, "/boot/grub/grub.cfg", line, image)
    put(t, "/boot/grub/device.map", "(hd0) /dev/disk/by-id/scsi-36000c29\n")
    put(t, "/etc/default/grub", 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX="resume=%s"\n' % (swap or "none"))
    put(t, "/etc/initramfs-tools/modules", "# own list\nvmw_pvscsi\n")
    put(t, "/etc/initramfs-tools/conf.d/resume", "RESUME=%s\n" % (swap or "none"))
    put(t, "/etc/network/interfaces", "auto lo\niface lo inet loopback\nallow-hotplug ens192\niface ens192 inet static\n\taddress 192.0.2.10/24\n")
    put(t, "/etc/cloud/cloud.cfg", "cloud_init_modules: []\n")
    put(t, "/var/lib/cloud/data/instance-id", "i-0001\n")
    put(t, "/usr/bin/vmtoolsd", b"\x7fELF", 0o755)


def ubuntu(t, line, swap, image):
    grub2(t, "/boot/grub/grub.cfg", line, image)
    put(t, "/etc/initramfs-tools/modules", "")
    put(t, "/etc/netplan/00-installer-config.yaml", "network:\n  version: 2\n  ethernets:\n    ens192:\n      addresses: [192.0.2.11/24]\n", 0o600)
    if BY_MAC:
        put(t, "/etc/netplan/00-installer-config.yaml", "network:\n  ethernets:\n    lan:\n"
            "      match: {macaddress: '00:50:56:01:02:03'}\n      dhcp4: true\n", 0o600)


def rocky(t, line, swap, image):
    put(t, "/boot/loader/entries/0123-5.14.conf", "title Rocky\nlinux /vmlinuz-x\ninitrd /%s\noptions $kernelopts\n" % image)
    put(t, "/boot/loader/entries/0123-0-rescue.conf", "title Rescue\noptions %s\n" % line)
    env = "# GRUB Environment Block\nsaved_entry=0123\nkernelopts=%s \n" % line
    put(t, "/boot/grub2/grubenv", env + "#" * (1024 - len(env)))
    put(t, "/boot/grub2/grub.cfg", "load_env\nblscfg\n")
    put(t, "/etc/default/grub", 'GRUB_CMDLINE_LINUX="%s"\n' % line)
    put(t, "/etc/kernel/cmdline", line + "\n")
    os.makedirs(t + "/etc/dracut.conf.d")
    put(t, "/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n")
    put(t, "/etc/lvm/devices/system.devices", "IDTYPE=sys_wwid IDNAME=naa.6000c29 DEVNAME=/dev/sda2 PVID=x\n", 0o600)
    put(t, "/etc/lvm/lvm.conf", 'devices {\n\tfilter = [ "a|/dev/sda.*|", "r|.*|" ]\n}\n')
    put(t, "/etc/NetworkManager/system-connections/ens192.nmconnection",
        "[connection]\nid=ens192\ntype=ethernet\ninterface-name=ens192\n\n[ipv4]\nmethod=auto\n", 0o600)


def sles(t, line, swap, image):
    grub2(t, "/boot/grub2/grub.cfg", line, image)
    os.makedirs(t + "/etc/dracut.conf.d")
    os.makedirs(t + "/etc/wicked")
    put(t, "/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='static'\nSTARTMODE='auto'\nIPADDR='192.0.2.12/24'\n")


def rhel6(t, line, swap, image):
    put(t, "/boot/grub/grub.conf", "default=0\ntitle CentOS\n\troot (hd0,0)\n\tkernel /boot/vmlinuz %s\n\tinitrd /boot/%s\n" % (line, image))
    os.symlink("grub.conf", t + "/boot/grub/menu.lst")
    put(t, "/etc/sysconfig/network-scripts/ifcfg-eth0", 'DEVICE="eth0"\nHWADDR="00:0C:29:11:22:33"\nBOOTPROTO="dhcp"\n')
    put(t, "/etc/udev/rules.d/70-persistent-net.rules",
        'SUBSYSTEM=="net", ACTION=="add", ATTR{address}=="00:0c:29:99:99:99", NAME="eth1"\n')


def alpine(t, line, swap, image):
    put(t, "/boot/extlinux.conf", "LABEL lts\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND %s\n" % line)
    put(t, "/etc/mkinitfs/mkinitfs.conf", 'features="ata base ext4 scsi"\n')
    put(t, "/etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n")


def arch(t, line, swap, image):
    grub2(t, "/boot/grub/grub.cfg", line, image)
    put(t, "/etc/mkinitcpio.conf", "MODULES=()\nHOOKS=(base udev autodetect)\n")
    put(t, "/etc/systemd/network/20-wired.network", "[Match]\nName=ens192\n\n[Network]\nDHCP=yes\n")


def move_to_esp(o, tree, add):
    """What kernel-install leaves: MACHINE/VERSION/{linux,initrd} and an entry."""
    kver = KVER[o.kind]
    for name, to in ((KERNEL.get(o.kind, "vmlinuz-" + kver), "linux"), (IMAGE[o.kind] % kver, "initrd")):
        with open(tree + "/boot/" + name, "rb") as f:
            add("0123/%s/%s" % (kver, to), f.read())
        os.unlink(tree + "/boot/" + name)
    add("loader/entries/0123-%s.conf" % kver, "title Linux\nversion %s\noptions root=/dev/sda2 ro\n"
        "linux /0123/%s/linux\ninitrd /0123/%s/initrd\n" % (kver, kver, kver))
    add("EFI/systemd/systemd-bootx64.efi", b"MZ boot" * 100)


def esp(disk, at, mib, o, tree):
    """FAT32 at an offset, filled by mtools."""
    name = "%s@@%d" % (disk, at << 20)
    diskimg.run("mformat", "-i", name, "-F", "-T", str(mib << 11), "-h", "64", "-s", "32", "-N", "C0DEC0DE", "::")
    fill_esp(name, o, tree)
    if o.small_fat:
        # Fewer sectors than FAT32 should have, which mtools does not read but
        # Linux does; the count of free ones is not known.
        with open(disk, "r+b") as f:
            f.seek((at << 20) + 32)
            f.write((60000).to_bytes(4, "little"))
            f.seek((at << 20) + 512 + 488)
            f.write(b"\xff" * 8)


def fill_esp(name, o, tree):
    with tempfile.TemporaryDirectory() as d:
        def add(path, data):
            put(d, "x", data)
            diskimg.run("mcopy", "-i", name, d + "/x", "::" + path)
        if o.sd_boot:
            kver = KVER[o.kind]
            diskimg.run("mmd", "-i", name, "::EFI", "::EFI/systemd", "::loader", "::loader/entries", "::0123", "::0123/" + kver)
            move_to_esp(o, tree, add)
            return
        made = set()
        for path, how, text in blocks(o.more):
            if path.startswith("/boot/efi/"):
                parts = path[len("/boot/efi/"):].split("/")
                for n in range(1, len(parts)):
                    folder = "::" + "/".join(parts[:n])
                    if folder.lower() not in made:
                        diskimg.run("mmd", "-i", name, folder)
                        made.add(folder.lower())
                add("/".join(parts), text)
        if o.bare_esp:
            return
        for folder in ("::EFI", "::EFI/debian"):
            if folder.lower() not in made:
                diskimg.run("mmd", "-i", name, folder)
        add("EFI/debian/shimx64.efi", b"MZ shim" * 3000)
        add("EFI/debian/grubx64.efi", b"MZ grub" * 9000)
        add("EFI/debian/mmx64.efi", b"MZ mok" * 100)
        add("EFI/debian/grub.cfg", b"search.fs_uuid %s root\n" % ROOT.encode())
        if o.uki:
            diskimg.run("mmd", "-i", name, "::EFI/Linux")
            add("EFI/Linux/linux-6.1.efi", pe({
                ".linux": bzimage(KVER[o.kind]), ".uname": KVER[o.kind].encode(),
                ".cmdline": b"root=/dev/sda2 ro", ".initrd": initramfs(o)}))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--layout", default="plain")
    p.add_argument("--codec", default="gzip")
    for flag in ("early", "hibernated", "uki", "strange", "by-mac", "sd-boot", "small-fat", "bare-esp", "xfs", "btrfs"):
        p.add_argument("--" + flag, action="store_true")
    p.add_argument("--no-module", action="append", default=[])
    p.add_argument("--mke2fs", default="")
    p.add_argument("--without", action="append", default=[])
    p.add_argument("--second")
    p.add_argument("--mark")
    p.add_argument("--kernel")
    p.add_argument("--image")
    p.add_argument("--with", dest="more")
    p.add_argument("--ova")
    p.add_argument("kind", choices=sorted(KVER))
    p.add_argument("out")
    o = p.parse_args()
    global BY_MAC
    BY_MAC = o.by_mac
    where = {"root": None, "esp": None, "uuid": ROOT, "swap": SWAP, "size": 24}
    with tempfile.TemporaryDirectory() as tree:
        system(o, tree)
        overlay(o, tree)
        other = "xfs" if o.xfs else "btrfs" if o.btrfs else None
        diskimg.new_disk(o.out, 330 if other else 96)
        if other:
            diskimg.sfdisk(o.out, "label: dos\nstart=2048,size=655360,type=83,bootable\nstart=657408,size=8192,type=82\n")
            where["root"], swap = 1, 321
        elif o.layout == "plain":
            diskimg.sfdisk(o.out, "label: dos\nstart=2048,size=49152,type=83,bootable\nstart=51200,size=8192,type=82\n")
            where["root"], swap = 1, 25
        elif o.layout == "uefi":
            diskimg.sfdisk(o.out, "label: gpt\nstart=2048,size=81920,type=U,name=esp\nstart=83968,size=49152,type=L,name=root\n"
                           "start=133120,size=8192,type=S\n")
            where["root"], where["esp"], swap = 41, 1, 65
            esp(o.out, 1, 40, o, tree)
        else:
            diskimg.sfdisk(o.out, "label: dos\nstart=2048,size=2048,type=83,bootable\nstart=4096,size=163840,type=8e\n")
            where["root"] = diskimg.lvm_pv(o.out, 2, 80, "vg-one", [("root", 24), ("swap", 8)], STAMP)["root"]
            swap = None
        if other:
            diskimg.fs_from_tree(other, o.out, tree, where["root"], 320, ROOT, "root", STAMP,
                                 os.path.dirname(os.path.abspath(o.out)))
        else:
            diskimg.ext4_from_tree(o.out, tree, where["root"], 24, ROOT, "root", STAMP, owner="0:0",
                                   more=o.mke2fs.split())
        if swap:
            diskimg.mkswap(o.out, swap, 4, SWAP)
            if o.hibernated:
                with open(o.out, "r+b") as f:
                    f.seek((swap << 20) + 4086)
                    f.write(b"S1SUSPEND\0")
    with open(o.out + ".json", "w") as f:
        json.dump(where, f)
    if o.ova:
        import mkova  # noqa: PLC0415
        mkova.main(o.ova.split() + [o.out])


main()
