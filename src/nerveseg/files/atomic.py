"""What a stage writes appears only when it is whole: folders, tables, JSON. Tables are read as they were written."""

import errno
import fcntl
import glob
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nerveseg.errors import BusyError
from nerveseg.text.foreign_text import from_spreadsheet, in_spreadsheet

if TYPE_CHECKING:  # workers write files, too, and need no pandas
    import pandas as pd

# Columns of our tables, and of subjects.csv, that are text whatever they look like: a subject may be called NA or 007.
_TEXT = (
    "frame",
    "subject",
    "split",
    "digest",
    "pixels",
    "look",
    "file",
    "other",
    "reason",
    "remedy",
    "remark",
    "model",
    "stratum",
    "part",
    "degradation",
    "arm",
    "knobs",
)


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keep every other process from writing `path` until the block ends.

    The lock is POSIX's: it ends with its process however that ends, and processes that are forked from it do not hold it.
    Where the folder around `path` cannot be written or knows no locks, as some network shares, nothing is locked.

    Raises:
        BusyError: another process writes it.
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
        lock.unlink(missing_ok=True)  # while it is held: who waits for it finds another file, or none, under its name
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
        file.close()  # its holder removed it between our two steps
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """Fill a temporary sibling of `path`; it replaces `path` at the end, and is removed where the work failed.

    Raises:
        BusyError: another process fills `path`.
    """
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
    """Write a temporary sibling of `path`, a file of this process alone; it replaces `path` at the end."""
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
    """Write UTF-8; bytes of a file's name that are none become escapes."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table; numbers keep all of their digits, and no text is a formula to a spreadsheet."""
    lines = _Lines()
    _mapped(table, in_spreadsheet).to_csv(lines, index=False, lineterminator="\r\n")
    write_text(path, lines.getvalue())


def read_csv(source: Path | IO[Any]) -> "pd.DataFrame":
    """Read a table as `write_csv` wrote it: names stay text, `NA`, `1e5` and `007` included; an empty number is NaN."""
    import pandas as pd

    table = pd.read_csv(
        source,
        dtype=dict.fromkeys(_TEXT, str),
        keep_default_na=False,
        na_values=[""],
        float_precision="round_trip",
        index_col=False,
        encoding="utf-8-sig",
    )
    return _mapped(table.fillna(dict.fromkeys(_TEXT, "")), from_spreadsheet)


def _mapped(table: "pd.DataFrame", of_cell: Callable[[Any], Any]) -> "pd.DataFrame":
    """The table with each cell of its columns of text passed through a function."""
    import pandas as pd

    texts = [name for name, kind in table.dtypes.items() if kind.kind == "O"]
    return table.assign(**{
        str(name): pd.Series([of_cell(cell) for cell in table[name]], table.index, object) for name in texts
    })  # fmt: skip


class _Lines(io.StringIO):
    """Ends each row with a line feed alone. Python quotes a cell with a carriage return only where rows end with one."""

    def write(self, row: str) -> int:
        return super().write(row.removesuffix("\r\n") + "\n")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that a person can read."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
