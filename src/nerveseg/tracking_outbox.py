"""The way of messages to MLflow: at once where its store answers, and over a journal on disk where it does not.

A journal is delivered when the store is back: by its own process, by the next stage, or by `nerveseg sync`. What the store
refuses for good is told and left out.
"""

import logging
import threading
import time
from collections import Counter

from nerveseg.errors import StoreUnreachableError, TrackingError
from nerveseg.repository import repository_root
from nerveseg.tracking_journal import FOLDER, Journal, deliver_journals, journals, refusals
from nerveseg.tracking_messages import Message, Sender, is_final
from nerveseg.tracking_store import failing_clearly, open_store, public, reason_of, store_errors, store_uri

PATIENCE = 30.0  # seconds between two tries of a store that did not answer
_LOG = logging.getLogger(__name__)


class Outbox:
    """Where a stage puts its messages; none of its methods fails where the store does.

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
        self._experiment, self._name, self._execution = experiment, name, execution
        self._runs: list[Message] = []  # every journal begins with them
        self._written, self._next_try = 0, 0.0
        self._refused = False
        self._one_at_a_time = threading.RLock()  # system metrics come from a thread of their own
        self._way: Sender | Journal
        try:
            self._way = Sender(open_store(experiment))
            self._tell_refused(deliver_journals(self._way)[1])
        except StoreUnreachableError as error:
            if required:
                raise
            self._way = self._fallen_back(error)
        except store_errors() as error:
            self._way = self._fallen_back(error)

    def send(self, message: Message) -> None:
        with self._one_at_a_time:
            if message.kind == "run":
                self._runs.append(message)
            if isinstance(self._way, Sender):
                self._way = self._sent(self._way, message)
                return
            self._write(self._way, message)
            if time.monotonic() >= self._next_try:
                self._way = self._tried_again(self._way)

    def close(self) -> None:
        with self._one_at_a_time:
            if isinstance(self._way, Journal):
                self._way = self._tried_again(self._way)
            if isinstance(self._way, Journal):
                self._way.release()

    def _sent(self, sender: Sender, message: Message) -> Sender | Journal:
        try:
            sender.send(message)
        except store_errors() as error:
            if not is_final(error):
                journal = self._fallen_back(error)
                if message not in self._runs:
                    self._write(journal, message)
                return journal
            self._tell_refused(Counter([reason_of(error)]))
        return sender

    def _fallen_back(self, error: BaseException) -> Journal:
        told = any(next(each.messages(), Message("", "")).run == self._execution for each in journals())
        journal = Journal.fresh(self._name)
        self._written, self._next_try = 0, time.monotonic() + PATIENCE
        if not told:
            _LOG.warning(
                "MLflow's store %s does not answer (%s); the work goes on, and what there is to tell is kept in %s and "
                "sent when it is back: by the work that is running then, or by `nerveseg sync`",
                public(store_uri(repository_root())),
                reason_of(error),
                FOLDER,
            )
        for message in self._runs:
            self._write(journal, message)
        return journal

    def _write(self, journal: Journal, message: Message) -> None:
        journal.append(message, self._written)
        self._written += 1

    def _tried_again(self, journal: Journal) -> Sender | Journal:
        self._next_try = time.monotonic() + PATIENCE
        try:
            sender = Sender(open_store(self._experiment))
            _, refused = deliver_journals(sender, before=journal.folder.name)
            self._tell_refused(refused + journal.deliver(sender))
        except TrackingError:
            return journal
        except store_errors():
            return journal
        return sender

    def _tell_refused(self, reasons: Counter[str]) -> None:
        if reasons and not self._refused:
            self._refused = True
            _LOG.warning("MLflow refused a part of what %s told it: %s", self._name, refusals(reasons))


def sync(experiment: str) -> tuple[int, Counter[str]]:
    """Deliver what waits on disk.

    Returns:
        How many stages it was of, and how often the store refused something, by its reason.

    Raises:
        TrackingError: the store cannot be used; what was not delivered waits on.
    """
    store = open_store(experiment)
    with failing_clearly(store.uri):
        return deliver_journals(Sender(store))
