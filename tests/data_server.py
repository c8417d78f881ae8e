"""A web server on this machine that serves a folder's files well, cut short, changed, or not at all."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Manners:
    """How the server behaves; tests change it between requests.

    cuts: how many of the next answers end half-way. ranges: whether it can go on from the middle. wrong: whether
    it sends other bytes. status: another than 200, e.g. 404. endless: whether it sends zeros for ever.
    drops: whether it sends byte after byte. asked: (path, Range header) of each request.
    """

    def __init__(self) -> None:
        self.cuts = 0
        self.ranges = True
        self.wrong = False
        self.status = 200
        self.endless = False
        self.drops = False
        self.asked: list[tuple[str, str | None]] = []


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, Manners]]:
    """The address of a server of `folder`, and its manners."""
    manners = Manners()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            manners.asked.append((self.path, self.headers.get("Range")))
            if manners.status != 200:
                self.send_error(manners.status)
                return
            if manners.endless:
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):  # the client has left
                    while True:
                        self.wfile.write(bytes(4096))
                return
            data = (folder / self.path.lstrip("/")).read_bytes()
            data = data[::-1] if manners.wrong else data
            start = self._start(data)
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._send(data, start)

        def _start(self, data: bytes) -> int:
            asked = self.headers.get("Range")
            return int(asked.removeprefix("bytes=").rstrip("-")) if asked and manners.ranges else 0

        def _send(self, data: bytes, start: int) -> None:
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            cut = manners.cuts > 0
            manners.cuts -= cut
            if manners.drops:
                with contextlib.suppress(OSError):
                    for byte in data[start:]:
                        self.wfile.write(bytes([byte]))
                        time.sleep(0.01)
                return
            self.wfile.write(data[start : start + (len(data) - start) // 2] if cut else data[start:])

        def log_message(self, *_: object) -> None:
            """No lines on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", manners
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
