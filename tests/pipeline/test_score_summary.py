import json
from copy import deepcopy
from pathlib import Path

import pytest

from nerveseg.errors import DatasetError
from nerveseg.pipeline.score_summary import RUNS, score_summary
from paths import ROOT
from processes import run
from repositories import make_repository, use_settings
from score_tables import score_rows

VALUES = {
    "exported": {"dice": 0.91, "iou": 0.86, "dice_nerve": 0.8, "presence_sensitivity": 0.95, "hd95_common": 120.25},
    "unet": {"dice": 0.9, "iou": 0.85, "dice_nerve": 0.79},
    "baseline_mean_mask": {"dice": 0.13, "dice_nerve": 0.3},
    "baseline_empty": {"dice": 0.58, "dice_nerve": 0.0, "hd95_common": None},
}
BOUNDS = {("exported", "dice_nerve"): (0.76, 0.84, ""), ("exported", "dice"): (None, None, "one subject")}
METRICS = {
    **{model: dict(values) for model, values in VALUES.items()},
    "counts": {"frames": 224, "frames_with_nerve": 94, "subjects": 32},
    "data": {"source": "data/phantom", "simulated": 1120},
    "shipped": {"source": "gan", "arm": "control", "precision": "int8"},
    "export": {},
    "degraded": {},
}
LOCK = """stages:
  preprocess:
    deps: [{path: src/nerveseg/files, md5: 1a}]
    params: {params.yaml: {seed: 1}}
    outs: [{path: data/processed, md5: 2a}]
  train_unet:
    deps: [{path: data/processed, md5: 2a}]
    params: {params.yaml: {lr: 0.1}}
    outs: [{path: models/unet, md5: 3a}]
  visualize:
    deps: [{path: src/nerveseg/reporting, md5: 4a}]
    outs: []
"""


def write(dice_nerve=0.8, **changed):
    metrics = deepcopy(METRICS) | changed
    metrics["exported"]["dice_nerve"] = dice_nerve
    Path("metrics/metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with the scores of a run in its last commit."""
    use_settings(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metrics").mkdir()
    score_rows(VALUES, BOUNDS).to_csv("metrics/scores.csv", index=False)
    write()
    Path("dvc.lock").write_text(LOCK)
    make_repository(tmp_path)


def row(name):
    return next(line for line in score_summary().splitlines() if line.startswith(name))


def test_scores_stand_beside_the_baselines_in_eighty_columns(repository):
    text = score_summary()
    assert max(len(line) for line in text.splitlines() if line != RUNS) <= 80
    assert text.startswith("data/phantom (simulated): 224 test frames of 32 subjects, 94 with a nerve\n")
    assert row("Dice, frames with nerve").split(maxsplit=4)[4].split("   ")[0] == "0.800 (0.760 to 0.840)"
    assert row("Dice, frames with nerve").split()[-3:] == ["0.790", "0.300", "0.000"]
    assert row("Dice, all frames").split()[3:] == ["0.910", "0.900", "0.130", "0.580"], "without an interval"
    assert row("HD95 (pixels)").split()[2:] == ["120.2", "n/a", "n/a", "n/a"]
    assert "What ships is the U-Net under the refiner trained without a critic, in int8." in text


def test_the_dice_on_degraded_frames_tells_why_a_refiner_ships(repository):
    assert "degraded" not in score_summary()
    write(shipped={"source": "gan", "arm": "control", "precision": "int8"}, degraded={"unet": 0.608, "control": 0.656})
    assert row("Dice, degraded frames").split() == ["Dice,", "degraded", "frames", "0.656", "0.608"]
    write(shipped={"source": "gan", "arm": "unet", "precision": "int8"}, degraded={"unet": 0.608, "control": 0.6})
    assert "degraded" not in score_summary()


def test_its_last_lines_say_where_the_report_is_how_to_see_the_runs_and_what_to_try(repository):
    report, runs, address, following = score_summary().splitlines()[-4:]
    assert "reports/index.html" in report
    assert "mlflow ui" in runs
    assert "workflowType=machine_learning" in address, "else MLflow shows traces of agents"
    assert address in (ROOT / "docs" / "mlflow.md").read_text()
    assert "dvc exp run -S lr=" in following


def test_without_a_name_in_git_it_says_how_to_set_one_before_an_experiment(repository, monkeypatch):
    assert "user.name" not in score_summary()
    monkeypatch.delenv("GIT_COMMITTER_EMAIL")
    *_, first, following = score_summary().splitlines()
    assert first.startswith("first:  git config user.name")
    assert following.startswith("next:")
    run("git", "config", "user.email", "me@example.org")
    assert "user.name" not in score_summary()


def test_equal_scores_are_called_so(repository):
    assert "These scores equal those of the last commit, bit for bit." in score_summary()


def test_scores_of_another_kind_of_processor_are_called_expected_with_what_to_do_about_the_changed_files(repository):
    write(0.83)
    text = score_summary()
    assert "dice_nerve 0.830, in the last commit 0.800 ± 0.04: as expected on another kind of processor." in text
    assert "Commit dvc.lock and metrics/" in text


@pytest.mark.parametrize("dice_nerve", [0.85, 0.75])
def test_a_difference_that_no_processor_explains_is_told(repository, dice_nerve):
    write(dice_nerve)
    assert "± 0.04: more than between two kinds of processor." in score_summary()
    assert "as expected" not in score_summary()


@pytest.mark.parametrize("was", ["md5: 1a", "md5: 2a}]\n  train", "seed: 1", "lr: 0.1"])
def test_scores_of_other_code_parameters_or_data_are_compared_without_an_expectation(repository, was):
    write(0.6)
    assert was in LOCK
    Path("dvc.lock").write_text(LOCK.replace(was, was.replace("1", "5").replace("2a", "6a")))
    text = score_summary()
    assert (
        "dice_nerve changed by -0.200 against the last commit,\nwhose dvc.lock is of other code, parameters or data."
        in text
    )
    assert "expected" not in text


def test_another_report_or_another_network_alone_is_no_other_code(repository):
    write(0.79)
    Path("dvc.lock").write_text(LOCK.replace("3a", "7a").replace("4a", "8a"))
    assert "as expected on another kind of processor" in score_summary()


def test_without_scores_in_the_last_commit_none_are_compared(repository, tmp_path):
    run("git", "rm", "-q", "--cached", "metrics/metrics.json", cwd=tmp_path)
    run("git", "commit", "-qm", "without", cwd=tmp_path)
    assert "last commit" not in score_summary()


def test_a_warning_about_the_export_is_repeated(repository):
    write(export={"warning": "it loses a lot"})
    assert "Warning: it loses a lot." in score_summary()


def test_without_a_run_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=r"metrics/metrics\.json was not found; run `dvc repro` first"):
        score_summary()
