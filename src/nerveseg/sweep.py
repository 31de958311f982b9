"""A search for better parameters: Optuna proposes values, DVC runs each proposal as an experiment, MLflow has the history.

Trial 3 of the sweep NAME is the experiment NAME-3. The sweep is an Optuna study in `.nerveseg/sweeps/NAME.db`, from which
the same command goes on after an interruption: each proposal depends on `seed`, the number of the trial and the trials
before it alone, so an interrupted sweep proposes what an uninterrupted one does. A trial whose U-Net falls below the median
of the earlier ones at the same epoch is stopped. All trials of a sweep are of one commit with the same changes to it.
"""

import hashlib
import logging
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from nerveseg.errors import DatasetError, ParamsError, TrackingError
from nerveseg.sweep_score import Score, score_named
from nerveseg.sweep_space import Space, read_space
from nerveseg.sweep_trial import reason_of_failure, start
from nerveseg.tracking_execution import repository_root
from nerveseg.tracking_store import open_store
from nerveseg.tracking_sweep import SweepHistory

if TYPE_CHECKING:
    from optuna import Study, Trial

FOLDER = Path(".nerveseg/sweeps")
POLL = 2.0  # seconds between two looks at a running trial
STARTUP = 3  # trials that end before one is stopped early: a median of fewer says little
INTERRUPTED = 130  # exit code, as the shell's after Ctrl-C
_READ_BY_THE_PIPELINE = ("params.yaml", "dvc.yaml", "src", "stages", "data", "models")


@dataclass(frozen=True)
class _Sweep:
    name: str
    space: Space
    score: Score
    identity: Mapping[str, Any]
    study: "Study"
    history: SweepHistory

    def experiment(self, number: int) -> str:
        return f"{self.name}-{number}"


def sweep(name: str, trials: int, given: Sequence[str], score: str) -> int:
    """Run the sweep until it has so many trials, going on where it stopped, and print the best.

    Returns:
        0; 1 where no trial has ended with a score; 130 after Ctrl-C.

    Raises:
        ParamsError: a value, the score or the name cannot be used, or the sweep of that name is another one.
        TrackingError: tracking is off, or its store cannot be used.
        DatasetError: this is no DVC repository with a commit.
    """
    _check_optuna()
    if not re.fullmatch(r"[A-Za-z0-9]+([._-]?[A-Za-z0-9]+)*", name) or name.endswith(".lock"):
        raise ParamsError(
            f"{name!r} cannot name experiments; use letters and digits with single '-', '_' or '.' between"
        )
    if trials < 1:
        raise ParamsError(f"--trials is {trials}; at least one is needed")
    space, aim = read_space(given), score_named(score)
    if trials > space.combinations:
        raise ParamsError(
            f"--trials is {trials}, but there are {space.combinations:g} combinations of these values; run all with "
            "`dvc exp run --queue -S ...`, or name ranges"
        )
    if not space.params.tracking.enabled:
        raise TrackingError(
            "a sweep stops bad trials by their curves in MLflow; set tracking.enabled: true in params.yaml"
        )
    identity = {"values": sorted(given), "score": score, **_code()}
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has made background processes deaf to the first
        signal.signal(number, signal.default_int_handler)
    folder = repository_root() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            study = _open_study(folder / f"{name}.db", name, aim, space, identity)
            run = study.user_attrs.get("mlflow_run")
            shown = {
                "score": score,
                **{f"sweep.{key}": str(values) for key, values in space.varied.items()},
                **space.fixed,
            }
            history = SweepHistory(open_store(space.params.tracking.experiment), name, shown, run)
            study.set_user_attr("mlflow_run", history.run)
            return _run(_Sweep(name, space, aim, identity, study, history), trials, folder / name)
    except Timeout:
        raise ParamsError(f"the sweep {name} is running already; wait for it, or take another name") from None


def trials_table(study: "Study", score: str) -> pd.DataFrame:
    """A row per trial: its experiment's number, how it ended, its score (of a stopped one its last Dice on val is not one),
    and its values.
    """
    rows = [
        {"trial": trial.number, "state": trial.state.name.lower(), score: _score_of(trial)}
        | {"epochs": len(trial.intermediate_values)}
        | trial.params
        for trial in study.trials
    ]
    return pd.DataFrame(rows)


