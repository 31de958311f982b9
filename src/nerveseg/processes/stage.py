"""What all stages share: how their processes end, and that what they read stays as it was.

DVC hashes the dependencies of a stage after its command. What changed meanwhile would be credited with outputs that were
made of what was there before, in dvc.lock, in the run cache and in all that is made of them.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from flatten_dict import flatten

from nerveseg.errors import DisturbedError, told_plainly
from nerveseg.params.file import Params, checked_params, read_params
from nerveseg.processes.parent import end_cleanly, end_with_the_parent, end_with_the_pipeline
from nerveseg.processes.progress import LISTENER

_REMEDY = "put it back, or run `dvc repro` again for the outputs of what is there now"


@dataclass(frozen=True)
class _File:
    """Equal where the content is: a `touch` changes nothing."""

    digest: str
    size: int = field(compare=False)
    time: int = field(compare=False)

    @classmethod
    def of(cls, path: Path, before: "_File | None") -> "_File":
        found = path.stat()
        if before and (before.size, before.time) == (found.st_size, found.st_mtime_ns):
            return before
        with path.open("rb") as file:
            return cls(hashlib.file_digest(file, "sha256").hexdigest(), found.st_size, found.st_mtime_ns)


@contextmanager
def stage_process() -> Iterator[None]:
    """Run a stage's script: it ends with the pipeline and with who runs it, cleans up when it is ended, and tells mistakes plainly."""
    with told_plainly():
        end_cleanly()
        end_with_the_pipeline()
        if LISTENER in os.environ:
            end_with_the_parent()
        yield


@contextmanager
def undisturbed(stage: str, params: Params) -> Iterator[None]:
    """Compare, at the end of the block, what dvc.yaml declares for the stage with what was there at its beginning.

    `params` are those that the stage has read. A checkpoint must be removed after this block only: a training finds
    it again where params and code are put back.

    Raises:
        DisturbedError: a parameter, a file of code or an input has changed.
    """
    declared = _declared(stage)
    sections, before = _sections(declared), _fingerprints(declared, {})
    if declared and checked_params(read_params(), "params.yaml") != params:
        raise DisturbedError(f"params.yaml changed while {stage} started; run it again")
    yield
    changes = [
        f"params.yaml: {key} changed from {old} to {new} while {stage} ran"
        for key, old, new in _differences(sections, _sections(declared))
    ]
    changes += [
        f"{path} changed while {stage} ran" for path, _, _ in _differences(before, _fingerprints(declared, before))
    ]
    if changes:
        raise DisturbedError(f"{', and '.join(changes)}; {_REMEDY}")


def _declared(stage: str) -> dict[str, list[str]]:
    """Of the stage in dvc.yaml; nothing where there is none, since nothing is credited then."""
    file = Path("dvc.yaml")
    if not file.exists():
        return {}
    stages: dict[str, dict[str, list[str]]] = yaml.safe_load(file.read_text(encoding="utf-8"))["stages"]
    return stages.get(stage, {})


def _sections(declared: dict[str, list[str]]) -> dict[str, Any]:
    """The parameters by their dotted names."""
    if not declared:
        return {}
    names = declared.get("params", [])
    every = flatten(read_params(), reducer="dot", keep_empty_types=(dict,))
    return {key: value for key, value in every.items() if any(f"{key}.".startswith(f"{name}.") for name in names)}


def _fingerprints(declared: dict[str, list[str]], before: dict[str, _File]) -> dict[str, _File]:
    """Of every file of code and data; one that has kept its size and time since `before` is not read again."""
    every = flatten(read_params(), reducer="dot") if declared else {}
    found: dict[str, _File] = {}
    for dependency in declared.get("deps", []):
        path = Path(re.sub(r"\$\{(.+?)\}", lambda name: str(every.get(name[1])), dependency))
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and not file.name.startswith(".") and file.parent.name != "__pycache__":
                found[str(file)] = _File.of(file, before.get(str(file)))
    return found


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    keys = sorted(before.keys() | after.keys())
    return [(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]
