"""What the run of one execution tells of its stages, and that it can be made again from its page alone."""

import shutil
import signal
import sys
from pathlib import Path

import pytest

from nerveseg.registry.project_params import load_project_params
from nerveseg.tracking.journal import journals
from nerveseg.tracking.mirror import stage_run
from nerveseg.tracking.run_page import overall, stage_states
from processes import attempt, eventually, run
from tracked_repository import client_of, initialised_with_dvc, runs_of, scores_of

pytestmark = pytest.mark.slow

SCORED = """
import json, sys
from pathlib import Path
from nerveseg.registry.project_params import load_project_params
from nerveseg.tracking.mirror import stage_run

params = load_project_params()
with stage_run(sys.argv[1], params) as run:
    run.log_scores({"unet": {"dice": 0.7 + params.lr}})
    Path("metrics").mkdir(exist_ok=True)
    Path("metrics/metrics.json").write_text(json.dumps({"unet": {"dice": 0.7 + params.lr}}))
"""
SCORED_PIPELINE = """
stages:
  train:
    cmd: python stages/train.py train
    deps: [stages/train.py]
    params: [lr]
    metrics:
      - metrics/metrics.json:
          cache: false
"""
TRAINING = """
import os, signal, sys
from pathlib import Path
from nerveseg.registry.project_params import load_project_params
from nerveseg.tracking.mirror import stage_run

record = Path.cwd() / ".nerveseg" / "run.json"
first, last, end = map(int, sys.argv[1:4])
with stage_run("train_unet", load_project_params(), record) as run:
    for epoch in range(first, last + 1):
        run.log_epoch(epoch, {"loss": 1 / epoch})
    if end:
        os.kill(os.getpid(), end)
"""


def stages_of(parent) -> dict[str, str]:
    return {k.removeprefix("stage."): v for k, v in parent.data.tags.items() if k.startswith("stage.")}


def test_the_parent_says_which_stages_came_from_the_cache(repo):
    initialised_with_dvc()
    run("dvc", "repro", "-q")
    pipeline = repo / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().replace("stage.py second", "stage.py second again"))
    run("dvc", "repro", "-q")
    (whole, _), (partly, stages) = runs_of(repo)
    assert stages_of(whole) == {"first": "ran", "second": "ran"}
    assert set(stages) == {"second"}
    assert stages_of(partly) == {"first": "cached", "second": "ran"}
    assert "- first: cached\n- second: ran" in partly.data.tags["mlflow.note.content"]


def test_a_stage_that_was_not_asked_for_is_not_called_cached(repo):
    initialised_with_dvc()
    run("dvc", "repro", "-q", "first")
    [(parent, _)] = runs_of(repo)
    assert stages_of(parent) == {"first": "ran", "second": "not run"}


def test_a_stage_run_by_hand_says_nothing_of_others(repo):
    run(sys.executable, "stage.py", "second")
    [(parent, _)] = runs_of(repo)
    assert stages_of(parent) == {"second": "ran"}


def test_stages_behind_one_are_found_through_folders_files_and_params(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "evaluate")
    Path("dvc.yaml").write_text(
        "stages:\n"
        "  phantom: {cmd: x, outs: [data/phantom]}\n"
        "  other: {cmd: x, outs: [data/other]}\n"
        "  train: {cmd: x, deps: ['${data.dir}'], outs: [models/unet], plots: [{metrics/h.csv: {cache: false}}]}\n"
        "  evaluate: {cmd: x, deps: [models/unet/weights.npz, metrics/h.csv]}\n"
        "  visualize: {cmd: x, deps: [metrics/m.json]}\n"
    )
    ours = {"data": {"dir": "data/phantom"}}
    rest = {"visualize": "not run", "other": "not run", "evaluate": "running"}
    assert stage_states("evaluate", ours) == {"phantom": "cached", "train": "cached", **rest}
    theirs = {"data": {"dir": "data/raw/clinic"}}
    assert stage_states("evaluate", theirs) == {"phantom": "not run", "train": "cached", **rest}


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["ran", "cached"], "FINISHED"),
        (["failed", "ran"], "FAILED"),
        (["killed", "failed"], "KILLED"),
        (["not run"], "FINISHED"),
    ],
)
def test_an_execution_ended_as_the_worst_of_its_stages(states, status):
    assert overall({f"stage.{number}": state for number, state in enumerate(states)} | {"other": "failed"}) == status


