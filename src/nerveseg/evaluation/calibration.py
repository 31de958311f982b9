"""Calibration: of the pixels with a probability of 70 %, are 70 % nerve?

Pixels are sorted into bins of equal width by their probability. The expected calibration error is the mean absolute difference
between the mean probability of a bin and its share of nerve, weighted by pixels (Naeini et al. 2015, "Obtaining well calibrated
probabilities using Bayesian binning"). Nearly all pixels are far from any nerve and easy, which flatters that error, so
`ece_doubtful` leaves out the pixels with a probability below `DOUBT`.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from nerveseg.imaging.arrays import Mask
from nerveseg.inference.postprocessing import Estimate

BINS = 20
DOUBT = 0.05  # the first bin


def reliability_table(model: str, estimates: Iterable[Estimate], truths: Iterable[Mask]) -> pd.DataFrame:
    """Return a row for each bin that holds pixels; each of `estimates` is at the size of its annotated mask.

    Columns are `model`, `low` and `high` (bounds of the bin, 0..1), `pixels`, `probability` (their mean) and `nerve`
    (their share that is annotated).
    """
    pixels, probability, nerve = np.zeros(BINS, np.int64), np.zeros(BINS), np.zeros(BINS, np.int64)
    for estimate, truth in zip(estimates, truths, strict=True):
        said = estimate.probability.ravel()
        bins = np.minimum((said * BINS).astype(np.int64), BINS - 1)
        pixels += np.bincount(bins, minlength=BINS)
        probability += np.bincount(bins, said.astype(np.float64), BINS)
        nerve += np.bincount(bins[truth.ravel()], minlength=BINS)
    seen = np.flatnonzero(pixels)
    return pd.DataFrame(
        {
            "model": model,
            "low": seen / BINS,
            "high": (seen + 1) / BINS,
            "pixels": pixels[seen],
            "probability": probability[seen] / pixels[seen],
            "nerve": nerve[seen] / pixels[seen],
        }
    )


def calibration_errors(table: pd.DataFrame) -> dict[str, float | None]:
    """Return `ece`, and `ece_doubtful` of the pixels with a probability of at least `DOUBT`, 0..1; None without pixels."""
    return {"ece": _error(table), "ece_doubtful": _error(table[table["low"] >= DOUBT])}


def _error(table: pd.DataFrame) -> float | None:
    if table.empty:
        return None
    return float(np.average((table["probability"] - table["nerve"]).abs(), weights=table["pixels"]))
