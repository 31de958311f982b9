"""A store that fails, and comes back; a disk that fails under what waits for it."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_server

import pytest
import requests

from nerveseg import cli
from nerveseg.errors import RepositoryError, StoreUnreachableError, TrackingError
from nerveseg.params.file import Params
from nerveseg.registry.project_params import load_project_params
from nerveseg.tracking import delivery, outbox
from nerveseg.tracking.journal import ASIDE, FOLDER, Journal, journals
from nerveseg.tracking.messages import Message
from nerveseg.tracking.mirror import stage_run
from nerveseg.tracking.verdict import PATIENCE, Verdict
from processes import eventually, free_port, started
from tracked_repository import client_of, losses, runs_of, scores_of, warnings_of, write_model

pytestmark = pytest.mark.slow


@pytest.fixture
def params(repo) -> Params:
    return load_project_params(repo / "params.yaml")


@pytest.fixture
def away(monkeypatch) -> Iterator[None]:
    """MLflow's server is not there; `nerveseg sync` in the test reaches the default store."""
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"http://someone:secret@127.0.0.1:{free_port()}")
        yield patch


def points(folder: Path, run_id: str, key: str = "loss") -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client_of(folder).get_metric_history(run_id, key)]


def synced() -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["sync"])
    return ended.value.code


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """A database that another program holds."""
    with closing(sqlite3.connect(file, isolation_level=None)) as held:
        held.execute("BEGIN EXCLUSIVE")
        yield
        held.rollback()


@contextmanager
def server_that(answer: bytes, pause: float = 0.05) -> Iterator[str]:
    """The address of one that accepts, sends a byte of `answer` every now and then, and never ends."""
    with create_server(("127.0.0.1", 0)) as server:

        def serve(connection) -> None:
            with connection:
                try:
                    for byte in answer:
                        connection.sendall(bytes([byte]))
                        time.sleep(pause)
                    time.sleep(600)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=[connection], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


TRICKLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n" + b" " * 10000


def test_stages_that_never_saw_the_server_are_sent_by_sync_as_one_execution(repo, params, away, caplog, capsys):
    for stage in ("preprocess", "train_unet"):
        with stage_run(stage, params) as tracked:
            tracked.log_epoch(0, {"loss": 1.0})
    assert len(journals()) == 2
    (warning,) = warnings_of(caplog)
    assert "refused" in warning
    assert "nerveseg sync" in warning
    assert "secret" not in warning
    with pytest.raises(SystemExit, match="cannot be used"):
        cli.main(["sync"])
    away.delenv("MLFLOW_TRACKING_URI")
    assert synced() == 0
    assert "sent everything of 2 stages\n" in capsys.readouterr().out
    [(parent, stages)] = runs_of(repo)
    assert set(stages) == {"preprocess", "train_unet"}
    assert parent.info.status == "FINISHED"
    assert all(points(repo, stage.info.run_id) == [(0, 1.0)] for stage in stages.values())
    assert synced() == 0
    assert "nothing waits" in capsys.readouterr().out


def test_a_store_that_comes_back_gets_everything_in_order_from_the_next_stage(repo, params, away, caplog):
    (repo / "reports").mkdir()
    (repo / "reports" / "a.txt").write_text("kept")
    with stage_run("train_unet", params) as tracked:
        for epoch in range(3):
            tracked.log_epoch(epoch, {"loss": 1.0 / (epoch + 1)})
        tracked.log_scores({"unet": {"dice": 0.7}})
        tracked.log_report(repo / "reports")
    shutil.rmtree(repo / "reports")
    away.delenv("MLFLOW_TRACKING_URI")
    shutil.rmtree(repo / ".nerveseg" / "store")  # the patience with it is over
    with stage_run("evaluate", params):
        pass
    [(parent, stages)] = runs_of(repo)
    assert set(stages) == {"train_unet", "evaluate"}
    assert points(repo, stages["train_unet"].info.run_id) == [(epoch, 1.0 / (epoch + 1)) for epoch in range(3)]
    assert scores_of(parent) == {"unet.dice": 0.7}
    assert [f.path for f in client_of(repo).list_artifacts(parent.info.run_id, "reports")] == ["reports/a.txt"]
    assert journals() == []
    assert len(warnings_of(caplog)) == 1


