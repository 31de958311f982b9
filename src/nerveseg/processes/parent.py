"""End a process with the one that runs the pipeline: `dvc repro`, a queue's worker, or a program that calls DVC.

DVC starts a stage through a shell and does not end the stage if DVC is killed. A thread checks twice a second whether all
processes from this one's parent up to DVC are alive; if one has ended, this process gets SIGTERM. Linux's PR_SET_PDEATHSIG
is not enough: it does not see beyond a shell, does not exist on macOS, and fires also when a thread of the parent ends.
A stage that was started by hand runs on when its shell closes, as with `nohup`.
"""

import itertools
import os
import signal
import threading
import time
from types import FrameType

import psutil  # type: ignore[import-untyped]

from nerveseg.errors import Terminated
from nerveseg.processes.progress import listener_is_gone

INTERVAL = 0.5  # seconds
GRACE = 30.0  # seconds to clean up after SIGTERM
_ADOPTERS = ("init", "systemd", "launchd")  # they inherit the children of processes that have ended
_DVC_STAGE = "DVC_STAGE"  # DVC gives it to the processes of a stage and does not have it itself
_MINDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_ended: list[str] = []


def end_with_the_parent() -> None:
    """End a process that does a part of its parent's work as soon as the parent has ended, even if it was killed."""
    threading.Thread(target=_watch, args=([], os.getppid()), daemon=True).start()


def end_with_the_pipeline() -> None:
    """End this process as soon as the pipeline that it belongs to has ended."""
    if _DVC_STAGE in os.environ:
        threading.Thread(target=_watch, args=(up_to_dvc()[1:], os.getppid()), daemon=True).start()


def end_cleanly() -> None:
    """Let SIGTERM, and SIGHUP of a terminal that closes, end this process as Ctrl-C does, with GRACE seconds to clean up, in which later signals are ignored."""
    for number in _MINDED:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # under nohup, it stays ignored
            signal.signal(number, _raise)


def up_to_dvc() -> list[psutil.Process]:
    """Return this process and those above it, up to the one that runs the pipeline: the nearest that is not of a stage."""
    chain = [psutil.Process(), *psutil.Process().parents()]
    return chain[: len(list(itertools.takewhile(_is_of_a_stage, chain))) + 1]


def _is_of_a_stage(process: psutil.Process) -> bool:
    try:
        return _DVC_STAGE in process.environ()
    except (psutil.Error, OSError):  # another user's
        return False


def _watch(above: list[psutil.Process], parent: int) -> None:
    while os.getppid() == parent and all(map(_lives, above)) and not (above and _adopted(above[-1])):
        time.sleep(INTERVAL)
    _ended.append("`dvc` has ended, and this stage with it")
    os.kill(os.getpid(), signal.SIGTERM)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _adopted(executor: psutil.Process) -> bool:
    """Return whether DVC ended before the watch began. In a container DVC may be process 1, with this process's group."""
    try:
        adopter = executor.pid == 1 or executor.name() in _ADOPTERS
        return adopter and os.getpgid(executor.pid) != os.getpgrp()
    except (psutil.Error, OSError):
        return False


def _raise(number: int, _frame: FrameType | None) -> None:
    for each in _MINDED:
        signal.signal(each, signal.SIG_IGN)
    last = threading.Timer(GRACE, os._exit, args=(128 + number,))
    last.daemon = True
    last.start()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated(_ended[-1] if _ended else "" if listener_is_gone() else f"ended by {signal.Signals(number).name}")
