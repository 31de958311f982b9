from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT
from nerveseg.data.augmentation import Draw, variant
from nerveseg.params import load_params

PARAMS = load_params(ROOT / "params.yaml").augment
STILL = Draw(
    flip=False, rotation=0.0, scale=1.0, shift=(0.0, 0.0), gain=1.0, gamma=1.0, speckle=0.0, shadow=None, blur=0.0,
    noise_seed=0,
)  # fmt: skip
RNG = np.random.default_rng(0)
FRAME = cv2.GaussianBlur(RNG.integers(0, 256, (96, 128)).astype(np.uint8), (0, 0), 2)
DISC = cv2.circle(np.zeros((96, 128), np.uint8), (50, 40), 12, 255, -1)


def centroid(mask):
    y, x = np.nonzero(mask > 127)
    return x.mean(), y.mean()


def test_a_draw_that_changes_nothing_leaves_frame_and_mask_as_they_are():
    frame, mask = STILL.apply(FRAME, DISC)
    assert np.array_equal(frame, FRAME)
    assert np.array_equal(mask, DISC)


def test_a_flip_mirrors_frame_and_mask_left_to_right():
    frame, mask = replace(STILL, flip=True).apply(FRAME, DISC)
    assert np.array_equal(frame, FRAME[:, ::-1])
    assert np.array_equal(mask, DISC[:, ::-1])


def test_a_shift_moves_by_a_share_of_the_frame():
    _, mask = replace(STILL, shift=(0.125, -0.125)).apply(FRAME, DISC)
    assert centroid(mask) == pytest.approx((50 + 16, 40 - 12), abs=0.1)


def test_a_scale_changes_the_area_by_its_square():
    _, mask = replace(STILL, scale=1.2).apply(FRAME, DISC)
    assert (mask > 127).sum() == pytest.approx(1.44 * (DISC > 127).sum(), rel=0.03)


@given(seed=st.integers(0, 2**31 - 1))
def test_frame_and_mask_move_together(seed):
    """The frame is the mask itself: after any geometry both must still agree."""
    draw = replace(
        Draw.sample(PARAMS, np.random.default_rng(seed)), gain=1.0, gamma=1.0, speckle=0.0, shadow=None, blur=0.0
    )
    frame, mask = draw.apply(DISC, DISC)
    assert np.array_equal(frame, mask)


def test_intensity_never_touches_the_mask():
    draw = replace(STILL, gain=1.2, gamma=0.7, speckle=0.3, shadow=(0.5, 0.2, 0.1, 0.8), blur=1.0)
    frame, mask = draw.apply(FRAME, DISC)
    assert np.array_equal(mask, DISC)
    assert not np.array_equal(frame, FRAME)


@given(seed=st.integers(0, 2**31 - 1))
def test_draws_stay_in_the_ranges_of_the_params(seed):
    draw = Draw.sample(PARAMS, np.random.default_rng(seed))
    assert abs(draw.rotation) <= PARAMS.rotation
    assert abs(draw.scale - 1) <= PARAMS.scale
    assert max(map(abs, draw.shift)) <= PARAMS.shift
    assert abs(draw.gain - 1) <= PARAMS.gain
    assert abs(np.log(draw.gamma)) <= PARAMS.gamma + 1e-9
    assert 0 <= draw.speckle <= PARAMS.speckle


def test_a_seed_names_its_variant():
    first = variant(FRAME, DISC, PARAMS, (1, 2, 3))
    assert all(np.array_equal(a, b) for a, b in zip(first, variant(FRAME, DISC, PARAMS, (1, 2, 3)), strict=True))
    assert not np.array_equal(first[0], variant(FRAME, DISC, PARAMS, (1, 2, 4))[0])
