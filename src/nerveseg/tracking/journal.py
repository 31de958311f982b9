"""Messages to MLflow, on disk.

A journal is a folder of `.nerveseg/outbox/` at the repository's root, named after the time and the stage: `messages.jsonl`
has a message a line, `files/` what goes with them, `sent` how many were delivered. The stage that writes it holds `writing`, and
who delivers it `delivering`. Journals do not depend on each other: what MLflow refuses of one, or what cannot be read of it, is
set aside in `set-aside/` with the reason, and the next one is delivered.
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
    """Messages on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "messages.jsonl"
        self._writing, self._delivering = (FileLock(folder / name, timeout=0) for name in ("writing", "delivering"))
        self._read = self._number = 0  # bytes and lines that `unread` has given
        self._refused: dict[int, str] = {}

    @classmethod
    def fresh(cls, name: str) -> "Journal":
        """A new one, for this process to write."""
        folder = repository_root() / FOLDER / f"{time.time_ns()}-{name}-{os.getpid()}"
        folder.mkdir(parents=True)
        journal = cls(folder)
        journal._writing.acquire()
        return journal

    def hand_over(self) -> None:
        """Nothing more is written."""
        self._writing.release()

    def take(self, *, being_written: bool = False) -> bool:
        """Whether this process may deliver it: no other does, or, unless `being_written`, writes it."""
        try:
            self._delivering.acquire()
            if not being_written:
                self._writing.acquire()
                self._writing.release()
        except Timeout:
            self._delivering.release()
            return False
        return True

    def release(self) -> None:
        self._delivering.release()

    def place_for(self, number: int) -> Path:
        """A new folder for what goes with a message."""
        folder = self.folder / "files" / str(number)
        folder.mkdir(parents=True)
        return folder

    def append(self, message: Message) -> None:
        """Its files lie in the journal already."""
        content = {"kind": message.kind, "run": message.run, "content": message.content}
        files = message.files if message.files == NO_FILES else message.files.relative_to(self.folder)
        line = json.dumps(content | {"files": files.as_posix()}).encode() + b"\n"
        with self._file.open("ab") as journal:
            whole = journal.tell()
            try:
                journal.write(line)
                journal.flush()
                os.fsync(journal.fileno())
            except OSError:  # what a full disk took of the line goes, so that the next one stands alone
                with suppress(OSError):
                    os.truncate(self._file, whole)
                raise

    def unread(self) -> Iterator[tuple[int, Message]]:
        """Each whole message once, with its number; what is no message is refused."""
        if not self._file.exists():  # nothing is written yet
            return
        with self._file.open("rb") as journal:
            journal.seek(self._read)
            for line in journal:
                if not line.endswith(b"\n"):  # being written, or left so by a killed process
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
        """How many were delivered; delivering one twice changes nothing, so that 0 does where the count is lost."""
        try:
            return int((self.folder / "sent").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0

    @sent.setter
    def sent(self, count: int) -> None:
        with suppress(OSError):
            write_text(self.folder / "sent", str(count))

    def refuse(self, number: int, reason: str) -> None:
        """Leave a message out, and set it aside at the end."""
        self._refused[number] = reason

    def finish(self) -> Counter[str]:
        """Remove it, or set aside what was refused of it; the reasons, counted."""
        reasons = Counter(self._refused.values())
        if self._refused:
            self._keep_refused()
            reasons = self.set_aside(reasons)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.release()
        return reasons

    def set_aside(self, reasons: Counter[str]) -> Counter[str]:
        """Move it out of the way of others; the reasons, with another where the disk does not let us."""
        aside = self.folder.parent / ASIDE / self.folder.name
        try:
            aside.parent.mkdir(exist_ok=True)
            self.folder.rename(aside)
        except OSError as error:
            return reasons + Counter([f"{FOLDER / ASIDE} cannot take it ({error.strerror or error})"])
        with suppress(OSError):
            write_text(aside / _REASONS, json.dumps(reasons, indent=2) + "\n")
        return reasons

    def _keep_refused(self) -> None:
        """Of the messages those that were refused, and those that say which runs they belong to."""
        with suppress(OSError):
            lines = self._file.read_bytes().splitlines(keepends=True)
            kept = [line for n, line in enumerate(lines) if n in self._refused or b'"kind": "run"' in line[:20]]
            write_text(self._file, b"".join(kept).decode("utf-8", "replace"))
            (self.folder / "sent").unlink(missing_ok=True)


def damaged(what: str) -> str:
    """Return why this cannot be sent."""
    return f"{what} is damaged, or another version of nerveseg wrote it"


def journals() -> list[Journal]:
    """In the order in which they were begun."""
    return [Journal(folder) for folder in sorted((repository_root() / FOLDER).glob("[0-9]*-*")) if folder.is_dir()]


def bring_back() -> Counter[str]:
    """Let what was set aside be tried once more; why a part cannot be, counted."""
    reasons = Counter[str]()
    for folder in sorted((repository_root() / FOLDER / ASIDE).glob("[0-9]*-*")):
        try:
            (folder / _REASONS).unlink(missing_ok=True)
            folder.rename(folder.parents[1] / folder.name)
        except OSError as error:
            reasons[f"{folder.name} cannot be moved ({error.strerror or error}), check its owner and permissions"] += 1
    return reasons


def in_work() -> int:
    """How many journals are being written or delivered."""
    count = 0
    for journal in journals():
        with suppress(OSError):
            count += not journal.take()
            journal.release()
    return count


def set_aside() -> int:
    """How many journals are."""
    return len(list((repository_root() / FOLDER / ASIDE).glob("[0-9]*-*")))