@pytest.mark.parametrize("answer", [b"", TRICKLE], ids=["hangs", "trickles"])
def test_a_server_that_hangs_costs_an_execution_one_warning_and_a_training_no_time(
    repo, params, monkeypatch, caplog, answer
):
    with server_that(answer) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with stage_run("train_unet", params) as tracked:
            began = time.monotonic()
            for epoch in range(50):
                tracked.log_epoch(epoch, {"loss": 1.0})
            assert time.monotonic() - began < 5
        began = time.monotonic()
        with stage_run("evaluate", params):  # of the same execution, which knows by now
            assert time.monotonic() - began < 5
    (warning,) = warnings_of(caplog)
    assert "does not answer (no answer within 5 s)" in warning
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert synced() == 0
    [(_, stages)] = runs_of(repo)
    assert len(points(repo, stages["train_unet"].info.run_id)) == 50


def test_a_server_that_hangs_and_is_required_stops_the_stage(repo, params, monkeypatch):
    required = params.model_copy(update={"tracking": params.tracking.model_copy(update={"required": True})})
    with server_that(TRICKLE) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(StoreUnreachableError, match="no answer within"), stage_run("train_unet", required):
            pytest.fail("the stage began")
    assert journals() == []


def test_patience_grows_from_the_end_of_a_try_and_ends_when_the_store_answers(repo):
    verdict = Verdict.read("execution")
    assert verdict.wait == 0
    for seconds in (30, 60, 120, 300, 300):
        verdict = verdict.failed("execution", 1.0)
        assert Verdict.read("execution") == verdict
        assert verdict.wait == pytest.approx(seconds, abs=1)
    assert Verdict.read("another").wait == 0
    (path,) = (repo / ".nerveseg" / "store").iterdir()
    for damaged in ("", "null", '{"failures": "x"', "[]"):
        path.write_text(damaged)
        assert Verdict.read("execution").wait == 0
    path.write_text(json.dumps({"failures": 1, "again": time.time() + 1e9, "took": 1.0}))  # the clock was set
    assert Verdict.read("execution").wait == PATIENCE[-1]


def waiting_journal() -> Journal:
    journal = Journal.fresh("train_unet")
    begun = {"find": [{"key": "a"}], "name": "a", "tags": {}, "params": {}, "time": 1}
    journal.append(Message("run", "a", begun))
    journal.take(being_written=True)
    return journal


def send_or_fail(monkeypatch, *fails, then=lambda: None) -> None:
    """A store that does not answer each time that `fails` says so, `then` does that, and answers in the end."""
    now, send = iter(fails), delivery.Sender.send

    def sometimes(sender, message):
        if next(now, False):
            then()
            raise ConnectionError("away")
        send(sender, message)

    monkeypatch.setattr(delivery.Sender, "send", sometimes)


END = Message("end", "a", {"status": "FINISHED", "time": 2})


def test_a_store_that_fails_as_the_stage_ends_is_asked_once_more_however_long_it_did_well_before(
    repo, params, monkeypatch
):
    monkeypatch.setattr(delivery, "SLOW", 0.5)
    ended, said = threading.Event(), []
    send_or_fail(monkeypatch, False, True, then=ended.set)
    journal = waiting_journal()
    journal.append(END)

    def say(words):
        said.append(words)
        time.sleep(1 if "sent" in words else 0)

    delivery.follow(journal, params.tracking.experiment, "execution", ended, say)
    assert [words["silent"] for words in said if "silent" in words] == ["away"]
    assert journals() == []
    assert [parent.info.status for parent, _ in runs_of(repo)] == ["FINISHED"]


