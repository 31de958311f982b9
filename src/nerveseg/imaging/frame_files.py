"""Read and write frames: files of one image, or loops in DICOM or NIfTI.

A frame is uint8 of shape (H, W), grey levels 0..255. Files may be TIFF, PNG, JPEG or BMP with 8 or 16 bits or floating
point, in grey, palette or colour, DICOM (`dicom_pixels`) or NIfTI. If a file does not say which level is white, its source decides
(`grey_range`). A file that cannot be read or written raises `BadFileError`.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Frame, Mask
from nerveseg.imaging.dicom import read_header
from nerveseg.imaging.dicom_pixels import read_loop
from nerveseg.imaging.grey_range import EIGHT_BITS, Extremes, GreyRange, Stored, decided, frames_of
from nerveseg.imaging.image_files import IMAGE_SUFFIXES, is_plain, pages
from nerveseg.imaging.nifti import is_nifti, read_nifti
from nerveseg.imaging.page import UPRIGHT, Page

WHITE = 255
SATURATED_SHARE = 0.5  # of a frame's pixels that are white: far too much gain, or no ultrasound at all


def grey_range_of(paths: Iterable[Path], known: GreyRange | None = None) -> GreyRange:
    """Decide black and white for the readable files of a source that do not say them; what is `known` stays."""
    if known and known.integer and known.floating:
        return known
    return decided((found for path in paths for found in extremes(path)), known)


def extremes(path: Path) -> list[Extremes]:
    """Return the lowest and highest level of a file that does not say which level is white, else an empty list."""
    try:
        if not is_nifti(path) and (
            is_plain(path) if path.suffix.lower() in IMAGE_SUFFIXES else read_header(path).says_white
        ):
            return []
        stored = _stored(path)
        return [stored.extremes(path)] if stored.black_white is None else []
    except BadFileError:
        return []


def read_frame(path: Path, grey_range: GreyRange | None = None) -> Frame:
    """Read a file of one frame, as `read_frames` does. Several frames raise `BadFileError`."""
    frames, _ = read_frames(path, grey_range)
    if len(frames) != 1:
        raise BadFileError(path, f"{len(frames)} frames, expected one", "export the frames singly")
    return frames[0]


def read_frames(path: Path, grey_range: GreyRange | None = None) -> tuple[NDArray[np.uint8], str]:
    """Return a frame, or those of a loop, uint8 (N, H, W), and a remark on how levels were taken; '' if as stored.

    `grey_range` is that of the file's source, None if it is one by itself. If white stays unknown, raise `BadFileError`.
    """
    return frames_of(_stored(path), grey_range, path)


def fault_of(frame: Frame) -> tuple[str, str] | None:
    """Return why a frame shows nothing (all pixels are equal, or more than half are white) and what to do, else None."""
    low, high = int(frame.min()), int(frame.max())
    if low == high:
        return f"every pixel is {high}{', the frame is black' if high == 0 else ''}", "export the frame again"
    share = np.count_nonzero(frame == WHITE) / frame.size
    if share > SATURATED_SHARE:
        return f"{share:.0%} of the pixels are white", "export it with less gain, or remove it if it is no ultrasound"
    return None


def write_image(path: Path, pixels: Frame | Mask) -> None:
    """Write a frame, or a mask as 0 and 255, in the format that the suffix names."""
    values = np.multiply(pixels, 255, dtype=np.uint8) if pixels.dtype == np.bool_ else pixels
    encoded = False
    with contextlib.suppress(cv2.error):
        encoded, content = cv2.imencode(path.suffix, values)
    if not encoded:
        what = f"{pixels.shape[1]}x{pixels.shape[0]} pixels cannot be written as {path.suffix}"
        raise BadFileError(path, what, "use .png or .tif, or a smaller frame")
    path.write_bytes(content.tobytes())


def _stored(path: Path) -> Stored:
    if is_nifti(path):
        values, volume = read_nifti(path)
        return Stored(
            values, EIGHT_BITS if values.dtype == np.uint8 else None, remarks=tuple(filter(None, [volume.remark]))
        )
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return read_loop(path)
    found = pages(path)
    stored = _of_page(next(found), path)
    if next(found, None) is not None:
        raise BadFileError(path, "more than one page, expected one frame", "export the frames singly, or as DICOM")
    return stored


def _of_page(page: Page, path: Path) -> Stored:
    image = page.image
    opaque = "transparency" not in image.info
    if image.getbands()[-1] in ("A", "a"):  # nobody knows what is meant below transparent pixels
        opaque = np.asarray(image)[..., -1].min() == 255
    remarks = (
        *(f"turned as its file says (orientation {page.orientation})",) * (page.orientation != UPRIGHT),
        *("transparent pixels, taken as if they were not",) * (not opaque),
        *("a further channel, left out since it does not say what it is",) * page.unnamed_channel,
    )
    if page.wide is not None:
        return Stored(page.wide[np.newaxis], remarks=remarks)
    if image.mode.startswith(("I", "F")):
        declared = (0.0, 2.0**page.bits - 1) if page.bits < 16 else None
        return Stored(page.values[np.newaxis], declared, page.white_is_zero, remarks)
    if image.mode == "L":
        return Stored(page.values[np.newaxis], EIGHT_BITS, remarks=remarks)
    try:
        grey = np.asarray(image.convert("RGB").convert("L"))
    except ValueError:
        raise BadFileError(path, f"colours of the kind {image.mode}", "export it in grey or RGB") from None
    return Stored(grey[np.newaxis], EIGHT_BITS, remarks=remarks)
