#!/usr/bin/env python3
"""rvtools_files.py - exports as RVTools makes them, of VMs of our own making.

  rvtools_files.py xlsx FILE [VMS]   a workbook, names as 4.x has them
  rvtools_files.py csv FOLDER        one file a tab, names as 3.x has them
  rvtools_files.py hostile FOLDER    workbooks that nobody should trust
"""
# SPDX-License-Identifier: LGPL-2.1-or-later
import os
import sys
import zipfile
from xml.sax.saxutils import escape, quoteattr

HOST = "vc.example.com"


def tabs():
    """Tab -> rows; the first one names the columns, as 4.x does."""
    tail = [HOST, "VMware vCenter Server 8.0.2", "7a2c0000-0000-0000-0000-000000000001"]
    ends = ["VM ID", "VM UUID", "VI SDK Server", "VI SDK Server type", "VI SDK UUID"]

    def ids(n):
        return ["vm-%d" % n, "5023%04x-0000-0000-0000-000000000000" % n] + tail

    info = [["VM", "Powerstate", "Template", "Connection state", "DNS Name", "CPUs", "Memory",
             "Firmware", "EFI Secure boot", "HW version", "Annotation", "SMBIOS UUID",
             "OS according to the configuration file", "OS according to the VMware Tools",
             "Consolidation Needed"] + ends]

    def vm(n, name, power, template, cpus, mib, firmware, config, tools, state="connected", more="False"):
        info.append([name, power, template, state, name + ".example.com", cpus, mib, firmware,
                     "True" if firmware == "efi" else "False", "vmx-19", "A note: <&>, \u00fc", 
                     "4223%04x-aaaa-bbbb-cccc-000000000000" % n, config, tools, more] + ids(n))

    vm(101, "web01", "poweredOn", "False", 4, 8192, "efi", "Debian GNU/Linux 12 (64-bit)", "Debian GNU/Linux 12 (64-bit)")
    vm(102, "db 01", "poweredOff", "False", 8, 65536, "bios", "Microsoft Windows Server 2019 (64-bit)", "")
    vm(103, "base", "poweredOff", "True", 2, 4096, "bios", "Red Hat Enterprise Linux 9 (64-bit)", "")
    vm(104, "twin", "poweredOn", "False", 1, 1024, "bios", "Ubuntu Linux (64-bit)", "Ubuntu Linux (64-bit)")
    vm(105, "twin", "poweredOn", "False", 1, 2048, "bios", "Ubuntu Linux (64-bit)", "Ubuntu Linux (64-bit)")
    head = ["VM", "Powerstate", "Template"]
    return {
        "vInfo": info,
        "vCPU": [head + ["CPUs", "Sockets", "Cores p/s", "Hot Add"] + ends,
                 ["web01", "poweredOn", "False", 4, 2, 2, "True"] + ids(101),
                 ["db 01", "poweredOff", "False", 8, 1, 8, "False"] + ids(102)],
        "vMemory": [head + ["Size MiB", "Hot Add"] + ends,
                    ["web01", "poweredOn", "False", 8192, "True"] + ids(101)],
        "vDisk": [head + ["Disk", "Capacity MiB", "Raw", "Disk Mode", "Sharing mode", "Controller", "SharedBus",
                          "Unit #", "Path"] + ends,
                  ["web01", "poweredOn", "False", "Hard disk 1", 20480, "False", "persistent", "sharingNone",
                   "SCSI controller 0", "noSharing", 0, "[ds1] web01/web01.vmdk"] + ids(101),
                  ["web01", "poweredOn", "False", "Hard disk 2", 102400, "False", "independent_persistent", "sharingNone",
                   "SCSI controller 1", "noSharing", 3, "[ds1] web01/web01_1.vmdk"] + ids(101),
                  ["db 01", "poweredOff", "False", "Hard disk 1", 51200, "False", "persistent", "sharingNone",
                   "SCSI controller 0", "noSharing", 0, "[ds1] db/db.vmdk"] + ids(102),
                  ["db 01", "poweredOff", "False", "Hard disk 2", 512000, "True", "independent_persistent",
                   "sharingNone", "SCSI controller 1", "physicalSharing", 0, "[ds1] db/rdm.vmdk"] + ids(102),
                  ["base", "poweredOff", "True", "Hard disk 1", 16384, "False", "persistent", "sharingNone",
                   "NVME controller 0", "noSharing", 0, "[ds1] base/base.vmdk"] + ids(103),
                  ["twin", "poweredOn", "False", "Hard disk 1", 1024, "False", "persistent", "sharingNone",
                   "SATA controller 0", "noSharing", 0, "[ds1] twin/twin.vmdk"] + ids(104),
                  ["twin", "poweredOn", "False", "Hard disk 1", 2048, "False", "persistent", "sharingNone",
                   "SATA controller 0", "noSharing", 0, "[ds2] twin/twin.vmdk"] + ids(105)],
        "vNetwork": [head + ["NIC label", "Adapter", "Network", "Switch", "Connected", "Starts Connected",
                             "Mac Address", "Type", "IPv4 Address", "IPv6 Address"] + ends,
                     ["web01", "poweredOn", "False", "Network adapter 1", "Vmxnet3", "Front & back", "sw", "True", "True",
                      "00:50:56:aa:00:01", "assigned", "192.0.2.10", "fe80::1"] + ids(101),
                     ["db 01", "poweredOff", "False", "Network adapter 1", "E1000", "DB", "sw", "False", "True",
                      "00:50:56:aa:00:02", "assigned", "", ""] + ids(102)],
        "vCD": [head + ["Connected", "Starts Connected"] + ends,
                ["web01", "poweredOn", "False", "False", "False"] + ids(101)],
        "vSnapshot": [["VM", "Powerstate", "Name"] + ends,
                      ["web01", "poweredOn", "a"] + ids(101),
                      ["web01", "poweredOn", "b"] + ids(101),
                      ["gone", "poweredOn", "b"] + ids(999)],
        "vTools": [head + ["Tools", "Tools Version"] + ends,
                   ["web01", "poweredOn", "False", "toolsNotRunning", "12352"] + ids(101)],
    }


