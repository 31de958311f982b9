"""A store that fails, and comes back."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nerveseg import cli, tracking_outbox
from nerveseg.errors import TrackingError
from nerveseg.params import Params, load_params
from nerveseg.tracking import stage_run
from nerveseg.tracking_journal import FOLDER, Journal, journals
from nerveseg.tracking_messages import Message
from processes import started
from test_tracking import warnings_of
from tracked_repository import client_of, free_port, runs_of, scores_of


@pytest.fixture
def params(repo) -> Params:
    return load_params(repo / "params.yaml")


@pytest.fixture
def store(monkeypatch):
    """A switch: `store(error)` makes every call of MLflow's client fail with that error, `store(None)` none."""
    from mlflow import MlflowClient

    down: list[Exception | None] = [None]

    def switched(method):
        def call(*args, **kwargs):
            if down[0]:
                raise down[0]
            return method(*args, **kwargs)

        return call

    for name in (
        "create_run",
        "search_runs",
        "log_batch",
        "set_tag",
        "set_terminated",
        "log_artifact",
        "log_artifacts",
    ):
        monkeypatch.setattr(MlflowClient, name, switched(getattr(MlflowClient, name)))

    def switch(error: Exception | None) -> None:
        down[0] = error

    return switch


def points(folder: Path, run_id: str, key: str = "loss") -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client_of(folder).get_metric_history(run_id, key)]


def test_what_the_store_missed_arrives_in_order_when_it_answers_again_and_the_user_saw_one_warning(
    repo, params, store, monkeypatch, caplog
):
    monkeypatch.setattr(tracking_outbox, "PATIENCE", 0)
    with stage_run("train_unet", params) as tracked:
        for epoch in range(6):
            store(ConnectionError("refused") if epoch in (2, 3) else None)
            tracked.log_epoch(epoch, {"loss": 1.0 / (epoch + 1)})
    [(parent, stages)] = runs_of(repo)
    assert points(repo, stages["train_unet"].info.run_id) == [(epoch, 1.0 / (epoch + 1)) for epoch in range(6)]
    assert [each.info.status for each in (parent, stages["train_unet"])] == ["FINISHED"] * 2
    assert journals() == []
    (warning,) = warnings_of(caplog)
    assert "refused" in warning
    assert "nerveseg sync" in warning


def test_a_store_that_stays_away_gets_everything_from_the_next_stage(repo, params, store, caplog):
    (repo / "reports").mkdir()
    (repo / "reports" / "a.txt").write_text("kept")
    with stage_run("train_unet", params) as tracked:
        tracked.log_epoch(0, {"loss": 1.0})
        store(ConnectionError("refused"))
        tracked.log_epoch(1, {"loss": 0.5})
        tracked.log_scores({"unet": {"dice": 0.7}})
        tracked.log_report(repo / "reports")
    assert len(journals()) == 1
    shutil.rmtree(repo / "reports")
    store(None)
    with stage_run("evaluate", params):
        pass
    [(parent, stages)] = runs_of(repo)
    assert set(stages) == {"train_unet", "evaluate"}
    assert points(repo, stages["train_unet"].info.run_id) == [(0, 1.0), (1, 0.5)]
    assert scores_of(parent) == {"unet.dice": 0.7}
    assert [f.path for f in client_of(repo).list_artifacts(parent.info.run_id, "reports")] == ["reports/a.txt"]
    assert journals() == []
    assert len(warnings_of(caplog)) == 1


