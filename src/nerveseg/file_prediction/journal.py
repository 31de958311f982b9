"""What is done of a prediction (`prediction_files`): sources whose files stand, so that a run that was interrupted goes on with the
others, and those whose files threads are still writing. What was written at all, by this run and earlier ones, is in `user_folder`.
"""

import json
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

IN_FLIGHT = 256  # frames whose files are being written, at most, beside those of one source
Row = dict[str, Any]


class Journal:
    """A line for the predictor, and one for each source that is done, with its size and time of change."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._done = path, dict[str, tuple[list[int], list[Row]]]()
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        if lines and _parsed(lines[0]) == {"predictor": identity}:
            entries = (_parsed(line) for line in lines[1:])
            self._done = {entry["file"]: (entry["state"], entry["rows"]) for entry in entries if entry}
            whole = [{"predictor": identity}, *(entry for line in lines[1:] if (entry := _parsed(line)))]
        else:
            whole = [{"predictor": identity}]
        path.write_text("".join(f"{json.dumps(entry)}\n" for entry in whole), encoding="utf-8")

    def knows(self, path: Path) -> bool:
        return self._done.get(str(path), ([], []))[0] == _state(path)

    def add(self, path: Path, rows: list[Row]) -> None:
        self._done[str(path)] = _state(path), rows
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"file": str(path), "state": _state(path), "rows": rows}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rows(self, path: Path) -> list[Row]:
        return self._done.get(str(path), ([], []))[1]

    def remove(self) -> None:
        self._path.unlink()


class Writing:
    """Sources whose files threads are writing; they come into the journal in their order, once their files stand.

    At its end it waits for all of them, after an error and Ctrl-C as well: what was predicted is not done again.
    """

    def __init__(self, journal: Journal) -> None:
        self.threads = ThreadPoolExecutor(os.cpu_count())
        self._journal, self._open = journal, deque[tuple[Path, list[Row], list[Future[None]]]]()

    def add(self, path: Path, rows: list[Row], files: list[Future[None]]) -> None:
        self._open.append((path, rows, files))
        while len(self._open) > 1 and sum(len(waiting) for _, waiting, _ in self._open) > IN_FLIGHT:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        path, rows, files = self._open.popleft()
        for file in files:
            file.result()
        self._journal.add(path, rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            while self._open:
                self._finish_oldest()
        finally:
            self.threads.shutdown(cancel_futures=True)


def _parsed(line: str) -> dict[str, Any]:
    """What a line of the journal says; nothing where it was cut off."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]
