"""Supervisely's JSON: a file for each image, called after it, with polygons and bitmaps (https://docs.supervisely.com).

Corners are pixels that belong to the area, as in LabelMe. A polygon may have holes; a bitmap is a PNG, deflated, with its upper left corner.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nerveseg.annotation_files.embedded import inflated, opened
from nerveseg.annotation_files.polygons import LABELME
from nerveseg.annotation_files.shapes import Annotation, NoArea, Pixels, Polygons, Shape
from nerveseg.imaging.arrays import Mask, Size

TOOL = "Supervisely"


@dataclass(frozen=True)
class _WithHoles:
    """An area without other areas."""

    area: Polygons
    holes: Polygons

    @property
    def label(self) -> str:
        return self.area.label

    def draw(self, size: Size) -> Mask:
        return self.area.draw(size) & ~self.holes.draw(size)

    def faults(self, size: Size) -> Iterator[tuple[bool, str]]:
        yield from self.area.faults(size)
        yield from self.holes.faults(size)


def is_supervisely(content: Any) -> bool:
    """Return whether a JSON file's content is Supervisely's."""
    return isinstance(content, dict) and {"objects", "size"} <= content.keys()


def read_supervisely(path: Path, content: dict[str, Any]) -> Annotation:
    """Return what the content of a file says of its image. KeyError, TypeError or ValueError are raised if it is damaged."""
    size = (int(content["size"]["height"]), int(content["size"]["width"]))
    return Annotation(path, path.stem, size, tuple(_read(each) for each in content["objects"]), TOOL, own_file=True)


def _read(found: dict[str, Any]) -> Shape:
    label, kind = str(found["classTitle"]), str(found["geometryType"])
    match kind:
        case "polygon":
            outside, holes = found["points"]["exterior"], found["points"].get("interior") or []
            return _WithHoles(
                Polygons(label, (_ring(outside),), LABELME), Polygons(label, tuple(map(_ring, holes)), LABELME)
            )
        case "rectangle":
            (left, top), (right, bottom) = found["points"]["exterior"]
            return Polygons(label, (_ring([(left, top), (right, top), (right, bottom), (left, bottom)]),), LABELME)
        case "bitmap":
            pixels = np.asarray(opened(inflated(base64.b64decode(found["bitmap"]["data"]))).convert("RGBA"))
            left, top = found["bitmap"]["origin"]
            marked = pixels[..., :3].any(axis=-1) & (pixels[..., 3] > 0)
            return Pixels(label, marked, int(left), int(top))
    return NoArea(label, kind)


def _ring(points: Any) -> tuple[float, ...]:
    return tuple(float(value) for point in points for value in point)
