"""Makes the rounds that training cycles through, from the train records, into `data/augmented/`.

Each `round-*.tfrecord` holds every train frame once, in an order of its own: as itself in one round, as one of its
`augment.variants` variants in each of the others. `data/augmented.png` shows some of them. DVC caches both, so an
experiment that changes only the learning rate pays nothing for augmentation.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import trange

from nerveseg.data.augmentation import variant
from nerveseg.data.records import DatasetInfo, Record, read_records, shards, write_records
from nerveseg.errors import told_plainly
from nerveseg.outputs import fresh_folder
from nerveseg.params import Params, load_params
from nerveseg.reporting.pictures import montage
from nerveseg.tracking import stage_run

SOURCE = Path("data/processed")
OUTPUT = Path("data/augmented")
PREVIEW = Path("data/augmented.png")
STAGE_SEED = 0xA06


def augment() -> None:
    params = load_params()
    with stage_run("augment", params) as run, fresh_folder(OUTPUT) as folder:
        info = DatasetInfo.read(SOURCE)
        train = list(read_records(shards(SOURCE, "train"), info))
        rounds = params.augment.variants + 1
        for number in trange(rounds, desc="augmenting", unit="round"):
            write_records(
                [folder / f"round-{number:02d}.tfrecord"],
                (record.serialise() for record in _round(train, number, params)),
            )
        _preview(train, params, PREVIEW)
        run.log_artifact(PREVIEW)
        print(f"{rounds} rounds of {len(train)} train frames")


def _round(train: list[Record], number: int, params: Params) -> Iterator[Record]:
    order = np.random.default_rng([params.seed, STAGE_SEED, number]).permutation(len(train))
    return (_variant(train[index], int(index), number, params) for index in order)


def _variant(record: Record, index: int, number: int, params: Params) -> Record:
    """The record for its round: itself once in every `variants` + 1 rounds, else a variant; without its truth."""
    frame, mask = record.frame, record.mask
    if (index + number) % (params.augment.variants + 1):
        frame, mask = variant(frame, mask, params.augment, (params.seed, STAGE_SEED, index, number))
    return replace(record, frame=frame, mask=mask, truth=None)


def _preview(train: list[Record], params: Params, path: Path) -> None:
    """A row for each of a few subjects: a frame with a nerve, then its variants."""
    rounds = params.augment.variants + 1
    columns = min(rounds, 6)
    with_nerve = {record.subject: index for index, record in enumerate(train) if record.mask.any()}
    shown = list(with_nerve.values())[:: max(1, len(with_nerve) // 4)][:4]
    variants = [
        (index, _variant(train[index], index, (step - index) % rounds, params))
        for index in shown
        for step in range(columns)
    ]
    titles = [record.name if i % columns == 0 else f"variant {i % columns}" for i, (_, record) in enumerate(variants)]
    frames = [record.frame for _, record in variants]
    montage(frames, [record.mask > 127 for _, record in variants], titles, columns, path, params.visualize.dpi)


if __name__ == "__main__":
    with told_plainly():
        augment()
