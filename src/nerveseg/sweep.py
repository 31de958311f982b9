"""A search for better params: Optuna proposes, and each trial is a DVC experiment.

The study is kept below `.nerveseg/sweeps/` at the repository's root, so that the same command goes on where it was
interrupted: a trial that was running is run again with the same values. Each proposal is drawn from `seed` and the number of
trials that ended, so that an interrupted sweep proposes what it would have proposed without the interruption.

Trials are stopped early by the median rule (Golovin and others 2017, "Google Vizier", section 3.2.2): a training whose Dice on
val is at some epoch below the median of the others at that epoch is given up. It needs no schedule of its own, and compares
trainings of one length, as these are.
"""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nerveseg.params import load_params
from nerveseg.sweep_space import SweepError, search_space
from nerveseg.tracking_execution import repository_root
from nerveseg.tracking_sweep import CURVE, SweepRun

if TYPE_CHECKING:
    import optuna

FOLDER = Path(".nerveseg/sweeps")
POLL = 2.0  # seconds between two looks at the curve of a training
PATIENCE = 60.0  # seconds that a trial has to end after it was told to
UNJUDGED = 3  # first trials, which are never stopped early
_METRICS, _HISTORY = "metrics/metrics.json", "metrics/unet_history.csv"
_AGAIN = "again"  # mark of a trial that was interrupted and is run again


def sweep(name: str, settings: Sequence[str], trials: int, score: str) -> bool:
    """Run trials until so many have ended, and print the best.

    Args:
        name: of the sweep; its trials are the experiments NAME-0, NAME-1, ...
        settings: what to try (`sweep_space`).
        trials: that end in a score, are stopped early, or fail.
        score: `val_dice`, the best Dice of the U-Net on val, or one of metrics.json, keys joined by dots, which is of test;
            higher is better.

    Returns:
        Whether any trial has a score.

    Raises:
        SweepError: Optuna is not there, or the sweep cannot be run as asked.
        KeyboardInterrupt: after the running trial was stopped.
    """
    if find_spec("optuna") is None:
        raise SweepError("Optuna is not installed, which a sweep needs; install it with: pip install 'nerveseg[sweep]'")
    params = load_params()
    if not params.tracking.enabled:
        raise SweepError(
            "tracking.enabled is false, but a sweep reads the curves of its trials in MLflow; set it to true"
        )
    space = search_space(settings, Path("params.yaml"))
    study = _study(name)
    if study.user_attrs.setdefault("settings", list(settings)) != list(settings):
        raise SweepError(
            f"the sweep {name} was begun with -S {' -S '.join(study.user_attrs['settings'])}; go on with the same, or name this "
            "one otherwise"
        )
    study.set_user_attr("settings", list(settings))
    run = SweepRun(params.tracking.experiment, name)
    try:
        _take_up(study)
        while (number := len(_ended(study))) < trials:
            _run_trial(study, space, f"{name}-{number}", number, params.seed, score, run)
    except BaseException as error:
        run.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    run.end("FINISHED")
    return _tell(study, name, score)


def _study(name: str) -> "optuna.Study":
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = repository_root() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(folder / f"{name}.journal")))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=UNJUDGED)
    return optuna.create_study(
        storage=storage, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
    )


