"""Which sources of a prediction are finished, so that an interrupted run resumes, and whose files are being written."""

import errno
import json
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Self

from nerveseg.errors import BadFileError

IN_FLIGHT = 256  # files that may be in the making at a time, besides those of one source
Row = dict[str, Any]
State = list[int]  # of a file: size and time of change


class Journal:
    """A file with a line for the predictor and one for each finished source."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._done = path, dict[str, tuple[State, list[Row]]]()
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        whole = [{"predictor": identity}]
        if lines and _parsed(lines[0]) == whole[0]:
            entries = [entry for line in lines[1:] if (entry := _parsed(line))]
            self._done = {entry["file"]: (entry["state"], entry["rows"]) for entry in entries}
            whole += entries
        path.write_text("".join(f"{json.dumps(entry)}\n" for entry in whole), encoding="utf-8")

    def rows(self, path: Path) -> list[Row] | None:
        """Return those of a source that was finished and did not change since, else None."""
        state, rows = self._done.get(str(path), (None, None))
        return rows if state == state_of(path) else None

    def add(self, path: Path, state: State, rows: list[Row]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"file": str(path), "state": state, "rows": rows}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        self._path.unlink()


class Writing:
    """Sources whose files threads are writing; once its files are written, a source goes into the journal, in order.

    `rows` are those of finished sources, `failed` says why others failed. The context waits for all files at its end, also
    after an error or Ctrl-C, so that nothing is predicted twice.
    """

    def __init__(self, journal: Journal) -> None:
        self.threads = ThreadPoolExecutor(os.cpu_count())
        self.rows: dict[Path, list[Row]] = {}
        self.failed: dict[Path, BadFileError] = {}
        self._journal, self._open = journal, deque[tuple[Path, State, list[Row], list[Future[None]]]]()

    def add(self, path: Path, state: State, rows: list[Row], files: list[Future[None]]) -> None:
        self._open.append((path, state, rows, files))
        while len(self._open) > 1 and sum(len(waiting) for *_, waiting in self._open) > IN_FLIGHT:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        path, state, rows, files = self._open.popleft()
        wait(files)
        try:
            for file in files:
                file.result()
        except BadFileError as error:
            self.failed[path] = BadFileError(path, error.reason, error.remedy)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            self.failed[path] = BadFileError(path, "the names of its predictions are too long", "shorten its name")
        else:
            self._journal.add(path, state, rows)
            self.rows[path] = rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            while self._open:
                self._finish_oldest()
        finally:
            self.threads.shutdown(cancel_futures=True)


def _parsed(line: str) -> dict[str, Any]:
    """Return the entry in a line of the journal; empty if the line was cut off."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def state_of(path: Path) -> State:
    """Return the state of a file, empty if it is gone."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
