import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap

from nerveseg.files.atomic import read_csv, write_csv
from nerveseg.measures.cases import case_measures, summary
from nerveseg.measures.intervals import Interval, interval_table, lower_bound, subject_interval


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
    assert subject_interval(table, "dice", 20_000, seed=0)[:2] == pytest.approx(
        (expected.low, expected.high), abs=0.002
    )


def test_more_frames_of_the_same_subjects_do_not_narrow_the_interval():
    table = cases()
    tripled = pd.concat([table] * 3)
    found, expected = (subject_interval(each, "dice", 2000, seed=0) for each in (tripled, table))
    assert found[:2] == pytest.approx(expected[:2])


def test_the_same_seed_gives_the_same_interval():
    assert subject_interval(cases(), "dice", 500, 7) == subject_interval(cases(), "dice", 500, 7)
    assert subject_interval(cases(), "dice", 500, 7) != subject_interval(cases(), "dice", 500, 8)


WITHOUT = {
    "one subject": cases(subjects=1),
    "no frame counts": cases().assign(dice=np.nan),
    "equal in all subjects": cases().assign(dice=0.1),  # a sum of 0.1 is no round number
}


@pytest.mark.parametrize("reason", WITHOUT)
def test_where_subjects_say_nothing_of_others_there_is_no_interval_but_a_reason(reason):
    found = subject_interval(WITHOUT[reason], "dice", 200, 0)
    assert np.isnan(found[:2]).all()
    assert found.missing == reason
    assert found.told() == f"n/a ({reason})"


def test_one_subject_among_many_counts_alone_where_the_others_have_no_value():
    table = cases()
    alone = table.assign(dice=table["dice"].where(table["subject"] == "3"))
    assert subject_interval(alone, "dice", 200, 0).missing == "one subject"


def test_subjects_of_equal_means_have_no_interval_though_their_frames_differ():
    table = pd.DataFrame({"subject": list("aabb"), "dice": [0.4, 0.6, 0.3, 0.7]})
    assert subject_interval(table, "dice", 200, 0).missing == "equal in all subjects"


def test_two_subjects_have_an_interval_between_their_means():
    found = subject_interval(pd.DataFrame({"subject": ["a", "b"], "dice": [0.4, 0.6]}), "dice", 500, 0)
    assert found[:2] == pytest.approx((0.4, 0.6))
    assert found.told(".2f") == "0.40 to 0.60"


@pytest.mark.parametrize("interval", [Interval(0.4, 0.6), Interval(np.nan, np.nan, "one subject")])
def test_an_interval_is_read_from_json_and_from_csv_as_it_was_written(interval, tmp_path):
    named = interval.named("dice")
    in_json = json.loads(json.dumps({key: None if value != value else value for key, value in named.items()}))
    write_csv(tmp_path / "table.csv", pd.DataFrame([named, Interval(0.1, 0.2, "").named("dice")]))
    in_csv = read_csv(tmp_path / "table.csv").to_dict("records")[0]
    for read in (in_json, in_csv, {key: value for key, value in in_json.items() if value}):
        assert Interval.of(read, "dice").told() == interval.told()


def test_the_lower_bound_leaves_five_of_a_hundred_draws_below_it_and_knows_nothing_of_few_subjects():
    table = cases()
    bound = lower_bound(table, "dice", 20_000, 0, least_subjects=5)
    means = table.groupby("subject")["dice"].mean().to_numpy()
    expected = bootstrap(
        (means,), np.mean, n_resamples=20_000, method="percentile", rng=1, confidence_level=0.9
    ).confidence_interval
    assert bound == pytest.approx(expected.low, abs=0.002)
    assert lower_bound(cases(subjects=4), "dice", 200, 0, least_subjects=5) == -np.inf


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
        assert part["value"].to_dict() == pytest.approx(summary(of))
        assert part.loc["dice", "cases"] == 42
        assert part.loc[["dice_nerve", "hd95", "presence_sensitivity"], "cases"].tolist() == [28, 28, 28]
        assert part.loc["presence_specificity", "cases"] == 14
        known = part[part["no_interval"] == ""]
        assert (known["low"] <= known["value"]).all()
        assert (known["value"] <= known["high"]).all()
        assert part.loc["presence_specificity", "subjects"] == 7
    assert part.loc["hd95", "low"] < part.loc["hd95", "value"] < part.loc["hd95", "high"]
