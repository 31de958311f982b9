"""Predicting with models out of a real MLflow: a SQLite store with two networks and an ensemble in the registry."""

import os
import re
import shutil
import socket
import sys
import time
from dataclasses import replace
from functools import partial
from importlib import metadata

import pandas as pd
import pytest
from mlflow.models import Model

from command_line import interrupt, nerveseg, stopping_after
from drawn_models import FLOAT, VAL, segmenter
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.refinement.refined_segmenter import RefinedSegmenter
from nerveseg.registry.download import CASES, MODEL, PREDICTOR, downloaded
from nerveseg.registry.packaging import save_served
from nerveseg.registry.project_params import load_project_params
from nerveseg.saved_models.ensemble import Ensemble
from nerveseg.saved_models.openvino_export import export
from nerveseg.tracking.mirror import stage_run
from paths import ROOT
from processes import attempt, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A repository with the folders `first`, `second` and `ensemble`, registered as the versions 1, 2 and 3. The first two are
    exported; the last one, as it was trained, computes with TensorFlow.
    """
    root = tmp_path_factory.mktemp("registry")
    first = segmenter(4)
    second = RefinedSegmenter(replace(first.config, cutoffs=Cutoffs(0.3, 0.0)), first.segmenter, first.refiner)
    for name, model in (("first", first), ("second", second)):
        (root / name).mkdir()
        export(model, root / name, FLOAT, VAL, "gan")
    Ensemble({"one": first, "other": second}).save(root / "ensemble")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        with stage_run("evaluate", load_project_params(ROOT / "params.yaml")) as tracked:
            for name in ("first", "second", "ensemble"):
                cases = pd.DataFrame({"frame": ["1_1"], "model": [name], "dice": [0.5]})
                save = partial(save_served, predictor=root / name, cases=cases, card="A card.")
                tracked.log_model(save, name, "A card.")
    return root


@pytest.fixture(autouse=True)
def client(registry, tmp_path, monkeypatch):
    """Of a copy of that registry, in the working directory."""
    from mlflow import MlflowClient

    shutil.copy(registry / "mlflow.db", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.fixture
def frames(kaggle_folder):
    return kaggle_folder(subjects=[1])


def register(client, folder) -> str:
    """The URI of a new version with the files of this folder."""
    logged = client.create_logged_model(client.get_experiment_by_name("nerveseg").experiment_id)
    client.log_model_artifacts(logged.model_id, str(folder))
    version = client.create_model_version("nerveseg", logged.artifact_location, model_id=logged.model_id)
    return f"models:/nerveseg/{version.version}"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(frames, tmp_path, uri) -> str:
    """The line that ends `nerveseg predict` with this model; it begins with the URI, and nothing is written."""
    message = str(nerveseg("predict", frames, "--out", tmp_path / "out", "--model", uri))
    assert message.startswith(f"error: {uri}")
    assert "\n" not in message
    assert not (tmp_path / "out").exists()
    return message


def test_a_registered_model_segments_as_its_folder_by_version_by_alias_and_by_id(registry, client, frames, tmp_path):
    client.set_registered_model_alias("nerveseg", "champion", "1")
    expected = {}
    for name in ("first", "ensemble"):
        assert nerveseg("predict", frames, "--out", tmp_path / name, "--model", registry / name) == 0
        expected[name] = contents(tmp_path / name)
    assert expected["first"] != expected["ensemble"]
    by_id = client.get_model_version("nerveseg", "1").source
    assert by_id.startswith("models:/m-")
    of_first = dict.fromkeys(("models:/nerveseg/1", "models:/nerveseg@champion", by_id), "first")
    for number, (uri, name) in enumerate({**of_first, "models:/nerveseg@challenger": "ensemble"}.items()):
        out = tmp_path / f"out-{number}"
        assert nerveseg("predict", frames, "--out", out, "--model", uri) == 0
        assert contents(out) == expected[name], uri


def test_a_relative_store_of_the_user_s_is_where_models_come_from(client, frames, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///team.db")
    (tmp_path / "mlflow.db").rename(tmp_path / "team.db")
    assert nerveseg("predict", frames, "--out", tmp_path / "out", "--model", "models:/nerveseg/1") == 0


@pytest.mark.parametrize(("moved_to", "again"), [("1", 1), ("2", 4)])
def test_an_interrupted_predict_goes_on_with_another_uri_of_one_model_and_begins_anew_where_an_alias_moved(
    client, frames, tmp_path, monkeypatch, moved_to, again
):
    interrupt(monkeypatch, "predict", frames, "--out", tmp_path / "out", "--model", "models:/nerveseg/1")
    client.set_registered_model_alias("nerveseg", "champion", moved_to)
    with monkeypatch.context() as patch:
        seen = stopping_after(patch, None)
        assert nerveseg("predict", frames, "--out", tmp_path / "out", "--model", "models:/nerveseg@champion") == 0
    assert len(seen) == again


def test_off_a_terminal_nothing_but_an_error_is_on_stderr(frames, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "DVC_ROOT": str(tmp_path)}
    environment = {key: value for key, value in environment.items() if not key.startswith(("MLFLOW_", "TF_CPP"))}
    for version, code, expected in (("3", 0, []), ("9", 1, ["error: models:/nerveseg/9: "])):
        command = ["predict", str(frames), "--out", str(tmp_path / version), "--model", f"models:/nerveseg/{version}"]
        done = attempt(sys.executable, "-m", "nerveseg.cli", *command, cwd=tmp_path, env=environment)
        assert done.returncode == code, done.stderr
        lines = [line for line in done.stderr.replace("\r", "\n").split("\n") if line]
        assert len(lines) == len(expected)
        assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("models:/nerve@champion", "no model 'nerve' is registered in MLflow's store sqlite:.*, which has nerveseg;"),
        ("models:/nerveseg@champion", r"no alias 'champion'; found aliases: challenger \(version 3\); versions: 1, 2, 3;"),
        ("models:/nerveseg/9", r"no version 9; found aliases: challenger \(version 3\); versions: 1, 2, 3;"),
        ("models:/m-0123456789abcdef0123456789abcdef", "no model has this id in .*, which has nerveseg;"),
        ("models:/nerveseg", "expected models:/NAME@ALIAS, models:/NAME/VERSION or models:/m-ID"),
        ("models:/nerveseg/latest", "expected models:/NAME@ALIAS, models:/NAME/VERSION or models:/m-ID"),
        ("models://nerveseg/1", "expected models:/NAME@ALIAS, models:/NAME/VERSION or models:/m-ID"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_there_is_told_with_those_that_are(frames, tmp_path, uri, told):
    assert re.search(told, refusal(frames, tmp_path, uri))


def test_a_version_that_was_registered_without_its_predictor_says_how_to_get_one_with_it(client, frames, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "MLmodel").touch()
    message = refusal(frames, tmp_path, register(client, tmp_path / "old"))
    assert "it holds MLmodel, but no artifacts/predictor" in message
    assert "`dvc repro --force evaluate`" in message


def test_a_predictor_that_cannot_be_loaded_is_told_by_its_uri_and_not_by_a_temporary_file(
    registry, client, frames, tmp_path
):
    shutil.copytree(registry / "first", tmp_path / "broken" / PREDICTOR)
    (tmp_path / "broken" / PREDICTOR / "exported.json").write_text("{}")
    uri = register(client, tmp_path / "broken")
    assert f"{uri}: exported.json is damaged or was changed" in refusal(frames, tmp_path, uri)


def test_a_version_whose_files_are_gone_says_where_they_were(client, frames, tmp_path):
    (tmp_path / "empty").mkdir()
    uri = register(client, tmp_path / "empty")
    assert "its files were not found in file:///" in refusal(frames, tmp_path, uri)


def test_a_store_that_is_not_there_is_told_and_not_made(frames, tmp_path):
    (tmp_path / "mlflow.db").unlink()
    message = refusal(frames, tmp_path, "models:/nerveseg@champion")
    assert f"MLflow's store {tmp_path / 'mlflow.db'} was not found; go to the repository" in message
    assert [path.name for path in tmp_path.iterdir()] == ["frames"]


def test_a_file_that_is_no_store_is_told(frames, tmp_path):
    (tmp_path / "mlflow.db").write_text("this is not a database, but it is long enough to be asked")
    assert "mlflow.db cannot be used (file is not a database)" in refusal(frames, tmp_path, "models:/nerveseg/1")


def test_a_folder_as_store_is_refused(frames, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    assert "MLFLOW_TRACKING_URI is './mlruns', a folder" in refusal(frames, tmp_path, "models:/nerveseg/1")


def test_a_server_that_does_not_answer_is_told_soon_and_without_its_password(frames, tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://someone:secret@{address}")
    start = time.monotonic()
    message = refusal(frames, tmp_path, "models:/nerveseg/1")
    assert time.monotonic() - start < 20
    assert f"http://***@{address} cannot be used" in message
    assert "refused" in message
    assert "start the server" in message
    assert "secret" not in message


def test_a_store_of_files_that_fails_in_its_own_way_is_told(frames, tmp_path, monkeypatch):
    import mlflow.artifacts

    class CredentialsError(Exception):
        pass

    def fail(*_, **__):
        raise CredentialsError("no credentials\nfor the bucket")

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", fail)
    assert "cannot be used (no credentials);" in refusal(frames, tmp_path, "models:/nerveseg/1")


def test_a_registered_model_brings_its_cases_its_card_its_requirements_and_where_it_comes_from(client, tmp_path):
    with downloaded("models:/nerveseg/1", CASES) as file:
        assert pd.read_csv(file)["model"].tolist() == ["first"]
    with downloaded("models:/nerveseg/1", MODEL) as folder:
        assert (folder / "README.md").read_text() == "A card."
        assert (folder / "code" / "nerveseg" / "registry" / "pyfunc_model.py").is_file()
        assert not list((folder / "code").rglob("__pycache__"))
        pinned = dict(line.split("==") for line in (folder / "requirements.txt").read_text().splitlines())
        assert pinned["openvino"] == metadata.version("openvino")
        assert not {"tensorflow", "tensorflow-io", "segmentation-models"} & set(pinned)
        described = Model.load(folder)
        registered = client.get_model_version("nerveseg", "1")
        assert registered.description == "A card."
        assert (described.run_id, f"models:/{described.model_id}") == (registered.run_id, registered.source)
        assert [column.name for column in described.signature.inputs] == ["frame", "image"]


def test_a_registered_model_runs_the_code_that_it_was_registered_with(tmp_path):
    with downloaded("models:/nerveseg/1", MODEL) as folder:
        script = f"import mlflow; mlflow.pyfunc.load_model({str(folder)!r}); import nerveseg; print(nerveseg.__file__)"
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        assert run(sys.executable, "-c", script, env=environment) == str(folder / "code" / "nerveseg" / "__init__.py")
