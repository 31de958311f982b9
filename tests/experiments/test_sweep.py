"""Against real DVC, Optuna and MLflow: the pipeline is one stage that knows its Dice on val from the learning rate."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import psutil
import pytest

from command_line import nerveseg
from nerveseg.errors import ParamsError, TrackingError
from nerveseg.experiments import sweep as sweep_module
from nerveseg.experiments import sweep_study
from nerveseg.experiments.sweep import sweep
from nerveseg.experiments.sweep_space import read_space
from nerveseg.experiments.sweep_study import next_trial, open_study
from processes import PATIENCE, eventually, run
from tracked_repository import client_of, initialised_with_dvc

pytestmark = pytest.mark.slow

STAGE = """
import json, math, os, pathlib, sys, time
from nerveseg.registry.project_params import load_project_params
from nerveseg.tracking.mirror import stage_run

params = load_project_params()
open(os.environ["STARTS"], "a").write(f"{params.lr}\\n")
bad = params.lr > 0.01
if bad and os.environ.get("FAIL"):
    sys.exit("error: the loss is nan in epoch 2")
dice = max(0.0, 1 - abs(math.log10(params.lr) + 3) / 3)
curve = [(epoch, dice * (1 - 0.5**epoch)) for epoch in range(1, 5)]
with stage_run("train_unet", params) as run:
    for epoch, value in curve:
        time.sleep(float(os.environ["BAD_PACE" if bad else "PACE"]))
        run.log_epoch(epoch, {"val_dice": value})
folder = pathlib.Path("metrics")
folder.mkdir(exist_ok=True)
(folder / "unet_history.csv").write_text("epoch,val_dice\\n" + "".join(f"{e},{v}\\n" for e, v in curve))
(folder / "metrics.json").write_text(json.dumps({"gan": {"dice_nerve": dice}}))
"""
PIPELINE = """
stages:
  train_unet:
    cmd: python stage.py
    deps: [stage.py]
    params: [lr]
    metrics: [metrics/metrics.json: {cache: false}]
    plots: [metrics/unet_history.csv: {cache: false}]
