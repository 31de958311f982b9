"""A folder of files -> which file is a frame, which are its masks, and what is not used: files are not opened yet.

What is recognised, alone or mixed, in one folder or in folders below it:

    Kaggle's        S_N.tif beside S_N_mask.tif
    one folder      x.png beside x_mask.png, or beside x_mask_1.png, x_mask_2.png ... (their union)
    two folders     images/x.png and masks/x.png, or masks/x_mask.png; other usual names of the two folders count too
    DICOM           x.dcm (a frame or a loop) in the place of the frame, of the mask, or of both

A frame's name is its path without suffix and without the folder `images`; in Kaggle's layout its stem alone.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from nerveseg.data.dicom import DICOM_SUFFIXES, is_dicom
from nerveseg.data.images import IMAGE_SUFFIXES
from nerveseg.errors import DatasetError

FRAME_FOLDERS = frozenset({"images", "image", "imgs", "img", "frames", "frame"})
MASK_FOLDERS = frozenset({"masks", "mask", "labels", "label", "annotations", "annotation"})
MASK_NAME = re.compile(r"(?P<frame>.+)_mask(_\d+)?", re.IGNORECASE)
KAGGLE_NAME = re.compile(r"\d+_\d+")
SUBJECTS_FILE = "subjects.csv"
DICOM = "DICOM"
DVC_CACHE = re.compile(r"files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")


@dataclass(frozen=True)
class Source:
    """A file of one frame or of a loop, with the files of its masks; `name` is unique in the data set."""

    name: str
    frame: Path
    masks: tuple[Path, ...]


@dataclass(frozen=True)
class Quarantined:
    """A file that is not used: why, and what its owner can do. `foreign`: it never claimed to be a frame or a mask."""

    file: str
    reason: str
    remedy: str
    foreign: bool = False


@dataclass(frozen=True)
class Layout:
    """What was found: the sources in natural order, the files that are not used, and the layout's name (`DICOM` where
    any frame is one).
    """

    name: str
    sources: list[Source]
    quarantined: list[Quarantined]


def recognise(directory: Path) -> Layout:
    """Sort the files of `directory`.

    Raises:
        DatasetError: the folder is missing.
    """
    if not directory.is_dir():
        raise DatasetError(
            f"{directory} is not a folder; put frames there as S_N.tif with S_N_mask.tif (subject S, frame N), "
            "or set data.dir in params.yaml to where they are"
        )
    quarantined: list[Quarantined] = []
    images = _images(directory, quarantined)
    frames: dict[str, list[PurePath]] = defaultdict(list)
    masks: dict[str, list[PurePath]] = defaultdict(list)
    folders = Counter[str]()
    for path in images:
        is_mask, key, by_folder = _role(path)
        (masks if is_mask else frames)[key].append(path)
        folders["by folder" if by_folder else "by name"] += 1
    for key in list(masks):  # masks/x_mask.png may belong to a frame that is itself called x_mask
        if key not in frames and (match := MASK_NAME.fullmatch(key)) and match["frame"] in frames:
            masks[match["frame"]] += masks.pop(key)
    sources = list(_paired(directory, frames, masks, quarantined))
    sources = _named(directory, sources, quarantined)
    kind = _kind(sources, by_folder=folders["by folder"] > folders["by name"])
    return Layout(kind, sources, sorted(quarantined, key=lambda item: natural_key(item.file)))


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts `2_1` before `10_1`."""
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part)


def _images(directory: Path, quarantined: list[Quarantined]) -> list[PurePath]:
    """The image files below `directory`, as paths relative to it; all others are quarantined."""
    root = directory.resolve()
    kept: dict[str, list[PurePath]] = defaultdict(list)
    for path in _files(directory, quarantined):
        relative: PurePath = path.relative_to(directory)
        if refused := _refusal(path, relative, root):
            if relative != PurePath(SUBJECTS_FILE):
                quarantined.append(refused)
        else:
            kept[str(relative).casefold()].append(relative)
    for alike in kept.values():
        for one in alike if len(alike) > 1 else ():
            others = ", ".join(str(other) for other in alike if other != one)
            reason = f"its name differs from {others} only in case"
            quarantined.append(Quarantined(str(one), reason, "rename or remove one of them"))
    return sorted(alike[0] for alike in kept.values() if len(alike) == 1)


