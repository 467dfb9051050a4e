#!/usr/bin/env python3
"""What report says is what convert does, for every package in a list.

  as_planned.py REHOST FOLDER          FOLDER/NAME/source[.*] and FOLDER/NAME/args

Every folder is a case: its `source` file holds the package's path below it, and
`args` the options, one a line.  Disks that the descriptor names and that are not
there are made first, empty, of the described size.  Then each is reported for
both models and converted to each.  Compared are the VM, devices, findings, edits, sizes and verdicts of
report, report.json and receipt.json; blocked is exit 4, refused exit 3, and
nothing may stand where nothing was converted.  Prints a test's line per case.
"""
# SPDX-License-Identifier: LGPL-2.1-or-later
import collections
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import tempfile

COMPARED = ("findings", "edits", "verdict", "effort", "effort_by_hand",
            "devices", "guest", "output_bytes", "measured")
MODELS = ("kvm", "xen")


# Why a guest would not start, or may not, on each model: the findings that put
# its start at stake.  Where there are any, what is left to do is "manual";
# with none it is seen to start (the driver is there or is added, the loader is
# where the firmware looks), and the other cautions are only some caution.
NOTHING = {"kvm": [], "xen": []}


def both(*ids):
    return {"kvm": list(ids), "xen": list(ids)}


AT_STAKE = {
    # every distribution's own builder and loader: drivers are added
    "debian": NOTHING, "ubuntu": NOTHING, "rocky": NOTHING, "sles": NOTHING,
    "rhel6": NOTHING, "alpine": NOTHING, "arch": NOTHING, "micro": NOTHING,
    "lvm": NOTHING, "by-mac": NOTHING,
    "uefi": NOTHING,  # its loader is copied to EFI/BOOT
    # a network that is not known keeps nobody from the console
    "no-network": NOTHING,
    # suspended: what was open does not fit other hardware
    "hibernated": both("GUEST-HIBERNATED"),
    # one signed file, which cannot be added to
    "unified-kernel": both("GUEST-UKI"),
    # an initramfs that is no archive
    "strange": both("GUEST-INITRAMFS-UNKNOWN"),
    # CentOS 5's, whose initrd knows no hook; its own mkinitrd has to run
    "mkinitrd": both("GUEST-INITRAMFS-UNKNOWN"),
    # there is no such module; Xen needs another one
    "no-module": {"kvm": ["BOOT-DRIVER-MISSING"], "xen": []},
    "no-kernel": both("GUEST-NO-KERNEL"),
    "no-loader": both("GUEST-NO-LOADER"),
    "efi-stub": both("GUEST-NO-LOADER"),  # started by NVRAM's entry only
    "nixos": both("GUEST-IMMUTABLE"),
    # LILO knows the initramfs by its blocks, and on Xen the disk's number
    "lilo": {"kvm": ["BOOT-DRIVER-MISSING"],
             "xen": ["BOOT-DRIVER-MISSING", "GUEST-NO-LOADER"]},
}
STAKES = {i for of in AT_STAKE.values() for ids in of.values() for i in ids}


class Case:
    def __init__(self, folder):
        self.name = os.path.basename(folder)
        self.folder = folder
        self.source = open(os.path.join(folder, "source")).read().strip()
        self.path = os.path.join(folder, self.source)
        self.args = open(os.path.join(folder, "args")).read().split("\n")
        self.args = [a for a in self.args if a]
        self.vms, self.error, self.faults = [], None, []


