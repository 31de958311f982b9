"""A folder of files -> which file is a frame, which are its masks, and what is not used. No image is opened yet.

These layouts are recognised, alone or mixed, in one folder or in folders below it:

    Kaggle's        S_N.tif beside S_N_mask.tif
    one folder      x.png beside x_mask.png, or beside x_mask_1.png, x_mask_2.png ... (their union)
    two folders     images/x.png and masks/x.png, or masks/x_mask.png; other usual names of the two folders count too, and
                    folders alike but for a word, such as train_images and train_masks (`nerveseg.preprocessing.mask_folders`)
    DICOM           x.dcm (a frame or a loop) in the place of the frame, of the mask, or of both
    annotations     a JSON of LabelMe or COCO, or an XML of CVAT, in the place of the masks of the images that it names

A frame's name is its path without suffix and without the folder `images`. In Kaggle's layout it is the stem alone.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from nerveseg.annotation_files.reading import ANNOTATION_SUFFIXES
from nerveseg.annotation_files.shapes import Annotation
from nerveseg.preprocessing.listing import (
    DICOM,
    NIFTI,
    VIDEO,
    Names,
    Refused,
    kind_of,
    listing_of,
    no_image,
    stem_of,
    suffix_of,
)
from nerveseg.preprocessing.mask_folders import MASK_NAME, called_like_masks, composed, folders_of_frames, role_of
from nerveseg.preprocessing.roles import LIKE_A_MASK, Roles, bare_names, roles_of, without
from nerveseg.preprocessing.tool_annotations import annotations_in
from nerveseg.preprocessing.video_masks import ADD_MASKS, file_of, masks_of_videos

KAGGLE_NAME = re.compile(r"\d+_\d+")
NONE = "no known"
Pair = tuple[str, PurePath, list[PurePath]]  # the name of a frame, its file, and its masks


@dataclass(frozen=True)
class Source:
    """A file of one frame or of a loop, with the files of its masks. `name` is unique in the data set.

    `drawn` is what those of the masks that are files of an annotation tool say of the frame. Of a video, `of_frames` has the mask
    of each frame that has one, by its number, from 1.
    """

    name: str
    frame: Path
    masks: tuple[Path, ...]
    drawn: dict[Path, Annotation] = field(default_factory=dict, hash=False)
    of_frames: dict[int, Path | Annotation] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Layout:
    name: str  # `DICOM` if any frame is one
    sources: list[Source]  # in natural order
    quarantined: list[Refused]  # files that are not used
    names: Names  # how reports call files


def recognise(directory: Path, salt: Callable[[], bytes] | None = None) -> Layout:
    """Tell the frames of a data set's folder from their masks; raise `DatasetError` if the folder is missing.

    `salt` returns the secret behind the names of files if DICOM is among them; without it, names are in clear.
    """
    listing = listing_of(directory)
    names = Names(salt() if salt and listing.dicom else None)
    refused = list(listing.refused)
    images = _told_apart(listing.images, refused, names)
    annotated = annotations_in(directory, [*images, *listing.videos], refused, names)
    paths = [(PurePath(item.file), item) for item in refused]
    claims = [path for path, item in paths if not item.foreign or item == no_image(path)]
    lost = {path if suffix_of(path) else path.with_suffix(""): path for path in claims + listing.videos}
    folders = folders_of_frames([*images, *lost])
    unusable = {role_of(bare, folders)[:2]: path for bare, path in lost.items()}
    roles = roles_of(images, folders)
    keys = {path: role_of(path, folders)[1] for path in listing.videos}
    videos = [
        Source(
            keys[path], directory / path, tuple(dict.fromkeys(map(file_of, of_frames.values()))), of_frames=of_frames
        )
        for path, of_frames in masks_of_videos(directory, keys, roles.masks, roles.frames, annotated).items()
    ]
    marked = {video.frame for video in videos}
    for path in (path for path in listing.videos if directory / path not in marked):
        if roles.masks.get(keys[path]):  # one file with a mask for each frame
            roles.frames[keys[path]].append(path)
        else:
            refused.append(Refused(path, "a video without masks", ADD_MASKS, foreign=True))
    for path, frame in roles.doubtful.items():
        reason = f"by its name it might be a mask of {names(frame)}"
        remedy = "if it is one, give it that frame's name with _mask at the end, else another name"
        refused.append(Refused(path, reason, remedy))
    for image in [image for image in images if image in annotated]:
        roles.masks[role_of(image, folders)[1]] += [one.file.relative_to(directory) for one in annotated[image]]
    pairs = _named(list(_paired(roles, unusable, refused, names)), refused, names)
    sources = [
        Source(
            name,
            directory / frame,
            tuple(map(directory.joinpath, masks)),
            {one.file: one for one in annotated.get(frame, [])},
        )
        for name, frame, masks in pairs
    ]
    sources = sorted([*sources, *videos], key=lambda source: natural_key(source.name)) if videos else sources
    quarantined = [replace(item, file=names(item.file)) for item in refused]
    quarantined.sort(key=lambda item: natural_key(str(item.file)))
    return Layout(_kind(sources, by_folder=roles.by_folder), sources, quarantined, names)


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts `2_1` before `10_1`."""
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part)


