#!/usr/bin/env python3
"""xo_double.py - a strict stand-in for Xen Orchestra's REST door (/rest/v0), loopback only.

  xo_double.py --state DIR [--port N] [--plain] [options]

Stands on the pool of xapi_double.py (same DIR layout: vdi/UUID.raw, db.json, import-N.xva, log.jsonl).
Answers as @xen-orchestra/rest-api's source says: cookie or Basic, never both; POST
pools/ID/vms, srs/ID/vdis, vdis, vifs, vbds; PUT vdis/ID.raw|vhd; GET of collections; VM start; tasks.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import argparse
import base64
import http.server
import io
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

import xapi_double as x

BASE = "/rest/v0"
KINDS = {"vms": "VM", "srs": "SR", "vdis": "VDI", "vifs": "VIF", "vbds": "VBD", "networks": "network", "hosts": "host",
         "pools": "pool"}
WRITABLE = {"vdis": {"srId": (str, True), "virtual_size": ((int, str), True), "name_label": (str, False),
                     "name_description": (str, False), "sm_config": (dict, False), "other_config": (dict, False),
                     "type": (str, False), "read_only": (bool, False), "sharable": (bool, False), "tags": (list, False)},
            "vifs": {"vmId": (str, True), "networkId": (str, True), "MAC": (str, False), "device": (str, False),
                     "MTU": (int, False), "locking_mode": (str, False)},
            "vbds": {"VM": (str, True), "VDI": (str, True), "bootable": (bool, False), "mode": (str, False),
                     "type": (str, False), "userdevice": (str, False), "empty": (bool, False)}}


class Wrong(Exception):
    def __init__(self, status, message, data=None, headers=()):
        super().__init__(message)
        self.status, self.message, self.data, self.headers = status, message, data, headers


class Stream:
    """the request's body as the double's Body wants it: length or chunked (Node undoes chunks)"""

    def __init__(self, handler):
        self.file, self.left, self.done = handler.rfile, None, False
        length = handler.headers.get("content-length")
        self.chunked = handler.headers.get("transfer-encoding", "").lower() == "chunked"
        self.length = int(length) if length is not None and not self.chunked else None
        self.left = 0 if self.chunked else (self.length or 0)

    def read(self, n):
        if self.done:
            return b""
        if self.chunked and not self.left:
            size = int(self.file.readline().split(b";")[0], 16)
            if not size:
                self.file.readline()
                self.done = True
                return b""
            self.left = size
        data = self.file.read(min(n, self.left))
        self.left -= len(data)
        if self.chunked and not self.left:
            self.file.readline()
        if not self.chunked and not self.left:
            self.done = True
        return data


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pool = options = None
    tokens, tasks = {}, {}

    def log_message(self, *args):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (OSError, ValueError):
            self.close_connection = True

    def any(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        self.pool.log(at=time.time(), on="xo", method=self.command, path=url.path, query=query,
                      length=self.headers.get("content-length"), te=self.headers.get("transfer-encoding"))
        self.stream = Stream(self)
        try:
            self.who(query)
            status, out, headers = self.route(url.path, query)
        except Wrong as wrong:
            status, headers = wrong.status, list(wrong.headers)
            out = {"error": wrong.message}
            if wrong.data is not None:
                out["data"] = wrong.data
        except x.Failure as failure:
            if self.options.cut_after and self.command == "POST" and url.path.endswith("/vms"):
                raise OSError("the connection is cut") from failure
            status, headers = 500, []
            out = {"error": "%s(%s)" % (failure.code, ", ".join(failure.params)),
                   "info": "This is a XenServer/XCP-ng error, not an XO error"}
        except EOFError:
            status, out, headers = 500, {"error": "VDI_IO_ERROR(Device I/O errors)",
                                         "info": "This is a XenServer/XCP-ng error, not an XO error"}, []
        body = b"" if out is None else out if isinstance(out, bytes) else json.dumps(out).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if out is not None and not isinstance(out, bytes):
            self.send_header("Content-Type", "application/json; charset=utf-8")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        while self.stream.read(1 << 20):                # Node drains what is left after its answer
            pass

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = any

    # -- who asks

    def who(self, query):
        cookies = dict(re.findall(r"([^=;\s]+)=([^;]*)", self.headers.get("cookie", "")))
        token = cookies.get("authenticationToken") or cookies.get("token")
        basic = self.headers.get("authorization")
        if token and basic:
            raise Wrong(400, "Having multiple authentication methods is not supported, please choose one")
        denied = Wrong(401, "invalid credentials", headers=[("WWW-Authenticate", 'Basic realm="xo"')])
        if token:
            if self.tokens.get(token, 0) < time.time():
                raise denied
        elif basic:
            parts = basic.split(" ")
            if len(parts) < 2:
                raise Wrong(400, "Malformed Authorization header")
            words = base64.b64decode(parts[1]).decode("utf-8", "replace").split(":")
            user, password = words[0], words[1] if len(words) > 1 else None       # a colon in the password ends it
            if (user, password) != (self.options.user, self.options.password) or \
                    self.options.otp and query.get("otp") != self.options.otp:
                raise denied
        elif not self.path.startswith(BASE + "/docs"):
            raise denied

    # -- what is asked

    def find(self, what, ident):
        kind = KINDS[what]
        for r, record in self.pool.tables.get(kind, {}).items():
            if record["uuid"] == ident:
                return r, record
        raise Wrong(404, "no such object %s" % ident, {"id": ident, "type": kind})

    def json(self, rules=None):
        if "json" not in self.headers.get("content-type", ""):
            body = {}                                    # express's json() looks at JSON only
        else:
            text = b""
            while True:
                piece = self.stream.read(65536)
                if not piece:
                    break
                text += piece
                if len(text) > 100 << 10:
                    raise Wrong(413, "request entity too large")
            try:
                body = json.loads(text or b"{}")
            except ValueError as error:
                raise Wrong(400, str(error)) from error
        if rules is not None:
            bad = {"body." + k: {"message": "'%s' is required" % k} for k, (_, need) in rules.items() if need and k not in body}
            bad.update({"body." + k: {"message": "invalid value", "value": v} for k, v in body.items()
                        if k in rules and (not isinstance(v, rules[k][0]) or isinstance(v, bool) and rules[k][0] != bool)})
            if bad:
                raise Wrong(422, "invalid parameters", bad)
        return body

    def view(self, what, record):
        out = {k: v for k, v in record.items() if not isinstance(v, list)}
        out.update(id=record["uuid"], type=KINDS[what], href="%s/%s/%s" % (BASE, what, record["uuid"]),
                   **{"$pool": self.pool.tables["pool"][self.pool.pool]["uuid"]})
        for name, other in (("SR", "srs"), ("VM", "vms"), ("VDI", "vdis"), ("network", "networks"), ("default_SR", "srs"),
                            ("master", "hosts")):
            if isinstance(out.get(name), str) and out[name].startswith("OpaqueRef:"):
                found = self.pool.tables.get(KINDS[other], {}).get(out[name])
                out["$" + name if name in ("SR", "VM", "VDI", "network") else name] = found and found["uuid"]
                if name in ("SR", "VM", "VDI", "network"):
                    del out[name]
        for k in ("VBDs", "VIFs", "VDIs"):
            if k in record:
                kind = k[:-1]
                out["$" + k if k != "VIFs" else k] = [self.pool.tables[kind][r]["uuid"] for r in record[k]
                                                      if r in self.pool.tables.get(kind, {})]
        if what == "vms":
            gm = self.pool.tables.get("VM_guest_metrics", {}).get(record.get("guest_metrics"))
            out["addresses"] = gm["networks"] if gm else {}
        if what == "srs":
            out.update(SR_type=record["type"], size=int(record["physical_size"]), content_type=record["content_type"])
        return out

    def route(self, path, query):
        if self.options.broken_vifs and self.command == "POST" and path.endswith("/vifs"):
            raise Wrong(503, "told to fail")
        if not path.startswith(BASE):
            raise Wrong(404, "Cannot %s %s" % (self.command, path))
        words = [w for w in path[len(BASE):].split("/") if w]
        method = self.command
        if not words and method == "GET":
            return 200, {"collections": sorted(KINDS)}, []
        if words == ["users", "me", "authentication_tokens"] and method == "POST":
            body = self.json()
            life = body.get("expiresIn", "30 days")
            token = uuid.uuid4().hex
            self.tokens[token] = time.time() + (life / 1000 if isinstance(life, (int, float)) else 30 * 86400)
            return 201, {"token": {"id": token, "user_id": "u1", "expiration": int(self.tokens[token] * 1000)}}, []
        if words and words[0] == "tasks" and method == "GET" and len(words) == 2:
            if words[1] not in self.tasks:
                raise Wrong(404, "no such task " + words[1])
            return 200, self.tasks[words[1]], []
        if words and words[0] in KINDS and len(words) == 1 and method == "GET":
            rows = [self.view(words[0], r) for r in self.pool.tables.get(KINDS[words[0]], {}).values()]
            for term in query.get("filter", "").split():
                k, _, v = term.partition(":")
                rows = [r for r in rows if v.strip('"').lower() in str(r.get(k, "")).lower()]
            if "limit" in query:
                rows = rows[:int(query["limit"])]
            if "fields" not in query:
                return 200, [r["href"] for r in rows], []
            if query["fields"] == "*":
                return 200, rows, []
            return 200, [{k: r[k] for k in ["href"] + query["fields"].split(",") if k in r} for r in rows], []
        if len(words) == 2 and words[0] in KINDS and method in ("GET", "DELETE") and "." not in words[1]:
            r, record = self.find(words[0], words[1])
            if method == "GET":
                return 200, self.view(words[0], record), []
            calls = {"vms": "VM", "vdis": "VDI", "vifs": "VIF", "vbds": "VBD"}
            if words[0] not in calls:
                raise Wrong(404, "Cannot DELETE " + path)
            disks = [self.pool.tables["VBD"][b]["VDI"] for b in record["VBDs"]] if words[0] == "vms" else []
            self.xapi(calls[words[0]] + ".destroy", r)
            for vdi in disks:                            # XO takes the disks along
                if vdi != x.NULL and not any(b["VDI"] == vdi for b in self.pool.tables.get("VBD", {}).values()):
                    self.xapi("VDI.destroy", vdi)
            return 204, None, []
        if method == "POST" and len(words) == 3 and words[0] == "pools" and words[2] == "vms":
            return self.import_vm(words[1], query)
        if method == "POST" and len(words) == 3 and words[0] == "srs" and words[2] == "vdis":
            return self.new_disk(words[1], query)
        if method == "PUT" and len(words) == 2 and words[0] == "vdis" and "." in words[1]:
            ident, _, form = words[1].partition(".")
            if form not in ("raw", "vhd"):
                raise Wrong(422, "invalid parameters", {"format": {"message": "should be one of the following; ['raw','vhd']"}})
            self.write(self.find("vdis", ident)[0], form)
            return 204, None, []
        if method == "GET" and len(words) == 2 and words[0] == "vdis" and words[1].endswith(".raw"):
            with open(self.pool.raw(self.find("vdis", words[1][:-4])[0]), "rb") as data:
                return 200, data.read(), [("Content-Type", "application/octet-stream")]
        if method == "POST" and len(words) == 1 and words[0] in WRITABLE:
            return self.create(words[0])
        if method == "POST" and len(words) == 4 and words[0] == "vms" and words[2:] == ["actions", "start"]:
            r, record = self.find("vms", words[1])
            self.json()
            sync = "sync" in query and query["sync"] not in ("false", "0")
            ident = uuid.uuid4().hex[:12]
            task = self.tasks[ident] = {"id": ident, "status": "pending", "properties": {
                "name": "REST API: start VM", "objectId": record["uuid"], "type": "xo:rest-api:action"}}
            if sync:
                self.xapi("VM.start", r, False, False)
                return 204, None, []

            def work():
                time.sleep(self.options.task_delay)
                try:
                    self.xapi("VM.start", r, False, False)
                    task["status"] = "success"
                except x.Failure as failure:
                    task.update(status="failure", result={"code": failure.code, "params": failure.params})
            threading.Thread(target=work, daemon=True).start()
            return 202, {"taskId": ident}, [("Location", "%s/tasks/%s" % (BASE, ident))]
        raise Wrong(404, "Cannot %s %s" % (method, path))

    def xapi(self, name, *args):
        s = self.pool.login(self.options.user, self.options.password)
        return x.Calls(self.pool, "master").call(name, [s] + list(args))

    # -- imports

    def import_vm(self, ident, query):
        p = self.pool
        pool = self.find("pools", ident)[1]
        sr = self.find("srs", query["sr"])[0] if "sr" in query else pool["default_SR"]
        if sr == x.NULL:
            raise Wrong(409, "incorrect state", {"expected": "Not empty", "property": "default_SR"})
        if p.tables["SR"][sr]["content_type"] == "iso":
            raise x.Failure("SR_OPERATION_NOT_SUPPORTED", sr)
        task = p.task("VM import")
        p.imports += 1
        with open(os.path.join(p.o.state, "import-%d.xva" % p.imports), "wb") as keep:
            try:
                stream = self.stream
                if p.o.late:                             # XO has all of it before XAPI begins
                    stream = io.BytesIO(b"".join(iter(lambda: self.stream.read(1 << 20), b"")))
                    p.log(late=p.o.late)
                    time.sleep(p.o.late)
                body = x.Body(stream, self.stream.length, keep, p.o.fail_after, p.o.cut_after, 1, p.o.hang)
                vms = x.Importer(p, task, {}, False).run(body, sr)            # XO never sends restore
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise x.Failure("IMPORT_ERROR", repr(error)) from error
            except x.Failure as failure:
                p.failed(task, failure)
                raise
        while self.stream.read(1 << 20):
            pass
        p.done(task)
        p.save()
        uid = p.get("VM", vms[0])["uuid"]
        return 201, {"id": uid}, [("Location", "%s/vms/%s" % (BASE, uid))]

    def new_disk(self, ident, query):
        p = self.pool
        sr = self.find("srs", ident)[0]
        form = "raw" if query.get("raw", "false") in ("", "true", "1") else "vhd"
        if query.get("raw") not in (None, "", "true", "false", "1", "0"):
            raise Wrong(422, "invalid parameters", {"raw": {"message": "invalid boolean value"}})
        first = b""
        if form == "vhd":
            while len(first) < 512:
                piece = self.stream.read(512 - len(first))
                if not piece:
                    raise Wrong(500, "unexpected end of stream")
                first += piece
            x.vhd_footer(first)
            size = int.from_bytes(first[48:56], "big")
        elif self.stream.length is None:
            raise Wrong(500, "The expression evaluated to a falsy value")
        else:
            size = self.stream.length
        r = p.new_vdi({"SR": sr, "virtual_size": str(size), "type": "user", "sharable": False, "read_only": False,
                       "other_config": {}, "name_label": query.get("name_label", "[XO] Imported disk"),
                       "name_description": query.get("name_description", "")})
        try:
            self.write(r, form, first)
        except (x.Failure, EOFError, Wrong):
            os.remove(p.raw(r))
            p.tables["SR"][sr]["VDIs"].remove(r)
            p.drop("VDI", r)
            raise
        uid = p.get("VDI", r)["uuid"]
        return 201, {"id": uid}, [("Location", "%s/vdis/%s" % (BASE, uid))]

    def write(self, r, form, first=b""):
        p = self.pool
        if self.stream.length is None:
            raise Wrong(500, "Trying to import a VDI without a length field. Please report this error to the Xen Orchestra team.")
        if p.busy(r):
            raise x.Failure("VDI_IN_USE", r, "attach")
        capacity = int(p.get("VDI", r)["virtual_size"])
        body = x.Body(self.stream, None, None, p.o.fail_after)
        source = Ahead(first, body)
        with open(p.raw(r), "r+b") as out:
            if form == "vhd":
                x.receive_vhd(source, out, capacity, self.stream.length)
            else:
                at = 0
                while True:
                    data = source.read(1 << 20)
                    if not data:
                        break
                    if at + len(data) > capacity:
                        raise x.Failure("VDI_IO_ERROR", "Device I/O errors")
                    out.write(data)
                    at += len(data)
                if at < self.stream.length:
                    raise EOFError
        if p.used(p.get("VDI", r)["SR"]) > p.o.sr_size:
            raise x.Failure("VDI_IO_ERROR", "Device I/O errors")
        p.save()

    def create(self, what):
        p, body = self.pool, self.json(WRITABLE[what])
        if what == "vdis":
            sr = self.find("srs", body["srId"])[0]
            r = p.new_vdi({"SR": sr, "virtual_size": str(body["virtual_size"]), "type": body.get("type", "user"), "sharable": False,
                           "read_only": False, "other_config": body.get("other_config", {}), "name_label": body.get("name_label", ""),
                           "name_description": body.get("name_description", ""), "sm_config": body.get("sm_config", {})})
            p.save()
        elif what == "vifs":
            vm, record = self.find("vms", body["vmId"])
            net = self.find("networks", body["networkId"])[0]
            taken = {p.tables["VIF"][v]["device"] for v in record["VIFs"]}
            device = body.get("device") or next(str(i) for i in range(8) if str(i) not in taken)
            r = self.xapi("VIF.create", {"device": device, "network": net, "VM": vm, "MAC": body.get("MAC", ""),
                                         "MTU": str(body.get("MTU", 1500)), "other_config": {}, "qos_algorithm_type": "",
                                         "qos_algorithm_params": {}})
        else:
            vm, record = self.find("vms", body["VM"])
            vdi = self.find("vdis", body["VDI"])[0]
            taken = {p.tables["VBD"][b]["userdevice"] for b in record["VBDs"]}
            r = self.xapi("VBD.create", {"VM": vm, "VDI": vdi, "userdevice": body.get("userdevice")
                                         or next(str(i) for i in range(16) if str(i) not in taken and i != 3),
                                         "bootable": body.get("bootable", False), "mode": body.get("mode", "RW"),
                                         "type": body.get("type", "Disk"), "empty": False, "other_config": {},
                                         "qos_algorithm_type": "", "qos_algorithm_params": {}})
        uid = p.get(KINDS[what], r)["uuid"]
        return 201, {"id": uid}, [("Location", "%s/%s/%s" % (BASE, what, uid))]


class Ahead:
    def __init__(self, first, body):
        self.first, self.body = first, body

    def read(self, n):
        if self.first:
            out, self.first = self.first[:n], self.first[n:]
            return out
        return self.body.read(n)

    def exactly(self, n):
        data = self.read(n)
        while len(data) < n:
            more = self.read(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--state", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="no TLS")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default="secret")
    parser.add_argument("--otp", default="")
    parser.add_argument("--version", choices=("8.2", "8.3"), default="8.3")
    parser.add_argument("--sr-size", type=int, default=64 << 30)
    parser.add_argument("--fail-after", type=int, default=0)
    parser.add_argument("--task-delay", type=float, default=0.5)
    parser.add_argument("--hang", type=float, default=0, help="seconds that an import stands still")
    parser.add_argument("--guest-address", dest="address_of_guests", default="", help="started guests tell it after a second")
    parser.add_argument("--fail-call", action="append", default=[], metavar="METHOD[=N]", help="XAPI's first N calls fail")
    parser.add_argument("--cut-after", type=int, default=0, help="the connection breaks after that many bytes of an import")
    parser.add_argument("--late", type=float, default=0, help="seconds between the upload's end and the VM")
    parser.add_argument("--broken-vifs", action="store_true", help="no NIC can be made")
    parser.add_argument("--no-default-sr", dest="default_sr", action="store_false")
    o = parser.parse_args()
    o.address = o.slave_address = "127.0.0.1"
    o.session_timeout, o.login_delay, o.progress_every, o.string_counts = 86400, 0.2, 10, False
    os.makedirs(o.state, exist_ok=True)
    Handler.pool, Handler.options = x.Pool(o), o
    http.server.ThreadingHTTPServer.daemon_threads = True
    server = http.server.ThreadingHTTPServer(("127.0.0.1", o.port), Handler)
    if not o.plain:
        cert, key = os.path.join(o.state, "cert.pem"), os.path.join(o.state, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "2", "-subj", "/CN=xo-double", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    Handler.pool.save()
    print("ready %s://127.0.0.1:%d pool %s" % ("http" if o.plain else "https", server.server_port,
                                                Handler.pool.tables["pool"][Handler.pool.pool]["uuid"]), flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
