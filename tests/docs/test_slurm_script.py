"""`docs/slurm/folds.sh` as SLURM runs it, in a repository whose one stage copies scores."""

import os
import shutil
import sys

import pytest
import yaml

from paths import ROOT
from processes import attempt, run
from repositories import commit, make_repository
from score_tables import score_rows

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_commands")]

SCRIPT = ROOT / "docs" / "slurm" / "folds.sh"
STAGE = """stages:
  evaluate:
    cmd: test ! -e ../../../broken && mkdir -p metrics && cp frames/scores.csv metrics/scores.csv
    deps: [frames]
    params: [split, seed, lr]
    plots:
      - metrics/scores.csv: {cache: false}
"""
SCORES = ("dice", "dice_nerve", "iou", "iou_nerve", "presence_sensitivity", "presence_specificity")


@pytest.fixture
def clone(tmp_path):
    """A clone with data of one's own, which DVC tracks."""
    folder = tmp_path / "clone"
    (folder / "frames").mkdir(parents=True)
    scores = {model: dict.fromkeys(SCORES, 0.5) for model in ("unet", "gan")}
    score_rows(scores).to_csv(folder / "frames" / "scores.csv", index=False)
    (folder / "dvc.yaml").write_text(STAGE)
    (folder / "params.yaml").write_text(yaml.safe_dump({"seed": 1, "lr": 0.1, "split": {"folds": 0, "fold": 0}}))
    (folder / ".gitignore").write_text("/.nerveseg/\n/frames\n")
    make_repository(folder, dvc=True)
    run("dvc", "add", "-q", "frames", cwd=folder)
    commit(folder, "frames")
    return folder


def task(clone, number, *words):
    """Run one of two tasks of job 17."""
    slurm = {"SUBMIT_DIR": str(clone), "ARRAY_JOB_ID": "17", "ARRAY_TASK_ID": str(number), "ARRAY_TASK_COUNT": "2"}
    names = {f"SLURM_{name}": value for name, value in slurm.items()}
    script = shutil.copy(SCRIPT, clone.parent / "slurm_script")  # SLURM runs a copy
    return attempt("bash", script, *words, env=os.environ | names, cwd=clone)


def test_the_tasks_of_a_job_are_experiments_of_the_clone_that_submitted_it(clone, monkeypatch):
    refused = task(clone, 0)
    assert refused.returncode == 1
    assert "MLFLOW_TRACKING_URI: set it to an MLflow server that all nodes reach" in refused.stderr
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")

    (clone / "broken").touch()
    assert task(clone, 1, "-S", "lr=0.3").returncode != 0
    assert [path.name for path in (clone / ".nerveseg" / "slurm").iterdir()] == ["fold-1-of-job-17"]
    (clone / "broken").unlink()
    for number in (1, 0):
        done = task(clone, number, "-S", "lr=0.3")
        assert done.returncode == 0, done.stderr

    assert list((clone / ".nerveseg" / "slurm").iterdir()) == []
    told = run(sys.executable, "-m", "nerveseg.cli", "folds", cwd=clone)
    assert [line.split()[:2] for line in told.splitlines()[1:3]] == [
        ["fold-0-of-job-17", "0"],
        ["fold-1-of-job-17", "1"],
    ]
    assert "folds without a finished run" not in told
