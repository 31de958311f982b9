"""What a stage writes appears only when it is whole: folders, tables, JSON."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd


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
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that a person can read."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
