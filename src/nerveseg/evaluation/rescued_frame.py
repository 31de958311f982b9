"""The degraded test frame that the chosen refiner helps most: `robustness` finds it among frames at `REPORTED`, the report shows it.

The folder holds `rescued.npz`, a `Rescue`, and `files.json`; the latter alone if no refiner was chosen, or none helped.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import DatasetError
from nerveseg.evaluation.model_names import BASE, UNTUNED
from nerveseg.evaluation.test_set import TestSet
from nerveseg.files.array_archive import write_arrays
from nerveseg.files.checked_folder import CheckedFolder, list_files
from nerveseg.imaging.arrays import Frame, Mask
from nerveseg.measures.overlap import count

FILE_NAME = "rescued.npz"


@dataclass(frozen=True)
class Rescue:
    frame: str  # name of the test frame
    degradation: str
    arm: str  # the refiner, by its name in the ablation
    gain: float  # of Dice, over the better of the U-Net's masks with and without its cut-offs
    degraded: Frame  # at the network's size
    unet: Mask  # predictions, at the size of the annotated mask
    refined: Mask
    withheld: bool  # the U-Net saw a nerve, and its cut-offs left no mask


def most_helped(
    test: TestSet,
    degraded: NDArray[np.uint8],
    degradation: str,
    arm: str,
    masks: Mapping[str, Iterable[Mask]],
) -> Rescue | None:
    """Return the frame with a nerve whose Dice the refiner raises most, the first of equal ones; None if it raises none.

    `degraded` are the frames of `test` under one degradation, `masks` what was predicted for them, by model: `UNTUNED`,
    `BASE` and `arm`. An outline that only a cut-off of the U-Net removed needs no refiner.
    """
    best: Rescue | None = None
    every = zip(test.truths, masks[UNTUNED], masks[BASE], masks[arm], strict=True)
    for index, (truth, seen, before, after) in enumerate(every):
        *of_unet, refined = (count(truth, mask).dice for mask in (seen, before, after))
        gain = refined - max(of_unet) if truth.any() else 0.0
        if gain > (best.gain if best else 0.0):
            withheld = bool(seen.any() and not before.any())
            best = Rescue(test.names[index], degradation, arm, gain, degraded[index], before, after, withheld)
    return best


def write_rescue(folder: Path, found: Iterable[Rescue | None]) -> None:
    """Write the one with the largest gain, the first of equal ones, into a folder, and list its files."""
    if best := max(filter(None, found), key=lambda rescue: rescue.gain, default=None):
        write_arrays(folder / FILE_NAME, vars(best))
    list_files(folder)


def read_rescue(folder: Path, arm: str | None) -> Rescue | None:
    """Read what `write_rescue` wrote, None if that is of another arm; DatasetError if it is missing or damaged."""
    for path in CheckedFolder(folder, DatasetError, "make it again with `dvc repro robustness`").matching(FILE_NAME):
        with np.load(path) as stored:
            found = Rescue(**{key: value if value.ndim else value.item() for key, value in stored.items()})
        return found if found.arm == arm else None
    return None
