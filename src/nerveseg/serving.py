"""MLflow's own scoring server, `mlflow models serve`, with safe defaults: it listens on this machine alone, and refuses requests
above a size, which it never holds in memory.

What it answers, and how, is MLflow's business and the model's (`nerveseg.served`).
"""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nerveseg.errors import ModelError, ServingError
from nerveseg.tracking_models import MODEL, downloaded, is_uri

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
MEGABYTE = 2**20
_TOO_LARGE = 413  # HTTP
_DRAINED = 10  # times the limit, of a request that is refused; beyond that the connection breaks


class SizeLimit:
    """Answers 413 to a request with a body of more than `limit` bytes, whether it says so beforehand or not."""

    def __init__(self, app: "ASGIApp", limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        size = int(told) if told.isdigit() else 0
        parts: list[Message] = [await receive()]
        read = len(parts[0].get("body", b""))
        while parts[-1].get("more_body") and max(size, read) <= self._limit:
            parts.append(await receive())
            read += len(parts[-1].get("body", b""))
        if max(size, read) > self._limit:
            # A client that is still sending would see a broken connection and not the answer.
            part = parts.pop()
            while part.get("more_body") and read <= _DRAINED * self._limit:
                part = await receive()
                read += len(part.get("body", b""))
            await self._refuse(send)
            return
        waiting = iter(parts)

        async def replay() -> "Message":
            return next(waiting, None) or await receive()

        await self._app(scope, replay, send)

    async def _refuse(self, send: "Send") -> None:
        limit = f"{self._limit / MEGABYTE:g} MB"
        told = f"the request is larger than {limit}; send fewer frames at once, or raise --limit"
        content = json.dumps({"error_code": "REQUEST_TOO_LARGE", "message": told}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": _TOO_LARGE, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def serve(model: str, port: int, limit: float) -> None:
    """Answer requests until the process is stopped.

    Args:
        model: an MLflow URI of a registered model, or the folder of one.
        port: on 127.0.0.1.
        limit: of a request, in megabytes.

    Raises:
        ModelError: the model is not there.
        ServingError: the port cannot be used.
    """
    _check_port(port)
    with _folder(model) as folder:
        import uvicorn
        from mlflow.pyfunc import load_model, scoring_server

        # The model brings the code that it was trained with, which may not be this one.
        for name in [name for name in sys.modules if name.partition(".")[0] == "nerveseg"]:
            del sys.modules[name]
        app = SizeLimit(scoring_server.init(load_model(str(folder))), round(limit * MEGABYTE))
    print(f"{model} answers at http://{HOST}:{port}/invocations (Ctrl-C ends it)", flush=True)
    try:
        uvicorn.run(app, host=HOST, port=port, log_level="warning")
    except KeyboardInterrupt:  # uvicorn has ended its connections by then
        return


@contextmanager
def _folder(model: str) -> Iterator[Path]:
    if is_uri(model):
        with downloaded(model, MODEL) as folder:
            yield folder
        return
    folder = Path(model)
    if not (folder / "MLmodel").is_file():
        raise ModelError(
            f"{model} holds no MLmodel; name a registered model, as models:/nerveseg@champion, or the folder of one that "
            "MLflow wrote"
        )
    yield folder


def _check_port(port: int) -> None:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise ServingError(
                f"port {port} of {HOST} cannot be used ({error}); end what listens there, or name another with --port"
            ) from None
