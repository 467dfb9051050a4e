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


def check_case(rehost, case):
    if case.source.endswith((".ovf", ".vmx")):
        report(rehost, case, "--no-guest")
        make_disks(case)
    report(rehost, case)
    if not case.vms and not case.error:
        case.faults.append("the report says nothing")
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
