"""Which execution of the pipeline this process belongs to, according to DVC, Git and the system."""

import getpass
import os
import socket

import psutil  # type: ignore[import-untyped]

from nerveseg.errors import RepositoryError
from nerveseg.processes.parent import up_to_dvc
from nerveseg.repository import git

_WRITTEN_BY_PIPELINE = (":!dvc.lock", ":!metrics", ":!reports")  # changes here do not make a commit dirty


def execution() -> str:
    """Return a name for this execution of the pipeline that all of its stages share."""
    # The experiment's name tells apart those that one program runs.
    experiment = os.environ.get("DVC_EXP_NAME", "").replace("'", "_")
    return ":".join([socket.gethostname(), process_name(up_to_dvc()[-1]), experiment]).rstrip(":")


def process_name(process: psutil.Process) -> str:
    """Return a name that no later process with this id has."""
    # The hash is that of the id and of the start on a clock that, unlike create_time(), nobody sets.
    return f"{process.pid}:{hash(process) % 2**64:x}"


def execution_name() -> str:
    """Return the name of the DVC experiment, or the commit, with `-dirty` if code or parameters differ from it."""
    if name := os.environ.get("DVC_EXP_NAME"):
        return name
    commit = _git("rev-parse", "--short", "HEAD")
    if not commit:
        return "no-commit"
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", *_WRITTEN_BY_PIPELINE)
    return f"{commit}-dirty" if changes else commit


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