def test_stages_that_never_saw_the_server_are_sent_by_sync_as_one_execution(repo, params, monkeypatch, caplog, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://someone:secret@127.0.0.1:{free_port()}")
    for stage in ("preprocess", "train_unet"):
        with stage_run(stage, params) as tracked:
            tracked.log_epoch(0, {"loss": 1.0})
    assert len(journals()) == 2
    (warning,) = warnings_of(caplog)
    assert "secret" not in warning
    with pytest.raises(SystemExit, match="cannot be used"):
        cli.main(["sync"])
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(SystemExit) as ended:
        cli.main(["sync"])
    assert ended.value.code == 0
    assert "sent what 2 stages had to tell" in capsys.readouterr().out
    [(parent, stages)] = runs_of(repo)
    assert set(stages) == {"preprocess", "train_unet"}
    assert parent.info.status == "FINISHED"
    assert all(points(repo, stage.info.run_id) == [(0, 1.0)] for stage in stages.values())
    with pytest.raises(SystemExit):
        cli.main(["sync"])
    assert "nothing waits" in capsys.readouterr().out


def test_a_journal_that_is_delivered_twice_changes_nothing(repo, params, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    with stage_run("evaluate", params) as tracked:
        tracked.log_epoch(0, {"loss": 1.0})
        tracked.log_model(write_model, "gan", "A card.")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (journal,) = journals()
    kept = shutil.copytree(journal.folder, repo / "kept")
    for _ in range(2):
        tracking_outbox.sync("nerveseg")
        shutil.copytree(kept, journal.folder, dirs_exist_ok=True)
    [(_, stages)] = runs_of(repo)
    client = client_of(repo)
    assert points(repo, stages["evaluate"].info.run_id) == [(0, 1.0)]
    (version,) = client.search_model_versions("name='nerveseg'")
    assert version.description == "A card."
    assert len(client.search_logged_models([stages["evaluate"].info.experiment_id])) == 1


def test_what_the_store_refuses_for_good_is_told_once_and_the_rest_arrives(repo, params, store, caplog):
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    with stage_run("train_unet", params) as tracked:
        tracked.log_epoch(0, {"loss": 1.0})
        store(MlflowException("no such thing", INVALID_PARAMETER_VALUE))
        tracked.log_epoch(1, {"loss": 0.5})
        tracked.log_epoch(2, {"loss": 0.4})
        store(None)
        tracked.log_epoch(3, {"loss": 0.3})
    [(_, stages)] = runs_of(repo)
    assert points(repo, stages["train_unet"].info.run_id) == [(0, 1.0), (3, 0.3)]
    assert warnings_of(caplog) == ["MLflow refused a part of what train_unet told it: no such thing"]


def test_a_run_that_was_deleted_meanwhile_is_told_by_sync(repo, params, store, capsys):
    with stage_run("train_unet", params) as tracked:
        store(ConnectionError("refused"))
        tracked.log_epoch(0, {"loss": 1.0})
    store(None)
    client = client_of(repo)
    [(parent, stages)] = runs_of(repo)
    for each in (*stages.values(), parent):
        client.delete_run(each.info.run_id)
    with pytest.raises(SystemExit):
        cli.main(["sync"])
    assert journals() == []
    [(_, again)] = runs_of(repo)  # made anew from the journal
    assert points(repo, again["train_unet"].info.run_id) == [(0, 1.0)]


def test_a_line_that_a_killed_process_left_half_written_is_left_out(repo):
    journal = Journal.fresh("train_unet")
    journal.append(Message("tags", "key", {"tags": {"a": "b"}}), 0)
    with (journal.folder / "messages.jsonl").open("a") as file:
        file.write('{"kind": "metr')
    assert list(journal.messages()) == [Message("tags", "key", {"tags": {"a": "b"}})]


def test_a_journal_that_another_process_writes_is_left_alone(repo, params, capsys):
    writing = (
        "from nerveseg.tracking_journal import Journal; held = Journal.fresh('a'); print('begun', flush=True); input()"
    )
    with started([sys.executable, "-c", writing], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == "begun\n"
        with pytest.raises(SystemExit):
            cli.main(["sync"])
        assert "1 wait on" in capsys.readouterr().out
    tracking_outbox.sync("nerveseg")
    assert journals() == []


def test_a_store_that_is_set_up_wrongly_is_an_error_and_not_a_wait(repo, params, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with pytest.raises(TrackingError, match="folder"), stage_run("evaluate", params):
        pass
    assert not (repo / FOLDER).exists()


def write_model(path: Path) -> None:
    """The smallest folder that MLflow takes for a model."""
    from mlflow.models import Model

    path.mkdir()
    described = Model()
    described.add_flavor("python_function", loader_module="nowhere")
    described.save(str(path / "MLmodel"))
