"""The predictions of test frames, case by case: masks, probabilities and uncertainty; and that of the rescued frame."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.dataset.letterbox import Letterbox
from nerveseg.dataset.records import Record
from nerveseg.evaluation.model_names import BASE, SHIPPED
from nerveseg.evaluation.rescued_frame import Rescue
from nerveseg.evaluation.robustness import REPORTED
from nerveseg.evaluation.stored_predictions import StoredPredictions
from nerveseg.measures.overlap import count
from nerveseg.reporting.figures.pictures import Case, Pictured
from nerveseg.reporting.figures.plots import titled


def predicted_cases(
    records: Sequence[Record],
    predictions: StoredPredictions,
    models: Sequence[str],
    scores: pd.DataFrame,
    ranks: Mapping[str, str],
) -> Iterator[Case]:
    """Yield the case of each test record, with its frame as it was read.

    `models` names some of `predictions`, that of the model that ships among them. `scores` has their columns `frame`,
    `model` and `dice`; `ranks` is from `case_selection.chosen`.
    """
    dice = scores.set_index(["frame", "model"])["dice"]
    cutoffs = {name: predictions.info.cutoffs[name] for name in models}
    sizes = [record.as_read.shape for record in records]
    said = zip(*(predictions.estimates(name, sizes) for name in models), strict=True)
    for record, estimates, mirrored in zip(records, said, predictions.mirrored(sizes), strict=True):
        found = dict(zip(models, estimates, strict=True))
        yield Case(
            name=record.name,
            subject=record.subject,
            frame=record.as_read,
            truth=record.annotated,
            probabilities={name: estimate.probability for name, estimate in found.items()},
            masks={name: cutoffs[name].mask(estimate) for name, estimate in found.items()},
            dice={name: float(dice[record.name, name]) for name in models},
            withheld=frozenset(name for name, estimate in found.items() if cutoffs[name].withholds(estimate)),
            mirrored=mirrored,
            uncertainty=uncertainty(found[SHIPPED].probability, mirrored),
            rank=ranks.get(record.name, ""),
        )


def rescued_case(records: Sequence[Record], rescue: Rescue | None) -> Pictured | None:
    """Return the degraded frame, if any, at the size that it was read in; the refined mask is of the model before its export."""
    if rescue is None:
        return None
    record = next(record for record in records if record.name == rescue.frame)
    size = record.annotated.shape
    frame = Letterbox.fit(size, rescue.degraded.shape).restore(rescue.degraded.astype(np.float32))
    masks = {BASE: rescue.unet, SHIPPED: rescue.refined}
    return Pictured(
        name=record.name,
        subject=record.subject,
        frame=frame.round().astype(np.uint8),
        truth=record.annotated,
        masks=masks,
        dice={model: count(record.annotated, mask).dice for model, mask in masks.items()},
        rank=f"{titled(rescue.degradation)} {REPORTED}",
        withheld=frozenset([BASE] if rescue.withheld else []),
    )


def uncertainty(probability: NDArray[np.float32], mirrored: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the entropy in bits, 0..1, of two float32 maps' mean (H, W): a frame's and its mirror image's turned back.

    This is test-time augmentation (Wang et al. 2019, "Aleatoric uncertainty estimation with test-time augmentation").
    """
    probability = (probability + mirrored) / 2
    either = np.clip(np.stack([probability, 1 - probability]), 1e-7, 1)
    return np.minimum(-np.sum(either * np.log2(either), axis=0), 1)
