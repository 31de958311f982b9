"""Repositories with the whole pipeline of this checkout and tiny params."""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from paths import ROOT
from repositories import commit, make_repository
from tiny_params import write_params

STAGES = (
    "phantom", "preprocess", "augment", "train_unet", "train_gan", "export", "predict", "robustness", "evaluate", "visualize",
)  # fmt: skip


def new_workspace(folder: Path, **changes: dict[str, object]) -> Path:
    """A repository with this checkout's pipeline and tiny params, committed."""
    folder.mkdir()
    for name in ("dvc.yaml", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("stages", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copytree(ROOT / "models" / "fresh", folder / "models" / "fresh")
    write_params(folder / "params.yaml", {"tracking": {"enabled": True, "promote": True}, **changes})
    make_repository(folder, dvc=True)
    shutil.copytree(ROOT / ".dvc" / "plots", folder / ".dvc" / "plots", dirs_exist_ok=True)
    commit(folder, "plots")
    return folder


def change_params(work: Path, changes: dict[str, object]) -> None:
    """As `dvc exp run -S` would."""
    file = work / "params.yaml"
    params = yaml.safe_load(file.read_text())
    for section, values in changes.items():
        params[section] |= values
    file.write_text(yaml.safe_dump(params, sort_keys=False))


def metrics(workspace: Path) -> dict[str, Any]:
    return json.loads((workspace / "metrics" / "metrics.json").read_text())
