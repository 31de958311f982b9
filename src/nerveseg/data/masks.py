"""Mask files -> masks: which of their values are nerve.

A mask is bool (H, W). A file may hold 0 and 1, 0 and 255, labels as numbers or palette entries, or labels as colours;
`labels` (`data.nerve_labels`) says which of them are nerve: numbers, `#rrggbb`, or nothing for every value but zero; of
a palette every entry but black, or, where black is not in use or stands for several entries, every entry but the first.
Values that lossy compression or smoothing has spread about black and white are cut in the middle, and that is said.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nerveseg.data.dicom_pixels import read_labels
from nerveseg.data.images import IMAGE_SUFFIXES, Page, pages
from nerveseg.data.letterbox import Mask
from nerveseg.errors import BadFileError

MOST_LABELS = 32  # more different values than that are a picture, not labels
EXTREMES = 0.15  # share of the range, at either end, in which nearly all pixels of a spread mask lie
DIM = 64  # the brightest value of a mask, below which what compression spread cannot be told from labels
MOST_COVERED = 0.5  # share of the frame; no nerve fills more


def read_masks(path: Path, labels: Sequence[int | str]) -> tuple[list[Mask], str]:
    """Read the masks of a file: one, or one for each frame of a loop.

    Returns:
        The masks, and a remark on what was done to their values; '' for nothing.

    Raises:
        BadFileError: the file cannot be read, or its values are no labels.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        found = [_from_numbers(values, labels, path, compressed=False) for values in read_labels(path)]
    else:
        found = [_nerve(page, labels, path) for page in pages(path)]
    remarks = {remark for _, remark in found if remark}
    return [mask for mask, _ in found], "; ".join(sorted(remarks))


def check_mask(mask: Mask, path: Path) -> None:
    """Refuse a mask that cannot be a nerve.

    Raises:
        BadFileError: it covers more than half of the frame.
    """
    share = np.count_nonzero(mask) / mask.size
    if share > MOST_COVERED:
        raise BadFileError(
            path, f"it covers {share:.0%} of the frame, more than a nerve can", "check whether it is inverted, or of another "
            "structure; data.nerve_labels says which values are nerve",
        )  # fmt: skip


def _nerve(page: Page, labels: Sequence[int | str], path: Path) -> tuple[Mask, str]:
    image = page.image
    compressed = image.format == "JPEG"
    if any(isinstance(label, str) for label in labels) or image.mode not in {"1", "L", "P", "I;16", "I;16B", "I", "F"}:
        return _from_colours(image, labels, path)
    if image.mode == "P" and not labels:
        entries = np.unique(page.values)
        colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)[entries]
        if np.count_nonzero(~colours.any(axis=1)) == 1:
            return _from_colours(image, labels, path)
        return page.values != 0, ""
    values = page.values
    if image.mode == "1":
        values = values.astype(np.uint8)
    elif image.mode not in {"L", "P"}:
        values = _whole_numbers(values, path)
    return _from_numbers(values, labels, path, compressed=compressed)


def _from_numbers(
    values: NDArray[Any], labels: Sequence[int | str], path: Path, *, compressed: bool
) -> tuple[Mask, str]:
    marked = values != 0
    area, top = np.count_nonzero(marked), int(values.max())
    if not area or (area == np.count_nonzero(values == top) and not labels):
        return marked, ""
    found, counts = _histogram(values)
    low, high = EXTREMES * top, (1.0 - EXTREMES) * top
    near = counts[(found <= low) | (found >= high)].sum() / values.size
    spread = np.any((found > 0) & (found <= low)) and np.any((found >= high) & (found < top)) and near >= 0.9
    if compressed or (spread and top >= DIM) or (len(found) > MOST_LABELS and not labels):
        if labels or top < DIM or near < 0.9:
            raise BadFileError(
                path, f"{len(found)} different values from {found[0]} to {top}, which are no labels",
                "export the mask as PNG or TIFF with 0 where no nerve is",
            )  # fmt: skip
        told = f"{len(found)} values between 0 and {top}, as lossy compression leaves: cut at {top / 2:g}"
        return values >= top / 2, told
    return (np.isin(values, labels) if labels else marked), ""


def _histogram(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The different values, ascending, and how many pixels have each."""
    if values.dtype == np.uint8:
        counts = np.bincount(values.ravel(), minlength=256)
        found = np.flatnonzero(counts)
        return found, counts[found]
    return np.unique(values, return_counts=True)


def _from_colours(image: Image.Image, labels: Sequence[int | str], path: Path) -> tuple[Mask, str]:
    rgba = np.asarray(image.convert("RGBA"))
    colours, seen = rgba[..., :3], rgba[..., 3] > 0
    grey = not np.any(colours[..., :1] != colours[..., 1:])
    if grey and not any(isinstance(label, str) for label in labels):
        return _from_numbers(np.where(seen, colours[..., 0], 0), labels, path, compressed=image.format == "JPEG")
    code = (colours.astype(np.uint32) * np.array([1 << 16, 1 << 8, 1], np.uint32)).sum(axis=-1, dtype=np.uint32)
    if not labels:
        if image.format == "JPEG" or len(np.unique(code)) > MOST_LABELS:
            brightest = np.where(seen, colours.max(axis=-1), 0)
            return _from_numbers(brightest, labels, path, compressed=True)
        return seen & (code != 0), ""
    if numbers := [label for label in labels if not isinstance(label, str)]:
        shown = ", ".join(f"#{value:06x}" for value in np.unique(code)[:5])
        raise BadFileError(
            path, f"labels as colours ({shown}), but data.nerve_labels names the number {numbers[0]}",
            "name colours there, for example '#ff0000'",
        )  # fmt: skip
    if image.format == "JPEG":
        raise BadFileError(
            path, f"{len(np.unique(code)):,} colours after lossy compression, which are no labels",
            "export the mask as PNG or TIFF",
        )  # fmt: skip
    wanted = np.array([int(str(label)[1:], 16) for label in labels], np.uint32)
    return seen & np.isin(code, wanted), ""


def _whole_numbers(values: NDArray[Any], path: Path) -> NDArray[np.int64]:
    """Labels of more than 8 bits, or as floating point."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise BadFileError(path, "values that are not a number or infinite", "export the mask with 8 bits")
    low, high = float(values.min()), float(values.max())
    if low < 0.0 or high > 65535.0 or (values.dtype.kind == "f" and not np.array_equal(values, np.round(values))):
        raise BadFileError(path, f"values from {low:g} to {high:g} that are no labels", "export the mask with 8 bits")
    return values.astype(np.int64)
