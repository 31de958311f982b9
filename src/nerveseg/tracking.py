"""What a stage tells MLflow; the only module, with `tracking_store` and `tracking_models`, that knows it.

One execution of the pipeline (one `dvc repro`, one DVC experiment, or one stage run by hand) is one parent run,
named after the DVC experiment or the commit; each stage that runs in it is a nested run. A stage is a process
of its own, so it finds its parent by the tag `nerveseg.execution`, which names the process that started all of
them. `metrics.json` is the truth and MLflow a copy of it: nothing comes back from here into an output, and a
store that fails while a stage runs costs a warning, not the stage.
"""

import functools
import json
import logging
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from flatten_dict import flatten

from nerveseg.params import Params
from nerveseg.tracking_execution import execution, execution_name, origin
from nerveseg.tracking_store import Store, failing_clearly, open_store

if TYPE_CHECKING:
    import tensorflow as tf
    from mlflow.entities import Run

EXECUTION_TAG = "nerveseg.execution"
CHALLENGER = "challenger"
PREDICTOR = "predictor"  # folder beside the network in a saved model
_LOG = logging.getLogger(__name__)
_LONGEST_VALUE = 6000  # characters of a parameter; MLflow refuses more
_BATCH = 100  # parameters; MLflow's limit for one request, lower than that for scores
_PINNED = ("tensorflow", "tf-keras", "numpy", "mlflow")


class StageRun:
    """Where a stage reports to. This one drops everything: it stands in where tracking is off."""

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """One point of each curve."""

    def log_scores(self, scores: Mapping[str, Any]) -> None:
        """The numbers in `scores`, nested keys joined by dots, on the stage's run and on its parent."""

    def log_artifact(self, path: Path | str, folder: str = "") -> None:
        """A file, or a folder with its name, below `folder`."""

    def log_dataset(self, name: str, digest: str, source: str, context: str, manifest: pd.DataFrame) -> None:
        """The data behind this run; `digest` has at most 36 characters (DVC's `md5` has), `context` is a split."""

    def log_model(self, model: "tf.keras.Model", example: npt.NDArray[np.float32], name: str, predictor: Path) -> None:
        """A trained model with its signature, registered as the new challenger; `example` is a batch of inputs, and
        `predictor` the folder of the whole of which the model is the network (`tracking_models` gets it back).
        """


_Method = TypeVar("_Method", bound=Callable[..., None])


def _or_warn(method: _Method) -> _Method:
    """Warn once and stop telling MLflow, where its store fails in the middle of a stage."""

    @functools.wraps(method)
    def guarded(self: "_MlflowRun", *args: object, **kwargs: object) -> None:
        from mlflow.exceptions import MlflowException

        if self.lost:
            return
        try:
            method(self, *args, **kwargs)
        except (MlflowException, OSError) as error:  # requests' errors are OSErrors too
            self.lost = True
            _LOG.warning("MLflow failed; the stage goes on without it: %s", next(iter(str(error).splitlines()), error))

    return cast("_Method", guarded)


