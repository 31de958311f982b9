"""A search for better parameters: Optuna proposes values, DVC runs each proposal as an experiment, MLflow has the history.

Trial 3 of the sweep NAME is the experiment NAME-3. The sweep is kept in `.nerveseg/sweeps/NAME.db` at the repository's
root, from which the same command goes on after an interruption. A trial whose U-Net falls behind the earlier ones on val
is stopped. All trials of a sweep are of one commit with the same changes to it: others would not compare.
"""

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from nerveseg.errors import DatasetError, ParamsError
from nerveseg.experiments.dvc_experiments import code, experiments
from nerveseg.experiments.sweep_history import SweepHistory
from nerveseg.experiments.sweep_request import check, shown_values
from nerveseg.experiments.sweep_score import Score, score_named
from nerveseg.experiments.sweep_space import Space, read_space
from nerveseg.experiments.sweep_trial import reason_of_failure, start
from nerveseg.repository import repository_root
from nerveseg.text.foreign_text import on_one_line
from nerveseg.tracking.store import open_store

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study, Trial

FOLDER = Path(".nerveseg/sweeps")
POLL = 2.0  # seconds between two looks at a running trial
INTERRUPTED = 130  # exit code, as a shell's after Ctrl-C
SHOWN = 5  # trials in the table of the best


def sweep(name: str, trials: int, given: Sequence[str], score: str) -> int:
    """Run the sweep until it has so many trials, going on where it stopped, and print the best.

    Returns:
        0; 1 where no trial has a score; 130 after Ctrl-C.

    Raises:
        ParamsError: a value, the score or the name cannot be used, the sweep of that name is another one or runs already,
            or the code changed while it ran.
        TrackingError: tracking is off, or its store cannot be used.
        DatasetError: this is no repository with a commit.
    """
    if find_spec("optuna") is None:
        raise ParamsError("a sweep needs Optuna, which is not installed; pip install -e '.[sweep]'")
    space, aim = read_space(given), score_named(score)
    check(name, trials, space)
    identity = {"values": sorted(given), "score": score, **code()}
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell makes what it starts in the background deaf to the first
        signal.signal(number, signal.default_int_handler)
    folder = repository_root() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            return _Sweep.of(name, space, aim, identity, folder).run(trials)
    except Timeout:
        raise ParamsError(f"the sweep {name} is running already; wait for it, or take another name") from None


