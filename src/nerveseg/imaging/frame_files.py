"""Reading and writing frames, as files of one image or as DICOM loops.

A frame is uint8 of shape (H, W), grey levels 0..255. Files may be TIFF, PNG, JPEG or BMP, 8 or 16 bits or floating
point, grey, palette or colour; or DICOM (`nerveseg.imaging.dicom_pixels`). Where a file does not say which level is white, its
source does (`nerveseg.imaging.grey_range`).
"""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nerveseg.errors import BadFileError
from nerveseg.files.atomic import whole_file
from nerveseg.imaging.arrays import Frame, Mask
from nerveseg.imaging.dicom import read_header
from nerveseg.imaging.dicom_pixels import read_loop
from nerveseg.imaging.grey_range import EIGHT_BITS, Extremes, GreyRange, Stored, decided, frames_of
from nerveseg.imaging.image_files import IMAGE_SUFFIXES, is_plain, pages
from nerveseg.imaging.page import UPRIGHT, Page

WHITE = 255
SATURATED_SHARE = 0.5  # of the pixels of a frame at its brightest level: gain far too high, or no ultrasound at all


def grey_range_of(paths: Iterable[Path], known: GreyRange | None = None) -> GreyRange:
    """Black and white of all files of one source, decided over all that do not say it themselves; what is known stays.

    Files that cannot be read count for nothing: reading them tells.
    """
    if known and known.integer and known.floating:
        return known
    return decided((found for path in paths for found in extremes(path)), known)


def extremes(path: Path) -> list[Extremes]:
    """The lowest and the highest level of a file that does not say which is white; nothing of another."""
    try:
        if is_plain(path) if path.suffix.lower() in IMAGE_SUFFIXES else read_header(path).says_white:
            return []
        stored = _stored(path)
        return [stored.extremes(path)] if stored.black_white is None else []
    except BadFileError:
        return []


def read_frame(path: Path, grey_range: GreyRange | None = None) -> Frame:
    """Read a file of a single frame, as `read_frames` does.

    Raises:
        BadFileError: the file cannot be read or decoded, or holds several frames.
    """
    frames, _ = read_frames(path, grey_range)
    if len(frames) != 1:
        raise BadFileError(path, f"{len(frames)} frames, expected one", "export the frames singly")
    return frames[0]


def read_frames(path: Path, grey_range: GreyRange | None = None) -> tuple[NDArray[np.uint8], str]:
    """Read a frame, or the frames of a DICOM loop.

    Args:
        path: of the file.
        grey_range: of its source, from `grey_range_of`; None: the file is a source by itself.

    Returns:
        The frames, uint8 (N, H, W), and a remark on what was made of their pixels; '' for nothing.

    Raises:
        BadFileError: the file cannot be read or decoded, its pixels are no grey levels, or which of them is white is not known.
    """
    return frames_of(_stored(path), grey_range, path)


def fault_of(frame: Frame) -> tuple[str, str] | None:
    """Why a frame shows nothing, and what to do: every pixel has one level, or more than half of them the brightest."""
    low, high = int(frame.min()), int(frame.max())
    if low == high:
        return f"every pixel is {high}{', the frame is black' if high == 0 else ''}", "export the frame again"
    share = np.count_nonzero(frame == WHITE) / frame.size
    if share > SATURATED_SHARE:
        return f"saturated: {share:.0%} of the pixels are white", "record or export it with less gain"
    return None


def check_frame(frame: Frame, path: Path) -> None:
    """Refuse a frame that shows nothing.

    Raises:
        BadFileError: as `fault_of` says.
    """
    if fault := fault_of(frame):
        raise BadFileError(path, *fault)


def write_image(path: Path, pixels: Frame | Mask) -> None:
    """Write a frame, or a mask as 0 and 255, in the format that the suffix names; the file appears only when whole.

    Raises:
        BadFileError: OpenCV cannot write it.
    """
    values = np.multiply(pixels, 255, dtype=np.uint8) if pixels.dtype == np.bool_ else pixels
    try:
        encoded, content = cv2.imencode(path.suffix, values)
    except cv2.error:
        encoded = False
    if not encoded:
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise BadFileError(
            path, f"{size} pixels cannot be written as {path.suffix}", "use .png or .tif, or a smaller frame"
        )
    with whole_file(path) as partial:
        partial.write_bytes(content.tobytes())


def _stored(path: Path) -> Stored:
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return read_loop(path)
    found = pages(path)
    stored = _of_page(next(found), path)
    if next(found, None) is not None:
        raise BadFileError(path, "more than one page, expected one frame", "export the frames singly, or as DICOM")
    return stored


def _of_page(page: Page, path: Path) -> Stored:
    image = page.image
    turned = page.orientation != UPRIGHT
    remarks = (f"turned as its file says (orientation {page.orientation})",) * turned + _on_alpha(image)
    remarks += ("a further channel, left out since it does not say what it is",) * page.unnamed_channel
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


def _on_alpha(image: Image.Image) -> tuple[str, ...]:
    """A remark where some pixels are transparent: what lies below them is anybody's guess."""
    alpha = image.getbands()[-1] in ("A", "a")
    opaque = (
        np.asarray(image.getchannel(len(image.getbands()) - 1)).min() == 255
        if alpha
        else "transparency" not in image.info
    )
    return () if opaque else ("transparent pixels, taken as if they were not",)
