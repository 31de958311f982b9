"""Messages to MLflow, on disk.

A journal is a folder in `.nerveseg/outbox/` at the repository's root, named after the time and the stage. `messages.jsonl`
has one message a line, `files/` the files of messages, `sent` the number of delivered messages. The stage that writes the
journal locks `writing`, the process that delivers it locks `delivering`. Journals are independent: messages that MLflow
refuses, or that cannot be read, move to `set-aside/` with the reason, and the next journal is delivered.
"""

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nerveseg.files.atomic import write_text
from nerveseg.repository import repository_root
from nerveseg.tracking.messages import KINDS, NO_FILES, Message

FOLDER = Path(".nerveseg/outbox")
ASIDE = "set-aside"
_REASONS = "reasons.json"


class Journal:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "messages.jsonl"
        self.writing, self.delivering = (FileLock(folder / name, timeout=0) for name in ("writing", "delivering"))
        self._read = self._number = 0  # bytes and lines that `unread` has returned
        self._refused: dict[int, str] = {}

    @classmethod
    def fresh(cls, name: str) -> "Journal":
        """Create a journal, for this process to write."""
        folder = repository_root() / FOLDER / f"{time.time_ns()}-{name}-{os.getpid()}"
        folder.mkdir(parents=True)
        journal = cls(folder)
        journal.writing.acquire()
        return journal

    def take(self, *, being_written: bool = False) -> bool:
        """Try to lock the journal for delivery; fails if another process delivers it or, unless `being_written`, writes it."""
        try:
            self.delivering.acquire()
            if not being_written:
                self.writing.acquire()
                self.writing.release()
        except Timeout:
            self.delivering.release()
            return False
        return True

    def place_for(self, number: int) -> Path:
        folder = self.folder / "files" / str(number)
        folder.mkdir(parents=True)
        return folder

    def append(self, message: Message) -> None:
        """Add a message whose files are in the journal already."""
        content = {"kind": message.kind, "run": message.run, "content": message.content}
        files = message.files if message.files == NO_FILES else message.files.relative_to(self.folder)
        line = json.dumps(content | {"files": files.as_posix()}).encode() + b"\n"
        with self._file.open("ab") as journal:
            whole = journal.tell()
            try:
                journal.write(line)
                journal.flush()
                os.fsync(journal.fileno())
            except OSError:  # the disk may have taken a part of the line
                with suppress(OSError):
                    os.truncate(self._file, whole)
                raise

    def unread(self) -> Iterator[tuple[int, Message]]:
        """Yield each new message with its number; lines that are no messages are refused."""
        if not self._file.exists():  # nothing was written yet
            return
        with self._file.open("rb") as journal:
            journal.seek(self._read)
            for line in journal:
                if not line.endswith(b"\n"):  # it is being written, or its writer was killed
                    return
                self._read, number = self._read + len(line), self._number
                self._number += 1
                try:
                    read = json.loads(line)
                    files = Path(read["files"])
                    message = Message(**read | {"files": files if files == NO_FILES else self.folder / files})
                    known = message.kind in KINDS
                except (ValueError, TypeError, KeyError, RecursionError):
                    self.refuse(number, damaged(f"a line of {self._file.name}"))
                    continue
                if known:
                    yield number, message
                else:
                    self.refuse(number, damaged(f"a message of the kind {message.kind!r:.80}"))

    @property
    def sent(self) -> int:
        """Number of delivered messages; 0 if the count is lost or beyond the messages, since delivering one twice changes nothing."""
        try:
            count = int((self.folder / "sent").read_text(encoding="utf-8"))
            with self._file.open("rb") as journal:
                return count if count <= sum(1 for _ in journal) else 0
        except (OSError, ValueError):
            return 0

    @sent.setter
    def sent(self, count: int) -> None:
        with suppress(OSError):
            write_text(self.folder / "sent", str(count))

    def refuse(self, number: int, reason: str) -> None:
        """Leave a message out; `finish` sets it aside."""
        self._refused[number] = reason

    def finish(self) -> Counter[str]:
        """Remove the journal, or set aside its refused messages; return the reasons, counted."""
        reasons = Counter(self._refused.values())
        if self._refused:
            self._keep_refused()
            reasons = self.set_aside(reasons)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.delivering.release()
        return reasons

    def set_aside(self, reasons: Counter[str]) -> Counter[str]:
        """Move the journal to those set aside; return the reasons, and one more if it cannot be moved."""
        place = self.folder.parent / ASIDE / self.folder.name
        try:
            place.parent.mkdir(exist_ok=True)
            self.folder.rename(place)
        except OSError as error:
            return reasons + Counter([f"{FOLDER / ASIDE} cannot take it ({error.strerror or error})"])
        with suppress(OSError):
            write_text(place / _REASONS, json.dumps(reasons, indent=2) + "\n")
        return reasons

    def _keep_refused(self) -> None:
        """Keep the refused messages, and those that name their runs."""
        with suppress(OSError):
            lines = self._file.read_bytes().splitlines(keepends=True)
            kept = [line for n, line in enumerate(lines) if n in self._refused or b'"kind": "run"' in line[:20]]
            write_text(self._file, b"".join(kept).decode("utf-8", "replace"))
            (self.folder / "sent").unlink(missing_ok=True)


def damaged(what: str) -> str:
    """Return why this cannot be sent."""
    return f"{what} is damaged, or another version of nerveseg wrote it"


def journals() -> list[Journal]:
    """Return all journals that are not set aside, oldest first."""
    return [Journal(folder) for folder in sorted((repository_root() / FOLDER).glob("[0-9]*-*")) if folder.is_dir()]


def bring_back() -> Counter[str]:
    """Move journals that were set aside back to the others; return why some cannot be moved, counted."""
    reasons = Counter[str]()
    for folder in aside():
        try:
            (folder / _REASONS).unlink(missing_ok=True)
            folder.rename(folder.parents[1] / folder.name)
        except OSError as error:
            reasons[f"{folder.name} cannot be moved ({error.strerror or error}), check its owner and permissions"] += 1
    return reasons


def in_work() -> int:
    """Return how many journals other processes write or deliver."""
    count = 0
    for journal in journals():
        with suppress(OSError):
            count += not journal.take()
            journal.delivering.release()
    return count


def aside() -> list[Path]:
    """Return the folders of the journals that are set aside, oldest first."""
    return sorted((repository_root() / FOLDER / ASIDE).glob("[0-9]*-*"))
