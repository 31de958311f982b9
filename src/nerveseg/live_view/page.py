"""The page of `nerveseg watch`. Each outlined frame is an event that carries the picture and its numbers, so they always belong together.

The server listens on 127.0.0.1 alone. Requests must name this machine as their host, so that no page from elsewhere can read it by
pointing a name of its own here.
"""

import base64
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from nerveseg.live_view.live import Watch
from nerveseg.local_server import HOST, is_local, opening

PAGE = Path(__file__).with_name("watch.html")
CONNECTIONS = 32
SECONDS = 10.0  # to send the head of a request, and to take what is sent
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src data:; connect-src 'self'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


@contextmanager
def page(watch: Watch, port: int) -> Iterator[str]:
    """Serve the page during the block, and give its address.

    Raises:
        ServingError: the port cannot be used.
    """
    with opening(port):
        server = _Server(watch, port)
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
        self.silent: dict[Any, float] = {}  # connections without a request yet, and since when they are open
        self._free = threading.BoundedSemaphore(CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self.silent[request] = time.monotonic()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.silent.pop(request, None)
            self._free.release()

    def service_actions(self) -> None:
        """Between looks for new connections, close those that were silent for too long."""
        for request, since in list(self.silent.items()):
            if time.monotonic() - since > SECONDS:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # that is a client who has gone
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    timeout = SECONDS

    def do_GET(self) -> None:
        self.server.silent.pop(self.connection, None)
        answers = {"/": self._page, "/frames": self._frames}
        if not is_local(self.headers.get("Host") or ""):
            self.send_error(HTTPStatus.FORBIDDEN, "call it by 127.0.0.1")
        elif self.path not in answers:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            answers[self.path]()

    def _page(self) -> None:
        content = PAGE.read_bytes()
        self._begin({"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(content))})
        self.wfile.write(content)

    def _frames(self) -> None:
        self._begin({"Content-Type": "text/event-stream"})
        number, ended = -1, False
        while not ended:
            before = number
            number, picture, state = self.server.watch.wait(before)
            ended = state.ended
            event = json.dumps(asdict(state) | {"picture": base64.b64encode(picture).decode()})
            # Without a new frame, a comment finds out whether the client is still there.
            self.wfile.write(b":\n\n" if number == before else f"data: {event}\n\n".encode())

    def _begin(self, headers: dict[str, str]) -> None:
        self.send_response(HTTPStatus.OK)
        for name, value in (headers | _HEADERS).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing: each request would be a line."""
