"""A small repository whose two stages report to MLflow, to look at what arrives there."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 600  # seconds; for what hangs, not for what is slow on a busy machine
PARAMS = Path(__file__).parents[1] / "params.yaml"
DIGEST = "0123456789abcdef0123456789abcdef.dir"
STAGE = """
import sys
from nerveseg.registry.project_params import load_project_params
from nerveseg.tracking.mirror import stage_run

with stage_run(sys.argv[1], load_project_params()) as run:
    run.log_epoch(0, {"loss": 0.5})
    run.log_scores({"unet": {"dice": 0.7}})
open(sys.argv[1] + ".txt", "w").write("done")
"""
PIPELINE = """
stages:
  first:
    cmd: {python} stage.py first
    deps: [stage.py]
    params: [lr]
    outs: [first.txt]
  second:
    cmd: {python} stage.py second
    deps: [first.txt]
    params: [lr]
    outs: [second.txt]
"""


def made_repository(folder: Path, monkeypatch) -> Path:
    """A git repository that is the working directory, untouched by the settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith(("DVC_", "MLFLOW_", "GIT_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }.items():
        monkeypatch.setenv(name, value)
    folder.mkdir()
    monkeypatch.chdir(folder)
    shutil.copy(PARAMS, folder)
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(PIPELINE.format(python=sys.executable))
    (folder / ".gitignore").write_text("/mlflow.db*\n/mlartifacts/\n/.nerveseg/\n/first.txt\n/second.txt\n")
    run("git", "init", "-q")
    run("git", "add", ".")
    run("git", "commit", "-qm", "start")
    return folder


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def eventually(condition) -> None:
    """Wait until it holds; what a stage tells is delivered beside it."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def client_of(folder: Path):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")


def runs_of(folder: Path):
    """Parents in order of their start, each with its nested runs by name."""
    client = client_of(folder)
    if (found := client.get_experiment_by_name("nerveseg")) is None:
        return []
    experiment = found.experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time"])
    nested = "mlflow.parentRunId"
    return [
        (parent, {r.info.run_name: r for r in runs if r.data.tags.get(nested) == parent.info.run_id})
        for parent in runs
        if nested not in parent.data.tags
    ]


def scores_of(tracked) -> dict[str, float]:
    """Of an MLflow run, without what it cost the machine."""
    return {key: value for key, value in tracked.data.metrics.items() if not key.startswith("system/")}


def initialised_with_dvc() -> str:
    """The commit."""
    run("dvc", "init", "-q")
    run("git", "add", ".")
    run("git", "commit", "-qm", "dvc")
    return run("git", "rev-parse", "HEAD")