def many(count):
    """Only what is counted: VMs with a disk and a NIC each."""
    info = [["VM", "Powerstate", "Template", "CPUs", "Memory", "Firmware",
             "OS according to the configuration file", "VM ID", "VI SDK Server"]]
    disk = [["VM", "Powerstate", "Template", "Disk", "Capacity MiB", "VM ID", "VI SDK Server"]]
    nic = [["VM", "Powerstate", "Template", "Adapter", "Network", "Mac Address", "VM ID", "VI SDK Server"]]
    for i in range(count):
        head = ["vm%d" % i, "poweredOn", "False"]
        tail = ["vm-%d" % i, HOST]
        info.append(head + [2, 4096, "bios", "Debian GNU/Linux 12 (64-bit)"] + tail)
        disk.append(head + ["Hard disk 1", 20480] + tail)
        nic.append(head + ["Vmxnet3", "net%d" % (i % 7),
                           "00:50:56:%02x:%02x:%02x" % (i >> 16 & 63, i >> 8 & 255, i & 255)] + tail)
    return {"vInfo": info, "vDisk": disk, "vNetwork": nic}


def column(n):
    text = ""
    n += 1
    while n:
        n, r = divmod(n - 1, 26)
        text = chr(65 + r) + text
    return text


def workbook(path, content, doctype=""):
    """Texts are shared strings, but for the first column's, which are inline."""
    strings, index = [], {}
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    sheets = {}
    for tab, rows in content.items():
        out = ['<?xml version="1.0" encoding="UTF-8"?>%s<worksheet xmlns="%s"><sheetData>' % (doctype, main)]
        for r, row in enumerate(rows, 1):
            out.append('<row r="%d">' % r)
            for c, value in enumerate(row):
                ref = column(c) + str(r)
                if value == "":
                    continue
                if isinstance(value, int):
                    out.append('<c r="%s"><v>%d</v></c>' % (ref, value))
                elif c == 0:
                    out.append('<c r="%s" t="inlineStr"><is><t>%s</t></is></c>' % (ref, escape(value)))
                else:
                    if value not in index:
                        index[value] = len(strings)
                        strings.append(value)
                    out.append('<c r="%s" t="s"><v>%d</v></c>' % (ref, index[value]))
            out.append("</row>")
        out.append("</sheetData></worksheet>")
        sheets[tab] = "".join(out)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        def put(name, text):
            z.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
        put("[Content_Types].xml", '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>')
        put("xl/workbook.xml", '<workbook xmlns="%s" xmlns:r="%s"><sheets>%s</sheets></workbook>' % (
            main, rel, "".join('<sheet name=%s sheetId="%d" r:id="rId%d"/>' % (quoteattr(t), i, i)
                               for i, t in enumerate(sheets, 1))))
        put("xl/_rels/workbook.xml.rels", '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">%s</Relationships>' % "".join(
            '<Relationship Id="rId%d" Target="worksheets/sheet%d.xml"/>' % (i, i) for i in range(1, len(sheets) + 1)))
        for i, text in enumerate(sheets.values(), 1):
            put("xl/worksheets/sheet%d.xml" % i, text)
        # Rich text, and how it sounds, which is no part of it.
        put("xl/sharedStrings.xml", '<sst xmlns="%s">%s</sst>' % (main, "".join(
            "<si><r><t>%s</t></r><r><t>%s</t></r><rPh><t>x</t></rPh></si>" % (escape(s[:1]), escape(s[1:]))
            for s in strings)))


