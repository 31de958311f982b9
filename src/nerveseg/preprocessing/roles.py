"""Which files of a folder are frames and which are masks, by their names, their folders, and the files beside them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from nerveseg.preprocessing.listing import stem_of
from nerveseg.preprocessing.mask_folders import MASK_NAME, composed, folders_of_frames, role_of

# Other usual names of masks. Frames have such names, too, so such a file is taken for neither.
LIKE_A_MASK = re.compile(
    r"(.+)[-_ .](?:masks?|msk|seg|segmentation|labels?|annotation|annotated|roi|gt)(?:\d+|[-_ .(].*)?"
    r"|(.+)(?-i:Masks?|Labels?|Segmentation)\d*"
    r"|(?:masks?|seg|segmentation|labels?|annotation|gt)(?:[-_ .]?(\d.*)|[-_ .](.+))?", re.IGNORECASE | re.DOTALL,
)  # fmt: skip
IMAGE_NAME = re.compile(
    r"(.+)[-_ .](?:images?|img|frame)|(?:images?|img|frame)(?:[-_ .]?(\d.*)|[-_ .](.+))?", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class Roles:
    """Frames and masks by the key that belongs to both."""

    frames: defaultdict[str, list[PurePath]]
    masks: defaultdict[str, list[PurePath]]
    doubtful: dict[PurePath, PurePath]  # files that by their names may be masks, and the frames beside them
    by_folder: bool  # whether folders, not names, told most masks from frames


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


def _doubtful(frames: dict[str, list[PurePath]], masks: dict[str, list[PurePath]]) -> dict[PurePath, PurePath]:
    """Remove from `frames` what has no mask of its own and may be the mask of a frame beside it, and return it."""
    bare = bare_names(frames)
    found = {key: bare.get(without(LIKE_A_MASK, key), key) for key in frames if key not in masks}
    found = {key: other for key, other in found.items() if other != key}
    doubtful = {path: frames[other][0] for key, other in found.items() for path in frames[key]}
    for key in found:
        del frames[key]
    return doubtful


def bare_names(frames: Iterable[str]) -> dict[str, str]:
    """Return the keys of frames by what masks beside them may be called after: `image_1` has the mask `mask_1`."""
    return {without(IMAGE_NAME, key): key for key in frames} | {key: key for key in frames}


def without(word: re.Pattern[str], key: str) -> str:
    """Return a key without the word in its name that says what it is; the key itself if there is none."""
    match = word.fullmatch(PurePath(key).name)
    return str(PurePath(key).parent / next(filter(None, match.groups()), "")) if match else key
