"""The page of `nerveseg watch`. Each outlined frame is an event that carries the picture and its numbers, so they always belong together."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from nerveseg.live_view.live import Watch
from nerveseg.local_server import HOST, is_local, limited_server, listening

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

PAGE = Path(__file__).with_name("watch.html")
CONNECTIONS = 32  # each takes one of starlette's 40 threads
SECONDS = 10.0  # to take what is sent
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src data:; connect-src 'self'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


@contextmanager
def page(watch: Watch, port: int) -> Iterator[str]:
    """Serve the page during the block, and give its address; ServingError if the port cannot be used."""
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

    def answer(request: Request) -> Response:
        if not is_local(request.headers.get("host", "")):
            return PlainTextResponse("call it by 127.0.0.1", HTTPStatus.FORBIDDEN)
        if request.method != "GET" or request.url.path not in ("/", "/frames"):
            return PlainTextResponse("there is only / and /frames, for GET", HTTPStatus.NOT_FOUND)
        if request.url.path == "/":
            page = PAGE.read_text(encoding="utf-8").replace("<!-- remark -->", escape(watch.remark))
            return HTMLResponse(page, headers=_HEADERS)
        return StreamingResponse(_events(watch), headers=_HEADERS, media_type="text/event-stream")

    async def app(scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def in_time(message: "Message") -> None:
            async with asyncio.timeout(SECONDS):
                await send(message)

        await answer(Request(scope))(scope, receive, in_time)

    server = limited_server(app, CONNECTIONS, "critical")
    with listening(port) as listener:
        listener.listen()  # at once: the thread may take a moment
        thread = threading.Thread(target=server.run, args=[[listener]], name="page", daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{port}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


def _events(watch: Watch) -> Iterator[str]:
    number, ended = -1, False
    while not ended:
        before = number
        number, picture, state = watch.wait(before)
        ended = state.ended
        told = {"picture": base64.b64encode(picture).decode(), "age": time.monotonic() - state.made}
        event = json.dumps(asdict(state) | told)
        # Without a new frame, a comment finds out whether the client is still there.
        yield ":\n\n" if number == before else f"data: {event}\n\n"