"""
# The sweep as one types it, but that a second trial can be stopped already.
COMMAND = "import sys; from nerveseg import cli; from nerveseg.experiments import sweep_study; sweep_study.STARTUP = 1; sys.argv[0] = 'nerveseg'; cli.main()"
VALUES = ["-S", "lr=1e-5..1e-1", "-S", "unet.epochs=4"]  # seed 2016 proposes a good rate, then two bad ones


@pytest.fixture
def repo(repo, own_dvc, tmp_path, monkeypatch):
    monkeypatch.setenv("STARTS", str(tmp_path / "starts"))
    monkeypatch.setenv("PACE", "0")
    monkeypatch.setenv("BAD_PACE", "0")
    (repo / "stage.py").write_text(STAGE)
    (repo / "dvc.yaml").write_text(PIPELINE)
    initialised_with_dvc()
    yield repo
    for process in trials_of(repo):
        os.killpg(process.pid, signal.SIGKILL)


def trials_of(folder: Path) -> list[psutil.Process]:
    """The experiments that sweeps in this folder have running."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            if (
                "exp" in line
                and "--temp" in line
                and Path(process.cwd()).is_relative_to(folder)
                and os.getsid(process.pid) == process.pid
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def begin(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-c", COMMAND, "sweep", *arguments, *VALUES]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture
def finish(monkeypatch, capsys):
    """Runs a sweep to its end, in this process; what it printed."""
    monkeypatch.setattr(sweep_study, "STARTUP", 1)
    monkeypatch.setattr(sweep_module, "POLL", 0.2)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def finishing(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        ended = nerveseg("sweep", *arguments, *VALUES)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        printed = "".join(capsys.readouterr())
        if isinstance(ended, str):
            ended, printed = 1, printed + ended
        assert ended == code, printed
        return printed

    return finishing


def starts(folder: Path) -> list[str]:
    """The learning rate of each training that began."""
    file = folder.parent / "starts"
    return file.read_text().split() if file.exists() else []


def study_of(folder: Path, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/.nerveseg/sweeps/{name}.db")


def outcomes(folder: Path, name: str) -> list[tuple]:
    return [(trial.state.name, trial.params, trial.value) for trial in study_of(folder, name).trials]


def runs_of(folder: Path, condition: str) -> list:
    client = client_of(folder)
    return client.search_runs([client.get_experiment_by_name("nerveseg").experiment_id], condition)


def test_a_bad_trial_is_stopped_and_mlflow_has_the_history(repo, monkeypatch, finish):
    monkeypatch.setenv("BAD_PACE", "5")
    printed = finish("rates", "--trials", "2")

    assert "rates-0: lr 0.001693 ... val_dice 0.8660 (best so far)" in printed
    assert "rates-1: lr 0.02106 ... stopped after epoch 1" in printed
    assert "1 with a score, 1 stopped early, 0 failed\nnext: dvc exp apply rates-0" in printed
    assert run("dvc", "exp", "list", "--name-only").split() == ["rates-0"]
    assert not run("git", "status", "--porcelain")

    (history,) = runs_of(repo, "attributes.run_name = 'rates'")
    assert (history.info.status, history.data.tags["nerveseg.experiments.sweep"]) == ("FINISHED", "rates")
    assert history.data.params["lr"] == "1e-05 to 0.1, log-uniform"
    client = client_of(repo)
    best = study_of(repo, "rates").best_value
    for key in ("score", "best_score"):
        assert [(point.step, point.value) for point in client.get_metric_history(history.info.run_id, key)] == [
            (0, best)
        ]
    kept = {file.path for file in client.list_artifacts(history.info.run_id)}
    assert kept == {"trials.csv", "history.png", "slice.png", "curves.png"}
    trials = runs_of(repo, "tags.`nerveseg.experiments.sweep` = 'rates' and tags.`nerveseg.trial` != ''")
    told = {run.data.tags["dvc.exp_name"]: (run.data.tags["nerveseg.trial"], run.info.status) for run in trials}
    assert told == {"rates-0": ("0", "FINISHED"), "rates-1": ("1", "KILLED")}

    params = repo / "params.yaml"
    params.write_text(params.read_text().replace("seed: 2016", "seed: 1"))
    assert "was begun with other settings (changes none, now " in finish("rates", "--trials", "3", code=1)


def test_a_sweep_that_was_killed_goes_on_and_proposes_what_an_uninterrupted_one_does(repo, monkeypatch, finish):
    monkeypatch.setenv("PACE", "3")
    monkeypatch.setenv("BAD_PACE", "3")
    first = begin("killed", "--trials", "3")
    eventually(lambda: len(starts(repo)) == 1, first)
    first.kill()  # its trial goes on
    first.wait()
    (trial,) = trials_of(repo)
    second = begin("killed", "--trials", "3")
    eventually(lambda: len(starts(repo)) == 2, second)
    assert not trial.is_running()  # the second sweep waited for it
    second.kill()
    for process in trials_of(repo):  # as when the machine stops
        os.killpg(process.pid, signal.SIGKILL)
    second.wait()
    monkeypatch.setenv("BAD_PACE", "0")
    assert "in 3 trials, 1 of which have ended" in finish("killed", "--trials", "3")
    rates = starts(repo)
    assert len(rates) == 4
    assert rates[1] == rates[2]  # what was stopped began again, with its values

    uninterrupted = open_study(repo / "whole.db", minimise=False, warmup=0, identity={})
    for _, params, value in outcomes(repo, "killed"):
        trial = next_trial(uninterrupted, seed=2016)
        read_space(["lr=1e-5..1e-1"]).suggest(trial)
        assert trial.params == params
        uninterrupted.tell(trial, value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_trial_too_and_says_how_to_go_on(repo, monkeypatch, number):
    monkeypatch.setenv("PACE", "30")
    process = begin("stopped", "--trials", "2")
    eventually(lambda: starts(repo), process)
    process.send_signal(number)
    printed = process.communicate(timeout=PATIENCE)[0]

    assert process.returncode == 128 + number
    assert printed.endswith("interrupted; the same command resumes this trial\n")
    assert not trials_of(repo)
    assert [state for state, _, _ in outcomes(repo, "stopped")] == ["RUNNING"]
    (history,) = runs_of(repo, "attributes.run_name = 'stopped'")
    assert history.info.status == "KILLED"


def test_a_trial_that_fails_is_told_and_the_sweep_goes_on(repo, monkeypatch, finish):
    monkeypatch.setenv("FAIL", "1")
    printed = finish("some", "--trials", "3")
    assert (
        "some-1: lr 0.02106 ... failed: error: the loss is nan in epoch 2 (full log: .nerveseg/sweeps/some/1.log)"
        in printed
    )
    assert "1 with a score, 0 stopped early, 2 failed" in printed


def test_a_sweep_without_any_score_has_exit_code_1(repo, finish):
    (repo / "stage.py").write_text("raise SystemExit('error: no disk')")
    assert "0 with a score, 0 stopped early, 1 failed\nno trial has a score" in finish("none", "--trials", "1", code=1)


def test_names_that_experiments_have_already_are_not_taken(repo, finish):
    head = run("git", "rev-parse", "HEAD")
    run("git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/mine-0", head)
    assert "there are experiments called mine-0 already" in finish("mine", "--trials", "1", code=1)


def test_a_sweep_runs_once(repo, finish):
    from filelock import FileLock

    folder = repo / ".nerveseg" / "sweeps"
    folder.mkdir(parents=True)
    with FileLock(folder / "twice.lock"):
        assert "the sweep twice is running already" in finish("twice", "--trials", "1", code=1)


@pytest.mark.parametrize(
    ("name", "trials", "values", "score", "told"),
    [
        ("a/b", 2, "lr=1e-4..1e-2", "val_dice", "'a/b' cannot name experiments"),
        ("a", 0, "lr=1e-4..1e-2", "val_dice", "--trials is 0"),
        ("a", 4, "lr=1e-4,1e-3,1e-2", "val_dice", "these values have only 3 combinations"),
        ("a", 4, "unet.filters=1,2", "val_dice", "unet.filters is not a parameter"),
        ("a", 4, "lr=1e-4..1e-2", "dice", "--score dice is not a score"),
    ],
)
def test_mistakes_are_told_before_anything_is_begun(repo, name, trials, values, score, told):
    with pytest.raises(ParamsError) as error:
        sweep(name, trials, [values], score)
    assert told in str(error.value)
    assert not (repo / ".nerveseg").exists()


def test_without_tracking_there_is_no_sweep(repo):
    with pytest.raises(TrackingError, match=r"set tracking\.enabled: true"):
        sweep("a", 2, ["lr=1e-4..1e-2", "tracking.enabled=false"], "val_dice")


def test_without_optuna_it_is_said_how_to_get_it(repo, monkeypatch):
    for name in ("sweep", "sweep_study"):
        monkeypatch.delitem(sys.modules, f"nerveseg.experiments.{name}")
    monkeypatch.setitem(sys.modules, "optuna", None)
    told = nerveseg("sweep", "a", "--trials", "2", "-S", "lr=1e-4..1e-2")
    assert re.fullmatch(r"error: this needs optuna, which is not installed; run `pip install .*\[sweep\].*", told)


def test_a_study_of_other_values_is_not_gone_on_with(tmp_path):
    file = tmp_path / "a.db"
    open_study(file, minimise=False, warmup=0, identity={"values": ["lr=1,2"]})
    with pytest.raises(ParamsError, match="begun with other settings"):
        open_study(file, minimise=False, warmup=0, identity={"values": ["lr=1,3"]})
