import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg.data.degradation import DEGRADATIONS, blur, degrade, degrade_at_random, gain, shadow, speckle

FLAT = np.full((96, 128), 0.4, np.float32)
kinds = pytest.mark.parametrize("kind", list(DEGRADATIONS))


def test_speckle_has_the_spread_it_is_asked_for_on_a_log_scale():
    noisy = speckle(FLAT, 0.2, np.random.default_rng(0))
    assert np.log(noisy / FLAT).std() == pytest.approx(0.2, rel=0.05)


def test_blur_is_wider_across_the_beam_than_along_it_and_keeps_the_energy():
    point = np.zeros((65, 65), np.float32)
    point[32, 32] = 1.0
    spread = blur(point, 2.0)
    offsets = np.arange(65) - 32
    along = np.sqrt((spread.sum(1) * offsets**2).sum())
    across = np.sqrt((spread.sum(0) * offsets**2).sum())
    assert along == pytest.approx(2.0, rel=0.03)
    assert across == pytest.approx(4.0, rel=0.03)
    assert spread.sum() == pytest.approx(1.0, rel=1e-3)


def test_gain_is_clipped_to_the_range_of_the_display():
    assert gain(FLAT, 2.0).max() == pytest.approx(0.8)
    assert gain(FLAT, 5.0).max() == 1.0


def test_a_shadow_darkens_its_stripe_below_its_top_and_nothing_else():
    shaded = shadow(FLAT, centre=0.5, width=0.2, top=0.3, depth=0.8)
    assert shaded[80, 64] == pytest.approx(0.2 * 0.4, rel=0.01)
    assert shaded[5, 64] == pytest.approx(0.4, rel=0.01)
    assert shaded[80, 10] == pytest.approx(0.4, rel=0.01)


FRAME = np.random.default_rng(3).integers(30, 200, (48, 64)).astype(np.uint8)


@kinds
def test_a_higher_severity_changes_a_frame_more(kind):
    def change(severity):
        draws = [degrade(FRAME, kind, severity, np.random.default_rng(seed)) for seed in range(8)]
        return np.mean([np.abs(draw.astype(float) - FRAME).mean() for draw in draws])

    changes = [change(severity) for severity in range(6)]
    assert changes[0] == 0.0
    assert changes == sorted(changes)
    assert changes[1] > 0.5


@kinds
@given(severity=st.integers(0, 5), seed=st.integers(0, 2**31))
def test_the_same_draw_gives_the_same_frame(kind, severity, seed):
    first, second = (degrade(FRAME, kind, severity, np.random.default_rng(seed)) for _ in range(2))
    assert first.dtype == np.uint8
    assert first.shape == FRAME.shape
    assert np.array_equal(first, second)


def test_an_unknown_kind_and_an_impossible_severity_are_refused():
    with pytest.raises(ValueError, match="'fog' is not one of speckle, blur, gain, shadow"):
        degrade(FRAME, "fog", 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"severity 6 is not in 0\.\.5"):
        degrade(FRAME, "blur", 6, np.random.default_rng(0))


def test_a_batch_is_degraded_frame_by_frame_and_some_stay_clean():
    batch = np.stack([FRAME] * 60)
    poor = degrade_at_random(batch, 3, np.random.default_rng(0))
    assert poor.shape == batch.shape
    clean = sum(np.array_equal(frame, FRAME) for frame in poor)
    assert 5 < clean < 30
