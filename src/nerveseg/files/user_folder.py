"""What `predict` wrote into a folder that its user named: it replaces nothing else, and nobody takes it for frames or annotations.

A name proves nothing: `x_mask.png` may be an annotation, and a prediction that somebody corrected is theirs now. So a
record in the folder, `.nerveseg-written.jsonl`, holds the SHA-256 of each file by its path below the folder. A line is added
before its file appears, so that a run that was killed leaves no file that the next one would not know.
"""

import hashlib
import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

RECORD = ".nerveseg-written.jsonl"


class Written:
    """The files in `folder` that `predict` wrote, by their paths below it; threads may write several at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._digests = defaultdict[str, set[str]](set, _recorded(folder / RECORD))
        self._latest: dict[str, str] = {}
        self._lock = threading.Lock()

    def owns(self, name: str) -> bool:
        """Whether the file is there as it was written."""
        path = self.folder / name
        try:
            return name in self._digests and _digest(path) in self._digests[name]
        except OSError:
            return False

    def foreign(self, names: Iterable[str]) -> list[str]:
        """Of these files those that are there and that somebody else wrote, or changed since."""
        there = (name for name in names if os.path.lexists(self.folder / name))
        return [name for name in there if not self.owns(name)]

    @contextmanager
    def new(self, name: str) -> Iterator[Path]:
        """A temporary path to write to; the file appears at the end, and not at all where the work failed."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".part.{path.name}")
        try:
            yield partial
            digest = _digest(partial)
            with self._lock, (self.folder / RECORD).open("a", encoding="utf-8") as record:
                record.write(_line(name, digest))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        with self._lock:
            self._digests[name].add(digest)
            self._latest[name] = digest

    def close(self) -> None:
        """Forget what the files of this run were before it."""
        known = self._digests | {name: {digest} for name, digest in self._latest.items()}
        lines = [_line(name, digest) for name in sorted(known) for digest in sorted(known[name])]
        partial = self.folder / f".part{RECORD}"
        partial.write_text("".join(lines), encoding="utf-8")
        partial.replace(self.folder / RECORD)


class Records:
    """The records in the folders above some files, each read once."""

    def __init__(self) -> None:
        self._found: dict[Path, Written] = {}

    def name(self, path: Path) -> bool:
        """Whether `predict` wrote the file as it stands."""
        absolute = path.absolute()
        for folder in absolute.parents:
            written = self._found.get(folder) or self._found.setdefault(folder, Written(folder))
            if written.owns(absolute.relative_to(folder).as_posix()):
                return True
        return False


def _recorded(path: Path) -> dict[str, set[str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    except (OSError, UnicodeDecodeError):
        return {}
    found = defaultdict[str, set[str]](set)
    for line in lines:
        try:
            entry = json.loads(line)
            found[str(entry["name"])].add(str(entry["sha256"]))
        except (ValueError, LookupError, TypeError):  # the last line, cut short by a crash
            continue
    return found


def _line(name: str, digest: str) -> str:
    return json.dumps({"name": name, "sha256": digest}) + "\n"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
