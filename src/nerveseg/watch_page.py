"""What is watched, as a page on this machine: the outlined frames as a stream of JPEG pictures, and what is told of them as events.

It listens on 127.0.0.1 alone, and answers nobody who calls it by another name, so that no page from elsewhere can read it by
pointing its own name here.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from nerveseg.errors import ServingError
from nerveseg.watch import Watch

HOST = "127.0.0.1"
PAGE = Path(__file__).with_name("watch.html")
BOUNDARY = "frame"
_POLICY = "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@contextmanager
def page(watch: Watch, port: int) -> Iterator[str]:
    """The page's address, where it answers during the block.

    Raises:
        ServingError: the port cannot be used.
    """
    try:
        server = _Server(watch, port)
    except (OSError, OverflowError) as error:
        raise ServingError(
            f"port {port} of {HOST} cannot be used ({error}); end what listens there, or name another with --port"
        ) from None
    threading.Thread(target=server.serve_forever, name="page", daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, watch: Watch, port: int) -> None:
        super().__init__((HOST, port), _Handler)
        self.watch = watch


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_GET(self) -> None:
        answers = {"/": self._page, "/frames": self._frames, "/state": self._states}
        name = (self.headers.get("Host") or "").rpartition(":")[0]
        if name not in (HOST, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN, "ask for it by 127.0.0.1")
        elif self.path not in answers:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            try:
                answers[self.path]()
            except (BrokenPipeError, ConnectionResetError):  # who looked on has gone
                return

    def _page(self) -> None:
        content = PAGE.read_bytes()
        self._begin("text/html; charset=utf-8", {"Content-Length": str(len(content))})
        self.wfile.write(content)

    def _frames(self) -> None:
        self._begin(f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.wfile.write(f"--{BOUNDARY}\r\n".encode())
        number, ended = -1, False
        while not ended:
            before = number
            number, picture, state = self.server.watch.wait(before)
            ended = state.ended
            if number != before and picture:
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                # A browser shows a picture when it sees where the next one begins.
                self.wfile.write(head.encode() + picture + f"\r\n--{BOUNDARY}\r\n".encode())

    def _states(self) -> None:
        self._begin("text/event-stream")
        number, ended = -1, False
        while not ended:
            number, _, state = self.server.watch.wait(number)
            ended = state.ended
            self.wfile.write(f"data: {json.dumps(asdict(state))}\n\n".encode())

    def _begin(self, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(HTTPStatus.OK)
        headers = {"Content-Type": kind, "Cache-Control": "no-store", "Content-Security-Policy": _POLICY}
        for name, value in {**headers, "X-Content-Type-Options": "nosniff", **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: each request would be a line."""