def _take_up(study: "optuna.Study") -> None:
    """Have a trial that an interruption left run again."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.enqueue_trial(trial.params, user_attrs={_AGAIN: True})
        study.set_user_attr(f"interrupted-{trial.number}", value=True)
        study.tell(trial.number, state=TrialState.FAIL)


def _ended(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    """Without those that were interrupted."""
    interrupted = study.user_attrs
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and f"interrupted-{trial.number}" not in interrupted
    ]


def _run_trial(
    study: "optuna.Study",
    space: "Mapping[str, optuna.distributions.BaseDistribution]",
    experiment: str,
    number: int,
    seed: int,
    score: str,
    run: SweepRun,
) -> None:
    import optuna

    study.sampler = optuna.samplers.TPESampler(seed=seed + number)
    trial = study.ask(dict(space))
    trial.set_user_attr("experiment", experiment)
    if _score_of(experiment, score) is not None and _AGAIN not in trial.user_attrs:
        trial.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        raise SweepError(
            f"there is an experiment {experiment} already, of another sweep; name this one otherwise, or remove that with "
            f"`dvc exp remove {experiment}` and delete {FOLDER}"
        )
    print(f"{experiment}: {_values(trial.params)}", flush=True)
    log = repository_root() / FOLDER / f"{experiment}.log"
    pruned = _score_of(experiment, score) is None and not _run_experiment(experiment, trial, log, run)
    found = _score_of(experiment, score)
    if pruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        print(f"{experiment}: stopped early")
    elif found is None:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        print(f"{experiment}: failed, or has no {score}; {log} has what it printed", file=sys.stderr)
    else:
        study.tell(trial, found)
        print(f"{experiment}: {score} {found:.4f}, best so far {study.best_value:.4f}")
        run.log_trial(number, experiment, {"score": found, "best_score": study.best_value})
    with tempfile.TemporaryDirectory() as folder:
        run.log_history(study, Path(folder))


def _run_experiment(experiment: str, trial: "optuna.Trial", log: Path, run: SweepRun) -> bool:
    """Whether it came to its end, be it a failure, rather than being stopped early."""
    changes = [argument for key, value in trial.params.items() for argument in ("-S", f"{key}={value}")]
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "-n", experiment, *changes]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            while process.poll() is None:
                if _report(trial, run.curve(experiment)) and trial.should_prune():
                    return False
                time.sleep(POLL)
        finally:
            _stop(process)
    _report(trial, run.curve(experiment))  # later trials are held against the whole of it
    return True


def _report(trial: "optuna.Trial", curve: Mapping[int, float]) -> bool:
    """Whether the training has begun."""
    known = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    for epoch, value in curve.items():
        if epoch not in known:
            trial.report(value, epoch)
    return bool(curve)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End DVC and its stage, as Ctrl-C does; those that do not listen are killed."""
    for way in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, way)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                continue


def _score_of(experiment: str, score: str) -> float | None:
    """Of a finished experiment; None where there is none of this name, or no such score in it."""
    listed = subprocess.run(
        ["git", "for-each-ref", "--format=%(refname)", "refs/exps"], capture_output=True, text=True, check=False
    )
    ref = next((ref for ref in listed.stdout.split() if ref.rpartition("/")[2] == experiment), None)
    if ref is None:
        return None
    if score == CURVE:
        history = _committed(ref, _HISTORY)
        return None if history is None else float(pd.read_csv(io.StringIO(history))[CURVE].max())
    metrics = _committed(ref, _METRICS)
    value: Any = None if metrics is None else json.loads(metrics)
    for key in score.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _committed(ref: str, path: str) -> str | None:
    shown = subprocess.run(["git", "show", f"{ref}:./{path}"], capture_output=True, text=True, check=False)
    return shown.stdout if shown.returncode == 0 else None


def _tell(study: "optuna.Study", name: str, score: str) -> bool:
    rows = [
        {
            "experiment": trial.user_attrs["experiment"],
            "state": {"COMPLETE": "done", "PRUNED": "stopped early", "FAIL": "failed"}[trial.state.name],
            score: trial.value if trial.state.name == "COMPLETE" else float("nan"),
            **trial.params,
        }
        for trial in _ended(study)
    ]
    table = pd.DataFrame(rows).sort_values(score, ascending=False, kind="stable")
    print(table.to_string(index=False, na_rep="", float_format="{:.6g}".format))
    if not (any_done := bool(table[score].notna().any())):
        print(f"no trial of {name} has a score", file=sys.stderr)
    else:
        print(f"next: dvc exp apply {table['experiment'].iloc[0]}")
    return any_done


def _values(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in params.items())
