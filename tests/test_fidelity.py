import pytest

from nerveseg.errors import ModelError
from nerveseg.evaluation.fidelity import changes, check_changes

TRAINED = {"dice": 0.9, "dice_nerve": 0.8, "iou": 0.7}


def test_changes_are_told_with_their_sign_and_of_dice_alone():
    found = changes({"dice": 0.901, "dice_nerve": 0.795, "iou": 0.1}, TRAINED)
    assert found == pytest.approx({"dice_change": 0.001, "dice_nerve_change": -0.005})


def test_without_a_nerve_in_the_test_frames_its_dice_is_left_out():
    assert set(changes({"dice": 0.9, "dice_nerve": None}, TRAINED | {"dice_nerve": None})) == {"dice_change"}


@pytest.mark.parametrize("change", [0.0021, -0.0021])
def test_more_than_is_allowed_is_an_error_in_either_direction_and_says_what_to_do(change):
    with pytest.raises(ModelError, match=r"dice_nerve_change [+-]0\.0021.*export\.precision to float32") as error:
        check_changes({"dice_change": 0.0001, "dice_nerve_change": change}, 0.002)
    assert "dice_change" not in str(error.value)


def test_up_to_what_is_allowed_is_none():
    check_changes({"dice_change": 0.0019, "dice_nerve_change": -0.0019}, 0.002)
