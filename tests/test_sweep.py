"""`nerveseg sweep` with a pipeline of one stage, whose score is best at a learning rate of 1e-3."""

import os
import signal
import subprocess
import sys
import time

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from conftest import ROOT
from nerveseg import cli
from tracked_repository import PATIENCE, client_of, initialised_with_dvc, run

TRAINING = r"""
import json, math, sys, time
from pathlib import Path
from nerveseg.params import load_params
from nerveseg.tracking import stage_run

params = load_params()
dice = 1 - abs(math.log10(params.lr) + 3) / 4
if params.unet.epochs == 13:
    sys.exit("unlucky")
with stage_run("train_unet", params) as run:
    for epoch in range(1, 4):
        run.log_epoch(epoch, {"val_dice": dice * epoch / 3})
    time.sleep(60 if dice < 0.5 else 0)  # a bad one takes long, if nobody stops it
Path("metrics").mkdir(exist_ok=True)
Path("metrics/unet_history.csv").write_text(f"epoch,val_dice\n1,{dice}\n2,{dice / 2}\n")
Path("metrics/metrics.json").write_text(json.dumps({"gan": {"dice_nerve": dice}}))
"""
PIPELINE = """
stages:
  train_unet:
    cmd: {python} stage.py
    deps: [stage.py]
    params: [lr, unet.epochs]
    plots:
      - metrics/unet_history.csv:
          cache: false
    metrics:
      - metrics/metrics.json:
          cache: false
"""


@pytest.fixture
def sweeping(repo):
    (repo / "stage.py").write_text(TRAINING)
    (repo / "dvc.yaml").write_text(PIPELINE.format(python=sys.executable))
    initialised_with_dvc()
    return repo


