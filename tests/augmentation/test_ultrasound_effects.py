import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from scipy import stats

from nerveseg.augmentation.ultrasound_effects import (
    DISPLAY_RANGE_DB,
    RAYLEIGH_DB,
    amplify,
    blur,
    defocus,
    gain,
    gain_curve,
    reverberation,
    shadow,
    speckle,
    thermal_noise,
)

FLAT = np.full((96, 128), 0.4, np.float32)
TEXTURE = cv2.GaussianBlur(np.random.default_rng(1).random((96, 128), dtype=np.float32), (0, 0), 1.0)
TEXTURE[:, :9] = 0.0  # padding
COEFFICIENTS = (2.0, -1.5, 0.5)
EFFECTS = {  # each at a strength that shows
    "speckle": lambda frame: amplify(frame, speckle(frame.shape, RAYLEIGH_DB, np.random.default_rng(0))),
    "time gain": lambda frame: amplify(frame, gain_curve(len(frame), COEFFICIENTS)[:, None]),
    "lateral gain": lambda frame: amplify(frame, gain_curve(frame.shape[1], COEFFICIENTS)),
    "reverberation": lambda frame: reverberation(frame, 0.15, 6.0),
    "defocus": lambda frame: defocus(frame, 0.3, 0.04),
    "blur": lambda frame: blur(frame, 1.0),
    "gain": lambda frame: gain(frame, 1.5),
    "shadow": lambda frame: shadow(frame, 0.5, 0.2, 0.1, 0.8),
    "thermal noise": lambda frame: thermal_noise(frame, 30.0, np.random.default_rng(0)),
}
IDENTITIES = {
    "speckle": lambda frame: amplify(frame, speckle(frame.shape, 0.0, np.random.default_rng(0))),
    "time gain": lambda frame: amplify(frame, gain_curve(len(frame), (0.0, 0.0, 0.0))[:, None]),
    "lateral gain": lambda frame: amplify(frame, gain_curve(frame.shape[1], (0.0, 0.0, 0.0))),
    "reverberation": lambda frame: reverberation(frame, 0.15, np.inf),
    "defocus": lambda frame: defocus(frame, 0.3, 0.0),
    "gain": lambda frame: gain(frame, 1.0),
    "shadow": lambda frame: shadow(frame, 0.5, 0.2, 0.1, 0.0),
    "thermal noise": lambda frame: thermal_noise(frame, -np.inf, np.random.default_rng(0)),
}
effects = pytest.mark.parametrize("effect", EFFECTS.values(), ids=EFFECTS)


def independent_speckle(std, frames=40):
    """Samples of speckle that lie far apart against its grain."""
    rng = np.random.default_rng(7)
    return np.concatenate([speckle((96, 128), std, rng)[::8, ::12].ravel() for _ in range(frames)])


@effects
def test_an_effect_changes_a_frame_and_leaves_its_input_alone(effect):
    before = TEXTURE.copy()
    changed = effect(TEXTURE)
    assert np.array_equal(TEXTURE, before)
    assert np.abs(changed - TEXTURE).mean() > 1e-3


@effects
@given(shape=array_shapes(min_dims=2, max_dims=2, min_side=16, max_side=70), seed=st.integers(0, 2**31))
def test_an_effect_keeps_shape_type_and_range(effect, shape, seed):
    frame = np.random.default_rng(seed).random(shape, dtype=np.float32)
    frame[0], frame[-1] = 0.0, 1.0
    changed = effect(frame)
    assert changed.shape == shape
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert changed.min() >= 0.0
    assert changed.max() <= 1.0 + 1e-6


@pytest.mark.parametrize("effect", IDENTITIES.values(), ids=IDENTITIES)
def test_at_strength_zero_an_effect_changes_no_grey_level(effect):
    levels = np.round(255 * TEXTURE)
    assert np.array_equal(np.round(255 * effect((levels / 255).astype(np.float32))), levels)


@pytest.mark.parametrize("name", ["speckle", "time gain", "lateral gain", "reverberation", "gain", "shadow"])
def test_what_is_black_stays_black(name):
    assert not EFFECTS[name](np.zeros((96, 128), np.float32)).any()


def test_the_log_of_speckle_follows_the_fisher_tippett_distribution():
    scale = 10 / np.log(10)
    theory = stats.gumbel_l(loc=scale * np.euler_gamma, scale=scale)
    assert theory.std() == pytest.approx(RAYLEIGH_DB)
    assert stats.kstest(independent_speckle(RAYLEIGH_DB), theory.cdf).pvalue > 0.01
    assert stats.kstest(independent_speckle(RAYLEIGH_DB), stats.norm(0, RAYLEIGH_DB).cdf).pvalue < 1e-6


def test_the_echo_behind_speckle_has_the_rayleigh_distribution_and_its_signal_to_noise_ratio():
    amplitude = 10 ** (independent_speckle(RAYLEIGH_DB) / 20)
    scale = np.sqrt((amplitude**2).mean() / 2)
    assert stats.kstest(amplitude, stats.rayleigh(scale=scale).cdf).pvalue > 0.01
    assert amplitude.mean() / amplitude.std() == pytest.approx(1.91, abs=0.04)  # Wagner et al. 1983


@given(std=st.floats(0.1, 20.0))
def test_speckle_has_the_spread_that_it_is_asked_for_and_keeps_the_mean(std):
    decibels = speckle((192, 256), std, np.random.default_rng(3))
    assert decibels.std() == pytest.approx(std, rel=0.05)
    assert abs(decibels.mean()) < 0.05 * std


def test_speckle_is_as_strong_at_the_border_as_inside():
    rng = np.random.default_rng(0)
    maps = np.stack([speckle((16, 16), 5.0, rng) for _ in range(400)])
    assert maps[:, 0, 0].std() == pytest.approx(maps[:, 8, 8].std(), rel=0.15)


