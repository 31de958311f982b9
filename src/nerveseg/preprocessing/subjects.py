"""Whose frame is it: the rules that give a frame its subject.

The first that knows the frame decides: a row of `subjects.csv` in the data set's folder, the patient whom a DICOM file
names (as a digest), the pattern `data.subject_pattern`. A frame that none of them knows is a subject of its own, and
its neighbours may then lie in another split: that is told.
"""

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Self

from nerveseg.errors import DatasetError
from nerveseg.files.atomic import read_csv
from nerveseg.imaging.dicom import keyed_subject
from nerveseg.preprocessing.layouts import natural_key
from nerveseg.preprocessing.listing import SUBJECTS_FILE, unfit_link


@dataclass(frozen=True)
class SubjectRules:
    """`listed`: subject by frame; `pattern` has one group, the subject, and is searched in a frame's name; with a `salt`
    what it finds, which may be a patient's number, becomes a digest.
    """

    listed: dict[str, str]
    pattern: re.Pattern[str]
    salt: bytes | None = None

    @classmethod
    def read(cls, directory: Path, pattern: str, salt: bytes | None = None) -> Self:
        """The rules of a data set's folder.

        Raises:
            DatasetError: its `subjects.csv` is damaged, or gives a frame two subjects.
        """
        path = directory / SUBJECTS_FILE
        found = path.is_symlink() or path.exists()
        if found and (refusal := unfit_link(path, PurePath(SUBJECTS_FILE), directory.resolve())):
            raise DatasetError(f"{path}: {refusal.reason}; {refusal.remedy}")
        return cls(_listed(path) if found else {}, re.compile(pattern), salt)

    def subject(self, source: str, frame: str, patient: str | None) -> str | None:
        """The subject of a frame, known by its source's name and its own; None where no rule knows it."""
        for name in (frame, source):
            if name in self.listed:
                return self.listed[name]
        if patient is not None:
            return patient
        match = self.pattern.search(source)
        if match is None or not match.group(1):
            return None
        return match.group(1) if self.salt is None else keyed_subject(match.group(1), self.salt)

    def without_frame(self, names: Iterable[str]) -> list[str]:
        """The frames of `subjects.csv` that are none of `names`."""
        return sorted(self.listed.keys() - set(names), key=natural_key)


def _listed(path: Path) -> dict[str, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # further columns are nobody's business
            table = read_csv(path)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path} cannot be read ({error}); expected CSV with the columns frame and subject"
        ) from None
    if not {"frame", "subject"} <= set(table.columns):
        raise DatasetError(f"{path} has the columns {', '.join(map(str, table.columns))}; expected frame and subject")
    table["frame"] = (
        table["frame"].str.strip().str.replace(r"\.(tiff?|png|jpe?g|bmp|dcm|dicom|ima)$", "", regex=True, case=False)
    )
    table["subject"] = table["subject"].str.strip()
    empty = ((table["frame"] == "") | (table["subject"] == "")).to_numpy()
    if empty.any():
        line = int(empty.argmax()) + 2
        raise DatasetError(f"{path}, line {line}: no frame or no subject; give both, or remove the line")
    twice = table.groupby("frame")["subject"].nunique()
    if (twice > 1).any():
        raise DatasetError(f"{path} gives frame {twice.idxmax()} more than one subject; keep one of the lines")
    return dict(zip(table["frame"], table["subject"], strict=True))
