"""From a folder of files to records: read and check every frame once, split the subjects, pack.

Memory stays flat as the data grows: frames are read in processes, letterboxed there and written to one file on the way;
what is kept of each is a row of the manifest and a sketch of 1.2 kB. When all have been seen and the subjects are split,
that file is dealt to the shards. Only the frames of test are read a second time, for the originals in their records.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from nerveseg.data.inspection import Prepared, originals
from nerveseg.data.inventory import Inventory, left_out, refuse_too_many, take_inventory
from nerveseg.data.parallel import in_order
from nerveseg.data.records import DatasetInfo, serialised, with_original, write_records
from nerveseg.data.splits import SPLITS, split_subjects
from nerveseg.errors import DatasetError
from nerveseg.params import DataParams, PreprocessParams, SplitParams

SPOOL = ".frames.tfrecord"
KEPT_FIRST = {"test": 0, "val": 1, "train": 2}  # of the copies of a frame, those in this part of the split


def prepare_dataset(
    output: Path, data: DataParams, split: SplitParams, preprocess: PreprocessParams, seed: int, home: Path,
    workers: int | None = None,
) -> tuple[Inventory, DatasetInfo]:  # fmt: skip
    """Write the shards `train-*`, `val-*` and `test-*` and `dataset.json` of the folder `data.dir` into `output`.

    Returns:
        The account of the data set, its subjects assigned to splits, and what `dataset.json` says.

    Raises:
        DatasetError: too much of the folder cannot be used, or there are too few subjects, or no nerve to learn from.
    """
    target = (preprocess.height, preprocess.width)
    spool = output / SPOOL
    with tf.io.TFRecordWriter(str(spool)) as writer:

        def keep(item: Prepared, subject: str) -> None:
            writer.write(serialised(item.name, subject, item.frame, item.mask, item.truth, item.size, original=None))

        inventory = take_inventory(Path(data.dir), data, home, target, keep, workers)
    refuse_too_many(inventory, data.max_quarantined)
    inventory = assign_splits(inventory, split, seed, drop_conflicts=data.drop_conflicts)
    info = _pack(inventory, spool, output, preprocess, workers)
    spool.unlink()
    return inventory, info


def assign_splits(inventory: Inventory, params: SplitParams, seed: int, *, drop_conflicts: bool) -> Inventory:
    """Give each subject its split; rows that must not be used there are left without one, and quarantined.

    Raises:
        DatasetError: there are too few subjects, or a part of the split shows no nerve.
    """
    manifest = inventory.manifest.copy()
    prevalence = manifest.groupby("subject", sort=False)["has_nerve"].mean()
    subjects = manifest["subject"].tolist()
    linked = {
        pair for rows in inventory.copies for pair in combinations(dict.fromkeys(subjects[row] for row in rows), 2)
    }
    shares = {str(subject): float(share) for subject, share in prevalence.items()}
    manifest["split"] = manifest["subject"].map(split_subjects(shares, params, seed, sorted(linked)))
    parts = manifest["split"].tolist()
    dropped: dict[int, tuple[str, str]] = {}
    for rows in inventory.copies:
        first = min(rows, key=lambda row: (KEPT_FIRST[parts[row]], row))
        for row in rows:
            if parts[row] != parts[first]:
                reason = f"the same pixels as {manifest['frame'].iloc[first]}, a frame of {parts[first]}"
                dropped[row] = (reason, "find out whose frame it is, and remove the other")
    if drop_conflicts:
        row_of = {name: row for row, name in enumerate(manifest["frame"])}
        for conflict in inventory.conflicts.itertuples():
            row = row_of[str(conflict.frame)]
            if parts[row] == "train" and not manifest["has_nerve"].iloc[row]:
                reason = f"no nerve is marked, but its near twin {conflict.other} has one"
                dropped.setdefault(row, (reason, "label one of them again, or set data.drop_conflicts to false"))
    quarantined = list(inventory.quarantined)
    for row, (reason, remedy) in sorted(dropped.items()):
        quarantined += left_out(inventory.files[row], reason, remedy)
    manifest.loc[list(dropped), "split"] = ""
    for part in SPLITS:
        if not manifest.loc[manifest["split"] == part, "has_nerve"].any():
            raise DatasetError(
                f"{inventory.reading.directory}: no frame of the {part} subjects shows a nerve; add such frames, or "
                "choose the subjects in the split section of params.yaml"
            )
    return replace(inventory, manifest=manifest, quarantined=quarantined)


def _pack(
    inventory: Inventory, spool: Path, output: Path, params: PreprocessParams, workers: int | None
) -> DatasetInfo:
    manifest = inventory.manifest
    parts = manifest["split"].to_numpy()
    counts = {}
    for part in SPLITS:
        records: Iterator[bytes] = (
            record for record, other in zip(_spooled(spool), parts, strict=True) if other == part
        )
        if part == "test":
            records = _with_originals(records, inventory, workers)
        paths = [output / f"{part}-{shard:02d}.tfrecord" for shard in range(params.shards)]
        total = int((parts == part).sum())
        counts[part] = write_records(paths, tqdm(records, total=total, desc=f"packing {part}", unit="frame"))
    mean, deviation = _grey_levels(inventory.levels[parts == "train"], params.height * params.width)
    digest = hashlib.sha256("\n".join(manifest.loc[parts != "", "digest"]).encode()).hexdigest()
    source = str(inventory.reading.directory)
    info = DatasetInfo(source, params.height, params.width, mean, deviation, counts, digest)
    info.write(output)
    return info


def _spooled(path: Path) -> Iterator[bytes]:
    yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()


def _with_originals(records: Iterator[bytes], inventory: Inventory, workers: int | None) -> Iterator[bytes]:
    """The records of test with their frames as they were read, which must still be the same."""
    rows = np.flatnonzero(inventory.manifest["split"].to_numpy() == "test")
    wanted = {inventory.sources[row] for row in rows}
    sources = [source for source in inventory.layout.sources if source.name in wanted]
    frames = in_order(partial(originals, reading=inventory.reading), sources, workers)
    for record, row in zip(records, rows, strict=True):
        name = inventory.manifest["frame"].iloc[row]
        digest, frame = next(((found, frame) for other, found, frame in frames if other == name), (None, None))
        if frame is None or digest != inventory.pixels[row]:
            raise DatasetError(f"{inventory.files[row][0]} changed while it was being read; run preprocess again")
        yield with_original(record, frame)


def _grey_levels(sums: NDArray[np.int64], pixels: int) -> tuple[float, float]:
    """Mean and standard deviation over frames of `pixels` pixels each, from exact integer sums."""
    count = len(sums) * pixels
    mean, square = int(sums[:, 0].sum()) / count, int(sums[:, 1].sum()) / count
    return mean, max(1.0, (square - mean**2) ** 0.5)
