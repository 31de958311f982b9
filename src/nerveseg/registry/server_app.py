"""What `nerveseg serve` answers: `POST /invocations`, and `/ping` to ask whether it is up. An ASGI application.

Anyone who reaches the port, such as a page in a browser, can send anything. So each cost of a request is limited before it is spent:
the bytes of its body and of all bodies being read, the time to send it, and the pixels that its frames decode to
(`server_requests`), alone and with all requests being answered. Requests must name this machine as their host: a page from
elsewhere can only point a name of its own here.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from nerveseg.local_server import is_local
from nerveseg.registry.server_requests import EXPECTED, PIXELS, Refusal, Request, bad, check_type, parsed, too_much

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

MEGABYTE = 2**20
WORKERS = 4  # requests answered at once
BODIES = 8  # largest ones in memory at once
IN_FLIGHT = PIXELS  # of all requests that are answered or wait for it
BODY_SECONDS, ANSWER_SECONDS, DRAIN_SECONDS = 30.0, 60.0, 5.0
_DRAINED = 10  # times the limit, of a refused request; beyond that the connection breaks
_LOG = logging.getLogger("uvicorn.error")
Predict = Callable[[Any, dict[str, bool]], list[dict[str, Any]]]


class _Budget:
    """An amount that all requests share."""

    def __init__(self, whole: int) -> None:
        self.left = whole

    @contextmanager
    def taken(self) -> Iterator[Callable[[int], None]]:
        """Give a function that takes a share, which is returned at the end of the block."""
        share = 0

        def take(amount: int) -> None:
            nonlocal share
            if amount > self.left:
                raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "the server is at its limit; send the request again soon")
            self.left -= amount
            share += amount

        try:
            yield take
        finally:
            self.left += share


class Application:
    """Answers with `predict` of the model that MLflow loaded; `limit` is that of a body, in bytes."""

    def __init__(self, predict: Predict, limit: int) -> None:
        self._predict, self._limit = predict, limit
        # One thread parses: that may take 25 times the memory of a body, and more threads would gain nothing.
        self._parser, self._workers = ThreadPoolExecutor(1, "parse"), ThreadPoolExecutor(WORKERS, "answer")
        self._bytes, self._pixels = _Budget(BODIES * limit), _Budget(IN_FLIGHT)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        more = True

        async def received() -> "Message":
            nonlocal more
            message = await receive()
            more = message.get("more_body", False)
            return message

        headers = {"x-content-type-options": "nosniff"}
        status = HTTPStatus.OK
        try:
            content = await self._answer(scope, received)
        except Refusal as refusal:
            status = refusal.status
            content = json.dumps({"error_code": status.name, "message": refusal.message}).encode()
            headers["connection"] = "close"
            read = 0
            with suppress(TimeoutError):  # a client that still sends would see a broken connection, not the answer
                async with asyncio.timeout(DRAIN_SECONDS):
                    while more and read <= _DRAINED * self._limit:
                        read += len((await received()).get("body", b""))
        except (ClientDisconnect, asyncio.CancelledError):  # the latter if the server is ended
            return
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            headers["retry-after"] = "1"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await Response(content, status, headers, "application/json")(scope, receive, send)
        except TimeoutError:
            _LOG.warning("an answer was not fetched within %g s", ANSWER_SECONDS)

    async def _answer(self, scope: "Scope", receive: "Receive") -> bytes:
        headers = Headers(scope=scope)
        if not is_local(headers.get("host", "")):
            raise Refusal(HTTPStatus.FORBIDDEN, "call it by 127.0.0.1 or localhost")
        if scope["path"] in ("/ping", "/health") and scope["method"] in ("GET", "HEAD"):
            return b"{}"
        if scope["path"] != "/invocations":
            raise Refusal(HTTPStatus.NOT_FOUND, "there is only /invocations, for POST, and /ping")
        if scope["method"] != "POST":
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "send frames to /invocations by POST")
        check_type(headers.get("content-type", ""))
        with self._bytes.taken() as take_bytes, self._pixels.taken() as take_pixels:
            body = await self._body(headers.get("content-length", "0"), receive, take_bytes)
            run = asyncio.get_running_loop().run_in_executor
            request = await run(self._parser, _safely, parsed, body)
            del body
            take_pixels(request.pixels)
            return await run(self._workers, _safely, self._answered, request)

    async def _body(self, told: str, receive: "Receive", take: Callable[[int], None]) -> bytearray:
        size = int(told) if told.isdecimal() and len(told) < 20 else 0  # without one it comes in chunks
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while max(size, len(body)) <= self._limit:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    take(len(message.get("body", b"")))
                    body += message.get("body", b"")
                    if not message.get("more_body"):
                        return body
        except TimeoutError:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, f"the body did not arrive within {BODY_SECONDS:g} s") from None
        raise too_much(
            f"the request is larger than {self._limit / MEGABYTE:g} MB; send fewer frames at once, or raise --limit",
        )

    def _answered(self, request: Request) -> bytes:
        rows = self._predict(request.table, request.params)
        return b'{"predictions": [' + b", ".join(_coded(rows)) + b"]}"


def _coded(rows: list[dict[str, Any]]) -> Iterable[bytes]:
    """Encode each row as JSON and let it go."""
    rows.reverse()
    while rows:
        yield json.dumps(rows.pop(), allow_nan=False).encode()


def _safely(work: Callable[[Any], Any], given: Any) -> Any:
    try:
        return work(given)
    except Refusal:
        raise
    except MemoryError:
        raise too_much("memory ran out; send fewer or smaller frames at once") from None
    except Exception as error:  # noqa: BLE001 - what a model of any version may raise
        kind = type(error).__name__  # classes of the model's own code, which may be of another version
        if kind == "RequestError" and (message := getattr(error, "message", "")):
            raise bad(message) from None
        if kind == "MlflowException":
            raise bad(f"the rows do not fit the model's signature; {EXPECTED}") from None
        _LOG.error("a request failed in the model (%s)", kind)
        raise Refusal(
            HTTPStatus.INTERNAL_SERVER_ERROR, f"the model failed ({kind}); report it with the frame"
        ) from None