@pytest.mark.parametrize(
    "told",
    [
        "(psycopg2.errors.UniqueViolation) duplicate key value violates unique constraint",
        "(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.name",
        "(MySQLdb.IntegrityError) (1062, \"Duplicate entry 'phantom'\")",
    ],
)
def test_a_data_set_that_two_stages_name_at_the_same_moment_arrives_from_both(repo, params, monkeypatch, told):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST

    log, lost = MlflowClient.log_inputs, iter([True])

    def log_inputs(client, *arguments):
        if next(lost, False):
            raise MlflowException(told, BAD_REQUEST)
        log(client, *arguments)

    monkeypatch.setattr(MlflowClient, "log_inputs", log_inputs)
    journal, said, ended = waiting_journal(), [], threading.Event()
    facts = {"name": "phantom", "digest": "0", "source_type": "local", "source": "{}"}
    journal.append(Message("dataset", "a", {"facts": facts, "context": "train"}))
    journal.append(END)
    ended.set()
    delivery.follow(journal, params.tracking.experiment, "execution", ended, said.append)
    assert not [words for words in said if words.get("refused")]
    [(parent, _)] = runs_of(repo)
    assert [each.dataset.name for each in parent.inputs.dataset_inputs] == ["phantom"]


def test_patience_is_short_again_where_the_store_answered_meanwhile(repo, params, monkeypatch):
    monkeypatch.setattr("nerveseg.tracking.verdict.PATIENCE", (0.0, 600.0))
    ended, forget = threading.Event(), delivery.forget
    send_or_fail(monkeypatch, True, False, True)
    journal = waiting_journal()

    def answered(execution):
        forget(execution)
        monkeypatch.setattr(delivery, "forget", forget)
        journal.append(END)
        threading.Timer(5, ended.set).start()

    monkeypatch.setattr(delivery, "forget", answered)
    arrived_in_time = []

    def say(words):
        if words.get("sent") == 2:
            arrived_in_time.append(not ended.is_set())

    delivery.follow(journal, params.tracking.experiment, "execution", ended, say)
    assert arrived_in_time == [True]


def test_a_locked_database_costs_one_line_and_keeps_its_runs(repo, params, caplog, capfd):
    with stage_run("train_unet", params):
        pass
    with locked(repo / "mlflow.db"), stage_run("evaluate", params) as tracked:
        tracked.log_scores({"unet": {"dice": 0.7}})
    (warning,) = warnings_of(caplog)
    # Two clocks of 5 seconds run at once: SQLite's own and that of whoever asks.
    assert re.search(r"does not answer \((database is locked|no answer within 5 s)\)", warning)
    assert "Traceback" not in capfd.readouterr().err
    # Whoever delivered beside the stage may still have the journal; `sync` leaves it alone then.
    eventually(lambda: synced() == 0 and set(runs_of(repo)[0][1]) == {"train_unet", "evaluate"})
    [(parent, _)] = runs_of(repo)
    assert scores_of(parent) == {"unet.dice": 0.7}


@pytest.mark.parametrize(
    "told", ["database is locked", "attempt to write a readonly database", "database or disk is full", "disk I/O error"]
)
def test_a_database_that_cannot_be_written_now_is_one_that_does_not_answer_and_is_not_to_be_moved_away(told):
    from sqlalchemy.exc import OperationalError

    from nerveseg.tracking.store_errors import failing_clearly

    with pytest.raises(StoreUnreachableError) as failed, failing_clearly("sqlite:////somewhere/mlflow.db"):
        raise OperationalError("select", {}, sqlite3.OperationalError(told))
    assert told in str(failed.value)
    assert "move" not in str(failed.value)


def test_a_database_that_is_locked_in_the_middle_of_a_stage_gets_the_rest_later(repo, params, caplog):
    with stage_run("train_unet", params) as tracked:
        tracked.log_epoch(0, {"loss": 1.0})
        eventually(lambda: losses(repo))
        with locked(repo / "mlflow.db"):
            tracked.log_epoch(1, {"loss": 0.5})
            eventually(lambda: warnings_of(caplog))
    assert len(warnings_of(caplog)) == 1
    synced()
    [(_, stages)] = runs_of(repo)
    assert points(repo, stages["train_unet"].info.run_id) == [(0, 1.0), (1, 0.5)]


