"""Variants of a train frame and its mask, from one draw for both, so that they cannot drift apart.

A frame is uint8 of shape (H, W); a mask is uint8 of the same shape, 0..255, the share of each pixel that is nerve. Geometry
moves both, intensity changes the frame alone. Beyond its border, a moved frame is mirrored, and so is its mask.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.augmentation import ultrasound_effects as effects
from nerveseg.imaging.arrays import Frame
from nerveseg.params.data import AugmentParams

_LEVELS = np.arange(256, dtype=np.float32) / np.float32(255.0)
CURVE = (1 / 2, 1 / 3, 1 / 6)  # share of a gain curve's maximum change for each of its cosines


@dataclass(frozen=True)
class Draw:
    """The random parameters of one variant, each as the effect of its name takes them, or None without the effect."""

    flip: bool
    rotation: float
    scale: float
    shift: tuple[float, float]
    gain: float
    gamma: float
    speckle: float
    time_gain: tuple[float, ...]
    lateral_gain: tuple[float, ...]
    reverberation: tuple[float, ...] | None
    shadow: tuple[float, ...] | None
    blur: tuple[float, ...] | None
    defocus: tuple[float, ...] | None
    noise_seed: int  # of the speckle

    @classmethod
    def sample(cls, params: AugmentParams, rng: np.random.Generator) -> Self:
        """Draw from the ranges of `augment`, always equally often, so that a parameter changes only its own effect."""

        def between(low: float, high: float) -> float:
            return low + (high - low) * rng.random()

        def curve(greatest: float) -> tuple[float, ...]:
            return tuple(greatest * share * between(-1, 1) for share in CURVE)

        def perhaps(probability: float, *drawn: float) -> tuple[float, ...] | None:
            return drawn if rng.random() < probability else None

        return cls(
            flip=bool(rng.random() < params.flip),
            rotation=between(-params.rotation, params.rotation),
            scale=1.0 + between(-params.scale, params.scale),
            shift=(between(-params.shift, params.shift), between(-params.shift, params.shift)),
            gain=1.0 + between(-params.gain, params.gain),
            gamma=float(np.exp(between(-params.gamma, params.gamma))),
            speckle=between(0.0, params.speckle),
            time_gain=curve(params.time_gain),
            lateral_gain=curve(params.lateral_gain),
            reverberation=perhaps(params.reverberation, between(0.1, 0.25), between(3.0, 9.0)),
            shadow=perhaps(params.shadow, between(0, 1), between(0.05, 0.25), between(0, 0.5), between(0.2, 0.8)),
            blur=perhaps(params.blur, between(0.3, 1.0)),
            defocus=perhaps(params.defocus, between(0.1, 0.7), between(0.01, 0.04)),
            noise_seed=int(rng.integers(2**31)),
        )

    def apply(self, frame: Frame, mask: Frame) -> tuple[Frame, Frame]:
        """Return the variant of a frame and its mask."""
        return self._intensity(self._geometry(frame)), self._geometry(mask)

    def _geometry(self, pixels: Frame) -> Frame:
        return cv2.warpAffine(
            pixels, self.matrix(pixels.shape), pixels.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )  # fmt: skip

    def matrix(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the affine map (2, 3) from a point (x, y) of the frame to its place in the variant."""
        matrix = cv2.getRotationMatrix2D(((shape[1] - 1) / 2, (shape[0] - 1) / 2), self.rotation, self.scale)
        if self.flip:
            matrix = matrix @ np.array([[-1.0, 0.0, shape[1] - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        matrix[:, 2] += (self.shift[0] * shape[1], self.shift[1] * shape[0])
        return matrix

    def _intensity(self, frame: Frame) -> Frame:
        pixels = cv2.LUT(frame, _LEVELS ** np.float32(self.gamma))
        for name in ("reverberation", "blur", "defocus", "shadow"):
            if drawn := getattr(self, name):
                pixels = getattr(effects, name)(pixels, *drawn)
        over_depth = effects.gain_curve(frame.shape[0], self.time_gain)[:, np.newaxis]
        decibels = over_depth + effects.gain_curve(frame.shape[1], self.lateral_gain)
        if self.speckle:
            decibels += effects.speckle(frame.shape, self.speckle, np.random.default_rng(self.noise_seed))
        return cv2.convertScaleAbs(effects.gain(effects.amplify(pixels, decibels), self.gain), alpha=255.0)


def variant(frame: Frame, mask: Frame, params: AugmentParams, seed: tuple[int, ...]) -> tuple[Frame, Frame]:
    """Return one seeded variant; `seed` names frame and variant, so that no draw depends on the order of work."""
    return Draw.sample(params, np.random.default_rng(seed)).apply(frame, mask)
