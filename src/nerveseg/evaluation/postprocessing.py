"""From a map of probabilities to a mask: a threshold, and regions too small for a nerve removed.

A probability map is float32 (H, W), 0..1, at the size of the frame; a mask is bool of the same shape.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.evaluation.metrics import count
from nerveseg.params import PostprocessParams

Probability = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Cutoffs:
    """`threshold`: from which a pixel is nerve. `min_area`: of a connected region, as a share of the frame."""

    threshold: float = 0.5
    min_area: float = 0.0

    def mask(self, probability: Probability) -> Mask:
        """The mask of one map."""
        return remove_small_regions(probability >= self.threshold, self.min_area * probability.size)


def remove_small_regions(mask: Mask, min_pixels: float) -> Mask:
    """Drop each 8-connected region of fewer than `min_pixels` pixels."""
    if min_pixels <= 1 or not mask.any():
        return mask
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    keep = statistics[:, cv2.CC_STAT_AREA] >= min_pixels
    keep[0] = False
    kept: Mask = keep[labels]
    return kept


def search_cutoffs(
    probabilities: Iterable[Probability], truths: Iterable[Mask], params: PostprocessParams
) -> tuple[Cutoffs, float]:
    """The pair of threshold and smallest area with the highest mean Dice.

    Args:
        probabilities: maps of the frames of val, at their own size.
        truths: their annotated masks.
        params: the values to try, and whether all frames count (`dice`) or those with a nerve (`dice_nerve`).

    Returns:
        The best pair, of equal ones the first in the order of params, and its mean Dice.
    """
    candidates = [Cutoffs(*pair) for pair in product(params.thresholds, params.min_areas)]
    dices = [
        [count(truth, cutoffs.mask(probability)).dice for cutoffs in candidates]
        for probability, truth in zip(probabilities, truths, strict=True)
        if params.score == "dice" or truth.any()
    ]
    means = np.mean(dices, axis=0)
    best = int(np.argmax(means))
    return candidates[best], float(means[best])
