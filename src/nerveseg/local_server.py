"""Servers for this machine alone: the address they listen at, and the names they answer to."""

HOST = "127.0.0.1"


def is_local(host: str) -> bool:
    """Return whether a request's `Host` names this machine. A page from elsewhere can only point a name of its own here."""
    name, _, port = host.partition(":")
    return name.lower() in (HOST, "localhost") and (not port or port.isdecimal())
