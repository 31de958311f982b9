"""The rounds that training cycles through: in each of them every train frame once, in an order of its own.

In one round of `variants` + 1 a frame is itself, in the others one of its variants; the frames take turns, so that each
round mixes both. A round depends on its number and the seed alone, not on the rounds before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from nerveseg.data.augmentation import variant
from nerveseg.data.records import Record
from nerveseg.params import AugmentParams

STAGE_SEED = 0xA06


def round_of(train: Sequence[Record], number: int, params: AugmentParams, seed: int) -> Iterator[Record]:
    """The records of round `number`, from 0."""
    order = np.random.default_rng([seed, STAGE_SEED, number]).permutation(len(train))
    return (in_round(train[index], int(index), number, params, seed) for index in order)


def in_round(record: Record, index: int, number: int, params: AugmentParams, seed: int) -> Record:
    """Train record `index` as it is in round `number`; without its truth."""
    frame, mask = record.frame, record.mask
    if (index + number) % (params.variants + 1):
        frame, mask = variant(frame, mask, params, (seed, STAGE_SEED, index, number))
    return replace(record, frame=frame, mask=mask, truth=None)
