"""Repositories that tests make, untouched by the settings of whoever runs the tests."""

import os
import sys
from pathlib import Path
from typing import Any

from processes import run

FOREIGN = ("AWS_", "DVC_", "GIT_", "GITHUB_", "MLFLOW_")
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)},
    **{f"GIT_{role}_{part}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


def use_environment(monkeypatch) -> None:
    """That of a machine on which nobody has set anything."""
    for name in os.environ.keys() - ENVIRONMENT.keys():
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
    for name in ENVIRONMENT.keys() - {"PYTEST_CURRENT_TEST"}:
        monkeypatch.setenv(name, ENVIRONMENT[name])


def commit(folder: Path, message: str = "change", **options: Any) -> str:
    """Commit all that is in it and not ignored; the commit."""
    run("git", "add", "-A", cwd=folder, **options)
    run("git", "commit", "-qm", message, cwd=folder, **options)
    return run("git", "rev-parse", "HEAD", cwd=folder, **options)


def make_repository(folder: Path, *, dvc: bool = False, **options: Any) -> Path:
    """Make a repository of a folder that exists, with all that is in it as the first commit of its branch main."""
    run("git", "init", "-q", "-b", "main", cwd=folder, **options)
    if dvc:
        run("dvc", "init", "-q", cwd=folder, **options)
    commit(folder, "start", **options)
    return folder
