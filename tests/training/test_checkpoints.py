"""A checkpoint is a safety net: where it cannot be kept, training goes on."""

import errno
import os
import resource
import time

import numpy as np
import pandas as pd
import pytest

from nerveseg.training import checkpoints
from nerveseg.training.checkpoints import Checkpoint

HISTORY = pd.DataFrame({"epoch": [1.0], "loss": [0.5]})
STATE = {"network": [np.arange(50_000, dtype=np.float32)]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


@pytest.fixture
def little_room():
    """Files may have 10 kB, which a write tells as a full disk does: with an OSError in the middle of it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_on_a_full_disk_training_goes_on_is_told_once_and_nothing_half_written_stays(folder, little_room, caplog):
    checkpoint = Checkpoint("train_unet-a")
    for _ in range(3):
        checkpoint.save(HISTORY, STATE)
    assert names(folder) == []
    (told,) = caplog.messages
    assert f"{checkpoint.path} cannot be written (" in told
    assert "training goes on" in told
    checkpoint.remove()


def test_the_last_whole_state_stays_where_the_next_finds_no_room_and_is_replaced_once_there_is(folder, monkeypatch):
    checkpoint = Checkpoint("train_unet-a")
    checkpoint.save(HISTORY, STATE)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        checkpoint.save(HISTORY.assign(loss=0.4), STATE)
    assert names(folder) == ["train_unet-a.npz"]
    assert Checkpoint("train_unet-a").restore()[0]["loss"].tolist() == [0.5]
    checkpoint.save(HISTORY.assign(loss=0.3), STATE)
    assert Checkpoint("train_unet-a").restore()[0]["loss"].tolist() == [0.3]


def test_a_place_that_is_no_folder_or_may_not_be_written_stops_no_training(folder, caplog):
    folder.write_text("")
    checkpoint = Checkpoint("train_unet-a")
    assert checkpoint.restore() is None
    checkpoint.save(HISTORY, STATE)
    checkpoint.remove()
    (message,) = caplog.messages
    assert "cannot be written" in message


def test_whichever_bit_of_a_checkpoint_flips_the_training_goes_on_from_it_or_begins_anew(folder):
    checkpoint = Checkpoint("train_unet-a")
    checkpoint.save(HISTORY, {"network": [np.arange(2, dtype=np.float32)]})
    whole = checkpoint.path.read_bytes()
    refused = 0
    for place in range(0, 8 * len(whole), 3):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        checkpoint.path.write_bytes(damaged)
        if (found := checkpoint.restore()) is None:
            refused += 1
        else:
            assert found[1]["network"][0].tolist() == [0, 1]
    assert refused


def test_a_finished_training_clears_what_none_will_continue(folder):
    folder.mkdir()
    ended = 2**31 - 1  # no system counts its processes so far
    old = time.time() - (checkpoints.KEPT_DAYS + 1) * 24 * 3600
    ours = ["train_unet-a.npz", f".train_unet-a.npz.{ended}.part", f".train_unet-b.npz.{ended}.part"]
    stale = ["train_unet-b.npz", "train_unet-b.run.json"]
    kept = ["train_gan-b.npz", "train_unet-c.npz", f".train_unet-c.npz.{os.getpid()}.part", "unknown"]
    for name in [*ours, *stale, *kept]:
        (folder / name).touch()
    for name in [*stale, "train_gan-b.npz"]:
        os.utime(folder / name, (old, old))
    Checkpoint("train_unet-a").remove()
    assert names(folder) == sorted(kept)


def test_a_worker_that_is_not_the_chief_writes_and_removes_nothing(folder):
    Checkpoint("train_unet-a").save(HISTORY, STATE)
    other = Checkpoint("train_unet-a", writes=False)
    other.save(HISTORY, STATE)
    other.remove()
    assert names(folder) == ["train_unet-a.npz"]
