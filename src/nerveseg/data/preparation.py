"""From files on disk to records: check every pair, split the subjects, letterbox, measure train, pack.

Two passes over the files keep memory flat: the first checks and keeps a row per frame, the second packs.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from nerveseg.data.dataset import LoadedPair, Pair, Quarantined, find_pairs, load_pairs
from nerveseg.data.frames import Letterbox, Size
from nerveseg.data.records import DatasetInfo, Record, write_records
from nerveseg.data.splits import SPLITS, split_subjects
from nerveseg.errors import DatasetError
from nerveseg.params import PreprocessParams, SplitParams

MANIFEST_COLUMNS = ["frame", "subject", "split", "height", "width", "has_nerve", "mask_area", "digest"]


@dataclass(frozen=True)
class Inspection:
    """What the first pass found in the folder `source`: a manifest (one row a frame, columns `MANIFEST_COLUMNS`, mask area in pixels), the
    pairs that it covers in the same order, and the files that are not used.
    """

    source: Path
    manifest: pd.DataFrame
    pairs: list[Pair]
    quarantined: list[Quarantined]


def inspect(directory: Path, split: SplitParams, seed: int) -> Inspection:
    """Check every pair of `directory` and assign each subject to a split.

    Raises:
        DatasetError: the folder holds no usable pair, or too few subjects, or no nerve to learn from.
    """
    pairs, quarantined = find_pairs(directory)
    rows = []
    used = []
    for loaded in tqdm(load_pairs(pairs), total=len(pairs), desc="checking", unit="frame"):
        if isinstance(loaded, Quarantined):
            quarantined.append(loaded)
        else:
            used.append(loaded.pair)
            rows.append(_row(loaded))
    if not rows:
        raise DatasetError(
            f"{directory}: none of {len(pairs)} pairs can be used; first reason: {quarantined[0].reason}"
        )
    manifest = pd.DataFrame(rows)
    prevalence = manifest.groupby("subject", sort=False)["has_nerve"].mean()
    split_of = split_subjects({str(subject): float(share) for subject, share in prevalence.items()}, split, seed)
    manifest["split"] = manifest["subject"].map(split_of)
    for part in SPLITS:
        if not manifest.loc[manifest["split"] == part, "has_nerve"].any():
            raise DatasetError(
                f"{directory}: no frame of the {part} subjects shows a nerve; add such frames, or choose the subjects "
                f"in the split section of params.yaml"
            )
    return Inspection(directory, manifest[MANIFEST_COLUMNS], used, quarantined)


def pack(inspection: Inspection, directory: Path, params: PreprocessParams) -> DatasetInfo:
    """Write the shards `train-*`, `val-*` and `test-*` and `dataset.json` into `directory`."""
    target = (params.height, params.width)
    measure = _GreyLevels()
    counts = {}
    splits = inspection.manifest["split"].to_numpy()
    for part in SPLITS:
        pairs = [pair for pair, split in zip(inspection.pairs, splits, strict=True) if split == part]
        records = _records(pairs, target, keep_original=part == "test")
        if part == "train":
            records = measure.watch(records)
        paths = [directory / f"{part}-{shard:02d}.tfrecord" for shard in range(params.shards)]
        counts[part] = write_records(paths, tqdm(records, total=len(pairs), desc=f"packing {part}", unit="frame"))
    digest = hashlib.sha256("\n".join(inspection.manifest["digest"]).encode()).hexdigest()
    info = DatasetInfo(
        str(inspection.source), params.height, params.width, measure.mean, measure.deviation, counts, digest
    )
    info.write(directory)
    return info


def _row(loaded: LoadedPair) -> dict[str, object]:
    area = int(loaded.mask.sum())
    height, width = loaded.frame.shape
    return {
        "frame": loaded.pair.name,
        "subject": loaded.pair.subject,
        "height": height,
        "width": width,
        "has_nerve": area > 0,
        "mask_area": area,
        "digest": loaded.digest,
    }


def _records(pairs: list[Pair], target: Size, *, keep_original: bool) -> Iterator[Record]:
    for loaded in load_pairs(pairs):
        if isinstance(loaded, Quarantined):
            raise DatasetError(f"{loaded.file} changed while it was being read: {loaded.reason}; run preprocess again")
        letterbox = Letterbox.fit(loaded.frame.shape, target)
        yield Record(
            name=loaded.pair.name,
            subject=loaded.pair.subject,
            frame=letterbox.frame(loaded.frame),
            mask=letterbox.mask(loaded.mask),
            truth=loaded.mask,
            original=loaded.frame if keep_original else None,
        )


class _GreyLevels:
    """Mean and standard deviation of the grey levels of the records that pass by, in exact integer sums."""

    def __init__(self) -> None:
        self._count = self._total = self._squares = 0

    def watch(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            levels = record.frame.astype(np.int64)
            self._count += levels.size
            self._total += int(levels.sum())
            self._squares += int((levels * levels).sum())
            yield record

    @property
    def mean(self) -> float:
        return self._total / self._count

    @property
    def deviation(self) -> float:
        return max(1.0, (self._squares / self._count - self.mean**2) ** 0.5)
