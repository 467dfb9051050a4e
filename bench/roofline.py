"""The roofline: what the parts of a conversion take alone, in the same run.

bench/roof.c reads, inflates, digests and writes the same grains on the same
cores, one part at a time.  A conversion cannot take less than their sum; how
close it comes is the ratio.  Everything is in memory, in rounds that alternate;
the least of each counts, for whoever shares the machine only adds.
SPDX-License-Identifier: LGPL-2.1-or-later"""
import collections
import os
import re
import shutil
import subprocess
import tempfile
import time

GOAL = 1.10
CASES = (("qcow2", ["--to", "kvm"]), ("raw", ["--to", "kvm", "--format", "raw"]),
         ("VHD", ["--to", "xen", "--format", "vhd"]), ("XVA", ["--to", "xen"]))
PARTS = ("read", "inflate", "content", "sha256", "sha1", "write")
MANY = 16
CALLS = ("pread64", "pwritev", "futex")
# What perf's samples are counted for, by the library or, in the kernel, by the call.
SHARES = (("inflating", "dso", "libdeflate|libisal"), ("digests", "dso", "libcrypto|libxxhash"),
          ("kernel: reading", "symbol", "sys_pread64"), ("kernel: writing", "symbol", "do_pwritev"),
          ("kernel: page faults", "symbol", "exc_page_fault"), ("loading the program", "dso", "ld-linux"),
          ("C library", "dso", "libc\\.so"), ("rehost's own code", "dso", "librehost|rehost$"))


def least(table, key, values):
    table[key] = [min(a, b) for a, b in zip(table.get(key, values), values)]


def on_cores(cores):
    return ["taskset", "-c", "0" if cores == 1 else "0-%d" % (cores - 1)]


