"""A file of an annotation tool -> what it says of each image: JSON of LabelMe, COCO or Supervisely, or XML of CVAT, told apart by their content."""

import json
import zlib
from pathlib import Path

from nerveseg.annotation_files.coco import is_coco, read_coco
from nerveseg.annotation_files.cvat import read_cvat, root_of
from nerveseg.annotation_files.labelme import is_labelme, read_labelme
from nerveseg.annotation_files.shapes import Annotation
from nerveseg.annotation_files.supervisely import is_supervisely, read_supervisely
from nerveseg.errors import BadFileError
from nerveseg.imaging.image_files import bytes_of

ANNOTATION_SUFFIXES = frozenset({".json", ".xml"})


def read_annotations(path: Path) -> list[Annotation]:
    """Return what a file says of each image; nothing if it is no annotation. A damaged one raises `BadFileError`."""
    content = bytes_of(path)
    try:
        if path.suffix.lower() == ".xml":
            root = root_of(content)
            return [] if root is None else list(read_cvat(path, root))
        try:
            parsed = json.loads(content)
        except (ValueError, RecursionError):
            return []
        if is_labelme(parsed):
            return [read_labelme(path, parsed)]
        if is_supervisely(parsed):
            return [read_supervisely(path, parsed)]
        return list(read_coco(path, parsed)) if is_coco(parsed) else []
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OSError, zlib.error) as error:
        what = f"annotations that cannot be read ({type(error).__name__}: {error})"
        raise BadFileError(path, what, "export them again from the tool that they come from") from None
