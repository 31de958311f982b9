"""How messages count and list things, and what they say of a path that no shell has expanded."""

import os
from collections.abc import Iterable


def counted(count: int, noun: str) -> str:
    """Return `1 file`, `2 files`, `1,234 files`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def some(names: Iterable[object], shown: int) -> str:
    """Return the first names, and how many more there are."""
    listed = list(map(str, names))
    more = f" and {len(listed) - shown:,} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more


def not_expanded(path: str) -> str | None:
    """Return what to do about ~ or $ in a path, which mean nothing to programs; None if neither is in it."""
    expanded = os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111 - Path's raises
    return None if expanded == path else f"~ and $ in {path} were not expanded; write {expanded}"
