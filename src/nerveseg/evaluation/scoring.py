"""Tables of scores of one or more models over annotated frames.

`maps` are probabilities of nerve, float32 (H, W) at the size of each frame; `truths` the annotated masks, bool of the
same shapes; `cutoffs` belong to the model that made the maps.
"""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from nerveseg.evaluation.baselines import THRESHOLDS
from nerveseg.evaluation.metrics import case_row, summarise
from nerveseg.evaluation.postprocessing import Cutoffs, Mask, Probability


def case_table(
    model: str, frames: Sequence[str], subjects: Sequence[str], maps: Sequence[Probability],
    truths: Sequence[Mask], cutoffs: Cutoffs,
) -> pd.DataFrame:  # fmt: skip
    """A row for each frame: its name and subject, the model's name, and all measures of `case_row`."""
    rows = [
        {"frame": frame, "subject": subject, "model": model, **case_row(truth, cutoffs.mask(probability))}
        for frame, subject, probability, truth in zip(frames, subjects, maps, truths, strict=True)
    ]
    return pd.DataFrame(rows)


def threshold_table(model: str, maps: Sequence[Probability], truths: Sequence[Mask], cutoffs: Cutoffs) -> pd.DataFrame:
    """A row for each of 19 thresholds: the scores of `summarise`, small regions removed as in `cutoffs`."""
    rows = []
    for threshold in THRESHOLDS:
        cut = replace(cutoffs, threshold=float(threshold))
        pairs = zip(maps, truths, strict=True)
        cases = pd.DataFrame([case_row(truth, cut.mask(probability)) for probability, truth in pairs])
        rows.append({"model": model, "threshold": threshold, **summarise(cases)})
    return pd.DataFrame(rows)


def robustness_row(
    model: str, degradation: str, severity: int, maps: Sequence[Probability], truths: Sequence[Mask], cutoffs: Cutoffs
) -> dict[str, object]:
    """Scores on frames degraded in one way at one severity (0: clean)."""
    pairs = zip(maps, truths, strict=True)
    cases = pd.DataFrame([case_row(truth, cutoffs.mask(probability)) for probability, truth in pairs])
    scores = summarise(cases)
    kept = {key: scores[key] for key in ("dice", "iou", "dice_nerve", "iou_nerve", "sensitivity", "specificity")}
    return {"degradation": degradation, "severity": severity, "model": model, **kept}
