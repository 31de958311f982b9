"""What the stages of one execution know of a store that does not answer, so that each of them need not find out.

A file of `.nerveseg/store/` for each execution says how often in a row the store failed and when it is to be asked again. Which
warnings were given is kept beside it: an execution gives each once.
"""

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from nerveseg.files.atomic import write_json
from nerveseg.repository import repository_root

PATIENCE = (30.0, 60.0, 120.0, 300.0)  # seconds between the end of a try that failed and the next
SLOW = 3.0  # seconds; a try that took longer is not worth another one when a stage ends
_FOLDER = Path(".nerveseg/store")
_KEPT = 7 * 86400.0  # seconds


@dataclass(frozen=True)
class Verdict:
    """`failures` in a row, none where the store may be asked; when to ask it again, in seconds since 1970; how long the last try
    took.
    """

    failures: int = 0
    again: float = 0.0
    took: float = 0.0

    @classmethod
    def read(cls, execution: str) -> "Verdict":
        try:
            return cls(**json.loads(_path(execution, "verdict.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()

    @property
    def wait(self) -> float:
        """Seconds until the store is to be asked again; the clock may have been set meanwhile."""
        return min(max(self.again - time.time(), 0.0), PATIENCE[-1])

    def failed(self, execution: str, took: float) -> "Verdict":
        """The one after another failure."""
        patience = PATIENCE[min(self.failures, len(PATIENCE) - 1)]
        verdict = Verdict(self.failures + 1, time.time() + patience, took)
        with suppress(OSError):
            _tidy()
            write_json(_path(execution, "verdict.json"), asdict(verdict))
        return verdict


def forget(execution: str) -> None:
    """The store answers."""
    with suppress(OSError):
        _path(execution, "verdict.json").unlink(missing_ok=True)


def first_to_say(execution: str, what: str) -> bool:
    """Whether no stage of this execution has said that yet."""
    path = _path(execution, f"said-{what}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        return True
    return True


def _path(execution: str, name: str) -> Path:
    key = hashlib.sha256(execution.encode()).hexdigest()[:16]
    return repository_root() / _FOLDER / f"{key}-{name}"


def _tidy() -> None:
    for path in (repository_root() / _FOLDER).glob("*"):
        if time.time() - path.stat().st_mtime > _KEPT:
            path.unlink(missing_ok=True)
