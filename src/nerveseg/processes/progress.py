"""What a stage says of itself while it runs: JSON, a line for each message, to whoever runs it (`nerveseg.pipeline`).

A script that is run alone has nobody who listens, and what it says goes nowhere.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

LISTENER = "NERVESEG_PROGRESS"  # the file descriptor of a pipe


def training(record: Path | None) -> None:
    """First of a stage that trains: the file that is kept beside its checkpoint, or None of a worker that is not the chief."""
    _say(training=None if record is None else str(record))


def epoch(number: int, values: Mapping[str, float]) -> None:
    """One point of each curve."""
    _say(epoch=number, values={key: float(value) for key, value in values.items()})


def facts(numbers: Mapping[str, float]) -> None:
    """What the stage came to."""
    _say(facts={key: float(value) for key, value in numbers.items()})


def _say(**message: Any) -> None:
    if LISTENER in os.environ:
        with suppress(OSError):  # who listened has ended
            os.write(int(os.environ[LISTENER]), json.dumps(message).encode() + b"\n")
