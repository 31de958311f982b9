import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg.augmentation.degradations import DEGRADATIONS, SEVERITIES, degrade, degrade_at_random, degrade_each
from nerveseg.augmentation.ultrasound_effects import DISPLAY_RANGE_DB
from nerveseg.params.file import load_params
from nerveseg.params.networks import DegradationParams
from paths import ROOT

STRENGTHS = load_params(ROOT / "params.yaml").degradation
kinds = pytest.mark.parametrize("kind", DEGRADATIONS)
FLAT = np.full((48, 64), 120, np.uint8)
NOISE = np.random.default_rng(3).integers(30, 256, (48, 64)).astype(np.float32)
FRAME = np.round(cv2.GaussianBlur(NOISE, (0, 0), 1.0)).astype(np.uint8)


def strength(kind, severity):
    return getattr(STRENGTHS, kind)[severity - 1]


def test_each_kind_has_its_strengths_in_params_and_no_other():
    assert set(DegradationParams.model_fields) == set(DEGRADATIONS)


@kinds
def test_a_higher_severity_changes_a_frame_more(kind):
    def change(severity):
        poor = degrade_each(np.stack([FRAME] * 16), kind, severity, STRENGTHS, np.random.default_rng(0))
        return np.abs(poor.astype(float) - FRAME).mean()

    changes = [change(severity) for severity in (0, *SEVERITIES)]
    assert changes[0] == 0.0
    assert changes == sorted(changes)
    assert len(set(changes)) == len(changes)
    assert changes[1] > 0.5


@kinds
@given(severity=st.integers(0, 5), seed=st.integers(0, 2**31))
def test_the_same_draw_gives_the_same_frame_and_leaves_the_first_alone(kind, severity, seed):
    before = FRAME.copy()
    first, second = (degrade(FRAME, kind, severity, STRENGTHS, np.random.default_rng(seed)) for _ in range(2))
    assert first.dtype == np.uint8
    assert first.shape == FRAME.shape
    assert np.array_equal(first, second)
    assert np.array_equal(FRAME, before)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gain_moves_grey_by_its_decibels_and_clips(severity):
    def shift(kind):
        return 255.0 * strength(kind, severity) / DISPLAY_RANGE_DB

    rng = np.random.default_rng(0)
    assert degrade(FLAT, "low_gain", severity, STRENGTHS, rng) == pytest.approx(
        max(120 - shift("low_gain"), 0.0), abs=1.0
    )
    assert degrade(FLAT, "over_gain", severity, STRENGTHS, rng) == pytest.approx(
        min(120 + shift("over_gain"), 255.0), abs=1.0
    )


def test_down_sampling_leaves_a_flat_frame_and_takes_a_chequerboard_away():
    rows, columns = np.indices(FLAT.shape)
    board = (255 * ((rows + columns) % 2)).astype(np.uint8)
    rng = np.random.default_rng(0)
    assert np.array_equal(degrade(FLAT, "downsampling", 4, STRENGTHS, rng), FLAT)
    assert degrade(board, "downsampling", 4, STRENGTHS, rng).std() < 0.1 * board.std()


def test_jpeg_is_what_a_jpeg_file_of_quality_10_shows_and_then_that_of_a_smaller_frame(tmp_path):
    path = tmp_path / "frame.jpg"
    cv2.imwrite(str(path), FRAME, [cv2.IMWRITE_JPEG_QUALITY, 10])
    strengths = STRENGTHS.model_copy(update={"jpeg": (1.0, *STRENGTHS.jpeg[1:])})
    at_one, at_five = (degrade(FRAME, "jpeg", severity, strengths, np.random.default_rng(0)) for severity in (1, 5))
    assert np.array_equal(at_one, cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    assert at_five.shape == FRAME.shape
    assert np.abs(np.diff(at_five.astype(float))).mean() < 0.7 * np.abs(np.diff(at_one.astype(float))).mean()


def test_a_shadow_darkens_a_stripe_down_to_the_last_row_and_nothing_else():
    poor = degrade(FLAT, "shadow", 3, STRENGTHS, np.random.default_rng(0)).astype(float)
    below = poor[-1] / 120.0
    assert below.min() < 0.1
    assert 0.1 < (below < 0.5).mean() < 0.35
    assert (poor[0] >= poor[-1]).all()
    assert (poor <= 120.0).all()


def test_an_unknown_kind_and_an_impossible_severity_are_refused():
    with pytest.raises(ValueError, match="'fog' is not one of speckle, noise, blur, low_gain"):
        degrade(FRAME, "fog", 1, STRENGTHS, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"severity 6 is not in 0\.\.5"):
        degrade(FRAME, "blur", 6, STRENGTHS, np.random.default_rng(0))


def test_a_batch_is_degraded_frame_by_frame_at_the_severities_that_are_named():
    batch = np.stack([FRAME] * 200)
    some, severities = degrade_at_random(batch, (0, 3), STRENGTHS, np.random.default_rng(0))
    assert some.shape == batch.shape
    assert 70 < sum(severities == 0) < 130
    assert set(severities.tolist()) == {0, 3}
    assert [np.array_equal(frame, FRAME) for frame in some] == (severities == 0).tolist()
    assert len({frame.tobytes() for frame in some}) > 30, "each frame has draws of its own"
