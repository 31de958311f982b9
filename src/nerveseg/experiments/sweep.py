"""Search for better parameters: Optuna proposes values, DVC runs each proposal as an experiment, MLflow keeps the history.

Trial 3 of the sweep NAME is the experiment NAME-3. The sweep is stored in `.nerveseg/sweeps/NAME.db` at the repository's
root; after an interruption, the same command resumes it. A trial is stopped if its U-Net falls behind earlier ones on val.
All trials of a sweep have the same commit and the same changes to it, so that they compare.
"""

import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from nerveseg.errors import DatasetError, ParamsError, TrackingError
from nerveseg.experiments import sweep_study
from nerveseg.experiments.dvc_experiments import code, experiments
from nerveseg.experiments.sweep_history import SweepHistory
from nerveseg.experiments.sweep_score import Score, score_named
from nerveseg.experiments.sweep_space import Space, read_space
from nerveseg.experiments.sweep_study import Study, Trial, TrialState
from nerveseg.experiments.sweep_trial import reason_of_failure, start
from nerveseg.repository import repository_root
from nerveseg.text.foreign_text import on_one_line
from nerveseg.tracking.store import open_store

FOLDER = Path(".nerveseg/sweeps")
POLL = 2.0  # seconds between two checks of a running trial
SHOWN = 5  # trials in the table of the best
_NAME = re.compile(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*")


def sweep(name: str, trials: int, given: Sequence[str], score: str) -> int:
    """Run or resume the sweep until it has this many trials, and print the best; 1 without any score, 128 + its number after a signal.

    Raise ParamsError if a value, the score or the name cannot be used, the sweep of that name has other settings or is
    running, or the code changed while it ran; TrackingError if tracking is off or its store cannot be used;
    DatasetError if this is no repository with a commit.
    """
    space, aim = read_space(given), score_named(score)
    _check(name, trials, space)
    identity = {"values": sorted(given), "score": score, **code()}
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell makes background processes ignore SIGINT
        signal.signal(number, _interrupt)
    folder = repository_root() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            return _Sweep.of(name, space, aim, identity, folder).run(trials)
    except Timeout:
        raise ParamsError(f"the sweep {name} is running already; wait for it, or choose another name") from None


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(number)


def _check(name: str, trials: int, space: Space) -> None:
    if not _NAME.fullmatch(name) or name.endswith(".lock"):
        raise ParamsError(f"{name!r} cannot name experiments; use letters and digits, a single '-', '_' or '.' between")
    if trials < 1:
        raise ParamsError(f"--trials is {trials}; at least one is needed")
    if trials > space.combinations:
        raise ParamsError(
            f"--trials is {trials}, but these values have only {space.combinations:g} combinations; run them all with "
            "`dvc exp run --queue -S ...`, or give ranges"
        )
    if not space.params.tracking.enabled:
        raise TrackingError(
            "a sweep stops bad trials by their curves in MLflow, but tracking is off; set tracking.enabled: true in params.yaml"
        )


@dataclass(frozen=True)
class _Sweep:
    name: str
    space: Space
    score: Score
    code: Mapping[str, str]
    study: Study
    history: SweepHistory
    logs: Path

    @classmethod
    def of(cls, name: str, space: Space, score: Score, identity: Mapping[str, object], folder: Path) -> "_Sweep":
        file = folder / f"{name}.db"
        if not file.exists() and (taken := experiments(f"{name}-*")):
            raise ParamsError(
                f"there are experiments called {', '.join(taken)} already; choose another name, or `dvc exp remove` them"
            )
        store = open_store(space.params.tracking.experiment)
        warmup = space.params.unet.epochs // 3  # Dice on val is not steady before
        study = sweep_study.open_study(file, minimise=score.lower_is_better, warmup=warmup, identity=identity)
        shown = {"score": score.name, **{key: str(values) for key, values in space.varied.items()}, **space.fixed}
        history = SweepHistory(store, name, shown, study.user_attrs.get("mlflow_run"))
        study.set_user_attr("mlflow_run", history.run)
        return cls(name, space, score, code(), study, history, folder / name)

    def run(self, trials: int) -> int:
        self._announce(trials)
        status = "FAILED"
        try:
            while sweep_study.ended(self.study) < trials:
                self._run_next()
                self._log()
            status = "FINISHED"
        except KeyboardInterrupt as interrupt:
            status = "KILLED"
            print("\ninterrupted; the same command resumes this trial")
            return 128 + interrupt.args[0]  # 130 after Ctrl-C
        finally:
            self.history.end(status)
        return self._conclude()

    def _announce(self, trials: int) -> None:
        for key, values in self.space.varied.items():
            print(f"{key}: {values}")
        done = f", {there} of which have ended" if (there := sweep_study.ended(self.study)) else ""
        aim = "lowest" if self.score.lower_is_better else "highest"
        print(f"searching for the {aim} {self.score.name} in {trials} trials{done}")
        if not self.score.on_val:
            print(f"{self.score.name} is of the test frames: if it chooses parameters, it is no score on unseen people")

    def _run_next(self) -> None:
        if code() != self.code:
            raise ParamsError(
                f"the commit, the parameters or the code changed while the sweep {self.name} ran, so its trials would not "
                "compare; undo the change and type the same command to resume, or start a sweep of another name"
            )
        trial = sweep_study.next_trial(self.study, self.space.params.seed)
        tried = self.space.suggest(trial)
        print(f"{self._experiment(trial)}: {_shown(tried)} ... ", end="", flush=True)
        if (epoch := self._train(trial, tried)) is not None:
            self.study.tell(trial, state=TrialState.PRUNED)
            print(f"stopped after epoch {epoch}: below the median of earlier trials", flush=True)
            return
        try:
            value = self._value(trial)
        except DatasetError as error:
            self.study.tell(trial, state=TrialState.FAIL)
            print(f"failed: {on_one_line(error)}", flush=True)
            return
        self.study.tell(trial, value)
        best = " (best so far)" if self.study.best_trial.number == trial.number else ""
        print(f"{self.score.name} {value:.4f}{best}", flush=True)

    def _train(self, trial: Trial, tried: Mapping[str, str]) -> int | None:
        """Run the experiment unless it has ended before; return the epoch after which it was stopped, if it was."""
        experiment, since = self._experiment(trial), _start_of(trial)
        if experiment not in experiments(experiment):
            process = start(experiment, {**self.space.fixed, **tried}, self._log_of(trial))
            try:
                while process.running(POLL):
                    if (epoch := self._falls_behind(trial)) is not None:
                        process.stop()
                        return epoch
            except BaseException:
                process.stop()
                raise
            finally:
                self.history.tag_trial(experiment, trial.number, since)
        for epoch, dice in self._new_points(trial):
            trial.report(dice, epoch)
        return None

    def _falls_behind(self, trial: Trial) -> int | None:
        """Return the epoch after which the trial falls behind; each epoch since the last check is tested."""
        known = sweep_study.reported(self.study, trial.number)
        if known and trial.should_prune():  # the sweep was killed after this answer
            return max(known)
        for epoch, dice in self._new_points(trial):
            trial.report(dice, epoch)
            if sys.stdout.isatty():
                print(f"{epoch} ", end="", flush=True)
            if trial.should_prune():
                return epoch
        return None

    def _new_points(self, trial: Trial) -> list[tuple[int, float]]:
        """Return the points of the curve that the study lacks, negated if low is good."""
        last = max(sweep_study.reported(self.study, trial.number), default=-1)
        curve = self.history.curve(self._experiment(trial), _start_of(trial))
        sign = -1.0 if self.score.lower_is_better else 1.0
        return [(epoch, sign * dice) for epoch, dice in curve.items() if epoch > last]

    def _value(self, trial: Trial) -> float:
        commit = experiments(self._experiment(trial)).get(self._experiment(trial))
        if commit is None:
            log = self._log_of(trial)
            raise DatasetError(f"{reason_of_failure(log)} (full log: {os.path.relpath(log)})")
        return self.score.of(commit)

    def _log(self) -> None:
        table = sweep_study.trials_table(self.study, self.score.name)
        scores = table.set_index("trial")[self.score.name].dropna()
        best = scores.cummin() if self.score.lower_is_better else scores.cummax()
        self.history.update(self.study, table, {"score": scores.to_dict(), "best_score": best.to_dict()})

    def _conclude(self) -> int:
        table = sweep_study.trials_table(self.study, self.score.name)
        counts = table["state"].value_counts()
        done = table[table["state"] == "complete"]
        done = done.sort_values(self.score.name, ascending=self.score.lower_is_better, kind="stable").head(SHOWN)
        if not done.empty:
            done.insert(0, "experiment", [f"{self.name}-{number}" for number in done["trial"]])
            shown = done.drop(columns=["trial", "state", "epochs"])
            print(f"\n{shown.to_string(index=False, float_format='{:.4g}'.format)}\n")
        words = {"complete": "with a score", "pruned": "stopped early", "fail": "failed"}
        print(", ".join(f"{counts.get(state, 0)} {said}" for state, said in words.items()))
        print("no trial has a score" if done.empty else f"next: dvc exp apply {done['experiment'].iloc[0]}")
        return 1 if done.empty else 0

    def _experiment(self, trial: Trial) -> str:
        return f"{self.name}-{trial.number}"

    def _log_of(self, trial: Trial) -> Path:
        return self.logs / f"{trial.number}.log"


def _shown(tried: Mapping[str, str]) -> str:
    decimal = re.compile(r"\d+\.\d+(e-?\d+)?").fullmatch
    return ", ".join(f"{key} {float(text):.4g}" if decimal(text) else f"{key} {text}" for key, text in tried.items())


def _start_of(trial: Trial) -> float:
    return trial.datetime_start.timestamp() if trial.datetime_start else 0.0