class _MlflowRun(StageRun):
    def __init__(self, store: Store, stage: str, params: Params) -> None:
        self.lost = False
        self._store, self._client = store, store.client
        self._model_name = params.tracking.model_name
        self._scores: dict[str, float] = {}
        self._tags = origin()
        flat = {key: _as_text(value) for key, value in flatten(params.model_dump(mode="json"), reducer="dot").items()}
        parent = self._find_parent() or self._create(execution_name(), {EXECUTION_TAG: execution()}, flat)
        self._parent: str = parent.info.run_id
        self._parent_status: str = parent.info.status if parent.info.status in ("FAILED", "KILLED") else "FINISHED"
        nested = {"mlflow.parentRunId": self._parent, "mlflow.source.name": sys.argv[0], "dvc.stage": stage}
        self._run: str = self._create(stage, nested, flat).info.run_id
        self._client.update_run(self._parent, status="RUNNING")

    def _find_parent(self) -> "Run | None":
        found = self._client.search_runs(
            [self._store.experiment_id], f"tags.`{EXECUTION_TAG}` = '{execution()}'", max_results=1
        )
        return found[0] if found else None

    def _create(self, name: str, tags: Mapping[str, str], params: Mapping[str, str]) -> "Run":
        from mlflow.entities import Param

        run = self._client.create_run(self._store.experiment_id, tags={**self._tags, **tags}, run_name=name)
        for batch in _batches([Param(key, value) for key, value in params.items()]):
            self._client.log_batch(run.info.run_id, params=batch)
        return run

    @_or_warn
    def end(self, status: str) -> None:
        self._client.set_terminated(self._run, status)
        # `dvc repro --keep-going` runs further stages after one has failed.
        self._client.set_terminated(self._parent, status if status != "FINISHED" else self._parent_status)

    def _log_metrics(self, run: str, values: Mapping[str, Any], step: int = 0, model_id: str | None = None) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, step, model_id) for key, value in _flatten_numbers(values)]
        for batch in _batches(metrics):
            self._client.log_batch(run, metrics=batch)

    @_or_warn
    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        curves = {key: value for key, value in values.items() if key != "epoch"}  # it is the axis
        self._log_metrics(self._run, curves, step=epoch)

    @_or_warn
    def log_scores(self, scores: Mapping[str, Any]) -> None:
        self._scores.update(_flatten_numbers(scores))
        for run in (self._run, self._parent):
            self._log_metrics(run, scores)

    @_or_warn
    def log_artifact(self, path: Path | str, folder: str = "") -> None:
        path = Path(path)
        if path.is_dir():
            self._client.log_artifacts(self._run, str(path), (Path(folder) / path.name).as_posix())
        else:
            self._client.log_artifact(self._run, str(path), folder or None)

    @_or_warn
    def log_dataset(self, name: str, digest: str, source: str, context: str, manifest: pd.DataFrame) -> None:
        from mlflow.data.pandas_dataset import from_pandas
        from mlflow.entities import Dataset, DatasetInput, InputTag

        with warnings.catch_warnings():  # about integer columns, and about a source that could also be a URL
            warnings.simplefilter("ignore")
            facts = from_pandas(manifest, source=source, name=name, digest=digest).to_dict()
        used = DatasetInput(Dataset(**facts), [InputTag("mlflow.data.context", context)])
        for run in (self._run, self._parent):
            self._client.log_inputs(run, [used])

    @_or_warn
    def log_model(self, model: "tf.keras.Model", example: npt.NDArray[np.float32], name: str, predictor: Path) -> None:
        # MLflow's `log_model` does the same steps, but on the process's global store and with prints.
        import mlflow.tensorflow
        import tensorflow as tf
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model, infer_signature

        if getattr(model, "optimizer", None) is not None:  # a loss that is not Keras's own would not load back
            trained, model = model, tf.keras.models.clone_model(model)
            model.set_weights(trained.get_weights())
        logged = self._client.create_logged_model(
            self._store.experiment_id, name, source_run_id=self._run, tags=self._tags
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            mlflow.tensorflow.save_model(
                model,
                str(path),
                mlflow_model=Model(logged.artifact_location, run_id=self._run, model_id=logged.model_id),
                signature=infer_signature(example, model.predict(example, verbose=0)),
                pip_requirements=[f"{package}=={version(package)}" for package in _PINNED],  # to infer them takes 15 s
                metadata={"environment": {"TF_USE_LEGACY_KERAS": "1"}},
            )
            shutil.copytree(predictor, path / PREDICTOR)
            self._client.log_model_artifacts(logged.model_id, str(path))
        self._client.finalize_logged_model(logged.model_id, "READY")
        self._log_metrics(self._run, self._scores, model_id=logged.model_id)
        for run in (self._run, self._parent):
            self._client.log_outputs(run, [LoggedModelOutput(logged.model_id, step=0)])
        self._register(logged.model_id)

    def _register(self, model_id: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self._model_name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        with self._store.as_default():  # `create_model_version` looks the model up there, whatever its client's store
            registered = self._client.create_model_version(
                self._model_name, f"models:/{model_id}", self._run, tags=self._tags, model_id=model_id
            )
        versions = json.dumps([{"name": self._model_name, "version": registered.version}])
        self._client.set_logged_model_tags(model_id, {"mlflow.modelVersions": versions})  # where the pages look
        self._client.set_registered_model_alias(self._model_name, CHALLENGER, registered.version)
        for run in (self._run, self._parent):
            self._client.set_tag(run, "nerveseg.model_version", f"{self._model_name}/{registered.version}")


@contextmanager
def stage_run(stage: str, params: Params) -> Iterator[StageRun]:
    """The MLflow run of one stage, nested in the run of this execution of the pipeline.

    An exception passes through and leaves both runs FAILED (KILLED after Ctrl-C).

    Raises:
        TrackingError: the store cannot be used.
    """
    if not params.tracking.enabled:
        yield StageRun()
        return
    store = open_store(params.tracking.experiment)
    with failing_clearly(store.uri):
        run = _MlflowRun(store, stage, params)
    try:
        yield run
    except BaseException as error:
        run.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    run.end("FINISHED")


def _flatten_numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in flatten(values, reducer="dot").items():
        if isinstance(value, bool | int | float | np.number):
            yield re.sub(r"[^\w\-./: ]", "_", key), float(value)


def _as_text(value: object) -> str:
    return (value if isinstance(value, str) else json.dumps(value))[:_LONGEST_VALUE]


def _batches(items: list[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
