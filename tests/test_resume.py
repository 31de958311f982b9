"""A training that is killed at any moment goes on and ends as one that never was, to the bit."""

import shutil
import time

import numpy as np
import pytest

from conftest import simulated_frame, write_pair, write_params
from training_workspace import checkpoint_of, make_workspace, outputs, start_training

KILLS = 10


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A workspace, and what a training that nobody stops writes there."""
    folder = tmp_path_factory.mktemp("resume")
    for subject in range(1, 7):
        for number in range(1, 9):
            frame, mask = simulated_frame((48, 80), nerve=number % 2 == 0, seed=1000 * subject + number)
            write_pair(folder / "frames", f"{subject}_{number}", frame, mask)
    params = write_params(folder / "params.yaml", {"unet": {"epochs": 60}})
    work = make_workspace(folder / "work", params, folder / "frames")
    shutil.copy(folder / "params.yaml", work)
    whole = shutil.copytree(work, folder / "whole")
    began = time.monotonic()
    process = start_training(whole)
    while checkpoint_of(whole) is None and process.is_alive():
        time.sleep(0.01)
    first = time.monotonic()
    process.join()
    assert process.exitcode == 0, (whole / "output.txt").read_text()
    return work, outputs(whole), first - began, time.monotonic() - first


def epoch_reached(workspace):
    """Where the last process took the training up."""
    lines = (workspace / "output.txt").read_text().splitlines()
    return max([0, *(int(line.split()[-1]) for line in lines if "going on after epoch" in line)])


def test_a_training_killed_at_ten_random_moments_ends_as_one_that_never_was(fresh, tmp_path):
    work, expected, until_first, from_first = fresh
    work = shutil.copytree(work, tmp_path / "work")
    moments = np.random.default_rng(7)
    for kill in range(KILLS):
        process = start_training(work)
        if kill % 3 == 2:  # at any moment at all
            process.join(moments.uniform(0.0, until_first + from_first / 8))
        else:  # while it trains, writes checkpoints or saves
            at = time.monotonic() + 60
            before = checkpoint_of(work)
            known = before.stat().st_mtime_ns if before else 0
            while time.monotonic() < at and process.is_alive():
                now = checkpoint_of(work)
                if now and now.stat().st_mtime_ns != known:
                    break
                time.sleep(0.002)
            process.join(moments.uniform(0.0, from_first / 30))
        assert process.is_alive(), "the training ended before it was killed ten times: raise its epochs"
        process.kill()
        process.join()
    reached = epoch_reached(work)
    assert reached > 1, "the kills came too early to interrupt anything"
    process = start_training(work)
    process.join()
    assert process.exitcode == 0, (work / "output.txt").read_text()
    assert outputs(work) == expected
    assert list((work / ".nerveseg" / "checkpoints").iterdir()) == []


def interrupted(fresh, folder):
    """A workspace whose training was killed after some epochs."""
    work = shutil.copytree(fresh[0], folder)
    process = start_training(work)
    while checkpoint_of(work) is None:
        time.sleep(0.01)
    process.kill()
    process.join()
    return work


@pytest.mark.parametrize("change", ["params", "data"])
def test_a_checkpoint_of_other_params_or_data_is_not_taken_up(fresh, tmp_path, change):
    work = interrupted(fresh, tmp_path / "work")
    if change == "params":
        text = (work / "params.yaml").read_text()
        (work / "params.yaml").write_text(text.replace("lr: 0.01", "lr: 0.02"))
    else:
        rounds = sorted((work / "data" / "augmented").iterdir())
        shutil.copy(next((work / "data" / "processed").glob("train-*.tfrecord")), rounds[0])
    process = start_training(work)
    process.join(2 * (fresh[2] + fresh[3]) + 60)
    assert process.exitcode == 0, (work / "output.txt").read_text()
    assert "going on" not in (work / "output.txt").read_text()
