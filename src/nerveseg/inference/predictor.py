"""What predicts: frames of any size in, masks of that size out, whatever stands behind it.

A `Predictor` has a network, which maps grey levels, float32 (N, height, width, 1) 0..255, to `probability` of nerve, of the
same shape, and `presence`, (N, 1), and the cut-offs that make a mask of them. `nerveseg.unet.segmenter` makes it of one training,
`nerveseg.saved_models.ensemble` of several, with TensorFlow; `nerveseg.saved_models.openvino_predictor` of either, without. This module knows neither.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerveseg.dataset.letterbox import Letterbox
from nerveseg.imaging.arrays import Frame, Mask, Size
from nerveseg.imaging.grey_range import GreyRange
from nerveseg.inference.postprocessing import Cutoffs, Estimate, Probability, confidence

BATCH_SIZE = 16
Output = TypeVar("Output")
Network = Callable[[NDArray[np.float32]], Mapping[str, ArrayLike]]


@dataclass(frozen=True)
class Prediction:
    """Of one frame (H, W): probability of nerve (float32), mask (bool), the probability of there being a nerve in the
    frame, and the `confidence` in the mask, each 0..1.
    """

    probability: Probability
    mask: Mask
    presence: float
    confidence: float

    @property
    def area(self) -> int:
        """Of the mask, in pixels."""
        return int(np.count_nonzero(self.mask))

    @property
    def centroid(self) -> tuple[float, float] | None:
        """Mean row and column of the pixels of the mask, from 0; None where it is empty."""
        rows, columns = np.nonzero(self.mask)
        return (float(rows.mean()), float(columns.mean())) if len(rows) else None


class Predictor:
    """A network with its cut-offs.

    Args:
        run: the network, as the module says.
        size: (height, width) of its input in pixels.
        cutoffs: that belong to it.
        learnt_frames: keys (`leakage`) of all frames that chose its weights or cut-offs.
        grey_range: black and white that its data set was read with, in files that do not say them.
    """

    def __init__(
        self, run: Network, size: Size, cutoffs: Cutoffs, learnt_frames: frozenset[str],
        grey_range: GreyRange | None = None,
    ) -> None:  # fmt: skip
        self._run, self.size, self.cutoffs, self.learnt_frames = run, size, cutoffs, learnt_frames
        self.grey_range = GreyRange() if grey_range is None else grey_range

    def estimates(self, inputs: NDArray[np.uint8], sizes: Iterable[Size]) -> Iterator[Estimate]:
        """What the network says of letterboxed frames, uint8 (N, height, width), over the frames of `sizes` (height,
        width), one at a time: at the size of the frames, the maps of a whole test set may not fit in memory.
        """
        yield from laid_over(in_batches(self._run, inputs), sizes, self.size)

    def predict(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict frames of any size, uint8 (H, W)."""
        said = self.maps(self.letterboxed(frames))
        return [self.prediction(each, frame.shape) for each, frame in zip(said, frames, strict=True)]

    def maps(self, inputs: NDArray[np.uint8]) -> Iterator[Estimate]:
        """What the network says of letterboxed frames, uint8 (N, height, width), at their size."""
        return each_said(in_batches(self._run, inputs))

    def prediction(self, said: Estimate, size: Size) -> Prediction:
        """What is said of a letterboxed frame, as a prediction of the frame of `size` itself."""
        found = over(size, said, self.size)
        mask = self.cutoffs.mask(found)
        return Prediction(found.probability, mask, found.presence, confidence(found, mask))

    def letterboxed(self, frames: Sequence[Frame]) -> NDArray[np.uint8]:
        """Frames of any size, uint8 (H, W), as the network takes them, uint8 (N, height, width)."""
        fitted = [Letterbox.fit(frame.shape, self.size).frame(frame) for frame in frames]
        return np.reshape(fitted, (len(frames), *self.size)).astype(np.uint8, copy=False)


def in_batches(run: Callable[[NDArray[np.float32]], Output], inputs: NDArray[np.uint8]) -> list[Output]:
    """What a network gives for letterboxed frames, uint8 (N, height, width), batch after batch."""
    levels = inputs[..., np.newaxis].astype(np.float32)
    return [run(levels[start : start + BATCH_SIZE]) for start in range(0, len(levels), BATCH_SIZE)]


def each_said(outputs: Sequence[Mapping[str, ArrayLike]]) -> Iterator[Estimate]:
    """Batches of `probability` and `presence`, frame by frame."""
    for batch in outputs:
        probabilities, presences = np.asarray(batch["probability"])[..., 0], np.asarray(batch["presence"])[:, 0]
        for probability, presence in zip(probabilities, presences, strict=True):
            yield Estimate(probability, float(presence))


def laid_over(outputs: Sequence[Mapping[str, ArrayLike]], sizes: Iterable[Size], size: Size) -> Iterator[Estimate]:
    """Batches of `probability` and `presence` as estimates at the sizes of their frames; `size` is the network's."""
    return (over(of_frame, said, size) for said, of_frame in zip(each_said(outputs), sizes, strict=True))


def over(of_frame: Size, said: Estimate, size: Size) -> Estimate:
    """What is said of a letterboxed frame, over the frame itself."""
    return Estimate(Letterbox.fit(of_frame, size).restore(said.probability), said.presence)
