"""What all stages share: how their processes end, and checks that their inputs did not change and are not replaced.

DVC hashes the dependencies of a stage after its command. If an input changes meanwhile, dvc.lock and the run cache would
record outputs that were not made from it.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flatten_dict import flatten

from nerveseg.errors import DisturbedError, ParamsError, told_plainly
from nerveseg.params.file import Params, checked_params, read_params
from nerveseg.processes.parent import end_cleanly, end_with_the_parent, end_with_the_pipeline
from nerveseg.processes.progress import LISTENER

_NAME = re.compile(r"\$\{(.+?)\}")  # how dvc.yaml refers to a parameter
_KEY = "params.yaml: "
_REMEDY = "restore it, or run `dvc repro` again for outputs of the present state"


@dataclass(frozen=True)
class _File:
    """Equal if the content is: a `touch` changes nothing."""

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
    """Run a stage's script: end with the pipeline and the parent, clean up when stopped, and print mistakes in one sentence."""
    with told_plainly():
        end_cleanly()
        (end_with_the_parent if LISTENER in os.environ else end_with_the_pipeline)()
        yield


@contextmanager
def undisturbed(stage: str, params: Params) -> Iterator[None]:
    """Raise `DisturbedError` at the end of the block if anything that dvc.yaml declares for the stage has changed.

    `params` are those that the stage has read. Remove a checkpoint only after this block: the training needs it once params
    and code are restored. A parameter that names a folder whose files this or a later stage would delete raises `ParamsError`.
    """
    declared: dict[str, list[str]] = stages_in_dvc_yaml().get(stage, {})
    _check_safe(stage, declared)
    before = _state(declared, {})
    if declared and checked_params(read_params(), "params.yaml") != params:
        raise DisturbedError(f"params.yaml changed while {stage} started; run it again")
    yield
    after = _state(declared, before)
    changes = []
    for name in dict.fromkeys([*before, *after]):
        if (old := before.get(name)) != (new := after.get(name)):
            how = f" from {old} to {new}" if name.startswith(_KEY) else ""
            changes.append(f"{name} changed{how} while {stage} ran")
    if changes:
        raise DisturbedError(f"{', and '.join(changes)}; {_REMEDY}")


def stages_in_dvc_yaml(root: Path = Path()) -> dict[str, Any]:
    """Return the entries of `dvc.yaml` by stage, none if there is no such file; raise `ParamsError` if it is not YAML."""
    path = root / "dvc.yaml"
    return read_params(path).get("stages") or {} if path.exists() else {}


def output_around(path: Path) -> Path | None:
    """Return the output that a path is or lies in, of a pipeline here or in a folder above; its stage would delete it."""
    for root in dict.fromkeys([Path(), *path.absolute().parents, *path.resolve().parents]):
        try:
            outputs = [root / out for outs in _outputs(root).values() for out in outs]
        except (ParamsError, OSError, AttributeError, StopIteration, TypeError):  # the dvc.yaml of another project
            continue
        if found := next((out for out in outputs if _lies_in(path, out)), None):
            return found
    return None


def _outputs(root: Path = Path()) -> dict[str, list[str]]:
    """Return the `outs` of each stage, in the order of the stages."""
    stages = stages_in_dvc_yaml(root).items()
    return {key: [out if isinstance(out, str) else next(iter(out)) for out in of.get("outs", [])] for key, of in stages}


def _check_safe(stage: str, declared: dict[str, list[str]]) -> None:
    every, earlier = flatten(read_params(), reducer="dot") if declared else {}, True
    keys = [found[1] for dep in declared.get("deps", []) if (found := _NAME.fullmatch(dep))]
    named = [(key, Path(str(every.get(key)))) for key in keys]
    for name, outs in _outputs().items():
        earlier &= name != stage
        for key, folder in named:
            for out in map(Path, outs):
                inside, around = _lies_in(folder, out), _lies_in(out, folder)
                if (inside or around) and not (inside and around and earlier):
                    raise ParamsError(f"{key} is {folder}, but stage {name} replaces {out}; move the files elsewhere")


def _lies_in(path: Path, folder: Path) -> bool:
    """Return whether a path is a folder or below it, by any link or spelling."""
    path, folder = path.resolve(), folder.resolve()
    there = os.path.exists(folder)  # noqa: PTH110 - Path.exists raises where this returns False
    return any(
        part == folder or (there and os.path.exists(part) and part.samefile(folder))  # noqa: PTH110
        for part in (path, *path.parents)
    )


def _state(declared: dict[str, list[str]], before: dict[str, Any]) -> dict[str, Any]:
    """Return declared parameters by dotted name, and files by path. Those that are as in `before` are not read again."""
    if not declared:
        return {}
    every, names = flatten(read_params(), reducer="dot", keep_empty_types=(dict,)), declared.get("params", [])
    found = {_KEY + key: every[key] for key in every if any(f"{key}.".startswith(f"{name}.") for name in names)}
    for dependency in declared.get("deps", []):
        path = Path(_NAME.sub(lambda name: str(every.get(name[1])), dependency))
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and not file.name.startswith(".") and file.parent.name != "__pycache__":
                found[str(file)] = _File.of(file, before.get(str(file)))
    return found
