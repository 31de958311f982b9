r"""Text that others wrote, made safe for the place where it is shown: names of subjects, files, branches and experiments, values
of params, and messages that quote them. (In HTML, Jinja's autoescape sees to it.)

    terminal     nothing moves the cursor, colours, hides or reorders what is beside it, or starts a line of its own
    Markdown     nothing formats, links, or mentions a person or an issue
    spreadsheet  nothing is computed: a cell that would begin a formula begins with an apostrophe, as OWASP advises ("CSV
                 Injection"), which our own reading takes off again

In place of a character that cannot stand as it is its code point is shown, as `\x1b`.
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
# The last four are full width, which Excel takes for the same.
_BEGINS_A_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def on_one_line(text: object) -> str:
    """For a terminal, where the text is a part of a line."""
    return _visible(str(text), "")


def in_markdown(text: object) -> str:
    """For a part of a line of Markdown, or a cell of a table in it."""
    apart = _BEGINS_A_LINK.sub(lambda found: f"{found[0]}{_BREAK}", on_one_line(text))
    return _TO_NAME.sub(lambda found: f"&#{ord(found[0])};", _TO_ESCAPE.sub(r"\\\g<0>", apart))


def in_spreadsheet(cell: Cell) -> Cell:
    """For a cell of a table; what is no text, or is a number, stays."""
    if isinstance(cell, str) and _BEGINS_A_FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return cast("Cell", f"'{cell}")
    return cell


def from_spreadsheet(cell: Cell) -> Cell:
    """The cell that `in_spreadsheet` was given."""
    if isinstance(cell, str) and cell.startswith("'") and _BEGINS_A_FORMULA.match(cell):
        return cast("Cell", cell[1:])
    return cell


@contextlib.contextmanager
def safe_terminal() -> Iterator[None]:
    """Let what is printed during the block, lines and all, reach a terminal without commands to it."""
    out, err = (cast("TextIO", _Screen(stream)) for stream in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


class _Screen:
    """A stream of text; progress bars go back to the start of their line, and so begin or end what they write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        kept = text.strip("\r")
        before, _, after = text.partition(kept) if kept else (text, "", "")
        return self._stream.write(before + _visible(kept, "\n\t") + after)


def _visible(text: str, kept: str) -> str:
    return "".join(each if _is_harmless(each) or each in kept else _code_point(each) for each in text)


def _is_harmless(letter: str) -> bool:
    """Python calls no control, no sign of direction or of no width, and no half of a surrogate pair printable."""
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def _code_point(letter: str) -> str:
    return repr(letter)[1:-1]
