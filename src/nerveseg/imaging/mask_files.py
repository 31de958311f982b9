"""Mask files -> masks: which of their values are nerve.

A mask is bool (H, W). A file may hold 0 and 1, 0 and 255, labels as numbers or palette entries, labels as colours, or
one colour under an alpha channel that is the mask; `labels` (`data.nerve_labels`) says which of them are nerve:
numbers, `#rrggbb`, or nothing for every value but zero; of a palette every entry but black, or, where black is not in
use or stands for several entries, every entry but the first. Numbers are those that the file stores, also where it has
fewer than 8 bits for them. What is transparent is no nerve. What else could be meant is refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Mask
from nerveseg.imaging.dicom_pixels import read_labels
from nerveseg.imaging.image_files import IMAGE_SUFFIXES, Page, pages
from nerveseg.imaging.mask_values import MOST_LABELS, ReadMask, Value, from_numbers

MOST_COVERED = 0.5  # share of the frame; no nerve fills more
BLACK = "#000000"
_STEPS = {";2": 85, ";4": 17}  # by which Pillow multiplies grey levels of 2 and 4 bits
_FAR = 64  # levels of a channel; colours that differ more were not one before lossy compression


def read_masks(path: Path, labels: Sequence[Value]) -> list[ReadMask]:
    """Read the masks of a file: one, or one for each frame of a loop.

    Raises:
        BadFileError: the file cannot be read, or its values are no labels.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return [from_numbers(values, labels, path) for values in read_labels(path)]
    return [_read(page, labels, path) for page in pages(path)]


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


def _read(page: Page, labels: Sequence[Value], path: Path) -> ReadMask:
    image, mode = page.image, page.image.mode
    named_colour = any(isinstance(label, str) for label in labels)
    if mode == "P":
        _check_palette(page, path)
    if named_colour and mode.startswith(("I", "F")):
        raise BadFileError(
            path, "numbers of more than 8 bits, but data.nerve_labels names colours", "name the numbers that are nerve there"
        )  # fmt: skip
    if named_colour or mode not in {"1", "L", "P", "I;16", "I;16B", "I", "F"}:
        return _from_colours(_channels(page), labels, path, page)
    if mode == "P" and not labels:
        entries = np.unique(page.values)
        colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)[entries]
        if np.count_nonzero(~colours.any(axis=1)) == 1 or "transparency" in image.info:
            return _from_colours(_channels(page), labels, path, page)
        return from_numbers(page.values, labels, path)
    values = _numbers(page, path)
    key = image.info.get("transparency")
    if mode != "P" and not labels and isinstance(key, int) and (values == key).any():  # one grey level is transparent
        grey = np.stack([values] * 3 + [np.where(values == key, 0, 255)], axis=-1)
        return _from_colours(grey, labels, path, page)
    if "X" in page.packing and not values.any():
        raise _unread(path)
    return from_numbers(values, labels, path, compressed=image.format == "JPEG")


def _numbers(page: Page, path: Path) -> NDArray[Any]:
    """The numbers that the file stores."""
    values = page.values
    if page.image.mode == "1":
        return values.astype(np.uint8)
    if page.image.mode == "L":
        return values // next((step for bits, step in _STEPS.items() if bits in page.packing), 1)
    return values if page.image.mode == "P" else _whole_numbers(values, path)


def _check_palette(page: Page, path: Path) -> None:
    colours, greatest = len(page.image.getpalette("RGB") or ()) // 3, int(page.values.max())
    if greatest >= colours:
        raise BadFileError(
            path, f"palette entry {greatest}, but its palette has {colours} colours", "export the mask again"
        )


def _channels(page: Page) -> NDArray[Any]:
    """Red, green, blue and alpha, (H, W, 4); colours of 16 bits as numbers, where they are grey, or below 256."""
    image = page.image
    shown = np.asarray((image.convert("LA") if image.mode == "La" else image).convert("RGBA"))
    if page.wide is None:
        return shown
    small = page.wide.max() < 256 or not np.any(page.wide[..., :1] != page.wide[..., 1:])
    return np.dstack([page.wide if small else page.wide >> 8, shown[..., 3]])


def _from_colours(channels: NDArray[Any], labels: Sequence[Value], path: Path, page: Page) -> ReadMask:
    colours, alpha = channels[..., :3], channels[..., 3]
    lossy = page.image.format == "JPEG"
    code = (colours.astype(np.uint64) * np.array([1 << 16, 1 << 8, 1], np.uint64)).sum(axis=-1)
    uniform = code.min() == code.max()
    grey = not np.any(colours[..., :1] != colours[..., 1:])
    if "X" in page.packing and uniform:
        raise _unread(path)
    if not alpha.any():
        if not uniform:
            raise BadFileError(path, "its colours differ, but all of it is transparent", "export it without alpha")
        return ReadMask(np.zeros(alpha.shape, np.bool_), {})
    seen = alpha >= alpha.max() / 2
    if alpha.min() != alpha.max() and (found := _from_alpha(alpha, code[seen], labels, path, grey=grey)):
        return found
    if grey and not any(isinstance(label, str) for label in labels):
        return from_numbers(np.where(seen, colours[..., 0], 0), labels, path, compressed=lossy)
    if labels:
        return _named(np.where(seen, code, 0), seen, labels, path, lossy=lossy)
    brightest = np.where(seen, colours.max(axis=-1), 0)
    areas = _areas(code[seen & (code != 0)])
    mixed = lossy or len(areas) >= MOST_LABELS
    if mixed and not _has_one_hue(colours, brightest):
        raise BadFileError(
            path, "several colours that lossy compression or smoothing has mixed", "export the mask as PNG or TIFF, each "
            "structure with one colour",
        )  # fmt: skip
    if mixed or (len(areas) > 1 and _has_one_hue(colours, brightest)):
        found = from_numbers(brightest, labels, path, compressed=mixed)
        if mixed or len(found.areas) == 1:
            return found
    return ReadMask(seen & (code != 0), areas)


