"""What models say of test frames, one after the other: masks, probabilities, and where they are unsure."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.dataset.records import Record
from nerveseg.evaluation.model_names import SHIPPED
from nerveseg.imaging.arrays import Frame
from nerveseg.inference.postprocessing import Estimate
from nerveseg.inference.predictor import BATCH_SIZE, Prediction, Predictor
from nerveseg.reporting.figures.pictures import Case


def examine(
    records: Sequence[Record], models: Mapping[str, Predictor], scores: pd.DataFrame, ranks: Mapping[str, str]
) -> Iterator[Case]:
    """The cases of test records, in their order; the maps of one batch are in memory at a time.

    Args:
        records: with the frames as they were read.
        models: by name, the one that ships among them.
        scores: columns `frame`, `model` and `dice`, of these models.
        ranks: names of cases that stand for something, and what for.
    """
    dice = scores.set_index(["frame", "model"])["dice"]
    for start in range(0, len(records), BATCH_SIZE):
        batch = records[start : start + BATCH_SIZE]
        frames = [record.as_read for record in batch]
        predicted = {name: model.predict(frames) for name, model in models.items()}
        unsure = uncertainty(models[SHIPPED], frames, predicted[SHIPPED])
        for i, record in enumerate(batch):
            yield Case(
                name=record.name,
                subject=record.subject,
                frame=frames[i],
                truth=record.annotated,
                probabilities={model: found[i].probability for model, found in predicted.items()},
                masks={model: found[i].mask for model, found in predicted.items()},
                dice={model: float(dice[record.name, model]) for model in models},
                withheld=frozenset(name for name, model in models.items() if _withheld(model, predicted[name][i])),
                uncertainty=unsure[i],
                rank=ranks.get(record.name, ""),
            )


def _withheld(model: Predictor, found: Prediction) -> bool:
    return model.cutoffs.withholds(Estimate(found.probability, found.presence))


def uncertainty(
    model: Predictor, frames: Sequence[Frame], predicted: Sequence[Prediction]
) -> list[NDArray[np.float32]]:
    """How unsure a model is of each pixel, in bits, 0..1: the entropy of the mean probability over the frame and its mirror
    image (test-time augmentation; Wang et al. 2019, "Aleatoric uncertainty estimation with test-time augmentation"), and of an
    ensemble over its members, too.

    Args:
        model: that predicted.
        frames: uint8 (H, W) each.
        predicted: what it said of them.

    Returns:
        float32 (H, W) for each frame.
    """
    mirrored = model.predict([np.ascontiguousarray(frame[:, ::-1]) for frame in frames])
    pairs = zip(predicted, mirrored, strict=True)
    return [_entropy((seen.probability + again.probability[:, ::-1]) / 2) for seen, again in pairs]


def _entropy(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of a coin with this probability, in bits."""
    either = np.clip(np.stack([probability, 1 - probability]), 1e-7, 1)
    return np.minimum(-np.sum(either * np.log2(either), axis=0), 1)
