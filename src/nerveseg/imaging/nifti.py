"""NIfTI: the frames of a loop, or their masks, as one volume.

Axes are x, y and the number of the frame, as ITK reads them. What is written lies where ITK puts a picture: origin 0, x to the right and
y downwards, which NIfTI's coordinates (right, anterior, superior) count backwards, so that viewers lay the volume over the same frames
from another file. What is read is taken as it is stored.
"""

import math
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Mask, Spacing
from nerveseg.imaging.dicom import MAX_LOOP_PIXELS
from nerveseg.imaging.image_files import MAX_PIXELS, bytes_of, refused_if_damaged

if TYPE_CHECKING:
    import nibabel

NIFTI_SUFFIXES = (".nii", ".nii.gz")
AS_IN_ITK = ("L", "P")  # where x and y point to
_REMEDY = "export it again, as a volume of x, y and the number of the frame"


class Volume(NamedTuple):
    """The header of a file."""

    frames: int
    spacing: Spacing | None  # height and width of a pixel in millimetres, None if not said
    axes: tuple[str, str]  # where x and y point to: L and P are to the right and downwards, as in ITK

    @property
    def remark(self) -> str:
        return (
            "" if self.axes == AS_IN_ITK else f"its axes point to {' and '.join(self.axes)}, and it was taken as stored"
        )


def is_nifti(path: PurePath) -> bool:
    """Return whether a file's name ends as those of NIfTI do."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def read_volume(path: Path) -> Volume:
    """Read the header of a file; `BadFileError` if it cannot be read or has no frames."""
    return _opened(path)[1]


def read_nifti(path: Path) -> tuple[NDArray[Any], Volume]:
    """Return the stored levels of a file, (N, H, W), and its header; `BadFileError` if it cannot be read, or is in colour."""
    image, volume = _opened(path)
    with refused_if_damaged(path, "a NIfTI file that is damaged or cut short", _REMEDY):
        values = np.asanyarray(image.dataobj)
    values = values.reshape((*values.shape[:2], -1)).transpose(2, 1, 0)
    if values.dtype.kind not in "uif":
        raise BadFileError(path, f"pixels of the kind {values.dtype}, expected grey levels", "export it in grey")
    whole = (
        values.dtype.kind == "f" and image.get_data_dtype().kind in "ui" and np.array_equal(values, np.round(values))
    )
    return np.ascontiguousarray(values.astype(np.int64) if whole else values), volume


def _opened(path: Path) -> "tuple[nibabel.Nifti1Image, Volume]":
    import nibabel

    bytes_of(path, 1)
    with refused_if_damaged(path, "no NIfTI file that can be read", _REMEDY):
        image = nibabel.load(path)
        shape = tuple(int(side) for side in image.shape)
        height, width = (float(size) for size in image.header.get_zooms()[1::-1])
        known = image.header.get_xyzt_units()[0] == "mm" and min(height, width) > 0.0
        axes = tuple(str(axis) for axis in nibabel.aff2axcodes(image.affine)[:2])
    (x, y), others = (*shape, 1, 1)[:2], (*shape[2:], 1)
    frames = max(others)
    if len(shape) < 2 or min(shape) < 1 or math.prod(others) != frames:
        raise BadFileError(path, f"a volume of {' x '.join(map(str, shape))}", _REMEDY)
    if x * y > MAX_PIXELS or x * y * frames > MAX_LOOP_PIXELS:
        raise BadFileError(path, f"claims {frames} frames of {x}x{y} pixels", "export a shorter or smaller loop")
    return image, Volume(frames, (height, width) if known else None, (axes[0], axes[1]))


def write_nifti(path: Path, masks: Sequence[Mask], spacing: Spacing | None) -> None:
    """Write the masks of the frames of a file, uint8, 0 or 1. `spacing` is in millimetres; unknown, it is 1."""
    import nibabel

    height, width = spacing or (1.0, 1.0)
    labels = np.stack(masks).astype(np.uint8).transpose(2, 1, 0)
    volume = nibabel.Nifti1Image(labels, np.diag([-width, -height, 1.0, 1.0]))
    volume.header.set_xyzt_units("mm" if spacing else "unknown")
    nibabel.save(volume, path)
