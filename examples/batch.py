#!/usr/bin/env python3
"""A batch from Python, by ctypes: events as they come, then how it stands.

usage: batch.py JOBS.yaml      (LIBREHOST: the library's path, if it is not
                                where the linker looks; REHOST: the program)
SPDX-License-Identifier: LGPL-2.1-or-later
"""
import ctypes as c
import json
import os
import select
import sys
import threading

lib = c.CDLL(os.environ.get("LIBREHOST", "librehost.so.1"))
for name in ("rh_lib_new", "rh_options_new", "rh_batch_open", "rh_batch_render"):
    getattr(lib, name).restype = c.c_void_p
for name in ("rh_error_message", "rh_error_id"):
    getattr(lib, name).restype = c.c_char_p
free = c.CDLL(None).free


def check(error, good):
    if not good:
        sys.exit("%s [%s]" % (lib.rh_error_message(error).decode(),
                              lib.rh_error_id(error).decode()))


def main():
    error = c.c_void_p()
    handle = c.c_void_p(lib.rh_lib_new(c.byref(error)))
    options = c.c_void_p(lib.rh_options_new())
    program = os.environ.get("REHOST", "rehost").encode()
    check(error, lib.rh_options_add(options, b"program", program,
                                    c.byref(error)) == 0)
    batch = c.c_void_p(lib.rh_batch_open(handle, sys.argv[1].encode(), options,
                                         c.byref(error)))
    check(error, batch)
    events = lib.rh_batch_events(batch, c.byref(error))
    check(error, events >= 0)
    # ctypes lets go of Python's lock while a call lasts: the batch runs on its
    # own thread, and this one polls.
    run = threading.Thread(target=lib.rh_batch_run, args=(batch, None))
    run.start()
    rest = b""
    while run.is_alive() or select.select([events], [], [], 0)[0]:
        if not select.select([events], [], [], 0.1)[0]:
            continue
        *lines, rest = (rest + os.read(events, 65536)).split(b"\n")
        for line in map(json.loads, lines):
            print(line["event"], line.get("vm", ""), flush=True)
    run.join()
    text = lib.rh_batch_render(batch, b"json", None)
    print(json.loads(c.string_at(text))["counts"])
    free(c.c_void_p(text))
    status = lib.rh_batch_status(batch)
    lib.rh_batch_close(batch)
    lib.rh_options_free(options)
    lib.rh_lib_free(handle)
    return status


sys.exit(main())
