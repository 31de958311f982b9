"""Signs that the subjects of a data set are not its people, each told as a warning: nothing here changes a subject.

Frames that are nearly equal, names that differ only in spelling, and series that are numbered alike in a folder for each person.
"""

from collections.abc import Iterable, Sequence
from pathlib import PurePath

import pandas as pd

from nerveseg.preprocessing.mask_folders import FRAME_FOLDERS
from nerveseg.text.wording import counted, some

SHOWN = 3


def doubts(
    manifest: pd.DataFrame, near: Sequence[tuple[int, int]], spelt: Sequence[str | None], folders: Sequence[str | None]
) -> list[str]:
    """Return a warning for each kind of sign.

    `manifest` has a row for each frame, with `frame`, `subject` and `pixels`; `near` are pairs of rows, from `near_copies`;
    `spelt` has for each frame what all spellings of its subject's name share, None if it is not known; `folders` has the
    folder around the file of each frame whose name gave its subject, None for other frames.
    """
    subjects = manifest["subject"]
    return [*_near(manifest, near), *_spelt_alike(subjects, spelt), *_in_folders(subjects, folders)]


def half_listed(manifest: pd.DataFrame, listed: Sequence[str | None], by_name: Sequence[str | None]) -> Iterable[str]:
    """Warn of frames that `subjects.csv` lacks while it lists most, or others of the person in their names (`by_name`)."""
    rows, most = list(zip(manifest["frame"], listed, by_name, strict=True)), 2 * sum(map(bool, listed)) > len(listed)
    parted = {name for _, subject, name in rows if subject and subject != name}
    if lacking := [frame for frame, subject, name in rows if not subject and name and (most or name in parted)]:
        yield (
            f"{counted(len(lacking), 'frame')} not in subjects.csv, which lists others: the subject is taken from the name "
            f"({some(lacking, SHOWN)}), so that a person may count as two, one of them in test; list all frames in subjects.csv"
        )


def folder_around(frame: PurePath) -> PurePath:
    """Return the folder of a frame, without those that are called like `images`."""
    return PurePath(*(part for part in frame.parent.parts if part.casefold() not in FRAME_FOLDERS))


def _near(manifest: pd.DataFrame, near: Sequence[tuple[int, int]]) -> Iterable[str]:
    frames, pixels = manifest["frame"].tolist(), manifest["pixels"].tolist()
    if pairs := [pair for pair in near if pixels[pair[0]] != pixels[pair[1]]]:
        yield (
            f"{counted(len({row for pair in pairs for row in pair}), 'frame')} under more than one subject with nearly the same "
            f"pixels ({' and '.join(frames[row] for row in pairs[0])}), as compressed, resized or brightened copies have; these "
            "subjects stay in one split or, if params part them, the copy outside test is left out; remove a copy, or give both "
            "one subject in subjects.csv"
        )


def _spelt_alike(subjects: Iterable[str], spellings: Iterable[str | None]) -> Iterable[str]:
    alike: dict[str, dict[str, None]] = {}
    for subject, spelling in zip(subjects, spellings, strict=True):
        if spelling is not None:
            alike.setdefault(spelling, {})[subject if subject.isascii() else ascii(subject)] = None
    if groups := [" and ".join(names) for names in alike.values() if len(names) > 1]:
        yield (
            f"names of subjects differ only in spelling ({some(groups, SHOWN)}), and count as different people: if they are one "
            "person, give all their frames one name in subjects.csv"
        )


def _in_folders(subjects: "pd.Series[str]", folders: Sequence[str | None]) -> Iterable[str]:
    """Kaggle's names leave out the folder, so equal numbers in several folders are one subject."""
    places: dict[str, dict[str, None]] = {}
    for subject, folder in zip(subjects, folders, strict=True):
        if folder is not None:
            places.setdefault(subject, {})[folder] = None
    spread = [list(found) for found in places.values() if len(found) > 1]
    if len(spread) > 1 and 2 * len(spread) > len(places):
        yield (
            f"{len(spread):,} of {counted(len(places), 'subject')} have frames in several folders ({some(spread[0], SHOWN)}): if "
            "each folder is a person, name the folder as the subject of its frames in subjects.csv"
        )
