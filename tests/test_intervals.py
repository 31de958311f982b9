import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap

from nerveseg.evaluation.intervals import intervals, subject_interval


def cases(subjects=30, frames=5, seed=0):
    rng = np.random.default_rng(seed)
    means = rng.normal(0.7, 0.1, subjects)
    return pd.DataFrame(
        {"subject": str(subject), "has_nerve": frame % 2 == 0, "dice": means[subject] + rng.normal(0, 0.01)}
        for subject in range(subjects)
        for frame in range(frames)
    )


def test_the_interval_is_that_of_scipy_over_subject_means():
    table = cases()
    means = table.groupby("subject")["dice"].mean().to_numpy()
    expected = bootstrap((means,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert subject_interval(table, "dice", 20_000, seed=0) == pytest.approx((expected.low, expected.high), abs=0.002)


def test_more_frames_of_the_same_subjects_do_not_narrow_the_interval():
    table = cases()
    tripled = pd.concat([table] * 3)
    assert subject_interval(tripled, "dice", 2000, seed=0) == pytest.approx(
        subject_interval(table, "dice", 2000, seed=0)
    )


def test_the_same_seed_gives_the_same_interval():
    assert intervals(cases(), 500, 7) == intervals(cases(), 500, 7)
    assert intervals(cases(), 500, 7) != intervals(cases(), 500, 8)


def test_one_subject_has_an_interval_of_no_width_and_no_case_has_none():
    low, high = subject_interval(cases(subjects=1), "dice", 200, 0)
    assert low == high
    empty = cases().assign(has_nerve=False)
    assert intervals(empty, 200, 0)["dice_nerve_low"] is None
