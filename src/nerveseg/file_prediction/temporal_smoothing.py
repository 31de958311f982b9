"""Steady outlines over the frames of a cine loop, or of a live picture.

A network that looks at one frame after the other flickers with the speckle. Here what it says of a frame is averaged with what it
said of those around it, which count less the farther they are and are laid over the frame along the motion of the tissue, as
dense inverse search finds it (Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search", ECCV). Because they move with
the tissue, the mean does not trail behind it. In a loop frames count that come before and after; of a live picture there are those
before alone. Where a frame is unlike the one before it, as when the probe is lifted, or comes long after it, it begins anew.
`bench/cine.py` measures it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.imaging.arrays import Frame, Size
from nerveseg.inference.postprocessing import Estimate
from nerveseg.inference.predictor import Prediction, Predictor

Map = NDArray[np.float32]
Pixels = TypeVar("Pixels", Frame, Map)
# What a frame counts beside its neighbour. Live ones count less, or a nerve that comes into view would be drawn late.
KEPT_IN_LOOPS, KEPT_LIVE = 0.7, 0.6
# Correlation of the details of two frames, once moved, from which they show the same. Neighbours in simulated loops have at least 0.94,
# with fresh speckle in each; real frames shifted by 10 pixels, turned by a degree and given noise of 20 grey levels 0.89; frames of two
# people 0.2 as a rule. What is no detail, the shape of the fan and what stands around it, is alike in all.
ALIKE = 0.75
DETAIL = 6.0  # pixels: the deviation of what is smoothed away from a frame to leave them
GAP = 0.5  # seconds between two live frames from which they are no longer of one movement
SPECKLE = 1.0  # deviation in pixels of what smooths it before motion is looked for


def predict_loop(predictor: Predictor, frames: Sequence[Frame]) -> Iterator[Prediction]:
    """Predict the frames of one cine loop, uint8 (H, W), in their order; each is steadied by those around it."""
    inputs = predictor.letterboxed(frames)
    said = steadied(inputs, [*predictor.maps(inputs)])
    return (predictor.prediction(each, frame.shape) for frame, each in zip(frames, said, strict=True))


def live(predictor: Predictor) -> Callable[[Frame, float], Prediction]:
    """What predicts frames, uint8 (H, W), as they arrive, at so many seconds of a clock; each is steadied by those before it,
    but for those of another size or before a gap in time.
    """
    trail = Trail()
    before: tuple[Size, float] | None = None

    def predict(frame: Frame, arrived: float) -> Prediction:
        nonlocal before
        if before is not None and (before[0] != frame.shape or arrived - before[1] > GAP):
            trail.begin_anew()
        before = frame.shape, arrived
        inputs = predictor.letterboxed([frame])
        (said,) = predictor.maps(inputs)
        return predictor.prediction(trail.add(inputs[0], said), frame.shape)

    return predict


class _Sum(NamedTuple):
    """Of what was said of some frames, and of their weights."""

    probability: Map
    presence: float
    weight: float

    def plus(self, other: "_Sum", share: float) -> "_Sum":
        probability = self.probability + np.float32(share) * other.probability
        return _Sum(probability, self.presence + share * other.presence, self.weight + share * other.weight)

    def mean(self) -> Estimate:
        return Estimate(self.probability / np.float32(self.weight), self.presence / self.weight)


class Trail:
    """Frames that follow each other, and the weighted sum of what was said of them.

    Args:
        kept: what a frame counts beside the one after it, 0..1.
    """

    def __init__(self, kept: float = KEPT_LIVE) -> None:
        self._kept = kept
        self._before: tuple[Frame, _Sum] | None = None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def add(self, frame: Frame, said: Estimate) -> Estimate:
        """The mean over the frames so far, as this one sees them.

        Args:
            frame: letterboxed, uint8 (height, width), the same for all.
            said: of this frame alone.
        """
        return self.sum(frame, said).mean()

    def begin_anew(self) -> None:
        """Forget the frames so far."""
        self._before = None

    def sum(self, frame: Frame, said: Estimate) -> _Sum:
        smooth = cv2.GaussianBlur(frame, (0, 0), SPECKLE)
        total = _Sum(*said, 1.0)
        if self._before is not None:
            before, so_far = self._before
            to_before = self._flow.calc(smooth, before, None)
            if _alike(smooth, _moved(before, to_before)):
                total = total.plus(so_far._replace(probability=_moved(so_far.probability, to_before)), self._kept)
        self._before = smooth, total
        return total


def steadied(frames: NDArray[np.uint8], said: Sequence[Estimate]) -> list[Estimate]:
    """What was said of the frames of a loop, each averaged with those before and after it.

    Args:
        frames: letterboxed, uint8 (N, height, width), in their order.
        said: of each alone.
    """
    with ThreadPoolExecutor() as threads:
        ahead, back = threads.map(_sums, (frames, frames[::-1]), (said, said[::-1]))
    both = zip(ahead, reversed(back), (_Sum(*each, 1.0) for each in said), strict=True)
    return [before.plus(after, 1.0).plus(own, -1.0).mean() for before, after, own in both]


def _sums(frames: NDArray[np.uint8], said: Sequence[Estimate]) -> list[_Sum]:
    trail = Trail(KEPT_IN_LOOPS)
    return [trail.sum(frame, each) for frame, each in zip(frames, said, strict=True)]


def _moved(pixels: Pixels, towards: Map) -> Pixels:
    """A picture as it looks where each pixel comes from `towards`, (height, width, 2), to the right and down."""
    height, width = pixels.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(
        pixels, columns + towards[..., 0], rows + towards[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _alike(one: Frame, other: Frame) -> bool:
    first, second = (_details(each) for each in (one, other))
    if first.std() == 0 or second.std() == 0:
        return bool(np.array_equal(one, other))
    return bool(np.corrcoef(first.ravel(), second.ravel())[0, 1] >= ALIKE)


def _details(frame: Frame) -> Map:
    levels = frame.astype(np.float32)
    return levels - cv2.GaussianBlur(levels, (0, 0), DETAIL)
