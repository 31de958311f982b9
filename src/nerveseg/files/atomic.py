"""Folders, tables and JSON that appear only when they are complete. Tables are read as they were written."""

import errno
import fcntl
import glob
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nerveseg.errors import BusyError, DatasetError
from nerveseg.text.foreign_text import from_spreadsheet, in_spreadsheet, on_one_line

if TYPE_CHECKING:  # workers write files, too, and need no pandas
    import pandas as pd

# Columns of our tables that are text, whatever they look like: a subject may be called NA or 007.
_TEXT = (
    "frame", "subject", "split", "digest", "pixels", "look", "file", "other", "reason", "remedy", "remark", "model", "stratum",
    "part", "degradation", "arm", "knobs",
)  # fmt: skip
_CONFLICT = re.compile(rb"^(<{7} |>{7} |={7}$)", re.MULTILINE)
_REMADE = "bring it back with `git checkout HEAD` and its name, or make it again with `dvc repro`"


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keep every other process from writing `path` until the block ends; raise `BusyError` if one is writing it.

    It is a POSIX lock: it ends with its process in any case, and forked processes do not inherit it. Nothing is locked if the
    folder around `path` is not writable or, as some network shares, has no locks.
    """
    lock = path.absolute().with_name(f".{path.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = _locked(lock, path)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOLCK, errno.ENOTSUP):
            raise
        yield
        return
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)  # before it is released: whoever waits then finds that the file has gone
        file.close()


def _locked(lock: Path, path: Path) -> IO[str]:
    while True:
        file = lock.open("a+", encoding="utf-8")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise BusyError(f"another process (PID {holder}) is writing {path}; end it or wait") from None
        except BaseException:
            file.close()
            raise
        if lock.exists() and os.path.samestat(os.fstat(file.fileno()), lock.stat()):
            break
        file.close()  # its holder removed it after we had opened it
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that replaces `path` at the end and is removed after an error; `BusyError` if another process fills it."""
    path = path.resolve() if path.is_symlink() else path
    with only_writer(path):
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):  # by processes that were killed
            shutil.rmtree(left, ignore_errors=True)
        partial = _partial(path)
        partial.mkdir(parents=True)
        try:
            yield partial
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a temporary file beside `path`, which replaces `path` at the end and is removed after an error."""
    partial = _partial(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8. Bytes of file names that are not UTF-8 become escapes."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table. Numbers keep all their digits, and spreadsheets take no text for a formula."""
    lines = _Lines()
    _mapped(table, in_spreadsheet).to_csv(lines, index=False, lineterminator="\r\n")
    write_text(path, lines.getvalue())


def read_json(path: Path) -> Any:
    """Return what `write_json` wrote; DatasetError if it was changed so that it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise DatasetError(f"{path} is no JSON; {_REMADE}") from None


def read_csv(source: Path | IO[Any]) -> "pd.DataFrame":
    """Read a table that `write_csv` wrote; DatasetError if Git or another program has changed it so that it is none.

    Names stay text, even `NA`, `1e5` and `007`; an empty number is NaN.
    """
    import pandas as pd

    if isinstance(source, Path) and _CONFLICT.search(source.read_bytes()):
        raise DatasetError(f"{source} holds Git's marks of a conflict; {_REMADE}")
    try:
        table = pd.read_csv(
            source,
            dtype=dict.fromkeys(_TEXT, str),
            keep_default_na=False,
            na_values=[""],
            float_precision="round_trip",
            index_col=False,
            encoding="utf-8-sig",
        )
    except ValueError as error:  # of pandas and of Unicode
        if not isinstance(source, Path):
            raise
        raise DatasetError(f"{source} is no table ({on_one_line(error)}); {_REMADE}") from None
    if isinstance(source, Path) and {";", "\t"} & set(table.columns[0]):
        raise DatasetError(f"{source} has semicolons or tabs between its columns, expected commas; {_REMADE}")
    return _mapped(table.fillna(dict.fromkeys(_TEXT, "")), from_spreadsheet)


def _mapped(table: "pd.DataFrame", of_cell: Callable[[Any], Any]) -> "pd.DataFrame":
    """Apply a function to each cell of the columns of text."""
    import pandas as pd

    texts = [name for name, kind in table.dtypes.items() if kind.kind == "O"]
    return table.assign(**{
        str(name): pd.Series([of_cell(cell) for cell in table[name]], table.index, object) for name in texts
    })  # fmt: skip


class _Lines(io.StringIO):
    """Ends rows with a line feed alone. Python quotes cells with a carriage return only if rows end with one."""

    def write(self, row: str) -> int:
        return super().write(row.removesuffix("\r\n") + "\n")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that a person can read."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
