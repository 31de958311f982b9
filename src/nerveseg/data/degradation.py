"""What makes a B-mode frame poor, at a severity from 1 (slight) to 5 (severe).

A frame here is float32 of shape (H, W), 0..1; so is what comes back. Masks do not change: the nerve stays where
it is. Used to train the refiner and to test robustness, with the primitives of `ultrasound_effects`.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.data.ultrasound_effects import Pixels, blur, gain, shadow


def grey_noise(frame: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """A log-normal factor on grey levels, of standard deviation `deviation` in nepers and a grain of about two pixels.

    Coarser than `ultrasound_effects.speckle`, which the augmentation draws from: noise on the display, not on the echo.
    """
    grain = cv2.GaussianBlur(rng.standard_normal(frame.shape, dtype=np.float32), (0, 0), 0.8)
    grain /= max(float(grain.std()), 1e-6)
    return np.clip(frame * np.exp(deviation * grain), 0.0, 1.0)


def _degrade_speckle(frame: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    return grey_noise(frame, 0.05 * severity, rng)


def _degrade_blur(frame: Pixels, severity: int, rng: np.random.Generator) -> Pixels:  # noqa: ARG001 - one signature
    return blur(frame, 0.25 * severity)


def _degrade_gain(frame: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    factor = (1.0 - 0.14 * severity) if rng.random() < 0.5 else (1.0 + 0.35 * severity)
    return gain(frame, factor)


def _degrade_shadow(frame: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    centre, top = rng.uniform(0.2, 0.8), rng.uniform(0.0, 0.4)
    return shadow(frame, centre, 0.08 + 0.05 * severity, top, min(0.95, 0.3 + 0.15 * severity))


DEGRADATIONS: dict[str, Callable[[Pixels, int, np.random.Generator], Pixels]] = {
    "speckle": _degrade_speckle,
    "blur": _degrade_blur,
    "gain": _degrade_gain,
    "shadow": _degrade_shadow,
}


def degrade(frame: NDArray[np.uint8], kind: str, severity: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Degrade an 8-bit frame (H, W).

    Args:
        frame: grey levels 0..255.
        kind: a key of `DEGRADATIONS`.
        severity: 0 (unchanged) to 5.
        rng: the source of the noise, the side of the gain and the place of the shadow.

    Raises:
        ValueError: an unknown kind, or a severity outside of 0..5.
    """
    if kind not in DEGRADATIONS:
        raise ValueError(f"degradation {kind!r} is not one of {', '.join(DEGRADATIONS)}")
    if not 0 <= severity <= 5:
        raise ValueError(f"severity {severity} is not in 0..5")
    if severity == 0:
        return frame
    degraded = DEGRADATIONS[kind](frame.astype(np.float32) / 255.0, severity, rng)
    return np.round(degraded * 255.0).astype(np.uint8)


def degrade_at_random(frames: NDArray[np.uint8], greatest_severity: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Degrade each frame of a batch (N, H, W) by one kind at a severity from 0 to `greatest_severity`."""
    kinds = rng.choice(list(DEGRADATIONS), len(frames))
    severities = rng.integers(0, greatest_severity + 1, len(frames))
    drawn = zip(frames, kinds, severities, strict=True)
    return np.stack([degrade(frame, str(kind), int(severity), rng) for frame, kind, severity in drawn])