def test_on_the_display_the_spread_of_speckle_does_not_depend_on_the_mean():
    decibels = speckle((96, 128), 3.0, np.random.default_rng(0))
    spreads = [np.std(amplify(np.full((96, 128), grey, np.float32), decibels)) for grey in (0.35, 0.5, 0.65)]
    assert spreads == pytest.approx([3.0 / DISPLAY_RANGE_DB] * 3, rel=0.05)


def test_the_grain_of_speckle_is_wider_across_the_beam_than_along_it():
    decibels = speckle((200, 200), 5.0, np.random.default_rng(0))
    along = np.corrcoef(decibels[1:].ravel(), decibels[:-1].ravel())[0, 1]
    across = np.corrcoef(decibels[:, 1:].ravel(), decibels[:, :-1].ravel())[0, 1]
    assert across > along + 0.2
    assert along > 0.1


def test_amplification_is_a_sum_on_log_compressed_grey():
    assert amplify(FLAT, 6.0) == pytest.approx(FLAT + 6.0 / DISPLAY_RANGE_DB)
    assert amplify(FLAT, -6.0) == pytest.approx(FLAT - 6.0 / DISPLAY_RANGE_DB)
    assert amplify(FLAT, 60.0).max() == 1.0


def test_a_time_gain_varies_over_depth_only_and_a_lateral_gain_over_the_width_only():
    deep = amplify(FLAT, gain_curve(96, COEFFICIENTS)[:, None])
    assert np.ptp(deep, axis=1).max() == 0.0
    assert np.ptp(deep[:, 0]) > 2.0 / DISPLAY_RANGE_DB
    wide = amplify(FLAT, gain_curve(128, COEFFICIENTS))
    assert np.ptp(wide, axis=0).max() == 0.0
    assert np.ptp(wide[0]) > 2.0 / DISPLAY_RANGE_DB


@given(coefficients=st.lists(st.floats(-10, 10), min_size=1, max_size=5), height=st.integers(16, 500))
def test_a_gain_curve_is_smooth_bounded_by_its_coefficients_and_of_mean_zero(coefficients, height):
    curve = gain_curve(height, coefficients)
    greatest = sum(map(abs, coefficients))
    assert np.abs(curve).max() <= greatest + 1e-4
    assert abs(curve.mean()) <= 1e-4 * (1 + greatest)
    steepest = sum(abs(value) * np.pi * order / height for order, value in enumerate(coefficients, 1))
    assert np.abs(np.diff(curve)).max() <= steepest + 1e-4


@pytest.fixture
def interface():
    """Dark tissue with one bright line 15 rows deep."""
    frame = np.full((96, 128), 0.2, np.float32)
    frame[15] = 0.9
    return frame


def test_reverberation_repeats_the_interface_at_multiples_of_its_depth_and_changes_nothing_above(interface):
    echoed = reverberation(interface, 0.18, 3.0)
    profile = (echoed - interface)[:, 64]
    peaks = [row for row in range(1, 95) if profile[row] > 0.05 and profile[row] == profile[row - 1 : row + 2].max()]
    assert peaks == [30, 45, 60, 75, 90]
    assert np.array_equal(echoed[:26], interface[:26])


def test_each_echo_of_an_interface_is_fainter_by_the_loss(interface):
    echoed = reverberation(interface, 15 / 96, 6.0)
    echoes = echoed[[30, 45, 60], 64] * DISPLAY_RANGE_DB
    assert echoes == pytest.approx([0.9 * 60 - 6, 0.9 * 60 - 12, 0.9 * 60 - 18], abs=0.2)


def test_reverberation_adds_powers_so_that_two_equal_echoes_are_three_decibels_brighter():
    brightened = (reverberation(FLAT, 0.2, 0.0) - FLAT) * DISPLAY_RANGE_DB
    assert brightened.max() == pytest.approx(10 * np.log10(2), abs=0.01)


@pytest.mark.parametrize("row", [10, 29, 50, 90])
def test_a_defocused_beam_widens_with_the_distance_from_its_focus_and_keeps_the_energy(row):
    points = np.zeros((96, 129), np.float32)
    points[:, 64] = 1.0
    spread = defocus(points, focus=29.5 / 96, spread=0.04)
    offsets = np.arange(129) - 64
    assert spread[row].sum() == pytest.approx(1.0, rel=1e-3)
    assert np.sqrt((spread[row] * offsets**2).sum()) == pytest.approx(0.04 * abs(row - 29), rel=0.06, abs=0.02)


def test_a_defocused_beam_mixes_no_depths():
    frame = np.repeat(np.random.default_rng(0).random((96, 1), dtype=np.float32), 128, axis=1)
    assert defocus(frame, 0.2, 0.04) == pytest.approx(frame, abs=1e-5)


def test_thermal_noise_on_black_has_the_power_of_its_depth_exponentially_distributed():
    noisy = thermal_noise(np.zeros((96, 4000), np.float32), 40.0, np.random.default_rng(0))
    power = 10 ** (noisy * DISPLAY_RANGE_DB / 10) - 1.0
    for row in (0, 47, 95):
        mean = 10 ** ((40.0 - 30.0 * (1 - (row + 0.5) / 96)) / 10)
        assert stats.kstest(power[row] / mean, stats.expon.cdf).pvalue > 0.01


def test_thermal_noise_drowns_what_is_dark_and_hardly_touches_what_is_bright():
    rng = np.random.default_rng(0)
    dark, bright = (thermal_noise(np.full((96, 128), grey, np.float32), 30.0, rng) - grey for grey in (0.1, 0.9))
    assert dark[-1].mean() > 0.2
    assert np.abs(bright).max() < 0.02


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
