"""Which execution of the pipeline this process belongs to, according to DVC, Git and the system."""

import getpass
import os
import socket
import tempfile
from collections.abc import Sequence

import psutil  # type: ignore[import-untyped]
from flatten_dict import flatten

from nerveseg.errors import ParamsError, RepositoryError
from nerveseg.params.file import read_params
from nerveseg.processes.parent import up_to_dvc
from nerveseg.repository import committed, git
from nerveseg.text.wording import some

_PARAMS = "params.yaml"
_NOT_CODE = (":!dvc.lock", ":!metrics", ":!reports", f":!{_PARAMS}")  # changes here do not make a commit dirty
_NAMED = 3  # params in the name of a run; all are in a tag


def execution() -> str:
    """Return a name for this execution of the pipeline that all of its stages share."""
    # The experiment's name tells apart those that one program runs.
    experiment = os.environ.get("DVC_EXP_NAME", "").replace("'", "_")
    return ":".join([socket.gethostname(), process_name(up_to_dvc()[-1]), experiment]).rstrip(":")


def process_name(process: psutil.Process) -> str:
    """Return a name that no later process with this id has."""
    # The hash is that of the id and of the start on a clock that, unlike create_time(), nobody sets.
    return f"{process.pid}:{hash(process) % 2**64:x}"


def execution_name(changed: Sequence[str]) -> str:
    """Return the DVC experiment, or the commit with `-dirty` if code differs from it, and the first `changed_params`."""
    if name := os.environ.get("DVC_EXP_NAME"):
        return name
    commit = _git("rev-parse", "--short", "HEAD")
    if not commit:
        return "no-commit"
    dirty = "-dirty" if _git("status", "--porcelain", "--untracked-files=no", "--", ":/", *_NOT_CODE) else ""
    return f"{commit}{dirty} {some(changed, _NAMED)}".rstrip()


def changed_params() -> list[str]:
    """Return the params that differ from those of the commit, such as `lr=0.001`; none without a commit."""
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=_PARAMS) as before:
            before.write(committed(os.environ.get("DVC_EXP_BASELINE_REV", "") or "HEAD", _PARAMS))
            before.flush()
            old, new = (flatten(read_params(path), reducer="dot") for path in (before.name, _PARAMS))
    except (RepositoryError, ParamsError, OSError):
        return []
    return [f"{key}={new[key]}" for key in new if key not in old or new[key] != old[key]]


def started_by(stage: str) -> str:
    """Return the command behind an execution, as far as DVC tells."""
    by_hand = f"python -m nerveseg.pipeline {stage}"
    return "dvc exp run" if "DVC_EXP_NAME" in os.environ else "dvc repro" if "DVC_STAGE" in os.environ else by_hand


def origin() -> dict[str, str]:
    """Return the tags that say which commit, experiment and user a run is of."""
    baseline = os.environ.get("DVC_EXP_BASELINE_REV", "")
    commit = baseline or _git("rev-parse", "HEAD")
    tags = {
        "git.commit": commit,
        "mlflow.source.git.commit": commit,
        "dvc.exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.exp_baseline_rev": baseline,
        "mlflow.user": os.environ.get("MLFLOW_TRACKING_USERNAME", "") or _system_user(),
    }
    return {key: value for key, value in tags.items() if value}


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in some containers
        return ""


def _git(*arguments: str) -> str:
    try:
        return git(*arguments).strip()
    except RepositoryError:
        return ""
