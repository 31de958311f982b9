"""Progress of a stage: lines of JSON to the process that runs it (`nerveseg.pipeline`), if there is one."""

import json
import os
import select
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

LISTENER = "NERVESEG_PROGRESS"  # the file descriptor of a pipe


def training(record: Path | None) -> None:
    """Report first, in a training: a file to keep beside the checkpoint, or None from a worker that is not the chief."""
    _say(training=None if record is None else str(record))


def epoch(number: int, values: Mapping[str, float]) -> None:
    """Report one point of each curve."""
    _say(epoch=number, values={key: float(value) for key, value in values.items()})


def facts(numbers: Mapping[str, float]) -> None:
    """Report numbers about the stage's result."""
    _say(facts={key: float(value) for key, value in numbers.items()})


def listener_is_gone() -> bool:
    """Return whether the process that runs this stage has stopped listening, as it does before it ends the stage."""
    if LISTENER not in os.environ:
        return False
    watched = select.poll()
    watched.register(int(os.environ[LISTENER]), 0)
    return bool(watched.poll(0))


def _say(**message: Any) -> None:
    if LISTENER in os.environ:
        with suppress(OSError):  # the listener has ended
            os.write(int(os.environ[LISTENER]), json.dumps(message).encode() + b"\n")
