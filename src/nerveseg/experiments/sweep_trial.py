"""One trial of a sweep: a process of `dvc exp run --temp`.

It runs in its own session, so that Ctrl-C in the terminal reaches the sweep alone. If the sweep is killed, the trial runs on,
and `start` finds it by its command line.
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
        """Wait until the trial ends, at most this many seconds, and return whether it still runs."""
        try:
            self._process.wait(timeout=seconds)
        except psutil.TimeoutExpired:
            return True
        return False

    def stop(self) -> None:
        """End the trial and all that it started like Ctrl-C does; by force if that takes too long or is interrupted."""
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
    """Start the experiment of that name, or find it if it still runs; its output goes to the file `log`."""
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "-n", experiment]
    command += [word for key, value in overrides.items() for word in ("-S", f"{key}={value}")]
    if (running := _running(command)) is not None:
        return Trial(running)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        streams = {"stdout": output, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        return Trial(psutil.Popen(command, **streams, start_new_session=True))


def reason_of_failure(log: Path) -> str:
    """Return the line of a failed trial's output that says best why it failed."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    told = [line for mark in ("ERROR:", "error:") for line in lines if line.startswith(mark)]  # the stage's is best
    return (told or lines or ["it printed nothing"])[-1]


def _running(command: list[str]) -> psutil.Process | None:
    root = repository_root()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended, or is another user's
            ours = process.cmdline() == command and os.getsid(process.pid) == process.pid
            if ours and Path(process.cwd()).is_relative_to(root):  # DVC goes into its copy of the repository
                return process
    return None
