"""95 % intervals of a mean over cases, by a bootstrap over subjects.

Frames of one subject are nearly equal, so the bootstrap draws subjects with all of their frames (the cluster bootstrap; Davison
and Hinkley 1997, section 3.8). One subject, or several with equal means, say nothing about others: a reason is given instead.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.measures.cases import contributions, none_for_nan

LEVEL = 0.95
ENOUGH = 6  # subjects; fewer are all on one side of the median by chance in more than 5 % of draws (2 * 2 ** -5)
NO_CASE, ONE_SUBJECT, ALL_EQUAL = "no frame counts", "one subject", "equal in all subjects"
_ROUNDING = 1e-12  # of sums of floats
NAN = float("nan")


class Interval(NamedTuple):
    """`low` and `high`, or NaN for both and the reason (`missing`)."""

    low: float
    high: float
    missing: str = ""

    def named(self, measure: str) -> dict[str, float | str]:
        """Return columns of a table, or keys of JSON: `MEASURE_low`, `MEASURE_high` and `MEASURE_no_interval`."""
        return {f"{measure}_low": self.low, f"{measure}_high": self.high, f"{measure}_no_interval": self.missing}

    def as_json(self, measure: str) -> dict[str, float | str | None]:
        """Return the same for JSON: None for NaN, and a reason only if there is one."""
        bounds = none_for_nan({f"{measure}_low": self.low, f"{measure}_high": self.high})
        return bounds | ({f"{measure}_no_interval": self.missing} if self.missing else {})

    @classmethod
    def of(cls, row: Mapping[Any, Any], measure: str) -> Self:
        """Read what `named` returned. JSON has None for NaN; CSV has NaN for an empty reason."""
        low, high = (NAN if (end := row.get(f"{measure}_{part}")) is None else end for part in ("low", "high"))
        missing = row.get(f"{measure}_no_interval")
        return cls(low, high, missing if isinstance(missing, str) else "")

    def told(self, form: str = ".3f") -> str:
        """Format for a table: `0.812 to 0.851`, or `n/a (one subject)`."""
        return f"n/a ({self.missing})" if self.missing else f"{self.low:{form}} to {self.high:{form}}"

    def beside(self, form: str = ".3f") -> str:
        """Format for a sentence: `(95 % 0.812 to 0.851)`, or `(no interval: one subject)`."""
        return f"(no interval: {self.missing})" if self.missing else f"(95 % {self.told(form)})"


def caution(subjects: int) -> str:
    """Return a warning about intervals over so few subjects; empty if there are enough, or only one."""
    told = f"With only {subjects} test subjects the intervals are too narrow: they cannot reach beyond what these subjects show."
    return f"{told} Test on {ENOUGH} subjects or more." if 1 < subjects < ENOUGH else ""


def subject_interval(cases: pd.DataFrame, measure: str, resamples: int, seed: int) -> Interval:
    """Return the 95 % percentile interval of a column's mean, NaN left out, over `resamples` draws of the `subject`s."""
    of_subjects = _by_subject(cases, measure)
    means = of_subjects["sum"] / of_subjects["count"]
    if len(means) < 2:
        return Interval(NAN, NAN, NO_CASE if means.empty else ONE_SUBJECT)
    if np.ptp(means) <= _ROUNDING:
        return Interval(NAN, NAN, ALL_EQUAL)
    low, high = np.quantile(_drawn_means(of_subjects, resamples, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def lower_bound(cases: pd.DataFrame, measure: str, resamples: int, seed: int, *, least_subjects: int) -> float:
    """Return the one-sided 95 % lower bound of such a mean; minus infinity with fewer than `least_subjects`."""
    of_subjects = _by_subject(cases, measure)
    if len(of_subjects) < least_subjects:
        return -np.inf
    return float(np.quantile(_drawn_means(of_subjects, resamples, seed), 1 - LEVEL))


def interval_table(cases: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Return a row for each model of `cases` (rows of `TestSet.all_cases`) and each score of `summary`, with its interval."""
    rows = []
    for model, of in cases.groupby("model", sort=False):
        each = contributions(of)
        for score in each.columns:
            found = subject_interval(each.assign(subject=of["subject"]), str(score), resamples, seed)
            counts = [each[score].count(), of.loc[each[score].notna(), "subject"].nunique()]
            rows.append([model, score, *counts, each[score].mean(), *found])
    columns = ["model", "score", "cases", "subjects", "value", "low", "high", "no_interval"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def _by_subject(cases: pd.DataFrame, measure: str) -> pd.DataFrame:
    return cases[["subject", measure]].dropna().groupby("subject", sort=True)[measure].agg(["sum", "count"])


def _drawn_means(of_subjects: pd.DataFrame, resamples: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng([seed, 0xB007])
    count = len(of_subjects)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return (weights @ of_subjects["sum"].to_numpy()) / (weights @ of_subjects["count"].to_numpy())
