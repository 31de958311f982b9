"""`nerveseg serve`: a registered model behind a port of this machine.

This module limits connections: how many there may be, and how long one may take to send the head of a request.
`nerveseg.registry.server_app` answers requests, with the model (`nerveseg.registry.pyfunc_model`).
"""

import asyncio
import socket
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import cast

from nerveseg.errors import ModelError
from nerveseg.local_server import HOST, opening
from nerveseg.registry.download import MODEL, downloaded, is_uri, local_path
from nerveseg.registry.server_app import MEGABYTE, Application, Predict
from nerveseg.text.foreign_text import on_one_line

CONNECTIONS = 64
HEADER_SECONDS = 10.0
HEADER_BYTES = 2**14
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


def serve(model: str, port: int, limit: float) -> None:
    """Serve a registered model, by its MLflow URI or folder, until the process is stopped; `limit` is in megabytes a request.

    Raises:
        ModelError: the model does not exist, or cannot be loaded.
        ServingError: the port cannot be used.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with opening(port):
            listener.bind((HOST, port))
        app = Application(_loaded(model), round(limit * MEGABYTE))
        print(f"{model} answers at http://{HOST}:{port}/invocations (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):  # uvicorn has closed its connections by then
            _run(app, listener)


def _loaded(model: str) -> Predict:
    with downloaded(model, MODEL) if is_uri(model) else nullcontext(_folder(model)) as folder:
        from mlflow.pyfunc import load_model

        # A model brings the code that it was trained with, which may differ from this one.
        for name in [name for name in sys.modules if name.partition(".")[0] == "nerveseg"]:
            del sys.modules[name]
        try:
            return cast("Predict", load_model(str(folder)).predict)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - of MLflow, of YAML, or of the code that the model brings
            raise ModelError(
                f"{model} cannot be loaded ({on_one_line(error)}); name another version, or register it again with "
                "`dvc repro -f -s evaluate`"
            ) from None


def _folder(model: str) -> Path:
    folder = local_path(model)
    if not (folder / "MLmodel").is_file():
        raise ModelError(
            f"{model} holds no MLmodel; name a registered model, such as models:/nerveseg@champion, or the folder of one "
            "that MLflow wrote"
        )
    return folder


def _run(app: Application, listener: socket.socket) -> None:
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Impatient(H11Protocol):
        """Closes connections beyond `CONNECTIONS`, and those that do not send the head of a request in time."""

        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
            super().connection_made(transport)
            if len(self.connections) > CONNECTIONS:
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
            if self.cycle is not None and (
                not self.cycle.response_complete or self.timeout_keep_alive_task is not None
            ):
                self._stop_waiting()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

        def _stop_waiting(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    config = uvicorn.Config(
        app, http=Impatient, ws="none", lifespan="off", log_level="warning", access_log=False, server_header=False,
        proxy_headers=False, h11_max_incomplete_event_size=HEADER_BYTES,
    )  # fmt: skip
    uvicorn.Server(config).run([listener])