def swept(*arguments: str) -> object:
    """The exit code, or the message."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", *arguments])
    return ended.value.code


def runs(repo, wanted: str):
    client = client_of(repo)
    return client.search_runs([client.get_experiment_by_name("nerveseg").experiment_id], wanted)


def test_a_sweep_finds_the_better_value_stops_a_bad_trial_early_and_tells_mlflow(sweeping, capsys):
    start = time.monotonic()
    assert swept("search", "--trials", "5", "-S", "lr=1e-3,2e-3,1.5e-3,1e-7") == 0
    out = capsys.readouterr().out
    tried = [
        line.partition("lr=")[2].strip() for line in out.splitlines() if line.startswith("search-") and "lr=" in line
    ]
    assert len(tried) == 5
    scores = [float(line.split("val_dice ")[1].split(",")[0]) for line in out.splitlines() if "best so far" in line]
    best = next(line for line in out.splitlines() if line.startswith("next: "))
    experiment = best.removeprefix("next: dvc exp apply ")
    assert experiment.startswith("search-")
    assert run("git", "status", "--porcelain") == "", "the workspace is as it was"
    run("dvc", "exp", "apply", "-q", experiment)
    assert f'"dice_nerve": {max(scores):.4f}'[:-3] in (sweeping / "metrics" / "metrics.json").read_text()

    (history,) = [
        each for each in runs(sweeping, "tags.`nerveseg.sweep` = 'search'") if "nerveseg.trial" not in each.data.tags
    ]
    assert (history.info.run_name, history.info.status) == ("search", "FINISHED")
    assert history.data.metrics["best_score"] == pytest.approx(max(scores), abs=1e-4)
    client = client_of(sweeping)
    assert {file.path for file in client.list_artifacts(history.info.run_id)} == {
        "trials.csv",
        "history.png",
        "slice.png",
    }
    trials = [each for each in runs(sweeping, "tags.`nerveseg.sweep` = 'search'") if "nerveseg.trial" in each.data.tags]
    assert len(trials) == len(set(tried)), "DVC's run cache served the others, without a run"
    assert time.monotonic() - start < PATIENCE


def test_a_trial_below_the_median_of_the_others_is_stopped_and_its_run_is_killed(sweeping, capsys):
    folder = sweeping / ".nerveseg" / "sweeps"
    folder.mkdir(parents=True)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "good.journal")))
    study = optuna.create_study(storage=storage, study_name="good", direction="maximize")
    for lr in ("1e-3", "2e-3", "5e-3", "1e-7"):
        study.enqueue_trial({"lr": lr})
    start = time.monotonic()
    assert swept("good", "--trials", "4", "-S", "lr=1e-3,2e-3,5e-3,1e-7") == 0
    assert "good-3: stopped early" in capsys.readouterr().out
    assert time.monotonic() - start < PATIENCE
    (parent,) = [
        each for each in runs(sweeping, "tags.`dvc.exp_name` = 'good-3'") if "mlflow.parentRunId" not in each.data.tags
    ]
    assert parent.info.status == "KILLED"


def test_a_sweep_goes_on_with_the_values_that_it_was_begun_with_only(sweeping):
    assert swept("same", "--trials", "1", "-S", "lr=1e-3", "--score", "gan.dice_nerve") == 0
    assert "was begun with -S lr=1e-3;" in str(swept("same", "--trials", "2", "-S", "lr=2e-3"))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "nerveseg.cli", "sweep", *arguments]


def test_a_sweep_that_was_killed_goes_on_with_the_trials_of_one_that_was_not(sweeping, capsys):
    space = ["-S", "lr=log:5e-4..5e-3", "-S", "unet.epochs=20..40"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        command("twice", "--trials", "3", *space), env=environment, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout.readline().startswith("twice-0: ")
        assert "twice-0" in first.stdout.readline()
        assert first.stdout.readline().startswith("twice-1: ")
        first.kill()
    end = time.monotonic() + 60
    while b"twice-1" in subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True).stdout:
        assert time.monotonic() < end
        time.sleep(0.5)
    assert swept("twice", "--trials", "3", *space) == 0
    resumed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("twice-") and "lr=" in line]
    assert swept("once", "--trials", "3", *space) == 0
    whole = [line for line in capsys.readouterr().out.splitlines() if line.startswith("once-") and "lr=" in line]
    assert [line.replace("twice", "once") for line in resumed] == whole[1:]


def test_a_trial_that_fails_is_told_and_the_sweep_goes_on(sweeping, capsys):
    assert swept("odd", "--trials", "2", "-S", "unet.epochs=13") == 1
    told = capsys.readouterr()
    assert "odd-1: failed" in told.err
    assert "no trial of odd has a score" in told.err
    assert "unlucky" in (sweeping / ".nerveseg" / "sweeps" / "odd-0.log").read_text()


def test_ctrl_c_stops_the_trial_and_says_that_the_command_goes_on(sweeping):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        command("slow", "--trials", "1", "-S", "lr=1e-7"),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as sweep:
        assert sweep.stdout.readline().startswith("slow-0")
        time.sleep(8)
        sweep.send_signal(signal.SIGINT)
        _, err = sweep.communicate(timeout=PATIENCE)
    assert sweep.returncode == 130
    assert "goes on from here" in err
    assert "Traceback" not in err
    assert b"slow-0" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("lrr=1e-3,1e-4", "lrr is not a parameter"),
        ("unet.filters=1,2", "unet.filters is not a parameter; did you mean"),
        ("lr=0.001,-1", "lr=-1: lr is -1"),
        ("lr=1e-2..1e-4", "is no range"),
        ("lr=low..1e-4", "lr=low: lr is 'low'"),
        ("lr", "expected each parameter once"),
    ],
)
def test_what_the_params_do_not_allow_is_told_before_the_first_trial(sweeping, setting, told):
    message = str(swept("none", "--trials", "1", "-S", setting))
    assert told in message
    assert "\n" not in message
    assert not (sweeping / ".nerveseg").exists()


def test_without_optuna_the_way_to_get_it_is_told(sweeping, monkeypatch):
    monkeypatch.setattr("nerveseg.sweep.find_spec", lambda _: None)
    assert "pip install 'nerveseg[sweep]'" in str(swept("none", "--trials", "1", "-S", "lr=1e-3,1e-4"))
