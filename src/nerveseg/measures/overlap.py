"""Counts of the pixels of a case, and its overlap measures.

A case is one frame: `truth` and `predicted` are bool arrays of shape (H, W). If both masks are empty, Dice and IoU are 1, as in
Kaggle's 2016 challenge. Precision of an empty prediction, recall of an empty truth and specificity of a full one are NaN.
"""

from dataclasses import dataclass

import numpy as np

from nerveseg.imaging.arrays import Mask


@dataclass(frozen=True)
class Counts:
    """True and false positives, false and true negatives."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def dice(self) -> float:
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn, empty=1.0)

    @property
    def iou(self) -> float:
        return _ratio(self.tp, self.tp + self.fp + self.fn, empty=1.0)

    @property
    def binary_accuracy(self) -> float:
        return (self.tp + self.tn) / (self.tp + self.fp + self.fn + self.tn)

    @property
    def precision(self) -> float:
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        return _ratio(self.tn, self.tn + self.fp)


def count(truth: Mask, predicted: Mask) -> Counts:
    """Count the pixels of one case; ValueError if the masks differ in shape."""
    if truth.shape != predicted.shape:
        raise ValueError(f"truth is {truth.shape} and the prediction {predicted.shape}; both must have one shape")
    tp = int(np.count_nonzero(truth & predicted))
    positives, claimed = int(np.count_nonzero(truth)), int(np.count_nonzero(predicted))
    return Counts(tp, claimed - tp, positives - tp, truth.size - positives - claimed + tp)


def _ratio(part: int, whole: int, empty: float = float("nan")) -> float:
    return part / whole if whole else empty
