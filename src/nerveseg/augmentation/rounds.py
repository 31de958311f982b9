"""The rounds that training cycles through: each has every train frame once, in an order of its own.

A frame is itself in one of `variants` + 1 rounds, and one of its variants in the others. Frames take turns, so that each
round mixes both. A round depends only on its number and the seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from joblib import cpu_count, delayed
from tqdm import tqdm

from nerveseg.augmentation.variants import variant
from nerveseg.dataset.records import Record, write_records
from nerveseg.files.checked_folder import list_files
from nerveseg.params.data import AugmentParams
from nerveseg.processes.parallel import processes

STAGE_SEED = 0xA06
FEW = 40_000  # variants; up to so many are made faster than other processes start
SHARES = 4  # tasks per process; each task is sent all train frames


def write_rounds(folder: Path, train: Sequence[Record], params: AugmentParams, seed: int, count: int) -> list[Path]:
    """Write the first `count` rounds and their list into a folder; if there are many, with one process per core."""
    paths = [folder / f"round-{number:03d}.tfrecord" for number in range(count)]
    frames = [replace(record, truth=None, original=None) for record in train]
    workers = cpu_count() if count * len(train) > FEW else 1
    together = max(1, count // (SHARES * workers)) if workers > 1 else 1
    shares = [range(first, min(first + together, count)) for first in range(0, count, together)]
    tasks = (delayed(_write)([paths[number] for number in share], frames, share, params, seed) for share in shares)
    with tqdm(total=count, desc="augmenting", unit="round") as progress:
        for written in processes(workers, return_as="generator")(tasks):
            progress.update(written)
    list_files(folder)
    return paths


def _write(paths: Sequence[Path], train: Sequence[Record], numbers: range, params: AugmentParams, seed: int) -> int:
    for path, number in zip(paths, numbers, strict=True):
        write_records([path], (record.serialise() for record in round_of(train, number, params, seed)))
    return len(paths)


def round_of(train: Sequence[Record], number: int, params: AugmentParams, seed: int) -> Iterator[Record]:
    """Yield the records of round `number`, from 0."""
    order = np.random.default_rng([seed, STAGE_SEED, number]).permutation(len(train))
    return (in_round(train[index], int(index), number, params, seed) for index in order)


def in_round(record: Record, index: int, number: int, params: AugmentParams, seed: int) -> Record:
    """Return train record `index` as it is in round `number`, without its truth."""
    frame, mask = record.frame, record.mask
    if (index + number) % (params.variants + 1):
        frame, mask = variant(frame, mask, params, (seed, STAGE_SEED, index, number))
    return replace(record, frame=frame, mask=mask, truth=None)
