"""Files on disk -> pairs of a frame and its mask, and what was quarantined instead.

Kaggle's 2016 layout, in one folder: `S_N.tif` is frame N of subject S, `S_N_mask.tif` its mask (PNG and other
image formats serve as well). Nothing in the folder is ever changed.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, delayed

from nerveseg.data.frames import IMAGE_SUFFIXES, Frame, Mask, read_frame, read_mask
from nerveseg.errors import DatasetError

FRAME_NAME = re.compile(r"(?P<subject>[^_]+)_(?P<number>[^_]+)(?P<mask>_mask)?")


@dataclass(frozen=True, order=True)
class Pair:
    """One frame's file and its mask's; `name` is unique in the data set, for example `12_3`."""

    name: str
    subject: str
    frame_path: Path
    mask_path: Path


@dataclass(frozen=True)
class LoadedPair:
    """A pair that passed every check; `digest` is the SHA-256 of the two files' bytes."""

    pair: Pair
    frame: Frame
    mask: Mask
    digest: str


@dataclass(frozen=True)
class Quarantined:
    """A file that is not used: why, and what its owner can do."""

    file: str
    reason: str


def find_pairs(directory: Path) -> tuple[list[Pair], list[Quarantined]]:
    """Pair the files of `directory` by name; files are not opened yet.

    Returns:
        The pairs in natural order (2_1 before 10_1), and the images without partner or with a foreign name.

    Raises:
        DatasetError: the folder is missing, or holds no pair.
    """
    if not directory.is_dir():
        raise DatasetError(
            f"{directory} is not a folder; put frames there as S_N.tif with S_N_mask.tif (subject S, frame N), "
            "or set data.dir in params.yaml to where they are"
        )
    frames: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    quarantined: list[Quarantined] = []
    images = sorted(path for path in directory.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    for path in images:
        match = FRAME_NAME.fullmatch(path.stem)
        side = masks if match and match["mask"] else frames
        name = path.stem.removesuffix("_mask")
        if match is None:
            quarantined.append(Quarantined(path.name, "its name is not S_N or S_N_mask; rename it"))
        elif name in side:
            quarantined.append(Quarantined(path.name, f"{side[name].name} has the same name; keep one of the two"))
        else:
            side[name] = path
    quarantined += [
        Quarantined(frames[name].name, f"its mask {name}_mask is missing; add it (all zero where no nerve is seen)")
        for name in frames.keys() - masks.keys()
    ]
    quarantined += [
        Quarantined(masks[name].name, f"its frame {name} is missing; add it or remove the mask")
        for name in masks.keys() - frames.keys()
    ]
    both = sorted(frames.keys() & masks.keys(), key=natural_key)
    if not both:
        raise DatasetError(
            f"{directory} holds {len(images)} images but no pair of a frame S_N.tif and a mask S_N_mask.tif; "
            "check the names, or data.dir in params.yaml"
        )
    pairs = [Pair(name, name.split("_")[0], frames[name], masks[name]) for name in both]
    return pairs, sorted(quarantined, key=lambda item: natural_key(item.file))


def load_pairs(pairs: list[Pair], workers: int = 2) -> Iterator[LoadedPair | Quarantined]:
    """Read and check each pair, in the order of `pairs` for any number of `workers` (threads)."""
    return iter(Parallel(n_jobs=workers, prefer="threads", return_as="generator")(delayed(_load)(p) for p in pairs))


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts `2_1` before `10_1`."""
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part)


def _load(pair: Pair) -> LoadedPair | Quarantined:
    try:
        frame, mask = read_frame(pair.frame_path), read_mask(pair.mask_path)
    except DatasetError as error:
        return Quarantined(pair.frame_path.name, str(error))
    if frame.shape != mask.shape:
        found = f"the frame is {_size(frame.shape)} pixels and its mask {_size(mask.shape)}"
        return Quarantined(pair.frame_path.name, f"{found}; export both at one size")
    digest = hashlib.sha256(pair.frame_path.read_bytes())
    digest.update(pair.mask_path.read_bytes())
    return LoadedPair(pair, frame, mask, digest.hexdigest())


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
