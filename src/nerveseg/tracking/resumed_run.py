"""Which MLflow run a stopped training had, so that it resumes in that run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from nerveseg.tracking.execution import process_name


@dataclass(frozen=True)
class Unfinished:
    run: str  # key of the stage's run
    parent: str  # and of the one that it is nested in
    started: float  # seconds since 1970
    epoch: int  # the last one in MLflow
    process: str  # that reports it
    carries: str  # digest of its params and commit

    @classmethod
    def read(cls, path: Path, carries: str) -> "Unfinished | None":
        """Return what a process that has ended left in the file, if its run is of the same params and commit."""
        try:
            found = cls(**json.loads(path.read_text(encoding="utf-8")))
            return None if found.carries != carries or _is_running(found.process) else found
        except (OSError, ValueError, TypeError, AttributeError):
            return None


def digest_of_run(params: Mapping[str, Any], commit: str) -> str:
    return hashlib.sha256(json.dumps([params, commit], sort_keys=True).encode()).hexdigest()[:16]


def _is_running(name: str) -> bool:
    try:
        return process_name(psutil.Process(int(name.partition(":")[0]))) == name
    except psutil.Error:
        return False
