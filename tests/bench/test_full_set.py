import sys

import pytest

from paths import ROOT

sys.path.append(str(ROOT / "bench"))
from full_set import PROPORTIONAL_TO, Parts, of_a_fold, table

PARTS = Parts(
    dict.fromkeys(PROPORTIONAL_TO, 100.0), {"all": 100, "train": 70, "test": 20},
    step=0.2, exchange=0.1, gradients=12.5e6,
)  # fmt: skip
SAME = {"all": 100, "train": 70, "test": 20}


def test_a_fold_of_as_many_frames_takes_as_long_and_stages_grow_with_the_frames_they_go_through():
    assert PARTS.fold(SAME) == pytest.approx(900)
    assert PARTS.fold({"all": 200, "train": 140, "test": 40}) == pytest.approx(200 * 7 + 100 * 2)


def test_a_training_on_two_machines_takes_half_of_a_step_and_the_exchange():
    assert PARTS.fold(SAME, 2) == pytest.approx(800 + 100 * (0.1 + 0.1) / 0.2)
    assert PARTS.fold(SAME, 2, bandwidth=125e6) == pytest.approx(800 + 100 * (0.1 + 0.1 + 0.1) / 0.2)


def test_five_folds_take_turns_on_two_machines_and_run_at_once_on_eight():
    hours = table(PARTS, SAME).loc["each fold on one machine"] * 3600
    assert hours.tolist() == pytest.approx([5 * 900, 3 * 900, 900])


def test_a_fold_of_the_challenge_set_tests_a_fifth_and_validates_on_whole_subjects():
    assert of_a_fold(5000, 50, 0.1) == {"all": 5000, "train": 3500, "test": 1000}
