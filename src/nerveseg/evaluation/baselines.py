"""Baselines to compare a score with: no nerve in any frame, and the average train mask in every frame."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.dataset.letterbox import Letterbox
from nerveseg.evaluation.thresholds import THRESHOLDS
from nerveseg.imaging.arrays import Mask
from nerveseg.measures.cases import pixel_measures, summary

EMPTY, MEAN_MASK = "baseline_empty", "baseline_mean_mask"


def baseline_masks(average: NDArray[np.float32], truths: Sequence[Mask]) -> dict[str, list[Mask]]:
    """Return the masks of each baseline by its name, at the sizes of the annotated ones, `truths`, of which at least
    one is not empty; `average` is from `mean_mask`, at the network's size.

    It is cut at the threshold that suits these very frames best: the most that this baseline can reach.
    """
    shapes = {truth.shape for truth in truths}
    shown = {shape: Letterbox.fit(shape, average.shape).restore(average) for shape in shapes}

    def reached(threshold: float) -> float:
        rows = [pixel_measures(truth, shown[truth.shape] >= threshold) for truth in truths]
        return summary(pd.DataFrame(rows))["dice_nerve"] or 0.0

    best = max(THRESHOLDS, key=reached)
    return {
        EMPTY: [np.zeros_like(truth) for truth in truths],
        MEAN_MASK: [shown[truth.shape] >= best for truth in truths],
    }


def mean_mask(masks: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return the mean of the masks (uint8, 0..255) that are not empty, at least one, as float32 (H, W) up to 1."""
    covered = [mask.astype(np.float64) for mask in masks if mask.any()]
    average = np.mean(covered, axis=0)
    return (average / average.max()).astype(np.float32)
