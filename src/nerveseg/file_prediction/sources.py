"""Paths that a user names -> the files to segment, their number of frames, the names of their predictions, and what is left out.

In a folder and below it, that is every frame and loop that `check` would take, without masks. A file that is named itself is taken
whatever its name, unless it is the mask of another named file, as when a shell expands `folder/*`.
"""

import contextlib
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from nerveseg.errors import BadFileError, DatasetError
from nerveseg.file_prediction.mask_formats import DICOM_SEG, FORMATS, PNG, WriteRun
from nerveseg.files.user_folder import Records
from nerveseg.imaging.dicom import read_header
from nerveseg.imaging.nifti import read_volume
from nerveseg.imaging.simulated import is_simulated
from nerveseg.imaging.video import count_frames
from nerveseg.preprocessing import listing
from nerveseg.preprocessing.layouts import natural_key
from nerveseg.preprocessing.mask_folders import called_like_masks
from nerveseg.preprocessing.roles import roles_of
from nerveseg.text.wording import counted, some

MASK, DOUBTFUL = "a mask", "what may be the mask of a frame beside it, by its name"


@dataclass(frozen=True)
class Source:
    """A file of one frame or of a loop. `name` is the path of its predictions below the output folder, without suffix.

    `mask_format` is one of `FORMATS`. The numbers of a loop's frames have equally many digits, so that their names sort.
    """

    path: Path
    name: str
    frames: int
    mask_format: str = PNG

    @property
    def stems(self) -> list[str]:
        if self.frames == 1:
            return [self.name]
        digits = len(str(self.frames))
        return [f"{self.name}_{number:0{digits}}" for number in range(1, self.frames + 1)]

    @property
    def files(self) -> list[str]:
        files = FORMATS[self.mask_format]
        whole = [*files.of_file, *(files.of_loop if self.frames > 1 else ())]
        return [self.name + ending for ending in whole] + [
            stem + ending for stem in self.stems for ending in files.of_frame
        ]


@dataclass(frozen=True)
class Sources:
    """The files to segment, those that claim to be frames but cannot be used, and those that claim nothing."""

    found: list[Source]
    unusable: list[listing.Refused]
    left_out: list[listing.Refused]

    @property
    def files_of_run(self) -> dict[str, WriteRun]:
        """The names of the files that hold the masks of all sources, and what writes them."""
        return FORMATS[self.found[0].mask_format].of_run

    @property
    def simulated(self) -> bool:
        """Return whether the stage `phantom` made all files to segment."""
        with contextlib.suppress(OSError):  # predicting reports it
            return all(is_simulated(source.path) for source in self.found)
        return False

    def told(self) -> list[str]:
        """Return a line for each reason to leave files out, and one for doubtful frames."""
        groups = defaultdict[str, list[str]](list)
        for item in self.left_out:
            groups[item.reason].append(str(item.file))
        left = groups.items()
        lines = [f"left out as {why}: {counted(len(names), 'file')} ({some(names, 3)})" for why, names in left]
        around = ((it.path, PurePath(_place(it.path)).parts[-it.name.count("/") - 2 : -1]) for it in self.found)
        if inside := [str(path) for path, folders in around if any(map(called_like_masks, folders))]:
            told = f"taken for frames though their folder is called like one of masks: {counted(len(inside), 'file')}"
            lines.append(f"{told} ({some(inside, 3)})")
        return lines


def sources_in(paths: Sequence[Path], mask_format: str = PNG) -> Sources:
    """Choose the files to segment; DatasetError if a path does not exist, none holds a frame, or two names collide.

    DICOM segmentations can only be made of DICOM files; others raise DatasetError.
    """
    for path in paths:
        if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises where this returns False
            what = "matches no file" if any(letter in str(path) for letter in "*?[") else "was not found"
            raise DatasetError(f"{path} {what}; name files or folders of {listing.EXPECTED}")
    refused: list[listing.Refused] = []
    chosen: dict[tuple[str, str], Path] = {}
    for folder in (path for path in paths if path.is_dir()):
        chosen |= {(_place(path), name): path for path, name in _in_folder(folder, refused)}
    named = [path for path in paths if not path.is_dir()]
    chosen |= {(_place(path), listing.stem_of(path)): path for path in _named(named, refused)}
    if not chosen:
        reasons = Counter(item.reason for item in refused).most_common(3)
        found = f"; found {', '.join(f'{reason} ({count:,})' for reason, count in reasons)}" if reasons else ""
        where = ", ".join(map(str, paths))
        raise DatasetError(f"no frame in {where}{found}; name files or folders of {listing.EXPECTED}")
    if mask_format == DICOM_SEG and (
        other := [path for path in chosen.values() if listing.kind_of(path) != listing.DICOM]
    ):
        what = f"{some(other, 3)}: no DICOM, so no DICOM segmentation can refer to it"
        raise DatasetError(f"{what}; leave it out, or choose another --format")
    sources = [Source(path, name, _frames_in(path), mask_format) for (_, name), path in chosen.items()]
    _refuse_collisions(sources)
    return Sources(sources, [item for item in refused if not item.foreign], [item for item in refused if item.foreign])


def _place(path: Path) -> str:
    """Return one text for every spelling of a path."""
    return os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links, such as DVC's


def _in_folder(folder: Path, refused: list[listing.Refused]) -> Iterator[tuple[Path, str]]:
    found = listing.listing_of(folder)
    roles = roles_of(found.images)
    refused += [replace(item, file=folder / item.file) for item in found.refused]
    refused += [_mask(folder / path) for paths in roles.masks.values() for path in paths]
    refused += [_mask(folder / path, DOUBTFUL) for path in roles.doubtful]
    frames = [path for paths in roles.frames.values() for path in paths] + found.videos
    for path in sorted(frames, key=lambda path: natural_key(path.as_posix())):
        yield folder / path, (path.parent / listing.stem_of(path)).as_posix()


def _named(paths: list[Path], refused: list[listing.Refused]) -> Iterator[Path]:
    records, fit = Records(), defaultdict[Path, list[Path]](list)
    for path in paths:
        kind = listing.kind_of(path)
        if refusal := listing.refusal_of(path, path, kind, records):
            meant = refusal == listing.no_image(path)
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


def _mask(path: Path, reason: str = MASK) -> listing.Refused:
    return listing.Refused(path, reason, "name it by itself to segment it", foreign=True)


def _frames_in(path: Path) -> int:
    """Return the number of frames in a file; 1 if it cannot be read, which predicting it reports."""
    with contextlib.suppress(BadFileError):
        match listing.kind_of(path):
            case listing.VIDEO:
                return count_frames(path)
            case listing.DICOM:
                return read_header(path).frames
            case listing.NIFTI:
                return read_volume(path).frames
    return 1


def _refuse_collisions(sources: Sequence[Source]) -> None:
    """Refuse two sources whose predictions have one name. On macOS and Windows, case and spelling of accents do not count."""
    taken: dict[str, Source] = {}
    for source in sources:
        for name in source.files:
            other = taken.setdefault(unicodedata.normalize("NFC", name).casefold(), source)
            if other is not source:
                both = f"{other.path} and {source.path} would both be written to {name}"
                raise DatasetError(f"{both}; rename one, or give each its own --out")
