"""One trial of a sweep: a process of its own, `dvc exp run --temp`, which ends as an experiment of DVC.

It runs in a session of its own, so that Ctrl-C in the terminal reaches the sweep alone. A sweep that was killed leaves it
running; `start` finds it again by its command line.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from nerveseg.repository import repository_root

GRACE = 60.0  # seconds for a stage to end after Ctrl-C, before it is killed


class Trial:
    """A running `dvc exp run`."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process

    def running(self, seconds: float) -> bool:
        """Whether it still runs after so many seconds; returns at once when it ends."""
        try:
            self._process.wait(timeout=seconds)
        except psutil.TimeoutExpired:
            return True
        return False

    def stop(self) -> None:
        """End it with all that it started, as Ctrl-C does; by force where that takes too long or is interrupted."""
        group = self._process.pid
        try:
            os.killpg(group, signal.SIGINT)
            end = time.monotonic() + GRACE
            while time.monotonic() < end:
                self.running(0.2)
                os.killpg(group, 0)
        except ProcessLookupError:
            return
        finally:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            self._process.wait()


def start(experiment: str, overrides: Mapping[str, str], log: Path) -> Trial:
    """Start the experiment of that name, or find it where it still runs; what it prints goes to the file `log`."""
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "-n", experiment]
    for key, value in overrides.items():
        command += ["-S", f"{key}={value}"]
    if (running := _running(command)) is not None:
        return Trial(running)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        return Trial(
            psutil.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
            )
        )


def reason_of_failure(log: Path) -> str:
    """The line of what it printed that says best why it failed."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("error:")] or [
        line for line in lines if line.startswith("ERROR:")
    ]
    return (told or lines or ["it printed nothing"])[-1]


def _running(command: list[str]) -> psutil.Process | None:
    root = repository_root()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended, or is another user's
            if (
                process.cmdline() == command
                and os.getsid(process.pid) == process.pid
                and Path(process.cwd()).is_relative_to(root)  # DVC goes into its copy of the repository
            ):
                return process
    return None
