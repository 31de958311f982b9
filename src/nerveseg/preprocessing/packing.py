"""From a folder of files to records: read and check every frame once, split the subjects, pack.

Memory stays flat as the data grows. Processes read and letterbox the frames, which go straight to one file; in memory each leaves
a row of the manifest and a sketch of 1.2 kB. Once subjects are split, it is dealt to the shards. Only test frames are read twice.
"""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from nerveseg.dataset.info import DatasetInfo
from nerveseg.dataset.input_spec import InputSpec
from nerveseg.dataset.records import serialised, with_values, write_records
from nerveseg.errors import DatasetError
from nerveseg.files.atomic import write_csv
from nerveseg.files.checked_folder import list_files
from nerveseg.imaging.simulated import is_simulated
from nerveseg.params.data import DataParams, PreprocessParams, SplitParams
from nerveseg.preprocessing.annotated_frames import hash_of
from nerveseg.preprocessing.audit import Inventory, take_inventory
from nerveseg.preprocessing.listing import Refused
from nerveseg.preprocessing.prepared_frames import Prepared
from nerveseg.preprocessing.source_files import frames_of
from nerveseg.preprocessing.splits import SPLITS, split_subjects
from nerveseg.text.wording import counted

KEPT_FIRST = {"test": 0, "val": 1, "train": 2}  # which copies of a frame stay if they are in several parts of the split


def prepare_dataset(
    output: Path, data: DataParams, split: SplitParams, preprocess: PreprocessParams, seed: int, home: Path,
    workers: int | None = None,
) -> tuple[Inventory, DatasetInfo]:  # fmt: skip
    """Write shards, `dataset.json`, tables and the list of files into `output`, from the frames in `data.dir`.

    Return the inventory, with its splits, and what `dataset.json` holds. If too little can be used, raise `DatasetError`.
    """
    target = (preprocess.height, preprocess.width)
    with tempfile.TemporaryFile(dir=output) as file:
        spool = _Spool(file)
        inventory = take_inventory(Path(data.dir), data, home, target, spool.add, workers)
        refuse_too_many(inventory, data.max_quarantined)
        inventory = assign_splits(inventory, split, seed, drop_conflicts=data.drop_conflicts)
        info = _pack(inventory, spool, output, preprocess)
    quarantine = pd.DataFrame(inventory.quarantined, columns=["file", "reason", "remedy"])
    write_csv(output / "manifest.csv", inventory.manifest[inventory.manifest["split"] != ""])
    write_csv(output / "quarantine.csv", quarantine)
    write_csv(output / "remarks.csv", inventory.remarks)
    write_csv(output / "conflicts.csv", inventory.conflicts)
    list_files(output)
    return inventory, info


def refuse_too_many(inventory: Inventory, greatest_share: float) -> None:
    """Raise `DatasetError` if masks do not show where nerves are, or if no frame or too few of the images can be used."""
    directory, bad = inventory.reading.directory, inventory.bad
    reasons = Counter(item.reason for item in bad).most_common(3)
    often = "; ".join(f"{reason} ({count})" for reason, count in reasons)
    if inventory.manifest.empty:
        files = len(inventory.quarantined)
        raise DatasetError(
            f"{directory}: "
            + (f"none of {counted(files, 'file')} can be used" if files else "the folder is empty")
            + (f": {often}" if often else "; expected frames S_N.tif with masks S_N_mask.tif, or images/ with masks/")
            + (f"; `nerveseg check {directory}` lists them" if files else "")
        )
    if inventory.unclear:
        raise DatasetError(f"{directory}: {inventory.unclear}")
    share = len(bad) / (len(bad) + sum(len(frame.files) for frame in inventory.frames))  # each frame of a loop counts
    if share > greatest_share:
        raise DatasetError(
            f"{directory}: {counted(len(bad), 'image')} ({share:.0%}) cannot be used, more than data.max_quarantined "
            f"({greatest_share:.0%}): {often}; `nerveseg check {directory}` lists them"
        )


def verdict(inventory: Inventory, data: DataParams, split: SplitParams, seed: int) -> tuple[bool, str]:
    """Return whether `preprocess` would use the folder, and in a line which frames of it, or why it would stop."""
    if inventory.unclear or inventory.manifest.empty:
        return False, "preprocess would stop: mend the above first"
    try:
        refuse_too_many(inventory, data.max_quarantined)
        manifest = assign_splits(inventory, split, seed, drop_conflicts=data.drop_conflicts).manifest
    except DatasetError as error:
        return False, f"preprocess would stop: {str(error).partition('; `nerveseg check ')[0]}"
    parts = {part: manifest.loc[manifest["split"] == part, "subject"] for part in SPLITS}
    told = [
        f"{part} {counted(len(rows), 'frame')} of {counted(rows.nunique(), 'subject')}" for part, rows in parts.items()
    ]
    return True, f"preprocess would use {', '.join(told)}"


