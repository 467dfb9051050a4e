#!/usr/bin/env python3
"""Pack raw disks into an OVA the way a source platform exports them.

  mkova.py [--style vsphere|nutanix] [--name N] [--uefi] [--cpus N] [--memory MiB]
           [--guest OSTYPE] [--tar ustar|gnu] [--sha sha256|sha1|none]
           [--order mf-second|mf-last] [--mac MAC] [--nic MAC@SLOT]...
           [--slot KIND[BUS[:UNIT]]]... OUT.ova DISK.raw...

vsphere  descriptor as vSphere 7/8 writes it: one paravirtual SCSI controller
         (VirtualSCSI), VmxNet3 NIC, vmw:osType, vmw:Config, SHA256 manifest,
         streamOptimized VMDK; members in the order ovf, mf, vmdk...
         No MAC, as in a real export, unless --mac asks for one.  --nic (again
         and again) in its place gives NICs in order; either part may be empty.
         --slot (once for each disk) puts the disks elsewhere than side by side
         on SCSI controller 0: scsi0:2, sata0:0, ide1:0, nvme0:1; scsi0 says no
         unit.
nutanix  a sparse one: qcow2 members named by UUID, no subtype anywhere, no
         firmware, no OS, no NIC model, no MAC.  The public record holds no
         real file; the layout follows the reconstruction in the design notes.

Same input, same output: times, owners and UUIDs in the archive are fixed.
"""
# SPDX-License-Identifier: LGPL-2.1-or-later
import argparse
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import uuid
from xml.sax.saxutils import escape

STAMP = 1735689600
RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
VSSD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
ENV = "http://schemas.dmtf.org/ovf/envelope/1"
STREAM = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
CIM = {"debian12_64Guest": 96, "debian11_64Guest": 96, "windows2019srv_64Guest": 112,
       "freebsd13_64Guest": 78, "otherGuest64": 102}


def item(pairs, extra="", attr=""):
    body = "".join("        <rasd:%s>%s</rasd:%s>\n" % (k, escape(str(v)), k)
                   for k, v in sorted(pairs.items()) if v is not None)
    return "      <Item%s>\n%s%s      </Item>\n" % (attr, body, extra)


def nics_of(o):
    """(MAC or None, slot or None) of each."""
    if not o.nic:
        return [(o.mac, "192")]
    return [(n.partition("@")[0] or None, n.partition("@")[2] or None) for n in o.nic]


KINDS = {"scsi": (6, "VirtualSCSI"), "sata": (20, "vmware.sata.ahci"),
         "ide": (5, None), "nvme": (20, "vmware.nvme.controller")}


def disk_items(o, files):
    """The controllers, once each, and the disks on them."""
    hw, known = "", {}
    for i, _ in enumerate(files):
        kind, bus, unit = re.fullmatch(r"([a-z]+)(\d*):?(\d*)", o.slot[i]).groups()
        where = (kind, int(bus or 0))
        if where not in known:
            known[where] = 100 + len(known)
            kind_type, subtype = KINDS[kind]
            hw += item({"Address": where[1], "ElementName": "%s %d" % where,
                        "InstanceID": known[where], "ResourceSubType": subtype,
                        "ResourceType": kind_type})
        hw += item({"AddressOnParent": unit or None, "ElementName": "Hard Disk %d" % (i + 1),
                    "HostResource": "ovf:/disk/vmdisk%d" % (i + 1), "InstanceID": 200 + i,
                    "Parent": known[where], "ResourceType": 17})
    return hw