def test_a_journal_that_is_delivered_twice_changes_nothing(repo, params, away):
    with stage_run("evaluate", params) as tracked:
        tracked.log_epoch(0, {"loss": 1.0})
        tracked.log_model(write_model, "gan", "A card.")
    away.delenv("MLFLOW_TRACKING_URI")
    (journal,) = journals()
    kept = shutil.copytree(journal.folder, repo / "kept")
    for _ in range(2):
        outbox.sync("nerveseg")
        shutil.copytree(kept, journal.folder, dirs_exist_ok=True)
    [(_, stages)] = runs_of(repo)
    client = client_of(repo)
    assert points(repo, stages["evaluate"].info.run_id) == [(0, 1.0)]
    (version,) = client.search_model_versions("name='nerveseg'")
    assert version.description == "A card."
    assert len(client.search_logged_models([stages["evaluate"].info.experiment_id])) == 1


@pytest.fixture
def two_waiting(repo, params, away) -> tuple[Path, Path]:
    """The journals of two stages, the first with a file."""
    (repo / "a.txt").write_text("a")
    with stage_run("train_unet", params) as tracked:
        tracked.log_artifact(repo / "a.txt", "texts")
        tracked.log_epoch(0, {"loss": 1.0})
    with stage_run("evaluate", params) as tracked:
        tracked.log_epoch(0, {"loss": 0.5})
    away.delenv("MLFLOW_TRACKING_URI")
    first, second = journals()
    return first.folder, second.folder


def lose_its_file(journal: Path) -> None:
    next(journal.rglob("a.txt")).unlink()


def make_its_file_a_folder(journal: Path) -> None:
    file = next(journal.rglob("a.txt"))
    file.unlink()
    file.symlink_to(file.name)  # round and round: what no user may read, root included


def put_garbage_between_its_lines(journal: Path) -> None:
    file = journal / "messages.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:3], b"\x00\xff garbage\n", b'{"kind": 1}\n', b"[]\n", *lines[3:]]))


def tell_what_nobody_knows(journal: Path) -> None:
    file = journal / "messages.jsonl"
    first = json.loads(file.read_text().splitlines()[0])
    with file.open("a") as lines:
        lines.write(json.dumps(first | {"kind": "fanfare"}) + "\n")
        lines.write(json.dumps(first | {"kind": "metrics", "content": {}}) + "\n")


@pytest.mark.parametrize(
    "damage", [lose_its_file, make_its_file_a_folder, put_garbage_between_its_lines, tell_what_nobody_knows]
)
def test_what_of_a_journal_cannot_be_sent_is_set_aside_with_its_reason_and_the_rest_and_the_next_arrive(
    repo, two_waiting, capsys, damage
):
    damage(two_waiting[0])
    assert synced() == 1
    told = capsys.readouterr().err
    assert "it is kept in .nerveseg/outbox/set-aside, and" in told
    assert "Error" not in told
    [(_, stages)] = runs_of(repo)
    assert points(repo, stages["train_unet"].info.run_id) == [(0, 1.0)]
    assert points(repo, stages["evaluate"].info.run_id) == [(0, 0.5)]
    assert journals() == []
    (aside,) = (repo / FOLDER / ASIDE).iterdir()
    assert json.loads((aside / "reasons.json").read_text())


RUN = {"kind": "run", "run": "a", "files": "."}
BEGUN = {"find": [{"key": "a"}], "name": "a", "tags": {}, "params": {}, "time": 1}
BROKEN = {
    "no time": [RUN | {"content": {key: value for key, value in BEGUN.items() if key != "time"}}],
    "no content": [{key: value for key, value in RUN.items() if key != "content"}],
    "odd content": [RUN | {"content": "x"}],
    "odd values": [RUN | {"content": BEGUN | {"find": 3}}],
    "no run": [RUN | {"kind": "metrics", "content": {"values": {"a": 1}, "time": 1, "step": 0}}],
    "odd time": [
        RUN | {"content": BEGUN},
        RUN | {"kind": "metrics", "content": {"values": {"a": "x"}, "time": "y", "step": 0}},
    ],
    "odd files": [RUN | {"files": 7, "content": BEGUN}],
    "a list": [[RUN]],
}