@dataclass(frozen=True)
class _Sweep:
    name: str
    space: Space
    score: Score
    code: Mapping[str, str]
    study: "Study"
    history: SweepHistory
    logs: Path

    @classmethod
    def of(cls, name: str, space: Space, score: Score, identity: Mapping[str, object], folder: Path) -> "_Sweep":
        from nerveseg.experiments.sweep_study import open_study

        file = folder / f"{name}.db"
        if not file.exists() and (taken := experiments(f"{name}-*")):
            raise ParamsError(
                f"there are experiments called {', '.join(taken)} already; take another name, or `dvc exp remove` them"
            )
        store = open_store(space.params.tracking.experiment)
        warmup = space.params.unet.epochs // 3  # Dice on val is not steady before
        study = open_study(file, minimise=score.lower_is_better, warmup=warmup, identity=identity)
        shown = {"score": score.name, **{key: str(values) for key, values in space.varied.items()}, **space.fixed}
        history = SweepHistory(store, name, shown, study.user_attrs.get("mlflow_run"))
        study.set_user_attr("mlflow_run", history.run)
        return cls(name, space, score, code(), study, history, folder / name)

    def run(self, trials: int) -> int:
        from nerveseg.experiments.sweep_study import ended

        self._announce(trials)
        status = "FAILED"
        try:
            while ended(self.study) < trials:
                self._run_next()
                self._log()
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            print("\ninterrupted; the same command goes on with this trial")
            return INTERRUPTED
        finally:
            self.history.end(status)
        return self._conclude()

    def _announce(self, trials: int) -> None:
        from nerveseg.experiments.sweep_study import ended

        for key, values in self.space.varied.items():
            print(f"{key}: {values}")
        done = f", of which {there} have ended" if (there := ended(self.study)) else ""
        aim = "lowest" if self.score.lower_is_better else "highest"
        print(f"looking for the {aim} {self.score.name} in {trials} trials{done}")
        if not self.score.on_val:
            print(
                f"{self.score.name} is of the test frames: for parameters chosen by it, it is no score of unseen people"
            )

    def _run_next(self) -> None:
        from optuna.trial import TrialState

        from nerveseg.experiments.sweep_study import next_trial

        if code() != self.code:
            raise ParamsError(
                f"the commit, the parameters or the code changed while the sweep {self.name} ran, and its trials would not "
                "compare; undo that and type the same command to go on, or begin a sweep of another name"
            )
        trial = next_trial(self.study, self.space.params.seed)
        tried = self.space.suggest(trial)
        print(f"{self._experiment(trial)}: {shown_values(tried)} ... ", end="", flush=True)
        if (epoch := self._train(trial, tried)) is not None:
            self.study.tell(trial, state=TrialState.PRUNED)
            print(f"stopped after epoch {epoch}: below the median of the earlier trials", flush=True)
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

    def _train(self, trial: "Trial", tried: Mapping[str, str]) -> int | None:
        """Run the experiment, if it has not ended before; the epoch after which it was stopped, None where it was not."""
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

    def _falls_behind(self, trial: "Trial") -> int | None:
        """The epoch after which it did, asked epoch by epoch, however many came since the last look."""
        from nerveseg.experiments.sweep_study import reported

        known = reported(self.study, trial.number)
        if known and trial.should_prune():  # the sweep was killed after this answer
            return max(known)
        for epoch, dice in self._new_points(trial):
            trial.report(dice, epoch)
            if trial.should_prune():
                return epoch
        return None

    def _new_points(self, trial: "Trial") -> list[tuple[int, float]]:
        """The curve's points that the study has not got, mirrored where low is good."""
        from nerveseg.experiments.sweep_study import reported

        last = max(reported(self.study, trial.number), default=-1)
        curve = self.history.curve(self._experiment(trial), _start_of(trial))
        sign = -1.0 if self.score.lower_is_better else 1.0
        return [(epoch, sign * dice) for epoch, dice in curve.items() if epoch > last]

    def _value(self, trial: "Trial") -> float:
        commit = experiments(self._experiment(trial)).get(self._experiment(trial))
        if commit is None:
            log = self._log_of(trial)
            raise DatasetError(f"{reason_of_failure(log)} (all of it: {os.path.relpath(log)})")
        return self.score.of(commit)

    def _log(self) -> None:
        from nerveseg.experiments.sweep_study import trials_table

        table = trials_table(self.study, self.score.name)
        scores = table.set_index("trial")[self.score.name].dropna()
        best = scores.cummin() if self.score.lower_is_better else scores.cummax()
        self.history.update(self.study, table, {"score": _by_trial(scores), "best_score": _by_trial(best)})

    def _conclude(self) -> int:
        from nerveseg.experiments.sweep_study import trials_table

        table = trials_table(self.study, self.score.name)
        counts = table["state"].value_counts()
        done = table[table["state"] == "complete"]
        done = done.sort_values(self.score.name, ascending=self.score.lower_is_better, kind="stable").head(SHOWN)
        if not done.empty:
            done.insert(0, "experiment", [f"{self.name}-{number}" for number in done["trial"]])
            shown = done.drop(columns=["trial", "state", "epochs"])
            print(f"\n{shown.to_string(index=False, float_format='{:.4g}'.format)}\n")
        told = {"complete": "with a score", "pruned": "stopped early", "fail": "failed"}
        print(", ".join(f"{counts.get(state, 0)} {words}" for state, words in told.items()))
        print("nothing to choose from" if done.empty else f"next: dvc exp apply {done['experiment'].iloc[0]}")
        return 1 if done.empty else 0

    def _experiment(self, trial: "Trial") -> str:
        return f"{self.name}-{trial.number}"

    def _log_of(self, trial: "Trial") -> Path:
        return self.logs / f"{trial.number}.log"


def _by_trial(column: "pd.Series[float]") -> dict[int, float]:
    return {int(str(number)): float(value) for number, value in column.items()}


def _start_of(trial: "Trial") -> float:
    return trial.datetime_start.timestamp() if trial.datetime_start else 0.0
