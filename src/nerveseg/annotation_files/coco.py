"""COCO's JSON: one file for many images, with polygons or run lengths for each area (https://cocodataset.org/#format-data).

Polygons are filled as COCO's tools fill them (`polygons.COCO`). An area that no polygon shows, such as one with a hole, is written as run
lengths. An image that a file lists without an area shows nothing.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nerveseg.annotation_files.embedded import from_run_lengths, lengths_of
from nerveseg.annotation_files.polygons import COCO, Area, areas_of
from nerveseg.annotation_files.shapes import Annotation, NoArea, Pixels, Polygons, Shape
from nerveseg.imaging.arrays import Mask, Size

TOOL = "COCO"


def write_coco(path: Path, masks: Iterable[tuple[str, Mask]], label: str) -> None:
    """Write the areas of masks, each with the path of its image as seen from the file's folder."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, mask) in enumerate(masks, start=1):
        height, width = mask.shape
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for area in areas_of(mask, COCO):
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": 1} | _shape(area))
    content = {
        "info": {"description": "predictions of nerveseg"}, "licenses": [], "images": images, "annotations": annotations,
        "categories": [{"id": 1, "name": label, "supercategory": ""}],
    }  # fmt: skip
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


def _shape(area: Area) -> dict[str, Any]:
    from pycocotools import mask as coco

    runs = coco.encode(np.asfortranarray(area.mask, np.uint8))
    runs["counts"] = runs["counts"].decode("ascii")
    (top, left), (bottom, right) = (edge(np.argwhere(area.mask), axis=0).tolist() for edge in (np.min, np.max))
    return {
        "segmentation": runs if area.polygon is None else [area.polygon.ravel().tolist()],
        "area": int(np.count_nonzero(area.mask)),
        "bbox": [left, top, right + 1 - left, bottom + 1 - top],
        "iscrowd": 0,
    }


def is_coco(content: Any) -> bool:
    """Return whether a JSON file's content is COCO's."""
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def read_coco(path: Path, content: dict[str, Any]) -> Iterator[Annotation]:
    """Yield what the content of a file says of each image. KeyError, TypeError or ValueError are raised if it is damaged."""
    labels = {category["id"]: str(category["name"]) for category in content.get("categories") or []}
    areas = defaultdict[Any, list[dict[str, Any]]](list)
    for area in content["annotations"]:
        areas[area["image_id"]].append(area)
    for image in content["images"]:
        size = (int(image["height"]), int(image["width"]))
        shapes = tuple(_read(area, labels[area["category_id"]], size) for area in areas.pop(image["id"], []))
        yield Annotation(path, str(image["file_name"]).replace("\\", "/"), size, shapes, TOOL)
    if areas:
        raise ValueError(f"areas of {len(areas)} images that it does not list")


def _read(area: dict[str, Any], label: str, size: Size) -> Shape:
    stored = area.get("segmentation")
    if isinstance(stored, list) and stored:
        return Polygons(label, tuple(tuple(map(float, ring)) for ring in stored), COCO)
    if not isinstance(stored, dict):
        return NoArea(label, "box")
    if tuple(stored["size"]) != size:
        raise ValueError(f"run lengths of {stored['size']}, in an image of {list(size)}")
    lengths = lengths_of(stored["counts"]) if isinstance(stored["counts"], str) else stored["counts"]
    return Pixels(label, from_run_lengths(lengths, size[::-1]).T, 0, 0)
