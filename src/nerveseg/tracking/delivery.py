"""Deliver journals to MLflow, in a process beside the stage, so that the stage does not wait.

`python -m nerveseg.tracking.delivery JOURNAL EXPERIMENT EXECUTION` delivers waiting journals, and then the stage's journal as
it grows. Its standard input closes when the stage ends in any way; it then sends the rest, even while the next stage runs.
It reports on standard output, in lines of JSON.
"""

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nerveseg.errors import StoreUnreachableError, TrackingError
from nerveseg.repository import repository_root
from nerveseg.tracking.journal import Journal, damaged, journals
from nerveseg.tracking.messages import NO_FILES, Sender
from nerveseg.tracking.store import is_database, open_store, store_uri
from nerveseg.tracking.store_errors import failing_clearly, is_final, reason_of, store_errors
from nerveseg.tracking.verdict import SLOW, Verdict, forget

ANSWER = 5.0  # seconds that a stage waits for an answer, when it begins and when it ends
_REQUEST = 15.0  # seconds for a message
BYTES_PER_SECOND = 250_000  # of files, at least
OPENING = 60.0  # seconds; the tables of a new database are made in them
_LOOK = 0.3  # seconds between two looks at a journal that grows

Say = Callable[[dict[str, Any]], None]


class _Overdue(BaseException):
    """No Exception, so that code which catches all of those does not catch it and try again."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError if the block takes longer; a server that trickles bytes would block for ever."""

    def ring(*_: object) -> None:
        raise _Overdue(f"no answer within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    except _Overdue as error:
        raise TimeoutError(str(error)) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def patience_for(uri: str) -> float:
    """Return for how many seconds a stage waits; a database always answers or fails, but slowly on a busy machine."""
    return OPENING if is_database(uri) else ANSWER


def deliver(journal: Journal, sender: Sender, say: Say = lambda _: None) -> int:
    """Send what is new in a journal, and return how many messages; StoreUnreachableError if the store is away."""
    already, new = journal.sent, 0
    for number, message in journal.unread():
        if number < already and message.kind != "run":  # the sender needs these to know the runs
            continue
        try:
            uploading = _size(message.files) / BYTES_PER_SECOND
            say({"patience": patience_for(sender.uri) + uploading})
            with within(_REQUEST + uploading):
                sender.send(message)
        except store_errors() as error:
            if not is_final(error):
                raise StoreUnreachableError(reason_of(error)) from error
            journal.refuse(number, reason_of(error))
        except Exception as error:  # noqa: BLE001 - a damaged message may raise anything
            lacks = f"it has no {error}" if isinstance(error, KeyError) else reason_of(error)
            journal.refuse(number, damaged(f"a message of the kind {message.kind!r} cannot be sent ({lacks}): it"))
        new += number >= already
        journal.sent = max(already, number + 1)
        say({"sent": number + 1})
    return new


def deliver_waiting(sender: Sender, before: str = "~", say: Say = lambda _: None) -> tuple[int, Counter[str]]:
    """Deliver idle journals up to the name `before`; return how many arrived whole, and why others were set aside."""
    arrived, refused = 0, Counter[str]()
    for journal in journals():
        if journal.folder.name >= before:
            continue
        try:
            if not journal.take():
                continue
            new = deliver(journal, sender, say)
            reasons = journal.finish()
            refused += reasons
            arrived += bool(new and not reasons)
        except OSError as error:  # of its own files
            reason = Counter([f"{journal.folder.name} cannot be read ({error.strerror or error})"])
            refused += journal.set_aside(reason)
        finally:
            journal.delivering.release()
    return arrived, refused


def follow(journal: Journal, experiment: str, execution: str, ended: threading.Event, say: Say) -> None:
    """Deliver a journal to the end of its stage, unless the store is silent then, or raise TrackingError."""
    verdict, began = Verdict.read(execution), time.monotonic()

    def step(said: dict[str, Any]) -> None:
        nonlocal began
        began = time.monotonic()  # only the time since the last answer counts as failing
        say(said)

    while True:
        if ended.wait(verdict.wait) and verdict.wait and verdict.took > SLOW:
            return
        over = ended.is_set()
        try:
            import mlflow  # noqa: F401 - takes seconds on a busy machine, which are not the store's

            uri = store_uri(repository_root())
            patience = patience_for(uri)  # at first that of the stage, which waits for the answer
            step({"patience": patience})
            with failing_clearly(uri), within(max(patience, _REQUEST) if verdict.failures else patience):
                sender = Sender(open_store(experiment))
            say({"answers": True})
            _deliver_while_it_grows(journal, sender, execution, ended, step)
        except Exception as error:  # MLflow raises anything if another server answers
            if isinstance(error, TrackingError) and not isinstance(error, StoreUnreachableError):
                raise
            verdict = Verdict.read(execution).failed(execution, time.monotonic() - began)
            say({"silent": reason_of(error), "error": str(error) if isinstance(error, TrackingError) else ""})
            if over:
                return
            journal.delivering.release()
            journal = Journal(journal.folder)  # read from its beginning: the next sender does not know its runs
            journal.take(being_written=True)
        else:
            return


def _deliver_while_it_grows(journal: Journal, sender: Sender, execution: str, ended: threading.Event, say: Say) -> None:
    _, refused = deliver_waiting(sender, journal.folder.name, say)
    while True:
        over = ended.is_set()  # what is written before it is set is read below
        deliver(journal, sender, say)
        if refused:
            say({"refused": refused})
            refused = Counter()
        forget(execution)
        if over:
            say({"refused": journal.finish()})
            return
        ended.wait(_LOOK)


def _size(files: Path) -> int:
    """Return the bytes of a message's files; OSError if one is gone or belongs to another user."""
    size = 0
    if files != NO_FILES:
        for path in [files, *files.rglob("*")]:
            if not path.is_dir():
                with path.open("rb") as file:
                    size += file.seek(0, os.SEEK_END)
    return size


def main() -> None:
    folder, experiment, execution = sys.argv[1:]
    spoken, ended = os.dup(1), threading.Event()
    with Path(os.devnull).open("w") as nowhere:  # nobody reads what libraries print
        os.dup2(nowhere.fileno(), 1)

    def say(said: dict[str, Any]) -> None:
        with suppress(OSError):  # the stage may have ended
            os.write(spoken, json.dumps(said).encode() + b"\n")

    def listen() -> None:
        with suppress(OSError):
            sys.stdin.buffer.read()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    journal = Journal(Path(folder))
    if not journal.take(being_written=True):
        return
    try:
        follow(journal, experiment, execution, ended, say)
    except TrackingError as error:
        say({"wrong": str(error)})
    os._exit(0)  # a library's thread may still wait for a hanging server


if __name__ == "__main__":
    main()