def _run(sweep: _Sweep, trials: int, logs: Path) -> int:
    from optuna.trial import TrialState

    for key, values in sweep.space.varied.items():
        print(f"{key}: {values}")
    print(f"{'lowest' if sweep.score.lower_is_better else 'highest'} {sweep.score.name} in {trials} trials", flush=True)
    if not sweep.score.on_val:
        print(
            f"{sweep.score.name} is a score of the test frames: after choosing by it, it is no longer one of unseen frames"
        )
    status = "FAILED"
    try:
        while (trial := _next_trial(sweep, trials)) is not None:
            _run_trial(sweep, trial, logs / f"{trial.number}.log")
            _tell_history(sweep)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        print("\ninterrupted; the same command goes on with the trial that was stopped")
        return INTERRUPTED
    finally:
        sweep.history.end(status)
    print(_summary(sweep))
    return 0 if sweep.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) else 1


def _next_trial(sweep: _Sweep, trials: int) -> "Trial | None":
    """The trial that was interrupted, a new one, or None where there are enough."""
    import optuna

    study = sweep.study
    known = study.get_trials(deepcopy=False)
    running = [trial for trial in known if trial.state is optuna.trial.TrialState.RUNNING]
    if not running and len(known) >= trials:
        return None
    if any(sweep.identity[key] != value for key, value in _code().items()):
        raise ParamsError(
            f"the commit, the parameters or the code changed while the sweep {sweep.name} ran, and its trials would no longer "
            "compare; undo that and type the same command to go on, or begin a sweep of another name"
        )
    number = running[0].number if running else len(known)
    entropy = np.random.SeedSequence([sweep.space.params.seed, number])
    study.sampler = optuna.samplers.TPESampler(seed=int(entropy.generate_state(1)[0]))
    if running:
        return optuna.Trial(study, running[0]._trial_id)  # noqa: SLF001 - Optuna has no public way to go on with a trial
    return study.ask()


def _run_trial(sweep: _Sweep, trial: "Trial", log: Path) -> None:
    from optuna.trial import TrialState

    tried = sweep.space.suggest(trial)
    experiment = sweep.experiment(trial.number)
    print(f"{experiment}: {_shown(tried)} ... ", end="", flush=True)
    if _commit_of(experiment) is None:
        process = start(experiment, {**sweep.space.fixed, **tried}, log)
        try:
            while process.running(POLL):
                if (epoch := _bad_from(sweep, trial)) is not None:
                    process.stop()
                    sweep.study.tell(trial, state=TrialState.PRUNED)
                    print(f"stopped after epoch {epoch}: below the median of the earlier trials", flush=True)
                    return
        except BaseException:
            process.stop()
            raise
        finally:
            sweep.history.tag_trial(experiment, trial.number, _start_of(trial))
    for epoch, dice in _new_points(sweep, trial):
        trial.report(dice, epoch)
    commit = _commit_of(experiment)
    try:
        if commit is None:
            raise DatasetError(f"{reason_of_failure(log)} (all of it: {os.path.relpath(log)})")
        value = sweep.score.of(commit)
    except DatasetError as error:
        sweep.study.tell(trial, state=TrialState.FAIL)
        print(f"failed: {error}", flush=True)
        return
    sweep.study.tell(trial, value)
    best = " (best so far)" if sweep.study.best_trial.number == trial.number else ""
    print(f"{sweep.score.name} {value:.4f}{best}", flush=True)


def _bad_from(sweep: _Sweep, trial: "Trial") -> int | None:
    """The epoch after which the trial need not go on, asked epoch by epoch, however many came since the last look."""
    reported = sweep.study.trials[trial.number].intermediate_values
    if reported and trial.should_prune():  # killed between this answer and the end of the trial
        return max(reported)
    for epoch, dice in _new_points(sweep, trial):
        trial.report(dice, epoch)
        if trial.should_prune():
            return epoch
    return None


