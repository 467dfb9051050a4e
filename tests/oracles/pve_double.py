#!/usr/bin/env python3
"""pve_double.py - a strict stand-in for Proxmox VE's API (8 / 9) on port 8006, loopback only.

  pve_double.py --state DIR [--port N] [--pve 8|9] [--tokens FILE] [options]

Checks parameters against pve-api.json (the API's own table), configurations with
../judges/pve_conf_check.py, images with qemu-img; parses uploads the way pveproxy does
(parts in one order, Content-Length, five seconds of silence at most).  In DIR:

  local/import/FILE  what was uploaded     images/vm-N-disk-M.raw  imported disks
  conf/N.conf        configurations        log.jsonl               requests and errors

Storages: local (dir: iso,import,images), nfs (same), local-lvm (images only),
noimport (dir without import).  Nodes: pve1 (here), pve2.  Own code, Python 3 library only.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import argparse
import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
SAFE = r"[a-zA-Z0-9\-\.\+\=\_]"
FULL = ("Datastore.AllocateTemplate Datastore.AllocateSpace Datastore.Audit Sys.Audit Sys.Modify VM.Allocate VM.Audit "
        "VM.Config.Disk VM.Config.CPU VM.Config.Memory VM.Config.Network VM.Config.HWType VM.Config.Options VM.Config.CDROM "
        "VM.PowerMgmt SDN.Use").split()
KEY_RIGHT = [(r"(cores|sockets|cpu|vcpus|cpulimit|cpuunits|numa|affinity|numa\d+)$", "VM.Config.CPU"),
             (r"(memory|balloon|shares)$", "VM.Config.Memory"),
             (r"(acpi|hotplug|kvm|machine|scsihw|smbios1|tablet|vga|watchdog|audio0|rng0|vmgenid|bios|serial\d+|usb\d+)$",
              "VM.Config.HWType"),
             (r"(agent|autostart|description|keyboard|localtime|migrate_downtime|migrate_speed|name|onboot|ostype|protection|"
              r"reboot|startdate|startup|tdf|template|tags|hookscript|boot|allow-ksm)$", "VM.Config.Options"),
             (r"net\d+$", "VM.Config.Network"),
             (r"(scsi|sata|ide|virtio)\d+$|efidisk0$|tpmstate0$|unused\d+$", "VM.Config.Disk")]


class Failure(Exception):
    def __init__(self, status, message, errors=None, delay=0):
        super().__init__(message)
        self.status, self.message, self.errors, self.delay = status, message, errors, delay


def encoded(key, value):
    """a description's line ends, as the file keeps them"""
    return value.replace("%", "%25").replace("\n", "%0A") if key == "description" else value


def cut_relay(port, after):
    """a port that leads to `port`; its first connection breaks after so many bytes"""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(a, b, limit):
        try:
            while limit > 0:
                piece = a.recv(min(limit, 1 << 16))
                if not piece:
                    break
                b.sendall(piece)
                limit -= len(piece)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def run():
        limit = after
        while True:
            near = listener.accept()[0]
            far = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=pump, args=(near, far, 1 << 60), daemon=True).start()
            threading.Thread(target=pump, args=(far, near, limit), daemon=True).start()
            limit = 1 << 60
    threading.Thread(target=run, daemon=True).start()
    return listener.getsockname()[1]


