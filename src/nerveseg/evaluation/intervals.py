"""How far a mean could be from what other subjects would give: a bootstrap over subjects.

Frames of one subject are nearly equal, so it is subjects that are drawn, with all of their frames (the cluster
bootstrap; Davison and Hinkley 1997, section 3.8).
"""

import numpy as np
import pandas as pd

from nerveseg.evaluation.cases import contributions

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


def interval_table(cases: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """A row for each model of `cases` (rows of `HeldOut.cases`) and each score of `summary`.

    Returns:
        Columns `model`, `score`, `cases` (that count for it), `mean`, and the bounds of its 95 % interval, `low` and `high`;
        NaN where no case counts.
    """
    rows = []
    for model, of in cases.groupby("model", sort=False):
        each = contributions(of)
        for score in each.columns:
            low, high = subject_interval(each.assign(subject=of["subject"]), str(score), resamples, seed)
            rows.append([model, score, each[score].count(), each[score].mean(), low, high])
    return pd.DataFrame(rows, columns=["model", "score", "cases", "mean", "low", "high"])
