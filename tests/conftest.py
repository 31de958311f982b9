"""Fixtures, and what holds for every test: small data made on the spot, no settings of whoever runs the tests."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import nerveseg  # noqa: F401 - settles Keras before any test imports TensorFlow
from drawn_frames import kaggle_frames
from forked_commands import forked_commands
from mlflow_tables import copy_tables, tables_made_once
from nerveseg.dataset.info import DatasetInfo
from nerveseg.params.file import Params
from nerveseg.training import checkpoints
from nerveseg.training.distribution import seed_everything, use_threads
from paths import ROOT
from prepared_data import small_data
from repositories import FOREIGN, SETTINGS, use_settings
from tiny_params import write_params
from tracked_repository import made_repository

for variable in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_STAGE", "TF_CONFIG"):
    os.environ.pop(variable, None)
# A shell makes what it starts in the background deaf to Ctrl-C, and what that starts in turn.
signal.signal(signal.SIGINT, signal.default_int_handler)
PYTHON, PATH = sys.executable, f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ["PATH"] = PATH
# Many processes share the machine, and tests expect a processor; CUDA_VISIBLE_DEVICES=0 pytest -n 0 runs them on a GPU.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
use_threads(2)  # as the stages do: what is computed side by side would else share the cores now so, now otherwise

# The files that take longest: pytest's processes begin with them, and so end at about the same time.
FIRST = (
    "stages/test_pipeline.py", "experiments/test_sweep.py", "stages/test_resume.py", "tracking/test_shared_server.py",
    "bench/test_two_machines.py", "stages/test_own_frames.py", "pipeline/test_main.py", "tracking/test_outbox.py", "tracking/test_mirror.py",
    "refinement/test_adversarial_training.py", "unet/test_encoders.py", "tracking/test_artifacts.py", "test_ci_scripts.py",
    "saved_models/test_openvino_export.py", "registry/test_download.py", "tracking/test_run_page.py",
)  # fmt: skip


def pytest_collection_modifyitems(items) -> None:
    order = {ROOT / "tests" / name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path, len(FIRST)))


def pytest_collection_finish() -> None:
    """Keep the garbage collector from what TensorFlow and MLflow made when they were imported: it took a tenth of the time."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Networks that tests and fixtures build draw the same weights in every run."""
    seed_everything(0)


@pytest.fixture
def kaggle_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes `kaggle_frames` in a temporary place."""
    return partial(kaggle_frames, tmp_path / "frames")


@pytest.fixture
def tiny(tmp_path: Path) -> Params:
    return write_params(tmp_path / "params.yaml")


@pytest.fixture
def data(tiny: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Path], list[Path], DatasetInfo]:
    """`small_data`; checkpoints go to a temporary place."""
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / "checkpoints")
    return small_data(tmp_path, tiny)


@pytest.fixture(scope="module")
def settings():
    """Of a machine on which nobody has set anything."""
    with pytest.MonkeyPatch.context() as patch:
        use_settings(patch)
        yield


@pytest.fixture(scope="session")
def suite_folder(tmp_path_factory) -> Path:
    """For what is made once for all tests, in whichever of pytest's processes they run; lock it while it is made."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def tables(suite_folder) -> Path:
    return tables_made_once(suite_folder)


@pytest.fixture(scope="session")
def commands(tables, tmp_path_factory) -> Iterator[Path | None]:
    """The folder of `forked_commands`, on Linux."""
    if sys.platform != "linux":
        yield None
        return
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    with forked_commands(tmp_path_factory.mktemp("forked") / "bin", tables, environment | SETTINGS) as folder:
        yield folder


@pytest.fixture(scope="module")
def quick_commands(settings, commands) -> Iterator[None]:
    """`python` and `dvc` are forked from a process that has imported what they need."""
    with pytest.MonkeyPatch.context() as patch:
        if commands:
            patch.setenv("PATH", f"{commands}{os.pathsep}{commands / 'dvc'}", prepend=os.pathsep)
            patch.setattr(sys, "executable", str(commands / "python"))
        yield


@pytest.fixture
def own_processes(quick_commands, monkeypatch) -> None:
    """Each command is a process of its own again: for tests of who ends whom."""
    monkeypatch.setattr(sys, "executable", PYTHON)
    monkeypatch.setenv("PATH", PATH)


@pytest.fixture
def own_dvc(own_processes, commands, monkeypatch) -> None:
    """DVC is a process of its own, as it is for those that end it, but the stages that it starts are forked."""
    if commands:
        monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)


@pytest.fixture
def quick_store(tables, quick_commands, monkeypatch) -> None:
    """The tables of a new MLflow store are copied, and the processes that deliver beside stages are forked."""
    copy_tables(monkeypatch, tables)


@pytest.fixture
def repo(tmp_path, monkeypatch, quick_store) -> Path:
    """A small repository that reports to MLflow, as the working directory."""
    return made_repository(tmp_path / "repo", monkeypatch)


@pytest.fixture(scope="module")
def chromium():
    """A browser; tests that need it are skipped where there is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        from browsers import chromium as path_of
    if not (path := path_of()):
        if os.environ.get("REQUIRE_CHROMIUM"):
            pytest.fail("no Chromium was found on the PATH, and REQUIRE_CHROMIUM is set")
        pytest.skip("no Chromium on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()
