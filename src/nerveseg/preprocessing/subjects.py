"""Whose frame it is: the rules that give a frame its subject.

The first rule that knows the frame decides: a row of `subjects.csv` in the data set's folder, the patient in a DICOM
header (as a digest), the pattern `data.subject_pattern`. A frame that no rule knows is a subject of its own; the audit warns.
"""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path, PurePath
from typing import Self

from nerveseg.errors import BadFileError, DatasetError
from nerveseg.imaging.dicom import keyed_subject
from nerveseg.imaging.image_files import bytes_of
from nerveseg.preprocessing.layouts import natural_key
from nerveseg.preprocessing.listing import SUBJECTS_FILE, suffix_of, unfit_link
from nerveseg.text.foreign_text import from_spreadsheet

EXPECTED = "expected CSV in UTF-8 with the columns frame and subject"


@dataclass(frozen=True)
class SubjectRules:
    """The rules of one data set."""

    listed: dict[str, str]  # the subjects of frames in `subjects.csv`
    pattern: re.Pattern[str]  # searched in a frame's name; its one group is the subject
    salt: bytes | None = None  # makes that subject a digest, since it may be a patient's number

    @classmethod
    def read(cls, directory: Path, pattern: str, salt: bytes | None = None) -> Self:
        """Read the rules; `DatasetError` if `subjects.csv` is damaged, not pulled with DVC, or gives a frame two subjects."""
        path = directory / SUBJECTS_FILE
        found = path.is_symlink() or path.exists()
        if found and (refusal := unfit_link(path, PurePath(SUBJECTS_FILE), directory.resolve())):
            raise DatasetError(f"{path}: {refusal.reason}; {refusal.remedy}")
        if not found and path.with_name(f"{path.name}.dvc").exists():
            raise DatasetError(f"{path} is tracked by DVC but is not here; run `dvc pull {path}.dvc`")
        return cls(_listed(path) if found else {}, re.compile(pattern), salt)

    def subject(self, source: str, frame: str, patient: str | None, spelt: Callable[[str], str] = str) -> str | None:
        """Return the subject of a frame, given its source's name and its own; None if no rule knows it. `spelt` changes names."""
        for name in (frame, source):
            if listed := self.listed.get(_key(name)):
                return spelt(listed)
        if patient is not None:
            return patient
        match = self.pattern.search(source)
        if match is None or not match.group(1):
            return None
        name = spelt(match.group(1))
        return name if self.salt is None else keyed_subject(name, self.salt)

    def without_frame(self, names: Iterable[str]) -> list[str]:
        """Return the frames of `subjects.csv` that are not among `names`."""
        return sorted(self.listed.keys() - set(map(_key, names)), key=natural_key)


def _key(frame: str) -> str:
    """The same for all spellings of a name: macOS stores `ü` as two characters, and cells carry spaces."""
    return unicodedata.normalize("NFC", frame).strip().removeprefix("./")


def _listed(path: Path) -> dict[str, str]:
    listed: dict[str, str] = {}
    for line, (cell, subject) in _rows(path):
        frame = _key(cell.removesuffix(suffix_of(PurePath(cell))))
        if not frame or not subject:
            raise DatasetError(f"{path}, line {line}: no frame or no subject; give both, or remove the line")
        if any(unicodedata.category(letter) == "Cc" for letter in subject):
            raise DatasetError(f"{path}, line {line}: the subject {subject!r:.60} is no name; look for a stray quote")
        if listed.setdefault(frame, subject) != subject:
            raise DatasetError(f"{path} gives frame {frame} more than one subject; keep one of the lines")
    return listed


def _rows(path: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    """Each row's line, frame and subject. Cells are separated by commas or, as some spreadsheets do, semicolons or tabs."""
    try:
        content = bytes_of(path)
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        file = io.StringIO(content.decode("utf-16" if wide else "utf-8-sig"), newline="")
        separator = max(",;\t", key=file.readline().count)
        file.seek(0)
        reader = csv.reader(file, delimiter=separator, strict=True)
        rows = [(reader.line_num, [from_spreadsheet(cell).strip() for cell in row]) for row in reader if any(row)]
    except BadFileError as error:
        raise DatasetError(f"{path}: {error.reason}; {EXPECTED}") from None
    except (ValueError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read ({error}); {EXPECTED}") from None
    (_, first), *others = rows or [(0, [])]
    columns = [cell.casefold() for cell in first]
    if columns.count("frame") != 1 or columns.count("subject") != 1:
        raise DatasetError(f"{path} has the columns {', '.join(first) or 'of no name'}; {EXPECTED}, each once")
    for line, row in others:
        if any(row[len(columns) :]):
            raise DatasetError(
                f"{path}, line {line}: {len(row)} cells, but the first line names {len(columns)} columns; name each column"
            )
        cells = dict(zip_longest(columns, row, fillvalue=""))
        yield line, (cells["frame"], cells["subject"])
