"""What a training learns from, and where it keeps its state and reports its epochs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from nerveseg.dataset.info import DatasetInfo
from nerveseg.training.checkpoints import Checkpoint


class TrainingTask(NamedTuple):
    """The arguments that all trainings share.

    Args:
        rounds: files that epochs cycle through, each with every train frame once.
        val: shards of val.
        info: about the data set.
        seed: of the order of frames, which depends on nothing else but the epoch.
        checkpoint: resumed from if it exists; the caller removes it once the weights are saved.
        on_epoch: called after each new epoch with its number, from 1, and its row of the history.
    """

    rounds: Sequence[Path]
    val: Sequence[Path]
    info: DatasetInfo
    seed: int
    checkpoint: Checkpoint
    on_epoch: Callable[[int, dict[str, float]], None]


def steps_per_epoch(info: DatasetInfo, batch_size: int) -> int:
    """Return the number of batches that hold every train frame once."""
    return -(-info.frames["train"] // batch_size)
