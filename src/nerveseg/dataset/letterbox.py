"""How a frame of any size fits into the network's input."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.imaging.arrays import Frame, Mask, Size


@dataclass(frozen=True)
class Letterbox:
    """A frame scaled to `scaled` (height, width), `top` and `left` pixels into the input, and the padding around it."""

    source: Size
    target: Size
    scaled: tuple[int, int]
    top: int
    left: int

    @classmethod
    def fit(cls, source: Size, target: Size) -> Self:
        scale = min(target[0] / source[0], target[1] / source[1])
        scaled = (max(1, round(source[0] * scale)), max(1, round(source[1] * scale)))
        return cls(source, target, scaled, (target[0] - scaled[0]) // 2, (target[1] - scaled[1]) // 2)

    def frame(self, frame: Frame) -> Frame:
        """Return the frame at the target size. The padding mirrors it, so no hard edge appears."""
        return self._pad(self._resize(frame), cv2.BORDER_REFLECT_101)

    def mask(self, mask: Mask) -> Frame:
        """Return the share of each pixel that the mask covers, uint8 0..255, at the target size."""
        return self._pad(self._resize(np.multiply(mask, 255, dtype=np.uint8)), cv2.BORDER_CONSTANT)

    def restore(self, probability: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a map over the input, of the target size, as a map over the frame, (H, W)."""
        inner = probability[self.top : self.top + self.scaled[0], self.left : self.left + self.scaled[1]]
        shrinks = self.scaled[0] > self.source[0]
        size = (self.source[1], self.source[0])
        return cv2.resize(inner, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

    def _resize(self, pixels: Frame) -> Frame:
        size = (self.scaled[1], self.scaled[0])
        if self.scaled[0] > self.source[0]:
            return cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)  # by area, pixels would repeat
        while all(side % 2 == 0 and side >= 4 * wanted for side, wanted in zip(pixels.shape, self.scaled, strict=True)):
            # Halving first leaves a quarter of the pixels to the resizing by area, which is slow.
            pixels = cv2.resize(pixels, (pixels.shape[1] // 2, pixels.shape[0] // 2), interpolation=cv2.INTER_AREA)
        return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)

    def _pad(self, pixels: Frame, border: int) -> Frame:
        bottom = self.target[0] - self.scaled[0] - self.top
        right = self.target[1] - self.scaled[1] - self.left
        return cv2.copyMakeBorder(pixels, self.top, bottom, self.left, right, border, value=0)
