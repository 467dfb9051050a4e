#!/usr/bin/env python3
"""xapi_double.py - a strict stand-in for XAPI's HTTP door (XCP-ng 8.2 / 8.3), loopback only.

  xapi_double.py --state DIR [--port N] [--slave-port N] [--tls] [options]

Speaks XML-RPC (/, /RPC2, /xmlrpc), JSON-RPC 1 and 2 (/jsonrpc), PUT /import,
/import_metadata, /import_raw_vdi, GET /export_raw_vdi (raw).  It answers and
refuses as XAPI's source says; what it keeps lies in DIR:

  vdi/UUID.raw   contents of every VDI        db.json     all records, at every change
  import-N.xva   the bytes of each import     log.jsonl   one line per request and error

Python 3 standard library; `zstd` and `qemu-img` only for such bodies.  Own code.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import argparse
import base64
import binascii
import hashlib
import io
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
import xmlrpc.client
import zlib

NULL = "OpaqueRef:NULL"
MIB = 1 << 20
VHD_MAX = 2040 << 30

# fields without a default in the data model (idl/datamodel*.ml)
NEED = {
    "VM": "uuid user_version is_a_template resident_on affinity memory_static_max memory_static_min memory_dynamic_max "
          "memory_dynamic_min VCPUs_params VCPUs_max VCPUs_at_startup actions_after_shutdown actions_after_reboot "
          "actions_after_crash PV_bootloader PV_kernel PV_ramdisk PV_args PV_bootloader_args PV_legacy_args "
          "HVM_boot_policy HVM_boot_params platform PCI_bus other_config domid domarch is_control_domain metrics "
          "guest_metrics recommendations name_label",
    "VBD": "uuid VM VDI userdevice bootable mode type storage_lock empty other_config status_code status_detail "
           "runtime_properties qos_algorithm_type qos_algorithm_params qos_supported_algorithms",
    "VIF": "uuid device network VM MAC MTU other_config status_code status_detail runtime_properties "
           "qos_algorithm_type qos_algorithm_params qos_supported_algorithms",
    "VDI": "uuid SR virtual_size physical_utilisation type sharable read_only other_config storage_lock managed "
           "missing parent name_label",
    "SR": "uuid virtual_allocation physical_utilisation physical_size type content_type shared other_config name_label",
    "network": "uuid other_config name_label bridge",
}
# what the create calls want (a subset of the above that the calls need)
CREATE = {
    "VM": "user_version is_a_template affinity memory_static_max memory_static_min memory_dynamic_max memory_dynamic_min "
          "VCPUs_params VCPUs_max VCPUs_at_startup actions_after_shutdown actions_after_reboot actions_after_crash "
          "PV_bootloader PV_kernel PV_ramdisk PV_args PV_bootloader_args PV_legacy_args HVM_boot_policy HVM_boot_params "
          "platform PCI_bus other_config recommendations name_label",
    "VBD": "VM VDI userdevice bootable mode type empty other_config qos_algorithm_type qos_algorithm_params",
    "VIF": "device network VM MAC MTU other_config qos_algorithm_type qos_algorithm_params",
    "VDI": "SR virtual_size type sharable read_only other_config",
    "network": "other_config name_label",
}


class Failure(Exception):
    """XAPI's Server_error(code, params)"""

    def __init__(self, code, *params):
        super().__init__(code, *params)
        self.code, self.params = code, [str(p) for p in params]


class Reply(Exception):
    """an HTTP answer that ends the request"""

    def __init__(self, line, headers=(), body=b"", version="1.1"):
        super().__init__(line)
        self.line, self.headers, self.body, self.version = line, list(headers), body, version


def ref():
    return "OpaqueRef:" + str(uuid.uuid4())


# ---------------------------------------------------------------- the pool

