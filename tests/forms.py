#!/usr/bin/env python3
"""forms.py REHOST FILE... - the same VM, written down in other ways.

What a descriptor means does not hang on the order of its parts, on its white
space, its prefixes or the spelling of its references: each FILE (.ovf, .vmx) is
rewritten so, and `rehost inspect --json` must say the same of it, and end with
the same status.  One line "ok NAME" or "not ok NAME: WAY" for each.
"""
# SPDX-License-Identifier: LGPL-2.1-or-later
import copy
import difflib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

RANDOM = random.Random(5)
ITEMS = ("Item", "StorageItem", "EthernetPortItem")
# Texts that people read keep their white space.
PROSE = {"Name", "Annotation", "Description", "Info", "ElementName", "Caption",
         "License", "Product", "Vendor", "Version", "FullVersion", "Label", "Category"}


# Where the order or the name is what counts.
ORDER_COUNTS = {
    "boot_order_section_of_vmware.ovf": "sections in another order",
    "controller_number_by_address_or_order.ovf": "items in another order",
    "host_resource_in_every_form.ovf": "other ids of files",
    "vmx_odd_lines_are_said.vmx": "lines in another order", # told by its number
}


def local(tag):
    return tag.split("}")[-1]


def inspect(rehost, path, content):
    with open(path, "wb") as f:
        f.write(content)
    return subprocess.run([rehost, "inspect", path, "--json"], timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def said(output, ordered):
    """As text.  The order of findings and devices is that of the descriptor;
    without `ordered` so is that of the disks and NICs, and what tells by number
    of them is left out."""
    doc = json.loads(output)
    doc.pop("package", None)

    def key(x):
        return json.dumps(x, sort_keys=True)
    for vm in doc["vms"]:
        vm["findings"] = sorted(vm.get("findings", []), key=key)
        vm["devices"] = sorted(vm.get("devices", []), key=key)
        if not ordered:
            vm.pop("provenance", None)
            vm.pop("findings")
            for name in ("disks", "nics", "cdroms"):
                vm[name] = sorted(vm.get(name, []), key=key)
    if not ordered:
        doc["vms"].sort(key=key)
    return re.sub(r"the first is line [0-9]+", "",
                  json.dumps(doc, sort_keys=True, indent=1, ensure_ascii=False))


# --- OVF ----------------------------------------------------------------------
def shuffled(*names):
    def way(root):
        for e in root.iter():
            if local(e.tag) in names:
                children = list(e)
                RANDOM.shuffle(children)
                e[:] = children
    return way


def items(root):
    for e in root.iter():
        if local(e.tag) == "VirtualHardwareSection":
            at = [i for i, x in enumerate(e) if local(x.tag) in ITEMS]
            moved = [e[i] for i in at]
            RANDOM.shuffle(moved)
            for i, x in zip(at, moved):
                e[i] = x


def white_space(root):
    for e in root.iter():
        if len(e) == 0 and e.text and e.text.strip() and local(e.tag) not in PROSE:
            e.text = "\n   " + e.text.strip() + " \t\n"


def file_ids(root):
    new = {}
    for e in root.iter():
        for a, v in e.attrib.items():
            if local(e.tag) == "File" and local(a) == "id":
                new[v] = "Datei %d \u00e9" % len(new)
    for e in root.iter():
        for a, v in e.attrib.items():
            if local(e.tag) in ("File", "Disk") and local(a) in ("id", "fileRef"):
                e.attrib[a] = new.get(v, v)
        for a, v in list(e.attrib.items()) + [(None, e.text)]:
            m = re.match(r"^\s*((?:ovf:)?/file/)(.*?)\s*$", v or "")
            if m and m.group(2) in new:
                if a:
                    e.attrib[a] = m.group(1) + new[m.group(2)]
                else:
                    e.text = m.group(1) + new[m.group(2)]


OVF = {
    "references, disks and networks in another order":
        (shuffled("References", "DiskSection", "NetworkSection"), True),
    "sections in another order":
        (shuffled("Envelope", "VirtualSystem", "Content"), True),
    "an item's parts in another order": (shuffled(*ITEMS), True),
    "items in another order": (items, False),
    "white space": (white_space, True),
    "other ids of files": (file_ids, True),
}


def ovf_forms(content):
    root = ET.fromstring(content)
    # Prefixes change, and those that are declared only go: so does the first.
    for name, (way, ordered) in {"": (lambda root: None, True), **OVF}.items():
        changed = copy.deepcopy(root)
        way(changed)
        yield name, ordered, ET.tostring(changed, encoding="utf-8",
                                         xml_declaration=True)


# --- VMX ----------------------------------------------------------------------
def upper_keys(line):
    key, equals, value = line.partition(b"=")
    return key.upper() + equals + value if not line.startswith(b"#") else line


def vmx_forms(content):
    lines = content.replace(b"\r\n", b"\n").split(b"\n")
    yield "", True, content
    keys = [x.split(b"=")[0].strip().lower() for x in lines if b"=" in x]
    if len(set(keys)) == len(keys):  # else the first counts
        yield "lines in another order", True, b"\n".join(
            RANDOM.sample(lines, len(lines)))
    yield "CR LF", True, b"\r\n".join(lines)
    yield "keys in capitals", True, b"\n".join(map(upper_keys, lines))
    yield "no blanks", True, b"\n".join(
        re.sub(rb"\s*=\s*", b"=", x, count=1) for x in lines)
    yield "tabs", True, b"\n".join(
        b"\t" + re.sub(rb"\s*=\s*", b"\t=\t", x, count=1) + b"  " for x in lines)


def main():
    rehost, files = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            with open(file, "rb") as f:
                content = f.read()
            name = os.path.basename(file)
            path = os.path.join(folder, "vm" + os.path.splitext(file)[1])
            try:
                forms = list((ovf_forms if path.endswith(".ovf") else vmx_forms)(content))
            except ET.ParseError:
                continue
            first = inspect(rehost, path, forms.pop(0)[2])
            worst = None
            for way, ordered, changed in forms:
                if ORDER_COUNTS.get(name) == way:
                    continue
                now = inspect(rehost, path, changed)
                if now.returncode != first.returncode:
                    worst = "%s: status %d, not %d" % (way, now.returncode, first.returncode)
                elif not now.returncode:
                    a, b = said(first.stdout, ordered), said(now.stdout, ordered)
                    if a != b:
                        worst = way + "\n" + "\n".join(list(difflib.unified_diff(
                            a.split("\n"), b.split("\n"), lineterm="", n=1))[:20])
                if worst:
                    break
            print("not ok %s: %s" % (name, worst) if worst else "ok " + name)


main()
