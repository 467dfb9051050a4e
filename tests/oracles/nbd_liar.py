#!/usr/bin/env python3
"""An NBD server that lies: nbd_liar.py SOCKET LIE

It speaks the fixed newstyle handshake and structured replies, serves zeros,
and misbehaves in one way:

  huge       the export has 2^62 bytes          empty     it has none
  block      requests of 3 bytes at least       backwards the largest is smaller
  crumbs     each answer about extents covers 512 bytes
  nothing    an extent of no bytes              beyond    extents far beyond what
                                                          was asked
  cookie     answers to a question never asked  silent    no answers at all
  mute       no word after the connection       noise     random bytes
  shrinks    the second connection sees less    hangup    closes at each read
  relapse    hangs up in the middle of the first answer about extents; the
             second MiB is not zero then
It prints "ready" once it listens, and serves until it is killed.
"""
# SPDX-License-Identifier: LGPL-2.1-or-later
import os, socket, struct, sys, threading, time

PATH, LIE = sys.argv[1:]
SIZE = {"huge": 1 << 62, "empty": 0}.get(LIE, 4 << 20)
connections = 0


def take(c, n):
    data = b""
    while len(data) < n:
        more = c.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def option_reply(c, option, kind, data=b""):
    c.sendall(struct.pack(">QIII", 0x3E889045565A9, option, kind, len(data)) + data)


def info(c, option, size):
    flags = 0x1 | 0x2 | 0x100  # flags, read-only, several connections
    option_reply(c, option, 3, struct.pack(">HQH", 0, size, flags))
    if LIE in ("block", "backwards"):
        sizes = (3, 4096, 1 << 20) if LIE == "block" else (4096, 4096, 512)
        option_reply(c, option, 3, struct.pack(">HIII", 3, *sizes))
    option_reply(c, option, 1)


def handshake(c, size):
    c.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
    take(c, 4)
    while True:
        _, option, length = struct.unpack(">QII", take(c, 16))
        data = take(c, length)
        if option == 8:  # structured replies
            option_reply(c, option, 1)
        elif option == 10:  # meta contexts
            option_reply(c, option, 4, struct.pack(">I", 1) + b"base:allocation")
            option_reply(c, option, 1)
        elif option in (6, 7):  # info, go
            info(c, option, size)
            if option == 7:
                return
        elif option == 2:
            option_reply(c, option, 1)
            raise EOFError
        else:
            option_reply(c, option, (1 << 31) + 1)


def chunk(c, cookie, kind, data, flags=1):
    c.sendall(struct.pack(">IHHQI", 0x668E33EF, flags, kind, cookie, len(data)) + data)


def extents(length):
    return {"crumbs": [(512, 0)], "nothing": [(0, 0)],
            "beyond": [(0xFFFFFE00, 3)] * 2,
            "relapse": [(1 << 20, 3), (1 << 20, 0), (2 << 20, 3)]}.get(LIE, [(length, 0)])


def content(offset, length):
    if LIE != "relapse":
        return bytes(length)
    return bytes(0xA5 if 1 << 20 <= at < 2 << 20 else 0
                 for at in range(offset, offset + length))


def serve(c, number):
    while True:
        _, _, kind, cookie, offset, length = struct.unpack(">IHHQQI", take(c, 28))
        if kind == 2:
            return
        if LIE == "silent":
            time.sleep(3600)
        if LIE == "hangup" and kind == 0:
            return
        if LIE == "cookie":
            cookie ^= 1
        if LIE == "relapse" and kind == 7 and number == 1:
            chunk(c, cookie, 5, struct.pack(">III", 1, 1 << 20, 3), 0)
            return
        if kind == 7:
            runs = b"".join(struct.pack(">II", *e) for e in extents(length))
            chunk(c, cookie, 5, struct.pack(">I", 1) + runs)
        elif kind == 0:
            chunk(c, cookie, 1, struct.pack(">Q", offset) + content(offset, length))
        else:
            chunk(c, cookie, 0x8001, struct.pack(">IH", 22, 0))


def client(c, number):
    try:
        if LIE == "mute":
            time.sleep(3600)
        if LIE == "noise":
            c.sendall(os.urandom(65536))
            return
        handshake(c, SIZE >> 1 if LIE == "shrinks" and number > 1 else SIZE)
        if LIE == "shrinks" and number == 1:
            return
        serve(c, number)
    except (EOFError, OSError):
        pass
    finally:
        c.close()


listener = socket.socket(socket.AF_UNIX)
listener.bind(PATH)
listener.listen(16)
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    connections += 1
    threading.Thread(target=client, args=(connection, connections), daemon=True).start()
