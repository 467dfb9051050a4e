# lib-vm.sh - small VMs as exports, for scripts that convert them.
# SPDX-License-Identifier: LGPL-2.1-or-later

# An OVF folder: vm NAME [KEY=VALUE...]; KEYs are firmware, secure_boot, tpm,
# cpus, cores, nics (number), os (CIM id), vmware (guest id), disks (sizes).
make_vm() {
    python3 - "$@" <<'PY'
import os, random, subprocess, sys
from xml.sax.saxutils import escape, quoteattr
name = sys.argv[1]
o = dict(firmware="bios", secure_boot="", tpm="", cpus="2", cores="1",
         nics="1", os="96", vmware="debian12_64Guest", disks="5242880",
         network="VM Network", mac="00:50:56:AA:BB:0%d", cdrom="")
o.update(a.split("=", 1) for a in sys.argv[2:])
os.makedirs("vm", exist_ok=True)
refs = disks = items = ""
rasd = lambda **k: "<Item>%s</Item>" % "".join(
    "<rasd:%s>%s</rasd:%s>" % (key, escape(k[key]), key) for key in sorted(k))
items += rasd(InstanceID="1", ElementName="cpu", ResourceType="3",
              VirtualQuantity=o["cpus"]).replace(
    "</Item>", "<vmw:CoresPerSocket ovf:required='false'>%s"
    "</vmw:CoresPerSocket></Item>" % o["cores"])
items += rasd(InstanceID="2", ElementName="memory", ResourceType="4",
              AllocationUnits="byte * 2^20", VirtualQuantity="1024")
items += rasd(InstanceID="3", ElementName="scsi", ResourceType="6",
              Address="0", ResourceSubType="VirtualSCSI")
for i, size in enumerate(o["disks"].split()):
    raw = "%d.raw" % i
    if not os.path.exists(raw):
        r = random.Random(raw)
        with open(raw, "wb") as f:
            f.truncate(int(size))
            for _ in range(4):
                f.seek(r.randrange(max(1, int(size) - 70000)) // 512 * 512)
                f.write(r.randbytes(min(66000, int(size) - f.tell())))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o",
                    "subformat=streamOptimized", raw, "vm/disk%d.vmdk" % i],
                   check=True)
    refs += "<File ovf:id='f%d' ovf:href='disk%d.vmdk'/>" % (i, i)
    disks += ("<Disk ovf:diskId='d%d' ovf:fileRef='f%d' ovf:capacity='%s' "
              "ovf:format='http://www.vmware.com/interfaces/specifications/"
              "vmdk.html#streamOptimized'/>" % (i, i, size))
    items += rasd(InstanceID=str(10 + i), ElementName="disk", Parent="3",
                  AddressOnParent=str(i), ResourceType="17",
                  HostResource="ovf:/disk/d%d" % i)
for i in range(int(o["nics"])):
    mac = {"Address": o["mac"] % i} if o["mac"] else {}
    items += rasd(InstanceID=str(300 + i), ElementName="nic",
                  ResourceType="10", ResourceSubType="VmxNet3",
                  Connection=o["network"], AutomaticAllocation="true", **mac)
config = "<vmw:Config ovf:required='false' vmw:key=%s vmw:value=%s/>"
if o["firmware"] == "uefi":
    items += config % ("'firmware'", "'efi'")
if o["secure_boot"]:
    items += config % ("'bootOptions.efiSecureBootEnabled'", "'true'")
if o["tpm"]:
    items += rasd(InstanceID="200", ElementName="tpm", ResourceType="1",
                  ResourceSubType="vmware.vtpm")
with open("vm/vm.ovf", "w") as f:
    f.write("<?xml version='1.0' encoding='UTF-8'?><Envelope "
            "xmlns='http://schemas.dmtf.org/ovf/envelope/1' "
            "xmlns:ovf='http://schemas.dmtf.org/ovf/envelope/1' "
            "xmlns:rasd='http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
            "CIM_ResourceAllocationSettingData' xmlns:vssd='http://schemas."
            "dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData' "
            "xmlns:vmw='http://www.vmware.com/schema/ovf'>"
            "<References>%s</References><DiskSection><Info/>%s</DiskSection>"
            "<NetworkSection><Info/><Network ovf:name=%s/></NetworkSection>"
            "<VirtualSystem ovf:id='vm'><Info/><Name>%s</Name>"
            "<AnnotationSection><Info/><Annotation>%s</Annotation>"
            "</AnnotationSection><OperatingSystemSection ovf:id='%s' "
            "vmw:osType='%s'><Info/></OperatingSystemSection>"
            "<VirtualHardwareSection><Info/><System><vssd:ElementName>x"
            "</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID>"
            "<vssd:VirtualSystemType>vmx-19</vssd:VirtualSystemType></System>"
            "%s</VirtualHardwareSection></VirtualSystem></Envelope>"
            % (refs, disks, quoteattr(o["network"]), escape(name),
               escape("about " + name), o["os"], o["vmware"], items))
PY
}

# DIR/two.ovf: the VMs of DIR/a.ova and DIR/b.ova, each with a disk of its own; the
# second by another NAME.
two_in_one() { # DIR [NAME]
    tar -C "$1" -xf "$1/a.ova" --exclude '*.mf'
    tar -C "$1" -xf "$1/b.ova" --exclude '*.mf'
    python3 - "$1/a.ovf" "$1/b.ovf" "$1/two.ovf" "${2-b}" <<'PY'
import re, sys
a, b = (open(p).read() for p in sys.argv[1:3])
rename = lambda s: s.replace("file1", "file2").replace("vmdisk1", "vmdisk2")
part = lambda s, tag: re.search(r"<%s\b.*?</%s>|<%s\b[^>]*/>" % (tag, tag, tag), s, re.S)[0]
system = rename(part(b, "VirtualSystem")).replace("<Name>b<", "<Name>%s<" % sys.argv[4])
a = a.replace(part(a, "File"), part(a, "File") + rename(part(b, "File")))
a = a.replace(part(a, "Disk"), part(a, "Disk") + rename(part(b, "Disk")))
one = part(a, "VirtualSystem")
a = a.replace(one, '<VirtualSystemCollection ovf:id="c"><Info>two</Info>%s%s'
              "</VirtualSystemCollection>" % (one, system))
open(sys.argv[3], "w").write(a)
PY
    rm "$1"/[ab].ov[af]
    chmod -R a+rX "$1"
}