def _new_points(sweep: _Sweep, trial: "Trial") -> list[tuple[int, float]]:
    """The curve's points that Optuna has not got; mirrored where the score is minimised, for which Optuna compares them."""
    sign = -1.0 if sweep.score.lower_is_better else 1.0
    reported = sweep.study.trials[trial.number].intermediate_values
    curve = sweep.history.curve(sweep.experiment(trial.number), _start_of(trial))
    return [(epoch, sign * dice) for epoch, dice in curve.items() if epoch > max(reported, default=-1)]


def _start_of(trial: "Trial") -> float:
    return trial.datetime_start.timestamp() if trial.datetime_start else 0.0


def _open_study(file: Path, name: str, score: Score, space: Space, identity: Mapping[str, Any]) -> "Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    is_new = not file.exists()
    if is_new and (taken := _experiments(f"{name}-*")):
        raise ParamsError(
            f"there are experiments called {', '.join(taken)} already; take another name, or `dvc exp remove` them"
        )
    study = optuna.create_study(
        storage=f"sqlite:///{file}",
        study_name=name,
        direction="minimize" if score.lower_is_better else "maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=space.params.unet.epochs // 5),
        load_if_exists=True,
    )
    before = study.user_attrs.get("identity")
    if before is None:
        study.set_user_attr("identity", dict(identity))
    elif different := [key for key, value in identity.items() if before.get(key) != value]:
        told = ", ".join(f"{key} {before.get(key)}, now {identity[key]}" for key in different)
        raise ParamsError(
            f"the sweep {name} was begun with other settings ({told}); restore them, or take another name"
        )
    return study


def _tell_history(sweep: _Sweep) -> None:
    table = trials_table(sweep.study, sweep.score.name)
    scores = table.set_index("trial")[sweep.score.name].astype(float).dropna()
    best = scores.cummin() if sweep.score.lower_is_better else scores.cummax()
    numbers = [{int(str(number)): float(value) for number, value in column.items()} for column in (scores, best)]
    sweep.history.update(sweep.study, table, *numbers)


def _summary(sweep: _Sweep) -> str:
    name = sweep.score.name
    table = trials_table(sweep.study, name)
    counts = table["state"].value_counts()
    told = f"{counts.get('complete', 0)} trials with a score, {counts.get('pruned', 0)} stopped early, {counts.get('fail', 0)} failed"
    done = table[table["state"] == "complete"].sort_values(name, ascending=sweep.score.lower_is_better, kind="stable")
    if done.empty:
        return f"{told}: nothing to choose from"
    done.insert(0, "experiment", [sweep.experiment(number) for number in done["trial"]])
    shown = done.drop(columns=["trial", "state", "epochs"]).head(5)
    best = shown["experiment"].iloc[0]
    return f"\n{shown.to_string(index=False, float_format='{:.4g}'.format)}\n{told}\nnext: dvc exp apply {best}"


def _score_of(trial: Any) -> float | None:
    return trial.value if trial.state.name == "COMPLETE" else None


def _shown(tried: Mapping[str, str]) -> str:
    return ", ".join(
        f"{key} {float(text):.4g}" if "." in text and _is_number(text) else f"{key} {text}"
        for key, text in tried.items()
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _code() -> dict[str, str]:
    """What a trial's result depends on beside its parameters: the commit, and a digest of the changes to it."""
    changes = _git("diff", "HEAD", "--", *_READ_BY_THE_PIPELINE)
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changes": hashlib.sha256(changes.encode()).hexdigest()[:12] if changes else "none",
    }


def _commit_of(experiment: str) -> str | None:
    found = _experiments(experiment)
    return found.get(experiment)


def _experiments(pattern: str) -> dict[str, str]:
    """The experiments of the commit that is checked out, by name: where DVC keeps them, without a second of its start."""
    head = _git("rev-parse", "HEAD")
    listed = _git(
        "for-each-ref", "--format=%(refname:lstrip=4) %(objectname)", f"refs/exps/{head[:2]}/{head[2:]}/{pattern}"
    )
    return dict(line.split() for line in listed.splitlines())


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DatasetError(f"a sweep needs a DVC repository with a commit (git {arguments[0]}: {done.stderr.strip()})")
    return done.stdout.strip()


def _check_optuna() -> None:
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise ParamsError("nerveseg sweep needs Optuna, which is not installed; pip install 'nerveseg[sweep]'")
