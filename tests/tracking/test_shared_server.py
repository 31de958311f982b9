"""Stages against a shared server: PostgreSQL, a store like S3 and MLflow with logins, on loopback (`shared_server`).

Skipped where PostgreSQL is not installed, unless REQUIRE_POSTGRESQL is set, as `.ci/run` does.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drawn_models import segmenter
from nerveseg.errors import TrackingError
from nerveseg.registry.download import PREDICTOR, downloaded
from nerveseg.saved_models.loading import load_predictor
from nerveseg.tracking.journal import FOLDER
from nerveseg.tracking.mirror import stage_run
from processes import PATIENCE, attempt, eventually, run
from shared_server import MEMBER, Login, postgresql_programs, shared_server
from tiny_params import write_params

pytestmark = pytest.mark.slow

EPOCHS = 30
STAGE = f"""
from pathlib import Path
from nerveseg.errors import told_plainly
from nerveseg.registry.project_params import load_project_params
from nerveseg.tracking.mirror import stage_run

Path("weights.bin").write_bytes(bytes(range(256)) * 4096)
with told_plainly(), stage_run("train_unet", load_project_params()) as run:
    for epoch in range({EPOCHS}):
        run.log_epoch(epoch, {{"loss": 1 / (epoch + 1), "val_dice": epoch / 100}})
    run.log_scores({{"unet": {{"dice": 0.7}}}})
    run.log_artifact("weights.bin", "models")
"""

UNTIL_STOPPED = """
import sys, time
from pathlib import Path
from nerveseg.errors import told_plainly
from nerveseg.registry.project_params import load_project_params
from nerveseg.tracking.mirror import stage_run

name, epoch = sys.argv[1], 0
Path(name).write_text(name)
with told_plainly(), stage_run("train_unet", load_project_params()) as run:
    while not Path("stop").exists():
        run.log_epoch(epoch, {"loss": 1 / (epoch + 1)})
        epoch += 1
        Path(f"{name}.epochs").write_text(str(epoch))
        time.sleep(0.1)
    run.log_scores({"unet": {"dice": 0.7}})
    run.log_artifact(name, "models")
"""


@pytest.fixture(scope="module")
def server_of_the_team(tmp_path_factory):
    if postgresql_programs() is None:
        if os.environ.get("REQUIRE_POSTGRESQL"):
            pytest.fail("PostgreSQL was not found, and REQUIRE_POSTGRESQL is set")
        pytest.skip("PostgreSQL is not installed")
    with shared_server(tmp_path_factory.mktemp("server"), workers=1) as running:
        yield running


@pytest.fixture
def server(server_of_the_team):
    """It runs, also after a test that killed it."""
    server_of_the_team.start()
    return server_of_the_team


@pytest.fixture
def experiment(request) -> str:
    """One of the test's own, and the name of its model."""
    return request.node.name


