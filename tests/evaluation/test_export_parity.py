import numpy as np
import pandas as pd
import pytest

from nerveseg.evaluation.export_parity import changes, loss_not_excluded, reported, warning_on

ALLOWED = 0.002


def frames(subjects=20, each=4):
    """The first two of a subject's frames show a nerve."""
    number = np.arange(subjects * each)
    table = pd.DataFrame({"subject": (number // each).astype(str), "has_nerve": number % each < 2})
    return table.assign(dice=np.where(table["has_nerve"], 0.8, 1.0))


def moved(mean, spread=0.0, subjects=20):
    """The changes where Dice of frames with a nerve moves by `mean`, in each subject by another amount."""
    before = frames(subjects)
    of_subject = mean + spread * np.random.default_rng(0).standard_normal(subjects)
    by = of_subject[before["subject"].astype(int)]
    return changes(before.assign(dice=before["dice"] + np.where(before["has_nerve"], by, 0.0)), before)


def test_changes_are_frame_by_frame_and_of_a_nerve_where_there_is_one():
    found = moved(0.01)
    assert found["dice"].tolist() == pytest.approx([0.01, 0.01, 0.0, 0.0] * 20)
    assert found["dice_nerve"].isna().tolist() == [False, False, True, True] * 20


@pytest.mark.parametrize(
    ("mean", "spread", "kept"),
    [(0.0, 0.0, True), (0.0, 0.001, True), (0.01, 0.01, True), (-0.0019, 0.0, True), (-0.0021, 0.0, False),
     (0.0, 0.02, False), (-0.01, 0.001, False)],
)  # fmt: skip
def test_on_val_a_loss_beyond_the_limit_must_be_ruled_out_and_a_gain_never_counts_against(mean, spread, kept):
    assert (loss_not_excluded(moved(mean, spread), 1000, 0) <= ALLOWED) is kept


@pytest.mark.parametrize("subjects", [1, 2, 4])
def test_few_subjects_of_val_rule_nothing_out(subjects):
    assert loss_not_excluded(moved(0.0, subjects=subjects), 1000, 0) == np.inf


def test_subjects_without_a_nerve_do_not_stand_for_those_with_one():
    table = moved(0.0)
    few = table.assign(dice_nerve=table["dice_nerve"].where(table["subject"].isin(["1", "2"])))
    assert loss_not_excluded(few, 1000, 0) == np.inf


def test_what_is_reported_has_its_interval_or_the_reason_why_there_is_none():
    found = reported(moved(0.01, 0.001), 1000, 0)
    assert found["dice_nerve_change_low"] < found["dice_nerve_change"] < found["dice_nerve_change_high"]
    assert found["dice_change"] == pytest.approx(found["dice_nerve_change"] / 2)
    alone = reported(moved(0.01, subjects=1), 1000, 0)
    assert (alone["dice_change_low"], alone["dice_change_no_interval"]) == (None, "one subject")


def test_without_a_nerve_in_the_test_frames_its_dice_is_left_out():
    found = reported(moved(0.01).assign(dice_nerve=np.nan), 1000, 0)
    assert not any(key.startswith("dice_nerve") for key in found)
    assert warning_on(found, ALLOWED, "int8") is None


@pytest.mark.parametrize(("mean", "spread"), [(0.0056, 0.001), (0.3, 0.1), (-0.003, 0.01), (-0.0019, 0.0)])
def test_a_gain_and_a_loss_within_chance_or_the_limit_are_no_warning(mean, spread):
    assert warning_on(reported(moved(mean, spread), 1000, 0), ALLOWED, "int8") is None


@pytest.mark.parametrize("subjects", [1, 20])
@pytest.mark.parametrize(("precision", "remedy"), [("int8", "set export.precision to float32"), ("float32", "--force")])
def test_a_loss_beyond_chance_and_the_limit_is_a_warning_that_says_what_to_do(precision, remedy, subjects):
    told = warning_on(reported(moved(-0.02, 0.001, subjects), 1000, 0), ALLOWED, precision)
    assert "loses more than export.max_difference 0.002" in told
    assert "dice_nerve changed by -0.0" in told
    assert remedy in told
    assert ("(no interval: one subject)" in told) is (subjects == 1)
