"""What annotation tools store of an image: areas with labels, and how they become a mask.

An `Annotation` is what a file says of one image. Areas are drawn as their tool draws them (`polygons`), in any order, and may overlap.
Coordinates are x and y in pixels of the image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from nerveseg.annotation_files.polygons import Filling
from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Mask, Size
from nerveseg.imaging.mask_values import ReadMask, Value

SLACK = 1.0  # by how many pixels a corner may leave the image without a remark: tools round differently
FAR = 10.0  # times the image's longer side: what lies farther away would take tools ages to fill


class Shape(Protocol):
    """An area with its label."""

    @property
    def label(self) -> str: ...

    def draw(self, size: Size) -> Mask:
        """Return the area, bool of `size` (height, width)."""

    def faults(self, size: Size) -> Iterator[tuple[bool, str]]:
        """Yield what is odd about it, and whether nobody can know the area that was meant."""


@dataclass(frozen=True)
class Polygons:
    """The union of polygons, each a row of corners x, y, x, y ... Where one crosses itself, the tool decides what is inside."""

    label: str
    rings: tuple[tuple[float, ...], ...]
    filling: Filling

    def draw(self, size: Size) -> Mask:
        mask = np.zeros(size, np.bool_)
        for ring in self.rings:
            mask |= self.filling.fill(np.reshape(ring, (-1, 2)), size)
        return mask

    def faults(self, size: Size) -> Iterator[tuple[bool, str]]:
        from shapely import LinearRing

        for ring in self.rings:
            if len(ring) < 6 or len(ring) % 2:
                yield True, f"a polygon of {len(ring) / 2:g} corners"
                continue
            corners = np.reshape(ring, (-1, 2))
            if not np.isfinite(corners).all():
                yield True, "a polygon with a corner that is no number"
                continue
            if np.abs(corners).max() > FAR * max(size):
                yield True, "a polygon with a corner far outside of the image"
                continue
            if (corners < -SLACK).any() or (corners > np.array(size[::-1]) + SLACK).any():
                yield False, "a polygon leaves the image, and was cut at its edge"
            if not LinearRing(corners).is_simple:
                yield False, "a polygon crosses itself, so that it may not be what was meant"


@dataclass(frozen=True)
class Pixels:
    """A small mask with its upper left corner in the image."""

    label: str
    mask: Mask
    left: int
    top: int

    def draw(self, size: Size) -> Mask:
        whole = np.zeros(size, np.bool_)
        rows, columns = self.mask.shape
        part = self.mask[max(0, -self.top) :, max(0, -self.left) :]
        inside = whole[max(0, self.top) : self.top + rows, max(0, self.left) : self.left + columns]
        inside |= part[: inside.shape[0], : inside.shape[1]]
        return whole

    def faults(self, size: Size) -> Iterator[tuple[bool, str]]:
        rows, columns = self.mask.shape
        if min(self.left, self.top) < 0 or self.top + rows > size[0] or self.left + columns > size[1]:
            yield False, "a mask leaves the image, and was cut at its edge"


@dataclass(frozen=True)
class NoArea:
    """What marks no area, such as a line, by the name of its kind."""

    label: str
    kind: str

    def draw(self, size: Size) -> Mask:
        return np.zeros(size, np.bool_)

    def faults(self, size: Size) -> Iterator[tuple[bool, str]]:  # noqa: ARG002 - as of the others
        yield True, f"a {self.kind}, which marks no area"


@dataclass(frozen=True)
class Annotation:
    """What a file says of one image, or of one frame of a video."""

    file: Path
    image: str  # its name or path, as the file says it
    size: Size | None  # (height, width); None if the file does not say it
    shapes: tuple[Shape, ...]
    tool: str  # whose format it is: LabelMe, COCO, CVAT or Supervisely
    frame: int | None = None  # of a video, from 1
    own_file: bool = False  # whether the file is of this image alone

    def read(self, labels: Sequence[Value], size: Size, culprit: Path) -> ReadMask:
        """Return the mask of an image of `size`; of several labels, those in `labels` are nerve, or all if there are none.

        Areas that nobody can know raise `BadFileError` of the file `culprit`.
        """
        told = dict[str, None]()
        for shape in self.shapes:
            for unknown, fault in shape.faults(size):
                if unknown:
                    what = f"its annotation {shape.label!r} is {fault}"
                    raise BadFileError(culprit, what, "finish or remove it in the annotation tool")
                told[f"{shape.label!r}: {fault}"] = None
        drawn = [(shape.label, shape.draw(size)) for shape in self.shapes]
        areas: dict[Value, int] = {}
        for label in dict.fromkeys(label for label, _ in drawn):
            areas[label] = int(np.count_nonzero(np.logical_or.reduce([mask for of, mask in drawn if of == label])))
        nerve = [mask for label, mask in drawn if not labels or label in labels]
        if not self.shapes:
            told["no area, taken for a frame without a nerve"] = None
        mask = np.logical_or.reduce(nerve) if nerve else np.zeros(size, np.bool_)
        return ReadMask(mask, {label: pixels for label, pixels in areas.items() if pixels}, "; ".join(told))
