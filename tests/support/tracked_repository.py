"""A small repository whose two stages report to MLflow, to look at what arrives there."""

import shutil
from pathlib import Path

from paths import ROOT
from processes import run
from repositories import commit, make_repository, use_settings

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
    cmd: python stage.py first
    deps: [stage.py]
    params: [lr]
    outs: [first.txt]
  second:
    cmd: python stage.py second
    deps: [first.txt]
    params: [lr]
    outs: [second.txt]
"""


def made_repository(folder: Path, monkeypatch) -> Path:
    """A repository of that pipeline, as the working directory."""
    use_settings(monkeypatch)
    folder.mkdir()
    monkeypatch.chdir(folder)
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / ".gitignore").write_text("/mlflow.db*\n/mlartifacts/\n/.nerveseg/\n/first.txt\n/second.txt\n")
    return make_repository(folder)


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
    return commit(Path.cwd(), "dvc")


def losses(repo) -> list[float]:
    """The curve as far as MLflow has it."""
    stages = [stages for _, stages in runs_of(repo)]
    if not (stages and "train_unet" in stages[0]):
        return []
    return [point.value for point in client_of(repo).get_metric_history(stages[0]["train_unet"].info.run_id, "loss")]


def warnings_of(caplog) -> list[str]:
    """What our module logged; MLflow's own lines about a new database come or not, by what ran before."""
    return [record.getMessage() for record in caplog.records if record.name == "nerveseg.tracking.outbox"]


def write_model(path: Path) -> None:
    """The smallest folder that MLflow takes for a model."""
    from mlflow.models import Model

    path.mkdir()
    described = Model()
    described.add_flavor("python_function", loader_module="nowhere")
    described.save(str(path / "MLmodel"))