class Roofline:
    def __init__(self, tools, inputs, place, fair):
        self.tools, self.inputs, self.place, self.fair = tools, inputs, place, fair
        self.parts, self.ours, self.counts, self.shares = {}, {}, {}, {}

    def without_manifest(self):
        path = self.inputs["ova"].replace(".ova", "-no-manifest.ova")
        if not os.path.exists(path):
            names = sorted((n for n in os.listdir(self.inputs["files"]) if not n.endswith(".mf")),
                           key=lambda n: not n.endswith(".ovf"))
            subprocess.run(["tar", "-cf", path + ".part", "-C", self.inputs["files"], *names], check=True)
            os.rename(path + ".part", path)
        return path

    def words(self, source, how, cores):
        return [os.path.join(self.tools, "rehost"), "convert", source, "--no-guest-fix", "--out", "out",
                "--threads", str(cores), *how]

    def measure_parts(self, cores, work):
        text = subprocess.run(self.fair + on_cores(cores) +
                              [os.path.join(self.tools, "bench-roof"), self.inputs["vmdk"], str(cores), work],
                              check=True, capture_output=True, text=True).stdout
        for line in text.splitlines()[1:]:
            name, wall, cpu = line.split()
            least(self.parts, (name, cores), [float(wall), float(cpu)])

    def measure_ours(self, key, words, cores, work):
        with tempfile.NamedTemporaryFile("r") as report:
            subprocess.run(self.fair + on_cores(cores) + ["time", "-q", "-o", report.name, "-f", "%e %U %S"] + words,
                           cwd=work, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wall, user, system = [float(n) for n in report.read().split()]
        least(self.ours, key, [wall, user + system])
        shutil.rmtree(os.path.join(work, "out"))

    def count(self, key, words, cores, work):
        """Once: page faults and switches by perf, calls by strace."""
        run = lambda tool: subprocess.run(on_cores(cores) + tool + words, cwd=work, check=False,
                                          capture_output=True, text=True).stderr
        found = collections.OrderedDict()
        for event, n in re.findall(r"^(\d+),[^,]*,([a-z-]+)", run(
                ["perf", "stat", "-x,", "-e", "page-faults,context-switches"]), re.M) if shutil.which("perf") else ():
            found[n] = int(event)
        shutil.rmtree(os.path.join(work, "out"), ignore_errors=True)
        if shutil.which("strace"):
            text = run(["strace", "-f", "-c", "-e", "trace=" + ",".join(CALLS)])
            for name in CALLS:
                line = re.search(r"^.*\s(\d+)(?:\s+\d+)?\s+%s$" % name, text, re.M)
                found[name] = int(re.split(r"\s+", line[0].strip())[3]) if line else 0
        shutil.rmtree(os.path.join(work, "out"), ignore_errors=True)
        self.counts[key] = found

    def profile(self, words, work):
        """Where one core's time goes, by perf's samples; nothing without perf."""
        data = os.path.join(work, "perf.data")
        if not shutil.which("perf") or subprocess.run(
                on_cores(1) + ["perf", "record", "-q", "-g", "-e", "cpu-clock", "-F", "4000", "-o", data] + words, cwd=work,
                check=False, capture_output=True).returncode:
            return
        found = {}
        for sort, how in (("dso", "--no-children"), ("symbol", "--children")):
            text = subprocess.run(["perf", "report", "-i", data, how, "-g", "none", "--sort", sort], check=False,
                                  capture_output=True, text=True).stdout
            found[sort] = re.findall(r"^\s+([0-9.]+)%.*?(\S+)(?:\s+-\s+-)?\s*$", text, re.M)
        for name, sort, pattern in SHARES:
            hits = [float(share) for share, what in found[sort] if re.search(pattern, what)]
            self.shares[name] = sum(hits) if sort == "dso" else max(hits, default=0)
        shutil.rmtree(os.path.join(work, "out"), ignore_errors=True)

    def one_round(self, first):
        sources = (("with", self.inputs["ova"]), ("without", self.without_manifest()))
        with tempfile.TemporaryDirectory(dir=self.place) as work:
            for cores in (1, 2):
                self.measure_parts(cores, work)
                self.measure_ours(("start", cores), self.words(self.inputs["small"], CASES[0][1], cores), cores, work)
                for name, how in CASES:
                    for manifest, source in sources:
                        key, words = (name, manifest, cores), self.words(source, how, cores)
                        self.measure_ours(key, words, cores, work)
                        if first and key == ("qcow2", "with", 1):
                            self.profile(words, work)
                        if first and manifest == "with" and cores == 2:
                            self.count(key, words, cores, work)

    def needs(self, name, manifest, cores):
        """CPU seconds of the parts, and the wall they need at least."""
        parts = [p for p in PARTS if (p != "sha256" or manifest == "with") and (p != "sha1" or name == "XVA")]
        cpu = sum(self.parts[p, cores][1] for p in parts)
        serial = self.parts["sha256", cores][1] if manifest == "with" else 0
        return cpu, max(cpu / cores, serial)

    def rows(self):
        for cores in (1, 2):
            for name, _ in CASES:
                for manifest in ("with", "without"):
                    wall, cpu = self.ours[name, manifest, cores]
                    least_cpu, least_wall = self.needs(name, manifest, cores)
                    yield name, manifest, cores, wall, cpu, least_wall, least_cpu

    def text(self, table, seconds):
        rows, missed = [], []
        for name, manifest, cores, wall, cpu, least_wall, least_cpu in self.rows():
            ratio = wall / least_wall
            if ratio > GOAL:
                missed.append("%s %s manifest on %d (%.2f)" % (name, manifest, cores, ratio))
            rows.append(["OVA → " + name, manifest, str(cores), "%.2f / %.2f" % (wall, cpu),
                         "%.2f / %.2f" % (least_wall, least_cpu), "**%.2f**" % ratio, "%.2f" % (cpu / least_cpu),
                         "%.2f" % max(cores * wall - cpu, 0), "%+.2f" % (cpu - least_cpu)])
        parts = [[p] + ["%.3f / %.3f" % tuple(self.parts[p, cores]) for cores in (1, 2)] for p in PARTS]
        counts = [["OVA → " + key[0]] + [str(n) for n in found.values()] for key, found in self.counts.items()]
        head = ["case"] + [n.replace("64", "") for n in next(iter(self.counts.values()), {})]
        return ("\n## Beside the parts alone\n\nThe same grains on the same cores, results in memory, the least of %s.\n"
                "\"content\" is the digest of the disk's bytes, \"sha256\" the manifest's (one thread's work), \"sha1\" "
                "that of an XVA's chunks.\n\n%s\n\nThe *roofline* is the sum of the parts that a case needs, on so many "
                "cores. *Waits* are seconds in which a core had nothing to do (order, locks, start and end), *more* is "
                "CPU beyond the parts.\nStart and end take "
                "%.3f s whatever the disk (so long takes one that is next to empty); the file is read twice where there is a "
                "manifest, by who inflates and by who takes its digest.\nGoal %.2f × wall: %s.\n\n%s\n\n%sOn two cores with a manifest, in one run:\n\n%s\n\n%s"
                % (seconds, table(["part", "1 thread: wall / CPU s", "2 threads: wall / CPU s"], parts),
                   self.ours["start", 2][0], GOAL,
                   "holds for all" if not missed else "missed by " + "; ".join(missed),
                   table(["case", "manifest", "cores", "wall / CPU s", "roofline wall / CPU s", "times wall", "times CPU",
                          "waits s", "more s"], rows), self.shares_text(table), table(head, counts), self.model(table)))

    def shares_text(self, table):
        """The reason of what is above the goal."""
        if not self.shares:
            return ""
        return ("Where one core's time goes (OVA → qcow2 with manifest, by samples of perf):\n\n%s\n\nWhat is above the parts is "
                "the second reading, memory touched for the first time, loading the program with its libraries, and inflating "
                "that is slower beside other work than alone; there is next to nothing of rehost's own to take away.\n\n"
                % table(["what", "of the time"], [[n, "%.1f %%" % v] for n, v in self.shares.items()]))

    def model(self, table):
        """Where it stops to scale: of the parts, what is one thread's at a time."""
        one = {p: self.parts[p, 1][1] for p in PARTS}
        start = self.ours["start", 2][0]
        rows = []
        for name, more in (("qcow2, raw, VHD", 0), ("XVA", one["sha1"])):
            shared = one["read"] + one["inflate"] + one["content"] + more
            for threads in (2, 8, 32):
                whole = shared + one["write"] + one["sha256"]
                bounds = {"all cores busy": whole / threads, "writing": one["write"], "SHA-256": one["sha256"]}
                what = max(bounds, key=bounds.get)
                rows.append([name, str(threads), "%.2f" % (start + bounds[what]), what])
        return ("### 8 and 32 threads, computed\n\nFrom the parts of one thread: reading, inflating and an XVA's digests are "
                "shared by all; the kernel takes one write at a time into a file, and the manifest's SHA-256 is one "
                "thread's. Start and end take %.2f s more.\n\n%s\n" %
                (start, table(["case", "threads", "wall s", "bound by"], rows)))


def many(tools, inputs, place, fair, rounds):
    """MANY conversions in one process, by the public header."""
    found = {}
    for _ in range(rounds):
        for how in ("each", "all"):
            with tempfile.TemporaryDirectory(dir=place) as work:
                text = subprocess.run(fair + [os.path.join(tools, "bench-many"), how, str(MANY), inputs["ova"], "kvm",
                                              "qcow2", work], check=True, capture_output=True, text=True).stdout
            wall, cpu, user, peak = map(float, text.split())
            least(found, how, [wall, cpu, user, peak])
    return found


def many_text(found, table):
    each, both = found["each"], found["all"]
    more = both[1] / each[1]
    return ("\n## %d conversions in one process\n\nOVA → qcow2 by the public header on two cores, results in memory. All at once "
            "take %.2f times the CPU of one after the other (at most 1.05): %s.\n\n%s\n"
            % (MANY, more, "holds" if more <= 1.05 else "**no**",
               table(["what", "wall s", "CPU s", "user s", "peak MiB"],
                     [["one after the other"] + ["%.1f" % n for n in each], ["all at once"] + ["%.1f" % n for n in both]])))


def syncs(tools, inputs, place, fair, rounds):
    found = {}
    for _ in range(rounds):
        text = subprocess.run(fair + [os.path.join(tools, "bench-roof"), inputs["vmdk"], "2", place, "sync"], check=True,
                              capture_output=True, text=True).stdout
        for line in text.splitlines():
            name, wall, cpu = line.split()
            least(found, name, [float(wall), float(cpu)])
    return found


def syncs_text(found, table):
    names = {"end": "one fsync at the end", "background": "fdatasync behind the writers, each 32 MiB (as rehost does)",
             "range": "sync_file_range each 8 MiB, fsync at the end", "direct": "direct I/O of 1 MiB, fsync at the end"}
    return ("\n## Until it is on the disk\n\nInflating and writing alone, two threads, until the last fsync returned.\n\n%s\n"
            % table(["how", "wall s", "CPU s"], [[names[n]] + ["%.2f" % v for v in found[n]] for n in names]))


def kept(tools, inputs, places, fair, rounds):
    """Deflate kept, and the same bytes only copied, in each of the places; wall seconds."""
    found = {}
    for _ in range(rounds):
        for where, place in places:
            with tempfile.TemporaryDirectory(dir=place) as work:
                steps = (("rehost", [os.path.join(tools, "rehost"), "convert", inputs["ova"], "--no-guest-fix", "--to", "kvm",
                                     "--compress", "keep", "--out", "out"]),
                         ("cp", ["sh", "-c", "cp out/*/disk0.qcow2 copy && sync copy"]))
                for who, words in steps:
                    begin = time.monotonic()
                    subprocess.run(fair + words, cwd=work, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                    least(found, (who, where), [time.monotonic() - begin])
    return found


def kept_text(found, table):
    places = [where for who, where in found if who == "rehost"]
    names = {"rehost": "rehost, `--compress keep`, SHA-256 in the pass", "cp": "cp and sync of that result"}
    return ("\n## Deflate kept\n\nWhat a hundred times the speed of `qemu-img -c` would need, in wall seconds: the same bytes "
            "only copied take this long, and nothing that writes them takes less.\n\n%s\n"
            % table(["what"] + places, [[names[who]] + ["%.2f" % found[who, where][0] for where in places]
                                        for who in ("rehost", "cp")]))
