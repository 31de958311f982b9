import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap

from nerveseg.evaluation.cases import case_measures, summary
from nerveseg.evaluation.intervals import interval_table, subject_interval


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
    assert subject_interval(cases(), "dice", 500, 7) == subject_interval(cases(), "dice", 500, 7)
    assert subject_interval(cases(), "dice", 500, 7) != subject_interval(cases(), "dice", 500, 8)


def test_one_subject_has_an_interval_of_no_width_and_no_case_has_none():
    low, high = subject_interval(cases(subjects=1), "dice", 200, 0)
    assert low == high
    assert np.isnan(subject_interval(cases().assign(dice=np.nan), "dice", 200, 0)).all()


def test_every_score_of_every_model_has_its_mean_its_cases_and_bounds_around_it():
    rng, size = np.random.default_rng(0), (24, 32)
    rows = [
        {
            "model": model,
            "subject": str(n % 7),
            **case_measures(*(rng.random(size) < (0.3 * (n % 3 > 0)) for _ in "ab")),
        }
        for model in ("unet", "baseline_empty")
        for n in range(42)
    ]
    table = pd.DataFrame(rows)
    found = interval_table(table, 300, 0)
    for model, of in table.groupby("model"):
        part = found[found["model"] == model].set_index("score")
        assert part["mean"].to_dict() == pytest.approx(summary(of))
        assert part.loc["dice", "cases"] == 42
        assert part.loc[["dice_nerve", "hd95", "presence_sensitivity"], "cases"].tolist() == [28, 28, 28]
        assert part.loc["presence_specificity", "cases"] == 14
        assert (part["low"] <= part["mean"]).all()
        assert (part["mean"] <= part["high"]).all()
    assert part.loc["hd95", "low"] < part.loc["hd95", "mean"] < part.loc["hd95", "high"]
