"""What makes a B-mode frame poor, each kind at a severity from 1 (slight) to 5 (severe).

A frame is uint8 of shape (H, W), at the size at which the network sees it; so is what comes back. Masks do not change: the
nerve stays where it is. Used to train the refiner and to test robustness, with the primitives of `ultrasound_effects`.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.data.letterbox import Frame
from nerveseg.data.ultrasound_effects import Pixels, amplify, blur, shadow, speckle, thermal_noise

Effect = Callable[[Pixels, float, np.random.Generator], Pixels]
JPEG_QUALITY = 10  # of 100
SHADOW_DEPTH = 0.95  # share of the brightness that a degrading shadow takes


def _speckle(frame: Pixels, decibels: float, rng: np.random.Generator) -> Pixels:
    """More than `RAYLEIGH_DB` is fully developed speckle on a display of less range than `DISPLAY_RANGE_DB`."""
    height, width = frame.shape
    return amplify(frame, speckle((height, width), decibels, rng))


def _blur(frame: Pixels, sigma: float, _: np.random.Generator) -> Pixels:
    return blur(frame, sigma)


def _low_gain(frame: Pixels, decibels: float, _: np.random.Generator) -> Pixels:
    return amplify(frame, -decibels)


def _over_gain(frame: Pixels, decibels: float, _: np.random.Generator) -> Pixels:
    return amplify(frame, decibels)


def _shadow(frame: Pixels, width: float, rng: np.random.Generator) -> Pixels:
    return shadow(frame, rng.uniform(0.2, 0.8), width, rng.uniform(0.0, 0.4), SHADOW_DEPTH)


def _downsampling(frame: Pixels, factor: float, _: np.random.Generator) -> Pixels:
    height, width = frame.shape
    return cv2.resize(_smaller(frame, factor), (width, height), interpolation=cv2.INTER_LINEAR)


def _jpeg(frame: Pixels, factor: float, _: np.random.Generator) -> Pixels:
    """As in a recording of a low bit rate: smaller, and coarsely quantised. At the whole size of the network's input the
    quality alone costs a U-Net little (0.04 Dice at the lowest).
    """
    height, width = frame.shape
    levels = np.round(_smaller(frame, factor) * 255.0).astype(np.uint8)
    encoded = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE).astype(np.float32) / np.float32(255.0)
    return cv2.resize(decoded, (width, height), interpolation=cv2.INTER_LINEAR)


def _smaller(frame: Pixels, factor: float) -> Pixels:
    height, width = frame.shape
    return cv2.resize(frame, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)


# The strengths of severities 1 to 5, in the unit that stands beside them. At severity 3 each costs the U-Net of the embedded
# default about 0.1 Dice on val (`bench/degradations.py`; bench/README.md has the table, and that of real frames).
DEGRADATIONS: dict[str, tuple[Effect, tuple[float, ...]]] = {
    "speckle": (_speckle, (4.0, 5.0, 7.0, 9.5, 14.5)),  # dB, standard deviation
    "noise": (thermal_noise, (35.0, 39.0, 43.0, 48.0, 54.0)),  # dB above black, at the bottom of the frame
    "blur": (_blur, (0.55, 0.85, 1.1, 1.35, 1.7)),  # pixels, standard deviation along the beam
    "low_gain": (_low_gain, (12.0, 16.5, 21.0, 25.0, 30.0)),  # dB
    "over_gain": (_over_gain, (13.0, 16.0, 20.0, 23.0, 27.0)),  # dB
    "shadow": (_shadow, (0.03, 0.08, 0.16, 0.3, 0.6)),  # share of the frame's width
    "downsampling": (_downsampling, (1.5, 2.3, 3.0, 3.7, 4.8)),  # times
    "jpeg": (_jpeg, (1.0, 1.25, 1.5, 2.1, 2.5)),  # times smaller, at quality 10 of 100
}
SEVERITIES = (1, 2, 3, 4, 5)


def degrade(frame: Frame, kind: str, severity: int, rng: np.random.Generator) -> Frame:
    """Degrade a frame in one way.

    Args:
        frame: grey levels 0..255.
        kind: a key of `DEGRADATIONS`.
        severity: 0 (unchanged) to 5.
        rng: the source of the noise and of the place of the shadow.

    Raises:
        ValueError: an unknown kind, or a severity outside of 0..5.
    """
    if kind not in DEGRADATIONS:
        raise ValueError(f"degradation {kind!r} is not one of {', '.join(DEGRADATIONS)}")
    if severity not in (0, *SEVERITIES):
        raise ValueError(f"severity {severity} is not in 0..{SEVERITIES[-1]}")
    if severity == 0:
        return frame
    effect, strengths = DEGRADATIONS[kind]
    degraded = effect(frame.astype(np.float32) / np.float32(255.0), strengths[severity - 1], rng)
    return np.round(degraded * np.float32(255.0)).astype(np.uint8)


def degrade_each(frames: NDArray[np.uint8], kind: str, severity: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Degrade every frame of a batch (N, H, W) in one way, each by draws of its own."""
    return np.stack([degrade(frame, kind, severity, rng) for frame in frames])


def degrade_at_random(
    frames: NDArray[np.uint8], severities: Sequence[int], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Degrade each frame of a batch (N, H, W) by one kind at one of these severities, 0 among them for as it is."""
    kinds = rng.choice(list(DEGRADATIONS), len(frames))
    drawn = zip(frames, kinds, rng.choice(severities, len(frames)), strict=True)
    return np.stack([degrade(frame, str(kind), int(severity), rng) for frame, kind, severity in drawn])