def assign_splits(inventory: Inventory, params: SplitParams, seed: int, *, drop_conflicts: bool) -> Inventory:
    """Give each subject its split and quarantine rows that must not be used there; `DatasetError` if a part has no nerve."""
    manifest = inventory.manifest.copy()
    prevalence = manifest.groupby("subject", sort=False)["has_nerve"].mean()
    subjects = manifest["subject"].tolist()
    shared = [*inventory.copies, *inventory.near]
    linked = {pair for rows in shared for pair in combinations(dict.fromkeys(subjects[row] for row in rows), 2)}
    shares = {str(subject): float(share) for subject, share in prevalence.items()}
    manifest["split"] = manifest["subject"].map(split_subjects(shares, params, seed, sorted(linked)))
    parts = manifest["split"].tolist()
    dropped: dict[int, tuple[str, str]] = {}
    for rows in shared:
        first = min(rows, key=lambda row: (KEPT_FIRST[parts[row]], row))
        for row in rows:
            if parts[row] != parts[first]:
                same = "" if len({inventory.frames[one].pixels for one in (row, first)}) == 1 else "nearly "
                reason = f"{same}the same pixels as {manifest['frame'].iloc[first]}, a frame of {parts[first]}"
                dropped.setdefault(row, (reason, "find out whose frame it is, and remove the other"))
    if drop_conflicts:
        row_of = {name: row for row, name in enumerate(manifest["frame"])}
        for conflict in inventory.conflicts.itertuples():
            row = row_of[str(conflict.frame)]
            if parts[row] == "train" and not manifest["has_nerve"].iloc[row]:
                reason = f"no nerve is marked, but its near twin {conflict.other} has one"
                dropped.setdefault(row, (reason, "label one of them again, or set data.drop_conflicts to false"))
    quarantined = list(inventory.quarantined)
    for row, (reason, remedy) in sorted(dropped.items()):
        quarantined += [Refused(file, reason, remedy) for file in inventory.frames[row].files]
    manifest.loc[list(dropped), "split"] = ""
    for part in SPLITS:
        shows = manifest.loc[manifest["split"] == part, "has_nerve"]
        if not shows.any():
            empty = f"every frame of the {part} subjects is left out, as a copy or a contradiction; find out whose frames they are"
            what = empty if shows.empty else f"no frame of the {part} subjects shows a nerve; add such frames"
            remedy = "or choose the subjects in the split section of params.yaml"
            raise DatasetError(f"{inventory.reading.directory}: {what}, {remedy}")
    return replace(inventory, manifest=manifest, quarantined=quarantined)


def _pack(inventory: Inventory, spool: "_Spool", output: Path, params: PreprocessParams) -> DatasetInfo:
    manifest = inventory.manifest
    parts = manifest["split"].to_numpy()
    counts = {}
    for part in SPLITS:
        rows = np.flatnonzero(parts == part)
        records: Iterator[bytes] = (spool.record(row) for row in rows)
        if inventory.persons.same:
            subjects = manifest["subject"].tolist()
            records = (with_values(spool.record(row), subject=subjects[row].encode()) for row in rows)
        if part == "test":
            records = _with_originals(records, rows, inventory)
        paths = [output / f"{part}-{shard:02d}.tfrecord" for shard in range(params.shards)]
        counts[part] = write_records(paths, tqdm(records, total=len(rows), desc=f"packing {part}", unit="frame"))
    learnt = np.array([frame.levels for frame in inventory.frames], np.int64)[parts == "train"]
    pixels = len(learnt) * params.height * params.width
    mean, square = int(learnt[:, 0].sum()) / pixels, int(learnt[:, 1].sum()) / pixels  # of exact sums
    std = max(1.0, (square - mean**2) ** 0.5)
    digest = hashlib.sha256("\n".join(manifest.loc[parts != "", "digest"]).encode()).hexdigest()
    source = str(inventory.reading.directory)
    used = [frame.source for frame, part in zip(inventory.frames, parts, strict=True) if part]
    found = {source.name: source.frame for source in inventory.layout.sources}
    marked = {name for name in set(used) if is_simulated(found[name])}
    simulated, spec = sum(name in marked for name in used), InputSpec(params.height, params.width, mean, std)
    info = DatasetInfo(source, spec, counts, digest, inventory.reading.grey_range, tuple(inventory.warnings), simulated)
    info.write(output)
    return info


class _Spool:
    """Records in one file, in the order of the manifest, until their split is known."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._ends = file, [0]

    def add(self, item: Prepared, subject: str) -> None:
        record = serialised(item.name, subject, item.frame, item.mask, item.truth, item.size, spacing=item.spacing)
        self._file.write(record)
        self._ends.append(self._ends[-1] + len(record))

    def record(self, row: int) -> bytes:
        self._file.seek(self._ends[row])
        return self._file.read(self._ends[row + 1] - self._ends[row])


def _with_originals(records: Iterator[bytes], rows: NDArray[np.intp], inventory: Inventory) -> Iterator[bytes]:
    """Add to test records their frames as they were read, in this process: sending a frame from another takes as long."""
    wanted = {inventory.frames[row].source for row in rows}
    frames = (
        (hash_of(frame).hexdigest(), frame)
        for source in inventory.layout.sources
        if source.name in wanted
        for frame in frames_of(source, inventory.reading.grey_range)[0]
    )
    for record, row in zip(records, rows, strict=True):
        expected = inventory.frames[row]
        frame = next((frame for digest, frame in frames if digest == expected.pixels), None)
        if frame is None:
            raise DatasetError(f"{expected.files[0]} changed while it was being read; run preprocess again")
        yield with_values(record, original=frame.tobytes())
