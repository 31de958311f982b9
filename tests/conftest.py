"""Small data made on the spot: frames of filtered noise in which a bright ellipse is the nerve."""

import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

import nerveseg  # noqa: F401 - settles Keras before any test imports TensorFlow
from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import read_records, write_records
from nerveseg.params.file import Params
from nerveseg.preprocessing.packing import prepare_dataset
from nerveseg.registry.project_params import load_project_params
from nerveseg.training import checkpoints
from nerveseg.training.distribution import use_threads
from tracked_repository import made_repository

ROOT = Path(__file__).resolve().parents[1]
for variable in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_STAGE", "TF_CONFIG"):
    os.environ.pop(variable, None)
# A shell makes what it starts in the background deaf to Ctrl-C, and what that starts in turn.
signal.signal(signal.SIGINT, signal.default_int_handler)
use_threads(2)  # as the stages do: what is computed side by side would else share the cores now so, now otherwise

TINY = {
    "phantom": {"subjects": 6, "frames_per_subject": 5, "width": 128, "height": 96},
    "split": {"val_fraction": 0.2, "test_fraction": 0.3},
    "preprocess": {"width": 64, "height": 32, "shards": 2},
    "augment": {"variants": 1},
    "lr": 1e-2,
    "unet": {
        "stem": 1,
        "base_filters": 4,
        "depth": 2,
        "epochs": 4,
        "batch_size": 4,
        "average_decay": 0.9,
    },
    "gan": {"base_filters": 4, "epochs": 2, "warmup_epochs": 1, "batch_size": 4},
    "postprocess": {
        "thresholds": [0.05, 0.5],
        "min_areas": [0.0, 0.01],
        "presences": [0.0, 0.3],
        "score": "dice_nerve",
    },
    "evaluate": {"severities": [3], "bootstrap": 100},
    "visualize": {"cases": 2, "dpi": 60},
    "tracking": {"enabled": False},
}


def simulated_frame(size: tuple[int, int], *, nerve: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame, uint8, and its mask, bool, of `size` (height, width)."""
    rng = np.random.default_rng(seed)
    height, width = size
    noise = cv2.GaussianBlur(rng.standard_normal(size), (0, 0), 1.5)
    frame = 90 + 25 * noise / noise.std()
    mask = np.zeros(size, np.uint8)
    if nerve:
        centre = (int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.65)))
        cv2.ellipse(mask, centre, (width // 8, height // 7), float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return np.clip(frame + 90 * mask, 0, 255).astype(np.uint8), mask.astype(bool)


def write_pair(folder: Path, name: str, frame: np.ndarray, mask: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.tif"), frame)
    cv2.imwrite(str(folder / f"{name}_mask.tif"), mask.astype(np.uint8) * 255)


def kaggle_frames(
    folder: Path, subjects: Sequence[int] = range(1, 7), frames: int = 4, size: tuple[int, int] = (48, 80)
) -> Path:
    """A folder in Kaggle's layout; every second frame of a subject shows a nerve."""
    for subject in subjects:
        for number in range(1, frames + 1):
            frame, mask = simulated_frame(size, nerve=number % 2 == 0, seed=1000 * subject + number)
            write_pair(folder, f"{subject}_{number}", frame, mask)
    return folder


def flip_a_bit(path: Path) -> None:
    """In the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.fixture
def kaggle_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes `kaggle_frames` in a temporary place."""
    return partial(kaggle_frames, tmp_path / "frames")


def write_params(path: Path, changes: dict[str, Any] | None = None) -> Params:
    """The committed params with the tiny ones laid over them, and `changes` over those."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for overlay in (TINY, changes or {}):
        for key, value in overlay.items():
            content[key] = content[key] | value if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_project_params(path)


@pytest.fixture
def tiny(tmp_path: Path) -> Params:
    return write_params(tmp_path / "params.yaml")


def small_data(folder: Path, params: Params) -> tuple[list[Path], list[Path], DatasetInfo]:
    """Two rounds and the val shards of a small data set."""
    processed = folder / "processed"
    processed.mkdir()
    source = params.data.model_copy(update={"dir": str(kaggle_frames(folder / "frames", frames=6))})
    _, info = prepare_dataset(processed, source, params.split, params.preprocess, params.seed, folder)
    train = list(read_records(shards(processed, "train"), info))
    rounds = [folder / f"round-{number}.tfrecord" for number in range(2)]
    for path in rounds:
        write_records([path], (record.serialise() for record in train))
    return rounds, shards(processed, "val"), info


@pytest.fixture
def data(tiny: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Path], list[Path], DatasetInfo]:
    """`small_data`; checkpoints go to a temporary place."""
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / "checkpoints")
    return small_data(tmp_path, tiny)


@pytest.fixture
def repo(tmp_path, monkeypatch) -> Path:
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
