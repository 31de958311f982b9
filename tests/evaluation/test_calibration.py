import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve

from nerveseg.evaluation.calibration import BINS, calibration_errors, reliability_table
from nerveseg.inference.postprocessing import Estimate

RNG = np.random.default_rng(0)


def drawn(turn=lambda probability: probability, frames=6, shape=(80, 90)):
    """Frames whose pixels are nerve as often as `turn` of their probability says."""
    probabilities = RNG.uniform(0.0, 1.0, (frames, *shape)).astype(np.float32)
    truths = RNG.random(probabilities.shape) < turn(probabilities)
    return [Estimate(each, 0.5) for each in probabilities], list(truths)


def test_the_curve_is_that_of_scikit_learn():
    estimates, truths = drawn(np.square)
    table = reliability_table("unet", estimates, truths)
    said = np.concatenate([each.probability.ravel() for each in estimates])
    nerve, probability = calibration_curve(np.concatenate([truth.ravel() for truth in truths]), said, n_bins=BINS)
    assert table["nerve"].to_numpy() == pytest.approx(nerve, abs=1e-3)
    assert table["probability"].to_numpy() == pytest.approx(probability, abs=1e-3)
    assert table["pixels"].sum() == said.size


def test_an_honest_probability_has_nearly_no_error_and_a_shifted_one_has_its_shift():
    assert calibration_errors(reliability_table("unet", *drawn()))["ece"] == pytest.approx(0.0, abs=0.02)
    halved = calibration_errors(reliability_table("unet", *drawn(lambda probability: probability / 2)))
    assert halved["ece"] == pytest.approx(0.25, abs=0.02)


def test_pixels_far_from_any_nerve_do_not_hide_the_error_of_the_doubtful_ones():
    estimates, truths = drawn(lambda probability: probability / 2)
    background = [Estimate(np.zeros((800, 900), np.float32), 0.5)]
    errors = calibration_errors(
        reliability_table("unet", estimates + background, [*truths, np.zeros((800, 900), bool)])
    )
    assert errors["ece"] < 0.03
    assert errors["ece_doubtful"] == pytest.approx(0.26, abs=0.02)


def test_a_probability_of_one_falls_into_the_last_bin_and_bins_without_pixels_are_left_out():
    table = reliability_table("gan", [Estimate(np.ones((2, 2), np.float32), 1.0)], [np.ones((2, 2), bool)])
    assert table.to_dict("records") == [
        {"model": "gan", "low": 0.95, "high": 1.0, "pixels": 4, "probability": 1.0, "nerve": 1.0}
    ]
    assert calibration_errors(table) == {"ece": 0.0, "ece_doubtful": 0.0}


def test_where_nothing_is_doubtful_there_is_no_error_of_the_doubtful():
    nothing = reliability_table("unet", [Estimate(np.zeros((2, 2), np.float32), 0.0)], [np.zeros((2, 2), bool)])
    assert calibration_errors(nothing)["ece_doubtful"] is None
    assert calibration_errors(pd.DataFrame(columns=nothing.columns)) == {"ece": None, "ece_doubtful": None}
