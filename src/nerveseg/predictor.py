"""What predicts: frames of any size in, masks of that size out, whatever stands behind it.

A `Predictor` has one Keras model, `network`, which maps grey levels, float32 (N, height, width, 1) 0..255, to `probability`
of nerve, of the same shape, and `presence`, (N, 1), and the cut-offs that make a mask of them. `nerveseg.segmenter` makes
it of one training, `nerveseg.ensemble` of several.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from nerveseg.data.letterbox import Frame, Letterbox, Mask, Size
from nerveseg.errors import ModelError
from nerveseg.evaluation.postprocessing import Cutoffs, Estimate, Probability, confidence

BATCH_SIZE = 16
Output = TypeVar("Output")


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
        network: as the module says.
        size: (height, width) of its input in pixels.
        cutoffs: that belong to it.
        subjects: keys, from `subject_keys`, of all subjects whose frames chose its weights or cut-offs.
    """

    def __init__(self, network: tf.keras.Model, size: Size, cutoffs: Cutoffs, subjects: frozenset[str]) -> None:
        self.network, self.size, self.cutoffs, self.subjects = network, size, cutoffs, subjects
        self._run = tf.function(network, reduce_retracing=True)

    def estimates(self, inputs: NDArray[np.uint8], sizes: Iterable[Size]) -> Iterator[Estimate]:
        """What the network says of letterboxed frames, uint8 (N, height, width), over the frames of `sizes` (height,
        width), one at a time: at the size of the frames, the maps of a whole test set may not fit in memory.
        """
        outputs = in_batches(self._run, inputs)
        yield from laid_over(outputs, sizes, self.size)

    def predict(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict frames of any size, uint8 (H, W)."""
        if not frames:
            return []
        inputs = np.stack([Letterbox.fit(frame.shape, self.size).frame(frame) for frame in frames])
        estimates = self.estimates(inputs, (frame.shape for frame in frames))
        masked = ((found, self.cutoffs.mask(found)) for found in estimates)
        return [Prediction(found.probability, mask, found.presence, confidence(found, mask)) for found, mask in masked]


def in_batches(run: Callable[[NDArray[np.float32]], Output], inputs: NDArray[np.uint8]) -> list[Output]:
    """What a network gives for letterboxed frames, uint8 (N, height, width), batch after batch."""
    levels = inputs[..., np.newaxis].astype(np.float32)
    return [run(levels[start : start + BATCH_SIZE]) for start in range(0, len(levels), BATCH_SIZE)]


def laid_over(outputs: Sequence[Mapping[str, tf.Tensor]], sizes: Iterable[Size], size: Size) -> Iterator[Estimate]:
    """Batches of `probability` and `presence` as estimates at the sizes of their frames; `size` is the network's."""
    maps = (probability for batch in outputs for probability in batch["probability"].numpy()[..., 0])
    presences = (presence for batch in outputs for presence in batch["presence"].numpy()[:, 0])
    for probability, presence, of_frame in zip(maps, presences, sizes, strict=True):
        yield Estimate(Letterbox.fit(of_frame, size).restore(probability), float(presence))


def subject_keys(manifest: pd.DataFrame) -> dict[str, str]:
    """A digest for each subject of a manifest over those of its frames and masks: it tells the subject again under
    another name and in another folder, but not once frames were added, and names nobody.
    """
    frames = manifest.groupby("subject")["digest"]
    return {str(name): hashlib.sha256("".join(sorted(of)).encode()).hexdigest()[:16] for name, of in frames}


def check_unseen(learnt: Collection[str], test: Mapping[str, str], name: object) -> None:
    """Make sure that scores on test subjects mean something.

    Args:
        learnt: keys of the subjects that a model has learnt from.
        test: the keys of the test subjects, by their names.
        name: of the model.

    Raises:
        ModelError: some are in both.
    """
    if seen := [subject for subject, key in test.items() if key in learnt]:
        raise ModelError(
            f"{name} has learnt from {len(seen)} of the test subjects ({', '.join(seen[:10])}), so that scores on them "
            "would mean nothing; train it with these subjects in split.test_subjects, or test on others"
        )
