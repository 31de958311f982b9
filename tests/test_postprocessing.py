import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label

from nerveseg.evaluation.metrics import count
from nerveseg.evaluation.postprocessing import Cutoffs, Estimate, remove_small_regions, search_cutoffs
from nerveseg.params import PostprocessParams


def params(thresholds=(0.3, 0.5, 0.7), min_areas=(0.0, 0.02), presences=(0.0,), score="challenge"):
    return PostprocessParams(thresholds=thresholds, min_areas=min_areas, presences=presences, score=score, flip=False)


@given(arrays(np.bool_, st.tuples(st.integers(1, 15), st.integers(1, 15))), st.integers(0, 10))
def test_what_is_left_are_the_regions_that_scipy_finds_large_enough(mask, least):
    labels, number = label(mask, structure=np.ones((3, 3)))
    large = [region for region in range(1, number + 1) if (labels == region).sum() >= least]
    assert np.array_equal(remove_small_regions(mask, least), np.isin(labels, large) & mask)


def test_a_mask_is_cut_at_its_threshold_inclusive():
    probability = np.array([[0.4, 0.5, 0.6]], np.float32)
    assert Cutoffs(0.5).mask(Estimate(probability, 1.0)).tolist() == [[False, True, True]]


def test_the_smallest_area_is_a_share_of_the_frame():
    probability = np.zeros((100, 100), np.float32)
    probability[10:20, 10:20] = 0.9
    assert Cutoffs(0.5, 0.01).mask(Estimate(probability, 1.0)).sum() == 100
    assert Cutoffs(0.5, 0.0101).mask(Estimate(probability, 1.0)).sum() == 0


def test_below_the_presence_cut_off_there_is_no_mask():
    probability = np.full((10, 10), 0.9, np.float32)
    cutoffs = Cutoffs(0.5, 0.0, 0.4)
    assert cutoffs.mask(Estimate(probability, 0.4)).all()
    assert not cutoffs.mask(Estimate(probability, 0.39)).any()


def case(level, noise=False, presence=1.0):
    truth = np.zeros((100, 100), bool)
    probability = np.zeros((100, 100), np.float32)
    if level:
        truth[20:60, 20:60] = True
        probability[15:65, 15:65] = 0.45
        probability[truth] = level
    if noise:
        probability[80:85, 80:85] = 0.9
    return Estimate(probability, presence), truth


def test_the_search_finds_the_threshold_that_separates_and_removes_the_specks():
    maps, truths = zip(case(0.6), case(0.6, noise=True), case(0.0, noise=True), strict=True)
    assert search_cutoffs(maps, truths, params()) == (Cutoffs(0.5, 0.02), 1.0)


def test_a_search_for_frames_with_a_nerve_ignores_the_others():
    maps, truths = zip(case(0.6), case(0.0, noise=True), strict=True)
    assert search_cutoffs(maps, truths, params(score="dice_nerve")) == (Cutoffs(0.5, 0.0), 1.0)


def test_of_equal_pairs_the_first_is_taken():
    maps, truths = zip(case(0.9), strict=True)
    assert search_cutoffs(maps, truths, params(thresholds=(0.5, 0.6, 0.7)))[0].threshold == pytest.approx(0.5)


def test_the_search_finds_the_presence_that_tells_frames_without_a_nerve():
    maps, truths = zip(case(0.9, presence=0.7), case(0.0, noise=True, presence=0.4), strict=True)
    tried = params(min_areas=(0.0,), presences=(0.0, 0.3, 0.5, 0.8))
    assert search_cutoffs(maps, truths, tried) == (Cutoffs(0.5, 0.0, 0.5), 1.0)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.4, 0.6, 0.9]), st.booleans(), st.floats(0, 1)), min_size=1, max_size=5)
)
def test_the_search_scores_as_the_cut_offs_that_it_finds_do(drawn):
    estimates, truths = zip(*(case(*values) for values in drawn), strict=True)
    cutoffs, score = search_cutoffs(estimates, truths, params(presences=(0.0, 0.5)))
    dices = [count(truth, cutoffs.mask(estimate)).dice for estimate, truth in zip(estimates, truths, strict=True)]
    assert score == pytest.approx(np.mean(dices))