class Pool:
    def __init__(self, options):
        self.o = options
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.tables = {}
        self.sessions = {}
        self.events = []                # (number, class, operation, ref)
        self.imports = 0
        self.to_fail = {n: int(c or 1) for n, _, c in (w.partition("=") for w in options.fail_call)}
        os.makedirs(os.path.join(options.state, "vdi"), exist_ok=True)
        self.logfile = open(os.path.join(options.state, "log.jsonl"), "a", buffering=1)
        host = self.put("host", {"name_label": "master", "address": options.address, "enabled": True,
                                 "software_version": {"product_brand": "XCP-ng", "product_version": options.version + ".0",
                                                      "xapi_build": "1", "dbv": "0.0.1"},
                                 "API_version_major": "2", "API_version_minor": "21"})
        slave = self.put("host", {"name_label": "slave", "address": options.slave_address, "enabled": True,
                                  "software_version": {"product_brand": "XCP-ng", "product_version": options.version + ".0"},
                                  "API_version_major": "2", "API_version_minor": "21"})
        self.hosts = {"master": host, "slave": slave}
        self.sr = {}
        for name, where, kind, content in (("Local storage", "master", "ext", "user"), ("NFS", "both", "nfs", "user"),
                                           ("Slave storage", "slave", "lvm", "user"), ("ISOs", "both", "iso", "iso")):
            r = self.put("SR", {"name_label": name, "type": kind, "content_type": content, "shared": where == "both",
                                "physical_size": str(options.sr_size), "physical_utilisation": "0",
                                "virtual_allocation": "0", "PBDs": [], "VDIs": [], "sm_config": {}, "other_config": {}})
            self.sr[name] = r
            for at in ("master", "slave") if where == "both" else (where,):
                p = self.put("PBD", {"SR": r, "host": self.hosts[at], "currently_attached": True, "device_config": {},
                                     "other_config": {}})
                self.tables["SR"][r]["PBDs"].append(p)
        self.pool = self.put("pool", {"name_label": "pool", "master": host, "other_config": {},
                                      "default_SR": self.sr["Local storage"] if options.default_sr else NULL})
        self.net = self.put("network", {"name_label": "Pool-wide network associated with eth0", "bridge": "xenbr0",
                                        "PIFs": ["OpaqueRef:pif0"], "VIFs": [], "MTU": "1500", "other_config": {}})

    # -- records

    def put(self, kind, record, given=None):
        with self.changed:
            r = given or ref()
            record.setdefault("uuid", str(uuid.uuid4()))
            record.setdefault("name_label", "")
            record.setdefault("name_description", "")
            self.tables.setdefault(kind, {})[r] = record
            self.event(kind, "add", r)
            return r

    def event(self, kind, operation, r):
        with self.changed:
            self.events.append((len(self.events) + 1, kind, operation, r))
            self.changed.notify_all()

    def get(self, kind, r):
        table = self.tables.get(kind, {})
        if r not in table:
            raise Failure("HANDLE_INVALID", kind, r)
        return table[r]

    def set(self, kind, r, **values):
        with self.changed:
            self.get(kind, r).update(values)
            self.event(kind, "mod", r)
            self.save()

    def drop(self, kind, r):
        with self.changed:
            self.get(kind, r)
            del self.tables[kind][r]
            self.event(kind, "del", r)
            self.save()

    def save(self):
        path = os.path.join(self.o.state, "db.json")
        with open(path + ".new", "w") as out:
            json.dump(self.tables, out, indent=1)
        os.replace(path + ".new", path)

    def log(self, **entry):
        self.logfile.write(json.dumps(entry) + "\n")

    def raw(self, r):
        return os.path.join(self.o.state, "vdi", self.get("VDI", r)["uuid"] + ".raw")

    # -- tasks

    def task(self, label, description=""):
        now = time.strftime("%Y%m%dT%H:%M:%SZ", time.gmtime())
        return self.put("task", {"name_label": label, "name_description": description, "status": "pending",
                                 "progress": 0.0, "result": "", "error_info": [], "type": "<none/>", "created": now,
                                 "finished": now, "other_config": {}, "resident_on": self.hosts["master"],
                                 "allowed_operations": ["cancel"], "current_operations": {}, "subtask_of": NULL,
                                 "subtasks": [], "backtrace": "()"})

    def done(self, t, value=""):
        record = self.get("task", t)
        if record["status"] in ("pending", "cancelling"):      # a cancel that came too late
            self.set("task", t, status="success", progress=1.0, result=value,
                     finished=time.strftime("%Y%m%dT%H:%M:%SZ", time.gmtime()))

    def later(self, t, value):
        """the connection ends first, the task a little after it"""
        timer = threading.Timer(self.o.task_delay, self.done, (t, value))
        timer.daemon = True
        timer.start()

    def failed(self, t, failure):
        self.log(task=t, error=[failure.code] + failure.params)
        if t in self.tables.get("task", {}) and self.tables["task"][t]["status"] == "pending":
            self.set("task", t, status="failure", error_info=[failure.code] + failure.params, progress=1.0)

    def fail_call(self, name):
        left = self.to_fail.get(name, 0)
        if left:
            self.to_fail[name] = left - 1
            raise Failure("INTERNAL_ERROR", name + " was told to fail")

    # -- sessions

    def login(self, user, password, *rest):
        if user != self.o.user or password != self.o.password:
            time.sleep(self.o.login_delay)
            raise Failure("SESSION_AUTHENTICATION_FAILED", user, "Authentication failure")
        s = ref()
        self.sessions[s] = time.time()
        self.put("session", {"this_user": user}, s)
        return s

    def alive(self, s):
        last = self.sessions.get(s)
        if last is None or time.time() - last > self.o.session_timeout:
            self.sessions.pop(s, None)
            return False
        self.sessions[s] = time.time()
        return True

    # -- storage

    def sees(self, where, sr):
        return any(self.tables["PBD"][p]["host"] == self.hosts[where] and self.tables["PBD"][p]["currently_attached"]
                   for p in self.get("SR", sr)["PBDs"])

    def used(self, sr):
        total = 0
        for r, v in self.tables.get("VDI", {}).items():
            if v["SR"] == sr and os.path.exists(self.raw(r)):
                total += os.stat(self.raw(r)).st_blocks * 512
        return total

    def new_vdi(self, record):
        sr = self.get("SR", record["SR"])
        size = int(record["virtual_size"])
        if sr["content_type"] == "iso":
            raise Failure("SR_OPERATION_NOT_SUPPORTED", record["SR"])
        limit = VHD_MAX if self.o.version == "8.2" or (record.get("sm_config") or {}).get("image-format") == "vhd" else 16381 << 30
        if size < 1 or size > limit:
            raise Failure("SR_BACKEND_FAILURE_79", "", "VDI Invalid size",
                          "VDI size must be between 1 MB and %d MB" % (limit // MIB))
        if self.used(record["SR"]) + 4 * MIB > self.o.sr_size:
            raise Failure("SR_FULL", str(size), str(self.o.sr_size - self.used(record["SR"])))
        size = -(-size // (2 * MIB)) * 2 * MIB            # the storage manager rounds up
        record.update(virtual_size=str(size), VBDs=[], managed=True, missing=False, snapshots=[])
        record.setdefault("sm_config", {})
        record["uuid"] = str(uuid.uuid4())
        r = self.put("VDI", record)
        self.tables["SR"][record["SR"]]["VDIs"].append(r)
        with open(self.raw(r), "wb") as out:
            out.truncate(size)
        return r

    def busy(self, vdi):
        for b in self.tables.get("VBD", {}).values():
            if b["VDI"] == vdi and self.tables["VM"][b["VM"]].get("power_state") == "Running":
                return True
        return False


# ---------------------------------------------------------------- calls

def integer(value, field):
    try:
        return int(value)
    except (TypeError, ValueError):
        raise Failure("FIELD_TYPE_ERROR", field) from None


def check_vm(vm):
    smin, dmin = integer(vm["memory_static_min"], "memory_static_min"), integer(vm["memory_dynamic_min"], "memory_dynamic_min")
    dmax, smax = integer(vm["memory_dynamic_max"], "memory_dynamic_max"), integer(vm["memory_static_max"], "memory_static_max")
    if not smin <= dmin <= dmax <= smax:
        raise Failure("MEMORY_CONSTRAINT_VIOLATION", "Memory limits must satisfy: static_min <= dynamic_min <= dynamic_max <= static_max")
    most, now = integer(vm["VCPUs_max"], "VCPUs_max"), integer(vm["VCPUs_at_startup"], "VCPUs_at_startup")
    if most < 1 or now < 1 or now > most:
        raise Failure("INVALID_VALUE", "VCPUs_at_startup", now)
    platform, boot = vm["platform"], vm["HVM_boot_params"]
    if not isinstance(platform, dict) or not isinstance(boot, dict):
        raise Failure("FIELD_TYPE_ERROR", "platform")
    cps = platform.get("cores-per-socket")
    if cps is not None and (not str(cps).isdigit() or int(cps) < 1 or most % int(cps)):
        raise Failure("VCPU_MAX_NOT_CORES_PER_SOCKET_MULTIPLE", most, cps)
    firmware = boot.get("firmware", "bios")
    if firmware not in ("bios", "uefi"):
        raise Failure("INVALID_VALUE", "HVM_boot_params['firmware']", firmware)
    model = platform.get("device-model")
    if firmware == "uefi" and model == "qemu-trad" or firmware == "bios" and model == "qemu-upstream-uefi":
        raise Failure("INVALID_VALUE", "platform:device-model", model)


def check_mac(mac):
    if not re.fullmatch(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", mac) or int(mac[:2], 16) & 1:
        raise Failure("MAC_INVALID", mac)


def new_mac():
    return "02:" + ":".join("%02x" % b for b in os.urandom(5))


class Calls:
    """the methods; `s` is the session's reference"""

    def __init__(self, pool, where):
        self.p, self.where = pool, where

    def call(self, name, args):
        p = self.p
        if name in ("session.login_with_password", "session.slave_local_login_with_password"):
            if self.where == "slave" and name == "session.login_with_password":
                raise Failure("HOST_IS_SLAVE", p.o.address)
            if len(args) not in (2, 3, 4):
                raise Failure("MESSAGE_PARAMETER_COUNT_MISMATCH", name, "4", len(args))
            return p.login(*args)
        if name == "system.listMethods":
            return []
        if not args or not p.alive(args[0]):
            raise Failure("SESSION_INVALID", args[0] if args else "")
        s, args = args[0], list(args[1:])
        if name.startswith("Async."):
            inner = name[6:]
            t = p.task(name)

            def work():
                time.sleep(p.o.task_delay)
                try:
                    p.done(t, xml_value(self.method(s, inner, args)))
                except Failure as failure:
                    p.failed(t, failure)
            threading.Thread(target=work, daemon=True).start()
            return t
        return self.method(s, name, args)

    def method(self, s, name, args):
        p = self.p
        kind, _, what = name.partition(".")
        p.fail_call(name)
        special = getattr(self, "do_%s_%s" % (kind, what), None)
        try:
            if special:
                return special(s, *args)
            return self.plain(kind, what, args, name)
        except (TypeError, IndexError) as error:
            p.log(internal=repr(error), method=name)
            raise Failure("MESSAGE_PARAMETER_COUNT_MISMATCH", name, "?", len(args)) from error

    def plain(self, kind, what, args, name):
        p = self.p
        known = ("host", "pool", "SR", "PBD", "VDI", "VM", "VBD", "VIF", "network", "task", "session", "PIF", "VLAN",
                 "VM_metrics", "VM_guest_metrics", "console", "message", "GPU_group", "VGPU", "VGPU_type", "VTPM",
                 "PGPU", "PCI", "pool_update", "pool_patch", "host_patch", "host_metrics", "host_cpu", "host_crashdump",
                 "Bond", "tunnel", "SM", "subject", "role", "blob", "secret", "VMPP", "VMSS", "VM_appliance", "crashdump",
                 "PIF_metrics", "VIF_metrics", "VBD_metrics", "feature", "SDN_controller", "PVS_site", "PVS_proxy",
                 "PVS_server", "PVS_cache_storage", "PUSB", "USB_group", "VUSB", "Cluster", "Cluster_host", "Certificate",
                 "DR_task", "LVHD", "user", "data_source", "network_sriov", "probe_result", "Repository", "Observer")
        if kind not in known:
            raise Failure("MESSAGE_METHOD_UNKNOWN", name)
        table = p.tables.setdefault(kind, {})
        if what == "get_all":
            return list(table)
        if what == "get_all_records":
            return {r: dict(v) for r, v in table.items()}
        if what == "get_by_uuid":
            for r, v in table.items():
                if v["uuid"] == args[0]:
                    return r
            raise Failure("UUID_INVALID", kind, args[0])
        if what == "get_by_name_label":
            return [r for r, v in table.items() if v["name_label"] == args[0]]
        if what == "get_record":
            return dict(p.get(kind, args[0]))
        record = p.get(kind, args[0]) if args else None
        if record is None:
            raise Failure("MESSAGE_METHOD_UNKNOWN", name)
        verb, _, field = what.partition("_")
        if what.startswith("remove_from_"):
            record.get(what[12:], {}).pop(args[1], None)
            p.set(kind, args[0])
            return ""
        if what.startswith("add_to_"):
            target = record.setdefault(what[7:], {})
            if args[1] in target:
                raise Failure("MAP_DUPLICATE_KEY", kind, what[7:], args[0], args[1])
            target[args[1]] = args[2]
            p.set(kind, args[0])
            return ""
        if verb == "get" and field in record:
            return record[field]
        if verb == "set" and (field in record or field.startswith("name_")):
            p.set(kind, args[0], **{field: args[1]})
            return ""
        raise Failure("MESSAGE_METHOD_UNKNOWN", name)

    @staticmethod
    def want(kind, record):
        if not isinstance(record, dict):
            raise Failure("FIELD_TYPE_ERROR", kind)
        for field in CREATE[kind].split():
            if field not in record:
                raise Failure("INTERNAL_ERROR", "Failure(\"Field %s not present in rpc\")" % field)

    # -- session, pool, events

    def do_session_logout(self, s):
        self.p.sessions.pop(s, None)
        return ""

    def do_event_inject(self, s, kind, r):
        self.p.event(kind, "mod", r)
        return "%010d" % len(self.p.events)

    def do_event_from(self, s, classes, token, timeout):
        p = self.p
        start = int(token) if token else -1
        end = time.time() + min(float(timeout), 60)
        classes = [c.lower() for c in classes]
        with p.changed:
            while True:
                if start < 0:
                    list_ = [(0, k, "add", r) for k, t in p.tables.items() for r in t]
                else:
                    list_ = [e for e in p.events if e[0] > start]
                list_ = [e for e in list_ if "*" in classes or e[1].lower() in classes]
                if list_ or time.time() >= end:
                    break
                p.changed.wait(max(0.01, end - time.time()))
            out = []
            for number, kind, operation, r in list_:
                event = {"id": str(number), "timestamp": str(time.time()), "class": kind.lower(), "operation": operation, "ref": r}
                if operation != "del" and r in p.tables.get(kind, {}):
                    event["snapshot"] = dict(p.tables[kind][r])
                elif operation != "del":
                    continue
                out.append(event)
            return {"events": out, "token": "%010d" % len(p.events),
                    "valid_ref_counts": {k.lower(): str(len(t)) if p.o.string_counts else len(t) for k, t in p.tables.items()}}

    # -- tasks

    def do_task_create(self, s, label, description):
        return self.p.task(label, description)

    def do_task_destroy(self, s, r):
        self.p.drop("task", r)
        return ""

    def do_task_cancel(self, s, r):
        if self.p.get("task", r)["status"] == "pending":
            self.p.set("task", r, status="cancelling")
        return ""

    def do_task_set_progress(self, s, r, value):
        self.p.set("task", r, progress=float(value))
        return ""

    # -- objects

    def do_VDI_create(self, s, record):
        self.want("VDI", record)
        return self.p.new_vdi(dict(record))

    def do_VDI_destroy(self, s, r):
        if self.p.busy(r):
            raise Failure("VDI_IN_USE", r, "destroy")
        os.remove(self.p.raw(r))
        sr = self.p.get("VDI", r)["SR"]
        self.p.tables["SR"][sr]["VDIs"].remove(r)
        self.p.drop("VDI", r)
        return ""

    def do_VDI_snapshot(self, s, r, params=None):
        old = self.p.get("VDI", r)
        new = self.p.new_vdi({k: old[k] for k in ("SR", "virtual_size", "type", "sharable", "read_only", "other_config")})
        self.p.set("VDI", new, name_label=old["name_label"], is_a_snapshot=True, snapshot_of=r)
        subprocess.run(["cp", "--sparse=always", self.p.raw(r), self.p.raw(new)], check=True)
        return new

    def do_VDI_resize(self, s, r, size):
        if int(size) < int(self.p.get("VDI", r)["virtual_size"]):
            raise Failure("INVALID_VALUE", "size", size)
        with open(self.p.raw(r), "r+b") as out:
            out.truncate(-(-int(size) // (2 * MIB)) * 2 * MIB)
        self.p.set("VDI", r, virtual_size=str(-(-int(size) // (2 * MIB)) * 2 * MIB))
        return ""

    def do_VM_create(self, s, record):
        self.want("VM", record)
        check_vm(record)
        record = dict(record, power_state="Halted", VBDs=[], VIFs=[], blocked_operations=record.get("blocked_operations", {}),
                      current_operations={}, is_a_snapshot=False, resident_on=NULL, metrics=NULL, guest_metrics=NULL,
                      uuid=str(uuid.uuid4()), domid="-1", tags=record.get("tags", []), snapshots=[])
        return self.p.put("VM", record)

    def do_VM_destroy(self, s, r):
        vm = self.p.get("VM", r)
        if vm["power_state"] != "Halted":
            raise Failure("VM_BAD_POWER_STATE", r, "halted", vm["power_state"].lower())
        for kind in ("VBD", "VIF"):
            for x in list(vm[kind + "s"]):
                self.detach(kind, x)
        self.p.drop("VM", r)
        return ""

    def do_VM_start(self, s, r, paused, force):
        vm = self.p.get("VM", r)
        if vm["power_state"] != "Halted":
            raise Failure("VM_BAD_POWER_STATE", r, "halted", vm["power_state"].lower())
        if "start" in vm.get("blocked_operations", {}):
            raise Failure("OPERATION_BLOCKED", r, vm["blocked_operations"]["start"])
        if vm.get("is_a_template"):
            raise Failure("VM_IS_TEMPLATE", r)
        check_vm(vm)
        self.p.set("VM", r, power_state="Running")
        if self.p.o.address_of_guests:
            def tell():
                gm = self.p.put("VM_guest_metrics", {"networks": {"0/ip": self.p.o.address_of_guests, "0/ipv6/0": "fe80::1"}})
                self.p.set("VM", r, guest_metrics=gm)
            threading.Timer(1, tell).start()
        return ""

    def do_VM_hard_shutdown(self, s, r):
        self.p.set("VM", r, power_state="Halted")
        return ""

    do_VM_clean_shutdown = do_VM_hard_shutdown

    def do_VM_get_allowed_VIF_devices(self, s, r):
        have = {self.p.tables["VIF"][v]["device"] for v in self.p.get("VM", r)["VIFs"]}
        return [str(i) for i in range(7) if str(i) not in have]

    def do_VBD_create(self, s, record):
        self.want("VBD", record)
        vm = self.p.get("VM", record["VM"])
        if record["VDI"] != NULL:
            self.p.get("VDI", record["VDI"])
        elif not record["empty"]:
            raise Failure("HANDLE_INVALID", "VDI", NULL)
        if record["mode"] not in ("RO", "RW") or record["type"] not in ("Disk", "CD", "Floppy"):
            raise Failure("INVALID_VALUE", "mode/type", record["mode"])
        if record["userdevice"] == "autodetect":
            used = {self.p.tables["VBD"][b]["userdevice"] for b in vm["VBDs"]}
            record["userdevice"] = next(str(i) for i in range(255) if str(i) not in used)
        if not record["userdevice"].isdigit() or int(record["userdevice"]) > 254:
            raise Failure("INVALID_DEVICE", record["userdevice"])
        if any(self.p.tables["VBD"][b]["userdevice"] == record["userdevice"] for b in vm["VBDs"]):
            raise Failure("DEVICE_ALREADY_EXISTS", record["userdevice"])
        r = self.p.put("VBD", dict(record, uuid=str(uuid.uuid4()), currently_attached=False, device=""))
        vm["VBDs"].append(r)
        if record["VDI"] != NULL:
            self.p.tables["VDI"][record["VDI"]]["VBDs"].append(r)
        self.p.set("VM", record["VM"])
        return r

    def do_VIF_create(self, s, record):
        self.want("VIF", record)
        vm = self.p.get("VM", record["VM"])
        self.p.get("network", record["network"])
        if not re.fullmatch("[0-6]", record["device"]):
            raise Failure("INVALID_DEVICE", record["device"])
        if any(self.p.tables["VIF"][v]["device"] == record["device"] for v in vm["VIFs"]):
            raise Failure("DEVICE_ALREADY_EXISTS", record["device"])
        auto = record["MAC"] == ""
        mac = new_mac() if auto else record["MAC"]
        check_mac(mac)
        r = self.p.put("VIF", dict(record, uuid=str(uuid.uuid4()), MAC=mac, MAC_autogenerated=auto, currently_attached=False))
        vm["VIFs"].append(r)
        self.p.set("VM", record["VM"])
        return r

    def detach(self, kind, r):
        record = self.p.get(kind, r)
        owners = [("VM", record["VM"])] + ([("VDI", record["VDI"])] if kind == "VBD" else [("network", record["network"])])
        for other, o in owners:
            held = self.p.tables.get(other, {}).get(o, {}).get(kind + "s", [])
            if r in held:
                held.remove(r)
        self.p.drop(kind, r)
        return ""

    def do_VIF_destroy(self, s, r):
        return self.detach("VIF", r)

    def do_VBD_destroy(self, s, r):
        if self.p.get("VBD", r)["currently_attached"]:
            raise Failure("OPERATION_NOT_ALLOWED", "VBD is attached")
        return self.detach("VBD", r)

    def do_VIF_move(self, s, r, network):
        self.p.get("network", network)
        self.p.set("VIF", r, network=network)
        return ""

    def do_network_create(self, s, record):
        self.want("network", record)
        return self.p.put("network", dict(record, uuid=str(uuid.uuid4()), PIFs=[], VIFs=[],
                                          bridge=record.get("bridge") or "xapi%d" % len(self.p.tables["network"])))

    def do_SR_scan(self, s, r):
        self.p.get("SR", r)
        return ""


def xml_value(value):
    """what XAPI leaves in task.result"""
    if value == "" or value is None:
        return ""
    text = xmlrpc.client.dumps((value,))
    return text[text.index("<value>"):text.rindex("</value>") + 8].replace("<string>", "").replace("</string>", "").replace("\n", "")


# ---------------------------------------------------------------- import

def xml_to_python(text):
    wrapped = "<?xml version='1.0'?><methodResponse><params><param>%s</param></params></methodResponse>"
    body = re.sub(rb"^\s*<\?xml.*?\?>", b"", text, flags=re.S).decode("utf-8")
    def plain(value):
        if isinstance(value, xmlrpc.client.DateTime):
            return value.value
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, list) else value
    try:
        return plain(xmlrpc.client.loads(wrapped % body)[0][0])
    except Exception as error:
        raise Failure("IMPORT_ERROR", "XML: %s" % error) from error


class Body:
    """a request's body, counted, kept, and cut where the test wants it"""

    def __init__(self, stream, length, keep=None, fail_after=0, cut_after=0, hang_after=0, hang=0):
        self.stream, self.left, self.keep, self.count, self.fail_after = stream, length, keep, 0, fail_after
        self.cut_after, self.hang_after, self.hang = cut_after, hang_after, hang

    def read(self, n):
        out = b""
        while len(out) < n:
            want = n - len(out)
            if self.left is not None:
                want = min(want, self.left)
            piece = self.stream.read(min(want, 1 << 20)) if want else b""
            if not piece:
                break
            out += piece
            self.count += len(piece)
            if self.left is not None:
                self.left -= len(piece)
            if self.keep:
                self.keep.write(piece)
            if self.hang and self.count > self.hang_after:
                time.sleep(self.hang)
                self.hang = 0
            if self.cut_after and self.count > self.cut_after:
                raise EOFError
            if self.fail_after and self.count > self.fail_after:
                raise Failure("SR_BACKEND_FAILURE_46", "", "The VDI is not available", "told to fail")
        return out

    def exactly(self, n):
        data = self.read(n)
        if len(data) != n:
            raise EOFError
        return data


class Zstd:
    def __init__(self, first, body):
        self.process = subprocess.Popen(["zstd", "-dcq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def feed():
            try:
                self.process.stdin.write(first)
                while True:
                    data = body.read(1 << 16)
                    if not data:
                        break
                    self.process.stdin.write(data)
            except (OSError, Failure):
                pass
            finally:
                try:
                    self.process.stdin.close()
                except OSError:
                    pass
        threading.Thread(target=feed, daemon=True).start()

    def exactly(self, n):
        data = self.process.stdout.read(n)
        if len(data) != n:
            raise EOFError
        return data


class Gzip:
    def __init__(self, first, body):
        self.body, self.out = body, io.BytesIO()
        self.z = zlib.decompressobj(31)
        self.have = b""
        self.push(first)

    def push(self, data):
        try:
            self.have += self.z.decompress(data)
        except zlib.error as error:
            raise Failure("IMPORT_ERROR", "gzip: %s" % error) from error

    def exactly(self, n):
        while len(self.have) < n:
            data = self.body.read(1 << 16)
            if not data:
                raise EOFError
            self.push(data)
        out, self.have = self.have[:n], self.have[n:]
        return out


def tar_header(block):
    if block == b"\0" * 512:
        raise EOFError
    name = block[:100].rstrip(b"\0").decode("utf-8", "replace")
    field = block[124:136]
    try:
        size = int.from_bytes(field[1:], "big") if field[0] & 0x80 else int(field.rstrip(b"\0 ") or b"0", 8)
        total = int(block[148:156].rstrip(b"\0 ").strip() or b"x", 8)
    except ValueError:
        raise Failure("IMPORT_ERROR", "tar header") from None
    if total != sum(block[:148]) + 32 * 8 + sum(block[156:]):
        raise Failure("IMPORT_ERROR", "tar header sum")
    return name, size


class Importer:
    def __init__(self, pool, task, query, metadata_only):
        self.p, self.task, self.query = pool, task, query
        self.metadata_only = metadata_only
        self.restore = query.get("restore") == "true"
        self.force = query.get("force") == "true"
        self.dry = metadata_only and query.get("dry_run") == "true"
        self.made = []

    def run(self, body, sr):
        try:
            first = body.exactly(512)
            try:
                header = tar_header(first)
                source = body
            except (Failure, EOFError):
                header = None
            if header is None:
                source = Zstd(first, body) if first[:4] == b"\x28\xb5\x2f\xfd" else Gzip(first, body)
                header = tar_header(source.exactly(512))
            if header[0] != "ova.xml":
                raise Failure("IMPORT_ERROR_UNEXPECTED_FILE", "ova.xml", header[0])
            text = source.exactly(header[1])
            source.exactly(-header[1] % 512)
            top = xml_to_python(text)
            vms, vdis = self.objects(top, sr)
            if not self.metadata_only:
                self.disks(source, vdis)
            return vms
        except EOFError:
            failure = Failure("IMPORT_ERROR_PREMATURE_EOF")
        except Failure as problem:
            failure = problem
        if not self.force:
            self.undo()
        raise failure

    def undo(self):
        for kind, r in reversed(self.made):
            if kind == "VDI" and os.path.exists(self.p.raw(r)):
                os.remove(self.p.raw(r))
                self.p.tables["SR"][self.p.get("VDI", r)["SR"]]["VDIs"].remove(r)
            if r in self.p.tables.get(kind, {}):
                self.p.drop(kind, r)

    def objects(self, top, sr):
        p = self.p
        version = top.get("version") if isinstance(top, dict) else None
        if not isinstance(version, dict) or not isinstance(top.get("objects"), list):
            raise Failure("IMPORT_ERROR", "no version or objects")
        for field in ("hostname", "date", "product_version", "product_brand", "build_number", "xapi_major", "xapi_minor"):
            if field not in version:
                raise Failure("IMPORT_ERROR", "Failure(\"Field %s not present in rpc\")" % field)
        have = (1, 20) if p.o.version == "8.2" else (22, 0)      # conservative: what every such host has
        theirs = (integer(version["xapi_major"], "xapi_major"), integer(version["xapi_minor"], "xapi_minor"))
        if theirs > have:
            raise Failure("IMPORT_INCOMPATIBLE_VERSION")
        table = {}
        for item in top["objects"]:
            if not {"class", "id", "snapshot"} <= set(item):
                raise Failure("IMPORT_ERROR", "object without class, id or snapshot")
            table.setdefault(item["class"], []).append((item["id"], item["snapshot"]))
        for kind, fields in NEED.items():
            for _, snapshot in table.get(kind, []):
                for field in fields.split():
                    if field not in snapshot:
                        raise Failure("IMPORT_ERROR", "Failure(\"Field %s not present in rpc\")" % field)
        srs, nets, new = dict(table.get("SR", [])), {}, {}
        cds = {s["VDI"] for _, s in table.get("VBD", []) if s["type"].lower() == "cd"}
        if not table.get("VM"):
            raise Failure("IMPORT_ERROR", "no VM")
        for i, snapshot in table["VM"]:
            check_vm(snapshot)
            if self.restore and any(v["uuid"] == snapshot["uuid"] for v in p.tables.get("VM", {}).values()):
                raise Failure("VM_TO_IMPORT_IS_NOT_NEWER_VERSION", snapshot["uuid"], "0", snapshot.get("user_version", ""))
        disks = []
        for i, snapshot in table.get("VDI", []):
            if snapshot["SR"] not in srs:
                raise Failure("IMPORT_ERROR_FAILED_TO_FIND_OBJECT", snapshot["SR"])
            size = integer(snapshot["virtual_size"], "virtual_size")
            if self.metadata_only:
                mapped = self.query.get("vdi:" + snapshot["uuid"])
                found = [r for r, v in p.tables.get("VDI", {}).items() if v["uuid"] in (mapped, snapshot["uuid"])]
                if not found and i not in cds and not self.dry:
                    raise Failure("IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND")
                new[i] = found[0] if found else NULL
                continue
            if i in cds:
                continue
            r = p.new_vdi({"SR": sr, "virtual_size": str(size), "type": "user", "sharable": snapshot["sharable"],
                           "read_only": snapshot["read_only"], "other_config": snapshot["other_config"],
                           "name_label": snapshot["name_label"], "name_description": snapshot.get("name_description", "")})
            self.made.append(("VDI", r))
            new[i] = r
            disks.append((i, r, size))
        vms = []
        for i, snapshot in table["VM"]:
            if self.dry:
                new[i] = ref()
                vms.append(new[i])
                continue
            record = dict(snapshot, power_state="Halted", VBDs=[], VIFs=[], resident_on=NULL, current_operations={})
            record["uuid"] = snapshot["uuid"] if self.restore and snapshot["uuid"] else str(uuid.uuid4())
            record["other_config"] = dict(snapshot["other_config"], import_task=self.task)
            if not self.restore:
                record["other_config"]["mac_seed"] = str(uuid.uuid4())
            record.setdefault("has_vendor_device", False)
            r = p.put("VM", record)
            self.made.append(("VM", r))
            new[i] = r
            vms.append(r)
        for i, snapshot in table.get("network", []):
            found = [r for r, n in p.tables["network"].items() if n["name_label"] == snapshot["name_label"]] or \
                    [r for r, n in p.tables["network"].items() if n["bridge"] == snapshot["bridge"]]
            if not found and not self.dry:
                found = [p.put("network", {"name_label": snapshot["name_label"], "bridge": "xapi%d" % len(p.tables["network"]),
                                           "PIFs": [], "VIFs": [], "MTU": "1500", "other_config": {}})]
                self.made.append(("network", found[0]))
            nets[i] = found[0] if found else NULL
        seen = set()
        for i, s in table.get("VBD", []):
            if s["VM"] not in new:
                raise Failure("IMPORT_ERROR_FAILED_TO_FIND_OBJECT", s["VM"])
            cd = s["type"].lower() == "cd"
            if not cd and s["VDI"] != NULL and s["VDI"] not in new:
                raise Failure("IMPORT_ERROR_FAILED_TO_FIND_OBJECT", s["VDI"])
            if (s["VM"], s["userdevice"]) in seen:
                raise Failure("DEVICE_ALREADY_EXISTS", s["userdevice"])
            if not s["userdevice"].isdigit():
                raise Failure("INVALID_DEVICE", s["userdevice"])
            seen.add((s["VM"], s["userdevice"]))
            if self.dry:
                continue
            vdi = new.get(s["VDI"], NULL)
            r = p.put("VBD", dict(s, VM=new[s["VM"]], VDI=vdi, device="", currently_attached=False, uuid=str(uuid.uuid4())))
            self.made.append(("VBD", r))
            p.tables["VM"][new[s["VM"]]]["VBDs"].append(r)
            if vdi != NULL:
                p.tables["VDI"][vdi]["VBDs"].append(r)
        for i, s in table.get("VIF", []):
            if s["VM"] not in new or s["network"] not in nets:
                raise Failure("IMPORT_ERROR_FAILED_TO_FIND_OBJECT", s["network"] if s["VM"] in new else s["VM"])
            if not re.fullmatch("[0-6]", s["device"]):
                raise Failure("INVALID_DEVICE", s["device"])
            mac = s["MAC"] if self.restore and s["MAC"] else new_mac()
            check_mac(mac)
            if self.dry:
                continue
            r = p.put("VIF", dict(s, VM=new[s["VM"]], network=nets[s["network"]], MAC=mac, currently_attached=False,
                                  uuid=s["uuid"] if self.restore else str(uuid.uuid4()), MAC_autogenerated=not self.restore))
            self.made.append(("VIF", r))
            p.tables["VM"][new[s["VM"]]]["VIFs"].append(r)
        if not self.dry and self.task in p.tables.get("task", {}):
            p.tables["task"][self.task]["other_config"]["object_creation"] = "complete"
            p.event("task", "mod", self.task)
        p.save()
        return vms, disks

    def entry(self, source):
        return tar_header(source.exactly(512))

    def disks(self, source, disks):
        first_length = None
        total = sum(size for _, _, size in disks) or 1
        so_far, told = 0, 0.0
        for prefix, r, size in sorted(disks):
            with open(self.p.raw(r), "r+b") as out:
                last, offset = "-1", 0
                while offset < size:
                    name, length = self.entry(source)
                    if first_length is None:
                        first_length = length
                    if not name.startswith(prefix):
                        raise Failure("IMPORT_ERROR", "Failure(\"Invalid XVA file\")")
                    suffix = name[len(prefix) + 1:]
                    if suffix <= last or not suffix.isdigit():
                        raise Failure("IMPORT_ERROR", "Failure(\"Invalid XVA file\")")
                    skipped = (int(suffix) - int(last) - 1) * first_length
                    data = source.exactly(length)
                    source.exactly(-length % 512)
                    check, check_length = self.entry(source)
                    given = source.exactly(check_length)
                    source.exactly(-check_length % 512)
                    if check == name + ".checksum":
                        good = hashlib.sha1(data).hexdigest().encode()
                    elif check == name + ".xxhash":
                        good = (b"%016X" % xxh64(data))
                    else:
                        raise Failure("IMPORT_ERROR", "Failure(\"Found unsupported checksum file: %s\")" % check)
                    if given != good and not self.force:
                        raise Failure("IMPORT_ERROR", "Stream_vdi.Invalid_checksum(\"Block %s checksum failed: original = %s; recomputed = %s\")"
                                      % (name, given.decode("latin-1"), good.decode()))
                    offset += skipped
                    if offset + length > int(self.p.get("VDI", r)["virtual_size"]):
                        raise Failure("VDI_IO_ERROR", "Device I/O errors")
                    if data.strip(b"\0"):
                        out.seek(offset)
                        out.write(data)
                    offset += length
                    last = suffix
                    so_far += skipped + length
                    if self.task in self.p.tables.get("task", {}):
                        status = self.p.tables["task"][self.task]["status"]
                        if status == "cancelling":
                            self.p.set("task", self.task, status="pending")
                            raise Failure("TASK_CANCELLED", self.task)
                        if time.time() - told > self.p.o.progress_every:
                            told = time.time()
                            self.p.set("task", self.task, progress=min(1.0, so_far / total))
            if self.p.used(self.p.get("VDI", r)["SR"]) > self.p.o.sr_size:
                raise Failure("VDI_IO_ERROR", "Device I/O errors")


def xxh64(data, mask=(1 << 64) - 1):
    """XXH64, seed 0 (slow, for tests)"""
    p1, p2, p3, p4, p5 = (11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579,
                          2870177450012600261)

    def rol(x, r):
        return (x << r | x >> (64 - r)) & mask

    def step(acc, lane):
        return rol((acc + lane * p2) & mask, 31) * p1 & mask
    n, i = len(data), 0
    if n >= 32:
        a, b, c, d = (p1 + p2) & mask, p2, 0, -p1 & mask
        for w, x, y, z in struct.iter_unpack("<QQQQ", data[:n // 32 * 32]):
            a, b, c, d = step(a, w), step(b, x), step(c, y), step(d, z)
        i = n // 32 * 32
        h = (rol(a, 1) + rol(b, 7) + rol(c, 12) + rol(d, 18)) & mask
        for acc in (a, b, c, d):
            h = ((h ^ step(0, acc)) * p1 + p4) & mask
    else:
        h = p5
    h = (h + n) & mask
    while i + 8 <= n:
        h = (rol(h ^ step(0, int.from_bytes(data[i:i + 8], "little")), 27) * p1 + p4) & mask
        i += 8
    if i + 4 <= n:
        h = (rol(h ^ int.from_bytes(data[i:i + 4], "little") * p1 & mask, 23) * p2 + p3) & mask
        i += 4
    for byte in data[i:]:
        h = rol(h ^ byte * p5 & mask, 11) * p1 & mask
    h = (h ^ h >> 33) * p2 & mask
    h = (h ^ h >> 29) * p3 & mask
    return h ^ h >> 32


# ---------------------------------------------------------------- one disk

def vhd_sum(block, at):
    return ~sum(block[:at] + block[at + 4:]) & 0xFFFFFFFF


def vhd_footer(block):
    if block[:8] != b"conectix":
        raise Failure("VDI_IO_ERROR", "Footer: bad cookie")
    if struct.unpack_from(">I", block, 12)[0] != 0x10000:
        raise Failure("VDI_IO_ERROR", "Footer: bad version")
    if vhd_sum(block, 64) != struct.unpack_from(">I", block, 64)[0]:
        raise Failure("VDI_IO_ERROR", "Footer: bad checksum")
    return struct.unpack_from(">Q", block, 16)[0]


def receive_vhd(body, out, capacity, length):
    at = 0

    def read(n):
        nonlocal at
        at += n
        return body.exactly(n)

    def skip_to(target):
        if target < at:
            raise Failure("VDI_IO_ERROR", "VHD goes backwards")
        while at < target:
            read(min(1 << 16, target - at))
    data_offset = vhd_footer(read(512))
    skip_to(data_offset)
    header = read(1024)
    table, version, entries, size, total = struct.unpack_from(">QIIII", header, 16)
    if header[:8] != b"cxsparse" or version != 0x10000 or vhd_sum(header, 36) != total or size & (size - 1) or not size:
        raise Failure("VDI_IO_ERROR", "Header")
    skip_to(table)
    bat = struct.unpack(">%dI" % entries, read(entries * 4))
    read(-entries * 4 % 512)
    bitmap_size = -(-size // 512 // 8 // 512) * 512
    for where, index in sorted((v, i) for i, v in enumerate(bat) if v != 0xFFFFFFFF):
        skip_to(where * 512)
        bitmap = read(bitmap_size)
        data = read(size)
        for s in range(size // 512):
            if bitmap[s // 8] >> (7 - s % 8) & 1:
                offset = index * size + s * 512
                if offset + 512 > capacity:
                    raise Failure("VDI_IO_ERROR", "Device I/O errors")
                out.seek(offset)
                out.write(data[s * 512:s * 512 + 512])
    if length is not None:
        skip_to((length - 1) & ~511)
    vhd_footer(read(512))


# ---------------------------------------------------------------- HTTP

class Server:
    def __init__(self, pool, where, port, context):
        self.p, self.where, self.context = pool, where, context
        self.calls = Calls(pool, where)
        self.socket = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self.port = self.socket.getsockname()[1]

    def serve(self):
        while True:
            client, _ = self.socket.accept()
            threading.Thread(target=self.connection, args=(client,), daemon=True).start()

    def connection(self, client):
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context:
                client = self.context.wrap_socket(client, server_side=True)
            stream = client.makefile("rwb", buffering=1 << 16)
            while self.request(stream):
                pass
            stream.flush()
        except (OSError, EOFError, ValueError):
            pass
        finally:
            try:
                client.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            client.close()

    def request(self, stream):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline(65536)
            if not line:
                return False
            head += line
            if len(head) > 65536:
                self.send(stream, Reply("431 Request Header Fields Too Large"))
                return False
            if line == b"\n":
                break
        lines = head.decode("latin-1").replace("\r\n", "\n").split("\n")
        try:
            method, target, version = lines[0].split()
        except ValueError:
            self.send(stream, Reply("500 Internal Error", body=b"The HTTP headers could not be parsed."))
            return False
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if colon:
                headers[name.strip().lower()] = value.strip()
        url = urllib.parse.urlsplit(target)
        query = {k: ",".join(v) for k, v in urllib.parse.parse_qs(url.query, keep_blank_values=True).items()}
        for part in headers.get("cookie", "").split(";"):
            name, equals, value = part.strip().partition("=")
            if equals:
                query.setdefault(name, urllib.parse.unquote(value))
        keep = headers.get("connection", "").lower() != "close" and version != "HTTP/1.0"
        self.p.log(at=time.time(), on=self.where, method=method, path=url.path,
                   query={k: ("*" if k == "session_id" else v) for k, v in query.items()},
                   length=headers.get("content-length"), te=headers.get("transfer-encoding"))
        path = url.path.rstrip("/") or "/"
        try:
            if method == "POST" and path in ("/", "/RPC2", "/xmlrpc"):
                self.xml_rpc(stream, headers)
                return keep
            if method == "POST" and path == "/jsonrpc":
                self.json_rpc(stream, headers)
                return keep
            if method == "PUT" and path in ("/import", "/import_metadata", "/import_raw_vdi"):
                self.put(stream, path, query, headers)
                return False
            if method == "GET" and path == "/export_raw_vdi":
                self.export(stream, query, headers)
                return False
            if method == "GET" and path == "/":
                raise Reply("200 OK", body=b"<html>stand-in</html>")
            if method not in ("GET", "PUT", "POST", "OPTIONS", "CONNECT"):
                raise Reply("501 Method not implemented")
            raise Reply("404 Not Found")
        except Reply as reply:
            self.send(stream, reply)
            return False

    def send(self, stream, reply):
        try:
            stream.write(("HTTP/%s %s\r\n" % (reply.version, reply.line)).encode())
            headers = ["Connection: close", "Cache-Control: no-cache, no-store"] + reply.headers
            if reply.body or not reply.line.startswith("200"):
                headers.append("Content-Length: %d" % len(reply.body))
            stream.write("".join(h + "\r\n" for h in headers).encode() + b"\r\n" + reply.body)
            stream.flush()
        except OSError:
            pass

    def body(self, stream, headers):
        if "content-length" not in headers or not headers["content-length"].isdigit():
            raise Reply("500 Internal Error", body=b"no content length")
        return stream.read(int(headers["content-length"]))

    def rpc(self, name, params):
        with self.p.lock:
            blocking = name in ("event.from", "event.next")
            if not blocking:
                return self.calls.call(name, params)
        return self.calls.call(name, params)

    def xml_rpc(self, stream, headers):
        text = self.body(stream, headers)
        try:
            params, name = xmlrpc.client.loads(text)
            value = {"Status": "Success", "Value": self.rpc(name, params)}
        except Failure as failure:
            value = {"Status": "Failure", "ErrorDescription": [failure.code] + failure.params}
        except Exception as error:                                # noqa: BLE001
            raise Reply("500 Internal Error", body=str(error).encode()) from error
        value = stringify(value)
        out = xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True).encode()
        self.answer(stream, "text/xml", out)

    def json_rpc(self, stream, headers):
        text = self.body(stream, headers)
        try:
            call = json.loads(text)
            name, params, number = call["method"], call.get("params", []), call.get("id")
        except Exception as error:                                # noqa: BLE001
            raise Reply("500 Internal Error", body=str(error).encode()) from error
        two = call.get("jsonrpc") == "2.0"
        try:
            value = self.rpc(name, params)
            out = {"jsonrpc": "2.0", "result": value, "id": number} if two else \
                {"result": {"Status": "Success", "Value": value}, "error": None, "id": number}
        except Failure as failure:
            if two:
                out = {"jsonrpc": "2.0", "error": {"code": 1, "message": failure.code, "data": failure.params}, "id": number}
            else:
                out = {"result": {"Status": "Failure", "ErrorDescription": [failure.code] + failure.params},
                       "error": None, "id": number}
        self.answer(stream, "application/json", json.dumps(out).encode())

    @staticmethod
    def answer(stream, kind, out):
        stream.write(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nCache-Control: no-cache, no-store\r\n"
                     b"Content-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind.encode(), len(out)) + out)
        stream.flush()

    # -- transfers

    def who(self, query, headers):
        p = self.p
        if "session_id" in query:
            good = p.alive(query["session_id"])
        elif headers.get("authorization", "").startswith("Basic "):
            try:
                user, _, password = base64.b64decode(headers["authorization"][6:]).decode().partition(":")
            except (ValueError, binascii.Error):
                user = password = ""
            good = (user, password) == (p.o.user, p.o.password)
        else:
            good = False
        if not good:
            if query.get("task_id") in p.tables.get("task", {}):
                p.failed(query["task_id"], Failure("SESSION_AUTHENTICATION_FAILED"))
            raise Reply("401 Unauthorised", ['WWW-Authenticate: Basic realm="VM.import"'],
                        b"<html><body><h1>HTTP 401 unauthorised</h1></body></html>")

    def redirect(self, path, query):
        other = "slave" if self.where == "master" else "master"
        address = self.p.o.redirect_to or self.p.tables["host"][self.p.hosts[other]]["address"]
        scheme = "https" if self.context else "http"            # the real one always says https
        raise Reply("302 Found", ["Location: %s://%s%s?%s" % (scheme, address, path, urllib.parse.urlencode(query))])

    def put(self, stream, path, query, headers):
        p = self.p
        self.who(query, headers)
        query = dict(query)
        length = int(headers["content-length"]) if headers.get("content-length", "").isdigit() else None
        if path == "/import_raw_vdi":
            self.raw_vdi(stream, path, query, headers, length)
            return
        sr = None
        if path == "/import":
            if "sr_id" in query:
                sr = query["sr_id"]
            elif "sr_uuid" in query:
                sr = next((r for r, v in p.tables["SR"].items() if v["uuid"] == query["sr_uuid"]), None)
            else:
                sr = p.tables["pool"][p.pool]["default_SR"]
            if sr not in p.tables["SR"]:
                raise Reply("500 Internal Error", body=b"HANDLE_INVALID: [ SR; %s ]" % str(sr).encode())
            if not p.sees(self.where, sr) or p.o.redirect and self.where == "master":
                self.redirect(path, query)
        task = query.get("task_id")
        if task and task not in p.tables.get("task", {}):
            raise Reply("500 Internal Error", body=b"HANDLE_INVALID: [ task; %s ]" % task.encode())
        task = task or p.task("VM.import")
        if sr and p.tables["SR"][sr]["content_type"] == "iso":
            p.failed(task, Failure("SR_OPERATION_NOT_SUPPORTED", sr))
            raise Reply("400 Bad Request")
        if "transfer-encoding" in headers and path == "/import":
            p.failed(task, Failure("IMPORT_ERROR_CANNOT_HANDLE_CHUNKED"))
            raise Reply("403 Forbidden")
        self.begin(stream, task)
        p.imports += 1
        keep = open(os.path.join(p.o.state, "import-%d.xva" % p.imports), "wb")
        try:
            body = Body(stream, length, keep, p.o.fail_after, p.o.cut_after if path == "/import" else 0,
                        p.o.hang_after, p.o.hang if path == "/import" else 0)
            vms = Importer(p, task, query, path == "/import_metadata").run(body, sr)
            p.later(task, "<value><array><data>%s</data></array></value>" % "".join("<value>%s</value>" % v for v in vms))
        except Failure as failure:
            p.failed(task, failure)
            if p.o.cut_after:
                raise OSError("the connection is cut") from failure
            # XAPI's handler raises after its 200: a second answer lands in the body
            self.send(stream, Reply("500 Internal Error", ["content-type: text/html"],
                                    ("<html><body><h1>HTTP 500 internal server error</h1>%s: [ %s ]</body></html>"
                                     % (failure.code, "; ".join(failure.params))).encode()))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            p.failed(task, Failure("IMPORT_ERROR", repr(error)))
        finally:
            keep.close()
            p.save()

    def begin(self, stream, task):
        stream.write(("HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: no-cache, no-store\r\n"
                      "task-id: %s\r\ncontent-type: application/octet-stream\r\n\r\n" % task).encode())
        stream.flush()

    def raw_vdi(self, stream, path, query, headers, length):
        p = self.p
        vdi, sr = query.get("vdi"), query.get("sr_id")
        if "sr_uuid" in query:
            sr = next((r for r, v in p.tables["SR"].items() if v["uuid"] == query["sr_uuid"]), None)
        if vdi is not None and vdi not in p.tables.get("VDI", {}):
            vdi = next((r for r, v in p.tables.get("VDI", {}).items() if v["uuid"] == query["vdi"]), None)
            if vdi is None:
                if query.get("task_id") in p.tables.get("task", {}):
                    p.failed(query["task_id"], Failure("UUID_INVALID", "VDI", query["vdi"]))
                raise Reply("500 Internal Error", body=b"UUID_INVALID")
        home = p.tables["VDI"][vdi]["SR"] if vdi else sr
        if home is None or home not in p.tables["SR"]:
            if query.get("task_id") in p.tables.get("task", {}):
                p.failed(query["task_id"], Failure("VDI_MISSING"))
            raise Reply("400 Bad Request")
        if not p.sees(self.where, home):
            self.redirect(path, query)
        task = query.get("task_id")
        if task and task not in p.tables.get("task", {}):
            raise Reply("500 Internal Error", body=b"HANDLE_INVALID: [ task ]")
        task = task or p.task("Importing raw VDI")
        form, chunked = query.get("format", "raw").lower(), "chunked" in query

        def refuse(text, line, version="1.0"):
            p.failed(task, Failure("INTERNAL_ERROR", text))
            raise Reply(line, version=version)
        if form not in ("raw", "vhd", "tar") + (("qcow2",) if p.o.version == "8.3" else ()):
            refuse("Unknown format " + form, "404 Not Found")
        if form != "raw" and chunked:
            refuse("Cannot handle chunked VHD", "404 Not Found")
        if "transfer-encoding" in headers:
            refuse("Cannot handle encoding: " + headers["transfer-encoding"], "404 Not Found")
        if vdi is None:
            if form != "raw" or length is None:
                refuse({"vhd": "Importing a VHD directly into an SR not yet supported",
                        "qcow2": "Importing a QCOW2 directly into an SR not yet supported"}
                       .get(form, "Not enough info supplied to import"), "400 Bad Request")
            try:
                vdi = p.new_vdi({"SR": sr, "virtual_size": str(length), "type": "user", "sharable": False,
                                 "read_only": False, "other_config": {}, "name_label": "Imported VDI"})
            except Failure as failure:
                p.failed(task, failure)
                raise Reply("500 Internal Error", body=failure.code.encode()) from failure
        self.begin(stream, task)
        capacity = int(p.get("VDI", vdi)["virtual_size"])
        try:
            if p.busy(vdi):
                raise Failure("VDI_IN_USE", vdi, "attach")
            cut, p.o.cut_raw = p.o.cut_raw, 0              # once
            body = Body(stream, length, None, p.o.fail_after, cut)
            with open(p.raw(vdi), "r+b") as out:
                if form == "vhd":
                    receive_vhd(body, out, capacity, length)
                elif form == "raw" and not chunked:
                    done = 0
                    while length is None or done < length:
                        data = body.read(1 << 20)
                        if not data:
                            break
                        if done + len(data) > capacity:
                            raise Failure("VDI_IO_ERROR", "Device I/O errors")
                        out.write(data)
                        done += len(data)
                    if length is not None and done < length:
                        raise EOFError
                elif form == "raw":                      # sparse chunks: offset, length, data; length 0 ends
                    while True:
                        offset, size = struct.unpack("<QI", body.exactly(12))
                        if not size:
                            break
                        data = body.exactly(size)
                        if offset + size > capacity:
                            raise Failure("VDI_IO_ERROR", "Device I/O errors")
                        out.seek(offset)
                        out.write(data)
                elif form == "tar":
                    importer = Importer(p, task, query, False)
                    importer.disks(body, [("vdi", vdi, capacity)])
                else:
                    path2 = p.raw(vdi) + ".qcow2"
                    with open(path2, "wb") as spool:
                        while True:
                            data = body.read(1 << 20)
                            if not data:
                                break
                            spool.write(data)
                    done = subprocess.run(["qemu-img", "convert", "-n", "-f", "qcow2", "-O", "raw", path2, p.raw(vdi)],
                                          capture_output=True, text=True, check=False)
                    os.remove(path2)
                    if done.returncode:
                        raise Failure("VDI_IO_ERROR", done.stderr.strip())
            if p.used(home) > p.o.sr_size:
                raise Failure("VDI_IO_ERROR", "Device I/O errors")
            p.later(task, "<value>%s</value>" % vdi)
        except (Failure, EOFError) as problem:
            failure = problem if isinstance(problem, Failure) else Failure("VDI_IO_ERROR", "Device I/O errors")
            p.failed(task, failure)
            self.send(stream, Reply("500 Internal Error", ["content-type: text/html"],
                                    ("<html><body>%s</body></html>" % failure.code).encode()))
        p.save()

    def export(self, stream, query, headers):
        self.who(query, headers)
        vdi = query.get("vdi")
        if vdi not in self.p.tables.get("VDI", {}):
            vdi = next((r for r, v in self.p.tables.get("VDI", {}).items() if v["uuid"] == vdi), None)
        if vdi is None:
            raise Reply("404 Not Found")
        stream.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-type: application/octet-stream\r\n"
                     b"Content-Length: %d\r\n\r\n" % os.path.getsize(self.p.raw(vdi)))
        with open(self.p.raw(vdi), "rb") as data:
            while True:
                piece = data.read(1 << 20)
                if not piece:
                    break
                stream.write(piece)
        stream.flush()


def stringify(value):
    """XML-RPC numbers travel as strings in XAPI (except floats and booleans)"""
    if isinstance(value, bool) or isinstance(value, float):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return {k: stringify(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [stringify(v) for v in value]
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--state", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--slave-port", type=int, default=0)
    parser.add_argument("--tls", action="store_true", help="with a fresh self-signed certificate, DIR/cert.pem")
    parser.add_argument("--user", default="root")
    parser.add_argument("--password", default="secret")
    parser.add_argument("--version", choices=("8.2", "8.3"), default="8.3")
    parser.add_argument("--session-timeout", type=float, default=86400)
    parser.add_argument("--login-delay", type=float, default=0.2)
    parser.add_argument("--task-delay", type=float, default=0.5, help="between the stream's end and the task's")
    parser.add_argument("--progress-every", type=float, default=10)
    parser.add_argument("--sr-size", type=int, default=64 << 30)
    parser.add_argument("--fail-after", type=int, default=0, help="storage fails after that many bytes of a body")
    parser.add_argument("--cut-after", type=int, default=0, help="the connection breaks after that many bytes of an import")
    parser.add_argument("--cut-raw", type=int, default=0, help="the connection breaks once after that many bytes of a disk")
    parser.add_argument("--hang", type=float, default=0, help="seconds that an import stands still, after --hang-after bytes")
    parser.add_argument("--hang-after", type=int, default=1)
    parser.add_argument("--guest-address", dest="address_of_guests", default="", help="started guests tell it after a second")
    parser.add_argument("--fail-call", action="append", default=[], metavar="METHOD[=N]", help="its first N calls fail")
    parser.add_argument("--redirect", action="store_true", help="the master sends every import to the slave")
    parser.add_argument("--redirect-to", default="", help="to this address instead")
    parser.add_argument("--no-default-sr", dest="default_sr", action="store_false")
    parser.add_argument("--string-counts", action="store_true")
    o = parser.parse_args()
    os.makedirs(o.state, exist_ok=True)
    context = None
    if o.tls:
        cert, key = os.path.join(o.state, "cert.pem"), os.path.join(o.state, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "2", "-subj", "/CN=xapi-double", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
    o.address = o.slave_address = ""
    pool = Pool(o)
    master, slave = Server(pool, "master", o.port, context), Server(pool, "slave", o.slave_port, context)
    o.address, o.slave_address = "127.0.0.1:%d" % master.port, "127.0.0.1:%d" % slave.port
    pool.set("host", pool.hosts["master"], address=o.address)
    pool.set("host", pool.hosts["slave"], address=o.slave_address)
    for server in (master, slave):
        threading.Thread(target=server.serve, daemon=True).start()
    print("ready %s://%s slave %s" % ("https" if o.tls else "http", o.address, o.slave_address), flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
