"""A folder of files -> which file is a frame, which are its masks, and what is not used: files are not opened yet.

What is recognised, alone or mixed, in one folder or in folders below it:

    Kaggle's        S_N.tif beside S_N_mask.tif
    one folder      x.png beside x_mask.png, or beside x_mask_1.png, x_mask_2.png ... (their union)
    two folders     images/x.png and masks/x.png, or masks/x_mask.png; other usual names of the two folders count too
    DICOM           x.dcm (a frame or a loop) in the place of the frame, of the mask, or of both

A frame's name is its path without suffix and without the folder `images`; in Kaggle's layout its stem alone.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from nerveseg.imaging.image_files import IMAGE_SUFFIXES
from nerveseg.preprocessing.listing import Names, list_files, stem_of

FRAME_FOLDERS = frozenset({"images", "image", "imgs", "img", "frames", "frame"})
MASK_FOLDERS = frozenset({"masks", "mask", "labels", "label", "annotations", "annotation"})
MASK_NAME = re.compile(r"(?P<frame>.+)_mask(_\d+)?", re.IGNORECASE)
# Other usual names of masks; so is a frame called, too, so that such a file is taken for neither.
LIKE_A_MASK = re.compile(
    r"(.+)[-_ .](?:masks?|seg|segmentation|labels?|annotation|gt)(?:[-_ ]?\d+)?"
    r"|(?:masks?|seg|segmentation|labels?|annotation|gt)[-_ .](.+)", re.IGNORECASE,
)  # fmt: skip
KAGGLE_NAME = re.compile(r"\d+_\d+")
DICOM, NONE = "DICOM", "no known"


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
    """What was found: the sources in natural order, the files that are not used, the layout's name (`DICOM` where any
    frame is one), and how reports call files.
    """

    name: str
    sources: list[Source]
    quarantined: list[Quarantined]
    names: Names


@dataclass(frozen=True)
class Roles:
    """Frames and masks by the key that belongs to both; `doubtful` files, by their names masks of frames beside them, with the
    frame of each; `by_folder`: whether folders, not names, told most of them apart.
    """

    frames: defaultdict[str, list[PurePath]]
    masks: defaultdict[str, list[PurePath]]
    doubtful: dict[PurePath, PurePath]
    by_folder: bool


def recognise(directory: Path, salt: Callable[[], bytes] | None = None) -> Layout:
    """Sort the files of `directory`.

    Args:
        directory: the data set.
        salt: gives the secret behind the names of files where DICOM is among them; None: names in clear.

    Raises:
        DatasetError: the folder is missing.
    """
    listing, names = list_files(directory, lambda dicom: Names(salt() if dicom and salt else None))
    quarantined = [Quarantined(names(item.path), item.reason, item.remedy, item.foreign) for item in listing.refused]
    for path in listing.videos:
        remedy = "nothing, or, to train on it, export it as DICOM or as frames; `nerveseg predict` and `watch` read it"
        quarantined.append(Quarantined(names(path), "a video", remedy, foreign=True))
    roles = roles_of(_told_apart(listing.images, quarantined, names))
    for path, frame in roles.doubtful.items():
        reason = f"by its name it might be a mask of {names(frame)}"
        remedy = "if it is one, call it as that with _mask at the end, else give it another name"
        quarantined.append(Quarantined(names(path), reason, remedy))
    claimed = _keys([item.path for item in listing.refused if not item.foreign] + listing.videos)
    sources = list(_paired(directory, roles.frames, roles.masks, claimed, quarantined, names))
    sources = _named(directory, sources, quarantined, names)
    kind = _kind(sources, by_folder=roles.by_folder)
    return Layout(kind, sources, sorted(quarantined, key=lambda item: natural_key(item.file)), names)


def roles_of(images: Sequence[PurePath]) -> Roles:
    """Tell frames from masks by their names, their folders, and what else is there."""
    frames, masks = defaultdict[str, list[PurePath]](list), defaultdict[str, list[PurePath]](list)
    by_folder = 0
    for path in images:
        is_mask, key, told_by_folder = _role(path)
        (masks if is_mask else frames)[key].append(path)
        by_folder += 1 if told_by_folder else -1
    for key in list(masks):  # x_mask_3.png beside x_mask_3_mask.png is a frame, unless there is an x.png
        for path in [] if key in frames else list(masks[key]):
            if (own := str(path.parent / stem_of(path))) in masks and own != key:
                masks[key].remove(path)
                frames[own].append(path)
        if not masks[key]:
            del masks[key]
    for key in list(masks):  # masks/x_mask.png may belong to a frame that is itself called x_mask
        if key not in frames and (match := MASK_NAME.fullmatch(key)) and match["frame"] in frames:
            masks[match["frame"]] += masks.pop(key)
    for key in sorted(frames):  # images/x_mask.png beside images/x.png is its mask, unless it has one of its own
        if key not in masks and (match := MASK_NAME.fullmatch(key)) and match["frame"] in frames:
            masks[match["frame"]] += frames.pop(key)
            by_folder -= 4
    doubtful = _doubtful(frames, masks)
    return Roles(frames, masks, doubtful, by_folder > 0)


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts `2_1` before `10_1`."""
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part)


