"""`bench/failing_subjects.py` on drawn ellipses, whose traits are known."""

import cv2
import numpy as np
import pytest

from nerveseg.dataset.records import Record
from paths import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def failing():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        import failing_subjects

        yield failing_subjects


def ellipse(subject="1", number=0, centre=(60, 40), axes=(30, 10), angle=90.0, seed=0):
    """Return the record of a bright ellipse; `angle` turns its long axis from the row, clockwise."""
    truth = np.zeros((96, 128), np.uint8)
    cv2.ellipse(truth, centre, axes, angle, 0, 360, 1, -1)
    frame = np.random.default_rng(seed).integers(40, 80, truth.shape, np.uint8) + 100 * truth
    return Record(f"{subject}_{number}", subject, frame, 255 * truth, truth.astype(bool))


def predicted(failing, record, moved=0):
    return failing.Prediction(record, np.roll(record.annotated, moved, axis=1).astype(np.float32))


def test_the_traits_of_an_ellipse_are_those_it_was_drawn_with(failing):
    found = failing.traits(ellipse(angle=60.0))
    assert found["area"] == pytest.approx(np.pi * 30 * 10 / (96 * 128), rel=0.08)  # OpenCV draws half a pixel more
    assert (found["depth"], found["across"]) == pytest.approx((40 / 96, 60 / 128), abs=0.01)
    assert found["elongation"] == pytest.approx(3.0, rel=0.05)
    assert found["tilt"] == pytest.approx(30.0, abs=2.0)
    assert found["contrast"] == pytest.approx(100.0, abs=8.0)


def test_an_annotator_is_as_sure_as_the_outlines_of_nearly_equal_frames_agree(failing):
    same = [ellipse(number=number) for number in range(3)]
    apart = [ellipse("2", 0), ellipse("2", 1, centre=(66, 40)), ellipse("2", 2, seed=1, centre=(20, 60))]
    apart = [
        Record(each.name, "2", apart[0].frame if n < 2 else each.frame, each.mask, each.truth)
        for n, each in enumerate(apart)
    ]
    frames = failing.by_frame([predicted(failing, each) for each in (*same, *apart)])
    assert frames["alike"].tolist() == [2, 2, 2, 1, 1, 0]
    expected = 2 * (apart[0].annotated & apart[1].annotated).sum() / (2 * apart[0].annotated.sum())
    assert frames["annotator"].tolist() == pytest.approx([1.0] * 3 + [expected] * 2 + [np.nan], abs=0.02, nan_ok=True)


def test_the_subject_that_is_missed_comes_first_and_is_drawn(failing):
    good = [predicted(failing, ellipse("1", number)) for number in range(2)]
    poor = [predicted(failing, ellipse("2", number, axes=(36, 12), angle=20.0), moved=25) for number in range(2)]
    found = failing.tables(failing.by_frame([*good, *poor]))
    assert found["subjects, worst first"].index.tolist() == ["2", "1"]
    assert found["with Dice"].loc["tilt", "rank correlation"] == pytest.approx(-1.0)
    drawn = failing.picture(poor, ["2"])
    assert drawn.shape == (96 * 3, 128 * 3 * 5, 3)
    first = drawn[:, : 128 * 3]
    assert all((first == colour).all(axis=2).any() for colour in (failing.YELLOW, failing.BLUE))
