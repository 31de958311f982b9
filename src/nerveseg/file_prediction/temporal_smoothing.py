"""Steady outlines over the frames of a cine loop or of a live picture.

A network that sees one frame at a time flickers with the speckle. Here its estimate for a frame is averaged with those of frames
around it, which count less the farther away they are. They are moved along the motion of the tissue, found by dense inverse
search (Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search", ECCV), so that the mean does not trail behind. A loop
uses frames before and after, a live picture only those before. The average restarts if a frame does not resemble the one before
it, as when the probe is lifted, or comes long after it. `bench/cine.py` measures the effect.
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
# Weight of a frame relative to its neighbour. Live frames weigh less, or a nerve that comes into view would be drawn late.
KEPT_IN_LOOPS, KEPT_LIVE = 0.7, 0.6
# Two frames show the same if their details, once moved, correlate this much. Neighbours in simulated loops, each with fresh speckle,
# reach at least 0.94; real frames shifted by 10 pixels, turned by a degree and given noise of 20 grey levels 0.89; frames of two
# people usually 0.2. Details leave out what is alike in all frames: the shape of the fan and what is around it.
ALIKE = 0.75
DETAIL = 6.0  # pixels: sigma of the Gaussian that is subtracted to leave details
GAP = 0.5  # seconds between two live frames, after which they no longer show one movement
SPECKLE = 1.0  # pixels: sigma of the Gaussian that smooths speckle before motion is estimated


def predict_loop(predictor: Predictor, frames: Sequence[Frame]) -> Iterator[Prediction]:
    """Predict the frames of one cine loop, uint8 (H, W), in order, each steadied by those around it."""
    inputs = predictor.letterboxed(frames)
    said = steadied(inputs, [*predictor.maps(inputs)])
    return (predictor.prediction(each, frame.shape) for frame, each in zip(frames, said, strict=True))


def live(predictor: Predictor) -> Callable[[Frame, float], Prediction]:
    """Return a function that predicts a frame, uint8 (H, W), at its time in seconds, steadied by those before it."""
    trail = Trail()
    before: tuple[Size, float] | None = None

    def predict(frame: Frame, arrived: float) -> Prediction:
        nonlocal before, trail
        if before is not None and (before[0] != frame.shape or arrived - before[1] > GAP):
            trail = Trail()
        before = frame.shape, arrived
        inputs = predictor.letterboxed([frame])
        (said,) = predictor.maps(inputs)
        return predictor.prediction(trail.add(inputs[0], said).mean(), frame.shape)

    return predict


class _Sum(NamedTuple):
    """The weighted sum of the estimates for some frames, and of their weights."""

    probability: Map
    presence: float
    weight: float

    def plus(self, other: "_Sum", share: float) -> "_Sum":
        probability = self.probability + np.float32(share) * other.probability
        return _Sum(probability, self.presence + share * other.presence, self.weight + share * other.weight)

    def mean(self) -> Estimate:
        return Estimate(self.probability / np.float32(self.weight), self.presence / self.weight)


class Trail:
    """Frames in succession, and the sum of their estimates, each weighted `kept` (0..1) times as much as the next."""

    def __init__(self, kept: float = KEPT_LIVE) -> None:
        self._kept = kept
        self._before: tuple[Frame, _Sum] | None = None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def add(self, frame: Frame, said: Estimate) -> _Sum:
        """Add a letterboxed frame, uint8 (height, width), and its estimate; return the sum, moved to this frame."""
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
    """Average each estimate `said` of a loop's letterboxed frames, uint8 (N, height, width), with those around it."""
    with ThreadPoolExecutor() as threads:
        ahead, back = threads.map(_sums, (frames, frames[::-1]), (said, said[::-1]))
    both = zip(ahead, reversed(back), (_Sum(*each, 1.0) for each in said), strict=True)
    return [before.plus(after, 1.0).plus(own, -1.0).mean() for before, after, own in both]


def _sums(frames: NDArray[np.uint8], said: Sequence[Estimate]) -> list[_Sum]:
    trail = Trail(KEPT_IN_LOOPS)
    return [trail.add(frame, each) for frame, each in zip(frames, said, strict=True)]


def _moved(pixels: Pixels, towards: Map) -> Pixels:
    """Move a picture: each pixel comes from `towards`, (height, width, 2), to the right and down."""
    height, width = pixels.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    sources = columns + towards[..., 0], rows + towards[..., 1]
    return cv2.remap(pixels, *sources, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _alike(one: Frame, other: Frame) -> bool:
    levels = [frame.astype(np.float32) for frame in (one, other)]
    first, second = (each - cv2.GaussianBlur(each, (0, 0), DETAIL) for each in levels)
    if first.std() == 0 or second.std() == 0:
        return bool(np.array_equal(one, other))
    return bool(np.corrcoef(first.ravel(), second.ravel())[0, 1] >= ALIKE)
