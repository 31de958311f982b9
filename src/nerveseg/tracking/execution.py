"""Which execution of the pipeline this process belongs to: what DVC, git and the system say about it."""

import getpass
import os
import socket

import psutil  # type: ignore[import-untyped]

from nerveseg.errors import RepositoryError
from nerveseg.repository import git

_WRITTEN_BY_PIPELINE = (":!dvc.lock", ":!metrics", ":!reports")  # changes here do not make a commit dirty


def execution() -> str:
    """A name for this execution of the pipeline, the same in each of its stages.

    DVC gives DVC_STAGE to a stage's processes and does not have it itself, so the nearest process without it is
    the one that runs the pipeline: `dvc`, a queue's worker, a program that calls DVC, or the stage's own process
    where it was started by hand.
    """
    chain = [psutil.Process(), *psutil.Process().parents()]
    executor = next((process for process in chain if not _has_dvc_stage(process)), chain[-1])
    # A process's hash is its id and its start on a clock that, unlike create_time(), nobody sets. The experiment's
    # name tells apart those that one program runs.
    name = os.environ.get("DVC_EXP_NAME", "").replace("'", "_")
    return ":".join([socket.gethostname(), str(executor.pid), f"{hash(executor) % 2**64:x}", name]).rstrip(":")


def _has_dvc_stage(process: psutil.Process) -> bool:
    try:
        return "DVC_STAGE" in process.environ()
    except (psutil.Error, OSError):  # another user's
        return False


def execution_name() -> str:
    if name := os.environ.get("DVC_EXP_NAME"):
        return name
    commit = _git("rev-parse", "--short", "HEAD")
    if not commit:
        return "no-commit"
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", *_WRITTEN_BY_PIPELINE)
    return f"{commit}-dirty" if changes else commit


def origin() -> dict[str, str]:
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
