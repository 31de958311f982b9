"""Tables of the overlap scores of one model over annotated frames.

`estimates` are the model's, at each frame's own size; they are read once, and may come from a generator. `truths` are the
annotated masks, bool of the same shapes. `cutoffs` are those of the model.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from nerveseg.imaging.arrays import Mask
from nerveseg.inference.postprocessing import Cutoffs, Estimate
from nerveseg.measures.cases import Row, pixel_measures, summary

THRESHOLDS = np.round(np.linspace(0.05, 0.95, 19), 2)


def case_table(estimates: Iterable[Estimate], truths: Iterable[Mask], cutoffs: Cutoffs) -> pd.DataFrame:
    """Return `pixel_measures`, a row for each frame."""
    pairs = zip(estimates, truths, strict=True)
    return pd.DataFrame([pixel_measures(truth, cutoffs.mask(estimate)) for estimate, truth in pairs])


def threshold_table(name: str, estimates: Iterable[Estimate], truths: Iterable[Mask], cutoffs: Cutoffs) -> pd.DataFrame:
    """Return the `summary` at each of `THRESHOLDS`, with the other cut-offs as in `cutoffs`."""
    rows = {replace(cutoffs, threshold=float(threshold)): list[Row]() for threshold in THRESHOLDS}
    for estimate, truth in zip(estimates, truths, strict=True):
        for cut, cases in rows.items():
            cases.append(pixel_measures(truth, cut.mask(estimate)))
    means = {cut.threshold: summary(pd.DataFrame(cases)) for cut, cases in rows.items()}
    return pd.DataFrame([{"model": name, "threshold": cut, **scores} for cut, scores in means.items()])
