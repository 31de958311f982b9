"""A training that is killed at any moment goes on and ends as one that never was, to the bit."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from drawn_frames import simulated_frame, write_pair
from nerveseg.files.checked_folder import list_files
from tiny_params import write_params
from training_workspace import checkpoint_of, make_workspace, outputs, start_training

pytestmark = pytest.mark.slow

KILLS = {"train_unet": 4, "train_gan": 3}  # the third before anything new is saved


@dataclass
class Fresh:
    """A workspace before a stage that trains, what the stage writes there when nobody stops it, and how long it takes:
    seconds until its first checkpoint, and from there on.
    """

    work: Path
    outputs: dict[str, bytes]
    until_first: float
    from_first: float


def make_fresh(work: Path, stage: str) -> Fresh:
    whole = shutil.copytree(work, work.with_name(f"{stage}-whole"))
    began = time.monotonic()
    process = start_training(whole, stage=stage)
    while checkpoint_of(whole) is None and process.is_alive():
        time.sleep(0.01)
    first = time.monotonic()
    process.join()
    assert process.exitcode == 0, (whole / "output.txt").read_text()
    return Fresh(work, outputs(whole, stage), first - began, time.monotonic() - first)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Before `train_unet`."""
    folder = tmp_path_factory.mktemp("resume")
    for subject in range(1, 7):
        for number in range(1, 9):
            frame, mask = simulated_frame((48, 80), nerve=number % 2 == 0, seed=1000 * subject + number)
            write_pair(folder / "frames", f"{subject}_{number}", frame, mask)
    params = write_params(folder / "params.yaml", {"unet": {"epochs": 30}, "gan": {"epochs": 16, "warmup_epochs": 3}})
    work = make_workspace(folder / "work", params, folder / "frames")
    shutil.copy(folder / "params.yaml", work)
    return make_fresh(work, "train_unet")


@pytest.fixture(scope="module")
def fresh_gan(fresh):
    """Before `train_gan`, with the U-Net that `train_unet` left."""
    return make_fresh(
        shutil.copytree(fresh.work.with_name("train_unet-whole"), fresh.work.with_name("gan")), "train_gan"
    )


def epoch_reached(workspace):
    """Where the last process took the training up."""
    lines = (workspace / "output.txt").read_text().splitlines()
    return max([0, *(int(line.split()[-1]) for line in lines if "resuming after epoch" in line)])


def saved_at(workspace):
    found = checkpoint_of(workspace)
    return found.stat().st_mtime_ns if found else 0


@pytest.mark.parametrize(("stage", "kills"), KILLS.items())
def test_a_training_killed_at_random_moments_ends_as_one_that_never_was(request, tmp_path, stage, kills):
    before_it = request.getfixturevalue({"train_unet": "fresh", "train_gan": "fresh_gan"}[stage])
    work = shutil.copytree(before_it.work, tmp_path / "work")
    moments = np.random.default_rng(7)
    for kill in range(kills):
        process = start_training(work, stage=stage)
        early = kill == 2  # before anything new is saved; else while it trains, writes checkpoints or saves
        until = time.monotonic() + (moments.uniform(0.0, before_it.until_first) if early else 60)
        known = saved_at(work)
        while time.monotonic() < until and process.is_alive() and saved_at(work) == known:
            time.sleep(0.002)
        if not early:
            process.join(moments.uniform(0.0, before_it.from_first / 30))
        assert process.is_alive(), "the training ended before it was killed often enough: raise its epochs"
        process.kill()
        process.join()
    process = start_training(work, stage=stage)
    process.join()
    assert process.exitcode == 0, (work / "output.txt").read_text()
    assert epoch_reached(work) > 1, "the kills came too early to interrupt anything"
    assert outputs(work, stage) == before_it.outputs
    assert list((work / ".nerveseg" / "checkpoints").iterdir()) == []


def interrupted(fresh, folder):
    """A workspace whose training was killed after some epochs."""
    work = shutil.copytree(fresh.work, folder)
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
        rounds = sorted((work / "data" / "augmented").glob("round-*"))
        shutil.copy(next((work / "data" / "processed").glob("train-*.tfrecord")), rounds[0])
        list_files(rounds[0].parent)
    process = start_training(work)
    process.join(2 * (fresh.until_first + fresh.from_first) + 60)
    assert process.exitcode == 0, (work / "output.txt").read_text()
    assert "resuming after epoch" not in (work / "output.txt").read_text()


def test_a_training_whose_params_change_meanwhile_fails_and_goes_on_where_they_are_put_back(fresh, tmp_path):
    work = shutil.copytree(fresh.work, tmp_path / "work")
    (work / "dvc.yaml").write_text("stages: {train_unet: {params: [lr, unet]}}")
    asked = (work / "params.yaml").read_text()
    process = start_training(work)
    while checkpoint_of(work) is None and process.is_alive():
        time.sleep(0.01)
    (work / "params.yaml").write_text(asked.replace("lr: 0.01", "lr: 0.02"))
    process.join()
    told = (work / "output.txt").read_text()
    assert "params.yaml: lr changed from 0.01 to 0.02 while train_unet ran; " in told
    assert not (work / "models" / "unet").exists()
    (work / "params.yaml").write_text(asked)
    process = start_training(work)
    process.join()
    assert "resuming after epoch" in (work / "output.txt").read_text()
    assert outputs(work) == fresh.outputs
