"""A stage as a run in MLflow.

One execution of the pipeline (one `dvc repro`, one DVC experiment, or one stage run by hand) is one parent run, named after
the DVC experiment or the commit; its stages are nested runs. They find their parent by the tag `nerveseg.execution`. A
resumed training continues its run. MLflow has a copy of `metrics.json`; nothing returns from it into an output. Messages go
through an `outbox`, so a failure costs a warning and not the stage.
"""

import shutil
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import psutil  # type: ignore[import-untyped]

from nerveseg.errors import NoRepositoryError, RepositoryError
from nerveseg.files.atomic import write_json
from nerveseg.processes.stage import stages_in_dvc_yaml
from nerveseg.tracking import run_page
from nerveseg.tracking.execution import changed_params, execution, execution_name, origin, process_name, started_by
from nerveseg.tracking.messages import KEY_TAG, Message
from nerveseg.tracking.outbox import Fill, Outbox
from nerveseg.tracking.resumed_run import Unfinished, digest_of_run
from nerveseg.tracking.settings import TrackedParams
from nerveseg.tracking.system_metrics import SystemMetrics
from nerveseg.tracking.values import chosen_params, flat_numbers, flat_params

EXECUTION_TAG, SOURCE_TAG = "nerveseg.execution", "mlflow.source.name"
_LONGEST_TAG = 5000  # characters; MLflow's older stores refuse more
_ENDED = (130, 137, 143)  # exit codes after SIGINT, SIGKILL and SIGTERM


