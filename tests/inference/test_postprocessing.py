import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter, label
from scipy.special import expit

from nerveseg.inference.cutoff_search import search_cutoffs
from nerveseg.inference.postprocessing import Cutoffs, Estimate, confidence, remove_small_regions
from nerveseg.measures.overlap import count
from nerveseg.params.networks import PostprocessParams


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


@given(arrays(np.float32, st.integers(1, 40), elements=st.integers(0, 63).map(lambda level: (level + 0.5) / 64)))
def test_no_mask_has_a_higher_expected_dice_than_that_of_the_expected_threshold(probability):
    def expected(mask):
        return 2 * probability[mask].sum(dtype=np.float64) / (mask.sum() + probability.sum(dtype=np.float64))

    surest_first = np.argsort(-probability, kind="stable")
    sizes = [np.isin(np.arange(len(probability)), surest_first[:size]) for size in range(1, len(probability) + 1)]
    chosen = Cutoffs("expected").mask(Estimate(probability[np.newaxis], 1.0))[0]
    assert expected(chosen) == pytest.approx(max(map(expected, sizes)), abs=1e-6)


def test_the_expected_threshold_of_a_frame_of_noughts_or_ones_takes_what_there_is():
    assert not Cutoffs("expected").mask(Estimate(np.zeros((4, 4), np.float32), 1.0)).any()
    sure = np.zeros((4, 4), np.float32)
    sure[1] = 1.0
    assert np.array_equal(Cutoffs("expected").mask(Estimate(sure, 1.0)), sure == 1.0)


def test_a_frame_that_is_below_the_first_level_everywhere_has_no_expected_mask_and_a_lost_pixel_none_either():
    faint = np.random.default_rng(0).uniform(0, 9e-4, (20, 20)).astype(np.float32)
    assert not Cutoffs("expected").mask(Estimate(faint, 1.0)).any()
    faint[3, 3], faint[5:9, 5:9] = np.nan, 0.9
    assert Cutoffs("expected").mask(Estimate(faint, 1.0)).sum() == 16


def test_a_faint_nerve_is_outlined_where_a_fixed_threshold_finds_nothing():
    truth = case(0.6)[1]
    faint = Estimate(np.where(truth, 0.3, 0.02).astype(np.float32), 1.0)
    assert count(truth, Cutoffs("expected").mask(faint)).dice == 1.0
    assert not Cutoffs(0.5).mask(faint).any()
    tried = params(thresholds=(0.5, "expected"), min_areas=(0.0,))
    assert search_cutoffs([faint], [truth], tried) == (Cutoffs("expected"), 1.0)


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


def test_of_equal_thresholds_the_first_is_taken():
    for cases in ([case(0.9)], [case(0.9), case(0.0)]):
        maps, truths = zip(*cases, strict=True)
        assert search_cutoffs(maps, truths, params(thresholds=(0.5, 0.6, 0.7)))[0].threshold == pytest.approx(0.5)


def test_of_equal_areas_and_presences_those_in_the_middle_are_taken_if_a_frame_without_a_nerve_counts():
    maps, truths = zip(case(0.9, presence=0.9), case(0.0, noise=True, presence=0.15), strict=True)
    tried = {"min_areas": (0.0, 0.001, 0.01, 0.02, 0.03), "presences": tuple(n / 10 for n in range(10))}
    # The speck has 0.0025 of the frame: an area of 0.01 or more removes it, or a presence of 0.2 or more.
    assert search_cutoffs(maps, truths, params(**tried)) == (Cutoffs(0.5, 0.01, 0.5), 1.0)
    assert search_cutoffs(maps, truths, params(**tried, score="dice_nerve")) == (Cutoffs(0.5, 0.0, 0.0), 1.0)
    assert search_cutoffs(maps[:1], truths[:1], params(**tried)) == (Cutoffs(0.5, 0.0, 0.0), 1.0)


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


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_confidence_is_the_mean_dice_over_annotations_drawn_from_the_probabilities(seed):
    rng = np.random.default_rng(seed)
    probability = gaussian_filter(rng.normal(size=(40, 50)), 5)
    probability = expit(40.0 * (probability / np.abs(probability).max()) - 20.0).astype(np.float32)
    mask = probability >= rng.uniform(0.2, 0.8)
    assume(np.count_nonzero(mask) >= 5)  # the mean of a ratio is not the ratio of the means, by 0.04 in three pixels
    drawn = rng.random((400, *probability.shape)) < probability
    dices = [count(truth, mask).dice for truth in drawn]
    assert confidence(Estimate(probability, 1.0), mask) == pytest.approx(np.mean(dices), abs=0.03)
    assert confidence(Estimate(probability, 0.5), mask) == pytest.approx(np.mean(dices) / 2, abs=0.03)


def test_an_empty_mask_is_trusted_as_far_as_a_nerve_is_unlikely():
    nothing = Estimate(np.full((4, 5), 0.1, np.float32), 0.2)
    assert confidence(nothing, np.zeros((4, 5), bool)) == pytest.approx(0.8)
