"""Two real processes on loopback that train one network together."""

import json
import re
import shutil
import socket
import time

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from drawn_frames import kaggle_frames
from nerveseg.unet.segmenter import Segmenter
from tiny_params import write_params
from training_workspace import checkpoint_of, make_workspace, run_stages, start_training

pytestmark = pytest.mark.slow

EPOCHS = 8


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A workspace in which nothing has been trained."""
    folder = tmp_path_factory.mktemp("prepared")
    params = write_params(folder / "params.yaml", {"unet": {"epochs": EPOCHS, "precision": "float32"}})
    workspace = make_workspace(folder / "workspace", params, kaggle_frames(folder / "frames", frames=6))
    shutil.copy(folder / "params.yaml", workspace)
    return workspace


@pytest.fixture(scope="module")
def alone(prepared, tmp_path_factory):
    """One in which a process alone has trained."""
    workspace = shutil.copytree(prepared, tmp_path_factory.mktemp("alone") / "workspace")
    run_stages(workspace, "train_unet")
    return workspace


@pytest.fixture
def workspaces(prepared, tmp_path):
    """Two of them."""
    return [shutil.copytree(prepared, tmp_path / name) for name in ("chief", "worker")]


def start_both(chief, worker):
    ports = []
    with socket.socket() as one, socket.socket() as other:
        for listening in (one, other):
            listening.bind(("127.0.0.1", 0))
            ports.append(f"127.0.0.1:{listening.getsockname()[1]}")
    return [
        start_training(
            workspace,
            {"TF_CONFIG": json.dumps({"cluster": {"worker": ports}, "task": {"type": "worker", "index": index}})},
        )
        for index, workspace in enumerate((chief, worker))
    ]


def history(workspace):
    return pd.read_csv(workspace / "metrics" / "unet_history.csv", float_precision="round_trip")


def statistics(workspace):
    """Means and variances of each batch normalisation."""
    network = Segmenter.load(workspace / "models" / "unet").unet
    found = [
        layer.get_weights()[2:] for layer in network.layers if isinstance(layer, tf.keras.layers.BatchNormalization)
    ]
    assert found
    return found


def test_two_devices_of_one_machine_train_as_one_does_and_three_cannot_share_two_parts(alone, workspaces):
    mirrored, uneven = workspaces
    for workspace, devices in ((mirrored, 2), (uneven, 3)):
        process = start_training(workspace, devices=devices)
        process.join(240)
        assert process.exitcode == (1 if devices == 3 else 0), (workspace / "output.txt").read_text()
    assert np.allclose(history(mirrored)["loss"], history(alone)["loss"], rtol=1e-3)
    assert np.allclose(history(mirrored)["val_dice"], history(alone)["val_dice"], atol=0.02)
    for (mean, variance), (near_mean, near_variance) in zip(statistics(alone), statistics(mirrored), strict=True):
        assert (np.abs(near_mean - mean) < 0.01 * np.sqrt(variance)).all()
        assert np.allclose(near_variance, variance, rtol=0.01)
    assert "unet.ghost_batches is 2, but there are 3 devices" in (uneven / "output.txt").read_text()
    assert not (uneven / "models" / "unet").exists()


def losses_told(workspace):
    lines = (workspace / "output.txt").read_text().splitlines()
    return [float(line.split()[-1]) for line in lines if line.startswith("epoch ")]


def test_two_workers_train_as_one_process_does_though_one_dies_and_only_the_chief_writes(alone, workspaces):
    """The other one says so, and both go on when they are started again."""
    chief, worker = workspaces
    first, second = start_both(chief, worker)
    while checkpoint_of(chief) is None and first.is_alive():
        time.sleep(0.01)
    second.kill()
    first.join(180)
    assert first.exitcode == 1
    said = (chief / "output.txt").read_text()
    assert "another worker of TF_CONFIG stopped answering" in said
    assert "start all workers again" in said
    for process in start_both(chief, worker):
        process.join(400)
        assert process.exitcode == 0, (chief / "output.txt").read_text() + (worker / "output.txt").read_text()
    told = (worker / "output.txt").read_text()
    done = int(re.search(r"resuming after epoch (\d+)", told)[1])
    assert history(chief)["epoch"].tolist() == list(range(1, EPOCHS + 1))
    assert losses_told(worker)[done - EPOCHS :] == history(chief)["loss"].tolist()[done:]
    assert np.allclose(history(chief)["loss"], history(alone)["loss"], rtol=1e-3)
    assert (chief / "models" / "unet" / "unet.weights.h5").is_file()
    assert not (worker / "models" / "unet").exists()
    assert not (worker / "metrics").exists()
    assert not (worker / ".nerveseg").exists()