OLD = {"CPUs": "# CPUs", "Memory": "Memory MB", "Capacity MiB": "Capacity MB", "IPv4 Address": "IP Address"}
KEPT = ("VM ID", "VM UUID", "VI SDK Server", "VI SDK Server type", "VI SDK UUID")


def texts(folder, separator=";", encoding="utf-8-sig", end="\r\n"):
    """Without the ids, as old ones are: rows go by the VMs' names."""
    os.makedirs(folder, exist_ok=True)
    for tab, rows in tabs().items():
        keep = [i for i, name in enumerate(rows[0]) if name not in KEPT]
        with open(os.path.join(folder, "RVTools_tab%s.csv" % tab), "wb") as f:
            out = []
            for n, row in enumerate(rows):
                cells = [str(row[i]) for i in keep]
                if n == 0:
                    cells = [OLD.get(c, c) for c in cells]
                elif tab == "vInfo":
                    cells[6] = "{:,}".format(int(cells[6]))
                out.append(separator.join('"%s"' % c.replace('"', '""') if separator in c or '"' in c else c
                                          for c in cells))
            f.write((end.join(out) + end).encode(encoding))


def hostile(folder):
    os.makedirs(folder, exist_ok=True)
    lol = '<!DOCTYPE worksheet [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    workbook(os.path.join(folder, "doctype.xlsx"), tabs(), lol)
    workbook(os.path.join(folder, "other.xlsx"), {"Sheet1": [["A", "B"], ["1", "2"]]})
    workbook(os.path.join(folder, "long.xlsx"), {"vInfo": [["VM", "Powerstate", "CPUs", "Memory"], ["x" * 200000, "", 1, 1]]})
    workbook(os.path.join(folder, "empty.xlsx"), {"vInfo": [["VM", "Powerstate", "CPUs", "Memory"]]})
    whole = os.path.join(folder, "doctype.xlsx")
    with open(whole, "rb") as f:
        data = f.read()
    with zipfile.ZipFile(os.path.join(folder, "bomb.xlsx"), "w", zipfile.ZIP_DEFLATED) as z:
        with zipfile.ZipFile(os.path.join(folder, "empty.xlsx")) as e:
            for name in e.namelist():
                if name == "xl/sharedStrings.xml":
                    with z.open(name, "w") as f:
                        f.write(b"<sst>")
                        for _ in range(140):
                            f.write(b"<si/>" * (1 << 17))
                else:
                    z.writestr(name, e.read(name))
    with open(os.path.join(folder, "cut.xlsx"), "wb") as f:
        f.write(data[:len(data) // 2])


if __name__ == "__main__":
    what, where = sys.argv[1:3]
    if what == "xlsx":
        workbook(where, many(int(sys.argv[3])) if len(sys.argv) > 3 else tabs())
    elif what == "csv":
        texts(where, *[a.encode().decode("unicode_escape") for a in sys.argv[3:]])
    else:
        hostile(where)
