"""A folder in which stages can run, and processes that run them there.

They are forked from one that has imported TensorFlow already.
"""

import multiprocessing
import os
import runpy
import shutil
import sys
from collections.abc import Mapping
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

from nerveseg.dataset.info import shards
from nerveseg.dataset.records import read_records, write_records
from nerveseg.files.checked_folder import list_files
from nerveseg.params.file import Params
from nerveseg.preprocessing.packing import prepare_dataset
from paths import ROOT

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["nerveseg", "nerveseg.unet.training", "nerveseg.unet.segmenter", "nerveseg.tracking.mirror"]
)
OF_STAGE = {"train_unet": ("unet", "unet_history.csv"), "train_gan": ("gan", "gan_history.csv")}


def make_workspace(folder: Path, params: Params, frames: Path, rounds: int = 2) -> Path:
    """`params.yaml` lies there already; the data are what preprocess and augment would write."""
    prepared, augmented = folder / "data" / "processed", folder / "data" / "augmented"
    prepared.mkdir(parents=True)
    augmented.mkdir()
    data = params.data.model_copy(update={"dir": str(frames)})
    _, info = prepare_dataset(prepared, data, params.split, params.preprocess, params.seed, folder)
    train = list(read_records(shards(prepared, "train"), info))
    for number in range(rounds):
        write_records([augmented / f"round-{number}.tfrecord"], (record.serialise() for record in train))
    list_files(augmented)
    shutil.copytree(ROOT / "models" / "fresh", folder / "models" / "fresh")
    return folder


def start_training(
    workspace: Path, environment: Mapping[str, str] | None = None, *, devices: int = 1, stage: str = "train_unet"
) -> BaseProcess:
    """With several `devices`, parts of the processor that pass for as many GPUs."""
    process = SERVER.Process(target=_train, args=(workspace, dict(environment or {}), devices, stage))
    process.start()
    return process


def run_stages(workspace: Path, *stages: str) -> None:
    """Run stages one after the other, as `dvc repro` does, without DVC and MLflow."""
    for stage in stages:
        process = start_training(workspace, stage=stage)
        process.join()
        assert process.exitcode == 0, (workspace / "output.txt").read_text()


def checkpoint_of(workspace: Path) -> Path | None:
    found = list((workspace / ".nerveseg" / "checkpoints").glob("*.npz"))
    return found[0] if found else None


def outputs(workspace: Path, stage: str = "train_unet") -> dict[str, bytes]:
    model, history = OF_STAGE[stage]
    files = [*(workspace / "models" / model).rglob("*.*"), workspace / "metrics" / history]
    return {path.name: path.read_bytes() for path in files}


def _pass_for_gpus(devices: int) -> None:
    import tensorflow as tf

    known = tf.config.list_physical_devices
    (processor,) = known("CPU")
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * devices)
    mirrored = partial(tf.distribute.MirroredStrategy, [f"CPU:{number}" for number in range(devices)])
    tf.config.list_physical_devices = lambda kind=None: ["GPU"] * devices if kind == "GPU" else known(kind)
    tf.config.experimental.get_device_details = lambda gpu: {"device_name": "part of a processor"}
    tf.distribute.MirroredStrategy = mirrored


def _train(workspace: Path, environment: Mapping[str, str], devices: int, stage: str) -> None:
    os.chdir(workspace)
    if devices > 1:
        _pass_for_gpus(devices)
    os.environ.update(environment)
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    try:
        runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="__main__")
    except SystemExit as stopped:
        print(stopped.code, flush=True)
        sys.exit(1)
