"""What a stage writes appears only when it is whole: folders, tables, JSON. Tables are read as they were written."""

import io
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pandas as pd

# Columns of our tables, and of subjects.csv, that are text whatever they look like: a subject may be called NA or 007.
_TEXT = (
    "frame",
    "subject",
    "split",
    "digest",
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
def fresh_folder(path: Path) -> Iterator[Path]:
    """Fill a temporary sibling of `path`; it replaces `path` at the end, and is removed where the work failed."""
    partial = path.with_name(f".{path.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)


def write_text(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table; numbers keep all of their digits."""
    lines = _Lines()
    table.to_csv(lines, index=False, lineterminator="\r\n")
    write_text(path, lines.getvalue())


def read_csv(source: Path | IO[Any]) -> pd.DataFrame:
    """Read a table as `write_csv` wrote it: names stay text, `NA`, `1e5` and `007` included; an empty number is NaN."""
    table = pd.read_csv(
        source,
        dtype=dict.fromkeys(_TEXT, str),
        keep_default_na=False,
        na_values=[""],
        float_precision="round_trip",
        index_col=False,
        encoding="utf-8-sig",
    )
    return table.fillna(dict.fromkeys(_TEXT, ""))


class _Lines(io.StringIO):
    """Ends each row with a line feed alone. Python quotes a cell with a carriage return only where rows end with one."""

    def write(self, row: str) -> int:
        return super().write(row.removesuffix("\r\n") + "\n")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that a person can read."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
