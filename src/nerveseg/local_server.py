"""Servers for this machine alone: their address, the names they answer to, and the connections that they keep.

A page from elsewhere can only point a name of its own here, so requests must name this machine as their host. Whoever does
not send the head of a request in time, or does not fetch what is sent, is cut off.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nerveseg.errors import ServingError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

HOST = "127.0.0.1"
HEADER_SECONDS = 10.0
END_SECONDS = 5  # for requests that are being answered when the server is ended
HEADER_BYTES = 2**14
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


def is_local(host: str) -> bool:
    """Return whether a request's `Host` names this machine."""
    name, _, port = host.partition(":")
    return name.lower() in (HOST, "localhost") and (not port or port.isdecimal())


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """Give a socket that is bound to the port; ServingError if it cannot be used."""
    # Named as TCP, since asyncio lets only such connections send at once instead of waiting 40 ms for the last packet's receipt.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise ServingError(
                f"port {port} of {HOST} cannot be used ({error}); end what listens there, or name another with --port"
            ) from None
        listener.listen()  # who connects before the server runs waits for it
        yield listener


def limited_server(app: "ASGIApp", connections: int, log_level: str) -> "uvicorn.Server":
    """Return a server that closes connections beyond this number, and those that do not send the head of a request in time."""
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Impatient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
            super().connection_made(transport)
            if len(self.connections) > connections:
                transport.write(_FULL)
                transport.close()
            self._wait_for_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._wait_for_head()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._stop_waiting()

        def _wait_for_head(self) -> None:
            """Wait for the first request, or the rest of a later one; between requests uvicorn itself waits."""
            if self.cycle and (not self.cycle.response_complete or self.timeout_keep_alive_task is not None):
                self._stop_waiting()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

        def _stop_waiting(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    config = uvicorn.Config(
        app, http=Impatient, ws="none", lifespan="off", log_level=log_level, access_log=False, server_header=False,
        proxy_headers=False, h11_max_incomplete_event_size=HEADER_BYTES, timeout_graceful_shutdown=END_SECONDS,
    )  # fmt: skip
    return uvicorn.Server(config)
