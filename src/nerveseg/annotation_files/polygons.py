"""Masks -> polygons, with few corners, that annotation tools fill to the same mask.

Tools fill polygons in two ways. LabelMe takes a corner for the centre of a pixel, and the outline belongs to the area (Pillow). COCO's
tools take it for a place between pixels, where (0, 0) is the upper left corner of the frame, and fill the pixels whose centres lie
inside (`pycocotools`). A `Filling` knows both directions of one of them.

A polygon shows neither a hole nor, in LabelMe, a single line of pixels. So `areas_of` gives each connected area its mask, and a polygon
where one shows it: float64 (N, 2), x and y, at least three corners.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nerveseg.imaging.arrays import Mask, Size

LEAST_DICE = 0.995  # of the mask that a tool fills again
# By how many pixels a polygon may leave the outline. The first that is filled well enough is used.
_TOLERANCES = (2.0, 1.5, 1.0, 0.7, 0.5, 0.25, 0.0)
Polygon = NDArray[np.float64]


class Area(NamedTuple):
    mask: Mask  # of the frame's size
    polygon: Polygon | None


@dataclass(frozen=True)
class Filling:
    """How a tool draws polygons: the exact outline of an area without holes, and the mask (H, W) inside a polygon."""

    outline: Callable[[Mask], Polygon]
    fill: Callable[[Polygon, Size], Mask]


def areas_of(mask: Mask, filling: Filling) -> Iterator[Area]:
    """Yield the connected areas of a mask (8 neighbours), from the top."""
    count, numbers = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    for number in range(1, count):
        area = numbers == number
        yield Area(area, _polygon_of(area, filling))


def _polygon_of(area: Mask, filling: Filling) -> Polygon | None:
    """Return the polygon with the fewest corners that is filled to at least `LEAST_DICE` of the area; None if there is none."""
    (top, left), (bottom, right) = (edge(np.argwhere(area), axis=0) for edge in (np.min, np.max))
    cut = np.pad(area[top : bottom + 1, left : right + 1], 1)
    _, hierarchy = cv2.findContours(cut.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if len(hierarchy[0]) > 1:  # a hole
        return None
    outline = filling.outline(cut)
    for tolerance in _TOLERANCES:
        polygon = cv2.approxPolyDP(outline.astype(np.float32), tolerance, closed=True)[:, 0].astype(np.float64)
        if len(polygon) >= 3 and _dice(filling.fill(polygon, cut.shape), cut) >= LEAST_DICE:
            return polygon + np.array([left - 1, top - 1])
    return None


def _dice(one: Mask, other: Mask) -> float:
    return 2.0 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def _through_centres(mask: Mask) -> Polygon:
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return contours[0][:, 0].astype(np.float64)


def _between_pixels(mask: Mask) -> Polygon:
    """Follow the centres of quarter pixels: these lie a quarter of a pixel inside of the edges."""
    doubled = cv2.resize(mask.view(np.uint8), None, fx=2.0, fy=2.0, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return (contours[0][:, 0] + 0.5) / 2.0


def _by_pillow(polygon: Polygon, size: Size) -> Mask:
    image = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in polygon.tolist()], fill=1, outline=1)
    return np.array(image)


def _by_coco(polygon: Polygon, size: Size) -> Mask:
    from pycocotools import mask as coco

    return coco.decode(coco.frPyObjects([polygon.ravel().tolist()], *size))[..., 0].astype(np.bool_)


LABELME = Filling(_through_centres, _by_pillow)
COCO = Filling(_between_pixels, _by_coco)
