"""How far a mean could be from what other subjects would give: a bootstrap over subjects.

Frames of one subject are nearly equal, so it is subjects that are drawn, with all of their frames (the cluster
bootstrap; Davison and Hinkley 1997, section 3.8).
"""

import numpy as np
import pandas as pd

from nerveseg.evaluation.metrics import none_for_nan

LEVEL = 0.95


def subject_interval(cases: pd.DataFrame, measure: str, resamples: int, seed: int) -> tuple[float, float]:
    """Percentile interval, at 95 %, of the mean of `measure` over cases.

    Args:
        cases: columns `subject` and `measure`; cases with NaN are left out.
        measure: the column.
        resamples: how often the subjects are drawn.
        seed: of the draws.

    Returns:
        Lower and upper bound; NaN where no case is left.
    """
    kept = cases[["subject", measure]].dropna()
    if kept.empty:
        return float("nan"), float("nan")
    sums = kept.groupby("subject", sort=True)[measure].agg(["sum", "count"])
    rng = np.random.default_rng([seed, 0xB007])
    weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
    means = (weights @ sums["sum"].to_numpy()) / (weights @ sums["count"].to_numpy())
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def intervals(cases: pd.DataFrame, resamples: int, seed: int) -> dict[str, float | None]:
    """Intervals of one model's `dice` (all cases) and `dice_nerve` (those with a nerve), as `..._low`, `..._high`."""
    bounds = {}
    for key, covered in (("dice", cases), ("dice_nerve", cases[cases["has_nerve"]])):
        bounds[f"{key}_low"], bounds[f"{key}_high"] = subject_interval(covered, "dice", resamples, seed)
    return none_for_nan(bounds)
