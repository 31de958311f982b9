"""LabelMe's JSON: a file for each image, with a polygon or a small mask for each area.

LabelMe (https://github.com/wkentaro/labelme) knows masks beside polygons from version 5.2 on; an area that no polygon shows, such as one
with a hole, is written as one. Areas are drawn as LabelMe draws them (`polygons.LABELME`). A file may hold a copy of its image.
"""

import base64
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from nerveseg.annotation_files.embedded import opened
from nerveseg.annotation_files.polygons import LABELME, Area, areas_of
from nerveseg.annotation_files.shapes import FAR, SLACK, Annotation, NoArea, Pixels, Polygons, Shape
from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Frame, Mask, Size
from nerveseg.imaging.image_files import FORMATS, refused_if_damaged

VERSION = "5.5.0"  # of the format
TOOL = "LabelMe"
ALIKE = 4.0  # mean difference in grey levels between an image and its copy, which LabelMe may store as JPEG


def write_labelme(path: Path, image: str, mask: Mask, label: str) -> None:
    """Write the areas of a mask. `image` is the path of its image, as seen from the file's folder."""
    shapes = [_shape(area, label) for area in areas_of(mask, LABELME)]
    height, width = mask.shape
    content: dict[str, Any] = {
        "version": VERSION, "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None,
        "imageHeight": height, "imageWidth": width,
    }  # fmt: skip
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _shape(area: Area, label: str) -> dict[str, Any]:
    shape: dict[str, Any] = {"label": label, "group_id": None, "description": "", "flags": {}, "mask": None}
    if area.polygon is not None:
        return shape | {"shape_type": "polygon", "points": area.polygon.tolist()}
    (top, left), (bottom, right) = (edge(np.argwhere(area.mask), axis=0).tolist() for edge in (np.min, np.max))
    encoded = io.BytesIO()
    Image.fromarray(area.mask[top : bottom + 1, left : right + 1]).save(encoded, "PNG")
    shape["mask"] = base64.b64encode(encoded.getvalue()).decode("ascii")
    return shape | {"shape_type": "mask", "points": [[left, top], [right, bottom]]}


@dataclass(frozen=True)
class _Drawn:
    """A rectangle by two opposite corners, or a circle by its centre and a place on it: x, y, x, y."""

    label: str
    kind: str
    corners: tuple[float, ...]

    def draw(self, size: Size) -> Mask:
        image = Image.new("1", (size[1], size[0]))
        drawing, (left, top, right, bottom) = ImageDraw.Draw(image), self.box
        (drawing.rectangle if self.kind == "rectangle" else drawing.ellipse)(
            (left, top, right, bottom), fill=1, outline=1
        )
        return np.array(image)

    def faults(self, size: Size) -> Iterator[tuple[bool, str]]:
        left, top, right, bottom = self.box
        if not np.abs(self.box).max() <= FAR * max(size):  # NaN as well
            yield True, f"a {self.kind} far outside of the image"
        elif min(left, top) < -SLACK or right > size[1] + SLACK or bottom > size[0] + SLACK:
            yield False, f"a {self.kind} leaves the image, and was cut at its edge"

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        x, y, other_x, other_y = self.corners
        if self.kind == "rectangle":
            return min(x, other_x), min(y, other_y), max(x, other_x), max(y, other_y)
        radius = math.hypot(other_x - x, other_y - y)
        return x - radius, y - radius, x + radius, y + radius


def is_labelme(content: Any) -> bool:
    """Return whether a JSON file's content is LabelMe's."""
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def read_labelme(path: Path, content: dict[str, Any]) -> Annotation:
    """Return what the content of a file says of its image. KeyError, TypeError or ValueError are raised if it is damaged."""
    size = (content.get("imageHeight"), content.get("imageWidth"))
    known = (int(size[0]), int(size[1])) if size[0] and size[1] else None
    shapes = tuple(_read(shape) for shape in content["shapes"])
    return Annotation(path, str(content["imagePath"]).replace("\\", "/"), known, shapes, TOOL, own_file=True)


def _read(shape: dict[str, Any]) -> Shape:
    label, kind, points = str(shape["label"]), shape.get("shape_type") or "polygon", shape["points"]
    corners = tuple(float(value) for point in points for value in point)
    match kind:
        case "polygon":
            return Polygons(label, (corners,), LABELME)
        case "rectangle" | "circle" if len(corners) == 4:
            return _Drawn(label, kind, corners)
        case "mask":
            encoded = base64.b64decode(shape["mask"])
            pixels = np.asarray(opened(encoded).convert("L")) > 0
            return Pixels(label, pixels, int(corners[0]), int(corners[1]))
    return NoArea(label, str(kind))


def check_copy(path: Path, frame: Frame) -> None:
    """Raise `BadFileError` if the copy of the image that a file may hold shows something else than the frame."""
    stored = json.loads(path.read_bytes()).get("imageData")
    if not stored:
        return
    with refused_if_damaged(path, "its copy of the image (imageData) cannot be read", "save it again in LabelMe"):
        copy = np.asarray(opened(base64.b64decode(stored), FORMATS).convert("RGB").convert("L"))
    same = copy.shape == frame.shape and np.abs(copy.astype(np.int16) - frame).mean() <= ALIKE
    if not same:
        what = "its copy of the image (imageData) shows something else than the file beside it"
        raise BadFileError(path, what, "find out which of the two was annotated, and save it again in LabelMe")
