import numpy as np
import pandas as pd
import pytest

from nerveseg.evaluation.baselines import EMPTY as NOTHING
from nerveseg.evaluation.baselines import MEAN_MASK, baseline_masks, mean_mask
from nerveseg.measures.cases import pixel_measures, summary

EMPTY = np.zeros((24, 32), bool)
NERVE = EMPTY.copy()
NERVE[8:16, 10:20] = True
ANY = np.ones((24, 32), np.float32)


def scores(name, average, truths):
    masks = baseline_masks(average, truths)[name]
    return summary(pd.DataFrame([pixel_measures(*pair) for pair in zip(truths, masks, strict=True)]))


def test_an_empty_mask_scores_the_share_of_frames_without_a_nerve():
    found = scores(NOTHING, ANY, [EMPTY, EMPTY, EMPTY, NERVE])
    assert found["dice"] == pytest.approx(0.75)
    assert found["dice_nerve"] == 0.0
    assert found["presence_specificity"] == 1.0


def test_the_mean_mask_of_equal_masks_is_that_mask_and_scores_one():
    average = mean_mask([NERVE.astype(np.uint8) * 255] * 3 + [EMPTY.astype(np.uint8)])
    assert average.max() == 1.0
    assert scores(MEAN_MASK, average, [NERVE])["dice_nerve"] == pytest.approx(1.0)


def test_the_mean_mask_is_laid_over_frames_of_any_size():
    average = mean_mask([NERVE.astype(np.uint8) * 255])
    large = np.kron(NERVE, np.ones((4, 4), bool))
    assert scores(MEAN_MASK, average, [large])["dice_nerve"] > 0.95


def test_the_threshold_is_the_one_that_suits_the_frames_best():
    ramp = np.linspace(0, 1, 24 * 32, dtype=np.float32).reshape(24, 32)
    assert scores(MEAN_MASK, ramp, [ramp >= 0.7])["dice_nerve"] == pytest.approx(1.0, abs=1e-3)


def test_a_mean_mask_is_wrong_on_every_frame_without_a_nerve():
    average = mean_mask([NERVE.astype(np.uint8) * 255])
    assert scores(MEAN_MASK, average, [NERVE, EMPTY])["presence_specificity"] == 0.0