def vsphere_ovf(o, files):
    cfg = lambda k, v: '        <vmw:Config ovf:required="false" vmw:key="%s" vmw:value="%s"/>\n' % (k, v)
    refs = "".join('    <File ovf:href="%s" ovf:id="file%d" ovf:size="%d"/>\n'
                   % (f["name"], i + 1, f["size"]) for i, f in enumerate(files))
    disks = "".join(
        '    <Disk ovf:capacity="%d" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk%d"'
        ' ovf:fileRef="file%d" ovf:format="%s" ovf:populatedSize="%d"/>\n'
        % (f["virtual"] >> 20, i + 1, i + 1, STREAM, f["populated"]) for i, f in enumerate(files))
    hw = item({"AllocationUnits": "hertz * 10^6", "Description": "Number of Virtual CPUs",
               "ElementName": "%d virtual CPU(s)" % o.cpus, "InstanceID": 1, "ResourceType": 3,
               "VirtualQuantity": o.cpus},
              '        <vmw:CoresPerSocket ovf:required="false">1</vmw:CoresPerSocket>\n')
    hw += item({"AllocationUnits": "byte * 2^20", "Description": "Memory Size",
                "ElementName": "%dMB of memory" % o.memory, "InstanceID": 2, "ResourceType": 4,
                "VirtualQuantity": o.memory})
    if o.slot:
        hw += disk_items(o, files)
    hw += item({"Address": 9 if o.slot else 0, "Description": "SCSI Controller", "ElementName": "SCSI controller 0",
                "InstanceID": 3, "ResourceSubType": "VirtualSCSI", "ResourceType": 6},
               cfg("slotInfo.pciSlotNumber", 160))
    n = 4
    for i, _ in enumerate([] if o.slot else files):
        hw += item({"AddressOnParent": i if i < 7 else i + 1, "ElementName": "Hard Disk %d" % (i + 1),
                    "HostResource": "ovf:/disk/vmdisk%d" % (i + 1), "InstanceID": n, "Parent": 3,
                    "ResourceType": 17}, cfg("backing.writeThrough", "false"))
        n += 1
    hw += item({"Address": 0, "Description": "SATA Controller", "ElementName": "SATA controller 0",
                "InstanceID": n, "ResourceSubType": "vmware.sata.ahci", "ResourceType": 20},
               cfg("slotInfo.pciSlotNumber", 33))
    hw += item({"AddressOnParent": 0, "AutomaticAllocation": "false",
                "ElementName": "CD/DVD drive 1", "InstanceID": n + 1, "Parent": n,
                "ResourceSubType": "vmware.cdrom.remotepassthrough", "ResourceType": 15},
               attr=' ovf:required="false"')
    for k, (mac, slot) in enumerate(nics_of(o)):
        hw += item({"Address": mac, "AddressOnParent": 7 + k, "AutomaticAllocation": "true",
                    "Connection": "VM Network", "Description": "VmxNet3 ethernet adapter on \"VM Network\"",
                    "ElementName": "Network adapter %d" % (k + 1), "InstanceID": n + 5 + k if k else n + 2,
                    "ResourceSubType": "VmxNet3", "ResourceType": 10},
                   (cfg("slotInfo.pciSlotNumber", slot) if slot else "") + cfg("wakeOnLanEnabled", "true"))
    hw += item({"AutomaticAllocation": "false", "ElementName": "Video card", "InstanceID": n + 3,
                "ResourceType": 24}, attr=' ovf:required="false"')
    hw += item({"AutomaticAllocation": "false", "ElementName": "VMCI device", "InstanceID": n + 4,
                "ResourceSubType": "vmware.vmci", "ResourceType": 1}, attr=' ovf:required="false"')
    tail = "".join(cfg(k, v)[2:] for k, v in (
        ("firmware", "efi" if o.uefi else "bios"),
        ("cpuHotAddEnabled", "false"), ("memoryHotAddEnabled", "false"),
        ("tools.syncTimeWithHost", "false"), ("tools.toolsUpgradePolicy", "manual"),
        ("powerOpInfo.powerOffType", "soft")) + ((
            ("bootOptions.efiSecureBootEnabled", "false"),) if o.uefi else ()))
    return """<?xml version='1.0' encoding='UTF-8'?>
<Envelope xmlns="%s" xmlns:ovf="%s" xmlns:vmw="http://www.vmware.com/schema/ovf" xmlns:rasd="%s" xmlns:vssd="%s">
  <References>
%s  </References>
  <DiskSection>
    <Info>List of the virtual disks</Info>
%s  </DiskSection>
  <NetworkSection>
    <Info>The list of logical networks</Info>
    <Network ovf:name="VM Network">
      <Description>The VM Network network</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="%s">
    <Info>A Virtual system</Info>
    <Name>%s</Name>
    <OperatingSystemSection ovf:id="%d" vmw:osType="%s">
      <Info>The operating system installed</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware requirements</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>%s</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-19</vssd:VirtualSystemType>
      </System>
%s%s    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
""" % (ENV, ENV, RASD, VSSD, refs, disks, escape(o.name), escape(o.name),
       CIM.get(o.guest, 102), o.guest, escape(o.name), hw, tail)


def nutanix_ovf(o, files):
    refs = "".join('    <File ovf:id="file%d" ovf:href="%s" ovf:size="%d"/>\n'
                   % (i + 1, f["name"], f["size"]) for i, f in enumerate(files))
    disks = "".join('    <Disk ovf:diskId="vmdisk%d" ovf:fileRef="file%d" ovf:capacity="%d"/>\n'
                    % (i + 1, i + 1, f["virtual"]) for i, f in enumerate(files))
    hw = item({"AllocationUnits": "hertz * 10^6", "InstanceID": 1, "ResourceType": 3,
               "VirtualQuantity": o.cpus})
    hw += item({"AllocationUnits": "byte * 2^20", "InstanceID": 2, "ResourceType": 4,
                "VirtualQuantity": o.memory})
    hw += item({"Address": 0, "InstanceID": 3, "ResourceType": 6})
    for i, _ in enumerate(files):
        hw += item({"AddressOnParent": i, "HostResource": "ovf:/disk/vmdisk%d" % (i + 1),
                    "InstanceID": 4 + i, "Parent": 3, "ResourceType": 17})
    hw += item({"InstanceID": 4 + len(files), "ResourceType": 10})
    return """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="%s" xmlns:ovf="%s" xmlns:rasd="%s" xmlns:vssd="%s" xmlns:ntnx="http://www.nutanix.com/ova">
  <References>
%s  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
%s  </DiskSection>
  <VirtualSystem ovf:id="%s">
    <Info>A virtual machine</Info>
    <Name>%s</Name>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
%s    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
""" % (ENV, ENV, RASD, VSSD, refs, disks, escape(o.name), escape(o.name), hw)


