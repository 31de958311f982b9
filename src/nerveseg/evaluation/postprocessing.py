"""From what a network says of a frame to a mask: a threshold, regions too small for a nerve removed, and no mask at all
where a nerve in the frame is unlikely.

A threshold is a number, or `expected`: each frame has its own then, that of the mask with the highest expected Dice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.evaluation.metrics import count
from nerveseg.params import PostprocessParams, Threshold

Probability = NDArray[np.float32]
Mask = NDArray[np.bool_]
LEVELS = 1024  # of probability, that are told apart when the mask with the highest expected Dice is sought


class Estimate(NamedTuple):
    """Of one frame: the probability of nerve in each pixel, float32 (H, W) 0..1 at the size of the frame, and that of
    there being a nerve at all, 0..1.
    """

    probability: Probability
    presence: float


@dataclass(frozen=True)
class Cutoffs:
    """`threshold`: the probability from which a pixel is nerve. `min_area`: of a connected region, as a share of the
    frame. `presence`: from which a frame shows a nerve at all.
    """

    threshold: Threshold = 0.5
    min_area: float = 0.0
    presence: float = 0.0

    def mask(self, estimate: Estimate) -> Mask:
        """The mask of one frame, bool (H, W)."""
        probability = estimate.probability
        if estimate.presence < self.presence:
            return np.zeros(probability.shape, np.bool_)
        return remove_small_regions(_above(probability, self.threshold), self.min_area * probability.size)


def confidence(estimate: Estimate, mask: Mask) -> float:
    """How far to trust a mask, 0..1: the Dice that the network's own probabilities let one expect of it.

    With a nerve in the frame the Dice of a mask of k pixels is about 2 S_mask / (k + S), where S is the sum of all
    probabilities and S_mask that of the mask's pixels (as in `expected_dice_threshold`); without one it is 0. Of an empty
    mask it is 1 without a nerve, and 0 with one.

    Args:
        estimate: what the network says of the frame.
        mask: of the frame, bool (H, W), for example from `Cutoffs.mask`.
    """
    if not mask.any():
        return 1.0 - float(estimate.presence)
    drawn, everything = (np.sum(of, dtype=np.float64) for of in (estimate.probability[mask], estimate.probability))
    return float(estimate.presence * 2.0 * drawn / (np.count_nonzero(mask) + everything))


def _above(probability: Probability, threshold: Threshold) -> Mask:
    mask: Mask = probability >= (expected_dice_threshold(probability) if threshold == "expected" else threshold)
    return mask


def expected_dice_threshold(probability: Probability) -> float:
    """The threshold of the mask with the highest expected Dice.

    Of all masks of k pixels that of the k surest has the highest; its expected Dice is about 2 S_k / (k + S), where S_k
    is the sum of their probabilities and S that of all (Dai and Li 2023, "RankSEG"). Sizes at which two pixels would be
    told apart by less than a level are not looked at, and what is below the first level is never nerve.
    """
    seen = probability[probability >= 1.0 / LEVELS]  # few of the pixels; the others count in the sum of all alone
    everything = float(np.nansum(probability, dtype=np.float64))
    levels = np.minimum((seen * LEVELS).astype(np.int64), LEVELS - 1)
    pixels = np.bincount(levels, minlength=LEVELS)[::-1].cumsum()
    sums = np.bincount(levels, seen.astype(np.float64), LEVELS)[::-1].cumsum()
    surest = int(np.argmax(2.0 * sums / np.maximum(pixels + everything, 1e-12)))
    return max(1, LEVELS - 1 - surest) / LEVELS


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
    estimates: Iterable[Estimate], truths: Iterable[Mask], params: PostprocessParams
) -> tuple[Cutoffs, float]:
    """The cut-offs with the highest mean Dice.

    Args:
        estimates: of the frames of val, at their own size.
        truths: their annotated masks.
        params: the values to try, and whether all frames count (`challenge`) or those with a nerve (`dice_nerve`).

    Returns:
        The best ones, of equal ones the first in the order of params, and their mean Dice.
    """
    dices = []
    for estimate, truth in zip(estimates, truths, strict=True):
        if params.score == "challenge" or truth.any():
            given = [count(truth, mask).dice for mask in _masks(estimate.probability, params)]
            withheld = 0.0 if truth.any() else 1.0
            shown = estimate.presence >= np.array(params.presences)
            dices.append(np.where(shown, np.array(given)[:, np.newaxis], withheld))
    means = np.mean(dices, axis=0)
    best, presence = np.unravel_index(int(np.argmax(means)), means.shape)
    threshold, min_area = list(product(params.thresholds, params.min_areas))[best]
    return Cutoffs(threshold, min_area, params.presences[presence]), float(means[best, presence])


def _masks(probability: Probability, params: PostprocessParams) -> Iterator[Mask]:
    """One for each threshold and smallest area, in the order of their product."""
    for threshold in params.thresholds:
        mask = _above(probability, threshold)
        for min_area in params.min_areas:
            yield remove_small_regions(mask, min_area * probability.size)
