"""The interface of all models: frames of any size in, masks of that size out.

A `Predictor` has a network, which maps grey levels, float32 (N, height, width, 1) 0..255, to `probability` of nerve, of the
same shape, and `presence`, (N, 1), and the cut-offs that turn these into a mask. `unet.segmenter` and `saved_models.ensemble`
implement it with TensorFlow, `saved_models.openvino_predictor` without.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerveseg.dataset.letterbox import Letterbox
from nerveseg.errors import ModelError
from nerveseg.imaging.arrays import Frame, Mask, Size
from nerveseg.imaging.grey_range import GreyRange
from nerveseg.inference.postprocessing import Cutoffs, Estimate, Probability, confidence

BATCH_SIZE = 16
# Of a predictor that is `simulated_only`.
SIMULATED_ONLY = (
    "remark: this model has learnt from simulated frames alone; its masks of real frames are worth little: "
    "train it on yours (docs/your-own-data.md)"
)
Output = TypeVar("Output")
Network = Callable[[NDArray[np.float32]], Mapping[str, ArrayLike]]


@dataclass(frozen=True)
class Prediction:
    probability: Probability  # of nerve, float32 (H, W), at the size of the frame
    mask: Mask  # bool (H, W)
    presence: float  # the probability that the frame shows a nerve, 0..1
    confidence: float  # in the mask, 0..1

    @property
    def area(self) -> int:
        """Return the area of the mask in pixels."""
        return int(np.count_nonzero(self.mask))

    @property
    def centroid(self) -> tuple[float, float] | None:
        """Return mean row and column of the mask's pixels, from 0, or None if it is empty."""
        rows, columns = np.nonzero(self.mask)
        return (float(rows.mean()), float(columns.mean())) if len(rows) else None


class Predictor:
    """A network with its input `size` (height, width) in pixels and its cut-offs.

    `learnt_frames` are keys (`leakage`) of frames that chose weights or cut-offs; `grey_range` is that of its data set;
    `simulated_only` says that all those frames are known to be simulated.
    """

    def __init__(
        self, run: Network, size: Size, cutoffs: Cutoffs, learnt_frames: frozenset[str],
        grey_range: GreyRange | None = None, *, simulated_only: bool = False,
    ) -> None:  # fmt: skip
        self._run, self.size, self.cutoffs, self.learnt_frames = run, size, cutoffs, learnt_frames
        self.grey_range = GreyRange() if grey_range is None else grey_range
        self.simulated_only = simulated_only

    def estimates(self, inputs: NDArray[np.uint8], sizes: Iterable[Size]) -> Iterator[Estimate]:
        """Yield the estimates of letterboxed frames, uint8 (N, height, width), at their `sizes`: all may not fit in memory."""
        yield from laid_over(in_batches(self._run, inputs), sizes, self.size)

    def predict(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict frames of any size, uint8 (H, W)."""
        said = self.maps(self.letterboxed(frames))
        return [self.prediction(each, frame.shape) for each, frame in zip(said, frames, strict=True)]

    def maps(self, inputs: NDArray[np.uint8]) -> Iterator[Estimate]:
        """Yield the estimates of letterboxed frames, uint8 (N, height, width), at this size."""
        return each_said(in_batches(self._run, inputs))

    def prediction(self, said: Estimate, size: Size) -> Prediction:
        """Return the estimate of a letterboxed frame as a prediction of the frame of `size`; ModelError if it is not finite."""
        if not (np.isfinite(said.probability).all() and np.isfinite(said.presence)):
            raise ModelError("the model's output is NaN or infinite; restore its files with `dvc pull`, or train again")
        found = over(size, said, self.size)
        mask = self.cutoffs.mask(found)
        return Prediction(found.probability, mask, found.presence, confidence(found, mask))

    def letterboxed(self, frames: Sequence[Frame]) -> NDArray[np.uint8]:
        """Fit frames of any size, uint8 (H, W), to the network's input, uint8 (N, height, width)."""
        fitted = [Letterbox.fit(frame.shape, self.size).frame(frame) for frame in frames]
        return np.reshape(fitted, (len(frames), *self.size)).astype(np.uint8, copy=False)


def in_batches(run: Callable[[NDArray[np.float32]], Output], inputs: NDArray[np.uint8]) -> list[Output]:
    """Return a network's outputs for letterboxed frames, uint8 (N, height, width), one per batch."""
    levels = inputs[..., np.newaxis].astype(np.float32)
    return [run(levels[start : start + BATCH_SIZE]) for start in range(0, len(levels), BATCH_SIZE)]


def each_said(outputs: Sequence[Mapping[str, ArrayLike]]) -> Iterator[Estimate]:
    """Yield the frames of batches of `probability` and `presence`."""
    for batch in outputs:
        probabilities, presences = np.asarray(batch["probability"])[..., 0], np.asarray(batch["presence"])[:, 0]
        for probability, presence in zip(probabilities, presences, strict=True):
            yield Estimate(probability, float(presence))


def laid_over(outputs: Sequence[Mapping[str, ArrayLike]], sizes: Iterable[Size], size: Size) -> Iterator[Estimate]:
    """Yield the frames of batches of `probability` and `presence` at their original `sizes`; `size` is the network's."""
    return (over(of_frame, said, size) for said, of_frame in zip(each_said(outputs), sizes, strict=True))


def over(of_frame: Size, said: Estimate, size: Size) -> Estimate:
    """Return the estimate of a letterboxed frame at the size of the original frame."""
    return Estimate(Letterbox.fit(of_frame, size).restore(said.probability), said.presence)
