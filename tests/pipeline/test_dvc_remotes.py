"""Data and models go to a DVC remote and come back: an S3-compatible store on loopback, and a plain folder."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from processes import attempt, run
from repositories import FOREIGN, SETTINGS, make_repository
from shared_server import object_store

pytestmark = pytest.mark.slow

PIPELINE = """
stages:
  train:
    cmd: mkdir -p model && cat frames/* > model/weights.bin && echo '{}' > model/cutoffs.json
    deps: [frames]
    outs: [model]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with object_store(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture
def environment(store, tmp_path):
    """Of a machine that has the keys of the store."""
    usual = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    keys = {name: value for name, value in store.environment.items() if "KEY" in name or "REGION" in name}
    return {
        **usual,
        **SETTINGS,
        **keys,
        "HOME": str(tmp_path),  # where AWS's and git's own settings would be
        "DVC_GLOBAL_CONFIG_DIR": str(tmp_path / "global"),
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
    }


class Repository:
    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self._environment = folder, environment

    def attempt(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return attempt(*command, cwd=self.folder, env=self._environment)

    def run(self, *command: str) -> str:
        return run(*command, cwd=self.folder, env=self._environment)

    def outputs(self) -> dict[str, bytes]:
        paths = [path for name in ("frames", "model") for path in (self.folder / name).rglob("*") if path.is_file()]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}

    def forget(self) -> None:
        """Lose all that is not in git."""
        for name in ("frames", "model", ".dvc/cache"):
            shutil.rmtree(self.folder / name)


@pytest.fixture
def repository(environment, tmp_path):
    """Frames under DVC and a stage that has run on them."""
    folder = tmp_path / "repository"
    folder.mkdir()
    made = Repository(make_repository(folder, dvc=True, env=environment), environment)
    (folder / "frames").mkdir()
    for number in range(5):
        (folder / "frames" / f"1_{number}.tif").write_bytes(os.urandom(20_000))
    made.run("dvc", "config", "core.autostage", "true")
    made.run("dvc", "add", "-q", "frames")
    (folder / "dvc.yaml").write_text(PIPELINE)
    made.run("dvc", "repro", "-q")
    return made


def add_remote(repository: Repository, kind: str, store, tmp_path: Path) -> Path | None:
    """The remote's folder, where it is one."""
    if kind == "folder":
        repository.run("dvc", "remote", "add", "-d", "team", str(tmp_path / "remote"))
        return tmp_path / "remote"
    repository.run("dvc", "remote", "add", "-d", "team", f"s3://{store.bucket}/{tmp_path.name}")
    repository.run("dvc", "remote", "modify", "team", "endpointurl", store.endpoint)
    return None


@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_what_was_pushed_comes_back_equal_also_into_a_fresh_clone(repository, kind, store, environment, tmp_path):
    before = repository.outputs()
    assert len(before) == 7
    add_remote(repository, kind, store, tmp_path)
    assert "files pushed" in repository.run("dvc", "push")
    repository.run("git", "add", ".")
    repository.run("git", "commit", "-qm", "frames and model")

    repository.forget()
    assert repository.outputs() == {}
    repository.run("dvc", "pull")
    assert repository.outputs() == before

    repository.run("git", "clone", "-q", ".", str(tmp_path / "colleague"))
    colleague = Repository(tmp_path / "colleague", environment)
    assert colleague.outputs() == {}
    colleague.run("dvc", "pull")
    assert colleague.outputs() == before
    assert "up to date" in colleague.run("dvc", "status")
    assert "Everything is up to date" in colleague.run("dvc", "push")


@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_what_was_never_pushed_is_told_by_a_failing_pull(repository, kind, store, tmp_path):
    add_remote(repository, kind, store, tmp_path)
    repository.run("dvc", "push", "frames.dvc")
    repository.forget()
    failed = repository.attempt("dvc", "pull")
    assert failed.returncode != 0
    assert "model" in failed.stderr
    assert sorted(repository.outputs()) == [f"frames/1_{number}.tif" for number in range(5)]


def test_a_remote_keeps_no_keys_and_without_them_a_push_fails_and_says_so(repository, store, environment, tmp_path):
    add_remote(repository, "s3", store, tmp_path)
    config = (repository.folder / ".dvc" / "config").read_text()
    assert not [value for name, value in store.environment.items() if "KEY" in name and value in config]
    for name in [name for name in environment if name.startswith("AWS_") and "KEY" in name]:
        del environment[name]
    environment["AWS_EC2_METADATA_DISABLED"] = "true"
    failed = repository.attempt("dvc", "push")
    assert failed.returncode != 0
    assert "credentials" in failed.stderr
