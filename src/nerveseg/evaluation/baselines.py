"""What a reader compares a score with: predicting nothing, and predicting the average train mask everywhere."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.data.letterbox import Letterbox, Mask
from nerveseg.evaluation.metrics import case_row, summarise

THRESHOLDS = np.round(np.linspace(0.05, 0.95, 19), 2)


def empty_baseline(truths: Sequence[Mask]) -> dict[str, float | None]:
    """The scores (`summarise`) of an empty mask for every frame."""
    return summarise(pd.DataFrame([case_row(truth, np.zeros_like(truth)) for truth in truths]))


def mean_mask(masks: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The mean of the train masks (uint8, 0..255) that are not empty, of which there is at least one; float32 (H, W),
    scaled to a maximum of 1.
    """
    covered = [mask.astype(np.float64) for mask in masks if mask.any()]
    average = np.mean(covered, axis=0)
    return (average / average.max()).astype(np.float32)


def mean_mask_baseline(average: NDArray[np.float32], truths: Sequence[Mask]) -> dict[str, float | None]:
    """The scores of the average mask, laid over every frame and cut at the threshold that suits these very frames best:
    the most that this baseline can reach.

    Args:
        average: from `mean_mask`, at the network's size.
        truths: annotated masks at their own size; at least one is not empty.
    """
    best: dict[str, float | None] = {}
    for threshold in THRESHOLDS:
        shapes = {truth.shape for truth in truths}
        predicted = {shape: _laid_over(average, shape) >= threshold for shape in shapes}
        scores = summarise(pd.DataFrame([case_row(truth, predicted[truth.shape]) for truth in truths]))
        if not best or (scores["dice_nerve"] or 0.0) > (best["dice_nerve"] or 0.0):
            best = scores
    return best


def _laid_over(average: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    height, width = shape
    return Letterbox.fit((height, width), (average.shape[0], average.shape[1])).restore(average)
