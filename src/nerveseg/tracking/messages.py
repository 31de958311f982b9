"""Messages to MLflow that can wait on disk, and how each is delivered.

A message names its run by a key of ours, since a run has no id before MLflow has created it. The first message of a run,
`run`, finds the run by its tags or creates it. Delivering any message twice changes nothing. Content is JSON; times are
milliseconds since 1970.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nerveseg.tracking.run_page import RAN_TAG, STAGE_TAG, UNKNOWN, description, overall, scores_told, what_ran
from nerveseg.tracking.store import Store
from nerveseg.tracking.store_errors import is_lost_race, passing_over, public, store_errors

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run

CHALLENGER = "challenger"
_REGISTERED = (
    "Outlines nerves in ultrasound frames of any size. The alias `champion` is served; `challenger` is the last that outlines any. "
    "`nerveseg promote` makes it the champion if it passes the gate."
)
KEY_TAG, FLAW_TAG = "nerveseg.key", "nerveseg.flaw"
NO_FILES = Path()
KINDS = {"run", "metrics", "tags", "stages", "artifact", "dataset", "end", "told", "model"}
_BATCH = 100  # parameters; MLflow's limit for one request, lower than that for scores


@dataclass(frozen=True)
class Message:
    """`kind` is one of KINDS and a method of `Sender`, `run` the key of the run, `files` a file or folder, "." for none."""

    kind: str
    run: str
    content: dict[str, Any] = field(default_factory=dict)
    files: Path = NO_FILES


class Sender:
    """Delivers messages to one store; raises what MLflow and its libraries raise."""

    def __init__(self, store: Store) -> None:
        self.uri, self._store, self._client = store.uri, store, store.client
        self._ids: dict[str, str] = {}

    def send(self, message: Message) -> None:
        send = getattr(self, f"_{message.kind}")
        try:
            send(message)
        except store_errors() as error:
            if not is_lost_race(error):
                raise
            send(message)

    def _run(self, message: Message) -> None:
        """`find`: alternative tags, of which it gets the first; `name`, `tags`, `params`, `time`; `parent`: its key."""
        from mlflow.entities import Param

        if message.run in self._ids:
            return
        tags = {**message.content["tags"], **message.content["find"][0]}
        if parent := message.content.get("parent"):
            tags["mlflow.parentRunId"] = self._id(parent)
        name, client = message.content["name"], self._client
        if found := next(filter(None, map(self._found, message.content["find"])), None):
            run = found.info.run_id
            client.update_run(run, status="RUNNING", name=name)
            for key, value in tags.items():
                client.set_tag(run, key, value)
        else:
            created = client.create_run(self._store.experiment_id, message.content["time"], tags, name)
            run = created.info.run_id
        for batch in _batches([Param(key, value) for key, value in message.content["params"].items()]):
            client.log_batch(run, params=batch)
        self._ids[message.run] = run

    def _id(self, key: str) -> str:
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

        if key not in self._ids:
            raise MlflowException("its run was refused", RESOURCE_DOES_NOT_EXIST)
        return self._ids[key]

    def _found(self, tags: dict[str, str]) -> "Run | None":
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        found = self._client.search_runs([self._store.experiment_id], wanted, max_results=1)
        return found[0] if found else None

    def _metrics(self, message: Message, model: str | None = None) -> None:
        """`values` by name, `time`, `step`."""
        from mlflow.entities import Metric

        when, step = message.content["time"], message.content["step"]
        metrics = [Metric(key, value, when, step, model) for key, value in message.content["values"].items()]
        for batch in _batches(metrics):
            self._client.log_batch(self._id(message.run), metrics=batch)

    def _tags(self, message: Message) -> None:
        """`tags`."""
        for key, value in message.content["tags"].items():
            self._client.set_tag(self._id(message.run), key, value)

    def _stages(self, message: Message) -> None:
        """`states` by stage, for stages that do not run. What a stage reported itself stays."""
        run = self._client.get_run(self._id(message.run))
        for stage, state in message.content["states"].items():
            if run.data.tags.get(STAGE_TAG + stage, UNKNOWN) == UNKNOWN:
                self._client.set_tag(run.info.run_id, STAGE_TAG + stage, state)

    def _artifact(self, message: Message) -> None:
        """`folder` of the run's artifacts, for the file or the content of the folder."""
        log = self._client.log_artifacts if message.files.is_dir() else self._client.log_artifact
        log(self._id(message.run), str(message.files), message.content["folder"] or None)

    def _dataset(self, message: Message) -> None:
        """`facts` of MLflow's data set, `context`."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        context = InputTag("mlflow.data.context", message.content["context"])
        used = DatasetInput(Dataset(**message.content["facts"]), [context])
        self._client.log_inputs(self._id(message.run), [used])

    def _end(self, message: Message) -> None:
        """`status`, `time`."""
        self._client.set_terminated(self._id(message.run), message.content["status"], message.content["time"])

    def _told(self, message: Message) -> None:
        """The end of a parent for now: its description and status follow from its stages, listed in this `order`; `time`."""
        run = self._client.get_run(self._id(message.run))
        used = list(dict.fromkeys(each.dataset.name for each in run.inputs.dataset_inputs)) if run.inputs else []
        scores = scores_told(run.data.metrics, used)
        again = description(run.info.run_id, public(self._store.uri), run.data.tags, message.content["order"])
        tags = {"mlflow.note.content": scores + again, RAN_TAG: what_ran(run.data.tags, message.content["order"])}
        for key, value in tags.items():
            self._client.set_tag(run.info.run_id, key, value)
        self._client.set_terminated(run.info.run_id, overall(run.data.tags), message.content["time"])

    def _model(self, message: Message) -> None:
        """A folder in MLflow's format that names no run; contents as of `log_model`; `registered`: its name there."""
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        content, client = message.content, self._client
        run = self._id(
            content["parent"]
        )  # the table of runs shows a model in the row of its run, and opens with parents
        logged = self._logged_model(message)
        # Model.load would read the path as an address.
        described = Model.from_dict(yaml.safe_load((message.files / "MLmodel").read_text(encoding="utf-8")))
        described.run_id, described.model_id = run, logged.model_id
        described.artifact_path = logged.artifact_location
        described.save(str(message.files / "MLmodel"))
        client.log_model_artifacts(logged.model_id, str(message.files))
        client.finalize_logged_model(logged.model_id, "READY")
        client.set_logged_model_tags(logged.model_id, {"mlflow.note.content": content["card"]})
        self._metrics(Message("metrics", message.run, content | {"values": content["scores"]}), logged.model_id)
        version = self._registered(message, logged.model_id)
        for each in (run, self._id(message.run)):
            client.log_outputs(each, [LoggedModelOutput(logged.model_id, step=0)])
            client.set_tag(each, "nerveseg.model_version", f"{content['registered']}/{version}")

    def _logged_model(self, message: Message) -> "LoggedModel":
        key = {KEY_TAG: message.content["key"]}
        wanted = f"tags.`{KEY_TAG}` = '{key[KEY_TAG]}'"
        if found := self._client.search_logged_models([self._store.experiment_id], wanted, max_results=1):
            return found[0]
        tags = {**message.content["tags"], **key}
        name, run = message.content["name"], self._id(message.content["parent"])
        return self._client.create_logged_model(self._store.experiment_id, name, source_run_id=run, tags=tags)

    def _registered(self, message: Message, model_id: str) -> str:
        """Register the model, and make it the challenger unless it has a flaw; return its version."""
        name, client = message.content["registered"], self._client
        flaw = {FLAW_TAG: text} if (text := message.content.get("flaw")) else {}
        with passing_over("RESOURCE_ALREADY_EXISTS"):
            client.create_registered_model(name, description=_REGISTERED)
        source = f"models:/{model_id}"
        known = [each for each in client.search_model_versions(f"name='{name}'") if each.source == source]
        if known:
            version = str(known[0].version)
        else:
            with self._store.as_default():  # MLflow looks the model up there, whatever store the client has
                created = client.create_model_version(
                    name,
                    source,
                    self._id(message.content["parent"]),
                    tags={**message.content["tags"], KEY_TAG: message.content["key"], **flaw},
                    description=message.content["card"],
                    model_id=model_id,
                )
            version = str(created.version)
        versions = json.dumps([{"name": name, "version": version}])
        client.set_logged_model_tags(model_id, {"mlflow.modelVersions": versions})  # where the pages look
        if not flaw:
            client.set_registered_model_alias(name, CHALLENGER, version)
        return version


def _batches(items: list[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