def test_stages_of_which_all_is_refused_are_not_called_sent_and_the_reasons_are_sentences(repo, capsys):
    for number, (name, lines) in enumerate(BROKEN.items()):
        folder = repo / FOLDER / f"{number}-{name.replace(' ', '-')}-1"
        folder.mkdir(parents=True)
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (folder / "messages.jsonl").write_text(text.replace('"a"', f'"{name}"'))  # a run of its own
    deep = repo / FOLDER / "9-deep-1"
    deep.mkdir()
    (deep / "messages.jsonl").write_text("[" * 200_000 + "\n")
    for _ in range(2):
        assert synced() == 1
        printed = capsys.readouterr()
        assert printed.out == "sent everything of 0 stages\n"
        assert "a message of the kind 'run' cannot be sent (it has no 'time'): it is damaged" in printed.err
        assert "a line of messages.jsonl is damaged, or another version of nerveseg wrote it (" in printed.err
        assert "Error" not in printed.err
        assert len(list((repo / FOLDER / ASIDE).iterdir())) == len(BROKEN) + 1


def test_a_file_where_things_are_set_aside_is_named_and_what_it_stops_stays_and_is_not_of_a_stage_that_runs(
    repo, two_waiting, capsys
):
    (repo / FOLDER / ASIDE).touch()
    tell_what_nobody_knows(two_waiting[0])
    for stages in ("1 stage", "0 stages"):
        assert synced() == 1
        printed = capsys.readouterr()
        assert printed.out == f"sent everything of {stages}\n"
        assert "a message of the kind 'fanfare' is damaged, or another version of nerveseg wrote it" in printed.err
        assert ".nerveseg/outbox/set-aside cannot take it (File exists)" in printed.err
        assert "it is kept in .nerveseg/outbox, and" in printed.err
    assert [journal.folder for journal in journals()] == [two_waiting[0]]


@pytest.mark.parametrize("answer", [b"{}", b'{"experiment": null}'])
def test_a_server_of_something_else_does_not_answer_and_nothing_is_set_aside(repo, params, monkeypatch, caplog, answer):
    told = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        % len(answer)
    )
    with server_that(told + answer, pause=0) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with stage_run("train_unet", params) as tracked:
            tracked.log_epoch(0, {"loss": 1.0})
    (warning,) = warnings_of(caplog)
    assert "does not answer (the server is not MLflow's)" in warning
    assert len(journals()) == 1
    assert not (repo / FOLDER / ASIDE).exists()


def test_sync_tries_again_what_was_set_aside_and_tells_of_it(repo, two_waiting, capsys):
    file = next(two_waiting[0].rglob("a.txt"))
    file.rename(repo / "taken.txt")
    assert synced() == 1
    assert synced() == 1
    (aside,) = (repo / FOLDER / ASIDE).iterdir()
    (repo / "taken.txt").rename(aside / file.relative_to(two_waiting[0]))
    assert synced() == 0
    [(_, stages)] = runs_of(repo)
    found = client_of(repo).list_artifacts(stages["train_unet"].info.run_id, "texts")
    assert [each.path for each in found] == ["texts/a.txt"]
    assert "nothing waits" not in capsys.readouterr().out
    assert list((repo / FOLDER / ASIDE).iterdir()) == []


def test_what_was_set_aside_and_cannot_be_moved_back_is_named_and_holds_nothing_up(repo, two_waiting, capsys):
    stuck = repo / FOLDER / ASIDE / "1-stuck"
    (stuck / "reasons.json").mkdir(parents=True)  # as little to be removed as another user's
    assert synced() == 1
    assert "1-stuck cannot be moved (" in capsys.readouterr().err
    [(_, stages)] = runs_of(repo)
    assert set(stages) == {"train_unet", "evaluate"}


