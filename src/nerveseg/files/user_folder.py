"""Which files in a user's folder `predict` wrote: it replaces no others, and no command takes them for frames or annotations.

Names do not tell: `x_mask.png` may be an annotation, and a corrected prediction belongs to whoever corrected it. So
`.nerveseg-written.jsonl` in the folder records the path and SHA-256 of each file, and the file that it was made from. A line is
added before its file appears, so the next run knows every file of a run that was killed.
"""

import hashlib
import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nerveseg.files.atomic import write_text

RECORD = ".nerveseg-written.jsonl"


class Written:
    """The files that `predict` wrote, by their paths below `folder`. Threads may write several at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._digests, self._sources = defaultdict[str, set[str]](set), dict[str, str]()
        for name, digest, source in _recorded(folder / RECORD):
            self._digests[name].add(digest)
            self._sources[name] = source
        self._latest: dict[str, str] = {}
        self._lock, self._may_be_linked = threading.Lock(), True

    def owns(self, name: str) -> bool:
        """Return whether the file is unchanged since it was written."""
        path = self.folder / name
        try:
            return name in self._digests and _digest(path) in self._digests[name]
        except OSError:
            return False

    def foreign(self, names: Iterable[str]) -> list[str]:
        """Return those of these files that exist and that somebody else wrote or changed."""
        there = (name for name in names if os.path.lexists(self.folder / name))
        return [name for name in there if not self.owns(name)]

    def of_another(self, name: str, source: Path) -> str:
        """Return the source of the file that is there, if that is another one which still exists, else ''."""
        other = self._sources.get(name, "")
        there = other and os.path.lexists(self.folder / name) and os.path.exists(other)  # noqa: PTH110
        return other if there and not os.path.samefile(source, other) else ""  # noqa: PTH121

    @contextmanager
    def new(self, name: str, source: Path | None = None) -> Iterator[Path]:
        """Yield a temporary path to write to. The file appears at the end, or not at all after an error."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".part.{path.name}")  # the suffix decides on the format
        try:
            yield partial
            digest, made_from = _digest(partial), str(source.absolute()) if source else ""
            with self._lock:
                if self._may_be_linked:  # into DVC's cache, which must not change
                    self.close()
                    self._may_be_linked = False
                with (self.folder / RECORD).open("a", encoding="utf-8") as record:
                    record.write(_line(name, digest, made_from))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        with self._lock:
            self._digests[name].add(digest)
            self._latest[name] = digest
            self._sources[name] = made_from

    def close(self) -> None:
        """Forget earlier versions of the files that this run wrote."""
        known = self._digests | {name: {digest} for name, digest in self._latest.items()}
        lines = [_line(name, digest, self._sources[name]) for name in sorted(known) for digest in sorted(known[name])]
        write_text(self.folder / RECORD, "".join(lines))


class Records:
    """The records in all folders above some files, each read once."""

    def __init__(self) -> None:
        self._found: dict[Path, Written] = {}

    def name(self, path: Path) -> bool:
        """Return whether `predict` wrote the file as it is."""
        absolute = path.absolute()
        for folder in absolute.parents:
            written = self._found.get(folder) or self._found.setdefault(folder, Written(folder))
            if written.owns(absolute.relative_to(folder).as_posix()):
                return True
        return False


def _recorded(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield name, digest and source of each entry."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        try:
            entry = json.loads(line)
            yield str(entry["name"]), str(entry["sha256"]), str(entry.get("source", ""))
        except (ValueError, LookupError, TypeError):  # the last line, cut off by a crash
            continue


def _line(name: str, digest: str, source: str) -> str:
    return json.dumps({"name": name, "sha256": digest, "source": source}) + "\n"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
