"""Servers for this machine alone: where they listen, and by what name they may be called."""

HOST = "127.0.0.1"


def is_called_so(host: str) -> bool:
    """Whether this `Host` of a request names this machine: a page from elsewhere can point only a name of its own here."""
    name, _, port = host.partition(":")
    return name.lower() in (HOST, "localhost") and (not port or port.isdecimal())
