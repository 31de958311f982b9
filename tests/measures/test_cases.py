"""All measures of a case, against what scipy, scikit-image and scikit-learn say of the same masks, and known shapes."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import binary_erosion, center_of_mass, distance_transform_edt
from skimage.metrics import hausdorff_distance
from sklearn.metrics import confusion_matrix

from nerveseg.measures.cases import AREAS, case_measures, none_for_nan, pixel_measures, summary
from nerveseg.measures.scores import AVERAGED, LENGTHS, MEASURES

RANDOM_CASES = 1000
IN_SUMMARY = ("hd95", "assd", "nsd", "centroid_distance", "area_error")
EMPTY = np.zeros((10, 10), bool)
SQUARE = EMPTY.copy()
SQUARE[2:6, 2:6] = True


def measures_of(truths, predicted):
    return pd.DataFrame(map(case_measures, truths, predicted))


def disc(row, column, radius, shape=(120, 160)):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def random_mask(rng, shape):
    """Empty, full, a disc, or specks, some touching the border of the frame."""
    kind = rng.integers(6)
    if kind < 2:
        return np.full(shape, kind == 1 and rng.random() < 0.2)
    if kind == 2:
        return rng.random(shape) < rng.uniform(0.005, 0.5)
    centre = rng.uniform(0.0, shape)
    return disc(*centre, rng.uniform(1.0, 12.0), shape)


def independent(truth, predicted, spacing):
    """The same measures from distance maps, moments and a confusion matrix; ratios without a denominator are NaN."""
    tn, fp, fn, tp = confusion_matrix(truth.ravel(), predicted.ravel(), labels=[False, True]).ravel().astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "dice": np.float64(2 * tp) / (2 * tp + fp + fn) if tp + fp + fn else 1.0,
            "iou": np.float64(tp) / (tp + fp + fn) if tp + fp + fn else 1.0,
            "binary_accuracy": (tp + tn) / truth.size,
            "precision": np.float64(tp) / (tp + fp),
            "recall": np.float64(tp) / (tp + fn),
            "specificity": np.float64(tn) / (tn + fp),
        }
    found |= {
        "frame_area": truth.size,
        "truth_area": tp + fn,
        "predicted_area": tp + fp,
        "has_nerve": float(tp + fn > 0),
    }
    if not truth.any() or not predicted.any():
        nothing = dict.fromkeys(("hd", "hd95", "assd", "centroid_distance", "area_error"), np.nan)
        return found | nothing | {"nsd": 0.0 if truth.any() else np.nan}
    edges = [mask & ~binary_erosion(mask) for mask in (truth, predicted)]
    ways = [distance_transform_edt(~other, sampling=spacing)[edge] for edge, other in (edges, edges[::-1])]
    both = np.concatenate(ways)
    apart = (np.array(center_of_mass(truth)) - np.array(center_of_mass(predicted))) * spacing
    return found | {
        "hd": both.max(),
        "hd95": max(np.percentile(way, 95) for way in ways),
        "assd": both.mean(),
        "nsd": (both <= 2.0).mean(),
        "centroid_distance": np.linalg.norm(apart),
        "area_error": abs(fp - fn) / (tp + fn),
    }


@pytest.mark.slow
def test_a_thousand_random_cases_agree_with_an_independent_implementation_to_a_millionth():
    rng = np.random.default_rng(3)
    empties = 0
    for _ in range(RANDOM_CASES):
        shape = tuple(rng.integers(5, 40, 2))
        truth, predicted = random_mask(rng, shape), random_mask(rng, shape)
        spacing = tuple(rng.uniform(0.05, 0.5, 2))
        empties += not truth.any() or not predicted.any()
        found = case_measures(truth, predicted, spacing)
        in_pixels, in_mm = independent(truth, predicted, (1.0, 1.0)), independent(truth, predicted, spacing)
        expected = in_pixels | {f"{length}_mm": in_mm[length] for length in LENGTHS}
        expected |= {f"{area}_mm2": in_pixels[area] * spacing[0] * spacing[1] for area in AREAS}
        assert found.keys() == expected.keys()
        assert {key: float(value) for key, value in found.items()} == pytest.approx(expected, abs=1e-6, nan_ok=True)
        if truth.any() and predicted.any():
            edges = [mask & ~binary_erosion(mask) for mask in (truth, predicted)]
            assert found["hd"] == pytest.approx(hausdorff_distance(*edges), abs=1e-6)
    assert 200 < empties < 800


def test_a_disc_moved_aside_keeps_its_area_and_its_centre_lies_as_far_away_as_it_was_moved():
    found = case_measures(disc(60, 60, 20), disc(63, 64, 20), (0.1, 0.2))
    assert found["centroid_distance"] == pytest.approx(5.0)
    assert found["centroid_distance_mm"] == pytest.approx(np.hypot(3 * 0.1, 4 * 0.2))
    assert found["area_error"] == 0.0
    assert found["hd"] == pytest.approx(5.0, abs=0.5)
    assert found["truth_area_mm2"] == pytest.approx(found["truth_area"] * 0.02)


def test_a_disc_about_the_same_centre_with_twice_the_area_has_an_area_error_of_one():
    found = case_measures(disc(60, 60, 20), disc(60, 60, 20 * np.sqrt(2)))
    assert found["area_error"] == pytest.approx(1.0, abs=0.02)
    assert found["centroid_distance"] == pytest.approx(0.0)
    assert found["hd95"] == pytest.approx(20 * (np.sqrt(2) - 1), abs=0.7)


def test_without_a_spacing_millimetres_are_unknown_and_pixels_are_not():
    found = case_measures(disc(60, 60, 20), disc(60, 62, 20))
    assert np.isnan([found[f"{length}_mm"] for length in LENGTHS]).all()
    assert np.isnan([found[f"{area}_mm2"] for area in AREAS]).all()
    assert np.isfinite([found[measure] for measure in MEASURES]).all()


@pytest.mark.parametrize(
    ("truth", "predicted", "nsd"), [(False, False, np.nan), (False, True, np.nan), (True, False, 0.0)]
)
def test_where_a_mask_is_empty_there_is_no_distance_and_a_missed_nerve_has_none_of_its_outline(truth, predicted, nsd):
    shapes = [disc(60, 60, 9) if shown else np.zeros((120, 160), bool) for shown in (truth, predicted)]
    found = case_measures(*shapes, (0.1, 0.1))
    assert np.isnan([found[measure] for measure in ("hd", "hd95", "assd", "centroid_distance", "area_error")]).all()
    assert found["nsd"] == pytest.approx(nsd, nan_ok=True)
    assert found["truth_area_mm2"] == pytest.approx(found["truth_area"] / 100)


def test_a_summary_takes_distances_from_frames_in_which_both_show_a_nerve_and_the_outline_from_all_with_one():
    nerve, empty = disc(60, 60, 20), np.zeros((120, 160), bool)
    cases = measures_of([nerve, nerve, empty], [disc(60, 64, 20), empty, empty])
    found = summary(cases)
    assert found["centroid_distance"] == pytest.approx(4.0)
    assert found["nsd"] == pytest.approx(cases["nsd"].iloc[0] / 2)
    assert found["presence_sensitivity"] == 0.5
    assert found["presence_specificity"] == 1.0
    assert set(IN_SUMMARY) < set(found)


def test_a_summary_of_frames_without_a_nerve_has_no_distances():
    empty = np.zeros((8, 9), bool)
    found = summary(measures_of([empty, empty], [empty, ~empty]))
    assert [found[measure] for measure in IN_SUMMARY] == [None] * len(IN_SUMMARY)


def test_cases_of_frames_of_known_and_of_unknown_size_stand_in_one_table():
    table = pd.DataFrame([case_measures(disc(60, 60, 20), disc(60, 64, 20), known) for known in ((0.1, 0.1), None)])
    assert table["centroid_distance_mm"].tolist() == pytest.approx([0.4, np.nan], nan_ok=True)


def test_a_summary_tells_all_frames_from_those_with_a_nerve():
    cases = pd.DataFrame(
        [
            pixel_measures(SQUARE, SQUARE),
            pixel_measures(SQUARE, EMPTY),
            pixel_measures(EMPTY, EMPTY),
            pixel_measures(EMPTY, SQUARE),
        ]
    )
    scores = summary(cases)
    assert scores["dice"] == pytest.approx(0.5)
    assert scores["dice_nerve"] == pytest.approx(0.5)
    assert scores["precision"] == pytest.approx(0.5)
    assert scores["recall"] == pytest.approx(0.5)
    assert scores["presence_sensitivity"] == pytest.approx(0.5)
    assert scores["presence_specificity"] == pytest.approx(0.5)
    of_pixels = {score.key for score in AVERAGED if score.column in cases or "drawn" in score.column}
    assert set(scores) == of_pixels


def test_a_data_set_without_empty_frames_has_no_specificity_and_is_still_json():
    scores = summary(pd.DataFrame([pixel_measures(SQUARE, SQUARE), pixel_measures(SQUARE, EMPTY)]))
    assert scores["presence_specificity"] is None
    assert scores["presence_sensitivity"] == pytest.approx(0.5)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_only_nan_becomes_none():
    assert none_for_nan({"a": float("nan"), "b": 0.0}) == {"a": None, "b": 0.0}
