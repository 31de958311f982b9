"""Servers for this machine alone: the address they listen at, and the names they answer to."""

from collections.abc import Iterator
from contextlib import contextmanager

from nerveseg.errors import ServingError

HOST = "127.0.0.1"


def is_local(host: str) -> bool:
    """Return whether a request's `Host` names this machine. A page from elsewhere can only point a name of its own here."""
    name, _, port = host.partition(":")
    return name.lower() in (HOST, "localhost") and (not port or port.isdecimal())


@contextmanager
def opening(port: int) -> Iterator[None]:
    """Raise ServingError if the block cannot open the port."""
    try:
        yield
    except OSError as error:
        raise ServingError(
            f"port {port} of {HOST} cannot be used ({error}); end what listens there, or name another with --port"
        ) from None
