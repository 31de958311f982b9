"""Reading and writing frames, as files of one image or as DICOM loops.

A frame is uint8 of shape (H, W), grey levels 0..255. Files may be TIFF, PNG, JPEG or BMP, 8 or 16 bits or floating
point, grey, palette or colour; or DICOM (`nerveseg.data.dicom`).
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.data.dicom import DICOM_SUFFIXES, read_loop
from nerveseg.data.images import IMAGE_SUFFIXES, Page, bits_in_use, pages
from nerveseg.data.letterbox import Frame, Mask
from nerveseg.errors import BadFileError, DatasetError
from nerveseg.outputs import whole_file

FRAME_SUFFIXES = IMAGE_SUFFIXES | DICOM_SUFFIXES
WHITE = 255
SATURATED_SHARE = 0.5  # of the pixels of a frame at its brightest level: gain far too high, or no ultrasound at all


def read_frame(path: Path) -> Frame:
    """Read a file of a single frame.

    Raises:
        BadFileError: the file cannot be read or decoded, or holds several frames.
    """
    frames, _ = read_frames(path)
    if len(frames) != 1:
        raise BadFileError(path, f"{len(frames)} frames, expected one", "export the frames singly")
    return frames[0]


def read_frames(path: Path) -> tuple[NDArray[np.uint8], str]:
    """Read a frame, or the frames of a DICOM loop.

    Returns:
        The frames, uint8 (N, H, W), and a remark on what was made of their grey levels; '' for nothing.

    Raises:
        BadFileError: the file cannot be read or decoded, or its pixels are no grey levels.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return read_loop(path)
    found = pages(path)
    frame, remark = _grey(next(found), path)
    if next(found, None) is not None:
        raise BadFileError(path, "more than one page, expected one frame", "export the frames singly, or as DICOM")
    return frame[np.newaxis], remark


def check_frame(frame: Frame, path: Path) -> None:
    """Refuse a frame that shows nothing.

    Raises:
        BadFileError: every pixel has one level, or more than half of them the brightest.
    """
    low, high = int(frame.min()), int(frame.max())
    if low == high:
        black = ", the frame is black" if high == 0 else ""
        raise BadFileError(path, f"every pixel is {high}{black}", "export the frame again")
    share = np.count_nonzero(frame == WHITE) / frame.size
    if share > SATURATED_SHARE:
        raise BadFileError(
            path, f"saturated: {share:.0%} of the pixels are white", "record or export it with less gain"
        )


def write_image(path: Path, pixels: Frame | Mask) -> None:
    """Write a frame, or a mask as 0 and 255, in the format that the suffix names; the file appears only when whole."""
    values = np.multiply(pixels, 255, dtype=np.uint8) if pixels.dtype == np.bool_ else pixels
    encoded, content = cv2.imencode(path.suffix, values)
    if not encoded:
        raise DatasetError(f"{path}: OpenCV cannot write {path.suffix} files; use .png or .tif")
    with whole_file(path) as partial:
        partial.write_bytes(content.tobytes())


def _grey(page: Page, path: Path) -> tuple[Frame, str]:
    mode = page.image.mode
    if mode.startswith("I"):
        return _from_integers(page.values, path)
    if mode == "F":
        return _from_floats(page.values, path), ""
    return page.values if mode == "L" else np.asarray(page.image.convert("RGB").convert("L")), ""


def _from_integers(values: NDArray[Any], path: Path) -> tuple[Frame, str]:
    """16 bits, of which 12 or 8 may be in use, as ultrasound machines store them; a file does not say how many."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise BadFileError(path, f"pixels from {low} to {high}, expected 8 or 16 bits", "export it with 8 bits")
    bits, remark = bits_in_use(high)
    return _eight_bits(values, 255.0 / (2**bits - 1)), remark


def _from_floats(values: NDArray[Any], path: Path) -> Frame:
    """Floating point from 0 to 1, or from 0 to 255."""
    if not np.isfinite(values).all():
        raise BadFileError(path, "pixels that are not a number or infinite", "export it with 8 bits")
    low, high = float(values.min()), float(values.max())
    if low < 0.0 or high > 255.0:
        raise BadFileError(path, f"pixels from {low:g} to {high:g}, expected 0..1 or 0..255", "export it with 8 bits")
    return _eight_bits(values, 255.0 if high <= 1.0 else 1.0)


def _eight_bits(values: NDArray[Any], factor: float) -> Frame:
    scaled: Frame = np.round(values.astype(np.float64) * factor).astype(np.uint8)
    return scaled
