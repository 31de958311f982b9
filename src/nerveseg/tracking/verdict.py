"""What the stages of one execution know about a store that does not answer, so that not each of them has to find out.

`.nerveseg/store/` has a file for each execution: how often in a row the store failed, and when to ask it again. Files beside
it say which warnings were given, so that an execution gives each once.
"""

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from nerveseg.files.atomic import write_json
from nerveseg.repository import repository_root

PATIENCE = (30.0, 60.0, 120.0, 300.0)  # seconds between the end of a failed try and the next
SLOW = 3.0  # seconds; a try that took longer is not repeated when a stage ends
_FOLDER = Path(".nerveseg/store")
_KEPT = 7 * 86400.0  # seconds


@dataclass(frozen=True)
class Verdict:
    """Number of failures in a row, when to ask the store again in seconds since 1970, and how long the last try took."""

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
        """Seconds until the store may be asked again, at most the longest patience: the clock may have been set."""
        return min(max(self.again - time.time(), 0.0), PATIENCE[-1])

    def failed(self, execution: str, took: float) -> "Verdict":
        """Return and keep the verdict after another failure."""
        patience = PATIENCE[min(self.failures, len(PATIENCE) - 1)]
        verdict = Verdict(self.failures + 1, time.time() + patience, took)
        with suppress(OSError):
            for path in (repository_root() / _FOLDER).glob("*"):
                if time.time() - path.stat().st_mtime > _KEPT:
                    path.unlink(missing_ok=True)
            write_json(_path(execution, "verdict.json"), asdict(verdict))
        return verdict


def forget(execution: str) -> None:
    """Remove the verdict, since the store answers."""
    with suppress(OSError):
        _path(execution, "verdict.json").unlink(missing_ok=True)


def first_to_say(execution: str, what: str) -> bool:
    """Return whether no stage of this execution has given this warning yet."""
    path = _path(execution, f"said-{what}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=False)
    except OSError:
        return not path.is_file()
    return True


def _path(execution: str, name: str) -> Path:
    key = hashlib.sha256(execution.encode()).hexdigest()[:16]
    return repository_root() / _FOLDER / f"{key}-{name}"
