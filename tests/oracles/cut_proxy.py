#!/usr/bin/env python3
"""A connection's middle: bytes pass, are counted, and are cut at random moments.

  cut_proxy.py TARGET-HOST:PORT --count FILE [--seed N --every S --away S]

Prints `ready HOST:PORT`.  FILE holds the bytes that came from the target.  With --every all connections
are cut after up to twice that many seconds, again and again, and nobody is let in for up to twice --away.
With --restart URL every third cut is a server that starts anew: nobody is let in for 2 to 4 seconds, and what
POST URL does to the target (its sessions end) has happened by then.
SPDX-License-Identifier: LGPL-2.1-or-later
"""
import argparse
import asyncio
import random
import ssl
import urllib.request


class Proxy:
    def __init__(self, o):
        self.o, self.count, self.open, self.shut = o, 0, set(), False
        self.host, port = o.target.rsplit(":", 1)
        self.port = int(port)

    async def pump(self, reader, writer, counted):
        try:
            while data := await reader.read(65536):
                if counted:
                    self.count += len(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def accept(self, reader, writer):
        if self.shut:
            writer.transport.abort()
            return
        try:
            there = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer.transport, there[1].transport)
        self.open.add(pair)
        await asyncio.gather(self.pump(reader, there[1], False), self.pump(there[0], writer, True))
        self.open.discard(pair)

    def restart(self):
        urllib.request.urlopen(urllib.request.Request(self.o.restart, data=b""), timeout=20,
                               context=ssl._create_unverified_context()).close()

    async def cut(self):
        r, cuts = random.Random(self.o.seed), 0
        while True:
            await asyncio.sleep(r.random() * 2 * self.o.every)
            self.shut = True
            for pair in list(self.open):
                for transport in pair:
                    transport.abort()
            cuts += 1
            if self.o.restart and cuts % 3 == 0:
                await asyncio.to_thread(self.restart)
                await asyncio.sleep(2 + r.random() * 2)
                print("restarted", flush=True)
            else:
                await asyncio.sleep(r.random() * 2 * self.o.away)
            self.shut = False

    async def tell(self):
        while True:
            with open(self.o.count, "w", encoding="ascii") as f:
                f.write("%d\n" % self.count)
            await asyncio.sleep(0.1)

    async def run(self):
        server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        print("ready 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
        jobs = [self.tell(), server.serve_forever()]
        await asyncio.gather(*jobs, *([self.cut()] if self.o.every else []))


parser = argparse.ArgumentParser()
parser.add_argument("target")
parser.add_argument("--count", required=True)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--every", type=float, default=0)
parser.add_argument("--away", type=float, default=0.3)
parser.add_argument("--restart")
asyncio.run(Proxy(parser.parse_args()).run())