def run(command):
    p = subprocess.run(command, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if b"Sanitizer: " in p.stderr or b"runtime error: " in p.stderr:
        sys.exit("a sanitizer spoke: %s\n%s" % (
            command, p.stderr.decode(errors="replace")))
    return p.returncode, p.stderr.decode(errors="replace")


def report(rehost, case, *more):
    out = os.path.join(case.folder, "report.json")
    status, said = run([rehost, "report", case.path, "--to", "all", "--json",
                        out] + case.args + list(more))
    case.vms, case.error = [], None
    if not os.path.exists(out): # the options are refused
        case.error = dict(json.loads(said)["error"], status=status)
        return
    with open(out) as f:
        document = json.load(f)
    os.unlink(out)
    case.vms = document["vms"]
    for row in document["failed"]:
        case.error = dict(row["error"], status=status)


def make_disks(case):
    for row in case.vms:
        for disk in row["vm"]["disks"]:
            if not disk.get("file"):
                continue
            path = os.path.normpath(
                os.path.join(os.path.dirname(case.path), disk["file"]))
            if os.path.exists(path) or not path.startswith(case.folder + "/"):
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.truncate(disk.get("capacity_bytes") or 1 << 20)


def of_target(row, model):
    return next(t for t in row["targets"] if t["target"] == model)


def plain(rows, take):
    """Every part by itself, so that a difference is short."""
    parts = []
    for row in rows:
        value = take(row)
        for part in value if isinstance(value, list) else [value]:
            parts.append(json.dumps([row["vm"]["id"], part], sort_keys=True))
    return sorted(parts)


def compare(case, what, planned, done):
    if planned == done:
        return
    rest = collections.Counter(planned)
    rest.subtract(done)
    case.faults.append("%s differ" % what)
    for part, n in rest.items():
        if n:
            case.faults.append("  only %s: %s" % (
                "planned" if n > 0 else "done", part[:400]))


def results(out):
    for name in sorted(os.listdir(out)):
        folder = os.path.join(out, name)
        with open(os.path.join(folder, "report.json")) as f:
            row = json.load(f)["vms"][0]
        with open(os.path.join(folder, "receipt.json")) as f:
            receipt = json.load(f)
        yield row, receipt


def converted(case, model, out):
    rows, receipts = [], []
    for row, receipt in results(out):
        rows.append(row)
        receipts.append(dict(receipt, vm=row["vm"]))
    whole = lambda row: [row["vm"], row["result"]]
    compare(case, model + ": VMs", plain(case.vms, whole), plain(rows, whole))
    for key in COMPARED:
        take = lambda row: of_target(row, model).get(key)
        compare(case, model + ": " + key, plain(case.vms, take),
                plain(rows, take))
    bare = lambda edits: [(e["where"], e["what"], e["fix"]) for e in edits]
    compare(case, model + ": the receipt's edits",
            plain(case.vms, lambda r: bare(of_target(r, model)["edits"])),
            plain(receipts, lambda r: bare(r["edits"])))


def blockers(case, model):
    return [f for r in case.vms for f in of_target(r, model)["findings"]
            if f["severity"] == "blocker"]


# A disk without a file: the report names it, convert refuses the package.
NO_FILE = {"DISK-FILE-MISSING", "DISK-FILE-OUTSIDE", "DISK-RDM",
           "OVF-REFERENCE"}


def expected_status(case, model):
    if case.error:
        return case.error["status"]
    if any(f["id"] in NO_FILE and f["subject"].startswith("disks/")
           for f in blockers(case, model)):
        return 3
    verdicts = [of_target(r, model)["verdict"] for r in case.vms]
    return 4 if "blocked" in verdicts else 0


def check(rehost, case, model):
    out = os.path.join(case.folder, "out-" + model)
    status, said = run([rehost, "convert", case.path, "--to", model, "--out",
                        out] + case.args)
    wanted = expected_status(case, model)
    if status != wanted:
        case.faults.append("%s: convert exits %d, the report means %d\n%s" % (
            model, status, wanted, said))
    elif status == 0:
        converted(case, model, out)
    elif case.error:
        if "[%s]" % case.error["code"] not in said:
            case.faults.append("%s: %s became %s" % (model, case.error, said))
    elif status == 4 and not any("(%s)" % f["id"] in said
                                 for f in blockers(case, model)):
        case.faults.append("%s: not a blocker of the report: %s" % (model,
                                                                    said))
    if status and os.path.isdir(out) and os.listdir(out):
        case.faults.append("%s: half a result stands" % model)
    shutil.rmtree(out, ignore_errors=True)


def check_stake(case):
    """A guest's verdict follows what is at stake, and the table says why."""
    if not case.name.startswith("guest-"):
        return
    name = case.name[len("guest-"):]
    for choice in ("-virtio", "-vmware", "-emulated"):
        name = name.removesuffix(choice)
    if name not in AT_STAKE:
        case.faults.append("AT_STAKE says nothing of this guest")
        return
    for row in case.vms:
        for target in row["targets"]:
            if target["verdict"] == "blocked":
                continue
            found = sorted({f["id"] for f in target["findings"]
                            if f["severity"] == "caution" and
                            not f["automatic"] and f["id"] in STAKES})
            wanted = sorted(AT_STAKE[name][target["target"]])
            effort = "manual" if wanted else "some-caution"
            if found != wanted or target["effort"] != effort:
                case.faults.append("%s: %s, %s; expected %s, %s" % (
                    target["target"], target["effort"], found, effort, wanted))


def check_case(rehost, case):
    if case.source.endswith((".ovf", ".vmx")):
        report(rehost, case, "--no-guest")
        make_disks(case)
    report(rehost, case)
    if not case.vms and not case.error:
        case.faults.append("the report says nothing")
    check_stake(case)
    for model in MODELS:
        check(rehost, case, model)
    return case


def main():
    rehost, folder = sys.argv[1:]
    folder = os.path.abspath(folder)
    cases = [Case(os.path.join(folder, n)) for n in sorted(os.listdir(folder))]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for case in pool.map(lambda c: check_case(rehost, c), cases):
            print("%s as_planned_%s" % ("not ok" if case.faults else "ok",
                                        case.name))
            for line in "\n".join(case.faults).splitlines():
                print("  " + line)
            sys.stdout.flush()
    if not cases:
        print("not ok as_planned_there_are_cases")


main()