def _role(path: PurePath) -> tuple[bool, str, bool]:
    """Whether an image is a mask, the key that it shares with its partner, and whether its folder told."""
    folders = list(path.parent.parts)
    for place in reversed(range(len(folders))):
        if folders[place].casefold() in FRAME_FOLDERS | MASK_FOLDERS:
            is_mask = folders.pop(place).casefold() in MASK_FOLDERS
            return is_mask, str(PurePath(*folders, stem_of(path))), True
    match = MASK_NAME.fullmatch(stem_of(path))
    return match is not None, str(PurePath(*folders, match["frame"] if match else stem_of(path))), False


def _doubtful(frames: dict[str, list[PurePath]], masks: dict[str, list[PurePath]]) -> dict[PurePath, PurePath]:
    """Take what may be the mask of a frame beside it, and has none of its own, out of the frames."""
    found = {key: _frame_of(key) for key in frames if key not in masks}
    found = {key: other for key, other in found.items() if other != key and other in frames}
    doubtful = {path: frames[other][0] for key, other in found.items() for path in frames[key]}
    for key in found:
        del frames[key]
    return doubtful


def _frame_of(key: str) -> str:
    """The key of the frame whose mask this is by its name; the key itself where it is called like none."""
    match = LIKE_A_MASK.fullmatch(PurePath(key).name)
    return str(PurePath(key).with_name(match[1] or match[2])) if match else key


def _told_apart(images: list[PurePath], quarantined: list[Quarantined], names: Names) -> list[PurePath]:
    """The images whose names differ in more than case: others are one file on macOS and Windows."""
    alike: dict[str, list[PurePath]] = defaultdict(list)
    for path in images:
        alike[str(path).casefold()].append(path)
    for group in alike.values():
        for one in group if len(group) > 1 else ():
            reason = f"its name differs from {', '.join(names(other) for other in group if other != one)} only in case"
            quarantined.append(Quarantined(names(one), reason, "rename or remove one of them"))
    return [group[0] for group in alike.values() if len(group) == 1]


def _keys(claimed: list[PurePath]) -> dict[str, PurePath]:
    """Files that claim to be frames and are not used, by the key of their masks."""
    found = [(_role(path), path) for path in claimed]
    return {key: path for (is_mask, key, _), path in found if not is_mask}


def _paired(
    directory: Path, frames: dict[str, list[PurePath]], masks: dict[str, list[PurePath]], refused: dict[str, PurePath],
    quarantined: list[Quarantined], names: Names,
) -> Iterator[Source]:  # fmt: skip
    for key in sorted(frames.keys() | masks.keys(), key=natural_key):
        if len(frames[key]) > 1:
            for path in [*frames[key], *masks[key]]:
                others = ", ".join(names(other) for other in frames[key] if other != path)
                reason = f"{others} has the same name" if path in frames[key] else f"its frame stands twice ({others})"
                quarantined.append(Quarantined(names(path), reason, "keep one of the frames"))
        elif not masks[key]:
            path = frames[key][0]
            add = f"{stem_of(path)}_mask" if names.salt is None else "a file of the same name with _mask"
            remedy = f"add {add} (all zero where no nerve is seen)"
            quarantined.append(Quarantined(names(path), "its mask is missing", remedy))
        elif not frames[key]:
            frame = refused.get(key)
            for path in masks[key]:
                reason = f"its partner {names(frame)} cannot be used" if frame else "its frame is missing"
                remedy = f"mend {names(frame)}" if frame else "add the frame or remove the mask"
                quarantined.append(Quarantined(names(path), reason, remedy))
        else:
            paths = sorted(masks[key], key=lambda path: natural_key(path.name))
            yield Source(key, directory / frames[key][0], tuple(directory / path for path in paths))


def _named(directory: Path, sources: list[Source], quarantined: list[Quarantined], names: Names) -> list[Source]:
    """Kaggle's names stand for themselves in any folder, and then must not repeat."""
    if not all(KAGGLE_NAME.fullmatch(stem_of(source.frame)) for source in sources):
        return sources
    named: dict[str, Source] = {}
    for source in sources:
        stem = stem_of(source.frame)
        if stem in named:
            taken = names(named[stem].frame.relative_to(directory))
            quarantined += [
                Quarantined(
                    names(path.relative_to(directory)),
                    f"{taken} has the same name",
                    "number the frames of a subject once",
                )
                for path in (source.frame, *source.masks)
            ]
        else:
            named[stem] = Source(stem, source.frame, source.masks)
    return sorted(named.values(), key=lambda source: natural_key(source.name))


def _kind(sources: list[Source], *, by_folder: bool) -> str:
    if not sources:
        return NONE
    if any(source.frame.suffix.lower() not in IMAGE_SUFFIXES for source in sources):
        return DICOM
    if by_folder:
        return "images and masks"
    return "Kaggle" if all(KAGGLE_NAME.fullmatch(source.name) for source in sources) else "frames beside masks"
