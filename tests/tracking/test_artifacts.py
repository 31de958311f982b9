"""Runs' files lie beside their store, wherever the repository is moved to and whatever its path is called."""

import shutil
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from nerveseg.registry.download import MODEL, downloaded
from nerveseg.registry.packaging import save_served
from nerveseg.registry.project_params import load_project_params
from nerveseg.tracking.mirror import stage_run
from nerveseg.tracking.store import open_store, sqlite_file
from processes import run
from tracked_repository import warnings_of, write_model

pytestmark = pytest.mark.slow


@pytest.fixture
def registered(repo):
    """A repository with a run that has a file and a registered model."""
    with stage_run("evaluate", load_project_params()) as tracked:
        tracked.log_artifact(repo / "stage.py", "code")
        tracked.log_model(write_model, "gan", "A card.")
    return repo


def stage_in(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    with stage_run("phantom", load_project_params()) as tracked:
        tracked.log_artifact(folder / "params.yaml", "texts")


def files_of(folder) -> set:
    return {path for path in (folder / "mlartifacts").rglob("*") if path.is_file()}


def test_a_copied_repository_writes_its_runs_files_into_itself(registered, tmp_path, monkeypatch):
    before = files_of(registered)
    copy = shutil.copytree(registered, tmp_path / "copy", symlinks=True)
    stage_in(copy, monkeypatch)
    assert files_of(registered) == before
    assert list((copy / "mlartifacts").glob("**/texts/params.yaml"))


def test_models_and_files_that_were_moved_along_are_found_where_they_lie_now(registered, tmp_path, monkeypatch):
    moved = registered.rename(tmp_path / "moved # 1?")
    monkeypatch.chdir(moved)
    with downloaded("models:/nerveseg@challenger", MODEL) as folder:
        assert (folder / "MLmodel").is_file()
    stage_in(moved, monkeypatch)
    store = open_store("nerveseg")
    for each in store.client.search_runs([store.experiment_id]):
        assert each.info.artifact_uri.startswith((moved / "mlartifacts").as_uri())
    assert not registered.exists()


def test_files_that_stayed_behind_are_shown_where_they_are(registered, tmp_path, monkeypatch):
    (tmp_path / "copy").mkdir()
    for name in ("mlflow.db", "params.yaml"):
        shutil.copy(registered / name, tmp_path / "copy")
    run("git", "init", "-q", str(tmp_path / "copy"))
    monkeypatch.chdir(tmp_path / "copy")
    store = open_store("nerveseg")
    old = [
        each.info.run_id for each in store.client.search_runs([store.experiment_id], "tags.`dvc.stage` = 'evaluate'")
    ]
    assert [each.path for each in store.client.list_artifacts(old[0], "code")] == ["code/stage.py"]
    stage_in(tmp_path / "copy", monkeypatch)
    assert list((tmp_path / "copy" / "mlartifacts").glob("**/texts/params.yaml"))


def test_a_place_that_the_user_chose_stays(repo, tmp_path):
    from mlflow import MlflowClient

    chosen = (tmp_path / "elsewhere" / "mlartifacts").as_uri()
    MlflowClient(f"sqlite:///{repo}/mlflow.db").create_experiment("nerveseg", chosen)
    store = open_store("nerveseg")
    assert store.client.get_experiment(store.experiment_id).artifact_location == chosen


@pytest.mark.parametrize("name", ["a b#c", "100%", "a%41b", "what?x=y", "me@home", "n\u00e4he", "a;b&c=d", "it's"])
def test_a_repository_may_have_any_name(tmp_path, monkeypatch, name):
    root = tmp_path / name
    root.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(root))
    store = open_store("nerveseg")
    assert sqlite_file(store.uri) == root / "mlflow.db"
    assert (root / "mlflow.db").is_file()
    made = store.client.create_run(store.experiment_id).info.run_id
    (root / "note.txt").write_text("a")
    store.client.log_artifact(made, str(root / "note.txt"))
    assert [each.path for each in store.client.list_artifacts(made)] == ["note.txt"]
    assert list((root / "mlartifacts").rglob("note.txt"))


def test_in_a_repository_of_any_name_the_model_is_registered_and_no_folder_appears_beside_it(
    repo, tmp_path, monkeypatch, caplog
):
    name = "feature%2Fx #1 (\u00fc%20?&) copy"
    moved = repo.rename(tmp_path / name)
    monkeypatch.chdir(moved)
    (moved / "exported").mkdir()
    (moved / "exported" / "exported.json").write_text("{}")
    save = partial(save_served, predictor=Path("exported"), cases=pd.DataFrame({"frame": ["1_1"]}), card="A card.")
    with stage_run("evaluate", load_project_params()) as tracked:
        tracked.log_model(save, "gan", "A card.")
    assert warnings_of(caplog) == []
    with downloaded("models:/nerveseg@challenger") as folder:
        assert (folder / "exported.json").read_text() == "{}"
    assert [each.name for each in tmp_path.iterdir() if each.is_dir()] == [name]
