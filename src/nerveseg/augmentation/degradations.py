"""Degradations of B-mode frames, which train the refiner and test robustness, at severities from 1 (slight) to 5 (severe).

A frame is uint8 of shape (H, W), before and after, at the network's input size. Masks do not change: the nerve stays.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.augmentation.ultrasound_effects import Pixels, amplify, blur, shadow, speckle, thermal_noise
from nerveseg.imaging.arrays import Frame
from nerveseg.params.networks import DegradationParams

JPEG_QUALITY = 10  # of 100
SHADOW_DEPTH = 0.95  # share of the brightness that a degrading shadow takes


def _jpeg(frame: Pixels, factor: float, _: np.random.Generator) -> Pixels:
    """Reduce and quantise coarsely, as a recording of low bit rate does: quality alone costs a U-Net 0.04 Dice at most."""
    levels = np.round(_smaller(frame, factor) * 255.0).astype(np.uint8)
    encoded = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE).astype(np.float32) / np.float32(255.0)
    return cv2.resize(decoded, frame.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _smaller(frame: Pixels, factor: float) -> Pixels:
    height, width = frame.shape
    return cv2.resize(frame, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)


EFFECTS: dict[str, Callable[[Pixels, float, np.random.Generator], Pixels]] = {
    # More than `RAYLEIGH_DB` is fully developed speckle on a display of less range than `DISPLAY_RANGE_DB`.
    "speckle": lambda frame, decibels, rng: amplify(frame, speckle(frame.shape, decibels, rng)),
    "noise": thermal_noise,
    "blur": lambda frame, sigma, _: blur(frame, sigma),
    "low_gain": lambda frame, decibels, _: amplify(frame, -decibels),
    "over_gain": lambda frame, decibels, _: amplify(frame, decibels),
    "shadow": lambda frame, width, rng: shadow(frame, rng.uniform(0.2, 0.8), width, rng.uniform(0, 0.4), SHADOW_DEPTH),
    "downsampling": lambda frame, factor, _: cv2.resize(_smaller(frame, factor), frame.shape[::-1]),
    "jpeg": _jpeg,
}
DEGRADATIONS = tuple(EFFECTS)
SEVERITIES = (1, 2, 3, 4, 5)


def degrade(frame: Frame, kind: str, severity: int, strengths: DegradationParams, rng: np.random.Generator) -> Frame:
    """Degrade a frame, levels 0..255, in one of `DEGRADATIONS` at severity 0 (unchanged) to 5; others raise ValueError."""
    if kind not in EFFECTS:
        raise ValueError(f"degradation {kind!r} is not one of {', '.join(DEGRADATIONS)}")
    if severity not in (0, *SEVERITIES):
        raise ValueError(f"severity {severity} is not in 0..{SEVERITIES[-1]}")
    return with_strength(frame, kind, getattr(strengths, kind)[severity - 1], rng) if severity else frame


def with_strength(frame: Frame, kind: str, strength: float, rng: np.random.Generator) -> Frame:
    """Degrade a frame in one way, at a strength in the unit of its kind."""
    degraded = EFFECTS[kind](frame.astype(np.float32) / np.float32(255.0), strength, rng)
    return np.round(degraded * np.float32(255.0)).astype(np.uint8)


def degrade_each(
    frames: NDArray[np.uint8], kind: str, severity: int, strengths: DegradationParams, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Degrade every frame of a batch (N, H, W) in one way, each with draws of its own."""
    return np.stack([degrade(frame, kind, severity, strengths, rng) for frame in frames])


def degrade_at_random(
    frames: NDArray[np.uint8], severities: Sequence[int], strengths: DegradationParams, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Degrade each frame of a batch (N, H, W) in a random way at one of these severities; return them with severities (N,)."""
    kinds, drawn = rng.choice(DEGRADATIONS, len(frames)), rng.choice(severities, len(frames))
    of_frames = zip(frames, kinds, drawn, strict=True)
    poor = np.stack([degrade(frame, str(kind), int(severity), strengths, rng) for frame, kind, severity in of_frames])
    return poor, drawn