def test_what_a_stage_costs_the_machine_is_on_its_run(repo):
    with stage_run("evaluate", load_project_params()):
        pass
    [(_, stages)] = runs_of(repo)
    metrics = stages["evaluate"].data.metrics
    assert 0 < metrics["system/system_memory_usage_percentage"] <= 100
    assert 0 <= metrics["system/cpu_utilization_percentage"] <= 100


def test_a_training_that_was_killed_goes_on_in_its_run_with_each_epoch_once(repo):
    (repo / "train.py").write_text(TRAINING)

    def train(first: int, last: int, end: int) -> int:
        return attempt(sys.executable, "train.py", first, last, int(end)).returncode

    assert train(1, 3, signal.SIGKILL) == -signal.SIGKILL
    eventually(lambda: runs_of(repo) and "train_unet" in runs_of(repo)[0][1] and not journals())
    [(_, stages)] = runs_of(repo)
    assert stages["train_unet"].info.status == "RUNNING"
    assert train(3, 5, 0) == 0  # the checkpoint was that of epoch 2
    [(parent, stages)] = runs_of(repo)
    points = client_of(repo).get_metric_history(stages["train_unet"].info.run_id, "loss")
    assert [point.step for point in points] == [1, 2, 3, 4, 5]
    assert [each.info.status for each in (parent, stages["train_unet"])] == ["FINISHED"] * 2
    assert not (repo / ".nerveseg" / "run.json").exists()
    assert train(1, 2, 0) == 0
    assert len(runs_of(repo)) == 2  # the next one is another


def test_a_training_goes_on_in_the_run_of_its_own_params_only(repo):
    (repo / "train.py").write_text(TRAINING)
    attempt(sys.executable, "train.py", 1, 3, int(signal.SIGKILL))
    params = repo / "params.yaml"
    params.write_text(params.read_text().replace("bootstrap: 1000", "bootstrap: 999"))
    run(sys.executable, "train.py", "4", "5", "0")
    runs = [(parent.data.params["evaluate.bootstrap"], parent.info.status) for parent, _ in runs_of(repo)]
    assert sorted(runs) == [("1000", "RUNNING"), ("999", "FINISHED")]


@pytest.fixture
def scored(repo) -> Path:
    """A pipeline that writes a score, committed."""
    (repo / "stages").mkdir()
    (repo / "stages" / "train.py").write_text(SCORED)
    (repo / "dvc.yaml").write_text(SCORED_PIPELINE)
    initialised_with_dvc()
    return repo


def again_from_its_page(parent, repo: Path, folder: Path) -> bytes:
    """The metrics of a fresh clone in which one typed what the run's page says."""
    run("git", "clone", "-q", str(repo), str(folder))
    commands = parent.data.tags["mlflow.note.content"].split("```")[1].strip().splitlines()
    line = ["bash", "-ec", "\n".join(commands)]
    run(*line, cwd=folder)
    return (folder / "metrics" / "metrics.json").read_bytes()


def test_a_run_with_uncommitted_code_and_params_is_made_again_from_its_page(scored, tmp_path):
    source = scored / "stages" / "train.py"
    source.write_text(source.read_text().replace("0.7", "0.6"))
    (scored / "src").mkdir()
    (scored / "src" / "new.py").write_text("added = True\n")
    (scored / "params.yaml").write_text((scored / "params.yaml").read_text().replace("lr: 3.0e-3", "lr: 5.0e-3"))
    before = run("git", "status", "--porcelain")
    run("dvc", "repro", "-q")
    assert "stages/train.py" in before
    wanted = (scored / "metrics" / "metrics.json").read_bytes()
    [(parent, _)] = runs_of(scored)
    clone = tmp_path / "clone"
    assert again_from_its_page(parent, scored, clone) == wanted
    assert b"0.605" in wanted
    assert (clone / "src" / "new.py").read_text() == "added = True\n"
    assert parent.data.tags["nerveseg.uncommitted.patch"] == "true"


def test_an_experiment_is_made_again_from_its_page_and_by_its_name(scored, tmp_path):
    run("dvc", "exp", "run", "-q", "--temp", "-n", "aside", "-S", "lr=1e-5")
    [(parent, _)] = runs_of(scored)
    assert "nerveseg.uncommitted.patch" not in parent.data.tags
    assert parent.data.tags["dvc.exp_name"] == "aside"
    by_page = again_from_its_page(parent, scored, tmp_path / "clone")
    run("dvc", "exp", "apply", "-q", parent.data.tags["dvc.exp_name"])
    shutil.rmtree(scored / "metrics")
    run("dvc", "repro", "-q")
    assert (scored / "metrics" / "metrics.json").read_bytes() == by_page
    assert scores_of(parent) == {"unet.dice": 0.7 + 1e-5}
