"""DICOM segmentations (PS3.3, section A.51) -> labels of the loop that they segment: at each pixel, the number of its segment.

A file holds a mask for each segment and frame, in any order, and may leave out empty ones. Each mask names its segment and
the frame that it belongs to. A mask for a single frame need not name the frame.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import BadFileError
from nerveseg.imaging.dicom import MAX_LOOP_PIXELS, Header

if TYPE_CHECKING:
    import pydicom

LONGEST_NAME = 40  # letters
REMEDY = "export the nerve's segment alone, with a mask for each frame in order, or export masks as PNG or TIFF"


def labels_of(
    path: Path, found: "pydicom.Dataset", pixels: NDArray[Any], loop: Header | None
) -> tuple[NDArray[np.uint16], dict[int, str], str]:
    """Return the labels of a loop, (N, H, W) up to the last frame that it or a mask has, the names of segments, and a remark.

    A `loop` of None is a frame of another format. If masks do not say where they belong, or overlap, `BadFileError` is raised.
    """
    names = {int(one.SegmentNumber): str(one.get("SegmentLabel") or "")[:LONGEST_NAME] for one in found.SegmentSequence}
    told = "a DICOM segmentation: " + ", ".join(f"{number} is {name!r}" for number, name in names.items())
    least = loop.frames if loop else 1
    shared = list(found.get("SharedFunctionalGroupsSequence") or [])
    groups = [[group, *shared] for group in found.get("PerFrameFunctionalGroupsSequence") or []] or [shared]
    frames = [_frames(of_mask) for of_mask in groups]
    if least == 1 and not any(frames):
        frames = [[1]] * len(groups)
    if len(groups) != len(pixels) or any(len(of_mask) != 1 or of_mask[0] < 1 for of_mask in frames):
        raise BadFileError(path, f"{told}; a mask in it does not name exactly one frame", REMEDY)
    last = max(least, *(frame for (frame,) in frames))
    if last * pixels[0].size > MAX_LOOP_PIXELS:
        raise BadFileError(path, f"{told}; it names a frame {last:,}", REMEDY)
    labels, seen = np.zeros((last, *pixels.shape[1:]), np.uint16), set()
    half = float(found.get("MaximumFractionalValue") or 1) / 2 if found.get("SegmentationType") == "FRACTIONAL" else 0
    for (frame,), of_mask, values in zip(frames, groups, pixels, strict=True):
        segment = None if found.get("SegmentationType") == "LABELMAP" else _segment(of_mask)
        if (segment, frame) in seen or (segment is not None and segment not in names):
            raise BadFileError(path, f"{told}; several masks of one frame and segment, or an unknown segment", REMEDY)
        seen.add((segment, frame))
        marked, label = values > half, labels[frame - 1]
        if label[marked].any():
            raise BadFileError(path, f"{told}; its segments overlap", REMEDY)
        label[marked] = values[marked] if segment is None else segment
    of_files = {str(element.value) for element in found.iterall() if element.keyword == "ReferencedSOPInstanceUID"}
    if loop and of_files and loop.instance not in of_files:
        told += "; it names another file than its frame: unless UIDs were changed, check that they belong together"
    return labels, names, told


def _frames(groups: "list[pydicom.Dataset]") -> list[int]:
    """Return the numbers of the frames from which a mask was derived."""
    return sorted({
        int(number)
        for group in groups
        for derivation in group.get("DerivationImageSequence") or []
        for source in derivation.get("SourceImageSequence") or []
        for number in np.ravel(source.get("ReferencedFrameNumber") or [])
    })  # fmt: skip


def _segment(groups: "list[pydicom.Dataset]") -> int:
    """Return the number of a mask's segment; 0 if it names none."""
    found = (item for group in groups for item in group.get("SegmentIdentificationSequence") or [])
    return int(next((item.ReferencedSegmentNumber for item in found), 0))
