"""A folder of files -> which file is a frame, which are its masks, and what is not used. No file is opened yet.

These layouts are recognised, alone or mixed, in one folder or in folders below it:

    Kaggle's        S_N.tif beside S_N_mask.tif
    one folder      x.png beside x_mask.png, or beside x_mask_1.png, x_mask_2.png ... (their union)
    two folders     images/x.png and masks/x.png, or masks/x_mask.png; other usual names of the two folders count too, and
                    folders alike but for a word, such as train_images and train_masks (`nerveseg.preprocessing.mask_folders`)
    DICOM           x.dcm (a frame or a loop) in the place of the frame, of the mask, or of both

A frame's name is its path without suffix and without the folder `images`. In Kaggle's layout it is the stem alone.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from nerveseg.imaging.image_files import IMAGE_SUFFIXES
from nerveseg.preprocessing.listing import Names, Refused, listing_of, no_image, stem_of, suffix_of
from nerveseg.preprocessing.mask_folders import MASK_NAME, called_like_masks, composed, folders_of_frames, role_of

# Other usual names of masks. Frames have such names, too, so such a file is taken for neither.
LIKE_A_MASK = re.compile(
    r"(.+)[-_ .](?:masks?|msk|seg|segmentation|labels?|annotation|annotated|roi|gt)(?:\d+|[-_ .(].*)?"
    r"|(.+)(?-i:Masks?|Labels?|Segmentation)\d*"
    r"|(?:masks?|seg|segmentation|labels?|annotation|gt)(?:[-_ .]?(\d.*)|[-_ .](.+))?", re.IGNORECASE | re.DOTALL,
)  # fmt: skip
IMAGE_NAME = re.compile(
    r"(.+)[-_ .](?:images?|img|frame)|(?:images?|img|frame)(?:[-_ .]?(\d.*)|[-_ .](.+))?", re.IGNORECASE | re.DOTALL
)
KAGGLE_NAME = re.compile(r"\d+_\d+")
DICOM, NONE = "DICOM", "no known"
Pair = tuple[str, PurePath, list[PurePath]]  # the name of a frame, its file, and its masks


@dataclass(frozen=True)
class Source:
    """A file of one frame or of a loop, with the files of its masks. `name` is unique in the data set."""

    name: str
    frame: Path
    masks: tuple[Path, ...]


@dataclass(frozen=True)
class Layout:
    name: str  # `DICOM` if any frame is one
    sources: list[Source]  # in natural order
    quarantined: list[Refused]  # files that are not used
    names: Names  # how reports call files


@dataclass(frozen=True)
class Roles:
    """Frames and masks by the key that belongs to both."""

    frames: defaultdict[str, list[PurePath]]
    masks: defaultdict[str, list[PurePath]]
    doubtful: dict[PurePath, PurePath]  # files that by their names may be masks, and the frames beside them
    by_folder: bool  # whether folders, not names, told most masks from frames


def recognise(directory: Path, salt: Callable[[], bytes] | None = None) -> Layout:
    """Tell the frames of a data set's folder from their masks; raise `DatasetError` if the folder is missing.

    `salt` returns the secret behind the names of files if DICOM is among them; without it, names are in clear.
    """
    listing = listing_of(directory)
    names = Names(salt() if salt and listing.dicom else None)
    refused = list(listing.refused)
    images = _told_apart(listing.images, refused, names)
    paths = [(PurePath(item.file), item) for item in refused]
    claims = [path for path, item in paths if not item.foreign or item == no_image(path)]
    lost = {path if suffix_of(path) else path.with_suffix(""): path for path in claims + listing.videos}
    folders = folders_of_frames([*images, *lost])
    unusable = {role_of(bare, folders)[:2]: path for bare, path in lost.items()}
    for path in listing.videos:
        remedy = "nothing, or, to train on it, export it as DICOM or as frames; `nerveseg predict` and `watch` read it"
        refused.append(Refused(path, "a video", remedy, foreign=True))
    roles = roles_of(images, folders)
    for path, frame in roles.doubtful.items():
        reason = f"by its name it might be a mask of {names(frame)}"
        remedy = "if it is one, give it that frame's name with _mask at the end, else another name"
        refused.append(Refused(path, reason, remedy))
    pairs = _named(list(_paired(roles, unusable, refused, names)), refused, names)
    sources = [Source(name, directory / frame, tuple(map(directory.joinpath, masks))) for name, frame, masks in pairs]
    quarantined = [replace(item, file=names(item.file)) for item in refused]
    quarantined.sort(key=lambda item: natural_key(str(item.file)))
    return Layout(_kind(sources, by_folder=roles.by_folder), sources, quarantined, names)


def roles_of(images: Sequence[PurePath], folders: Mapping[PurePath, PurePath] | None = None) -> Roles:
    """Tell frames from masks by their names, their folders, and the files beside them. `folders` are from `folders_of_frames`."""
    folders = folders_of_frames(images) if folders is None else folders
    frames, masks = defaultdict[str, list[PurePath]](list), defaultdict[str, list[PurePath]](list)
    by_folder = 0
    for path in images:
        is_mask, key, told_by_folder = role_of(path, folders)
        (masks if is_mask else frames)[key].append(path)
        by_folder += 1 if told_by_folder else -1
    for key in list(masks):  # x_mask_3.png beside x_mask_3_mask.png is a frame, unless there is an x.png
        for path in [] if key in frames else list(masks[key]):
            if (own := composed(path.parent / stem_of(path))) in masks and own != key:
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
    return Roles(frames, masks, _doubtful(frames, masks), by_folder > 0)


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts `2_1` before `10_1`."""
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part)


def _doubtful(frames: dict[str, list[PurePath]], masks: dict[str, list[PurePath]]) -> dict[PurePath, PurePath]:
    """Remove from `frames` what has no mask of its own and may be the mask of a frame beside it, and return it."""
    bare = _bare_names(frames)
    found = {key: bare.get(_without(LIKE_A_MASK, key), key) for key in frames if key not in masks}
    found = {key: other for key, other in found.items() if other != key}
    doubtful = {path: frames[other][0] for key, other in found.items() for path in frames[key]}
    for key in found:
        del frames[key]
    return doubtful


def _bare_names(frames: Iterable[str]) -> dict[str, str]:
    """Return the keys of frames by what masks beside them may be called after: `image_1` has the mask `mask_1`."""
    return {_without(IMAGE_NAME, key): key for key in frames} | {key: key for key in frames}


def _without(word: re.Pattern[str], key: str) -> str:
    """Return a key without the word in its name that says what it is; the key itself if there is none."""
    match = word.fullmatch(PurePath(key).name)
    return str(PurePath(key).parent / next(filter(None, match.groups()), "")) if match else key


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
    bare = _bare_names(frames)
    alone = map(PurePath, sorted(frames.keys() - masks.keys()))
    unnamed = {str(path.parent.parent / path.name): frames[str(path)][0] for path in alone}
    for key in sorted(frames.keys() | masks.keys(), key=natural_key):
        # To be united, masks must be called x_mask_1 and so on, in one folder. Other places hold other raters or structures.
        places = {(mask.parent, MASK_NAME.fullmatch(stem_of(mask)) is None) for mask in masks[key]}
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
            if like := frames.get(bare.get(_without(LIKE_A_MASK, key), "")):
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
    if any(source.frame.suffix.lower() not in IMAGE_SUFFIXES for source in sources):
        return DICOM
    if by_folder:
        return "images and masks"
    return "Kaggle" if all(KAGGLE_NAME.fullmatch(source.name) for source in sources) else "frames beside masks"
