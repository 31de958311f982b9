"""The numbers in a mask -> which pixels are marked, and by which value.

A binary mask holds 0 and one other number. Several numbers are either labels, each with an area of its own, or what lossy
compression and smoothing leave of a binary mask. The latter lie along its outline and are cut in the middle. A mask that could
be either, or is neither, raises `BadFileError`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Mask
from nerveseg.text.wording import counted, some

MOST_LABELS = 32  # a mask with more values is a picture, not labels
EXTREMES = 0.15  # share of the range at either end, where nearly all pixels of a compressed binary mask lie
DIM = 64  # if no value is brighter, traces of compression cannot be told from labels
WHITE = 255
_WHITES = frozenset({1, WHITE, 65535, "#ffffff", "#000000"})
_FLAT = 0.04  # share of the range; neighbours that differ less lie inside an area, not on an outline
# Inside a small structure, lossy compression leaves such differences. Along an outline, also a smoothed one, they are greater.
_LEVEL = 0.14
_DIMMER = 0.8  # share of the brighter structure's level
FEW = 16  # pixels
EXPORT_APART = "export the mask as PNG or TIFF, 0 where no nerve is and a value of its own for each structure"

Value = int | str  # a number, a colour or a name, as data.nerve_labels names them


def is_name(value: Value) -> bool:
    """Return whether a value is a name that somebody gave, neither a number nor a colour."""
    return isinstance(value, str) and not value.startswith("#")


class Segment(NamedTuple):
    """What a file of a DICOM segmentation calls one of its values."""

    number: int
    name: str
    file: str


@dataclass(frozen=True)
class ReadMask:
    mask: Mask
    areas: dict[Value, int]  # pixels of each value except the background
    remark: str = ""  # on how values were changed
    segments: tuple[Segment, ...] = ()  # the values that the file names


@dataclass
class ValuesInUse:
    """The values in the masks of a data set."""

    found: dict[Value, tuple[int, int]] = field(default_factory=dict)  # the number of frames and of pixels of each
    frames: int = 0  # that show any
    segments: dict[int, dict[str, dict[str, None]]] = field(default_factory=dict)  # the files of each number and name

    def add(self, areas: Mapping[Value, int], segments: Iterable[Segment] = ()) -> None:
        for number, name, file in segments:
            names = self.segments.setdefault(number, {})
            names.setdefault(" ".join(name.casefold().split()), {})[file] = None
        self.frames += bool(areas)
        for value, pixels in areas.items():
            frames, before = self.found.get(value, (0, 0))
            self.found[value] = (frames + 1, before + pixels)

    def __str__(self) -> str:
        marked = sum(pixels for _, pixels in self.found.values())
        return "; ".join(
            f"{value} in {frames:,} of the {self.frames:,} frames that mark anything ({pixels / marked:.1%} of the marked pixels)"
            for value, (frames, pixels) in sorted(self.found.items(), key=lambda item: _numbers_first(item[0]))
        )

    @property
    def contradictory(self) -> str:
        """Which numbers of DICOM segments mean different structures in different files; '' if none do."""
        told = [
            f"{number} is {' and '.join(f'{name!r} in {some(files, 3)}' for name, files in sorted(names.items()))}"
            for number, names in sorted(self.segments.items())
            if len(names) > 1
        ]
        remedy = (
            "if they are one structure, give its segment one name in all files (SegmentLabel, 0062,0005), else one number to each "
            "structure; docs/your-own-data.md says how to rename a segment without exporting again"
        )
        return f"DICOM segmentations name their segments differently: {'; '.join(told)}; {remedy}" if told else ""

    @property
    def unclear(self) -> str:
        """Why `data.nerve_labels` must say which values are nerve; '' if they are clear without it."""
        if len(self.found) < 2 or self._white_in_several_ways:
            return ""
        numbers, names = (all(map(kind, self.found)) for kind in (lambda value: isinstance(value, int), is_name))
        example = "NUMBER, ..." if numbers else "NAME, ..." if names else "'#rrggbb', ..."
        brightest = all(isinstance(value, int) and value >= DIM for value in self.found)
        shades = "; if they are shades, as of probabilities, export the masks in black and white" * brightest
        entries = "" if numbers or names else "; of a palette, the number of an entry will do as well"
        return (
            f"the masks hold several values: {self}; say in params.yaml which of them are nerve: "
            f"data.nerve_labels: [{example}]{entries}{shades}"
        )

    def without_nerve(self, labels: Sequence[Value]) -> str:
        """Return the message for a data set in which no mask shows a nerve."""
        if not labels:
            return "no mask shows a nerve; check that the masks were exported with their labels"
        named = ", ".join(map(str, labels))
        return f"no mask shows a nerve; data.nerve_labels is {named}, but the masks hold {str(self) or 'nothing'}"

    def remarks(self, labels: Sequence[Value]) -> list[str]:
        """Return what a reader of the scores should know, a sentence each."""
        if absent := ", ".join(str(label) for label in labels if label not in self.found):
            return [f"no mask holds {absent} of data.nerve_labels; they hold {str(self) or 'nothing'}"]
        others = {value: self.found[value][0] for value in self.found if is_name(value) and value not in labels}
        if labels and others:
            told = ", ".join(f"{value} in {counted(frames, 'frame')}" for value, frames in sorted(others.items()))
            return [f"labels that data.nerve_labels does not name are no nerve: {told}"]
        if not labels and len(self.found) > 1 and self._white_in_several_ways:
            return [f"each of these values was taken for nerve: {self}; if meanings differ, set data.nerve_labels"]
        return []

    @property
    def _white_in_several_ways(self) -> bool:
        """Whether these are binary masks of programs that write 1, 255, white, or black on a clear layer, one a mask."""
        return self.found.keys() <= _WHITES and sum(frames for frames, _ in self.found.values()) == self.frames


def _numbers_first(value: Value) -> tuple[bool, Value]:
    return isinstance(value, str), value


def from_numbers(values: NDArray[Any], labels: Sequence[Value], path: Path, *, compressed: bool = False) -> ReadMask:
    """Return the mask in whole numbers from 0, (H, W), of which `labels` or all but 0 count; `compressed` ones may be off."""
    found, counts = _histogram(values)
    areas: dict[Value, int] = {int(value): int(count) for value, count in zip(found, counts, strict=True) if value}
    if len(areas) < 2 and not (areas and labels and compressed):
        return ReadMask(np.isin(values, labels) if labels else values != 0, areas)
    top = int(found[-1])
    low, high = EXTREMES * top, (1.0 - EXTREMES) * top
    near = counts[(found <= low) | (found >= high)].sum() / values.size
    spread = np.any((found > 0) & (found <= low)) and np.any((found >= high) & (found < top)) and near >= 0.9
    few = len(found) <= MOST_LABELS
    common = int(found[found >= high][counts[found >= high].argmax()])
    smoothed = spread or (not labels and few and _lie_on_outline(values))
    if smoothed and few and not compressed:
        smoothed = not any(interior(values == value).any() for value in found[found > 0] if value != common)
    if compressed or (smoothed and top >= DIM) or not (few or labels):
        no_shades = top < DIM or (near < 0.9 and not smoothed)
        if labels or no_shades:
            remedy = "set data.nerve_labels to [] to cut shades in the middle, or " * (not no_shades) + EXPORT_APART
            raise BadFileError(path, f"{len(found)} values from {found[0]} to {top}, which are no labels", remedy)
        if level := _level_between(values, low):
            what = f"values around {level} beside 0 and {top}, which may be of two structures"
            raise BadFileError(path, what, EXPORT_APART)
        told = "shades between 0 and the greatest value, cut in the middle"
        mask = values >= top / 2
        white = common >= (1.0 - EXTREMES) * WHITE  # in 12 or 16 bits, too: shades that high are a share of white
        return ReadMask(mask, {WHITE if white else common: int(np.count_nonzero(mask))}, told)
    return ReadMask(np.isin(values, labels) if labels else values != 0, areas)


def _lie_on_outline(values: NDArray[Any]) -> bool:
    """Whether nearly all pixels between zero and the greatest value lie between areas of these two, as after smoothing."""
    between = (values > 0) & (values < values.max())
    full, none = ((values == level).astype(np.uint8) for level in (values.max(), 0))
    around = np.ones((5, 5), np.uint8)
    outline = between & (cv2.dilate(full, around) > 0) & (cv2.dilate(none, around) > 0)
    return bool(between.any() and interior(full).any() and np.count_nonzero(outline) >= 0.9 * np.count_nonzero(between))


def interior(pixels: NDArray[Any]) -> Mask:
    """Return the marked pixels without their outline; of the few that smoothing and compression leave, none."""
    return cv2.erode(pixels.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def flat(levels: NDArray[np.float32], most: float = _FLAT) -> Mask:
    """Return which pixels of (H, W) or (H, W, 3) differ from their neighbours by no more than a share of the range."""
    near = np.ones((3, 3), np.uint8)
    ranges = cv2.dilate(levels, near) - cv2.erode(levels, near)
    return ranges.reshape(*ranges.shape[:2], -1).max(axis=-1) <= most * float(levels.max())


def insides(drawn: Mask) -> Iterator[Mask]:
    """Yield the pixels of each separate area without its outline, if they are enough to tell its value."""
    inside = interior(drawn)
    areas = cv2.connectedComponents(drawn.astype(np.uint8))[1]
    for number in np.flatnonzero(np.bincount(areas[inside]) > FEW):
        yield inside & (areas == number)


def _level_between(values: NDArray[Any], low: float) -> int | None:
    """Return the level of an area that is neither background nor as bright as the brightest area, if there is one."""
    levels = [float(np.quantile(values[inside], 0.9)) for inside in insides(values > low)]
    if levels and min(levels) < (1.0 - EXTREMES) * max(levels):
        return int(min(levels))
    inside = flat(values.astype(np.float32), _LEVEL) & (values > low)
    if not inside.any():
        return None
    dimmer = inside & (values < _DIMMER * np.quantile(values[inside], 0.95))  # compression leaves peaks near an outline
    areas = cv2.connectedComponents(dimmer.astype(np.uint8))[1]
    sizes = np.bincount(areas[dimmer], minlength=1)
    return int(np.median(values[areas == sizes.argmax()])) if sizes.max() > FEW else None


def _histogram(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the different values, ascending, and the number of pixels of each."""
    if values.dtype == np.uint8:
        counts = np.bincount(values.ravel(), minlength=256)
        found = np.flatnonzero(counts)
        return found, counts[found]
    return np.unique(values, return_counts=True)
