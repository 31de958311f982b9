"""Delivers journals to MLflow, in a process of its own beside the stage that writes one: the stage waits for nothing.

`python -m nerveseg.tracking.delivery JOURNAL EXPERIMENT EXECUTION` delivers what waits, and then the stage's journal as it grows.
Its input ends with the stage, however that ends; it sends the rest then and goes. What it has to say are lines of JSON. It does
not end with the stage, so that a large file is sent while the next stage runs already.
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
from nerveseg.tracking.store import open_store, store_uri
from nerveseg.tracking.store_errors import is_final, reason_of, store_errors
from nerveseg.tracking.verdict import SLOW, Verdict, forget

ANSWER = 5.0  # seconds for which a stage waits for an answer, when it begins and when it ends
_REQUEST = 15.0  # seconds for a message
BYTES_PER_SECOND = 250_000  # of files, at least
OPENING = 60.0  # seconds, in which the tables of a new database are made as well
_LOOK = 0.3  # seconds between two looks at a journal that grows

Say = Callable[[dict[str, Any]], None]


class _Overdue(BaseException):
    """Passes by those who catch every Exception and try again."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise StoreUnreachableError where the block takes longer; a server that sends a byte now and then would hold us for ever."""

    def ring(*_: object) -> None:
        raise _Overdue

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    except _Overdue:
        raise StoreUnreachableError(f"no answer within {seconds:.0f} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def patience_for(uri: str) -> float:
    """Seconds for which a stage waits for an answer; a database answers or fails by itself, though a busy machine takes its time."""
    return ANSWER if uri.startswith(("http", "databricks")) else OPENING


def deliver(journal: Journal, sender: Sender, say: Say = lambda _: None) -> int:
    """Send what is new in a journal, and return how many messages that were.

    Raises:
        StoreUnreachableError: the store does not answer.
    """
    already, new = journal.sent, 0
    for number, message in journal.unread():
        if number < already and message.kind != "run":  # that one tells the sender which run is meant
            continue
        uploading = _size(message.files) / BYTES_PER_SECOND
        say({"patience": patience_for(sender.uri) + uploading})
        try:
            _check_readable(message.files)
            with within(_REQUEST + uploading):
                sender.send(message)
        except store_errors() as error:
            if not is_final(error):
                raise StoreUnreachableError(reason_of(error)) from error
            journal.refuse(number, reason_of(error))
        except StoreUnreachableError:
            raise
        except Exception as error:  # noqa: BLE001 - a message that nothing can be made of, whatever that raises
            lacks = f"it has no {error}" if isinstance(error, KeyError) else reason_of(error)
            journal.refuse(number, damaged(f"a message of the kind {message.kind!r} cannot be sent ({lacks}): it"))
        new += number >= already
        journal.sent = max(already, number + 1)
        say({"sent": number + 1})
    return new


def deliver_waiting(sender: Sender, before: str = "~", say: Say = lambda _: None) -> tuple[int, Counter[str]]:
    """Deliver the journals that no other process writes or delivers, up to the name `before`.

    Returns:
        How many arrived whole, and why others were set aside, counted.

    Raises:
        StoreUnreachableError: the store does not answer.
    """
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
            journal.release()
    return arrived, refused


def follow(journal: Journal, experiment: str, execution: str, ended: threading.Event, say: Say) -> None:
    """Deliver a journal until its stage has ended and all is sent, or the store does not answer then.

    Raises:
        TrackingError: the store cannot be used as it is set up.
    """
    verdict, began = Verdict.read(execution), time.monotonic()

    def step(said: dict[str, Any]) -> None:
        nonlocal began
        began = time.monotonic()  # for how long the store did well before says nothing about how long it fails
        say(said)

    while True:
        if ended.wait(verdict.wait) and verdict.wait and verdict.took > SLOW:
            return
        import mlflow  # noqa: F401 - seconds on a busy machine, that are not the store's

        over = ended.is_set()
        try:
            patience = patience_for(store_uri(repository_root()))
            step({"patience": patience})
            with within(max(patience, _REQUEST)):
                sender = Sender(open_store(experiment))
            _deliver_while_it_grows(journal, sender, execution, ended, step)
        except Exception as error:  # also what MLflow makes of an answer by something else than its server
            if isinstance(error, TrackingError) and not isinstance(error, StoreUnreachableError):
                raise
            verdict = Verdict.read(execution).failed(execution, time.monotonic() - began)
            say({"silent": reason_of(error)})
            if over:
                return
            journal = _again(journal)
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


def _again(journal: Journal) -> Journal:
    """The same from its beginning: its runs are new to the next sender."""
    journal.release()
    fresh = Journal(journal.folder)
    fresh.take(being_written=True)
    return fresh


def _check_readable(files: Path) -> None:
    """Raises OSError: what goes with a message is gone, or belongs to another."""
    if files == NO_FILES:
        return
    for path in [files, *files.rglob("*")] if files.is_dir() else [files]:
        if not path.is_dir():
            path.open("rb").close()


def _size(files: Path) -> int:
    if files == NO_FILES:
        return 0
    with suppress(OSError):
        return sum(path.stat().st_size for path in [files, *files.rglob("*")] if path.is_file())
    return 0


def main() -> None:
    folder, experiment, execution = sys.argv[1:]
    spoken, ended = os.dup(1), threading.Event()
    with Path(os.devnull).open("w") as nowhere:  # what libraries print is nobody's
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
    os._exit(0)  # a thread that a library left with a hanging server is not waited for


if __name__ == "__main__":
    main()