@pytest.mark.parametrize("count", ["", "x", "-1", "9999", "99999999999999999999x"])
def test_a_count_that_was_lost_does_no_harm(repo, two_waiting, count):
    (two_waiting[0] / "sent").write_text(count)
    assert synced() == 0
    [(_, stages)] = runs_of(repo)
    assert points(repo, stages["train_unet"].info.run_id) == [(0, 1.0)]


def test_a_file_where_a_journal_is_expected_holds_nothing_up(repo, two_waiting):
    (repo / FOLDER / "1-stray").touch()
    (repo / FOLDER / "2-empty").mkdir()
    (repo / FOLDER / "3-odd").mkdir()
    (repo / FOLDER / "3-odd" / "messages.jsonl").mkdir()
    synced()
    [(_, stages)] = runs_of(repo)
    assert set(stages) == {"train_unet", "evaluate"}


def test_a_full_artifact_store_keeps_the_journal(repo, two_waiting, monkeypatch):
    from mlflow import MlflowClient

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", fail)
        with pytest.raises(SystemExit, match="No space left on device"):
            cli.main(["sync"])
    assert len(journals()) == 2
    assert synced() == 0


def test_what_the_store_refuses_for_good_is_told_with_its_count_and_the_rest_arrives(
    repo, two_waiting, monkeypatch, capsys
):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    log_batch = MlflowClient.log_batch

    def refuse(client, run_id, metrics=(), **others):
        if any(metric.key == "loss" for metric in metrics):
            raise MlflowException("not yours", PERMISSION_DENIED)
        return log_batch(client, run_id, metrics=metrics, **others)

    monkeypatch.setattr(MlflowClient, "log_batch", refuse)
    assert synced() == 1
    assert "not yours (2 times)" in capsys.readouterr().err
    [(_, stages)] = runs_of(repo)
    assert [stage.info.status for stage in stages.values()] == ["FINISHED"] * 2


def refusing_files(monkeypatch, status):
    """As a web server before MLflow does: files do not pass MLflow's own errors."""
    from mlflow import MlflowClient

    def refuse(*_arguments, **_options):
        answer = requests.Response()
        answer.status_code, answer.url = status, "http://me:secret@host/artifacts/a"
        answer.raise_for_status()

    monkeypatch.setattr(MlflowClient, "log_artifact", refuse)


@pytest.mark.parametrize(("status", "told"), [(413, "raise the limit of the web server before MLflow"), (403, "403 ")])
def test_a_file_that_a_web_server_does_not_let_through_is_set_aside_and_holds_nothing_up(
    repo, two_waiting, monkeypatch, capsys, status, told
):
    refusing_files(monkeypatch, status)
    assert synced() == 1
    printed = capsys.readouterr().err
    assert told in printed
    assert "secret" not in printed
    [(_, stages)] = runs_of(repo)
    assert [stage.info.status for stage in stages.values()] == ["FINISHED"] * 2
    assert journals() == []


def test_a_web_server_without_its_mlflow_keeps_all_and_sync_names_the_store_and_a_remedy(two_waiting, monkeypatch):
    refusing_files(monkeypatch, 502)
    with pytest.raises(
        SystemExit, match=r"MLflow's store .* cannot be used \(502 Server Error.*, or turn tracking off"
    ):
        cli.main(["sync"])
    assert len(journals()) == 2


def test_a_run_that_was_deleted_meanwhile_is_made_anew_from_the_journal(repo, two_waiting):
    journal = shutil.copytree(two_waiting[0], repo / "kept")
    synced()
    client = client_of(repo)
    [(parent, stages)] = runs_of(repo)
    for each in (*stages.values(), parent):
        client.delete_run(each.info.run_id)
    shutil.copytree(journal, two_waiting[0])
    synced()
    [(_, again)] = runs_of(repo)
    assert points(repo, again["train_unet"].info.run_id) == [(0, 1.0)]


