"""Variants of a train frame and its mask: one draw for both, so that they cannot drift apart.

A frame is uint8 of shape (H, W); a mask is uint8 of the same shape, 0..255, the share of each pixel that is nerve.
Geometry moves both; intensity touches the frame alone. Beyond its border a moved frame goes on mirrored, and the
mask with it.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.data.degradation import blur, gain, shadow, speckle
from nerveseg.data.letterbox import Frame
from nerveseg.params import AugmentParams


@dataclass(frozen=True)
class Draw:
    """The random parameters of one variant; `noise_seed` is that of its speckle."""

    flip: bool
    rotation: float
    scale: float
    shift: tuple[float, float]
    gain: float
    gamma: float
    speckle: float
    shadow: tuple[float, float, float, float] | None
    blur: float
    noise_seed: int

    @classmethod
    def sample(cls, params: AugmentParams, rng: np.random.Generator) -> Self:
        """Draw from the ranges of the `augment` section."""
        return cls(
            flip=bool(rng.random() < params.flip),
            rotation=rng.uniform(-params.rotation, params.rotation),
            scale=1.0 + rng.uniform(-params.scale, params.scale),
            shift=(rng.uniform(-params.shift, params.shift), rng.uniform(-params.shift, params.shift)),
            gain=1.0 + rng.uniform(-params.gain, params.gain),
            gamma=float(np.exp(rng.uniform(-params.gamma, params.gamma))),
            speckle=rng.uniform(0.0, params.speckle),
            shadow=(
                (rng.uniform(0, 1), rng.uniform(0.05, 0.25), rng.uniform(0, 0.5), rng.uniform(0.2, 0.8))
                if rng.random() < params.shadow
                else None
            ),
            blur=rng.uniform(0.3, 1.0) if rng.random() < params.blur else 0.0,
            noise_seed=int(rng.integers(2**31)),
        )

    def apply(self, frame: Frame, mask: Frame) -> tuple[Frame, Frame]:
        """The variant of `frame` and of `mask`."""
        return self._intensity(self._geometry(frame)), self._geometry(mask)

    def _geometry(self, pixels: Frame) -> Frame:
        return cv2.warpAffine(
            pixels, self.matrix(pixels.shape), pixels.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )  # fmt: skip

    def matrix(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """The affine map (2, 3) from a point (x, y) of the frame to its place in the variant."""
        centre = ((shape[1] - 1) / 2, (shape[0] - 1) / 2)
        matrix = cv2.getRotationMatrix2D(centre, self.rotation, self.scale)
        if self.flip:
            mirror = np.array([[-1.0, 0.0, shape[1] - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
            matrix = matrix @ mirror
        matrix[:, 2] += (self.shift[0] * shape[1], self.shift[1] * shape[0])
        return matrix

    def _intensity(self, frame: Frame) -> Frame:
        pixels = (frame.astype(np.float32) / 255.0) ** np.float32(self.gamma)
        if self.blur:
            pixels = blur(pixels, self.blur)
        if self.shadow:
            pixels = shadow(pixels, *self.shadow)
        pixels = speckle(pixels, self.speckle, np.random.default_rng(self.noise_seed))
        return np.round(gain(pixels, self.gain) * 255.0).astype(np.uint8)


def variant(frame: Frame, mask: Frame, params: AugmentParams, seed: tuple[int, ...]) -> tuple[Frame, Frame]:
    """One seeded variant; `seed` names the frame and the variant, so that no draw depends on the order of work."""
    return Draw.sample(params, np.random.default_rng(seed)).apply(frame, mask)
