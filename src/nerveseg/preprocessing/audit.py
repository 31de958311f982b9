"""The account of a data set: every frame that is used, every file that is not, and what is odd about them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from nerveseg.errors import DatasetError
from nerveseg.imaging.arrays import Size
from nerveseg.imaging.dicom import salt_of
from nerveseg.imaging.grey_range import DIM, GreyRange, decided
from nerveseg.imaging.mask_values import ValuesInUse
from nerveseg.params.data import DataParams
from nerveseg.preprocessing.audit_rows import Rows
from nerveseg.preprocessing.layouts import DICOM, Layout, Quarantined, recognise
from nerveseg.preprocessing.near_duplicates import conflicts, duplicates
from nerveseg.preprocessing.persons import Persons, same_persons
from nerveseg.preprocessing.sources import Reading
from nerveseg.preprocessing.subjects import SubjectRules
from nerveseg.preprocessing.worker import Prepared, extremes_of, prepare
from nerveseg.processes.parallel import in_order
from nerveseg.text.wording import counted

MANIFEST_COLUMNS = [
    "frame",
    "subject",
    "split",
    "height",
    "width",
    "has_nerve",
    "mask_area",
    "digest",
    "pixels",
    "look",
]
REMARK_COLUMNS = ["frame", "remark"]


@dataclass(frozen=True)
class Inventory:
    """What is in `reading.directory`.

    `manifest` has a row for each usable frame (columns `MANIFEST_COLUMNS`). Its `split` is '' until `assign_splits`,
    and stays so for frames that are left out. For the same rows, `levels` has the sum of the letterboxed grey levels and
    of their squares, int64 (N, 2), `pixels` the digest of the frame, `sources` the name of the source and `files` those
    that it came from. `mask_values` are those in their masks, `persons` says which subjects were found to be one.
    `copies` are groups of rows with the same pixels; `unknown` counts frames without a known subject,
    `unmatched` are the frames of `subjects.csv` that are not there.
    """

    reading: Reading
    layout: Layout
    manifest: pd.DataFrame
    quarantined: list[Quarantined]
    remarks: pd.DataFrame
    conflicts: pd.DataFrame
    copies: list[list[int]]
    levels: NDArray[np.int64]
    pixels: list[str]
    sources: list[str]
    files: list[tuple[str, ...]]
    mask_values: ValuesInUse
    persons: Persons
    unknown: int
    unmatched: list[str]

    def __str__(self) -> str:
        subjects = self.manifest["subject"].nunique()
        return f"{self.layout.name} layout, {counted(len(self.manifest), 'pair')}, {counted(subjects, 'subject')}"

    @property
    def bad(self) -> list[Quarantined]:
        """The files that claimed to be frames or masks."""
        return [item for item in self.quarantined if not item.foreign]

    @property
    def unclear(self) -> str:
        """Why the masks do not tell where nerves are; '' where they do."""
        if len(self.manifest) and not self.manifest["has_nerve"].any():
            return self.mask_values.without_nerve(self.reading.labels)
        return "" if self.reading.labels else self.mask_values.unclear

    @property
    def leaks(self) -> list[list[int]]:
        """Groups of rows with the same pixels under more than one subject."""
        return [rows for rows in self.copies if len(set(self.manifest["subject"].iloc[rows])) > 1]

    @property
    def warnings(self) -> list[str]:
        """What a reader of the scores should know, a sentence each."""
        told = []
        if self.unknown:
            told.append(
                f"{counted(self.unknown, 'frame')} without a known subject, each a subject of its own here: near twins may "
                "stand in train and in test, and scores may leak; add subjects.csv (frame,subject) or set "
                "data.subject_pattern"
            )
        if self.unmatched:
            told.append(
                f"{counted(len(self.unmatched), 'frame')} of subjects.csv not in the data set ({self.unmatched[0]}); it names "
                "frames by their path without suffix, and without the folder images"
            )
        told += self.persons.warnings
        told += self.mask_values.remarks(self.reading.labels) if len(self.manifest) else []
        if dim := int(self.remarks["remark"].str.contains(DIM, regex=False).sum()):
            told.append(
                f"{counted(dim, 'frame')} {'is' if dim == 1 else 'are'} dark beside others of more than 8 bits, with which they share black and white: if they "
                "come from another machine, export all with 8 bits"
            )
        if leaks := self.leaks:
            names = " and ".join(self.manifest["frame"].iloc[leaks[0]])
            told.append(
                f"{counted(len(leaks), 'frame')} under more than one subject with the same pixels ({names}); their "
                "subjects stay in one split, or, where params part them, the copy that is not in test is left out; remove a copy, or give both one subject in "
                "subjects.csv, and check passes"
            )
        if len(self.conflicts):
            first = self.conflicts.iloc[0]
            told.append(
                f"{counted(len(self.conflicts), 'pair')} of near twins contradict each other ({first['frame']} and "
                f"{first['other']}: {first['reason']}); `nerveseg check --json` and conflicts.csv list them"
            )
        return told


def take_inventory(
    directory: Path,
    data: DataParams,
    home: Path,
    target: Size,
    keep: Callable[[Prepared, str], None] | None = None,
    workers: int | None = None,
    *,
    clear_names: bool = False,
) -> Inventory:
    """Read and check everything in `directory`, in the same order for any number of workers.

    Args:
        directory: the data set.
        data: how its files are to be read.
        home: where the secret behind the subjects of DICOM files is kept (`nerveseg.imaging.dicom.salt_of`).
        target: size (height, width) of the network's input.
        keep: called with each usable frame and its subject.
        workers: processes; None: one for each core.
        clear_names: call files by their paths also where DICOM is among them: for the owner's eyes alone.

    Raises:
        DatasetError: the folder is missing, or its `subjects.csv` damaged.
    """
    layout = recognise(directory, None if clear_names else partial(salt_of, home))
    rules = SubjectRules.read(directory, data.subject_pattern, layout.names.salt)
    salt = layout.names.salt or (salt_of(home) if layout.name == DICOM else b"")
    said = GreyRange.said(data.grey_range)
    grey_range = said if said.given else decided(in_order(extremes_of, layout.sources, workers))
    reading = Reading(directory, data.nerve_labels, salt, layout.names, data.spacing_mm, grey_range)
    quarantined, rows, names = list(layout.quarantined), Rows(), set[str]()
    progress = tqdm(total=len(layout.sources), desc="checking", unit="file")
    for items in in_order(partial(prepare, reading=reading, target=target), layout.sources, workers):
        progress.update()
        for item in items:
            if isinstance(item, Quarantined):
                quarantined.append(item)
            elif item.name in names:
                quarantined += left_out(item.files, f"another frame is called {item.name}", "rename one of them")
            else:
                names.add(item.name)
                subject = rows.add(item, rules.subject(item.source, item.key, item.patient and item.patient.subject))
                if keep is not None:
                    keep(item, subject)
    progress.close()
    manifest = pd.DataFrame(rows.manifest, columns=MANIFEST_COLUMNS)
    persons = same_persons(manifest["subject"].tolist(), rows.patients, set(rules.listed.values()), salt)
    manifest["subject"] = manifest["subject"].replace(persons.same)
    copies = duplicates(manifest, rows.pixels)
    for group in copies:
        first = str(manifest["frame"].iloc[group[0]])
        rows.remarks += [(str(manifest["frame"].iloc[row]), f"the same pixels as {first}") for row in group[1:]]
    return Inventory(
        reading=reading,
        layout=layout,
        manifest=manifest,
        quarantined=quarantined,
        remarks=pd.DataFrame(rows.remarks, columns=REMARK_COLUMNS),
        conflicts=conflicts(manifest, rows.sketches, copies),
        copies=copies,
        levels=np.array(rows.levels, np.int64).reshape(-1, 2),
        pixels=rows.pixels,
        sources=rows.sources,
        files=rows.files,
        mask_values=rows.mask_values,
        persons=persons,
        unknown=rows.unknown,
        unmatched=[layout.names(frame) for frame in rules.without_frame(rows.keys)],
    )


def refuse_too_many(inventory: Inventory, greatest_share: float) -> None:
    """Stop where the data set is not what its owner believes.

    Raises:
        DatasetError: the masks do not tell where nerves are, or no frame, or too few of the images can be used.
    """
    directory, bad = inventory.reading.directory, inventory.bad
    reasons = Counter(item.reason for item in bad).most_common(3)
    often = "; ".join(f"{reason} ({count})" for reason, count in reasons)
    if inventory.manifest.empty:
        raise DatasetError(
            f"{directory}: no file of {len(inventory.quarantined):,} can be used"
            + (f": {often}" if often else "; expected frames S_N.tif with masks S_N_mask.tif, or images/ with masks/")
            + f"; `nerveseg check {directory}` lists them"
        )
    if inventory.unclear:
        raise DatasetError(f"{directory}: {inventory.unclear}")
    share = len(bad) / (len(bad) + sum(map(len, inventory.files)))  # each frame of a loop counts
    if share > greatest_share:
        raise DatasetError(
            f"{directory}: {counted(len(bad), 'image')} ({share:.0%}) cannot be used, more than data.max_quarantined "
            f"({greatest_share:.0%}): {often}; `nerveseg check {directory}` lists them"
        )


def left_out(files: Sequence[str], reason: str, remedy: str) -> list[Quarantined]:
    """Files that nothing is wrong with by themselves."""
    return [Quarantined(file, reason, remedy) for file in files]