class Cluster:
    def __init__(self, o):
        self.o = o
        self.lock = threading.RLock()
        for d in ("local/import", "nfs/import", "local/template/iso", "images", "conf", "tmp"):
            os.makedirs(os.path.join(o.state, d), exist_ok=True)
        self.logfile = open(os.path.join(o.state, "log.jsonl"), "a", buffering=1)
        with open(os.path.join(HERE, "pve-api.json"), encoding="utf-8") as f:
            self.api = json.load(f)["endpoints"]
        self.tasks, self.tickets, self.running = {}, {}, set()
        self.storages = {"local": {"type": "dir", "path": "local", "content": {"iso", "import", "images", "vztmpl"}},
                         "nfs": {"type": "nfs", "path": "nfs", "content": {"import", "images"}},
                         "local-lvm": {"type": "lvmthin", "path": None, "content": {"images", "rootdir"}},
                         "noimport": {"type": "dir", "path": "local", "content": {"iso"}}}
        if o.pve == "8" and o.old:
            self.storages["local"]["content"].discard("import")
        self.tokens = {"root@pam!full": {"secret": "11111111-2222-3333-4444-555555555555", "rights": {"/": FULL}},
                       "ci@pve!audit": {"secret": "aaaaaaaa-2222-3333-4444-555555555555", "rights": {"/": ["Datastore.Audit", "VM.Audit"]}}}
        if o.tokens:
            with open(o.tokens, encoding="utf-8") as f:
                self.tokens.update(json.load(f))

    def log(self, **entry):
        self.logfile.write(json.dumps(entry) + "\n")

    # -- who may what

    def authenticate(self, headers, method, path):
        """gives (user, uses_token)"""
        if path == "/access/ticket":
            return None, False
        cookie = re.search(r"PVEAuthCookie=([^;\s]+)", headers.get("cookie", "") or headers.get("authorization", ""))
        token = re.search(r"PVEAPIToken[=: ]\s*(\S+)", headers.get("authorization", ""))
        if cookie:
            ticket = urllib.parse.unquote(cookie.group(1))
            found = self.tickets.get(ticket)
            if not found or time.time() - found[2] > 7200:
                raise Failure(401, "Authentication failed!", delay=self.o.auth_delay)
            upload = method == "POST" and re.search(r"^/nodes/[^/]+/storage/[^/]+/upload$", path)
            if method != "GET" and not upload and headers.get("csrfpreventiontoken") != found[1]:
                raise Failure(401, "Permission denied - invalid csrf token", delay=self.o.auth_delay)
            return found[0], False
        if token:
            name, _, secret = token.group(1).partition("=")
            if "!" not in name or self.tokens.get(name, {}).get("secret") != secret:
                raise Failure(401, "Authentication failed!", delay=self.o.auth_delay)
            if self.tokens[name].get("expire", 0) and self.tokens[name]["expire"] < time.time():
                raise Failure(401, "Authentication failed!", delay=self.o.auth_delay)
            return name, True
        raise Failure(401, "No ticket", delay=self.o.auth_delay)

    def may(self, user, path, right):
        if user == "root@pam":
            return True
        rights = self.tokens.get(user, {}).get("rights", {})
        best = None
        for where, list_ in rights.items():
            if path == where or where == "/" or path.startswith(where.rstrip("/") + "/"):
                if best is None or len(where) > len(best[0]):
                    best = (where, list_)
        return bool(best) and right in best[1]

    def need(self, user, path, rights, any_=False):
        good = [self.may(user, path, r) for r in rights]
        if not (any(good) if any_ else all(good)):
            raise Failure(403, "Permission check failed (%s, %s)" % (path, "|".join(rights) if any_ else ", ".join(
                r for r, g in zip(rights, good) if not g)))

    # -- parameters

    def template(self, path):
        for t in self.api:
            m = re.fullmatch(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(t)), path)
            if m:
                return t, {k: urllib.parse.unquote(v) for k, v in m.groupdict().items()}
        m = re.fullmatch(r"/nodes/(?P<node>[^/]+)/storage/(?P<storage>[^/]+)/content/(?P<volume>.+)", path)
        if m:
            return "/nodes/{node}/storage/{storage}/content/{volume}", {k: urllib.parse.unquote(v) for k, v in m.groupdict().items()}
        raise Failure(501, "Method 'GET %s' not implemented" % path)

    def verify(self, template, method, params):
        spec = self.api[template].get(method)
        if spec is None:
            raise Failure(501, "Method '%s %s' not implemented" % (method, template))
        errors, known = {}, spec["parameters"]
        for name, value in params.items():
            rule = known.get(name) or known.get(re.sub(r"\d+$", "[n]", name))
            if rule is None:
                errors[name] = "property is not defined in schema and the schema does not allow additional properties\n"
                continue
            error = self.value(rule, value)
            if error:
                errors[name] = error + "\n"
        for name, rule in known.items():
            if not rule.get("optional") and name not in params and "[n]" not in name:
                errors[name] = "property is missing and it is not optional\n"
            if rule.get("requires") and name in params and rule["requires"] not in params:
                errors[rule["requires"]] = "missing property - '%s' requires this property\n" % name
        if errors:
            raise Failure(400, "Parameter verification failed.\n", errors)

    @staticmethod
    def value(rule, value):
        kind = rule.get("type", "string")
        if not isinstance(value, str):
            value = {True: "1", False: "0"}.get(value, str(value)) if not isinstance(value, (dict, list)) else None
            if value is None:
                return "type check ('%s') failed" % kind
        if kind == "integer" and not re.fullmatch(r"[+-]?\d+", value):
            return "type check ('integer') failed - got '%s'" % value
        if kind == "number" and not re.fullmatch(r"[+-]?\d+(\.\d+)?", value):
            return "type check ('number') failed - got '%s'" % value
        if kind == "boolean" and value.lower() not in ("0", "1", "on", "off", "yes", "no", "true", "false"):
            return "type check ('boolean') failed - got '%s'" % value
        if "enum" in rule and value not in [str(e) for e in rule["enum"]]:
            return "value '%s' does not have a value in the enumeration '%s'" % (value, ", ".join(map(str, rule["enum"])))
        if "maxLength" in rule and len(value) > int(rule["maxLength"]):
            return "value may only be %s characters long" % rule["maxLength"]
        if kind in ("integer", "number"):
            if rule.get("minimum") is not None and float(value) < float(rule["minimum"]):
                return "value must have a minimum value of %s" % rule["minimum"]
            if rule.get("maximum") is not None and float(value) > float(rule["maximum"]):
                return "value must have a maximum value of %s" % rule["maximum"]
        if "pattern" in rule and kind == "string":
            try:
                if not re.fullmatch(rule["pattern"].replace("(?^:", "(?:").replace("(?^i:", "(?i:"), value):
                    return "value does not match the regex pattern"
            except re.error:
                pass
        return None

    # -- tasks

    def worker(self, kind, number, user, work):
        now = int(time.time())
        with self.lock:
            upid = "UPID:pve1:%08X:%08X:%08X:%s:%s:%s:" % (4000 + len(self.tasks), now % (1 << 24), now, kind, number or "", user)
            task = {"upid": upid, "node": "pve1", "pid": 4000 + len(self.tasks), "pstart": now % (1 << 24), "starttime": now,
                    "type": kind, "id": str(number or ""), "user": user, "status": "running", "log": []}
            self.tasks[upid] = task

        def run():
            end = time.time() + (self.o.hang if kind == self.o.hang_task else self.o.task_delay)
            while time.time() < end and not task.get("stopped"):
                time.sleep(0.05)
            try:
                if task.get("stopped") and kind == "download":
                    raise RuntimeError("received interrupt")
                if kind == self.o.fail_task:
                    self.undo_create(kind, number)
                    raise RuntimeError("told to fail")
                work(task["log"], task) if getattr(work, "wants_task", False) else work(task["log"])
                task["exitstatus"] = "OK"
                task["log"].append("TASK OK")
            except Exception as error:                             # noqa: BLE001
                task["exitstatus"] = str(error).rstrip("\n")
                task["log"].append("TASK ERROR: " + task["exitstatus"])
                self.log(task=upid, error=task["exitstatus"])
            task["status"] = "stopped"
        threading.Thread(target=run, daemon=True).start()
        return upid

    def undo_create(self, kind, number):
        if kind == "qmcreate":
            os.remove(os.path.join(self.o.state, "conf", "%s.conf" % number))

    # -- images

    def qemu_info(self, path, form=None):
        done = subprocess.run(["qemu-img", "info", "--output=json"] + (["-f", form] if form else []) + [path],
                              capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise RuntimeError("failed to query file information with qemu-img: " + done.stderr.strip())
        return json.loads(done.stdout)

    def untrusted(self, path, form):
        info = self.qemu_info(path, form)
        if info.get("backing-filename"):
            raise RuntimeError("backing file not allowed for untrusted image '%s'!" % path)
        if (info.get("format-specific", {}).get("data", {}) or {}).get("data-file"):
            raise RuntimeError("%s: 'data-file' references are not allowed!" % path)
        if form == "vmdk" and len((info.get("format-specific", {}).get("data", {}) or {}).get("extents", [1])) > 1:
            raise RuntimeError("%s: multiple children or extents are not allowed!" % path)
        return info

    def target(self, storage, content, filename):
        s = self.storages.get(storage)
        if s is None:
            raise Failure(500, "storage '%s' does not exist" % storage)
        if s["path"] is None:
            raise Failure(500, "can't upload to storage type '%s'" % s["type"])
        name = re.sub(r"[^-a-zA-Z0-9_.]", "_", re.sub(r"^.*[/\\]", "", filename.strip()))
        form = None
        if content == "iso":
            if not re.fullmatch(r"[^/]+\.(iso|img)", name, re.I):
                raise Failure(400, "Parameter verification failed.\n", {"filename": "wrong file extension"})
            where = "template/iso"
        elif content == "import":
            m = re.fullmatch(SAFE + r"+\.(ova|qcow2|raw|vmdk)", name)
            if not m:
                raise Failure(400, "Parameter verification failed.\n", {"filename": "invalid filename or wrong extension"})
            form, where = m.group(1), "import"
        else:
            raise Failure(400, "Parameter verification failed.\n", {"content": "upload content type '%s' not allowed" % content})
        if content not in s["content"]:
            raise Failure(500, "storage '%s' does not support '%s' content" % (storage, content))
        return os.path.join(self.o.state, s["path"], where, name), form

    def accept(self, log, tmp, dest, form, checksum, algorithm):
        try:
            if algorithm:
                h = hashlib.new(algorithm)
                with open(tmp, "rb") as f:
                    for piece in iter(lambda: f.read(1 << 20), b""):
                        h.update(piece)
                if h.hexdigest() != checksum.lower():
                    raise RuntimeError("checksum mismatch: got '%s' != expect '%s'" % (h.hexdigest(), checksum))
                log.append("calculating checksum...OK, checksum verified")
            if form == "ova":
                with tarfile.open(tmp) as t:
                    if not any(n.endswith(".ovf") for n in t.getnames()):
                        raise RuntimeError("file does not look like a valid OVA: no OVF")
            elif form:
                self.untrusted(tmp, form)
            os.makedirs(os.path.dirname(dest), exist_ok=True)
            os.replace(tmp, dest)
            log.append("finished file import successfully")
        finally:
            if os.path.exists(tmp):
                os.remove(tmp)

    # -- machines

    def source(self, user, volid):
        if volid.startswith("/"):
            if user != "root@pam":
                raise Failure(500, "Only root can pass arbitrary filesystem paths.")
            return volid, None
        m = re.fullmatch(r"([^:/]+):import/(.+)", volid)
        if not m or m.group(1) not in self.storages:
            raise Failure(400, "Parameter verification failed.\n", {"import-from": "%s has wrong type - needs to be 'images' or 'import'" % volid})
        if not self.may(user, "/storage/" + m.group(1), "Datastore.Allocate"):
            self.need(user, "/storage/" + m.group(1), ["Datastore.AllocateSpace", "Datastore.Audit"], True)
        path = os.path.join(self.o.state, self.storages[m.group(1)]["path"], "import", m.group(2))
        return path, m.group(2).rsplit(".", 1)[-1]

    def create(self, user, params):
        params = dict(params)
        vmid = params.pop("vmid")
        params.pop("node")
        start = params.pop("start", "0")
        for key in ("force", "unique", "pool", "bwlimit", "live-restore", "import-working-storage", "storage", "ha-managed"):
            params.pop(key, None)
        self.need(user, "/vms/" + vmid, ["VM.Allocate"])
        if start in ("1", 1, True):
            self.need(user, "/vms/" + vmid, ["VM.PowerMgmt"])
        todo, conf = [], {}
        for key, value in params.items():
            for pattern, right in KEY_RIGHT:
                if re.match(pattern, key):
                    self.need(user, "/vms/" + vmid, [right])
                    break
            else:
                if user != "root@pam":
                    raise Failure(500, "only root can set '%s' config" % key)
            conf[key] = value
            if re.fullmatch(r"net\d+", key):
                bridge = re.search(r"bridge=([^,]+)", value)
                if bridge:
                    self.need(user, "/sdn/zones/localnetwork/" + bridge.group(1), ["SDN.Use"])
            m = re.fullmatch(r"((scsi|sata|ide|virtio)\d+|efidisk0|tpmstate0)", key)
            if not m:
                continue
            parts = value.split(",")
            head = parts[0][5:] if parts[0].startswith("file=") else parts[0]
            rest = dict(p.partition("=")[::2] for p in parts[1:])
            new = re.fullmatch(r"(([^/:\s]+):)?(\d+(\.\d+)?)", head)
            origin = rest.pop("import-from", None)
            if origin is not None:
                if not new or float(new.group(3)) != 0:
                    raise Failure(400, "Parameter verification failed.\n", {key: "'import-from' requires special syntax - use "
                                                                                 "<storage ID>:0,import-from=<source>"})
                if key == "efidisk0" and not {"efitype", "pre-enrolled-keys"} <= set(rest):
                    raise Failure(400, "Parameter verification failed.\n", {key: "need to specify 'efitype' when using 'import-from'"})
                if key == "tpmstate0" and "version" not in rest:
                    raise Failure(400, "Parameter verification failed.\n", {key: "need to specify 'version' when using 'import-from'"})
            if new:
                storage = new.group(2)
                if not storage or storage not in self.storages:
                    raise Failure(500, "storage '%s' does not exist" % storage)
                self.need(user, "/storage/" + storage, ["Datastore.AllocateSpace"])
                if "images" not in self.storages[storage]["content"]:
                    raise Failure(400, "Parameter verification failed.\n", {"storage": "storage '%s' does not support vm images" % storage})
                path = self.source(user, origin) if origin else None
                todo.append((key, storage, path, rest, float(new.group(3))))
            elif head not in ("none", "cdrom", "cloudinit"):
                raise Failure(500, "volume %s does not exist" % head)
        confpath = os.path.join(self.o.state, "conf", vmid + ".conf")
        with self.lock:
            if os.path.exists(confpath):
                raise Failure(500, "unable to create VM %s - VM %s already exists on node 'pve1'" % (vmid, vmid))
            with open(confpath, "w", encoding="utf-8") as f:
                f.write("lock: create\n")

        def work(log):
            made = []
            try:
                for n, (key, storage, path, rest, size) in enumerate(sorted(todo)):
                    name = "vm-%s-disk-%d" % (vmid, n)
                    raw = os.path.join(self.o.state, "images", name + ".raw")
                    made.append(raw)
                    if path:
                        if not os.path.exists(path[0]):
                            raise RuntimeError("cannot import from '%s' - volume does not exist" % path[0])
                        self.untrusted(path[0], path[1])
                        done = subprocess.run(["qemu-img", "convert", "-O", "raw"] + (["-f", path[1]] if path[1] else []) +
                                              [path[0], raw], capture_output=True, text=True, check=False)
                        if done.returncode:
                            raise RuntimeError("cannot import from - " + done.stderr.strip())
                        log.append("transferred 100%")
                    else:
                        with open(raw, "wb") as f:
                            f.truncate(540672 if key == "efidisk0" else 4 << 20 if key == "tpmstate0" else int(size * (1 << 30)))
                    mib = os.path.getsize(raw)
                    rest["size"] = "%dK" % (mib // 1024) if mib % (1 << 20) else "%dM" % (mib >> 20)
                    conf[key] = "%s:%s,%s" % (storage, name, ",".join("%s=%s" % kv for kv in sorted(rest.items())))
                    log.append("%s: successfully created disk '%s'" % (key, conf[key]))
                if "smbios1" not in conf:
                    conf["smbios1"] = "uuid=00000000-0000-4000-8000-%012d" % int(vmid)
                text = "".join("%s: %s\n" % (k, encoded(k, v)) for k, v in sorted(conf.items()))
                check = confpath + ".new"
                with open(check, "w", encoding="utf-8") as f:
                    f.write(text)
                done = subprocess.run([sys.executable, os.path.join(HERE, "..", "judges", "pve_conf_check.py"), "--pve", self.o.pve,
                                       "--vmid", vmid, check], capture_output=True, text=True, check=False)
                if done.returncode == 1:
                    os.remove(check)
                    raise RuntimeError("unable to create VM %s - config: %s" % (vmid, done.stdout.strip()))
                log.extend(done.stdout.splitlines())
                os.replace(check, confpath)
                if start in ("1", 1, True):
                    self.running.add(vmid)
            except Exception:
                for raw in made:
                    if os.path.exists(raw):
                        os.remove(raw)
                os.remove(confpath)
                raise
        # what the schema alone finds is refused at once
        errors = self.early(conf, todo)
        if errors:
            os.remove(confpath)
            raise Failure(400, "Parameter verification failed.\n", errors)
        return self.worker("qmcreate", vmid, user, work)

    def early(self, conf, todo):
        trial = dict(conf)
        for n, (key, storage, _, rest, _) in enumerate(todo):
            trial[key] = "%s:vm-1-disk-%d%s" % (storage, n, "".join(",%s=%s" % kv for kv in rest.items()))
        path = os.path.join(self.o.state, "tmp", "trial-%d.conf" % threading.get_ident())
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join("%s: %s\n" % (k, encoded(k, v)) for k, v in sorted(trial.items())))
        done = subprocess.run([sys.executable, os.path.join(HERE, "..", "judges", "pve_conf_check.py"), "--pve", self.o.pve, "--json",
                               path], capture_output=True, text=True, check=False)
        os.remove(path)
        if done.returncode != 1:
            return {}
        out = {}
        for line in done.stdout.splitlines() if not done.stdout.startswith("[") else []:
            out["config"] = line
        return out or {"config": done.stdout.strip()[:800]}


# ---------------------------------------------------------------- HTTP

class Server:
    def __init__(self, cluster, port, context):
        self.c, self.context = cluster, context
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]

    def serve(self):
        while True:
            client, _ = self.socket.accept()
            threading.Thread(target=self.connection, args=(client,), daemon=True).start()

    def connection(self, client):
        try:
            client.settimeout(self.c.o.silence)                     # AnyEvent's handle timeout
            if self.context:
                client = self.context.wrap_socket(client, server_side=True)
            while self.request(client):
                pass
        except (OSError, ValueError):
            pass
        finally:
            client.close()

    def request(self, client):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = client.recv(65536)
            if not piece:
                return False
            data += piece
            if len(data) > 64 * 8192:
                return False
        head, _, data = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split()
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        url = urllib.parse.urlsplit(target)
        path = urllib.parse.unquote(url.path) if "/tasks/" in url.path else url.path
        self.c.log(at=time.time(), method=method, path=path, length=headers.get("content-length"),
                   te=headers.get("transfer-encoding"), type=headers.get("content-type"))
        try:
            if method not in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
                raise Failure(501, "method '%s' not available" % method)
            te = headers.get("transfer-encoding")
            if te:
                raise Failure(501, "chunked transfer encoding not supported" if te.lower() == "chunked"
                              else "Unknown transfer encoding '%s'" % te)
            m = re.fullmatch(r"/api2/(json|extjs)(/.*)", path)
            if not m:
                raise Failure(501 if path.startswith("/api2") else 404, "no such uri")
            path = m.group(2).rstrip("/")
            user, token = self.c.authenticate(headers, method, path)
            length = headers.get("content-length")
            upload = method == "POST" and re.fullmatch(r"/nodes/([^/]+)/storage/([^/]+)/upload", path)
            params = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
            if upload:
                self.c.need(user, "/storage/" + urllib.parse.unquote(upload.group(2)), ["Datastore.AllocateTemplate"])
            if length and int(length):
                if method not in ("PUT", "POST"):
                    raise Failure(501, "Unexpected content for method '%s'" % method)
                kind = headers.get("content-type", "")
                if upload:
                    params.update(self.upload(client, data, int(length), kind, params))
                else:
                    if int(length) > 512 * 1024:
                        raise Failure(501, "for data too large")
                    while len(data) < int(length):
                        piece = client.recv(65536)
                        if not piece:
                            return False
                        data += piece
                    form = kind.split(";")[0].strip()
                    if form in ("", "application/x-www-form-urlencoded"):
                        params.update(urllib.parse.parse_qsl(data[:int(length)].decode(), keep_blank_values=True))
                    elif form == "application/json":
                        params.update(json.loads(data[:int(length)] or b"{}"))
                    else:
                        raise Failure(506, "upload 'Content-Type '%s' not implemented" % kind)
            params.pop("_dc", None)
            answer = self.dispatch(user, token, method, path, params)
            keep = headers.get("connection", "").lower() != "close" and not upload
            return self.send(client, 200, "OK", {"data": answer}, keep) and keep
        except Failure as failure:
            time.sleep(failure.delay)
            body = {"data": None, "message": failure.message}
            if failure.errors:
                body["errors"] = failure.errors
            self.c.log(status=failure.status, message=failure.message, errors=failure.errors)
            self.send(client, failure.status, failure.message.split("\n")[0], body)
            try:                                                    # or the answer is lost in a reset
                client.settimeout(0.3)
                for _ in range(64):
                    if not client.recv(1 << 16):
                        break
            except OSError:
                pass
            return False

    @staticmethod
    def send(client, status, reason, body, keep=True):
        out = json.dumps(body).encode()
        cookie = "x" * int(os.environ.get("PVE_COOKIE", "0"))  # a proxy's before it
        client.sendall(("HTTP/1.1 %d %s\r\nCache-Control: max-age=0\r\nConnection: %s\r\nServer: pve-api-daemon/3.0\r\n"
                        "Content-Type: application/json;charset=UTF-8\r\n%sContent-Length: %d\r\n\r\n"
                        % (status, reason, "Keep-Alive" if status < 400 and keep else "close",
                           cookie and "Set-Cookie: big=%s\r\n" % cookie, len(out))).encode() + out)
        return status < 400

    def upload(self, client, buf, size, kind, query):
        """pveproxy's own way through a multipart body"""
        m = re.fullmatch(r"multipart/form-data\s*;.*?boundary\s*=\s*(\S+)", kind)
        if not m:
            raise Failure(500, "upload 'Content-Type '%s' not implemented" % kind)
        if "tmpfilename" in query:
            raise Failure(500, "'tmpfilename' query parameter is not allowed for file uploads")
        boundary = re.escape(m.group(1).encode())
        delim = rb"--" + boundary + rb"\r?\n"
        close = rb"--" + boundary + rb"--"
        keep = len(m.group(1)) + 8
        tmp = os.path.join(self.c.o.state, "tmp", "pveupload-%x" % time.time_ns())
        params, phase, got = {}, 0, len(buf)
        with open(tmp, "wb") as out:
            while True:
                if phase == 0:
                    new = re.search(delim, buf, re.S)
                    if new:
                        buf, phase = buf[new.start():], 1
                if phase == 1:
                    for name in (b"content", b"checksum-algorithm", b"checksum"):
                        m = re.match(delim + rb".*?Content-Disposition: (.*?); name=\"" + name + rb"\"(.*?" + delim + rb")", buf, re.S)
                        if m:
                            if m.group(1) != b"form-data":
                                raise Failure(500, "wrong Content-Disposition '%s' in upload, expected 'form-data'" % m.group(1).decode())
                            buf = m.group(2) + buf[m.end():]
                            buf = re.sub(rb"^.*?(\r?\n){2}", b"", buf, count=1, flags=re.S)
                            m = re.match(rb"(.*?)(" + delim + rb")", buf, re.S)
                            params[name.decode()] = m.group(1).strip().decode()
                            buf = buf[m.start(2):]
                    m = re.match(delim + rb"Content-Disposition: (.*?); name=\"(.*?)\"; filename=\"([^\"]+)\"", buf, re.S)
                    if m:
                        if m.group(1) != b"form-data":
                            raise Failure(500, "wrong Content-Disposition in upload, expected 'form-data'")
                        if m.group(2) != b"filename":
                            raise Failure(500, "wrong field name '%s' for file upload, expected 'filename'" % m.group(2).decode())
                        params["filename"] = m.group(3).strip().decode()
                        buf = re.sub(rb"^.*?(\r?\n){2}", b"", buf[m.end():], count=1, flags=re.S)
                        phase = 2
                if phase == 2:
                    m = re.search(rb"\r?\n?" + close, buf) if close.replace(b"\\", b"") in buf or re.search(close, buf) else None
                    if m:
                        out.write(buf[:m.start()])
                        phase = 100
                    elif len(buf) > keep:
                        out.write(buf[:-keep])
                        buf = buf[-keep:]
                if phase == 100:
                    break
                if got >= size:
                    os.remove(tmp)
                    raise Failure(500, "upload failed")
                piece = client.recv(min(1 << 16, size - got))
                if not piece:
                    os.remove(tmp)
                    raise OSError("client went away")
                got += len(piece)
                buf += piece
                if phase < 2 and len(buf) > 520 * 1024:
                    raise OSError("buffer full")
                if self.c.o.cut_after and out.tell() > self.c.o.cut_after:
                    os.remove(tmp)
                    raise OSError("told to cut")
                if self.c.o.tmp_size and out.tell() > self.c.o.tmp_size:
                    os.remove(tmp)
                    raise OSError("No space left on device")          # the proxy drops the connection
        params["tmpfilename"] = tmp
        return params

    def dispatch(self, user, token, method, path, params):
        c = self.c
        template, found = c.template(path)
        for key, value in found.items():
            if key in params and params[key] != value:
                raise Failure(400, "Parameter verification failed.\n", {key: "duplicate parameter (already defined in URI) with conflicting values!"})
        params.update(found)
        tmp = params.pop("tmpfilename", None)
        c.verify(template, method, params)
        node = params.get("node")
        if node not in (None, "pve1", "localhost"):
            if node != "pve2":
                raise Failure(500, "hostname lookup '%s' failed - failed to get address info for: %s: Name or service not known" % (node, node))
            raise Failure(595, "no route to host")
        p = params
        with c.lock:
            if template == "/access/ticket":
                if p["username"] != "root@pam" or p["password"] != c.o.password:
                    raise Failure(401, "authentication failure", delay=c.o.auth_delay)
                ticket, csrf = "PVE:root@pam:%08X::%s" % (int(time.time()), os.urandom(8).hex()), "%08X:%s" % (int(time.time()), os.urandom(8).hex())
                c.tickets[ticket] = ("root@pam", csrf, time.time())
                return {"ticket": ticket, "CSRFPreventionToken": csrf, "username": "root@pam", "cap": {}}
            if template == "/version":
                return {"version": "9.1.2" if c.o.pve == "9" else "8.4.1", "release": c.o.pve, "repoid": "0"}
            if template == "/access/permissions":
                return {w: {r: 1 for r in l} for w, l in c.tokens.get(user, {}).get("rights", {"/": FULL}).items()}
            if template == "/cluster/nextid":
                used = {int(n[:-5]) for n in os.listdir(os.path.join(c.o.state, "conf")) if n.endswith(".conf")}
                if "vmid" in p:
                    if int(p["vmid"]) in used:
                        raise Failure(400, "Parameter verification failed.\n", {"vmid": "VM %s already exists" % p["vmid"]})
                    return str(p["vmid"])
                return str(next(n for n in range(100, 10 ** 9) if n not in used))
            if template == "/nodes":
                return [{"node": n, "type": "node", "status": "online"} for n in ("pve1", "pve2")]
            if template == "/cluster/resources":
                return [{"type": "node", "node": "pve1", "id": "node/pve1", "status": "online"}]
            if template == "/nodes/{node}/status":
                c.need(user, "/nodes/pve1", ["Sys.Audit"])
                return {"cpuinfo": {"cpus": 8, "model": "x"}, "memory": {"total": 64 << 30}, "pveversion": "pve-manager/" + c.o.pve,
                        "rootfs": {"avail": c.o.root_free or 1 << 40}}
            if template == "/nodes/{node}/network":
                return [{"iface": "vmbr0", "type": "bridge", "active": 1, "bridge_vlan_aware": 1, "address": "127.0.0.1"},
                        {"iface": "vmbr1", "type": "bridge", "active": 1}]
            if template == "/nodes/{node}/storage":
                return [self.storage(n) for n in sorted(c.storages) if "content" not in p or
                        set(p["content"].split(",")) <= c.storages[n]["content"]]
            if template == "/nodes/{node}/storage/{storage}/status":
                if p["storage"] not in c.storages:
                    raise Failure(500, "storage '%s' does not exist" % p["storage"])
                return self.storage(p["storage"])
            if template.startswith("/nodes/{node}/storage/{storage}/content"):
                return self.content(user, method, p)
            if template.endswith("/upload"):
                if tmp is None:
                    raise Failure(500, "missing temporary file name")
                try:
                    dest, form = c.target(p["storage"], p["content"], p["filename"])
                except Failure:
                    os.remove(tmp)
                    raise
                return c.worker("imgcopy", None, user, lambda log: c.accept(log, tmp, dest, form, p.get("checksum"), p.get("checksum-algorithm")))
            if template.endswith("/download-url"):
                return self.download(user, p)
            if template == "/nodes/{node}/qemu":
                if method == "POST":
                    return c.create(user, p)
                return [{"vmid": int(n[:-5]), "status": "stopped"} for n in sorted(os.listdir(os.path.join(c.o.state, "conf")))]
            if template.startswith("/nodes/{node}/qemu/{vmid}"):
                return self.machine(user, template, method, p)
            if template.startswith("/nodes/{node}/tasks/{upid}"):
                task = c.tasks.get(p["upid"])
                if task is None:
                    raise Failure(400, "Parameter verification failed.\n", {"upid": "no such task"})
                if task["user"] != user and user != "root@pam":
                    c.need(user, "/nodes/pve1", ["Sys.Audit"])
                if template.endswith("/log"):
                    return [{"n": i + 1, "t": line} for i, line in enumerate(task["log"])]
                if method == "DELETE":
                    # Only a download hears it here; the others end by themselves.
                    task["stopped"] = True
                    if task.get("process"):
                        task["process"].terminate()
                    return None
                return {k: v for k, v in task.items() if k not in ("log", "process", "stopped")}
        raise Failure(501, "Method '%s %s' not implemented" % (method, path))

    def storage(self, name):
        s = self.c.storages[name]
        return {"storage": name, "type": s["type"], "content": ",".join(sorted(s["content"])), "active": 1, "enabled": 1,
                "shared": int(s["type"] == "nfs"), "total": 1 << 40, "used": 0, "avail": 1 << 40}

    def content(self, user, method, p):
        c, s = self.c, self.c.storages.get(p["storage"])
        if s is None:
            raise Failure(500, "storage '%s' does not exist" % p["storage"])
        if method == "DELETE":
            m = re.fullmatch(r"(?:%s:)?import/(.+)" % re.escape(p["storage"]), p["volume"])
            path = m and s["path"] and os.path.join(c.o.state, s["path"], "import", m.group(1))
            if not path or not os.path.exists(path):
                raise Failure(500, "no such volume '%s'" % p["volume"])
            c.need(user, "/storage/" + p["storage"], ["Datastore.AllocateTemplate"])
            return c.worker("imgdel", re.sub("[:/]", "_", p["volume"]), user, lambda log: os.remove(path))
        out = []
        if s["path"]:
            folder = os.path.join(c.o.state, s["path"], "import")
            for n in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
                out.append({"volid": "%s:import/%s" % (p["storage"], n), "content": "import", "format": n.rsplit(".", 1)[-1],
                            "size": os.path.getsize(os.path.join(folder, n))})
        return out

    def download(self, user, p):
        """PVE::Tools::download_file_from_url: the node's wget, then the checksum"""
        c = self.c
        c.need(user, "/storage/" + p["storage"], ["Datastore.AllocateTemplate"])
        if not (c.may(user, "/", "Sys.Audit") and c.may(user, "/", "Sys.Modify")) and not c.may(user, "/nodes/pve1", "Sys.AccessNetwork"):
            raise Failure(403, "Permission check failed")
        url = p["url"]
        if urllib.parse.urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
            raise Failure(500, "this stand-in fetches from loopback only")
        unverified = str(p.get("verify-certificates", "1")).lower() in ("0", "false", "no", "off")
        # The real one would take it; nobody of ours may ask for it.
        if "checksum" not in p and (unverified or not url.startswith("https")):
            raise Failure(400, "Parameter verification failed.\n", {"checksum": "neither a certificate nor a checksum: told to refuse that"})
        dest, form = c.target(p["storage"], p["content"], p["filename"])
        with open(os.path.join(c.o.state, "urls"), "a", encoding="utf-8") as f:
            f.write(url + "\n")
        if c.o.no_route:
            url = "https://127.0.0.1:1" + urllib.parse.urlsplit(url).path
        if c.o.cut_fetch:
            url = "https://127.0.0.1:%d%s" % (cut_relay(urllib.parse.urlsplit(url).port, c.o.cut_fetch), urllib.parse.urlsplit(url).path)

        def work(log, task):
            log.append("downloading %s to %s" % (p["url"], dest))
            while c.o.hold and os.path.exists(c.o.hold) and not task.get("stopped"):
                time.sleep(0.05)
            if os.path.exists(dest):
                raise RuntimeError("refusing to override existing file '%s'" % dest)
            tmp = dest + ".tmp_dwnl.1"
            command = ["wget", "--progress=dot:giga", "-O", tmp, url] + (["--no-check-certificate"] if unverified else []) + \
                ([] if unverified or not c.o.trust else ["--ca-certificate=" + c.o.trust]) + \
                (["--limit-rate=" + c.o.wget_rate] if c.o.wget_rate else [])
            try:
                with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                      env={"PATH": os.environ["PATH"], "LC_ALL": "C"}) as wget:
                    task["process"] = wget
                    for line in wget.stderr:
                        log.append(line.rstrip("\n"))
                if task.get("stopped"):
                    raise RuntimeError("received interrupt")
                if wget.returncode:
                    raise RuntimeError("download failed: exit code %d" % wget.returncode)
                if c.o.tamper:
                    with open(tmp, "r+b") as f:
                        f.seek(os.path.getsize(tmp) // 2)
                        byte = f.read(1)
                        f.seek(-1, 1)
                        f.write(bytes([byte[0] ^ 1]))
            except BaseException:
                if os.path.exists(tmp):
                    os.remove(tmp)
                raise
            c.accept(log, tmp, dest, form, p.get("checksum"), p.get("checksum-algorithm"))
            log.append("download of '%s' to '%s' finished" % (p["url"], dest))
        work.wants_task = True
        return c.worker("download", p["filename"], user, work)

    def machine(self, user, template, method, p):
        c = self.c
        path = os.path.join(c.o.state, "conf", p["vmid"] + ".conf")
        if not os.path.exists(path):
            raise Failure(500, "Configuration file 'nodes/pve1/qemu-server/%s.conf' does not exist" % p["vmid"])
        with open(path, encoding="utf-8") as f:
            conf = dict(line.rstrip("\n").partition(": ")[::2] for line in f if ": " in line)
        if "description" in conf:
            conf["description"] = urllib.parse.unquote(conf["description"])
        if template.endswith("/config") and method == "GET":
            c.need(user, "/vms/" + p["vmid"], ["VM.Audit"])
            return conf
        if template.endswith("/agent/network-get-interfaces"):
            c.need(user, "/vms/" + p["vmid"], ["VM.Audit"])
            if p["vmid"] not in c.running or not c.o.guest_address:
                raise Failure(500, "QEMU guest agent is not running")
            return {"result": [{"name": "lo", "ip-addresses": [{"ip-address": "127.0.0.1", "ip-address-type": "ipv4"}]},
                               {"name": "eth0", "ip-addresses": [{"ip-address": c.o.guest_address, "ip-address-type": "ipv4"}]}]}
        if template.endswith("/status/current"):
            return {"status": "running" if p["vmid"] in c.running else "stopped", "vmid": int(p["vmid"])}
        if template.endswith("/status/start"):
            c.need(user, "/vms/" + p["vmid"], ["VM.PowerMgmt"])
            if "lock" in conf:
                raise Failure(500, "VM is locked (%s)" % conf["lock"])
            return c.worker("qmstart", p["vmid"], user, lambda log: c.running.add(p["vmid"]))
        if template.endswith("/status/stop"):
            return c.worker("qmstop", p["vmid"], user, lambda log: c.running.discard(p["vmid"]))
        if method == "DELETE":
            c.need(user, "/vms/" + p["vmid"], ["VM.Allocate"])
            if p["vmid"] in c.running:
                raise Failure(500, "VM %s is running - destroy failed" % p["vmid"])

            def work(log):
                os.remove(path)
                for n in os.listdir(os.path.join(c.o.state, "images")):
                    if n.startswith("vm-%s-" % p["vmid"]):
                        os.remove(os.path.join(c.o.state, "images", n))
            return c.worker("qmdestroy", p["vmid"], user, work)
        raise Failure(501, "Method '%s %s' not implemented" % (method, template))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--state", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--pve", choices=("8", "9"), default="9")
    parser.add_argument("--old", action="store_true", help="8.x without the import content type on local")
    parser.add_argument("--plain", action="store_true", help="no TLS")
    parser.add_argument("--password", default="secret")
    parser.add_argument("--tokens", help='JSON: {"user@realm!id": {"secret": ..., "rights": {"/": [...]}}}')
    parser.add_argument("--silence", type=float, default=5, help="seconds without a byte before the connection goes")
    parser.add_argument("--auth-delay", type=float, default=3)
    parser.add_argument("--task-delay", type=float, default=0.5)
    parser.add_argument("--fail-task", default="", help="tasks of this type (imgcopy, qmcreate) fail")
    parser.add_argument("--guest-address", default="", help="what the agent of a running guest tells")
    parser.add_argument("--no-route", action="store_true", help="the node reaches nobody's URL")
    parser.add_argument("--cut-fetch", type=int, default=0, help="a download's first connection breaks after that many bytes")
    parser.add_argument("--tamper", action="store_true", help="what the node downloads comes changed")
    parser.add_argument("--trust", default="", help="the node's CAs")
    parser.add_argument("--wget-rate", default="", help="bytes a second of a download")
    parser.add_argument("--hold", default="", help="downloads wait while this file is there")
    parser.add_argument("--root-free", type=int, default=0, help="bytes free in the node's root file system")
    parser.add_argument("--hang-task", default="", help="tasks of this type take --hang seconds")
    parser.add_argument("--hang", type=float, default=2)
    parser.add_argument("--cut-after", type=int, default=0, help="the connection breaks after that many bytes of an upload")
    parser.add_argument("--tmp-size", type=int, default=0, help="room in /var/tmp")
    o = parser.parse_args()
    os.makedirs(o.state, exist_ok=True)
    context = None
    if not o.plain:
        cert, key = os.path.join(o.state, "cert.pem"), os.path.join(o.state, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=pve1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key, "-out", cert],
                       check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
    server = Server(Cluster(o), o.port, context)
    fingerprint = ""
    if context:
        done = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha256"], capture_output=True, text=True, check=True)
        fingerprint = done.stdout.strip().partition("=")[2]
    print("ready %s://127.0.0.1:%d %s" % ("https" if context else "http", server.port, fingerprint), flush=True)
    try:
        server.serve()
    except KeyboardInterrupt:
        sys.exit(0)


main()