def _told_apart(images: list[PurePath], refused: list[Refused], names: Names) -> list[PurePath]:
    """Return the images whose names differ in more than case or the storage of accents. Others would be one file on macOS."""
    alike: dict[str, list[PurePath]] = defaultdict(list)
    for path in images:
        alike[composed(path).casefold()].append(path)
    for group in alike.values():
        for one in group if len(group) > 1 else ():
            how = "case" if len({*map(composed, group)}) == len(group) else "case or in how its accents are stored"
            reason = f"its name differs from {', '.join(names(other) for other in group if other != one)} only in {how}"
            refused.append(Refused(one, reason, "rename or remove one of them"))
    return [group[0] for group in alike.values() if len(group) == 1]


def _paired(
    roles: Roles, unusable: dict[tuple[bool, str], PurePath], refused: list[Refused], names: Names
) -> Iterator[Pair]:
    """Yield the frames that have masks. `unusable` has files that were refused before, by whether they are masks and by key."""
    frames, masks = roles.frames, roles.masks
    bare = bare_names(frames)
    alone = map(PurePath, sorted(frames.keys() - masks.keys()))
    unnamed = {str(path.parent.parent / path.name): frames[str(path)][0] for path in alone}
    for key in sorted(frames.keys() | masks.keys(), key=natural_key):
        # To be united, masks must be called x_mask_1 and so on, in one folder. Other places hold other raters or structures.
        drawn = [mask for mask in masks[key] if mask.suffix.lower() in ANNOTATION_SUFFIXES]
        places = {(mask.parent, MASK_NAME.fullmatch(stem_of(mask)) is None) for mask in masks[key]} | {*drawn[1:]}
        twice = frames[key] if len(frames[key]) > 1 else masks[key] if frames[key] and len(places) > 1 else []
        if twice:
            kind = "frame" if twice is frames[key] else "mask"
            unite = "; to unite several, call them x_mask_1, x_mask_2 in one folder" * (kind == "mask")
            for path in [*frames[key], *masks[key]]:
                others = ", ".join(names(other) for other in twice if other != path)
                same = f"{others} has the same name" if kind == "frame" else f"{others} belongs to the same frame"
                reason = same if path in twice else f"its {kind} stands twice ({others})"
                refused.append(Refused(path, reason, f"keep one of the {kind}s{unite}"))
        elif masks[key] and frames[key]:
            yield key, frames[key][0], sorted(masks[key], key=lambda path: natural_key(path.name))
        elif partner := unusable.get((not masks[key], key)):
            reason, remedy = f"its partner {names(partner)} cannot be used", f"mend {names(partner)}"
            refused += [Refused(path, reason, remedy) for path in frames[key] + masks[key]]
        elif masks[key]:
            remedy = "add the frame or remove the mask"
            if like := frames.get(bare.get(without(LIKE_A_MASK, key), "")):
                remedy = f"if it is the mask of {names(like[0])}, give it that frame's name with _mask at the end"
            elif frame := unnamed.get(key):
                remedy = f"if {names(frame)} is its frame, call that frame's folder images"
            refused += [Refused(path, "its frame is missing", remedy) for path in masks[key]]
        else:
            beside = masks.get(str(PurePath(key).parent.parent / PurePath(key).name))
            refused.append(
                Refused(frames[key][0], "its mask is missing", _how_to_add_mask(frames[key][0], beside, names))
            )


def _how_to_add_mask(frame: PurePath, beside: list[PurePath] | None, names: Names) -> str:
    """Return the remedy for a frame without a mask; `beside` are masks of its name, one folder above its own."""
    if beside:
        return f"if {names(beside[0])} is its mask, call this frame's folder images"
    add = f"{stem_of(frame)}_mask" if names.salt is None else "a file of the same name with _mask"
    remedy = f"add {add} (all zero where no nerve is seen)"
    if any(map(called_like_masks, frame.parent.parts)):
        return f"if it is itself a mask, call its folder masks and that of its frame images; else {remedy}"
    return remedy


def _named(pairs: list[Pair], refused: list[Refused], names: Names) -> list[Pair]:
    """Kaggle's names stand for themselves in any folder, and then must not repeat."""
    if not all(KAGGLE_NAME.fullmatch(stem_of(frame)) for _, frame, _ in pairs):
        return pairs
    named: dict[str, Pair] = {}
    for _, frame, masks in pairs:
        first = named.setdefault(stem_of(frame), (stem_of(frame), frame, masks))[1]
        if first != frame:
            reason = f"{names(first)} has the same name"
            refused += [Refused(path, reason, "number the frames of a subject once") for path in (frame, *masks)]
    return sorted(named.values(), key=lambda pair: natural_key(pair[0]))


def _kind(sources: list[Source], *, by_folder: bool) -> str:
    if not sources:
        return NONE
    kinds = {kind_of(source.frame) for source in sources}
    if DICOM in kinds:
        return DICOM
    if VIDEO in kinds or NIFTI in kinds:
        return " and ".join(sorted(kinds))
    if all(source.drawn for source in sources):
        return " and ".join(sorted({one.tool for source in sources for one in source.drawn.values()}))
    if by_folder:
        return "images and masks"
    return "Kaggle" if all(KAGGLE_NAME.fullmatch(source.name) for source in sources) else "frames beside masks"
