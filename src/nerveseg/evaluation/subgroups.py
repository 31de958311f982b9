"""Scores of parts of the test frames: by whether they show a nerve, by its size, by subject."""

import pandas as pd

from nerveseg.measures.cases import none_for_nan, outlined_by_all
from nerveseg.measures.intervals import subject_interval
from nerveseg.measures.scores import OF_PARTS

SIZES = ("small", "medium", "large")


def strata_table(cases: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Return a row for each model and part of the test frames, from `TestSet.all_cases`.

    Columns are `model`; `stratum`, which is `presence`, `size` or `subject`; `part`, its name there; `frames` and
    `subjects`; the means of `OF_PARTS`; `frames_outlined_by_all`; and the 95 % interval of Dice (`Interval.named`), by
    a bootstrap over the subjects of the part. Sizes are thirds of the frames with a nerve by its share of the frame.
    """
    rows = [
        {"model": model, "stratum": stratum, "part": part, **_scores(of_part, resamples, seed)}
        for model, of in cases.groupby("model", sort=False)
        for stratum, parts in parts_of(of).items()
        for part, of_part in of.groupby(parts, observed=True)
    ]
    return pd.DataFrame(rows)


def parts_of(cases: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the part of each case of one model, for each way to divide them; NaN for a case in no part."""
    share = cases["truth_area"] / cases["frame_area"]
    ranks = share[cases["has_nerve"]].rank(method="first")
    third = ((ranks - 1) * len(SIZES) // max(1, len(ranks))).clip(upper=len(SIZES) - 1)
    subjects = cases["subject"].astype(str)
    parts: dict[str, tuple[pd.Series, list[str]]] = {
        "presence": (cases["has_nerve"].map({True: "nerve", False: "no nerve"}), ["nerve", "no nerve"]),
        "size": (third.map(dict(enumerate(SIZES))).reindex(cases.index), list(SIZES)),
        "subject": (subjects, [str(name) for name in subjects.unique()]),
    }
    return {name: of.astype(pd.CategoricalDtype(order)) for name, (of, order) in parts.items()}


def _scores(cases: pd.DataFrame, resamples: int, seed: int) -> dict[str, float | int | str | None]:
    means = none_for_nan({measure: cases[measure].mean() for measure in OF_PARTS})
    interval = subject_interval(cases, "dice", resamples, seed)
    counts = {"frames": len(cases), "subjects": cases["subject"].nunique()}
    common = {"frames_outlined_by_all": outlined_by_all(cases)}
    return {**counts, **means, **common, **interval.named("dice")}
