"""A sweep in MLflow: one run with the score of every trial, and the curve of the trial that is running.

Its tag `nerveseg.sweep` is its name; the parent run of each trial has that tag too, and `nerveseg.trial`.
"""

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nerveseg.tracking_store import failing_clearly, open_store

if TYPE_CHECKING:
    import optuna
    from mlflow.entities import Run

SWEEP_TAG, TRIAL_TAG = "nerveseg.sweep", "nerveseg.trial"
CURVE = "val_dice"
_TRAINING = "train_unet"


class SweepRun:
    """The run of a sweep; one that was interrupted goes on.

    Raises:
        TrackingError: the store cannot be used, here and in each method.
    """

    def __init__(self, experiment: str, name: str) -> None:
        self._store, self._name = open_store(experiment), name
        self._client = self._store.client
        with failing_clearly(self._store.uri):
            runs = self._runs({SWEEP_TAG: name})
            found = next((run for run in runs if TRIAL_TAG not in run.data.tags), None)
            created = found or self._client.create_run(self._store.experiment_id, tags={SWEEP_TAG: name}, run_name=name)
            self._run: str = created.info.run_id
            self._client.update_run(self._run, status="RUNNING")

    def curve(self, trial: str) -> dict[int, float]:
        """Dice on val by epoch, as far as the training of a trial has come; empty where it has not begun."""
        with failing_clearly(self._store.uri):
            runs = self._runs({"dvc.exp_name": trial, "dvc.stage": _TRAINING})
            if not runs:
                return {}
            points = self._client.get_metric_history(runs[0].info.run_id, CURVE)
            return {point.step: point.value for point in points}

    def log_trial(self, number: int, trial: str, values: Mapping[str, float]) -> None:
        with failing_clearly(self._store.uri):
            for key, value in values.items():
                self._client.log_metric(self._run, key, value, step=number)
            for run in self._runs({"dvc.exp_name": trial}):
                if "mlflow.parentRunId" not in run.data.tags:
                    self._client.set_tag(run.info.run_id, SWEEP_TAG, self._name)
                    self._client.set_tag(run.info.run_id, TRIAL_TAG, str(number))

    def log_history(self, study: "optuna.Study", folder: Path) -> None:
        """A table of all trials and Optuna's pictures of them, written into a folder first."""
        study.trials_dataframe().to_csv(folder / "trials.csv", index=False)
        if study.get_trials(deepcopy=False, states=_complete()):
            _draw(study, folder)
        with failing_clearly(self._store.uri):
            self._client.log_artifacts(self._run, str(folder))

    def end(self, status: str) -> None:
        with failing_clearly(self._store.uri):
            self._client.set_terminated(self._run, status, int(time.time() * 1000))

    def _runs(self, tags: Mapping[str, str]) -> "list[Run]":
        """The latest first."""
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        return list(
            self._client.search_runs([self._store.experiment_id], wanted, order_by=["attributes.start_time DESC"])
        )


def _complete() -> "tuple[optuna.trial.TrialState, ...]":
    from optuna.trial import TrialState

    return (TrialState.COMPLETE,)


def _draw(study: "optuna.Study", folder: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from optuna.visualization import matplotlib as pictures

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # these pictures are called experimental
        for name, draw in (("history", pictures.plot_optimization_history), ("slice", pictures.plot_slice)):
            draw(study)
            plt.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
            plt.close("all")
