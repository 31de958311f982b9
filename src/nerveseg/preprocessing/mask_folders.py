"""Frame or mask, by the names of a file, of its folders, and of the folders beside them."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import PurePath

from nerveseg.preprocessing.listing import stem_of

NNUNET_FOLDERS, CHANNEL = frozenset({"imagestr", "imagests"}), "_0000"  # nnU-Net numbers the channels of an image
FRAME_FOLDERS = frozenset(
    {"images", "image", "imgs", "img", "frames", "frame", "jpegimages", "img_dir", "image_dir"}
) | NNUNET_FOLDERS  # fmt: skip
MASK_FOLDERS = frozenset(
    {"masks", "mask", "labels", "label", "annotations", "annotation", "segmentations", "labelstr", "labelsts", "gt", "ground_truth",
     "groundtruth", "brush", "ann_dir", "mask_dir", "label_dir"}
) | {f"segmentation{of}{what}" for of in ("class", "object") for what in ("", "png", "visualization")}  # fmt: skip
MASK_NAME = re.compile(r"(?P<frame>.+)_mask(_\d+)?", re.IGNORECASE | re.DOTALL)
_OF_FRAMES = frozenset({"image", "images", "img", "imgs", "frame", "frames", "picture", "pictures", "scan", "scans"})
_OF_MASKS = frozenset(
    {"mask", "masks", "label", "labels", "annotation", "annotations", "annot", "annots", "segmentation", "segmentations", "seg",
     "segs", "gt", "gts", "ground", "truth", "groundtruth"}
)  # fmt: skip
_WORD, _CASE = re.compile(r"[^\W\d_]+|\d+"), re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def composed(path: PurePath | str) -> str:
    """Return the same for both ways to store `ü`: macOS stores two characters, and copies to other systems mix them."""
    return unicodedata.normalize("NFC", str(path))


def called_like_masks(folder: str) -> bool:
    """Tell whether a folder's name has a word that is usual for masks; frames may lie in it all the same."""
    return folder.casefold() in MASK_FOLDERS or not _OF_MASKS.isdisjoint(_words(folder))


def folders_of_frames(files: Iterable[PurePath]) -> dict[PurePath, PurePath]:
    """Return the folder of frames of each folder of masks that has no usual name, such as `train_images` of `train_masks`.

    The two lie in one folder, their names are alike but for a word that says frames or masks (or for none: `train`), and they
    hold files of the same names. Such a folder of frames is its own.
    """
    files = list(files)
    parents = {file.parent for file in files}
    folders = {folder for parent in parents for folder in (parent, *parent.parents) if folder.name}
    alike = defaultdict[tuple[PurePath, tuple[str, ...]], list[PurePath]](list)
    for folder in sorted(folders, key=lambda folder: (_OF_FRAMES.isdisjoint(_words(folder.name)), folder)):
        if not called_like_masks(folder.name):
            alike[_shape(folder)].append(folder)
    like_masks = (folder for folder in folders if called_like_masks(folder.name))
    unusual = (folder for folder in like_masks if folder.name.casefold() not in MASK_FOLDERS)
    beside = {folder: found for folder in unusual if (found := alike.get(_shape(folder)))}
    names = _names_in({*beside, *chain(*beside.values())}, files)
    pairs: dict[PurePath, PurePath] = {}
    for masks, found in beside.items():
        if frames := next((folder for folder in found if not names[folder].isdisjoint(names[masks])), None):
            pairs |= {masks: frames, frames: frames}
    return pairs


def role_of(path: PurePath, frames_of: Mapping[PurePath, PurePath]) -> tuple[bool, str, bool]:
    """Return whether an image is a mask, the key that it shares with its partner, and whether its folder told.

    `frames_of` is from `folders_of_frames`.
    """
    folders = list(path.parent.parts)
    for folder in path.parents[:-1]:
        place, name = len(folder.parts) - 1, folder.name.casefold()
        if name in FRAME_FOLDERS | MASK_FOLDERS:
            del folders[place]
            stem = stem_of(path).removesuffix(CHANNEL if name in NNUNET_FOLDERS else "")
            return name in MASK_FOLDERS, composed(PurePath(*folders, stem)), True
        frames = frames_of.get(folder)
        if frames == folder:
            return False, composed(path.parent / stem_of(path)), True
        if frames:
            return True, role_of(frames / path.relative_to(folder), frames_of)[1], True
    match = MASK_NAME.fullmatch(stem_of(path))
    return match is not None, composed(PurePath(*folders, match["frame"] if match else stem_of(path))), False


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(_CASE.sub(" ", composed(name)))]


def _shape(folder: PurePath) -> tuple[PurePath, tuple[str, ...]]:
    """Return the same for folders side by side whose names are equal without the words for frames and masks."""
    return folder.parent, tuple(word for word in _words(folder.name) if word not in _OF_FRAMES | _OF_MASKS)


def _names_in(folders: set[PurePath], files: Iterable[PurePath]) -> dict[PurePath, set[str]]:
    """Return what frames and masks in each folder share with their partners. Below a usual name, that name tells them apart."""
    names: dict[PurePath, set[str]] = {folder: set() for folder in folders}
    for file in files if folders else ():
        for folder in file.parents:
            if folder in names:
                match = MASK_NAME.fullmatch(stem_of(file))
                below = file.parent.relative_to(folder)
                names[folder].add(composed(below / (match["frame"] if match else stem_of(file))))
            if folder.name.casefold() in FRAME_FOLDERS | MASK_FOLDERS:
                break
    return names
