"""The example of what a refiner is for: the degraded frame with the largest gain, written by one stage and read by another."""

from dataclasses import replace

import numpy as np
import pytest

from drawn_frames import simulated_frame
from nerveseg.errors import DatasetError
from nerveseg.evaluation.rescued_frame import FILE_NAME, most_helped, read_rescue, write_rescue
from nerveseg.evaluation.test_set import TestSet
from nerveseg.files.atomic import fresh_folder

PAIRS = [simulated_frame((32, 64), nerve=number > 0, seed=number) for number in range(4)]
TRUTHS = [mask for _, mask in PAIRS]
TEST = TestSet(np.stack([frame for frame, _ in PAIRS]), TRUTHS, list("abcd"), list("1122"), [None] * 4)
EMPTY = [np.zeros((32, 64), bool)] * 4
SHIFTED = [np.roll(mask, 3, 1) for mask in TRUTHS]


def helped(unet, refined, kind="blur", untuned=EMPTY):
    return most_helped(TEST, TEST.frames, kind, "control", {"unet_untuned": untuned, "unet": unet, "control": refined})


def test_the_frame_with_the_largest_gain_is_found_with_what_was_predicted_for_it():
    found = helped([SHIFTED[0], SHIFTED[1], EMPTY[2], SHIFTED[3]], TRUTHS)
    assert (found.frame, found.degradation, found.arm, found.gain) == ("c", "blur", "control", 1.0)
    assert (found.degraded == TEST.frames[2]).all()
    assert not found.unet.any()
    assert (found.refined == TRUTHS[2]).all()


def test_an_outline_that_only_a_cut_off_of_the_unet_removed_needs_no_refiner():
    assert helped(EMPTY, TRUTHS, untuned=TRUTHS) is None
    found = helped(EMPTY, TRUTHS, untuned=SHIFTED)
    assert 0 < found.gain < 1
    assert found.withheld
    assert not helped(EMPTY, TRUTHS).withheld


def test_a_false_alarm_that_a_refiner_takes_back_is_no_rescue():
    assert helped([~EMPTY[0], *TRUTHS[1:]], TRUTHS) is None


def test_a_refiner_that_helps_no_frame_has_no_example():
    assert helped(TRUTHS, SHIFTED) is None
    assert helped(SHIFTED, SHIFTED) is None


def test_of_all_degradations_the_largest_gain_is_written_and_comes_back_as_it_was(tmp_path):
    best = helped(EMPTY, TRUTHS)
    with fresh_folder(tmp_path / "degraded") as folder:
        write_rescue(folder, [helped(SHIFTED, TRUTHS, "noise"), best, None])
    again = read_rescue(tmp_path / "degraded", "control")
    assert vars(again).keys() == vars(best).keys()
    for key, value in vars(best).items():
        assert np.array_equal(getattr(again, key), value)
        assert type(getattr(again, key)) is type(value)


@pytest.mark.parametrize("arm", ["adversarial", "unet", None])
def test_an_example_of_an_arm_that_does_not_ship_is_not_shown(tmp_path, arm):
    write_rescue(tmp_path, [helped(EMPTY, TRUTHS)])
    assert read_rescue(tmp_path, arm) is None


def test_without_an_example_the_folder_says_so(tmp_path):
    write_rescue(tmp_path, [None, helped(TRUTHS, TRUTHS)])
    assert read_rescue(tmp_path, "control") is None


def test_an_example_that_is_missing_or_damaged_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(DatasetError, match="dvc repro robustness"):
        read_rescue(tmp_path / "none", "control")
    write_rescue(tmp_path, [replace(helped(EMPTY, TRUTHS), gain=0.5)])
    (tmp_path / FILE_NAME).write_bytes(b"other")
    with pytest.raises(DatasetError, match=r"rescued\.npz is damaged or was changed"):
        read_rescue(tmp_path, "control")
