r"""Foreign text made safe for the place where it is shown: names of subjects, files, branches and experiments, values of params, and
messages that quote them. (In HTML, Jinja's autoescape does this.)

    terminal     nothing moves the cursor, colours, hides or reorders what is beside it, or starts a line of its own
    Markdown     nothing formats, links, or mentions a person or an issue
    spreadsheet  nothing is computed: a cell that would begin a formula begins with an apostrophe, as OWASP advises ("CSV
                 Injection"), which `from_spreadsheet` removes

A character that cannot stand as it is becomes its code point, such as `\x1b`.
"""

import contextlib
import re
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, TextIO, TypeVar, cast

Cell = TypeVar("Cell")
_BREAK = "\u200b"  # of no width
_TO_ESCAPE = re.compile(r"[\\`*_{}\[\]|~#!]")
_TO_NAME = re.compile(f"[<>&@$^={_BREAK}]|:(?={_BREAK})")  # not every reader of Markdown lets these be escaped
# What GitHub, GitLab and MLflow look for once entities have become characters: mentions, issues, emoji, addresses.
_BEGINS_A_LINK = re.compile(r"[@#!~%&$:^*](?=\S)|(?<=www)(?=\.)|(?<=gh)(?=-\d)", re.IGNORECASE)
# The last four are full width; Excel treats them alike.
_BEGINS_A_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def on_one_line(text: object) -> str:
    """Return text for a part of a line on a terminal."""
    return _visible(str(text), "")


def in_markdown(text: object) -> str:
    """Return text for a part of a line of Markdown, or a cell of a table in it."""
    apart = _BEGINS_A_LINK.sub(lambda found: f"{found[0]}{_BREAK}", on_one_line(text))
    return _TO_NAME.sub(lambda found: f"&#{ord(found[0])};", _TO_ESCAPE.sub(r"\\\g<0>", apart))


def in_spreadsheet(cell: Cell) -> Cell:
    """Return a cell for a table. Numbers, and anything but text, stay."""
    if isinstance(cell, str) and _BEGINS_A_FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return cast("Cell", f"'{cell}")
    return cell


def from_spreadsheet(cell: Cell) -> Cell:
    """Undo `in_spreadsheet`."""
    if isinstance(cell, str) and cell.startswith("'") and _BEGINS_A_FORMULA.match(cell):
        return cast("Cell", cell[1:])
    return cell


@contextlib.contextmanager
def safe_terminal() -> Iterator[None]:
    """Make everything that the block prints safe for a terminal. Line breaks and tabs stay."""
    out, err = (cast("TextIO", _Screen(stream)) for stream in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


class _Screen:
    """A stream of text. Progress bars may go back to the start of their line at the begin or end of what they write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        kept = text.strip("\r")
        before, _, after = text.partition(kept) if kept else (text, "", "")
        return self._stream.write(before + _visible(kept, "\n\t") + after)


def _visible(text: str, kept: str) -> str:
    """Replace what Python does not call printable, spaces aside: controls, signs of direction or without width, lone surrogates."""
    return "".join(
        each if each.isprintable() or each in kept or unicodedata.category(each) == "Zs" else repr(each)[1:-1]
        for each in text
    )