def _from_alpha(
    alpha: NDArray[Any], shown: NDArray[np.uint64], labels: Sequence[Value], path: Path, *, grey: bool
) -> ReadMask | None:
    """The mask, where it is the alpha channel; None where the colours are."""
    if shown.min() == shown.max():
        colour = int(shown[0]) // 0x10101 if grey and shown[0] else f"#{int(shown[0]):06x}"
        return _layer(alpha, colour, labels, path)
    black = np.count_nonzero(shown == 0)
    if 0 < black <= MOST_COVERED * alpha.size and not labels:
        raise BadFileError(
            path, f"black and other colours on {black / alpha.size:.0%} of a transparent layer: black may be background or drawn",
            f"name the colours that are nerve in data.nerve_labels ('{BLACK}' is black), or export it without alpha",
        )  # fmt: skip
    return None


def _layer(alpha: NDArray[Any], colour: Value, labels: Sequence[Value], path: Path) -> ReadMask | None:
    """One colour on a transparent layer."""
    if labels and colour != BLACK:
        return None
    if labels and BLACK not in labels:
        raise BadFileError(
            path, f"only its alpha channel marks anything, which data.nerve_labels ({', '.join(map(str, labels))}) cannot name",
            f"add '{BLACK}' there for what is drawn in black, or export the mask as grey levels",
        )  # fmt: skip
    found = from_numbers(alpha, (), path)
    if len(found.areas) != 1 or alpha.min() > 0:
        raise BadFileError(
            path, f"one colour, and {len(np.unique(alpha))} degrees of opacity that are no binary mask",
            "export the mask as grey levels, each structure with a value of its own",
        )  # fmt: skip
    told = ["black on a transparent layer, so that its alpha channel is the mask"] * (colour == BLACK)
    return ReadMask(found.mask, {colour: sum(found.areas.values())}, "; ".join(filter(None, [*told, found.remark])))


def _named(code: NDArray[Any], seen: Mask, labels: Sequence[Value], path: Path, *, lossy: bool) -> ReadMask:
    if numbers := [label for label in labels if not isinstance(label, str)]:
        shown = ", ".join(f"#{value:06x}" for value in np.unique(code)[:5])
        raise BadFileError(
            path, f"labels as colours ({shown}), but data.nerve_labels names the number {numbers[0]}",
            "name colours there, for example '#ff0000'",
        )  # fmt: skip
    if lossy:
        raise BadFileError(
            path, f"{len(np.unique(code)):,} colours after lossy compression, which are no labels",
            "export the mask as PNG or TIFF",
        )  # fmt: skip
    wanted = np.array([int(str(label)[1:], 16) for label in labels], np.uint64)
    return ReadMask(seen & np.isin(code, wanted), _areas(code[seen]))


def _has_one_hue(colours: NDArray[Any], brightest: NDArray[Any]) -> bool:
    """Whether no structures differ in colour alone, which a cut by brightness would make one."""
    marked = brightest >= max(1, brightest.max() / 2)
    inside = cv2.erode(marked.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    drawn = colours[inside if inside.any() else marked].astype(np.int64)
    far = np.abs(drawn - np.median(drawn, axis=0)).max(axis=1) > _FAR
    return np.count_nonzero(far) <= 0.02 * len(drawn)


def _areas(code: NDArray[Any]) -> dict[Value, int]:
    found, counts = np.unique(code, return_counts=True)
    return {f"#{value:06x}": int(count) for value, count in zip(found, counts, strict=True)}


def _unread(path: Path) -> BadFileError:
    return BadFileError(
        path, "one colour, and a further channel that may be the mask but does not say what it is", "export it as grey levels"
    )  # fmt: skip


def _whole_numbers(values: NDArray[Any], path: Path) -> NDArray[np.int64]:
    """Labels of more than 8 bits, or as floating point."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise BadFileError(path, "values that are not a number or infinite", "export the mask with 8 bits")
    low, high = float(values.min()), float(values.max())
    if low < 0.0 or high > 65535.0 or (values.dtype.kind == "f" and not np.array_equal(values, np.round(values))):
        raise BadFileError(path, f"values from {low:g} to {high:g} that are no labels", "export the mask with 8 bits")
    return values.astype(np.int64)
