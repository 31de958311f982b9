"""Mask files -> masks: which of their values are nerve.

A mask is bool (H, W). A file may hold 0 and 1, 0 and 255, labels as numbers, palette entries or colours, or one colour under
an alpha channel that is the mask. `labels` (`data.nerve_labels`) says which of them are nerve: numbers, `#rrggbb`, the names of
segments in DICOM, or nothing for every value except zero. In a palette, that is every entry except black, or except the first if black is unused or stands
for several entries. Numbers are those that the file stores, however few bits it has. Transparent pixels are no nerve.
Files that cannot be read, and ambiguous masks, raise `BadFileError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Mask
from nerveseg.imaging.dicom import Header
from nerveseg.imaging.dicom_pixels import read_labels
from nerveseg.imaging.image_files import IMAGE_SUFFIXES, pages
from nerveseg.imaging.mask_colours import channels_of, from_colours
from nerveseg.imaging.mask_values import ReadMask, Segment, Value, from_numbers, is_name
from nerveseg.imaging.nifti import is_nifti, read_nifti
from nerveseg.imaging.page import Page

MOST_COVERED = 0.5  # share of the frame; no nerve fills more
_HOLLOW = 2.0  # by how much an outline's area exceeds its pixels
_NOTHING = -1  # no mask holds this number
_STEPS = {";2": 85, ";4": 17}  # factors by which Pillow multiplies grey levels of 2 and 4 bits


def read_masks(path: Path, labels: Sequence[Value], loop: Header | None = None) -> list[ReadMask]:
    """Read the masks of a file: one, or one for each frame of a loop. Of a DICOM `loop`, segmentations may leave out some."""
    if is_nifti(path):
        volume, _ = read_nifti(path)
        return [from_numbers(_whole(each, path), _numbers_of(labels, {}, path), path) for each in volume]
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        found, names, told = read_labels(path, loop)
        numbers = _numbers_of(labels, names, path)
        masks = [_called(from_numbers(values, numbers, path), names, labels) for values in found]
        segments = tuple(Segment(number, name, str(path)) for number, name in names.items())
        return [replace(mask, remark=told, segments=segments) for mask in masks] if told else masks
    values = _numbers_of(labels, {}, path)
    return [_read(page, values, path) for page in pages(path)]


def check_mask(mask: Mask, path: Path) -> None:
    """Raise `BadFileError` if a mask covers more than half of the frame, which no nerve does."""
    share = np.count_nonzero(mask) / mask.size
    if share > MOST_COVERED:
        remedy = "check whether it is inverted or of another structure; data.nerve_labels says which values are nerve"
        raise BadFileError(path, f"it covers {share:.0%} of the frame, more than a nerve can", remedy)


def is_outline(mask: Mask) -> bool:
    """Whether a mask marks only the outline of an area."""
    outer, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), outer, -1, 1, cv2.FILLED)
    return bool(np.count_nonzero(filled) > _HOLLOW * np.count_nonzero(mask))


def _numbers_of(labels: Sequence[Value], names: Mapping[int, str], path: Path) -> Sequence[Value]:
    """Replace the names in `labels` by the numbers of the segments that a file calls so. Without any segment, raise `BadFileError`."""
    wanted = {_plain(label) for label in labels if is_name(label)}
    if wanted and not names and not set(labels) - {label for label in labels if is_name(label)}:
        what = f"values without names, but data.nerve_labels names {', '.join(map(str, labels))}"
        raise BadFileError(path, what, "add the numbers or colours there that are nerve in such files")
    return [label for label in labels if not is_name(label)] + (
        [number for number, name in names.items() if _plain(name) in wanted] or [_NOTHING] if wanted and names else []
    )


def _called(found: ReadMask, names: Mapping[int, str], labels: Sequence[Value]) -> ReadMask:
    """Call values by the names of their segments if `labels` do."""
    if not any(map(is_name, labels)):
        return found
    asked = {_plain(label): label for label in labels if is_name(label)}
    areas = {
        asked.get(_plain(names.get(number, "")), number) if isinstance(number, int) else number: pixels
        for number, pixels in found.areas.items()
    }
    return replace(found, areas=areas)


def _plain(name: Value) -> str:
    return " ".join(str(name).casefold().split())


def _read(page: Page, labels: Sequence[Value], path: Path) -> ReadMask:
    image, mode = page.image, page.image.mode
    named_colour = any(isinstance(label, str) for label in labels)
    if page.unnamed_channel:
        what = "a further channel that may be the mask but does not say what it is"
        raise BadFileError(path, what, "export it as grey levels, or in RGB")
    if mode == "P" and (entry := int(page.values.max())) >= (size := len(image.getpalette("RGB") or ()) // 3):
        raise BadFileError(path, f"palette entry {entry}, but its palette has {size} colours", "export the mask again")
    if named_colour and mode.startswith(("I", "F")):
        what = "numbers of more than 8 bits, but data.nerve_labels names colours"
        raise BadFileError(path, what, "name the numbers that are nerve there")
    if named_colour or mode not in {"1", "L", "P", "I;16", "I;16B", "I", "F"}:
        return from_colours(channels_of(page, path), labels, path, page)
    if mode == "P" and not labels:
        return _from_palette(page, path)
    values = _numbers(page, path)
    key = image.info.get("transparency")
    if mode != "P" and not labels and isinstance(key, int) and (values == key).any():  # one grey level is transparent
        grey = np.stack([values] * 3 + [np.where(values == key, 0, 255)], axis=-1)
        return from_colours(grey, labels, path, page)
    return from_numbers(values, labels, path, compressed=page.lossy)


def _from_palette(page: Page, path: Path) -> ReadMask:
    """Name entries by colour, since programs reorder palettes, or by number if several entries have one colour."""
    entries, first, counts = np.unique(page.values, return_index=True, return_counts=True)
    colours, channels = np.array(page.image.getpalette("RGB"), np.uint8).reshape(-1, 3), channels_of(page, path)
    layer, black = "transparency" in page.image.info, ~colours[entries].any(axis=1)
    if not layer and np.count_nonzero(black) != 1:
        return from_numbers(page.values, (), path)
    shown = channels.reshape(-1, 4)[first]
    drawn = shown[shown[:, 3] > 0] if layer else colours[entries[~black]]
    others = drawn if layer else colours  # another file may use the other of two equal entries
    if (others == drawn[:, np.newaxis]).all(axis=2).sum() == len(drawn):
        return from_colours(channels, (), path, page)
    if layer or entries[black][0] != 0:
        remedy = "give each structure a colour of its own, or name the entries that are nerve in data.nerve_labels"
        raise BadFileError(path, "several palette entries of one colour", remedy)
    return ReadMask(page.values > 0, dict(zip(entries[1:].tolist(), counts[1:].tolist(), strict=True)))


def _numbers(page: Page, path: Path) -> NDArray[Any]:
    """Return the whole numbers that the file stores, whatever its number of bits."""
    values, mode = page.values, page.image.mode
    if mode == "L":
        return values // next((step for bits, step in _STEPS.items() if bits in page.packing), 1)
    if mode in ("1", "P"):
        return values.astype(np.uint8)
    return _whole(values, path)


def _whole(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return labels as whole numbers; raise `BadFileError` if some are none."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise BadFileError(path, "values that are not a number or infinite", "export the mask with 8 bits")
    low, high = float(values.min()), float(values.max())
    if low < 0.0 or high > 65535.0 or (values.dtype.kind == "f" and not np.array_equal(values, np.round(values))):
        raise BadFileError(path, f"values from {low:g} to {high:g} that are no labels", "export the mask with 8 bits")
    return values.astype(np.int64)