def _files(directory: Path, quarantined: list[Quarantined]) -> Iterator[Path]:
    """Files below `directory` in a fixed order; folders that cannot be entered are quarantined."""

    def unreadable(error: OSError) -> None:
        name = os.path.relpath(error.filename, directory)
        quarantined.append(Quarantined(name, f"the folder cannot be read ({error.strerror})", "check its permissions"))

    for folder, below, files in os.walk(directory, onerror=unreadable):
        for name in sorted(below):
            path = Path(folder, name)
            if name.startswith(".") or path.is_symlink():
                below.remove(name)
                what = "a hidden folder" if name.startswith(".") else "a link to a folder, which is not followed"
                quarantined.append(
                    Quarantined(
                        str(path.relative_to(directory)), what, "copy what belongs to the data set", foreign=True
                    )
                )
        below.sort()
        yield from (Path(folder, name) for name in sorted(files))


def _refusal(path: Path, relative: PurePath, root: Path) -> Quarantined | None:
    """Why a file cannot be a frame or a mask, from its name and place alone."""
    name = str(relative)
    if path.name.startswith("."):
        return Quarantined(name, "a hidden file", "nothing, unless it should be a frame", foreign=True)
    if path.suffix.lower() not in IMAGE_SUFFIXES | DICOM_SUFFIXES or (not path.suffix and not is_dicom(path)):
        expected = "TIFF, PNG, JPEG, BMP or DICOM"
        return Quarantined(name, f"no image by its name ({path.suffix or 'no suffix'}), expected {expected}", "nothing, unless it should be a frame", foreign=True)  # fmt: skip
    if path.is_symlink():
        target = path.resolve()
        if not target.exists():
            return Quarantined(name, "a link to nothing", "copy the image itself")
        if not target.is_relative_to(root) and not DVC_CACHE.search(target.as_posix()):
            return Quarantined(name, "a link that leaves the folder", "copy the image itself")
    return None


def _role(path: PurePath) -> tuple[bool, str, bool]:
    """Whether an image is a mask, the key that it shares with its partner, and whether its folder told."""
    folders = list(path.parent.parts)
    for place in reversed(range(len(folders))):
        if folders[place].casefold() in FRAME_FOLDERS | MASK_FOLDERS:
            is_mask = folders.pop(place).casefold() in MASK_FOLDERS
            return is_mask, str(PurePath(*folders, path.stem)), True
    match = MASK_NAME.fullmatch(path.stem)
    return match is not None, str(PurePath(*folders, match["frame"] if match else path.stem)), False


def _paired(
    directory: Path, frames: dict[str, list[PurePath]], masks: dict[str, list[PurePath]], quarantined: list[Quarantined]
) -> Iterator[Source]:
    for key in sorted(frames.keys() | masks.keys(), key=natural_key):
        if len(frames[key]) > 1:
            for path in [*frames[key], *masks[key]]:
                others = ", ".join(str(other) for other in frames[key] if other != path)
                quarantined.append(Quarantined(str(path), f"{others} has the same name", "keep one of them"))
        elif not masks[key]:
            stem = frames[key][0].stem
            remedy = f"add {stem}_mask (all zero where no nerve is seen)"
            quarantined.append(Quarantined(str(frames[key][0]), "its mask is missing", remedy))
        elif not frames[key]:
            quarantined += [
                Quarantined(str(path), "its frame is missing", "add the frame or remove the mask")
                for path in masks[key]
            ]
        else:
            paths = sorted(masks[key], key=lambda path: natural_key(path.name))
            yield Source(key, directory / frames[key][0], tuple(directory / path for path in paths))


def _named(directory: Path, sources: list[Source], quarantined: list[Quarantined]) -> list[Source]:
    """Kaggle's names stand for themselves in any folder, and then must not repeat."""
    if not all(KAGGLE_NAME.fullmatch(source.frame.stem) for source in sources):
        return sources
    named: dict[str, Source] = {}
    for source in sources:
        stem = source.frame.stem
        if stem in named:
            taken = named[stem].frame.relative_to(directory)
            quarantined += [
                Quarantined(str(path.relative_to(directory)), f"{taken} has the same name", "number the frames of a subject once")
                for path in (source.frame, *source.masks)
            ]  # fmt: skip
        else:
            named[stem] = Source(stem, source.frame, source.masks)
    return sorted(named.values(), key=lambda source: natural_key(source.name))


def _kind(sources: list[Source], *, by_folder: bool) -> str:
    if any(source.frame.suffix.lower() in DICOM_SUFFIXES for source in sources):
        return DICOM
    if by_folder:
        return "images and masks"
    return "Kaggle" if all(KAGGLE_NAME.fullmatch(source.name) for source in sources) else "frames beside masks"
