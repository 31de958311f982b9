import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score

from nerveseg.measures.overlap import count

EMPTY = np.zeros((10, 10), bool)
SQUARE = EMPTY.copy()
SQUARE[2:6, 2:6] = True
shape = st.shared(st.tuples(st.integers(1, 12), st.integers(1, 12)), key="shape")
masks = arrays(np.bool_, shape)


def test_half_overlapping_squares_have_the_scores_that_one_can_count():
    shifted = np.roll(SQUARE, 2, axis=1)
    counts = count(SQUARE, shifted)
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (8, 8, 8, 76)
    assert counts.dice == pytest.approx(0.5)
    assert counts.iou == pytest.approx(1 / 3)


@given(truth=masks, predicted=masks)
def test_the_measures_agree_with_scikit_learn(truth, predicted):
    counts = count(truth, predicted)
    flat = truth.ravel(), predicted.ravel()
    assert counts.dice == pytest.approx(f1_score(*flat, zero_division=1.0))
    assert counts.iou == pytest.approx(
        jaccard_score(*flat, zero_division=1.0) if flat[0].any() | flat[1].any() else 1.0
    )
    assert counts.binary_accuracy == pytest.approx(accuracy_score(*flat))
    assert counts.precision == pytest.approx(precision_score(*flat, zero_division=np.nan), nan_ok=True)
    assert counts.recall == pytest.approx(recall_score(*flat, zero_division=np.nan), nan_ok=True)
    assert counts.specificity == pytest.approx(recall_score(*flat, pos_label=False, zero_division=np.nan), nan_ok=True)


def test_empty_against_empty_is_perfect_and_empty_against_a_nerve_is_nothing():
    assert (count(EMPTY, EMPTY).dice, count(EMPTY, EMPTY).iou) == (1.0, 1.0)
    assert (count(SQUARE, EMPTY).dice, count(EMPTY, SQUARE).dice) == (0.0, 0.0)
    assert np.isnan(count(SQUARE, EMPTY).precision)
    assert np.isnan(count(EMPTY, SQUARE).recall)


def test_masks_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"truth is \(10, 10\) and the prediction \(10, 9\)"):
        count(SQUARE, SQUARE[:, :9])
