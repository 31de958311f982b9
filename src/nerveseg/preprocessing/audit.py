"""The audit of a data set: every frame that is used, every file that is not, and what is odd about them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from nerveseg.imaging.arrays import Size
from nerveseg.imaging.dicom import salt_of
from nerveseg.imaging.frame_files import extremes
from nerveseg.imaging.grey_range import DIM, Extremes, GreyRange, decided
from nerveseg.imaging.mask_values import ValuesInUse
from nerveseg.params.data import DataParams
from nerveseg.preprocessing.layouts import Layout, recognise
from nerveseg.preprocessing.listing import DICOM, UNREAD_SUBJECTS, VIDEO, Refused, kind_of
from nerveseg.preprocessing.near_duplicates import conflicts, duplicates, near_copies
from nerveseg.preprocessing.persons import Persons, same_persons
from nerveseg.preprocessing.prepared_frames import Prepared, prepare
from nerveseg.preprocessing.source_files import Reading
from nerveseg.preprocessing.splits import LEAST_SUBJECTS
from nerveseg.preprocessing.subject_doubts import doubts, folder_around, half_listed
from nerveseg.preprocessing.subjects import SubjectRules
from nerveseg.processes.parallel import SHORT, in_order
from nerveseg.text.spelling import plain
from nerveseg.text.wording import counted

MANIFEST_COLUMNS = [
    "frame", "subject", "split", "height", "width", "has_nerve", "mask_area", "digest", "pixels", "look",
]  # fmt: skip


@dataclass(frozen=True)
class Inventory:
    """What is in `reading.directory`."""

    reading: Reading
    layout: Layout
    frames: list[Prepared]  # those of `manifest`, without their pixels
    manifest: pd.DataFrame  # usable frames; their `split` is '' until `assign_splits`, and stays so for those left out
    quarantined: list[Refused]
    remarks: pd.DataFrame
    conflicts: pd.DataFrame
    copies: list[list[int]]  # groups of rows with equal pixels
    near: list[tuple[int, int]]  # pairs of rows of different subjects with hardly different pixels
    mask_values: ValuesInUse
    persons: Persons  # which subjects were found to be one
    unknown: int  # frames without a known subject
    doubts: list[str]  # warnings about the subjects of the others
    unmatched: list[str]  # frames of `subjects.csv` that are not there

    def __str__(self) -> str:
        subjects = self.manifest["subject"].nunique()
        return f"{self.layout.name} layout, {counted(len(self.manifest), 'pair')}, {counted(subjects, 'subject')}"

    @property
    def bad(self) -> list[Refused]:
        """The files that claim to be frames or masks."""
        return [item for item in self.quarantined if not item.foreign]

    @property
    def unclear(self) -> str:
        """Why the masks do not show where nerves are; '' if they do."""
        if contradictory := self.mask_values.contradictory:
            return contradictory
        if len(self.manifest) and not self.manifest["has_nerve"].any():
            return self.mask_values.without_nerve(self.reading.labels)
        return "" if self.reading.labels else self.mask_values.unclear

    @property
    def leaks(self) -> list[list[int]]:
        """Groups of rows with equal pixels under more than one subject."""
        return [rows for rows in self.copies if len(set(self.manifest["subject"].iloc[rows])) > 1]

    @property
    def warnings(self) -> list[str]:
        """What a reader of the scores should know, a sentence each."""
        warnings = []
        if self.unknown:
            warnings.append(
                f"{counted(self.unknown, 'frame')} without a known subject, counted as a subject each: train and test may hold "
                "nearly equal frames, so scores may be too good; add subjects.csv (frame,subject) or set data.subject_pattern"
            )
        if unread := [item.file for item in self.quarantined if item.reason == UNREAD_SUBJECTS]:
            warnings.append(
                f"{unread[0]} is not read: subjects come from subjects.csv in the data set's folder, CSV in UTF-8; save it there"
            )
        if self.unmatched:
            warnings.append(
                f"{counted(len(self.unmatched), 'frame')} of subjects.csv not among the pairs ({self.unmatched[0]}); name frames "
                "by their path without suffix and without the folder images"
            )
        warnings += self.persons.warnings
        warnings += self.mask_values.remarks(self.reading.labels) if self.manifest["has_nerve"].any() else []
        if dim := int(self.remarks["remark"].str.contains(DIM, regex=False).sum()):
            warnings.append(
                f"{counted(dim, 'frame')} {'is' if dim == 1 else 'are'} dark beside others of more than 8 bits, with which "
                "they share black and white; if they come from another machine, export all with 8 bits"
            )
        if leaks := self.leaks:
            names = " and ".join(self.manifest["frame"].iloc[leaks[0]])
            warnings.append(
                f"{counted(len(leaks), 'frame')} under more than one subject with the same pixels ({names}); these subjects "
                "stay in one split or, if params part them, the copy outside test is left out; remove a copy, or give both "
                "one subject in subjects.csv"
            )
        warnings += self.doubts
        if len(self.conflicts):
            first = self.conflicts.iloc[0]
            warnings.append(
                f"{counted(len(self.conflicts), 'pair')} of nearly equal frames contradict each other ({first['frame']} and "
                f"{first['other']}: {first['reason']}); `nerveseg check --json` and conflicts.csv list them"
            )
        shown = self.manifest.loc[self.manifest["has_nerve"].astype(bool), "subject"].nunique()
        if 0 < shown < LEAST_SUBJECTS:
            warnings.append(
                f"{counted(shown, 'subject')} with a nerve in any frame; preprocess needs {LEAST_SUBJECTS}, for train, val and test"
            )
        return warnings


def _levels(files: Sequence[Path], workers: int | None) -> Iterator[Extremes]:
    found = in_order(_levels_of, files, workers)
    return chain.from_iterable(tqdm(found, total=len(files), desc="reading grey levels", unit="file", delay=SHORT))


def _levels_of(path: Path) -> list[list[Extremes]]:
    return [extremes(path)]


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
    """Read and check everything in `directory`, in the same order for any number of workers (None: one for each core).

    The secret behind the subjects of DICOM files is kept in `home` (`nerveseg.imaging.dicom.salt_of`). `target` is the size
    (height, width) of the network's input. `keep` is called with each usable frame and its subject. `clear_names` calls files
    by their paths even if DICOM is among them, for the owner's eyes only. A missing folder raises `DatasetError`.
    """
    layout = recognise(directory, None if clear_names else partial(salt_of, home))
    rules = SubjectRules.read(directory, data.subject_pattern, layout.names.salt)
    salt = layout.names.salt or (salt_of(home) if layout.name == DICOM else b"")
    said = GreyRange.said(data.grey_range)
    files = [source.frame for source in layout.sources if kind_of(source.frame) != VIDEO]  # which have 8 bits
    grey_range = said if said.given else decided(_levels(files, workers))
    reading = Reading(directory, data.nerve_labels, salt, layout.names, data.spacing_mm, grey_range)
    quarantined, frames, subjects = list(layout.quarantined), dict[str, Prepared](), list[str]()
    mask_values, unknown = ValuesInUse(), 0
    prepared = in_order(partial(prepare, reading=reading, target=target), layout.sources, workers)
    for items in tqdm(prepared, total=len(layout.sources), desc="checking", unit="file"):
        for item in items:
            if isinstance(item, Refused):
                quarantined.append(item)
            elif item.name in frames:
                reason = f"another frame is called {item.name}"
                quarantined += [Refused(file, reason, "rename one of them") for file in item.files]
            else:
                subject = rules.subject(item.source, item.key, item.patient and item.patient.subject)
                unknown += subject is None
                subjects.append(item.name if subject is None else subject)
                if keep is not None:
                    keep(item, subjects[-1])
                mask_values.add(item.areas, item.segments)
                frames[item.name] = replace(item, frame=b"", mask=b"", truth=b"")
    found = list(frames.values())
    rows = [
        (one.name, subject, "", *one.size, one.mask_area > 0, one.mask_area, one.digest, one.pixels, one.look)
        for one, subject in zip(found, subjects, strict=True)
    ]
    manifest = pd.DataFrame(rows, columns=MANIFEST_COLUMNS)
    owned = set(rules.listed.values())
    persons = same_persons(subjects, [frame.patient for frame in found], owned, salt)
    manifest["subject"] = manifest["subject"].replace(persons.same)
    copies = duplicates(manifest)
    remarks = [(frame.name, frame.remark) for frame in found if frame.remark]
    for group in copies:
        remarks += [(found[row].name, f"the same pixels as {found[group[0]].name}") for row in group[1:]]
    sketches = [frame.sketch for frame in found]
    near = near_copies(manifest, sketches)
    for other, one in {other: one for one, other in reversed(near) if found[one].pixels != found[other].pixels}.items():
        remarks.append((found[other].name, f"nearly the same pixels as {found[one].name}"))
    folder_of = {one.name: layout.names(folder_around(one.frame.relative_to(directory))) for one in layout.sources}
    named_in = [
        None if frame.patient or subject in owned else folder_of[frame.source]
        for frame, subject in zip(found, manifest["subject"], strict=True)
    ]
    spellings = [rules.subject(one.source, one.key, one.patient and one.patient.spelling, plain) for one in found]
    listed, unlisted = [rules.subject(one.source, one.key, "") for one in found], replace(rules, listed={})
    by_name = [None if one.patient else unlisted.subject(one.source, one.key, None) for one in found]
    known = {source.name for source in layout.sources} | {frame.key for frame in found}
    return Inventory(
        reading=reading,
        layout=layout,
        frames=found,
        manifest=manifest,
        quarantined=quarantined,
        remarks=pd.DataFrame(remarks, columns=["frame", "remark"]),
        conflicts=conflicts(manifest, sketches, copies),
        copies=copies,
        near=near,
        mask_values=mask_values,
        persons=persons,
        unknown=unknown,
        doubts=[*half_listed(manifest, listed, by_name), *doubts(manifest, near, spellings, named_in)],
        unmatched=[layout.names(frame) for frame in rules.without_frame(known)],
    )