def export_disk(raw, out, style):
    argv = ["qemu-img", "convert", "-O"]
    argv += ["vmdk", "-o", "subformat=streamOptimized,adapter_type=lsilogic"] if style == "vsphere" \
        else ["qcow2", "-c"]
    subprocess.run(argv + [raw, out], check=True)
    if style == "vsphere":
        # qemu-img draws a random content ID and names the temporary file in
        # the embedded descriptor; pin both, keeping the descriptor's length.
        with open(out, "r+b") as f:
            f.seek(512)
            d = f.read(20 * 512)
            e = re.sub(rb"^CID=[0-9a-f]{8}", b"CID=5245484f", d, flags=re.M)
            f.seek(512)
            f.write(e)


def add(tar, name, size, stream):
    t = tarfile.TarInfo(name)
    t.size, t.mtime, t.mode = size, STAMP, 0o644
    t.uid = t.gid = 64
    t.uname = t.gname = "someone"
    tar.addfile(t, stream)


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--style", choices=["vsphere", "nutanix"], default="vsphere")
    p.add_argument("--name", default="guest")
    p.add_argument("--uefi", action="store_true")
    p.add_argument("--slot", action="append")
    p.add_argument("--cpus", type=int, default=1)
    p.add_argument("--memory", type=int, default=1024)
    p.add_argument("--guest", default="debian12_64Guest")
    p.add_argument("--tar", choices=["ustar", "gnu"], default="ustar")
    p.add_argument("--sha", choices=["sha256", "sha1", "none"], default="sha256")
    p.add_argument("--order", choices=["mf-second", "mf-last"], default="mf-second")
    p.add_argument("--mac")
    p.add_argument("--nic", action="append", default=[])
    p.add_argument("out")
    p.add_argument("disks", nargs="+")
    o = p.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(o.out))) as tmp:
        files = []
        for i, raw in enumerate(o.disks):
            if o.style == "vsphere":
                name = "%s-%d.vmdk" % (o.name, i + 1)
            else:
                name = "%s.qcow2" % uuid.uuid5(uuid.NAMESPACE_URL, "%s/%d" % (o.name, i))
            path = os.path.join(tmp, name)
            export_disk(raw, path, o.style)
            h = hashlib.new(o.sha) if o.sha != "none" else None
            if h:
                with open(path, "rb") as f:
                    for b in iter(lambda: f.read(1 << 20), b""):
                        h.update(b)
            st = os.stat(raw)
            files.append({"name": name, "path": path, "size": os.path.getsize(path),
                          "virtual": st.st_size, "populated": st.st_blocks * 512,
                          "digest": h and h.hexdigest()})
        ovf = (vsphere_ovf if o.style == "vsphere" else nutanix_ovf)(o, files).encode()
        if o.tar == "ustar" and max(f["size"] for f in files) >= 8 << 30:
            sys.exit("a member of 8 GiB or more needs --tar gnu")
        mf = None
        if o.sha != "none":
            tag = o.sha.upper()
            lines = ["%s(%s.ovf)= %s" % (tag, o.name, hashlib.new(o.sha, ovf).hexdigest())]
            lines += ["%s(%s)= %s" % (tag, f["name"], f["digest"]) for f in files]
            mf = ("\n".join(lines) + "\n").encode()
        fmt = tarfile.USTAR_FORMAT if o.tar == "ustar" else tarfile.GNU_FORMAT
        with tarfile.open(o.out, "w", format=fmt) as tar:
            add(tar, o.name + ".ovf", len(ovf), io.BytesIO(ovf))
            if mf and o.order == "mf-second":
                add(tar, o.name + ".mf", len(mf), io.BytesIO(mf))
            for f in files:
                with open(f["path"], "rb") as s:
                    add(tar, f["name"], f["size"], s)
            if mf and o.order == "mf-last":
                add(tar, o.name + ".mf", len(mf), io.BytesIO(mf))


if __name__ == "__main__":
    main()