@pytest.fixture
def params(server, quick_commands, experiment, tmp_path, monkeypatch):
    """Of a folder that is the working directory, of a member of the team who has logged in."""
    for name in [name for name in os.environ if name.startswith(("DVC_", "MLFLOW_", "AWS_ACCESS"))]:
        monkeypatch.delenv(name)
    for name, value in {**server.client_environment(), "DVC_ROOT": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    tracking = {"enabled": True, "experiment": experiment, "model_name": experiment}
    return write_params(tmp_path / "params.yaml", {"tracking": tracking})


def runs_of(experiment):
    """Parents, each with its nested runs."""
    from mlflow import MlflowClient

    client = MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    nested = "mlflow.parentRunId"
    return [
        (parent, [run for run in runs if run.data.tags.get(nested) == parent.info.run_id])
        for parent in runs
        if nested not in parent.data.tags
    ]


def curve(run, name) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    return [(point.step, point.value) for point in MlflowClient().get_metric_history(run.info.run_id, name)]


def start_stage(script=STAGE, *arguments) -> "subprocess.Popen[str]":
    Path("stage.py").write_text(script)
    return subprocess.Popen(
        [sys.executable, "stage.py", *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finished(stage) -> str:
    """What the stage printed; it ended well."""
    output, _ = stage.communicate(timeout=PATIENCE)
    assert stage.returncode == 0, output
    return output


def is_whole(run) -> bool:
    return (
        run.info.status == "FINISHED"
        and curve(run, "loss") == [(epoch, 1 / (epoch + 1)) for epoch in range(EPOCHS)]
        and curve(run, "val_dice") == [(epoch, epoch / 100) for epoch in range(EPOCHS)]
        and run.data.metrics["unet.dice"] == 0.7
    )


def test_a_stage_reaches_the_database_and_the_object_store_with_a_login_and_no_keys(server, params, experiment):
    import sqlalchemy
    from mlflow.artifacts import download_artifacts

    assert "AWS_ACCESS_KEY_ID" not in os.environ
    assert finished(start_stage()) == ""

    [(parent, [stage])] = runs_of(experiment)
    assert is_whole(stage)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["lr"] == stage.data.params["lr"] == str(params.lr)
    kept = download_artifacts(run_id=stage.info.run_id, artifact_path="models/weights.bin")
    assert Path(kept).read_bytes() == bytes(range(256)) * 4096
    in_store = f"{stage.info.run_id}/artifacts/models/weights.bin"
    assert [key for key in server.objects.keys("mlflow/") if key.endswith(in_store)]
    engine = sqlalchemy.create_engine(server.database)
    with engine.connect() as database:
        rows = sqlalchemy.text("select count(*) from metrics where run_uuid = :run and key = 'loss'")
        assert database.execute(rows, {"run": stage.info.run_id}).scalar() == EPOCHS
    engine.dispose()


def test_a_registered_model_comes_back_as_it_was_and_a_colleague_gets_it_as_well(
    server, params, experiment, tmp_path, monkeypatch
):
    from mlflow.models import Model

    trained = segmenter(4)

    def save(path):
        (path / PREDICTOR).mkdir(parents=True)
        trained.save(path / PREDICTOR)
        described = Model()
        described.add_flavor("python_function", loader_module="nowhere")
        described.save(str(path / "MLmodel"))

    save(tmp_path / "kept")
    with stage_run("evaluate", params) as tracked:
        tracked.log_scores({"unet": {"dice": 0.7}})
        tracked.log_model(save, "gan", "A card.")

    colleague = Login("grace", "another-of-the-team")
    server.add(colleague)
    for login in (MEMBER, colleague):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", login.name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", login.password)
        with downloaded(f"models:/{experiment}@challenger") as folder:
            files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
            assert files
            kept = tmp_path / "kept" / PREDICTOR
            assert all((folder / file).read_bytes() == (kept / file).read_bytes() for file in files)
            load_predictor(folder)
    with stage_run("evaluate", params) as tracked:  # the colleague's, into the experiment and the model of the first
        tracked.log_model(save, "gan", "A card.")
    with downloaded(f"models:/{experiment}/2"):
        pass
    assert len(runs_of(experiment)[0][1]) == 2


@pytest.mark.parametrize("wrong", ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_USERNAME"])
def test_a_wrong_login_is_told_in_one_sentence_that_does_not_show_it(server, params, monkeypatch, wrong):
    monkeypatch.setenv(wrong, "mistyped-by-somebody")
    stage = start_stage()
    output, _ = stage.communicate(timeout=PATIENCE)
    assert stage.returncode == 1
    [line] = output.splitlines()
    assert f"error: MLflow's server {server.uri} does not know this login; set MLFLOW_TRACKING_USERNAME" in line
    assert "mistyped-by-somebody" not in line
    assert MEMBER.password not in line


def test_stages_of_three_processes_at_once_all_arrive_whole(server, params, experiment):
    stages = [start_stage() for _ in range(3)]
    assert [finished(stage) for stage in stages] == [""] * 3

    runs = runs_of(experiment)
    assert len(runs) == 3
    assert all(len(nested) == 1 and is_whole(nested[0]) for _, nested in runs)


def epochs_of(name) -> int:
    """How many a stage that runs until it is stopped has told of."""
    count = Path(f"{name}.epochs")
    return int(count.read_text() or 0) if count.exists() else 0


def wait_for_epochs(stages, more) -> None:
    """Until each has told of so many more."""
    wanted = {name: epochs_of(name) + more for name in stages}
    eventually(lambda: all(epochs_of(name) >= count for name, count in wanted.items()), *stages.values())


def assert_all_arrived(experiment, names) -> None:
    """Each stage's points are there once and in order, with its score and its file."""
    from mlflow import MlflowClient
    from mlflow.artifacts import load_text

    runs, client = runs_of(experiment), MlflowClient()
    assert len(runs) == len(names)
    files = []
    for parent, [stage] in runs:
        points = curve(stage, "loss")
        assert points == [(epoch, 1 / (epoch + 1)) for epoch in range(len(points))]
        assert [parent.info.status, stage.info.status] == ["FINISHED"] * 2
        assert stage.data.metrics["unet.dice"] == 0.7
        [artifact] = client.list_artifacts(stage.info.run_id, "models")
        file = load_text(f"{stage.info.artifact_uri}/{artifact.path}")
        assert epochs_of(file) == len(points)
        files.append(file)
    assert sorted(files) == sorted(names)


SYNC = [sys.executable, "-m", "nerveseg.cli", "sync"]


def assert_one_warning(output) -> None:
    [line] = output.splitlines()
    assert "does not answer" in line
    assert "nerveseg sync" in line
    assert MEMBER.password not in line


def test_stages_go_on_while_the_server_is_killed_and_brought_back_and_all_arrives(server, params, experiment):
    stages = {name: start_stage(UNTIL_STOPPED, name) for name in ("first", "second", "third")}
    wait_for_epochs(stages, 10)
    server.kill()
    wait_for_epochs(stages, 10)
    server.start()
    wait_for_epochs(stages, 5)
    Path("stop").touch()
    for stage in stages.values():
        assert_one_warning(finished(stage))
    eventually(lambda: not list(Path(FOLDER).glob("*")))  # a busy machine sends the rest after the stage
    assert_all_arrived(experiment, stages)


def test_what_a_stage_told_a_dead_server_is_sent_by_sync_when_it_is_back(server, params, experiment):
    stages = {name: start_stage(UNTIL_STOPPED, name) for name in ("first", "second")}
    wait_for_epochs(stages, 10)
    server.kill()
    wait_for_epochs(stages, 10)
    Path("stop").touch()
    for stage in stages.values():
        assert_one_warning(finished(stage))
    assert len(list(Path(FOLDER).glob("*"))) == 2

    failed = attempt(*SYNC)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ")
    assert len(failed.stderr.splitlines()) == 1
    server.start()
    assert "2 stages" in run(*SYNC)
    assert not list(Path(FOLDER).glob("*"))
    assert_all_arrived(experiment, stages)


def test_a_server_that_is_required_and_down_stops_the_stage_at_once(server, params):
    required = params.model_copy(update={"tracking": params.tracking.model_copy(update={"required": True})})
    server.kill()
    began = time.monotonic()
    with pytest.raises(TrackingError, match="start the server") as failed, stage_run("train_unet", required):
        pytest.fail("the stage began")
    assert time.monotonic() - began < 30, "seconds; MLflow would ask for minutes"
    assert MEMBER.password not in str(failed.value)
    assert not list(Path(FOLDER).glob("*"))
