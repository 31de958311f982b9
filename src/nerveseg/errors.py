"""Mistakes of a user, told in one sentence instead of a traceback.

Each message names the file or key, what was found, what was expected and what to do.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class NervesegError(Exception):
    """Base of every error that a user can mend; stages and the command line print it without a traceback."""


class ParamsError(NervesegError):
    """`params.yaml` is missing, unreadable, or holds an unknown key or an impossible value."""


class DatasetError(NervesegError):
    """A data set, a frame or a mask cannot be used."""


class BadFileError(DatasetError):
    """One file cannot be used: `reason` is what was found against what was expected, `remedy` what its owner can do."""

    def __init__(self, path: object, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {reason}; {remedy}")
        self.path, self.reason, self.remedy = path, reason, remedy

    def __reduce__(self) -> tuple[type, tuple[object, str, str]]:
        return type(self), (self.path, self.reason, self.remedy)


class RepositoryError(NervesegError):
    """Git cannot say what it was asked: it is missing, refuses, or there is no such thing in the repository."""


class ComparisonError(NervesegError):
    """Two models were not scored on the same test frames, or one not at all: which is better cannot be said."""


class ModelError(NervesegError):
    """A model cannot be built, loaded or trained as asked."""


class TrackingError(NervesegError):
    """The MLflow store cannot be used as asked."""


class StoreUnreachableError(TrackingError):
    """The MLflow store does not answer, which may pass."""


class ServingError(NervesegError):
    """A model cannot be served as asked."""


@contextmanager
def told_plainly() -> Iterator[None]:
    """End the process with exit code 1 and the message alone where a user's mistake stopped the work."""
    try:
        yield
    except NervesegError as error:
        sys.exit(f"error: {error}")
