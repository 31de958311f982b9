from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from nerveseg.augmentation.ultrasound_effects import gain_curve
from nerveseg.augmentation.variants import Draw, variant
from nerveseg.params.file import load_params
from paths import ROOT

PARAMS = load_params(ROOT / "params.yaml").augment
STILL = Draw(
    flip=False, rotation=0.0, scale=1.0, shift=(0.0, 0.0), gain=1.0, gamma=1.0, speckle=0.0, time_gain=(0.0,) * 3,
    lateral_gain=(0.0,) * 3, reverberation=None, shadow=None, blur=None, defocus=None, noise_seed=0,
)  # fmt: skip
INTENSITY = {
    "gain": 1.2, "gamma": 0.7, "speckle": 4.0, "time_gain": (3.0, -2.0, 1.0), "lateral_gain": (-3.0, 2.0, 1.0),
    "reverberation": (0.15, 4.0), "shadow": (0.5, 0.2, 0.1, 0.8), "blur": (1.0,), "defocus": (0.3, 0.04),
}  # fmt: skip
EVERYTHING = PARAMS.model_copy(
    update={"speckle": 5.57, "time_gain": 6.0, "lateral_gain": 3.0, "flip": 0.5}
    | dict.fromkeys(("reverberation", "shadow", "blur", "defocus"), 1.0)
)
NOTHING = PARAMS.model_copy(update=dict.fromkeys(set(type(PARAMS).model_fields) - {"variants"}, 0.0))
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
    sampled = Draw.sample(EVERYTHING, np.random.default_rng(seed))
    draw = replace(sampled, **{name: getattr(STILL, name) for name in INTENSITY})
    frame, mask = draw.apply(DISC, DISC)
    assert np.array_equal(frame, mask)


@pytest.mark.parametrize("name", INTENSITY)
def test_intensity_changes_the_frame_and_never_touches_the_mask(name):
    frame, mask = replace(STILL, **{name: INTENSITY[name]}).apply(FRAME, DISC)
    assert np.array_equal(mask, DISC)
    assert not np.array_equal(frame, FRAME)


def test_every_random_parameter_of_a_draw_is_geometry_or_intensity():
    geometry = {"flip", "rotation", "scale", "shift", "noise_seed"}
    assert {field.name for field in fields(Draw)} == geometry | set(INTENSITY)


@given(seed=st.integers(0, 2**31 - 1))
def test_intensity_of_any_draw_leaves_the_mask_where_geometry_put_it(seed):
    draw = Draw.sample(EVERYTHING, np.random.default_rng(seed))
    moved = replace(draw, **{name: getattr(STILL, name) for name in INTENSITY})
    assert np.array_equal(draw.apply(FRAME, DISC)[1], moved.apply(FRAME, DISC)[1])


@given(seed=st.integers(0, 2**31 - 1))
def test_draws_stay_in_the_ranges_of_the_params(seed):
    draw = Draw.sample(EVERYTHING, np.random.default_rng(seed))
    assert abs(draw.rotation) <= EVERYTHING.rotation
    assert abs(draw.scale - 1) <= EVERYTHING.scale
    assert max(map(abs, draw.shift)) <= EVERYTHING.shift
    assert abs(draw.gain - 1) <= EVERYTHING.gain
    assert abs(np.log(draw.gamma)) <= EVERYTHING.gamma + 1e-9
    assert 0 <= draw.speckle <= EVERYTHING.speckle
    assert 0 < np.abs(gain_curve(96, draw.time_gain)).max() <= EVERYTHING.time_gain
    assert 0 < np.abs(gain_curve(128, draw.lateral_gain)).max() <= EVERYTHING.lateral_gain
    assert None not in {draw.reverberation, draw.shadow, draw.blur, draw.defocus}


@given(seed=st.integers(0, 2**31 - 1))
def test_with_every_knob_at_zero_a_variant_is_the_frame_itself(seed):
    frame, mask = variant(FRAME, DISC, NOTHING, (seed,))
    assert np.array_equal(frame, FRAME)
    assert np.array_equal(mask, DISC)


@pytest.mark.parametrize("knob", sorted(set(type(PARAMS).model_fields) - {"variants"}))
def test_a_knob_changes_its_own_effect_and_no_other(knob):
    off = Draw.sample(EVERYTHING.model_copy(update={knob: 0.0}), np.random.default_rng(5))
    on = Draw.sample(EVERYTHING, np.random.default_rng(5))
    assert {field.name for field in fields(Draw) if getattr(on, field.name) != getattr(off, field.name)} <= {knob}
    draws = [Draw.sample(EVERYTHING, np.random.default_rng(seed)) for seed in range(20)]
    assert len({getattr(draw, knob) for draw in draws}) > 1


@given(
    shape=array_shapes(min_dims=2, max_dims=2, min_side=32, max_side=160),
    seed=st.integers(0, 2**31 - 1),
)
def test_a_variant_of_any_size_has_the_shape_and_type_of_its_frame(shape, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    frame, mask = variant(pixels, (pixels > 200).astype(np.uint8) * 255, EVERYTHING, (seed,))
    assert frame.shape == mask.shape == shape
    assert frame.dtype == mask.dtype == np.uint8


@pytest.mark.parametrize("params", [PARAMS, EVERYTHING], ids=["params", "everything"])
def test_a_seed_names_its_variant_to_the_bit(params):
    first = variant(FRAME, DISC, params, (1, 2, 3))
    assert all(np.array_equal(a, b) for a, b in zip(first, variant(FRAME, DISC, params, (1, 2, 3)), strict=True))
    assert not np.array_equal(first[0], variant(FRAME, DISC, params, (1, 2, 4))[0])
