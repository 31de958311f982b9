"""All measures of one case, in pixels and, where the size of a pixel is known, in millimetres; and what they are over many.

Beside the overlap (`metrics`) and the distances between outlines (`surface_distances`): `centroid_distance` is that between
the centres of mass of both masks, where a needle would be aimed at; `area_error` the difference of their areas as a share of
the annotated one, 0 and up. Both are NaN, as distances are, where one of the masks is empty: what was missed altogether is
told by Dice and by presence. Each model's mean is therefore over frames of its own, and one that misses the hard frames has the
shorter distances; models are compared over the frames that all of them outline (`over_common_frames`). Where the annotated mask is empty the share of the outline, `nsd`, is NaN as well: it would count
frames without a nerve, of which Dice counts too many.
"""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from nerveseg.imaging.arrays import Mask, Spacing
from nerveseg.measures.overlap import case_row, none_for_nan, scored
from nerveseg.measures.surface_distances import IN_PIXELS, surface_distances

OF_OUTLINE = ("hd", "hd95", "assd", "nsd", "centroid_distance", "area_error")
LENGTHS = ("hd", "hd95", "assd", "centroid_distance")  # which millimetres measure as well, with `_mm` behind the name
AREAS = ("truth_area", "predicted_area")  # likewise, `_mm2`
DISTANCES = ("hd95", "assd", "centroid_distance", "area_error")  # of a frame in which both masks show a nerve
COMMON = tuple(f"{measure}_common" for measure in DISTANCES)  # over the frames that all models outline
IN_SUMMARY = ("hd95", "assd", "nsd", "centroid_distance", "area_error")


def case_measures(truth: Mask, predicted: Mask, spacing: Spacing | None = None) -> dict[str, float | bool | int]:
    """All measures of one case.

    Args:
        truth: the annotated mask, bool (H, W).
        predicted: likewise.
        spacing: height and width of a pixel in millimetres; None where they are not known.

    Returns:
        `case_row`, `OF_OUTLINE` in pixels, and in millimetres `hd_mm`, `hd95_mm`, `assd_mm`, `centroid_distance_mm`,
        `truth_area_mm2` and `predicted_area_mm2`, NaN where the spacing is not known.
    """
    row = case_row(truth, predicted)
    if truth.any():
        row |= _outlines(truth, predicted, IN_PIXELS)
    else:
        row |= dict.fromkeys(OF_OUTLINE, float("nan"))
    if spacing is None or not truth.any():
        row |= dict.fromkeys((f"{length}_mm" for length in LENGTHS), float("nan"))
    else:
        in_mm = _outlines(truth, predicted, spacing)
        row |= {f"{length}_mm": in_mm[length] for length in LENGTHS}
    pixel = float("nan") if spacing is None else spacing[0] * spacing[1]
    return row | {f"{area}_mm2": row[area] * pixel for area in AREAS}


def summary(cases: pd.DataFrame) -> dict[str, float | None]:
    """Scores over the cases of one model (rows of `case_measures`): those of `summarise`, and of `IN_SUMMARY` the means over
    the cases in which both masks show a nerve; of `nsd` over all with an annotated one. After `over_common_frames`, `COMMON`
    as well.
    """
    return none_for_nan(contributions(cases).mean().to_dict())


def contributions(cases: pd.DataFrame) -> pd.DataFrame:
    """What each case contributes to each score of `summary`, which is the mean of its column; NaN where it does not count."""
    return scored(cases).assign(**{measure: cases[measure] for measure in (*IN_SUMMARY, *COMMON) if measure in cases})


def outlined(cases: pd.DataFrame) -> "pd.Series[bool]":
    """In which frames both masks show a nerve."""
    return cases["hd95"].notna()


def over_common_frames(tables: Mapping[str, pd.DataFrame], silent: Collection[str] = ()) -> dict[str, pd.DataFrame]:
    """The cases of models, of the same frames in the same order, with the columns `COMMON`: `DISTANCES` in the frames that
    all models outline, NaN in the others.

    Args:
        tables: rows of `case_measures` by model.
        silent: models that draw nothing by design, for which no frame is left out.
    """
    drawn = [outlined(cases).to_numpy() for model, cases in tables.items() if model not in silent]
    by_all = np.logical_and.reduce(drawn)
    return {
        model: cases.assign(
            **{name: cases[measure].where(by_all) for name, measure in zip(COMMON, DISTANCES, strict=True)}
        )
        for model, cases in tables.items()
    }


def _outlines(truth: Mask, predicted: Mask, spacing: Spacing) -> dict[str, float]:
    distances = surface_distances(truth, predicted, spacing=spacing)
    if not predicted.any():
        return distances._asdict() | {"centroid_distance": float("nan"), "area_error": float("nan")}
    apart = (_centroid(predicted) - _centroid(truth)) * np.array(spacing)
    annotated, claimed = np.count_nonzero(truth), np.count_nonzero(predicted)
    return distances._asdict() | {
        "centroid_distance": float(np.hypot(*apart)),
        "area_error": abs(claimed - annotated) / annotated,
    }


def _centroid(mask: Mask) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Mean row and column of the pixels of a mask."""
    rows, columns = np.nonzero(mask)
    return np.array([rows.mean(), columns.mean()])
