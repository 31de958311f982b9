"""The run of a sweep in MLflow, and the curves of its trials.

The run has each trial's `score` and the `best_score` so far, with the trial's number as step; the parameters' importances;
the trials as `trials.csv`; and Optuna's plots. The tag `nerveseg.experiments.sweep` links the run and its trials. A store
that fails costs a warning, not the sweep.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nerveseg.files.atomic import write_csv
from nerveseg.tracking.store import Store
from nerveseg.tracking.store_errors import failing_clearly, passing_over, reason_of

if TYPE_CHECKING:
    from mlflow.entities import Run
    from optuna import Study

SWEEP_TAG, TRIAL_TAG = "nerveseg.experiments.sweep", "nerveseg.trial"
CURVE = "val_dice"  # of the stage train_unet
_PARENT = "mlflow.parentRunId"
_LOG = logging.getLogger(__name__)


class SweepHistory:
    """The run of one sweep: the one with the id `run` if it exists, else a new one; TrackingError if the store fails."""

    def __init__(self, store: Store, name: str, params: Mapping[str, str], run: str | None) -> None:
        self._store, self._client, self._name = store, store.client, name
        self._warned = False
        with failing_clearly(store.uri):
            self.run: str = run if run and self._is_there(run) else self._create(params)
            self._client.update_run(self.run, status="RUNNING")

    def curve(self, experiment: str, since: float) -> dict[int, float]:
        """Return the U-Net's Dice on val by epoch since that time (seconds); of equal epochs the last one counts."""
        points: dict[int, float] = {}
        with self._or_warn():
            for run in self._runs(experiment, since):
                if run.data.tags.get("dvc.stage") == "train_unet":
                    history = self._client.get_metric_history(run.info.run_id, CURVE)
                    points |= {int(point.step): float(point.value) for point in history}
        return dict(sorted(points.items()))

    def tag_trial(self, experiment: str, number: int, since: float) -> None:
        """Tag the experiment's own run as a trial of this sweep."""
        with self._or_warn():
            for run in self._runs(experiment, since):
                if _PARENT not in run.data.tags:
                    self._client.set_tag(run.info.run_id, SWEEP_TAG, self._name)
                    self._client.set_tag(run.info.run_id, TRIAL_TAG, str(number))

    def update(self, study: "Study", table: pd.DataFrame, curves: Mapping[str, Mapping[Any, float]]) -> None:
        """Log the new points of `curves`, by name and trial, and renew table, importances and plots."""
        with self._or_warn(), tempfile.TemporaryDirectory() as folder:
            for key, values in curves.items():
                logged = {point.step for point in self._client.get_metric_history(self.run, key)}
                for step in sorted(values.keys() - logged):
                    self._client.log_metric(self.run, key, values[step], step=step)
            for key, value in _importances(study).items():
                self._client.log_metric(self.run, f"importance.{key}", value, step=len(table))
            write_csv(Path(folder) / "trials.csv", table)
            _draw(study, Path(folder))
            self._client.log_artifacts(self.run, folder)

    def end(self, status: str) -> None:
        with self._or_warn():
            self._client.set_terminated(self.run, status)

    def _runs(self, experiment: str, since: float) -> "list[Run]":
        wanted = f"tags.`dvc.exp_name` = '{experiment}' and attributes.start_time >= {int(since * 1000)}"
        order = ["attributes.start_time"]
        return list(self._client.search_runs([self._store.experiment_id], wanted, order_by=order))

    def _is_there(self, run: str) -> bool:
        stage = ""
        with passing_over("RESOURCE_DOES_NOT_EXIST"):
            stage = self._client.get_run(run).info.lifecycle_stage
        return stage == "active"

    def _create(self, params: Mapping[str, str]) -> str:
        tags = {SWEEP_TAG: self._name}
        run: str = self._client.create_run(self._store.experiment_id, tags=tags, run_name=self._name).info.run_id
        for key, value in params.items():
            self._client.log_param(run, key, value)
        return run

    @contextmanager
    def _or_warn(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            if not self._warned:
                _LOG.warning("MLflow failed; without it no trial is stopped early: %s", reason_of(error))
            self._warned = True


def _importances(study: "Study") -> dict[str, float]:
    """Return the importance of each varied parameter, from 0 to 1; empty if there are too few trials."""
    from optuna.importance import get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # "too small to compute importances"
        try:
            return get_param_importances(study)
        except (UserWarning, ValueError, RuntimeError):  # or no trial has ended, or all have equal scores
            return {}


def _draw(study: "Study", folder: Path) -> None:
    import matplotlib.pyplot as plt
    from optuna.visualization import matplotlib as pictures

    plt.switch_backend("Agg")
    drawings: dict[str, Any] = {"history": pictures.plot_optimization_history, "slice": pictures.plot_slice}
    if any(trial.intermediate_values for trial in study.trials):
        drawings["curves"] = pictures.plot_intermediate_values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this is experimental, and that a single trial is too few
        for name, draw in drawings.items():
            draw(study)
            plt.gcf().savefig(folder / f"{name}.png", dpi=120, bbox_inches="tight")
            plt.close("all")
