"""The measures of one case, and the scores over many.

A case is one frame: `truth` and `predicted` are bool arrays of shape (H, W). Measures of outlines are NaN where no nerve is
annotated or nothing is predicted, except that a nerve missed has `nsd` 0 (`Measure.missed`). So each model's mean distance is
over frames of its own, and missing the hard ones seems better: `on_common_frames` adds distances that can be compared.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from nerveseg.imaging.arrays import Mask, Spacing
from nerveseg.measures.overlap import count
from nerveseg.measures.scores import AVERAGED, DISTANCES, LENGTHS, NERVE, NO_NERVE, OF_OUTLINES, OF_PIXELS
from nerveseg.measures.surface_distances import IN_PIXELS, Outlines

AREAS = ("truth_area", "predicted_area")
Row = dict[str, float | bool | int]


def pixel_measures(truth: Mask, predicted: Mask) -> Row:
    """Return the measures of `OF_PIXELS`, `has_nerve`, and `truth_area`, `predicted_area` and `frame_area` in pixels."""
    counts = count(truth, predicted)
    return {
        "has_nerve": counts.tp + counts.fn > 0,
        **{measure.key: getattr(counts, measure.key) for measure in OF_PIXELS},
        "truth_area": counts.tp + counts.fn,
        "predicted_area": counts.tp + counts.fp,
        "frame_area": truth.size,
    }


def case_measures(truth: Mask, predicted: Mask, spacing: Spacing | None = None) -> Row:
    """Return all measures of one case: `pixel_measures`, `OF_OUTLINES` in pixels, and in millimetres `LENGTHS`
    (`..._mm`) and `AREAS` (`..._mm2`), NaN without `spacing`, the height and width of a pixel in millimetres.
    """
    in_pixels, in_mm = _outlines(truth, predicted, IN_PIXELS), _outlines(truth, predicted, spacing)
    row = pixel_measures(truth, predicted) | in_pixels | {f"{key}_mm": in_mm[key] for key in LENGTHS}
    pixel = float("nan") if spacing is None else spacing[0] * spacing[1]
    return row | {f"{area}_mm2": row[area] * pixel for area in AREAS}


def summary(cases: pd.DataFrame) -> dict[str, float | None]:
    """Return the scores over the cases of one model, rows of `case_measures` or `pixel_measures`; None where no case counts."""
    return none_for_nan(contributions(cases).mean().to_dict())


def contributions(cases: pd.DataFrame) -> pd.DataFrame:
    """Return what each case contributes to each score of `summary`, which is the mean of its column; NaN where it does not count."""
    nerve, drawn = cases["has_nerve"].astype(bool), cases["predicted_area"] > 0
    columns = cases.assign(drawn=drawn.astype(float), not_drawn=(~drawn).astype(float))
    everywhere = pd.Series(True, cases.index)  # noqa: FBT003
    counted = {NERVE: nerve, NO_NERVE: ~nerve}
    present = [score for score in AVERAGED if score.column in columns]
    return pd.DataFrame({s.key: columns[s.column].where(counted.get(s.over, everywhere)) for s in present})


def presence_auc(cases: pd.DataFrame) -> float | None:
    """Return the area under the ROC curve of `presence`, 0..1, for `has_nerve`; None if all frames show a nerve, or none."""
    if cases["has_nerve"].nunique() < 2:
        return None
    from sklearn.metrics import roc_auc_score  # takes a second, also where no score is computed

    return float(roc_auc_score(cases["has_nerve"], cases["presence"]))


def outlined(cases: pd.DataFrame) -> int:
    """Count the frames in which both masks show a nerve."""
    return int(cases[DISTANCES[0]].count())


def outlined_by_all(cases: pd.DataFrame) -> int:
    """Count the frames over which models are compared, after `on_common_frames`."""
    return int(cases[f"{DISTANCES[0]}_common"].count())


def on_common_frames(tables: Mapping[str, pd.DataFrame], silent: Collection[str] = ()) -> dict[str, pd.DataFrame]:
    """Add columns `..._common`: `DISTANCES` in the frames that all models but the `silent` ones outline, NaN in the others.

    `tables` are rows of `case_measures` by model, of the same frames in the same order. `silent` models draw nothing by design.
    """
    drawn = [cases[DISTANCES[0]].notna().to_numpy() for model, cases in tables.items() if model not in silent]
    by_all = np.logical_and.reduce(drawn)
    return {
        model: cases.assign(**{f"{distance}_common": cases[distance].where(by_all) for distance in DISTANCES})
        for model, cases in tables.items()
    }


def none_for_nan(scores: Mapping[Any, float]) -> dict[str, float | None]:
    """Replace NaN, which JSON does not know."""
    return {str(key): None if np.isnan(value) else float(value) for key, value in scores.items()}


def _outlines(truth: Mask, predicted: Mask, spacing: Spacing | None) -> dict[str, float]:
    if spacing is None or not truth.any():
        return {measure.key: float("nan") for measure in OF_OUTLINES}
    if not predicted.any():
        return {measure.key: measure.missed for measure in OF_OUTLINES}
    outlines = Outlines(truth, predicted, spacing)
    return {measure.key: getattr(outlines, measure.key) for measure in OF_OUTLINES}