class StageRun:
    def __init__(self, outbox: Outbox, stage: str, params: TrackedParams, record: Path | None) -> None:
        self._outbox, self._stage, self._model_name = outbox, stage, params.tracking.model_name
        self._promotes = params.tracking.promote
        self._scores: dict[str, float] = {}
        self._tags = origin()
        content = params.model_dump(mode="json")
        flat = flat_params(content)
        carries, self._record = digest_of_run(flat, self._tags.get("git.commit", "")), record
        before = Unfinished.read(record, carries) if record else None
        self._parent = execution()
        state = before or Unfinished(uuid.uuid4().hex, "", time.time(), -1, "", carries)
        self._state = replace(state, parent=self._parent, process=process_name(psutil.Process()))
        self._run, self._flat = self._state.run, flat
        self._parents = [{EXECUTION_TAG: key} for key in (self._parent, state.parent) if key]
        self._stages = run_page.stage_states(stage, content)
        self._system: SystemMetrics | None = None

    def begin(self) -> None:
        """Report both runs; whatever happens from here on, call `end`."""
        self._begin_runs()
        self._remember()
        self._tell("tags", self._parent, tags={run_page.STAGE_TAG + self._stage: run_page.RUNNING})
        self._tell("stages", self._parent, states=self._stages)
        self._log_reproduction()
        self._system = SystemMetrics(self._log_system)

    def _begin_runs(self) -> None:
        changed, now = changed_params(), _now()
        about: dict[str, Any] = {"find": self._parents, "params": self._flat, "time": now}
        about["tags"] = {**self._tags, SOURCE_TAG: started_by(self._stage)}
        about["tags"] |= {run_page.CHANGED_TAG: ", ".join(changed)[:_LONGEST_TAG]} if changed else {}
        self._tell("run", self._parent, name=execution_name(changed), **about)
        own = stages_in_dvc_yaml().get(self._stage, {}).get("params", [*self._flat])
        about = {"find": [{KEY_TAG: self._run}], "params": chosen_params(self._flat, own), "time": now}
        about["tags"] = {**self._tags, SOURCE_TAG: f"stages/{self._stage}.py", "dvc.stage": self._stage}
        self._tell("run", self._run, name=self._stage, parent=self._parent, **about)

    def _tell(self, kind: str, run: str, fill: Fill | None = None, **content: Any) -> None:
        self._outbox.send(Message(kind, run, content), fill)

    def _remember(self) -> None:
        if self._record:
            try:
                write_json(self._record, asdict(self._state))
            except OSError as error:
                self._outbox.keeps_failing(error)

    def _log_reproduction(self) -> None:
        changed = False

        def fill(folder: Path) -> Path:
            nonlocal changed
            try:
                changed = run_page.reproduction(folder)
            except NoRepositoryError:  # then nothing is missing
                return folder
            except RepositoryError as error:
                told = "the run in MLflow does not say whether its code was that of the commit, and has no patch"
                self._outbox.warn("git", f"{told}: {error}")
            return folder

        self._tell("artifact", self._parent, fill, folder=run_page.REPRODUCE)
        if changed:
            self._tell("tags", self._parent, tags={f"nerveseg.{run_page.PATCH}": "true"})

    def _log_system(self, values: Mapping[str, float]) -> None:
        step = round(time.time() - self._state.started)
        self._tell("metrics", self._run, values=dict(values), time=_now(), step=step)

    def end(self, state: str) -> None:
        """Report how the stage ended, as one of the states of `run_page`."""
        if self._system:
            self._system.stop()
        else:  # it was stopped in `begin`; a run that is reported twice stays one
            self._begin_runs()
        if state == run_page.RAN and self._record:
            with suppress(OSError):
                self._record.unlink()
        status = {run_page.RAN: "FINISHED", run_page.FAILED: "FAILED", run_page.KILLED: "KILLED"}[state]
        self._tell("end", self._run, status=status, time=_now())
        self._tell("tags", self._parent, tags={run_page.STAGE_TAG + self._stage: state})
        self._tell("told", self._parent, order=list(self._stages), time=_now())

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add one point to each curve."""
        if epoch <= self._state.epoch:  # the stage was killed between the end of this epoch and its checkpoint
            return
        curves = {key: value for key, value in values.items() if key != "epoch"}  # it is the axis
        self._tell("metrics", self._run, values=dict(flat_numbers(curves)), time=_now(), step=epoch)
        self._state = replace(self._state, epoch=epoch)
        self._remember()

    def log_facts(self, facts: Mapping[str, Any]) -> None:
        """Report numbers on the stage's run alone, since another stage may use the same names."""
        self._tell("metrics", self._run, values=dict(flat_numbers(facts)), time=_now(), step=0)

    def log_scores(self, scores: Mapping[str, Any]) -> None:
        """Report the numbers of `metrics.json` on the stage's run and its parent; nested keys are joined by dots."""
        numbers = dict(flat_numbers(scores))
        self._scores.update(numbers)
        for run in (self._run, self._parent):
            self._tell("metrics", run, values=numbers, time=_now(), step=0)

    def log_artifact(self, path: Path | str, folder: str = "") -> None:
        """Keep a file, or a folder with its name, below `folder`."""
        path = Path(path)
        into = (Path(folder) / path.name).as_posix() if path.is_dir() else folder
        self._tell("artifact", self._run, partial(_copy, path), folder=into)

    def log_report(self, path: Path) -> None:
        """Keep a file or a folder for readers, on the parent's page below `reports`."""
        self._tell("artifact", self._parent, partial(_copy, path), folder="reports")

    def log_dataset(self, name: str, digest: str, source: str, context: str, manifest: pd.DataFrame) -> None:
        """Name the data behind this run. `digest` has at most 36 characters (DVC's `md5` has), `context` is a split."""
        from mlflow.data.pandas_dataset import from_pandas

        with warnings.catch_warnings():  # about integer columns, and about a source that could also be a URL
            warnings.simplefilter("ignore")
            facts = from_pandas(manifest, source=source, name=name, digest=digest).to_dict()
        for run in (self._run, self._parent):
            self._tell("dataset", run, facts=facts, context=context)

    def log_model(self, save: Callable[[Path], None], name: str, card: str, flaw: str = "") -> str:
        """Register a trained model as the new challenger, unless it has a flaw; return the version's tag `nerveseg.key`.

        `save` writes a folder in MLflow's format, which does not exist yet. `name` is that of the logged model, `card` its
        description in the registry, in Markdown.
        """
        key = uuid.uuid4().hex

        def fill(folder: Path) -> Path:
            with _temporary_files_in(folder):
                save(folder / "model")
            return folder / "model"

        content: dict[str, Any] = {"key": key, "name": name, "card": card, "registered": self._model_name, "flaw": flaw}
        content |= {"tags": self._tags, "scores": self._scores, "parent": self._parent, "time": _now(), "step": 0}
        self._tell("model", self._run, fill, **content)
        if self._promotes:
            self._outbox.settle()
        return key


@contextmanager
def stage_run(stage: str, params: TrackedParams, unfinished: Path | None = None) -> Iterator[StageRun]:
    """Report a stage as a run in MLflow, nested in the run of this execution of the pipeline.

    An exception passes through and leaves both runs run_page.FAILED (run_page.KILLED after Ctrl-C). `unfinished` is a
    file beside the checkpoint of a training, which names the run until the stage has finished: a training that resumes
    with equal params and commit continues that run. Raise TrackingError if the store cannot be used as it is set up, or
    if it does not answer and `tracking.required` is set.
    """
    outbox = Outbox(params.tracking.experiment, stage, execution(), required=params.tracking.required)
    try:
        run = StageRun(outbox, stage, params, unfinished)
        try:
            run.begin()
            yield run
            run.end(run_page.RAN)
        except BaseException as error:  # after a signal, a script's exit code says so
            ended = isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and error.code in _ENDED)
            run.end(run_page.KILLED if ended else run_page.FAILED)
            raise
    finally:
        outbox.close()


def _copy(path: Path, folder: Path) -> Path:
    return Path((shutil.copytree if path.is_dir() else shutil.copy2)(path, folder / path.name))


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Let MLflow write its temporary files here: those of a model are as large as it is, and /tmp may have no room."""
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _now() -> int:
    return int(time.time() * 1000)
