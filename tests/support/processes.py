"""Processes that tests start, and how long they wait for them."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

PATIENCE = 600  # seconds; for what hangs, not for what is slow on a busy machine


def attempt(*command: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, whatever its exit code."""
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE, **options)


def run(*command: object, **options: Any) -> str:
    """Run a command that has to succeed; what it prints."""
    done = attempt(*command, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@contextmanager
def started(command: Sequence[object], **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """What runs during the block; it and what it started are killed at its end, so that a test that fails does not wait for it."""
    with subprocess.Popen([str(word) for word in command], text=True, start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def eventually(condition: Callable[[], object], *needed: "subprocess.Popen[str]", within: float = PATIENCE) -> None:
    """Wait until it holds; the processes that are needed for that must not end before."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until
        for process in needed:
            assert process.poll() is None, process.stdout.read() if process.stdout else process.args
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
