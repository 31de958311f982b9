"""Errors that a user sees as one sentence: the file or key, what was found, what was expected, and what to do."""

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from nerveseg.text.foreign_text import on_one_line, safe_terminal
from nerveseg.text.missing_packages import not_installed


class NervesegError(Exception):
    """Base of all errors that a user can fix; stages and the command line print them without a traceback."""


class ParamsError(NervesegError):
    """`params.yaml` is missing, unreadable, or has unknown keys or impossible values; each is a line of the message."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class DatasetError(NervesegError):
    """A data set, a frame or a mask cannot be used."""


class BadFileError(DatasetError):
    """One file cannot be used: `reason` says what was found and expected, `remedy` what its owner can do."""

    def __init__(self, path: object, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {reason}; {remedy}")
        self.path, self.reason, self.remedy = path, reason, remedy

    def __reduce__(self) -> tuple[type, tuple[object, str, str]]:
        return type(self), (self.path, self.reason, self.remedy)


class RepositoryError(NervesegError):
    """Git is missing, refuses, or does not find what it is asked for."""


class NoRepositoryError(RepositoryError):
    """The working directory is in no Git repository."""


class BusyError(NervesegError):
    """Another process writes the same output."""


class DisturbedError(NervesegError):
    """A stage's inputs changed while it ran, so DVC would record outputs that do not belong to them."""


class ComparisonError(NervesegError):
    """Two models cannot be compared: they were scored on different test frames, or one was not scored."""


class ModelError(NervesegError):
    """A model cannot be built, loaded or trained."""


class TrackingError(NervesegError):
    """The MLflow store cannot be used."""


class StoreUnreachableError(TrackingError):
    """The MLflow store does not answer, which may pass."""


class ServingError(NervesegError):
    """A model cannot be served."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP ends this process; `str` says why, or nothing if who sent it says so. Code that handles Ctrl-C handles it, too."""


_OF_THE_MACHINE = {
    errno.ENOSPC: "the disk is full; free some space, then run it again",
    errno.EDQUOT: "your disk quota is used up; free some space, then run it again",
    errno.EACCES: "permission denied; check its owner and permissions",
    errno.EPERM: "the operation is not permitted; check its owner and permissions",
    errno.EROFS: "the file system is read-only; write elsewhere, or mount it for writing",
    errno.EMFILE: "too many files are open; raise the limit with `ulimit -n 4096`",
    errno.EFBIG: "the file is larger than the file system or `ulimit -f` allows; write elsewhere, or raise the limit",
    errno.ENOTDIR: "a part of this path is a file where a folder was expected; move it away, or correct the path",
    errno.EIO: "the disk reports an error; check it, then run it again",
    errno.ENAMETOOLONG: "the name is too long for the file system; shorten it",
}

_NO_MEMORY_FOR_NETWORK = (
    "memory for the network ran out, on the GPU if there is one; lower unet.batch_size and gan.batch_size, or "
    "preprocess.width and preprocess.height, or close other programs that use the GPU"
)


@contextmanager
def told_plainly() -> Iterator[None]:
    """End the process with only a message if a user's mistake or the machine stopped the work.

    The exit code is 1; 130 after Ctrl-C, 143 after SIGTERM, 141 and no message if the reader of the output has closed it
    (`| head`). Characters that the terminal's encoding lacks are printed as escapes, and so are commands to the terminal.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent process, as some schedulers do
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for good
        elif isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            with safe_terminal():
                yield
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            _end(141, "")
        code, told = _code_and_words(error)
        if not told and code == 1:
            raise
        _end(code, told)


def _reader_is_gone() -> bool:
    """Return whether the output is a pipe that nobody reads any more."""
    with suppress(OSError, ValueError):  # it has no file
        watched = select.poll()
        watched.register(sys.stdout.fileno(), 0)
        return bool(watched.poll(0))
    return False


def _end(code: int, told: str) -> NoReturn:
    try:
        sys.stdout.flush()
    except (OSError, ValueError):  # Python flushes it again at exit, which must not fail
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if code == 1:
        sys.exit(f"error: {told}")
    if told:
        with suppress(OSError):  # the terminal may be gone
            print(f"error: {told}", file=sys.stderr)
    sys.exit(code)


def _code_and_words(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the message; an empty one if the fault is ours."""
    match error:
        case NervesegError():
            return 1, "\n".join(map(on_one_line, error.args if isinstance(error, ParamsError) else [error]))
        case Terminated():
            return 143, str(error)
        case KeyboardInterrupt():
            return 130, "interrupted"
        case BrokenPipeError():
            return 1, "a process or a server that this one used has ended; run it again"
        case MemoryError():
            return 1, "memory ran out; close other programs, or lower the batch size or the number of workers"
    full = os.strerror(errno.ENOSPC) in str(error)  # some libraries give no number
    told = _OF_THE_MACHINE.get(getattr(error, "errno", None) or (errno.ENOSPC if full else 0), "")
    if isinstance(error, ModuleNotFoundError):
        told = not_installed(error.name or "")
    if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, whose import would take seconds
        told = _NO_MEMORY_FOR_NETWORK
    file = getattr(error, "filename", None)
    return 1, on_one_line(f"{file}: {told}" if told and file else told)
