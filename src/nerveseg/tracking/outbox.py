"""The messages of a stage to MLflow: a journal on disk, which a process beside the stage delivers (`delivery`).

No failure of the store, the journal or that process stops or delays the stage; each kind of failure costs an execution one
warning. Messages that are not delivered when the stage ends wait on disk for the next stage, or for `nerveseg sync`.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

import nerveseg
from nerveseg.errors import StoreUnreachableError, TrackingError
from nerveseg.repository import repository_root
from nerveseg.tracking.delivery import ANSWER, OPENING, deliver_waiting, patience_for, within
from nerveseg.tracking.journal import ASIDE, FOLDER, Journal, aside, bring_back
from nerveseg.tracking.messages import NO_FILES, Message, Sender
from nerveseg.tracking.store import open_store, store_uri
from nerveseg.tracking.store_errors import failing_clearly, public, settle_environment
from nerveseg.tracking.verdict import SLOW, Verdict, first_to_say, forget

_NO_ANSWER = f"no answer within {ANSWER:.0f} s"
_STARTING = 60.0  # seconds until the process beside the stage reports; it imports MLflow
_LOG = logging.getLogger(__name__)

Fill = Callable[[Path], Path]


class Outbox:
    """Take the messages of a stage, called `name`. No method fails if the store or the disk does.

    One stage of an `execution` warns for all. Raise TrackingError if the store cannot be used as it is set up, and
    StoreUnreachableError if it is `required` and does not answer.
    """

    def __init__(self, experiment: str, name: str, execution: str, *, required: bool) -> None:
        settle_environment()
        self._name, self._execution = name, execution
        self._uri = public(store_uri(repository_root()))
        self._one_at_a_time = threading.RLock()  # system metrics come from their own thread
        self._folders = self._written = self._sent = 0
        self._said: set[str] = set()
        self._until = time.monotonic() + _STARTING
        if required:
            forget(execution)
        self._silent = Verdict.read(execution).wait > 0
        self._answered, self._answer = threading.Event(), {"silent": _NO_ANSWER}
        self._journal: Journal | None = None
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._journal = Journal.fresh(name)
            self._process = self._started(self._journal, experiment)
            self._listener = threading.Thread(target=self._listen, args=[self._process.stdout], daemon=True)
            self._listener.start()
        except OSError as error:
            self.keeps_failing(error)
        if self._process and not self._silent:
            self._await_answer(required=required)
        self._answered.set()

    def send(self, message: Message, fill: Fill | None = None) -> None:
        """Append a message. `fill` writes its files into a folder, returns their path, and may raise anything."""
        with self._one_at_a_time:
            if self._journal is None:
                return
            try:
                self._folders += 1
                files = fill(self._journal.place_for(self._folders)) if fill else NO_FILES
                self._journal.append(replace(message, files=files))
                self._written += 1
            except OSError as error:
                if error.errno is None and not isinstance(error, shutil.Error):  # not of the disk: MLflow's
                    raise
                self.keeps_failing(error)

    def settle(self) -> None:
        """Wait until all messages are delivered, as long as the store answers."""
        self._be_patient()
        while self._process and self._process.poll() is None and self._sent < self._written:
            if self._silent or time.monotonic() > self._until:
                return
            time.sleep(0.05)

    def close(self) -> None:
        """Wait like `settle`, and leave the rest to others."""
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._be_patient()
            while self._process.poll() is None and time.monotonic() < self._until:
                if self._silent and Verdict.read(self._execution).took > SLOW:
                    break
                time.sleep(0.02)
            if self._process.poll() is None and not self._silent and self._sent == 0:
                self._warn_silent(_NO_ANSWER)
            elif self._process.poll() is not None:
                self._listener.join()
        if self._journal:
            self._journal.writing.release()

    def _be_patient(self) -> None:
        """Count the patience from now; the last report may be an epoch old."""
        self._until = max(self._until, time.monotonic() + patience_for(self._uri))

    def warn(self, what: str, text: str) -> None:
        """Warn once in an execution."""
        if what not in self._said and first_to_say(self._execution, what):
            _LOG.warning(text)
        self._said.add(what)

    def keeps_failing(self, error: Exception) -> None:
        told = f"MLflow will not get all of {self._name}, since {FOLDER} cannot be written ({error}); the work goes on"
        self.warn("disk", f"{told}: make room there, or make it writable")

    def _await_answer(self, *, required: bool) -> None:
        # The process that asks gives up first, unless it waits for the system, as for the address of a host.
        while not self._answered.wait(0.05) and time.monotonic() < self._until + 1:
            pass
        if not self._answered.is_set():
            Verdict.read(self._execution).failed(self._execution, ANSWER)
            self._answered.set()
        if "wrong" in self._answer:
            self._discard()
            raise TrackingError(self._answer["wrong"])
        if reason := self._answer.get("silent"):
            if required:
                self._discard()
                told = f"MLflow's store {self._uri} cannot be used ({reason})"
                raise StoreUnreachableError(self._answer.get("error") or told)
            self._silent = True
            self._warn_silent(reason)

    def _discard(self) -> None:
        if self._process and self._journal:
            self._process.kill()
            self._process.wait()
            self._journal.writing.release()
            self._journal.finish()

    def _warn_silent(self, reason: str) -> None:
        self.warn(
            "silent",
            f"MLflow's store {self._uri} does not answer ({reason}); the work goes on, and the messages are kept in {FOLDER} "
            "and sent when it is back, by a running stage or by `nerveseg sync`",
        )

    def _started(self, journal: Journal, experiment: str) -> "subprocess.Popen[bytes]":
        root = repository_root()
        path = [str(Path(nerveseg.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
        return subprocess.Popen(
            [sys.executable, "-m", "nerveseg.tracking.delivery", str(journal.folder), experiment, self._execution],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd=root,  # DVC may remove an experiment's copy of the repository before this ends
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "DVC_ROOT": str(root)},
            start_new_session=True,  # Ctrl-C ends the stage alone; its last messages are still to be sent
        )  # fmt: skip

    def _listen(self, lines: IO[bytes]) -> None:
        for line in lines:
            said = json.loads(line)
            self._until = time.monotonic() + said.get("patience", patience_for(self._uri))
            if sent := said.get("sent"):
                self._sent, self._silent = sent, False
            if refused := said.get("refused"):
                self.warn("refused", f"MLflow did not get everything: {refusals(Counter(refused))}")
            if not self._answered.is_set() and said.keys() & {"answers", "silent", "wrong"}:
                self._answer = said
                self._answered.set()
            elif "silent" in said:
                self._silent = True
                self._warn_silent(said["silent"])
            elif "wrong" in said:
                self.warn("wrong", said["wrong"])
        self._answered.set()


def refusals(reasons: Counter[str]) -> str:
    """Return reasons why something was set aside, and where it is."""
    listed = "; ".join(f"{reason} ({count} times)" if count > 1 else reason for reason, count in reasons.items())
    place = FOLDER / ASIDE if aside() else FOLDER
    return f"{listed}; it is kept in {place}, and `nerveseg sync` tries it again"


def sync(experiment: str) -> tuple[int, Counter[str]]:
    """Deliver all journals on disk, or raise TrackingError; return how many arrived whole, and why others did not."""
    with failing_clearly(store_uri(repository_root())):
        with within(OPENING):
            store = open_store(experiment)
        kept = bring_back()
        silent: BaseException | None = None
        try:
            arrived, refused = deliver_waiting(Sender(store))
        except StoreUnreachableError as error:
            silent = error.__cause__ or error
        if silent:  # raised here, to be told with the address and a remedy
            raise silent
        return arrived, kept + refused
