"""CVAT's XML, for images and for videos (https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/).

Areas are drawn as COCO's tools draw them, which CVAT uses itself. Of a video, CVAT writes an outline for each frame from one that
somebody drew to where it ends (`outside`). Frames count from 0 there, and from 1 here. Frames that CVAT does not number, because the
task left them out, were not annotated.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import ArrayLike

from nerveseg.annotation_files.embedded import from_run_lengths
from nerveseg.annotation_files.polygons import COCO
from nerveseg.annotation_files.shapes import Annotation, NoArea, Pixels, Polygons, Shape

TOOL = "CVAT"
ROOT = "annotations"
ELLIPSE_CORNERS = 100


def root_of(content: bytes) -> ET.Element | None:
    """Return the root element if the content of a file is CVAT's; None if it is something else, or defines entities."""
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:  # which can grow without bound
        return None
    try:
        root = ET.fromstring(content)  # noqa: S314 - likewise
    except ET.ParseError:
        return None
    return root if root.tag == ROOT and (root.find("image") is not None or root.find("meta") is not None) else None


def read_cvat(path: Path, root: ET.Element) -> Iterator[Annotation]:
    """Yield what a file says of each image. KeyError, TypeError or ValueError are raised if it is damaged."""
    for image in root.iter("image"):
        size = (int(image.attrib["height"]), int(image.attrib["width"]))
        shapes = tuple(
            _read(each, each.attrib["label"]) for each in image if "label" in each.attrib and each.tag != "tag"
        )
        yield Annotation(path, image.attrib["name"].replace("\\", "/"), size, shapes, TOOL)
    if root.find("image") is None:
        yield from _of_video(path, root)


def _of_video(path: Path, root: ET.Element) -> Iterator[Annotation]:
    task = root.find("meta/task") or root.find("meta/job") or root.find("meta")
    if task is None:
        raise ValueError("no description of the task")
    size = (int(_text(task, "original_size/height")), int(_text(task, "original_size/width")))
    first, last = int(_text(task, "start_frame")), int(_text(task, "stop_frame"))
    step = int((task.findtext("frame_filter") or "step=1").partition("=")[2] or 1)
    video = (root.findtext("meta/source") or task.findtext("source") or "").replace("\\", "/")
    if not video:
        raise ValueError("no name of the video (source)")
    shapes = defaultdict[int, list[Shape]](list)
    for track in root.iter("track"):
        for each in track:
            if each.attrib.get("outside") != "1":
                shapes[int(each.attrib["frame"])].append(_read(each, track.attrib["label"]))
    for number in range(first, last + 1, step):
        yield Annotation(path, video, size, tuple(shapes.pop(number, ())), TOOL, number + 1)
    if shapes:
        raise ValueError(f"areas in frame {min(shapes)}, which the task does not have")


def _text(element: ET.Element, place: str) -> str:
    if (found := element.findtext(place)) is None:
        raise ValueError(f"no {place}")
    return found


def _read(shape: ET.Element, label: str) -> Shape:
    said = shape.attrib
    match shape.tag:
        case "polygon":
            corners = tuple(float(value) for point in said["points"].split(";") for value in point.split(","))
            return Polygons(label, (corners,), COCO)
        case "box":
            left, top, right, bottom = (float(said[side]) for side in ("xtl", "ytl", "xbr", "ybr"))
            return _turned(shape, label, [(left, top), (right, top), (right, bottom), (left, bottom)])
        case "ellipse":
            around = np.linspace(0.0, 2.0 * np.pi, ELLIPSE_CORNERS, endpoint=False)
            x, y = (
                float(said["cx"]) + float(said["rx"]) * np.cos(around),
                float(said["cy"]) + float(said["ry"]) * np.sin(around),
            )
            return _turned(shape, label, np.stack([x, y], axis=1))
        case "mask":
            size = (int(said["height"]), int(said["width"]))
            return Pixels(
                label,
                from_run_lengths([int(value) for value in said["rle"].split(",")], size),
                int(said["left"]),
                int(said["top"]),
            )
    return NoArea(label, shape.tag)


def _turned(shape: ET.Element, label: str, corners: ArrayLike) -> Polygons:
    """Turn corners (N, 2) around their middle, clockwise by the degrees that the shape says."""
    angle, corners = np.deg2rad(float(shape.attrib.get("rotation", 0.0))), np.asarray(corners, np.float64)
    middle = corners.mean(axis=0)
    x, y = (corners - middle).T
    turned = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], axis=1)
    return Polygons(label, (tuple((turned + middle).ravel().tolist()),), COCO)
