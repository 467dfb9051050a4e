#!/usr/bin/env python3
"""prism_double.py - a strict stand-in for Nutanix Prism Central (v3, v4) and Prism Element (v2, v3), loopback only.

  prism_double.py --state DIR --spec VMS.json [--port PC] [--pe-port PE] [options]

VMS.json: [{"name", "uuid"?, "sockets", "cores", "memory_mib", "boot": "LEGACY|UEFI|SECURE_BOOT", "machine"?, "power"?,
            "timezone"?, "vtpm"?, "disks": [{"file", "bus": "SCSI", "index": 0}], "nics": [{"mac", "subnet"}]}]
The bytes of snapshots lie as an NFS export would show them: DIR/nfs/CONTAINER/.snapshot/... ; hand that folder to
the program as the mount.  What a guest does:  POST /_sim/write?vm=NAME&disk=0&offset=N  (body), the truth:
GET /_sim/raw?vm=NAME&disk=0.  The shapes come from SDKs, a public swagger and two projects' notes of live tests
; nobody here has seen a real Prism.  Own code, Python 3 library only; qemu-img for QCOW2.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import argparse
import base64
import hashlib
import io
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 65536
CONTAINER = "default-container"


class Failure(Exception):
    def __init__(self, status, message, code="ERROR", headers=()):
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers


def u():
    return str(uuid.uuid4())


class Prism:
    def __init__(self, o):
        self.o, self.lock = o, threading.RLock()
        self.tasks, self.ovas, self.images, self.snaps, self.rps, self.downloads = {}, {}, {}, {}, {}, {}
        self.cluster, self.number, self.requests = u(), 0, 0
        self.nfs = os.path.join(o.state, "nfs")
        self.live = os.path.join(self.nfs, CONTAINER, ".acropolis", "vmdisk")
        os.makedirs(self.live, exist_ok=True)
        self.logfile = open(os.path.join(o.state, "log.jsonl"), "a", buffering=1)
        self.vms, self.subnets = {}, {}
        with open(o.spec, encoding="utf-8") as f:
            for vm in json.load(f):
                vm.setdefault("uuid", u())
                vm.setdefault("power", "ON")
                vm.setdefault("boot", "LEGACY")
                vm.setdefault("machine", "PC")
                vm.setdefault("timezone", "UTC")
                for d in vm["disks"]:
                    d.setdefault("uuid", u())
                    d["vdisk"] = u()
                    source = os.path.join(os.path.dirname(os.path.abspath(o.spec)), d["file"])
                    shutil.copyfile(source, self.path(d))
                    d["size"] = os.path.getsize(source)
                for n in vm.get("nics", []):
                    n.setdefault("uuid", u())
                    n["subnet_uuid"] = self.subnets.setdefault(n.get("subnet", "default"), u())
                self.vms[vm["uuid"]] = vm

    def path(self, d):
        return os.path.join(self.live, d["vdisk"])

    def log(self, **entry):
        self.logfile.write(json.dumps(entry) + "\n")

    def vm(self, key, where="v3"):
        if key not in self.vms:
            raise Failure(404, "The entity %s is not found." % key, "ENTITY_NOT_FOUND")
        return self.vms[key]

    def task(self, kind, work, entities):
        t = {"uuid": u(), "kind": kind, "status": "QUEUED", "percent": 0, "entities": entities, "details": {}, "error": ""}
        self.tasks[t["uuid"]] = t

        def run():
            time.sleep(self.o.task_delay / 2)
            t["status"], t["percent"] = "RUNNING", 40
            time.sleep(self.o.task_delay / 2)
            try:
                work(t)
                t["status"], t["percent"] = "SUCCEEDED", 100
            except Exception as error:                            # noqa: BLE001
                t["status"], t["error"] = "FAILED", str(error)
                self.log(task=t["uuid"], error=str(error))
        threading.Thread(target=run, daemon=True).start()
        return t

    # -- what a machine looks like in each version

    def v3(self, vm):
        boot = {"boot_type": vm["boot"], "boot_device_order_list": ["CDROM", "DISK", "NETWORK"]}
        res = {"num_sockets": vm["sockets"], "num_vcpus_per_socket": vm["cores"], "num_threads_per_core": 1,
               "memory_size_mib": vm["memory_mib"], "power_state": vm["power"], "machine_type": vm["machine"],
               "boot_config": boot, "hardware_clock_timezone": vm["timezone"],
               "vtpm_config": {"vtpm_enabled": bool(vm.get("vtpm"))},
               "disk_list": [{"uuid": d["uuid"], "disk_size_bytes": d["size"], "disk_size_mib": -(-d["size"] // (1 << 20)),
                              "device_properties": {"device_type": "DISK", "disk_address": {"adapter_type": d["bus"], "device_index": d["index"]}},
                              "storage_config": {"storage_container_reference": {"kind": "storage_container", "uuid": self.cluster, "name": CONTAINER}}}
                             for d in vm["disks"]],
               "nic_list": [{"uuid": n["uuid"], "nic_type": "NORMAL_NIC", "model": "", "mac_address": n["mac"], "is_connected": True,
                             "vlan_mode": "ACCESS", "subnet_reference": {"kind": "subnet", "uuid": n["subnet_uuid"], "name": n.get("subnet", "default")}}
                            for n in vm.get("nics", [])]}
        updated = {"last_update_time": vm["updated"]} if "updated" in vm else {}
        return {"metadata": {"kind": "vm", "uuid": vm["uuid"], "spec_version": 1, "categories": {}, **updated},
                "spec": {"name": vm["name"], "description": vm.get("description", ""), "resources": res,
                         "cluster_reference": {"kind": "cluster", "uuid": self.cluster}},
                "status": {"name": vm["name"], "state": "COMPLETE", "resources": dict(res, host_reference={"kind": "host", "uuid": self.cluster})}}

    def v2(self, vm):
        return {"uuid": vm["uuid"], "name": vm["name"], "description": vm.get("description", ""), "power_state": vm["power"].lower(),
                "num_vcpus": vm["sockets"], "num_cores_per_vcpu": vm["cores"], "num_threads_per_core": 1, "memory_mb": vm["memory_mib"],
                "timezone": vm["timezone"], "machine_type": vm["machine"].lower(),
                "boot": {"uefi_boot": vm["boot"] != "LEGACY", "secure_boot": vm["boot"] == "SECURE_BOOT",
                         "boot_device_order": ["CDROM", "DISK", "NIC"]},
                "vm_disk_info": [{"disk_address": {"device_bus": d["bus"].lower(), "device_index": d["index"], "vmdisk_uuid": d["vdisk"],
                                                   "device_uuid": d["uuid"], "disk_label": "%s.%d" % (d["bus"].lower(), d["index"])},
                                  "is_cdrom": False, "is_empty": False, "size": d["size"], "storage_container_uuid": self.cluster}
                                 for d in vm["disks"]],
                "vm_nics": [{"mac_address": n["mac"], "network_uuid": n["subnet_uuid"], "model": "", "is_connected": True} for n in vm.get("nics", [])]}

    def v4(self, vm):
        uefi = vm["boot"] != "LEGACY"
        out = {"$objectType": "vmm.v4.ahv.config.Vm", "extId": vm["uuid"], "name": vm["name"], "numSockets": vm["sockets"],
               "numCoresPerSocket": vm["cores"], "numThreadsPerCore": 1, "memorySizeBytes": vm["memory_mib"] << 20,
               "powerState": vm["power"], "machineType": vm["machine"], "hardwareClockTimezone": vm["timezone"], "biosUuid": vm["uuid"],
               "bootConfig": {"$objectType": "vmm.v4.ahv.config." + ("UefiBoot" if uefi else "LegacyBoot"), "bootOrder": ["CDROM", "DISK", "NETWORK"]},
               "vtpmConfig": {"isVtpmEnabled": bool(vm.get("vtpm"))}, "cluster": {"extId": self.cluster},
               "disks": [{"extId": d["uuid"], "diskAddress": {"busType": d["bus"], "index": d["index"]},
                          "backingInfo": {"$objectType": "vmm.v4.ahv.config.VmDisk", "diskExtId": d["vdisk"], "diskSizeBytes": d["size"],
                                          "storageContainer": {"extId": self.cluster}}} for d in reversed(vm["disks"])],
               "nics": [{"extId": n["uuid"], "backingInfo": {"isConnected": True, "macAddress": n["mac"]},
                         "networkInfo": {"nicType": "NORMAL_NIC", "vlanMode": "ACCESS", "subnet": {"extId": n["subnet_uuid"]}}}
                        for n in vm.get("nics", [])]}
        if "updated" in vm:
            out["updateTime"] = vm["updated"]
        if uefi:
            out["bootConfig"]["isSecureBootEnabled"] = vm["boot"] == "SECURE_BOOT"
        return out

    # -- bytes

    def ova(self, vm, form, path):
        disks = sorted(vm["disks"], key=lambda d: (d["bus"], d["index"]))
        config = {"num_sockets": vm["sockets"], "num_vcpus_per_socket": vm["cores"], "num_threads_per_core": 1,
                  "uefi_boot": vm["boot"] != "LEGACY", "secure_boot": vm["boot"] == "SECURE_BOOT", "machineType": vm["machine"].lower(),
                  "hardwareClockTimeZone": vm["timezone"], "vtpmEnabled": bool(vm.get("vtpm")), "boot_device_order": "DISK,CDROM,NETWORK"}
        ext = form.lower()
        item = '<Item><rasd:ElementName>%s</rasd:ElementName><rasd:InstanceID>%d</rasd:InstanceID>%s<rasd:ResourceType>%d</rasd:ResourceType></Item>'
        refs = "".join('<File ovf:href="%s.%s" ovf:id="file%d"/>' % (d["uuid"], ext, i) for i, d in enumerate(disks))
        section = "".join('<Disk ovf:capacity="%d" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk%d" ovf:fileRef="file%d" '
                          'ovf:format="http://www.gnome.org/~markmc/qcow-image-format.html"/>' % (d["size"], i, i) for i, d in enumerate(disks))
        hardware = "".join('<ntnx:NtnxConfig ntnx:key="%s" ntnx:value="%s"/>' % kv for kv in config.items())
        hardware += item % ("cpu", 1, "<rasd:VirtualQuantity>%d</rasd:VirtualQuantity>" % (vm["sockets"] * vm["cores"]), 3)
        hardware += item % ("memory", 2, "<rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:VirtualQuantity>%d</rasd:VirtualQuantity>" % vm["memory_mib"], 4)
        hardware += item % ("scsi", 3, "<rasd:Address>0</rasd:Address>", 6)
        for i, d in enumerate(disks):
            hardware += item % ("disk%d" % i, 10 + i, "<rasd:AddressOnParent>%d</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/vmdisk%d"
                                "</rasd:HostResource><rasd:Parent>3</rasd:Parent>" % (d["index"], i), 17)
        for i, _ in enumerate(vm.get("nics", [])):
            hardware += item % ("nic%d" % i, 40 + i, "<rasd:Connection>network%d</rasd:Connection>" % i, 10)
        nets = "".join('<Network ovf:name="network%d"><Description/></Network>' % i for i, _ in enumerate(vm.get("nics", [])))
        ovf = ('<?xml version="1.0" encoding="UTF-8"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" '
               'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ntnx="http://www.nutanix.com/ova" '
               'xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" '
               'xmlns:vmw="http://www.vmware.com/schema/ovf"><References>%s</References><DiskSection><Info/>%s</DiskSection>'
               '<NetworkSection><Info/>%s</NetworkSection><VirtualSystem ovf:id="%s"><Info/><Name>%s</Name>'
               '<VirtualHardwareSection><Info/>%s</VirtualHardwareSection></VirtualSystem></Envelope>'
               % (refs, section, nets, vm["uuid"], vm["name"], hardware)).encode()
        with tarfile.open(path, "w") as out:
            info = tarfile.TarInfo(vm["name"] + ".ovf")
            info.size = len(ovf)
            out.addfile(info, io.BytesIO(ovf))
            for d in disks:
                tmp = path + ".disk"
                if form == "QCOW2":
                    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", self.path(d), tmp], check=True)
                else:
                    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", self.path(d), tmp], check=True)
                out.add(tmp, "%s.%s" % (d["uuid"], ext))
                os.remove(tmp)

    def snapshot(self, vm):
        self.number += 1
        files = []
        for d in vm["disks"]:
            rel = "/%s/.snapshot/%02d/%s-%d/.acropolis/vmdisk/%s" % (CONTAINER, self.number % 100, self.cluster, self.number, d["vdisk"])
            path = self.nfs + rel
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copyfile(self.path(d), path)
            files.append({"file_path": "/%s/.acropolis/vmdisk/%s" % (CONTAINER, d["vdisk"]), "snapshot_file_path": rel, "disk": d["uuid"]})
        return files

    def regions(self, path, reference, offset, block):
        """(regions, size, next offset or None)"""
        size = os.path.getsize(path)
        out, at, end = [], offset // block * block, size
        with open(path, "rb") as new:
            old = open(reference, "rb") if reference else None
            while at < size:
                new.seek(at)
                a = new.read(block)
                if old:
                    old.seek(at)
                    changed = a != old.read(block)
                else:
                    changed = True
                if changed:
                    kind = "REGULAR" if a.strip(b"\0") else "ZEROED"
                    length = min(block, size - at)
                    if out and out[-1]["type"] == kind and out[-1]["offset"] + out[-1]["length"] == at:
                        out[-1]["length"] += length
                    elif len(out) == self.o.page:
                        end = at
                        break
                    else:
                        out.append({"offset": at, "length": length, "type": kind})
                at += block
            if old:
                old.close()
        return out, size, None if end == size else end


def jwt(scope, life):
    def b64(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    return "%s.%s.%s" % (b64({"alg": "none"}), b64({"scope": [scope], "exp": int(time.time() + life), "n": u()}), "x")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    prism, element = None, False

    def log_message(self, *args):
        pass

    # -- plumbing

    def reply(self, status, body=None, headers=(), kind="application/json", raw=None):
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, path, name):
        size = os.path.getsize(path)
        self.send_response(200)                                   # a Range header is ignored, as live tests saw
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Disposition", 'attachment; filename="%s"' % name)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        sent = 0
        with open(path, "rb") as f:
            for piece in iter(lambda: f.read(1 << 16), b""):
                sent += len(piece)
                if self.prism.o.drop_after and sent > self.prism.o.drop_after:
                    if self.prism.o.drop_once:
                        self.prism.o.drop_after = 0
                    self.close_connection = True
                    self.connection.close()
                    return
                self.wfile.write(piece)

    def who(self, path):
        p = self.prism
        auth = self.headers.get("Authorization", "")
        if auth.startswith("Basic "):
            try:
                if base64.b64decode(auth[6:]).decode() == "%s:%s" % (p.o.user, p.o.password):
                    return
            except ValueError:
                pass
        if path.startswith("/api/") and "/v4." in path and self.headers.get("X-ntnx-api-key") == p.o.api_key and not self.element:
            return
        raise Failure(401, "Authentication required.", "AUTHENTICATION_REQUIRED", (("WWW-Authenticate", "Basic realm=\"Intent Gateway Login Required\""),))

    def fault(self):
        """What a busy Prism, its proxy and an ended session answer, now and then."""
        o, n = self.prism.o, self.prism.requests
        if o.busy and n % o.busy == 0:
            raise Failure(429, "Too many requests", "RATE_LIMITED", (("Retry-After", "1"),))
        if o.gateway and n % o.gateway == 0:
            raise Failure(502, "Bad gateway", "BAD_GATEWAY")
        if o.revoke and n > o.revoke:
            raise Failure(401, "Authentication failed.", "AUTHENTICATION_REQUIRED")
        if o.forget and n % o.forget == 0:
            raise Failure(401, "The session has expired.", "AUTHENTICATION_REQUIRED")

    def do(self):
        p = self.prism
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length) if length else b""
        p.requests += 1
        p.log(at=time.time(), on="PE" if self.element else "PC", method=self.command, path=path, range=self.headers.get("Range"))
        v4 = "/v4." in path
        try:
            if path.startswith("/_sim/"):
                self.sim(path, query, data)
                return
            if path.startswith("/download/"):
                self.redirected(path)
                return
            if self.element and path.startswith("/api/dataprotection/"):
                self.content(path, data)
                return
            self.who(path)
            self.fault()
            body = None
            if data:
                try:
                    body = json.loads(data)
                except ValueError:
                    raise Failure(400 if v4 else 422, "The request body is not JSON.") from None
            with p.lock:
                if v4:
                    if self.element:
                        raise Failure(404, "no such route")
                    if self.command in ("POST", "PUT", "DELETE") and not self.headers.get("NTNX-Request-Id"):
                        raise Failure(400, "NTNX-Request-Id header is required.", "VMM-10002")
                    self.v4(path, query, body)
                elif path.startswith("/api/nutanix/v3/"):
                    self.v3(path[len("/api/nutanix/v3"):], query, body or {})
                elif re.match(r"/(PrismGateway/services/rest|api/nutanix)/v2\.0/", path):
                    self.v2(re.sub(r"^/(PrismGateway/services/rest|api/nutanix)/v2\.0", "", path), query, body or {})
                else:
                    raise Failure(404, "no such route")
        except Failure as f:
            p.log(status=f.status, message=f.message)
            if v4:
                out = {"data": {"$objectType": "vmm.v4.error.ErrorResponse", "error": [{"message": f.message, "code": f.code, "severity": "ERROR"}]},
                       "metadata": {"flags": [{"name": "hasError", "value": True}]}}
            else:
                out = {"api_version": "3.1", "code": f.status, "kind": "error", "state": "ERROR",
                       "message_list": [{"message": f.message, "reason": f.code}]}
            self.reply(f.status, out, f.headers)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do

    def sim(self, path, query, data):
        p = self.prism
        vm = next((v for v in p.vms.values() if v["name"] == query.get("vm")), None)
        if vm is None:
            raise Failure(404, "no such vm")
        d = vm["disks"][int(query.get("disk", 0))]
        if path == "/_sim/write":
            with open(p.path(d), "r+b") as f:
                f.seek(int(query["offset"]))
                f.write(data)
            self.reply(200, {})
        else:
            with open(p.path(d), "rb") as f:
                self.reply(200, raw=f.read(), kind="application/octet-stream")

    # -- v3

    def v3(self, path, query, body):
        p, m = self.prism, self.command
        part = path.strip("/").split("/")
        if m == "POST" and part[-1] == "list":
            kind = part[0].rstrip("s")
            if body.get("kind") not in (None, kind):
                raise Failure(422, "kind '%s' is not '%s'" % (body.get("kind"), kind), "INVALID_REQUEST")
            size, offset = int(body.get("length", 20)), int(body.get("offset", 0))
            if size > 500:
                raise Failure(422, "length: must be at most 500", "INVALID_REQUEST")
            table = {"vm": [p.v3(v) for v in p.vms.values()], "ova": list(p.ovas.values()), "image": list(p.images.values()),
                     "subnet": [{"metadata": {"kind": "subnet", "uuid": i}, "spec": {"name": n, "resources": {"vlan_id": 0}}, "status": {"name": n}}
                                for n, i in p.subnets.items()],
                     "cluster": [{"metadata": {"kind": "cluster", "uuid": p.cluster}, "status": {"name": "test-cluster", "resources": {
                         "network": {"external_ip": "127.0.0.1:%d" % p.o.pe_port}}}}],
                     "vm_snapshot": list(p.snaps.values()) if self.element else None}.get(kind)
            if table is None:
                raise Failure(404, "no such kind", "ENTITY_NOT_FOUND")
            if body.get("filter"):
                key, _, want = body["filter"].partition("==")
                table = [e for e in table if key not in ("name", "vm_name") or (e.get("spec", {}).get("name") or e.get("info", {}).get("name")) == want]
            self.reply(200, {"api_version": "3.1", "metadata": {"kind": kind, "total_matches": len(table), "length": len(table[offset:offset + size]),
                                                                 "offset": offset}, "entities": table[offset:offset + size]})
            return
        if part[0] == "vms" and len(part) == 2 and m == "GET":
            self.reply(200, p.v3(p.vm(part[1])))
            return
        if part[0] == "vms" and len(part) == 3 and part[2] == "export" and m == "POST":
            if self.element:
                raise Failure(404, "not on Prism Element")
            vm = p.vm(part[1])
            if set(body) - {"name", "disk_file_format"} or not body.get("name") or body.get("disk_file_format") not in ("QCOW2", "VMDK"):
                raise Failure(422, "name and disk_file_format (QCOW2, VMDK) are needed", "INVALID_REQUEST")
            key = self.make_ova(vm, body["name"], body["disk_file_format"])
            t = p.tasks[p.ovas[key]["task"]]
            self.reply(202, {"task_uuid": t["uuid"], "api_version": "3.1"})
            return
        if part[0] == "vms" and len(part) == 5 and part[2] == "vm_disk" and part[4] == "data" and m == "GET":
            d = next((x for x in p.vm(part[1])["disks"] if x["uuid"] == part[3]), None)
            if d is None:
                raise Failure(404, "no such disk", "ENTITY_NOT_FOUND")
            offset, size = int(query.get("offset", 0)), int(query.get("length", 0))
            if offset > 1 << 24 or size > 1 << 24 or size < 1:
                raise Failure(422, "offset and length are 16 MiB at most", "INVALID_REQUEST")
            with open(p.path(d), "rb") as f:
                f.seek(offset)
                self.reply(200, raw=f.read(size), kind="application/octet-stream")
            return
        if part[0] == "tasks" and m == "GET":
            t = p.tasks.get(part[1])
            if t is None:
                raise Failure(404, "no such task", "ENTITY_NOT_FOUND")
            out = {"uuid": t["uuid"], "status": t["status"], "percentage_complete": t["percent"], "operation_type": t["kind"],
                   "entity_reference_list": [{"kind": k, "uuid": i} for k, i in t["entities"]]}
            if t["error"]:
                out["error_detail"] = t["error"]
            self.reply(200, out)
            return
        if part[0] == "ovas" and not self.element:
            ova = p.ovas.get(part[1]) if len(part) > 1 else None
            if ova is None:
                raise Failure(404, "no such ova", "ENTITY_NOT_FOUND")
            if m == "GET" and len(part) == 2:
                self.reply(200, {k: v for k, v in ova.items() if k not in ("path", "task", "vm")})
            elif m == "GET" and part[2] == "file":
                if not os.path.exists(ova["path"]):
                    raise Failure(422, "the OVA is not ready", "INVALID_STATE")
                self.stream(ova["path"], ova["info"]["name"] + ".ova")
            elif m == "GET" and part[2] == "vm_spec":
                spec = p.v3(p.vms[ova["vm"]])["spec"]
                for n in spec["resources"]["nic_list"]:
                    n.pop("mac_address")
                self.reply(200, {"vm_spec": {"spec": spec}})
            elif m == "DELETE":
                self.remove_ova(part[1])
                self.reply(202, {"task_uuid": p.task("delete_ova", lambda t: None, [("ova", part[1])])["uuid"]})
            else:
                raise Failure(404, "no such route")
            return
        if part[0] == "images":
            if m == "POST" and len(part) == 1:
                spec = body.get("spec", {})
                source = spec.get("resources", {}).get("data_source_reference", {})
                d = next((x for v in p.vms.values() for x in v["disks"] if x["uuid"] == source.get("uuid")), None)
                if body.get("metadata", {}).get("kind") != "image" or source.get("kind") != "vm_disk" or d is None or not spec.get("name"):
                    raise Failure(422, "metadata.kind image, spec.name and a vm_disk data_source_reference are needed", "INVALID_REQUEST")
                key = self.make_image(spec["name"], d)
                self.reply(202, {"metadata": {"kind": "image", "uuid": key}, "spec": spec,
                                 "status": {"state": "PENDING", "execution_context": {"task_uuid": p.images[key]["task"]}}})
                return
            image = p.images.get(part[1]) if len(part) > 1 else None
            if image is None:
                raise Failure(404, "no such image", "ENTITY_NOT_FOUND")
            if m == "GET" and len(part) == 2:
                self.reply(200, {k: v for k, v in image.items() if k not in ("path", "task")})
            elif m == "GET" and part[2] == "file":
                if image["status"]["state"] != "COMPLETE":
                    raise Failure(422, "the image is not ready", "INVALID_STATE")
                self.stream(image["path"], image["spec"]["name"])
            elif m == "DELETE":
                if os.path.exists(image["path"]):
                    os.remove(image["path"])
                del p.images[part[1]]
                self.reply(202, {"status": {"state": "DELETE_PENDING", "execution_context": {"task_uuid": p.task("delete_image", lambda t: None, [("image", part[1])])["uuid"]}}})
            else:
                raise Failure(404, "no such route")
            return
        if part[0] == "vm_snapshots" and self.element:
            if m == "POST" and len(part) == 1:
                spec = body.get("spec", {})
                vm = p.vm(spec.get("resources", {}).get("entity_uuid", ""))
                if body.get("metadata", {}).get("kind") != "vm_snapshot" or not spec.get("name"):
                    raise Failure(422, "metadata.kind vm_snapshot and spec.name are needed", "INVALID_REQUEST")
                key = u()
                p.snaps[key] = {"metadata": {"kind": "vm_snapshot", "uuid": key}, "spec": spec,
                                "status": {"state": "PENDING", "name": spec["name"], "resources": {"entity_uuid": vm["uuid"]}, "snapshot_file_list": []}}
                files = p.snapshot(vm)

                def ready(t):
                    p.snaps[key]["status"].update(state="COMPLETE", snapshot_file_list=[
                        {k: f[k] for k in ("file_path", "snapshot_file_path")} for f in files])
                p.task("create_snapshot", ready, [("vm_snapshot", key)])
                self.reply(202, p.snaps[key])
                return
            if m == "POST" and part[1:] == ["list"]:
                rows = [s for s in p.snaps.values()]
                at, n = body.get("offset", 0), min(body.get("length", 20), 500)
                self.reply(200, {"entities": rows[at:at + n], "metadata": {"kind": "vm_snapshot", "total_matches": len(rows)}})
                return
            snap = p.snaps.get(part[1]) if len(part) > 1 else None
            if snap is None:
                raise Failure(404, "no such snapshot", "ENTITY_NOT_FOUND")
            if m == "GET":
                self.reply(200, snap)
            else:
                for f in snap["status"]["snapshot_file_list"]:
                    os.remove(p.nfs + f["snapshot_file_path"])
                del p.snaps[part[1]]
                self.reply(202, {"status": {"state": "DELETE_PENDING"}})
            return
        if path.strip("/") == "data/changed_regions" and m == "POST" and self.element:
            new, old = body.get("snapshot_file_path"), body.get("reference_snapshot_file_path")
            if not new or "/.snapshot/" not in new:
                raise Failure(422, "snapshot_file_path is needed", "INVALID_REQUEST")
            for x in (new, old):
                if x and not os.path.exists(p.nfs + os.path.normpath("/" + x)):
                    raise Failure(422, "no such snapshot file %s" % x, "INVALID_REQUEST")
            list_, size, more = p.regions(p.nfs + new, p.nfs + old if old else None, int(body.get("start_offset", 0)), 1 << 20 if p.o.coarse else BLOCK)
            out = {"file_size": size, "region_list": list_}
            if more is not None:
                out["next_offset"] = more
            self.reply(200, {} if p.o.no_regions else out)
            return
        raise Failure(404, "no such route")

    def make_ova(self, vm, name, form):
        p, key = self.prism, u()
        path = os.path.join(p.o.state, "ova-%s.ova" % key)

        def work(t):
            p.ova(vm, form, path + ".part")
            os.replace(path + ".part", path)
            with open(path, "rb") as f:
                sha = hashlib.sha1(f.read()).hexdigest()
            p.ovas[key]["info"].update(size_bytes=os.path.getsize(path), checksum={"checksum_algorithm": "SHA_1", "checksum_value": sha})
            p.ovas[key]["status"] = {"state": "COMPLETE"}
            t["details"]["ovaExtId"] = key
        t = p.task("create_ova", work, [("ova", key)])
        p.ovas[key] = {"metadata": {"kind": "ova", "uuid": key}, "info": {"name": name, "disk_format": form, "parent_vm_reference": {"kind": "vm", "uuid": vm["uuid"]}},
                       "status": {"state": "PENDING"}, "path": path, "task": t["uuid"], "vm": vm["uuid"]}
        return key

    def remove_ova(self, key):
        ova = self.prism.ovas.pop(key)
        if os.path.exists(ova["path"]):
            os.remove(ova["path"])

    def make_image(self, name, d):
        p, key = self.prism, u()
        path = os.path.join(p.o.state, "image-%s" % key)
        with open(p.path(d), "rb") as f:
            frozen = f.read()

        def work(t):
            with open(path, "wb") as out:
                out.write(frozen)
            p.images[key]["status"] = {"state": "COMPLETE", "name": name, "resources": {"image_type": "DISK_IMAGE", "size_bytes": len(frozen)}}
        t = p.task("create_image", work, [("image", key)])
        p.images[key] = {"metadata": {"kind": "image", "uuid": key}, "spec": {"name": name}, "status": {"state": "PENDING"}, "path": path, "task": t["uuid"]}
        return key

    # -- v2

    def v2(self, path, query, body):
        p, m = self.prism, self.command
        part = path.strip("/").split("/")
        if part[0] == "vms" and m == "GET":
            if len(part) > 1 and part[1]:
                out = p.v2(p.vm(part[1]))
            else:
                out = {"metadata": {"grand_total_entities": len(p.vms)}, "entities": [p.v2(v) for v in p.vms.values()]}
            for v in out.get("entities", [out]):
                if query.get("include_vm_disk_config") != "true":
                    v.pop("vm_disk_info", None)
                if query.get("include_vm_nic_config") != "true":
                    v.pop("vm_nics", None)
            self.reply(200, out)
        elif part[0] == "vms" and m == "POST" and part[-1] == "set_power_state":
            vm = p.vm(part[1])
            if body.get("transition") not in ("ON", "OFF", "ACPI_SHUTDOWN", "ACPI_REBOOT", "RESET", "POWERCYCLE"):
                raise Failure(422, "transition")
            t = p.task("power", lambda t: vm.update(power="ON" if body["transition"] == "ON" else "OFF"), [("vm", vm["uuid"])])
            self.reply(201, {"task_uuid": t["uuid"]})
        elif part[0] == "virtual_disks" and m == "GET" and len(part) == 2:
            for v in p.vms.values():
                for d in v["disks"]:
                    if d["vdisk"] == part[1]:
                        self.reply(200, {"uuid": d["vdisk"], "attached_vm_uuid": v["uuid"], "disk_address": "%s.%d" % (d["bus"].lower(), d["index"]),
                                         "disk_capacity_in_bytes": d["size"]})
                        return
            raise Failure(404, "no such disk")
        elif part[0] == "tasks" and m == "GET":
            t = p.tasks.get(part[1])
            if t is None:
                raise Failure(404, "no such task")
            self.reply(200, {"uuid": t["uuid"], "progress_status": t["status"].capitalize(), "percentage_complete": t["percent"]})
        elif part[0] == "cluster" and m == "GET":
            self.reply(200, {"uuid": p.cluster, "name": "test-cluster", "version": "7.3.1.9"})
        else:
            raise Failure(404, "no such route")

    # -- v4

    def v4_task(self, t, status=202):
        self.reply(status, {"data": {"$objectType": "prism.v4.config.TaskReference", "extId": "ZXJnb24=:" + t["uuid"]},
                            "metadata": {"flags": [{"name": "hasError", "value": False}]}})

    def v4(self, path, query, body):
        p, m = self.prism, self.command
        match = re.fullmatch(r"/api/(\w+)/v4\.(\d+)/(.*)", path)
        if not match or int(match.group(2)) > p.o.v4_minor:
            raise Failure(404, "no such route")
        space, rest = match.group(1), match.group(3)

        def page(list_):
            limit, number = int(query.get("$limit", 50)), int(query.get("$page", 0))
            if not 1 <= limit <= 100:
                raise Failure(400, "$limit: 1 to 100", "VMM-10003")
            self.reply(200, {"data": list_[number * limit:(number + 1) * limit],
                             "metadata": {"totalAvailableResults": len(list_), "flags": [{"name": "isPaginated", "value": True}]}})
        if (space, rest) == ("vmm", "ahv/config/vms") and m == "GET":
            list_ = [p.v4(v) for v in p.vms.values()]
            want = re.fullmatch(r"name eq '(.*)'", query.get("$filter", ""))
            if "$filter" in query and not want:
                raise Failure(400, "$filter", "VMM-10003")
            page([v for v in list_ if not want or v["name"] == want.group(1)])
        elif space == "vmm" and re.fullmatch(r"ahv/config/vms/[^/]+", rest) and m == "GET":
            vm = p.vm(rest.split("/")[-1])
            self.reply(200, {"data": p.v4(vm)}, (("ETag", '"%s"' % vm["power"]),))
        elif space == "vmm" and re.fullmatch(r"ahv/config/vms/[^/]+/\$actions/(shutdown|power-off)", rest) and m == "POST":
            vm = p.vm(rest.split("/")[3])
            if self.headers.get("If-Match") != '"%s"' % vm["power"]:
                raise Failure(412, "If-Match does not match", "VMM-10004")
            self.v4_task(p.task("power", lambda t: vm.update(power="OFF"), [("vm", vm["uuid"])]))
        elif (space, rest) == ("clustermgmt", "config/clusters"):
            page([{"extId": p.cluster, "name": "test-cluster", "network": {"externalAddress": {"ipv4": {"value": "127.0.0.1"}}}}])
        elif (space, rest) == ("networking", "config/subnets"):
            page([{"extId": i, "name": n} for n, i in p.subnets.items()])
        elif (space, rest) == ("vmm", "content/ovas") and m == "POST":
            source = (body or {}).get("source", {})
            if not (body or {}).get("name") or source.get("$objectType") != "vmm.v4.content.OvaVmSource" or \
                    source.get("diskFileFormat") not in ("QCOW2", "VMDK") or not source.get("vmExtId"):
                raise Failure(400, "name and source {$objectType, vmExtId, diskFileFormat} are needed", "VMM-10003")
            key = self.make_ova(p.vm(source["vmExtId"]), body["name"], source["diskFileFormat"])
            self.v4_task(p.tasks[p.ovas[key]["task"]])
        elif (space, rest) == ("vmm", "content/ovas") and m == "GET":
            page([self.v4_ova(k) for k in p.ovas])
        elif space == "vmm" and rest.startswith("content/ovas/"):
            key = rest.split("/")[2]
            if key not in p.ovas:
                raise Failure(404, "no such OVA", "VMM-30100")
            if rest.endswith("/file") and m == "GET":
                self.redirect(p.ovas[key]["path"], p.ovas[key]["info"]["name"] + ".ova")
            elif m == "DELETE":
                self.remove_ova(key)
                self.v4_task(p.task("delete_ova", lambda t: None, [("ova", key)]))
            else:
                self.reply(200, {"data": self.v4_ova(key)}, (("ETag", '"1"'),))
        elif (space, rest) == ("vmm", "content/images") and m == "POST":
            source = (body or {}).get("source", {})
            d = next((x for v in p.vms.values() for x in v["disks"] if x["uuid"] == source.get("extId")), None)
            if source.get("$objectType") != "vmm.v4.content.VmDiskSource" or d is None or (body or {}).get("type") != "DISK_IMAGE" or not body.get("name"):
                raise Failure(400, "name, type DISK_IMAGE and source {$objectType, extId} are needed", "VMM-10003")
            key = self.make_image(body["name"], d)
            self.v4_task(p.tasks[p.images[key]["task"]])
        elif (space, rest) == ("vmm", "content/images") and m == "GET":
            want = re.fullmatch(r"name eq '(.*)'", query.get("$filter", ""))
            if "$filter" in query and not want:
                raise Failure(400, "$filter", "VMM-10003")
            page([{"extId": k, "name": i["spec"]["name"]} for k, i in p.images.items() if not want or i["spec"]["name"] == want.group(1).replace("''", "'")])
        elif space == "vmm" and rest.startswith("content/images/"):
            key = rest.split("/")[2]
            if key not in p.images:
                raise Failure(404, "no such image", "VMM-30200")
            if rest.endswith("/file"):
                self.redirect(p.images[key]["path"], p.images[key]["spec"]["name"])
            elif m == "DELETE":
                os.remove(p.images.pop(key)["path"])
                self.v4_task(p.task("delete_image", lambda t: None, [("image", key)]))
            else:
                self.reply(200, {"data": {"extId": key, "name": p.images[key]["spec"]["name"], "type": "DISK_IMAGE",
                                          "sizeBytes": os.path.getsize(p.images[key]["path"]) if os.path.exists(p.images[key]["path"]) else None}})
        elif space == "prism" and rest.startswith("config/tasks/"):
            t = p.tasks.get(rest.split("/")[2].split(":")[-1])
            if t is None or not rest.split("/")[2].startswith("ZXJnb24=:"):
                raise Failure(404, "no such task", "PRISM-404")
            rel = {"ova": "vmm:content:ova", "image": "vmm:content:image", "rp": "dataprotection:config:recovery-point"}
            out = {"extId": "ZXJnb24=:" + t["uuid"], "status": t["status"], "progressPercentage": t["percent"], "operation": t["kind"],
                   "entitiesAffected": [{"extId": i, "rel": rel.get(k, k)} for k, i in t["entities"]],
                   "completionDetails": [{"name": k, "value": v} for k, v in t["details"].items()]}
            if t["error"]:
                out["errorMessages"] = [{"message": t["error"], "code": "PRISM-1", "severity": "ERROR"}]
            self.reply(200, {"data": out})
        elif space == "dataprotection":
            self.points(rest, body, match.group(2))
        else:
            raise Failure(404, "no such route")

    def v4_ova(self, key):
        ova = self.prism.ovas[key]
        out = {"$objectType": "vmm.v4.content.Ova", "extId": key, "name": ova["info"]["name"], "diskFormat": ova["info"]["disk_format"],
               "parentVm": self.prism.vms[ova["vm"]]["name"]}
        if "size_bytes" in ova["info"]:
            out["sizeBytes"] = ova["info"]["size_bytes"]
            out["checksum"] = {"$objectType": "vmm.v4.content.OvaSha1Checksum", "hexDigest": ova["info"]["checksum"]["checksum_value"]}
        return out

    def redirect(self, path, name):
        p = self.prism
        if not os.path.exists(path):
            raise Failure(409, "not ready", "VMM-30101")
        token, key = u(), u()
        p.downloads[key] = (token, path, name)
        self.reply(302, None, (("Location", "https://127.0.0.1:%d/download/%s" % (p.o.pe_port, key) if p.tls else
                                "http://127.0.0.1:%d/download/%s" % (p.o.pe_port, key)), ("X-Redirect-Token", "NTNX_IGW_SESSION=" + token)))

    def redirected(self, path):
        found = self.prism.downloads.get(path.split("/")[-1])
        if not found:
            raise Failure(404, "no such download")
        if "NTNX_IGW_SESSION=" + found[0] not in self.headers.get("Cookie", ""):
            raise Failure(401, "the redirect token is missing")
        self.stream(found[1], found[2])

    # -- recovery points

    def points(self, rest, body, minor):
        p, m = self.prism, self.command
        if rest == "config/recovery-points" and m == "POST":
            list_ = (body or {}).get("vmRecoveryPoints") or []
            if not (body or {}).get("name") or not list_ or any("vmExtId" not in v for v in list_):
                raise Failure(400, "name and vmRecoveryPoints[].vmExtId are needed", "DP-10001")
            key = u()
            rp = {"extId": key, "name": body["name"], "status": "COMPLETE", "vmRecoveryPoints": []}
            for v in list_:
                vm = p.vm(v["vmExtId"])
                rp["vmRecoveryPoints"].append({"extId": u(), "vmExtId": vm["uuid"], "files": p.snapshot(vm), "diskRecoveryPoints": []})
                for f in rp["vmRecoveryPoints"][-1]["files"]:
                    f["point"] = u()
                    rp["vmRecoveryPoints"][-1]["diskRecoveryPoints"].append({"diskRecoveryPointExtId": f["point"], "diskExtId": f["disk"]})
            p.rps[key] = rp

            def ready(t):
                t["details"]["recoveryPointExtId"] = key
            self.v4_task(p.task("create_rp", ready, [("rp", key)]))
            return
        part = rest.split("/")
        rp = p.rps.get(part[2]) if len(part) > 2 else None
        if rest == "config/recovery-points":
            self.reply(200, {"data": [self.rp(r) for r in p.rps.values()], "metadata": {"totalAvailableResults": len(p.rps)}})
        elif rp is None:
            raise Failure(404, "no such recovery point", "DP-10404")
        elif m == "GET" and len(part) == 3:
            self.reply(200, {"data": self.rp(rp)})
        elif m == "GET" and len(part) == 5:
            self.reply(200, {"data": next(v for v in self.rp(rp)["vmRecoveryPoints"] if v["extId"] == part[4])})
        elif m == "DELETE":
            for v in p.rps.pop(part[2])["vmRecoveryPoints"]:
                for f in v["files"]:
                    os.remove(p.nfs + f["snapshot_file_path"])
            self.v4_task(p.task("delete_rp", lambda t: None, [("rp", part[2])]))
        elif m == "POST" and part[3:] == ["$actions", "discover-cluster"]:
            spec = (body or {}).get("spec", {})
            d = spec.get("diskRecoveryPoint", {})
            if (body or {}).get("$objectType") != "dataprotection.v4.content.ClusterDiscoverSpec" or \
                    body.get("operation") != "COMPUTE_CHANGED_REGIONS" or \
                    spec.get("$objectType") != "dataprotection.v4.content.ComputeChangedRegionsClusterDiscoverSpec" or \
                    d.get("$objectType") != "dataprotection.v4.content.VmDiskRecoveryPointReference":
                raise Failure(400, "the discover specification and its $objectTypes", "DP-10001")
            token = jwt("/api/dataprotection/v4.0/content", p.o.jwt_life)   # as a live system did, whatever was asked
            href = "%s://127.0.0.1:%d/api/dataprotection/v4.%s/content/recovery-points/%s/vm-recovery-points/%s/disk-recovery-points/%s/$actions/compute-changed-regions" % (
                "https" if p.tls else "http", p.o.pe_port, "0" if p.o.good_link else minor, part[2], d.get("vmRecoveryPointExtId"), d.get("diskRecoveryPointExtId"))
            self.reply(200, {"data": {"$objectType": "dataprotection.v4.content.ClusterInfo", "clusterIp": {"ipv4": {"value": "127.0.0.1"}},
                                      "jwtToken": token, "links": [{"rel": "compute-changed-regions", "href": href}]}})
        else:
            raise Failure(404, "no such route")

    @staticmethod
    def rp(rp):
        return dict(rp, vmRecoveryPoints=[{k: v for k, v in vm.items() if k != "files"} for vm in rp["vmRecoveryPoints"]])

    def content(self, path, data):
        """Prism Element's side of the changed regions"""
        p = self.prism
        cookie = re.search(r"NTNX_IGW_SESSION=([^;\s]+)", self.headers.get("Cookie", ""))
        m = re.fullmatch(r"/api/dataprotection/v4\.(\d+)/content/recovery-points/([^/]+)/vm-recovery-points/([^/]+)/disk-recovery-points/([^/]+)"
                         r"/\$actions/compute-changed-regions", path)
        if not m or self.command != "POST":
            raise Failure(404, "no such route")
        try:
            payload = cookie.group(1).split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (AttributeError, ValueError, IndexError):
            raise Failure(401, "no token", "DP-10401") from None
        if claims["exp"] < time.time():
            raise Failure(401, "the token has expired", "DP-10401")
        if "/api/dataprotection/v4.%s/content" % m.group(1) not in claims["scope"]:
            raise Failure(401, "Scope claim value does not match API base path", "DP-10401")
        body = json.loads(data or b"{}")
        block = body.get("blockSizeByte", 65536)
        if block not in (32768, 65536, 131072, 262144):
            raise Failure(400, "blockSizeByte", "DP-10001")

        def find(rp, disk):
            for v in p.rps.get(rp, {}).get("vmRecoveryPoints", []):
                for f in v["files"]:
                    if f["point"] == disk:
                        return p.nfs + f["snapshot_file_path"]
            raise Failure(404, "no such disk recovery point", "DP-10404")
        new = find(m.group(2), m.group(4))
        old = None
        if body.get("referenceDiskRecoveryPointExtId"):
            old = find(body.get("referenceRecoveryPointExtId"), body["referenceDiskRecoveryPointExtId"])
        list_, size, more = p.regions(new, old, int(body.get("offset", 0)), block)
        info = [{"name": "fileSize", "value": str(size)}]
        if more is not None:
            info.append({"name": "nextOffset", "value": str(more)})
        self.reply(200, {"data": [{"offset": r["offset"], "length": r["length"], "regionType": {"REGULAR": "REGULAR", "ZEROED": "ZERO"}[r["type"]]} for r in list_],
                         "metadata": {"extraInfo": info}})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--state", required=True)
    parser.add_argument("--spec", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--pe-port", type=int, default=0)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default="secret")
    parser.add_argument("--api-key", default="key-0001")
    parser.add_argument("--task-delay", type=float, default=0.5)
    parser.add_argument("--v4-minor", type=int, default=1, help="newest v4 revision that is there; -1: none")
    parser.add_argument("--page", type=int, default=1000, help="regions in one answer")
    parser.add_argument("--jwt-life", type=float, default=900)
    parser.add_argument("--bad-link", dest="good_link", action="store_false", help="the link names a revision that the token does not fit")
    parser.add_argument("--coarse", action="store_true", help="v3 regions of 1 MiB")
    parser.add_argument("--busy", type=int, default=0, help="each Nth request is answered 429")
    parser.add_argument("--gateway", type=int, default=0, help="each Nth request is answered 502")
    parser.add_argument("--forget", type=int, default=0, help="each Nth request is answered 401, whoever asks")
    parser.add_argument("--revoke", type=int, default=0, help="after N requests the log-in is refused for good")
    parser.add_argument("--no-regions", action="store_true", help="changed regions are answered with {}")
    parser.add_argument("--drop-once", action="store_true", help="--drop-after holds for the first download alone")
    parser.add_argument("--drop-after", type=int, default=0, help="cut every download after that many bytes")
    o = parser.parse_args()
    os.makedirs(o.state, exist_ok=True)
    prism = Prism(o)
    prism.tls = not o.plain
    context = None
    if prism.tls:
        cert, key = os.path.join(o.state, "cert.pem"), os.path.join(o.state, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=prism", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key, "-out", cert],
                       check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
    ports = []
    for element, port in ((False, o.port), (True, o.pe_port)):
        handler = type("H", (Handler,), {"prism": prism, "element": element})
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        server.daemon_threads = True
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        ports.append(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
    o.port, o.pe_port = ports
    for vm in prism.vms.values():
        print("vm %s %s" % (vm["uuid"], vm["name"]))
    print("ready PC %s://127.0.0.1:%d PE 127.0.0.1:%d" % ("https" if context else "http", *ports), flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        sys.exit(0)


main()
