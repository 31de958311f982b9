"""From a network's estimate of a frame to a mask.

A threshold makes the mask, regions too small for a nerve are removed, and the mask is empty if a nerve in the frame is
unlikely. The threshold is a number, or `expected`, which chooses it per frame for the highest expected Dice.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from nerveseg.files.checked_folder import STRICT
from nerveseg.imaging.arrays import Mask
from nerveseg.params.fields import Amount, Threshold

Probability = NDArray[np.float32]
LEAST_POOR = 0.5  # a refiner corrects the U-Net from this probability of a degraded frame
SEEN = 0.5  # from this probability, a pixel is more likely nerve than not
LEVELS = 1024  # steps of probability in the search for the mask with the highest expected Dice


class Estimate(NamedTuple):
    probability: Probability  # of nerve, float32 (H, W) 0..1, at the size of the frame or of the network's input
    presence: float  # the probability that the frame shows a nerve, 0..1


@dataclass(frozen=True, config=STRICT)
class Cutoffs:
    """Least values for a mask."""

    threshold: Threshold = 0.5  # probability of a pixel
    min_area: Amount = 0.0  # of a connected region, as a share of the frame
    presence: Amount = 0.0  # probability that the frame shows a nerve

    def __str__(self) -> str:
        threshold = self.threshold if isinstance(self.threshold, str) else f"{self.threshold:g}"
        return f"threshold {threshold}, smallest region {self.min_area:g} of the frame, presence {self.presence:g}"

    def mask(self, estimate: Estimate) -> Mask:
        """Return the mask of one frame, bool (H, W)."""
        probability = estimate.probability
        if estimate.presence < self.presence:
            return np.zeros(probability.shape, np.bool_)
        return remove_small_regions(above(probability, self.threshold), self.min_area * probability.size)

    def withholds(self, estimate: Estimate) -> bool:
        """Return whether the mask is empty although some pixel's probability is `SEEN` or more."""
        return bool(estimate.probability.max() >= SEEN) and not self.mask(estimate).any()


def confidence(estimate: Estimate, mask: Mask) -> float:
    """Return how far to trust a mask, 0..1: its expected Dice by the network's own probabilities.

    With a nerve in the frame, the Dice of a mask of k pixels is about 2 S_mask / (k + S), where S is the sum of all
    probabilities and S_mask that of the mask's pixels (as in `expected_dice_threshold`); without a nerve it is 0. The Dice of
    an empty mask is 0 with a nerve and 1 without. The mask is bool (H, W).
    """
    if not mask.any():
        return 1.0 - float(estimate.presence)
    drawn, everything = (np.sum(of, dtype=np.float64) for of in (estimate.probability[mask], estimate.probability))
    return float(estimate.presence * 2.0 * drawn / (np.count_nonzero(mask) + everything))


def above(probability: Probability, threshold: Threshold) -> Mask:
    return probability >= (expected_dice_threshold(probability) if threshold == "expected" else threshold)


def expected_dice_threshold(probability: Probability) -> float:
    """Return the threshold of the mask with the highest expected Dice.

    Of all masks of k pixels, the one of the k most probable has the highest: about 2 S_k / (k + S), where S_k is the sum of
    their probabilities and S that of all (Dai and Li 2023, "RankSEG"). Thresholds are multiples of a level, so pixels below
    the first level are never nerve.
    """
    seen = probability[probability >= 1.0 / LEVELS]  # few of the pixels; the others count only in the sum of all
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
    return keep[labels]
