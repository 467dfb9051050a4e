#!/usr/bin/env python3
"""A web server with the bad manners that are met, on the loopback alone.

  httpd.py FOLDER PORT-FILE [CERT KEY]

Serves FOLDER under /MANNER/name, writes its port to PORT-FILE and every request
to FOLDER/.log (path, range, bytes sent), and ends by itself after ten minutes.
SPDX-License-Identifier: LGPL-2.1-or-later
"""
import http.server
import os
import re
import socketserver
import ssl
import sys
import threading
import time

CUT = 150000  # bytes before a breaking connection breaks
DELAY = 0.05  # seconds before a distant server's answer
seen = {}
active = most = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        _, manner, name = (self.path.split("?")[0] + "/").split("/", 3)[:3]
        count = seen[self.path] = seen.get(self.path, 0) + 1
        path = os.path.join(FOLDER, os.path.basename(name))
        if manner == "loop":
            return self.answer(302, [("Location", self.path)])
        if manner == "moved":
            return self.answer(302, [("Location", "/plain/" + name)])
        if manner == "to-file":
            return self.answer(302, [("Location", "file://" + path)])
        if manner == "busy" and count <= 2:
            return self.answer(503)
        if manner == "asks" and self.headers.get("Authorization") != \
                "Basic dXNlcjpwYXNz":  # user:pass
            return self.answer(401, [("WWW-Authenticate", 'Basic realm="x"')])
        if manner == "secret" and self.headers.get("Authorization") != \
                "Basic dXNlcjpwYXNz":  # user:pass
            return self.answer(401)
        if not os.path.isfile(path):
            return self.answer(404, body=b"<html>not here</html>")
        if manner == "dies" and count in range(8, 11):
            return self.answer(404)
        if manner == "distant":
            return self.serve_distant(manner, path, count)
        self.serve(manner, path, count)

    def serve_distant(self, manner, path, count):
        """Answers late; .most holds how many were asked for side by side."""
        global active, most
        with LOCK:
            active += 1
            most = max(most, active)
            with open(os.path.join(FOLDER, ".most"), "w") as f:
                f.write(str(most))
        time.sleep(DELAY)
        try:
            self.serve(manner, path, count)
        finally:
            with LOCK:
                active -= 1

    def serve(self, manner, path, count):
        size = os.path.getsize(path)
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        whole = manner.startswith("whole") or not match
        etag = '"%d"' % (count if manner == "changes" else size)
        # Without an ETag: with a date of long ago, or with none.
        dates = {"dated": self.date_time_string(os.path.getmtime(path) - 7200),
                 "loose": None}
        if self.headers.get("If-Range", etag) != etag and manner not in dates:
            whole = True
        start, end = (0, size) if whole else (int(match[1]), int(match[2]) + 1)
        end = min(end, size)
        if start >= size and size:
            return self.answer(416, [("Content-Range", "bytes */%d" % size)])
        self.send_response(200 if whole else 206)
        if manner not in dates:
            self.send_header("ETag", etag)
        elif dates[manner]:
            self.send_header("Last-Modified", dates[manner])
        shown = 0 if manner == "lies" else start
        if not whole:
            self.send_header("Content-Range",
                             "bytes %d-%d/%d" % (shown, end - 1, size))
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        self.send_file(manner, path, start, end)

    def send_file(self, manner, path, start, end):
        cut = start + CUT if manner.endswith("breaks") else end
        at = start
        try:
            with open(path, "rb") as f:
                f.seek(at)
                while at < min(end, cut):
                    data = f.read(min(65536, min(end, cut) - at))
                    at += len(data)
                    self.wfile.write(data)
        except OSError:  # the client is gone
            self.close_connection = True
        with open(os.path.join(FOLDER, ".log"), "a") as log:
            log.write("%s %s %d\n" % (self.path, self.headers.get("Range"),
                                      at - start))
        if at < end:
            self.close_connection = True
            self.connection.close()


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        pass


FOLDER = sys.argv[1]
LOCK = threading.Lock()
server = Server(("127.0.0.1", 0), Handler)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    server.socket = context.wrap_socket(server.socket, server_side=True)
with open(sys.argv[2] + ".new", "w") as f:
    f.write(str(server.server_address[1]))
os.rename(sys.argv[2] + ".new", sys.argv[2])
timer = threading.Timer(600, lambda: os._exit(0))
timer.daemon = True
timer.start()
server.serve_forever()
