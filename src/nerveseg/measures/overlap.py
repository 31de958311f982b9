"""Overlap measures of a predicted nerve mask against the annotated one, and presence over many frames.

A case is one frame: `truth` and `predicted` are bool arrays of shape (H, W). A case whose masks are both empty has
Dice and IoU 1, the convention of Kaggle's 2016 challenge. Precision of an empty prediction, recall of an empty truth and
specificity of a truth that fills the frame are NaN; means skip NaN.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from nerveseg.imaging.arrays import Mask


@dataclass(frozen=True)
class Counts:
    """Pixels of one case: true and false positives, false and true negatives."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn, empty=1.0)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN)."""
        return _ratio(self.tp, self.tp + self.fp + self.fn, empty=1.0)

    @property
    def binary_accuracy(self) -> float:
        """(TP + TN) / all pixels."""
        return (self.tp + self.tn) / (self.tp + self.fp + self.fn + self.tn)

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return _ratio(self.tp, self.tp + self.fp, empty=float("nan"))

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return _ratio(self.tp, self.tp + self.fn, empty=float("nan"))

    @property
    def specificity(self) -> float:
        """TN / (TN + FP)."""
        return _ratio(self.tn, self.tn + self.fp, empty=float("nan"))


MEASURES = ("dice", "iou", "binary_accuracy", "precision", "recall", "specificity")


def count(truth: Mask, predicted: Mask) -> Counts:
    """Count the pixels of one case.

    Raises:
        ValueError: the masks differ in shape.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth is {truth.shape} and the prediction {predicted.shape}; both must have one shape")
    tp = int(np.count_nonzero(truth & predicted))
    positives, claimed = int(np.count_nonzero(truth)), int(np.count_nonzero(predicted))
    return Counts(tp, claimed - tp, positives - tp, truth.size - positives - claimed + tp)


def case_row(truth: Mask, predicted: Mask) -> dict[str, float | bool | int]:
    """All measures of one case, with `has_nerve`, and in pixels `truth_area`, `predicted_area` and `frame_area`."""
    counts = count(truth, predicted)
    return {
        "has_nerve": counts.tp + counts.fn > 0,
        **{measure: getattr(counts, measure) for measure in MEASURES},
        "truth_area": counts.tp + counts.fn,
        "predicted_area": counts.tp + counts.fp,
        "frame_area": truth.size,
    }


def summarise(cases: pd.DataFrame) -> dict[str, float | None]:
    """Scores over the cases of one model (rows of `case_row`).

    Returns:
        Means of the measures over all cases, of Dice and IoU over those with a nerve (`dice_nerve`, `iou_nerve`), and
        how well an empty or non-empty mask tells presence (`presence_sensitivity`, `presence_specificity`); None
        where no case defines a score.
    """
    return none_for_nan(scored(cases).mean().to_dict())


def scored(cases: pd.DataFrame) -> pd.DataFrame:
    """What each case contributes to each score of `summarise`, which is the mean of its column; NaN where it does not count."""
    nerve, claimed = cases["has_nerve"].astype(bool), cases["predicted_area"] > 0
    return cases[list(MEASURES)].assign(
        dice_nerve=cases["dice"].where(nerve),
        iou_nerve=cases["iou"].where(nerve),
        presence_sensitivity=claimed.astype(float).where(nerve),
        presence_specificity=(~claimed).astype(float).where(~nerve),
    )


def presence_auc(cases: pd.DataFrame) -> float | None:
    """The area under the ROC curve of presence: how probably a frame with a nerve is held for likelier to show one than a
    frame without. 0..1, 0.5 by guessing; None where all frames show a nerve, or none does.

    Args:
        cases: columns `has_nerve` and `presence`, the probability of there being a nerve.
    """
    if len(set(cases["has_nerve"])) < 2:
        return None
    return float(roc_auc_score(cases["has_nerve"], cases["presence"]))


def none_for_nan(scores: Mapping[Any, float]) -> dict[str, float | None]:
    """JSON knows no NaN."""
    return {str(key): None if np.isnan(value) else float(value) for key, value in scores.items()}


def _ratio(part: int, whole: int, empty: float) -> float:
    return part / whole if whole else empty
