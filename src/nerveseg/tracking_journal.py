"""Messages to MLflow that wait on disk.

A journal is a folder of `.nerveseg/outbox/` at the repository's root, named after the time and the stage: `messages.jsonl`
has a message a line, `files/` what goes with them, `sent` how many were delivered. It is delivered in order, and a
process that writes or delivers it holds its lock.
"""

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from nerveseg.outputs import write_text
from nerveseg.repository import repository_root
from nerveseg.tracking_messages import NO_FILES, Message, Sender, is_final
from nerveseg.tracking_store import reason_of, store_errors

FOLDER = Path(".nerveseg/outbox")


class Journal:
    """Messages on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "messages.jsonl"
        self._lock = FileLock(folder / "lock", timeout=0)

    @classmethod
    def fresh(cls, name: str) -> "Journal":
        """A new one, locked."""
        folder = repository_root() / FOLDER / f"{time.time_ns()}-{name}-{os.getpid()}"
        folder.mkdir(parents=True)
        journal = cls(folder)
        journal.lock()
        return journal

    def lock(self) -> bool:
        """Whether no other process has it."""
        try:
            self._lock.acquire()
        except Timeout:
            return False
        return True

    def release(self) -> None:
        self._lock.release()

    def append(self, message: Message, number: int) -> None:
        """Its files are copied, and the message is there when they are."""
        files = NO_FILES
        if message.files != NO_FILES:
            files = Path("files") / str(number) / message.files.name
            (self.folder / files).parent.mkdir(parents=True)
            (shutil.copytree if message.files.is_dir() else shutil.copy2)(message.files, self.folder / files)
        line = json.dumps(
            {
                "kind": message.kind,
                "run": message.run,
                "content": message.content,
                "files": files.as_posix(),
            }
        )
        with self._file.open("a", encoding="utf-8") as journal:
            journal.write(line + "\n")
            journal.flush()
            os.fsync(journal.fileno())

    def messages(self) -> Iterator[Message]:
        """All, delivered or not; a line that a killed process left half-written is none."""
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:  # delivered meanwhile
            return
        for line in lines:
            if line.endswith("\n"):
                read = json.loads(line)
                files = Path(read["files"])
                yield Message(**read | {"files": files if files == NO_FILES else self.folder / files})

    def deliver(self, sender: Sender) -> Counter[str]:
        """Send what was not, and remove the journal; reasons for which the store refused messages for good, counted.

        It fails as MLflow and its libraries do where the store does not answer, and keeps the rest then.
        """
        refused: Counter[str] = Counter()
        sent = self.folder / "sent"
        already = int(sent.read_text(encoding="utf-8")) if sent.is_file() else 0
        for number, message in enumerate(self.messages()):
            if number < already and message.kind != "run":  # that one tells the sender which run is meant
                continue
            try:
                sender.send(message)
            except store_errors() as error:
                if not is_final(error):
                    raise
                refused[reason_of(error)] += 1
            write_text(sent, str(max(already, number + 1)))
        self.remove()
        return refused

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()


def journals() -> list[Journal]:
    """In the order in which they were begun."""
    return [Journal(folder) for folder in sorted((repository_root() / FOLDER).glob("*-*")) if folder.is_dir()]


def deliver_journals(sender: Sender, before: str = "~") -> tuple[int, Counter[str]]:
    """Deliver those that no process holds, up to the name `before`; how many, and for what messages were refused."""
    done, refused = 0, Counter[str]()
    for journal in journals():
        if journal.folder.name < before and journal.lock():
            try:
                refused += journal.deliver(sender)
                done += 1
            finally:
                journal.release()
    return done, refused


def refusals(reasons: Counter[str]) -> str:
    return "; ".join(f"{reason} ({count} times)" if count > 1 else reason for reason, count in reasons.items())
