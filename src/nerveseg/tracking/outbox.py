"""Where a stage puts its messages to MLflow: a journal on disk, which a process beside the stage delivers (`delivery`).

Nothing that befalls the store, the journal or that process fails the stage or holds it up: it costs a warning, the same of
them one in an execution. What is not delivered when the stage ends waits on disk for the next stage, or for `nerveseg sync`.
"""

import json
import logging
import os
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
from nerveseg.tracking.journal import ASIDE, FOLDER, Journal, bring_back, set_aside
from nerveseg.tracking.messages import NO_FILES, Message, Sender
from nerveseg.tracking.store import open_store, store_uri
from nerveseg.tracking.store_errors import failing_clearly, public, reason_of, store_errors
from nerveseg.tracking.verdict import SLOW, Verdict, first_to_say, forget

_STARTING = 60.0  # seconds until the process beside the stage speaks; it imports MLflow
_LOG = logging.getLogger(__name__)

Fill = Callable[[Path], Path]


class Outbox:
    """Where a stage puts its messages; none of its methods fails where the store or the disk does.

    Args:
        experiment: MLflow's, that takes the runs.
        name: of the stage.
        execution: key of the run that all stages of this execution share; one of them warns.
        required: whether a store that does not answer is an error.

    Raises:
        TrackingError: the store cannot be used as it is set up.
        StoreUnreachableError: it does not answer, and is required.
    """

    def __init__(self, experiment: str, name: str, execution: str, *, required: bool) -> None:
        self._name, self._execution = name, execution
        self._uri = public(store_uri(repository_root()))
        self._one_at_a_time = threading.RLock()  # system metrics come from a thread of their own
        self._folders = self._written = self._sent = 0
        self._said: set[str] = set()
        self._until = time.monotonic() + _STARTING
        self._silent = self._ask(experiment, required=required)
        self._journal: Journal | None = None
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._journal = Journal.fresh(name)
            self._process = self._started(self._journal, experiment)
            self._listener = threading.Thread(target=self._listen, args=[self._process.stdout], daemon=True)
            self._listener.start()
        except OSError as error:
            self.keeps_failing(error)

    def send(self, message: Message, fill: Fill | None = None) -> None:
        """Put a message into the journal.

        Args:
            message: without files.
            fill: writes what goes with it below a folder that is there, and returns its path.
        """
        with self._one_at_a_time:
            if self._journal is None:
                return
            try:
                self._folders += 1
                files = fill(self._journal.place_for(self._folders)) if fill else NO_FILES
                self._journal.append(replace(message, files=files))
                self._written += 1
            except store_errors() as error:  # of the disk, or of MLflow as it makes a model
                self.keeps_failing(error)

    def settle(self) -> None:
        """Wait until the store has what was sent, as long as it answers."""
        self._be_patient()
        while self._process and self._process.poll() is None and self._sent < self._written:
            if self._silent or time.monotonic() > self._until:
                return
            time.sleep(0.05)

    def close(self) -> None:
        """Wait until the store has it all, as long as it answers; what it does not get now waits."""
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._be_patient()
            while self._process.poll() is None and time.monotonic() < self._until:
                if self._silent and Verdict.read(self._execution).took > SLOW:
                    break
                time.sleep(0.02)
            if self._process.poll() is None and not self._silent and self._sent == 0:
                self._warn_silent(f"no answer within {ANSWER:.0f} s")
            elif self._process.poll() is not None:
                self._listener.join()
        if self._journal:
            self._journal.hand_over()

    def _be_patient(self) -> None:
        """From now on; what was heard last may be an epoch ago."""
        self._until = max(self._until, time.monotonic() + patience_for(self._uri))

    def warn(self, what: str, text: str) -> None:
        """Once in an execution."""
        if what not in self._said and first_to_say(self._execution, what):
            _LOG.warning(text)
        self._said.add(what)

    def keeps_failing(self, error: Exception) -> None:
        self.warn(
            "disk",
            f"a part of what {self._name} has to tell MLflow is lost, since {FOLDER} cannot take it ({error}); the work goes on: "
            "make room there, or make it writable",
        )

    def _ask(self, experiment: str, *, required: bool) -> bool:
        """Whether the store does not answer. A thread asks: nothing else ends a wait for one that sends a byte now and then."""
        if Verdict.read(self._execution).wait and not required:
            return True
        import mlflow  # noqa: F401 - a second, that is not the store's

        found: list[TrackingError | None] = []

        def ask() -> None:
            try:
                open_store(experiment)
                found.append(None)
            except TrackingError as error:
                found.append(error)
            except Exception as error:  # noqa: BLE001 - what MLflow makes of an answer that is not a server's of its own
                found.append(StoreUnreachableError(f"MLflow's store {self._uri} cannot be used ({reason_of(error)})"))

        began, thread = time.monotonic(), threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(patience_for(self._uri))
        reason = f"no answer within {ANSWER:.0f} s"
        error = found[0] if found else StoreUnreachableError(f"MLflow's store {self._uri} cannot be used ({reason})")
        if error is None:
            forget(self._execution)
            return False
        if required or not isinstance(error, StoreUnreachableError):
            raise error
        Verdict.read(self._execution).failed(self._execution, time.monotonic() - began)
        self._warn_silent(reason_of(error) if found else reason)
        return True

    def _warn_silent(self, reason: str) -> None:
        self.warn(
            "silent",
            f"MLflow's store {self._uri} does not answer ({reason}); the work goes on, and what there is to tell is kept in "
            f"{FOLDER} and sent when it is back: by the work that is running then, or by `nerveseg sync`",
        )

    def _started(self, journal: Journal, experiment: str) -> "subprocess.Popen[bytes]":
        root = repository_root()
        path = [str(Path(nerveseg.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
        return subprocess.Popen(
            [sys.executable, "-m", "nerveseg.tracking.delivery", str(journal.folder), experiment, self._execution],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=root,  # a copy of the repository that DVC made for an experiment may go before it
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "DVC_ROOT": str(root)},
            start_new_session=True,  # Ctrl-C ends the stage, whose last words are still to be sent
        )

    def _listen(self, lines: IO[bytes]) -> None:
        for line in lines:
            said = json.loads(line)
            self._until = time.monotonic() + said.get("patience", patience_for(self._uri))
            if sent := said.get("sent"):
                self._sent, self._silent = sent, False
            if "silent" in said:
                self._silent = True
                self._warn_silent(said["silent"])
            if refused := said.get("refused"):
                self.warn("refused", f"MLflow did not get everything: {refusals(Counter(refused))}")
            if "wrong" in said:
                self.warn("wrong", said["wrong"])


def refusals(reasons: Counter[str]) -> str:
    """Return reasons why something was set aside, and where it is."""
    listed = "; ".join(f"{reason} ({count} times)" if count > 1 else reason for reason, count in reasons.items())
    place = FOLDER / ASIDE if set_aside() else FOLDER
    return f"{listed}; it is kept in {place}, and `nerveseg sync` tries it again"


def sync(experiment: str) -> tuple[int, Counter[str]]:
    """Deliver what waits on disk, and what was set aside.

    Returns:
        Of how many stages everything arrived, and how often something was set aside, by reason.

    Raises:
        TrackingError: the store cannot be used; what was not delivered is kept.
    """
    with failing_clearly(store_uri(repository_root())):
        with within(OPENING):
            store = open_store(experiment)
        kept = bring_back()
        arrived, refused = deliver_waiting(Sender(store))
        return arrived, kept + refused
