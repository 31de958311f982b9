"""Paths that a user names -> the files to segment, how many frames each holds, what is written of it, and what is left out.

Of a folder, and of those below it, every frame and loop is taken that `check` would take, masks apart; its predictions are called
as it is, below the output folder. A file that is named by itself is taken whatever it is called, unless it is the mask of
another one that is named, as where a shell wrote out `folder/*`.
"""

import contextlib
import os
import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from nerveseg.errors import BadFileError, DatasetError
from nerveseg.files.user_folder import Records
from nerveseg.imaging.video import count_frames
from nerveseg.preprocessing.layouts import MASK_FOLDERS, natural_key, roles_of
from nerveseg.preprocessing.listing import (
    DICOM,
    EXPECTED,
    VIDEO,
    Refused,
    kind_of,
    listing_of,
    no_image,
    refusal_of,
    stem_of,
)
from nerveseg.text.wording import counted, some

MASK, DOUBTFUL = "a mask", "what may be the mask of a frame beside it, by its name"
MOST_FRAMES = 100_000  # of a loop; whoever claims more is refused by the reader


@dataclass(frozen=True)
class Source:
    """A file of one frame or of a loop; `name` is that of its predictions, a path below the output folder without suffix."""

    path: Path
    name: str
    frames: int

    @property
    def stems(self) -> list[str]:
        """What the predictions of each frame are called."""
        return [f"{self.name}_{number}" for number in range(1, self.frames + 1)] if self.frames > 1 else [self.name]

    @property
    def files(self) -> list[str]:
        """Everything that is written of it."""
        film = [f"{self.name}.gif"] if self.frames > 1 else []
        return film + [f"{stem}_{kind}.png" for stem in self.stems for kind in ("mask", "overlay")]


@dataclass(frozen=True)
class Sources:
    """`found`: the files to segment; `unusable`: those that claim to be frames; `left_out`: those that do not."""

    found: list[Source]
    unusable: list[Refused]
    left_out: list[Refused]

    def told(self) -> list[str]:
        """What is left out, a line for each reason, and what is doubtful among the frames."""
        groups = defaultdict[str, list[str]](list)
        for item in self.left_out:
            groups[item.reason].append(str(item.path))
        lines = [
            f"left out as {reason}: {counted(len(names), 'file')} ({some(names, 3)})"
            for reason, names in groups.items()
        ]
        inside = [
            str(source.path)
            for source in self.found
            if PurePath(_place(source.path)).parent.name.casefold() in MASK_FOLDERS
        ]
        if inside:
            told = f"taken for frames though their folder is called like one of masks: {counted(len(inside), 'file')}"
            lines.append(f"{told} ({some(inside, 3)})")
        return lines


def sources_in(paths: Sequence[Path]) -> Sources:
    """Choose the files to segment.

    Raises:
        DatasetError: a path does not exist, none holds a frame, or two frames would have predictions of one name.
    """
    for path in paths:
        if not os.path.exists(path):  # noqa: PTH110 - Path's raises where os's says no
            glob = any(letter in str(path) for letter in "*?[")
            raise DatasetError(
                f"{path} {'matches no file' if glob else 'was not found'}; name files or folders of {EXPECTED}"
            )
    refused: list[Refused] = []
    chosen: dict[tuple[str, str], Path] = {}
    for folder in (path for path in paths if path.is_dir()):
        chosen |= {(_place(path), name): path for path, name in _in_folder(folder, refused)}
    chosen |= {
        (_place(path), stem_of(path)): path for path in _named([path for path in paths if not path.is_dir()], refused)
    }
    if not chosen:
        reasons = Counter(item.reason for item in refused).most_common(3)
        found = f"; found {', '.join(f'{reason} ({count:,})' for reason, count in reasons)}" if reasons else ""
        raise DatasetError(f"no frame in {', '.join(map(str, paths))}{found}; name files or folders of {EXPECTED}")
    sources = [Source(path, name, _frames_in(path)) for (_, name), path in chosen.items()]
    _refuse_collisions(sources)
    return Sources(sources, [item for item in refused if not item.foreign], [item for item in refused if item.foreign])


def _place(path: Path) -> str:
    """The same for every spelling of a path."""
    return os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links, as DVC's are


def _in_folder(folder: Path, refused: list[Refused]) -> Iterator[tuple[Path, str]]:
    listing = listing_of(folder)
    roles = roles_of(listing.images)
    refused += [replace(item, path=folder / item.path) for item in listing.refused]
    refused += [_mask(folder / path) for paths in roles.masks.values() for path in paths]
    refused += [_mask(folder / path, DOUBTFUL) for path in roles.doubtful]
    frames = [path for paths in roles.frames.values() for path in paths] + listing.videos
    for path in sorted(frames, key=lambda path: natural_key(path.as_posix())):
        yield folder / path, (path.parent / stem_of(path)).as_posix()


def _named(paths: list[Path], refused: list[Refused]) -> Iterator[Path]:
    records, fit = Records(), defaultdict[Path, list[Path]](list)
    for path in paths:
        kind = kind_of(path)
        if refusal := refusal_of(path, path, kind, records):
            meant = refusal == no_image(path)
            refused.append(replace(refusal, remedy="name frames and loops alone", foreign=False) if meant else refusal)
        else:
            fit[path.parent].append(path)
    masks: dict[Path, str] = {}
    for folder, files in fit.items():
        roles = roles_of([PurePath(path.name) for path in files])
        masks |= {folder / name: MASK for key, names in roles.masks.items() if roles.frames[key] for name in names}
        masks |= {folder / name: DOUBTFUL for name in roles.doubtful}
    for path in (path for files in fit.values() for path in files):
        if path in masks:
            refused.append(_mask(path, masks[path]))
        else:
            yield path


def _mask(path: Path, reason: str = MASK) -> Refused:
    return Refused(path, reason, "name it by itself to segment it", foreign=True)


def _frames_in(path: Path) -> int:
    """How many frames a file holds; 1 where it cannot be read, which is told when it is."""
    kind = kind_of(path)
    if kind == VIDEO:
        with contextlib.suppress(BadFileError):
            return count_frames(path)
    if kind == DICOM:
        import pydicom

        with warnings.catch_warnings(), contextlib.suppress(Exception):  # a damaged header breaks pydicom in many ways
            warnings.simplefilter("ignore")
            found = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["NumberOfFrames"])
            return min(MOST_FRAMES, int(found.get("NumberOfFrames") or 1))
    return 1


def _refuse_collisions(sources: Sequence[Source]) -> None:
    """No two sources may have predictions of one name, not even one that differs in case or in how accents are spelt: on
    macOS and Windows that is one file.
    """
    taken: dict[str, Source] = {}
    for source in sources:
        for name in source.files:
            other = taken.setdefault(unicodedata.normalize("NFC", name).casefold(), source)
            if other is not source:
                raise DatasetError(
                    f"{other.path} and {source.path} would both be written to {name}; rename one of them, or give each a "
                    "folder of its own for --out"
                )
