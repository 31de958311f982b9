"""What a training learns from, and where it keeps its state and reports its epochs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from nerveseg.dataset.info import DatasetInfo
from nerveseg.training.checkpoints import Checkpoint


class TrainingTask(NamedTuple):
    """The arguments that all trainings share."""

    rounds: Sequence[Path]  # files that epochs cycle through, each with every train frame once
    val: Sequence[Path]  # shards
    info: DatasetInfo
    seed: int  # of the order of frames, which depends on nothing else but the epoch
    checkpoint: Checkpoint  # resumed from if it exists; the caller removes it once the weights are saved
    on_epoch: Callable[[int, dict[str, float]], None]  # gets each new epoch, from 1, and its row of the history


def steps_per_epoch(info: DatasetInfo, batch_size: int) -> int:
    """Return the number of batches that hold every train frame once."""
    return -(-info.frames["train"] // batch_size)
