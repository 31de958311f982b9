"""Which MLflow run a training that was stopped had, so that it goes on in that run and not in another one."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from nerveseg.files.atomic import write_json


@dataclass(frozen=True)
class Unfinished:
    """Key of the stage's run and of its parent, when it was started, in seconds since 1970, its last epoch in MLflow, the
    process that tells it, and a digest of the params and of the commit that the run carries.
    """

    run: str
    parent: str
    started: float
    epoch: int
    process: str
    carries: str

    @classmethod
    def read(cls, path: Path, carries: str) -> "Unfinished | None":
        """What a process that is no more left there, where its run carries the same."""
        try:
            found = cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return None if found.carries != carries or _runs(found.process) else found

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))


def this_process() -> str:
    process = psutil.Process()
    return (
        f"{process.pid}:{hash(process) % 2**64:x}"  # its id and its start, which tells it from a later one of this id
    )


def digest_of_run(params: Mapping[str, Any], commit: str) -> str:
    return hashlib.sha256(json.dumps([params, commit], sort_keys=True).encode()).hexdigest()[:16]


def _runs(name: str) -> bool:
    pid = int(name.partition(":")[0])
    try:
        return f"{pid}:{hash(psutil.Process(pid)) % 2**64:x}" == name
    except psutil.Error:
        return False