def test_a_line_that_a_killed_process_left_half_written_is_left_out(repo):
    journal = Journal.fresh("train_unet")
    journal.append(Message("tags", "key", {"tags": {"a": "b"}}))
    with (journal.folder / "messages.jsonl").open("a") as file:
        file.write('{"kind": "metr')
    assert [message for _, message in journal.unread()] == [Message("tags", "key", {"tags": {"a": "b"}})]


def test_a_journal_that_another_process_writes_is_left_alone(repo, params, capsys):
    writing = (
        "from nerveseg.tracking.journal import Journal; held = Journal.fresh('a'); print('begun', flush=True); input()"
    )
    with started([sys.executable, "-c", writing], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == "begun\n"
        assert synced() == 0
        assert "; 1 stage left to another process" in capsys.readouterr().out
    outbox.sync("nerveseg")
    assert journals() == []


def test_a_store_that_is_set_up_wrongly_is_an_error_and_not_a_wait(repo, params, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with pytest.raises(TrackingError, match="folder"), stage_run("evaluate", params):
        pass
    assert not (repo / FOLDER).exists()


@pytest.mark.parametrize("place", [".nerveseg", ".nerveseg/outbox", ".nerveseg/store"])
def test_a_place_that_cannot_take_the_journal_costs_a_warning_and_not_the_stage(repo, params, caplog, place):
    (repo / place).parent.mkdir(exist_ok=True)
    (repo / place).write_text("in the way")
    with stage_run("evaluate", params, repo / ".nerveseg" / "checkpoints" / "run.json") as tracked:
        tracked.log_epoch(0, {"loss": 1.0})
        tracked.log_artifact(repo / "params.yaml")
        tracked.log_model(write_model, "gan", "A card.")
    assert all("the work goes on" in warning or "Git" in warning for warning in warnings_of(caplog))


def test_a_disk_that_is_full_for_a_while_costs_what_was_told_then_and_not_the_stage(repo, params, monkeypatch, caplog):
    def full(_):
        raise OSError(28, "No space left on device")

    with stage_run("train_unet", params) as tracked:
        tracked.log_epoch(0, {"loss": 1.0})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            tracked.log_epoch(1, {"loss": 0.5})
        tracked.log_epoch(2, {"loss": 0.3})
    [(_, stages)] = runs_of(repo)
    assert points(repo, stages["train_unet"].info.run_id) == [(0, 1.0), (2, 0.3)]
    (warning,) = warnings_of(caplog)
    assert "No space left on device" in warning


@pytest.mark.parametrize("error", [OSError("No such artifact"), RuntimeError("no flavour")])
def test_a_model_that_mlflow_cannot_pack_is_not_told_as_a_fault_of_the_disk(repo, params, caplog, error):
    def save(_):
        raise error

    with stage_run("evaluate", params) as tracked, pytest.raises(type(error), match=str(error)):
        tracked.log_model(save, "gan", "A card.")
    assert warnings_of(caplog) == []


def test_a_stage_needs_no_temporary_folder(repo, params, monkeypatch, caplog):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(repo / "nowhere"))
    monkeypatch.setenv("TMPDIR", str(repo / "nowhere"))
    with stage_run("evaluate", params) as tracked:
        tracked.log_model(write_model, "gan", "A card.")
    assert warnings_of(caplog) == []
    assert len(client_of(repo).search_model_versions("name='nerveseg'")) == 1


def test_a_repository_that_git_refuses_is_told_once_with_its_remedy(repo, params, monkeypatch, caplog):
    def refuse(*_, **__):
        raise RepositoryError("Git refuses to read it; type `git config`")

    monkeypatch.setattr("nerveseg.tracking.run_page.changes", refuse)
    for stage in ("preprocess", "evaluate"):
        with stage_run(stage, params):
            pass
    (warning,) = warnings_of(caplog)
    assert "type `git config`" in warning
