import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg.data.degradation import DEGRADATIONS, degrade, degrade_at_random, grey_noise

FLAT = np.full((96, 128), 0.4, np.float32)
kinds = pytest.mark.parametrize("kind", list(DEGRADATIONS))


def test_grey_noise_has_the_spread_it_is_asked_for_on_a_log_scale():
    noisy = grey_noise(FLAT, 0.2, np.random.default_rng(0))
    assert np.log(noisy / FLAT).std() == pytest.approx(0.2, rel=0.05)


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
