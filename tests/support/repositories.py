"""Repositories that tests make, untouched by the settings of whoever runs the tests."""

import os
from pathlib import Path
from typing import Any

import pytest

from processes import run

FOREIGN = ("AWS_", "DVC_", "GIT_", "GITHUB_", "MLFLOW_", "PYTHONDONTWRITEBYTECODE")
SETTINGS = {
    **{f"GIT_{role}_{part}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def use_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a machine on which nobody has set anything else."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)


def commit(folder: Path, message: str = "change", **options: Any) -> str:
    """Commit all that is in it and not ignored; the commit."""
    run("git", "add", "-A", cwd=folder, **options)
    run("git", "commit", "-qm", message, cwd=folder, **options)
    return run("git", "rev-parse", "HEAD", cwd=folder, **options)


def make_repository(folder: Path, *, dvc: bool = False, **options: Any) -> Path:
    """Make a repository of a folder that exists; all that is in it is the first commit of its branch main."""
    run("git", "init", "-q", "-b", "main", cwd=folder, **options)
    if dvc:
        run("dvc", "init", "-q", cwd=folder, **options)
    commit(folder, "start", **options)
    return folder
