"""The colours in a mask, and its alpha channel -> which pixels are marked, and by which colour.

Each colour is a value. Several become one only as smoothing or lossy compression leaves them: blends of one colour with black
along its outline, or more colours than labels would have, of which only one fills areas. Others raise `BadFileError`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import BadFileError
from nerveseg.imaging import mask_values
from nerveseg.imaging.arrays import Mask
from nerveseg.imaging.mask_values import EXPORT_APART, FEW, ReadMask, Value, flat, from_numbers, insides, interior
from nerveseg.imaging.page import Page

BLACK = "#000000"
_MOST_BLACK = 0.5  # share of the frame; if more is black, it is background
_OVERSHOOT = 0.12  # share of a channel by which Lanczos and the like exceed a colour near its outline
_COARSE = 32  # levels of a channel, to which the colour of a structure is rounded after lossy compression
_NEAR = 24  # levels of a channel; the inside of one structure differs less after lossy compression


def _codes(colours: NDArray[Any]) -> NDArray[np.uint64]:
    """Each colour (..., 3) as one number, `rrggbb` in hexadecimal."""
    return (colours.astype(np.uint64) * np.array([1 << 16, 1 << 8, 1], np.uint64)).sum(axis=-1)


def channels_of(page: Page, path: Path) -> NDArray[Any]:
    """Return red, green, blue and alpha, (H, W, 4): 16-bit colours as numbers if grey or below 256, else in 8 bits."""
    image = page.image
    shown = np.asarray((image.convert("LA") if image.mode == "La" else image).convert("RGBA"))
    if page.wide is None:
        return shown
    if page.wide.max() < 256 or not np.any(page.wide[..., :1] != page.wide[..., 1:]):
        return np.dstack([page.wide, shown[..., 3]])
    found, in_eight = (len(np.unique(wide.reshape(-1, 3), axis=0)) for wide in (page.wide, page.wide >> 8))
    if in_eight < found <= mask_values.MOST_LABELS:
        what = f"{found} colours of 16 bits, some of which are equal in 8"
        raise BadFileError(path, what, "export the mask with 8 bits")
    return np.dstack([page.wide >> 8, shown[..., 3]])


def from_colours(channels: NDArray[Any], labels: Sequence[Value], path: Path, page: Page) -> ReadMask:
    """Return the mask in the channels (H, W, 4) of a page (`channels_of`). Without `labels`, all but black is marked."""
    colours, alpha = channels[..., :3], channels[..., 3]
    code = _codes(colours)
    uniform = code.min() == code.max()
    grey = not np.any(colours[..., :1] != colours[..., 1:])
    if not alpha.any():
        if not uniform:
            raise BadFileError(path, "its colours differ, but all of it is transparent", "export it without alpha")
        return ReadMask(np.zeros(alpha.shape, np.bool_), {})
    seen = alpha >= alpha.max() / 2
    if alpha.min() != alpha.max() and (found := _from_alpha(alpha, code[seen], labels, path, grey=grey)):
        return found
    if grey and not any(isinstance(label, str) for label in labels):
        found = from_numbers(np.where(seen, colours[..., 0], 0), labels, path, compressed=page.lossy)
        if page.image.mode != "P":
            return found
        return replace(found, areas={f"#{int(value) * 0x10101:06x}": pixels for value, pixels in found.areas.items()})
    if labels:
        return _named(np.where(seen, code, 0), seen, labels, path, lossy=page.lossy)
    return _by_colour(colours, seen, path, page)


def _from_alpha(
    alpha: NDArray[Any], shown: NDArray[np.uint64], labels: Sequence[Value], path: Path, *, grey: bool
) -> ReadMask | None:
    """Return the mask if the alpha channel is it, None if the colours are."""
    if shown.min() == shown.max():
        colour = int(shown[0]) // 0x10101 if grey and shown[0] else f"#{int(shown[0]):06x}"
        return _layer(alpha, colour, labels, path)
    black = np.count_nonzero(shown == 0)
    if 0 < black <= _MOST_BLACK * alpha.size and not labels:
        raise BadFileError(
            path, f"black and other colours on {black / alpha.size:.0%} of a transparent layer: black may be background or drawn",
            f"name the colours that are nerve in data.nerve_labels ('{BLACK}' is black), or export it without alpha",
        )  # fmt: skip
    return None


def _layer(alpha: NDArray[Any], colour: Value, labels: Sequence[Value], path: Path) -> ReadMask | None:
    """Return the mask that one colour draws on a transparent layer."""
    if labels and colour != BLACK:
        return None
    if labels and BLACK not in labels:
        raise BadFileError(
            path, f"only its alpha channel marks anything, which data.nerve_labels ({', '.join(map(str, labels))}) cannot name",
            f"add '{BLACK}' there for what is drawn in black, or export the mask as grey levels",
        )  # fmt: skip
    found = from_numbers(alpha, (), path)
    if len(found.areas) != 1 or alpha.min() > 0:
        what = f"one colour, and {len(np.unique(alpha))} degrees of opacity that are no binary mask"
        raise BadFileError(path, what, EXPORT_APART)
    told = ["black on a transparent layer, so that its alpha channel is the mask"] * (colour == BLACK)
    return ReadMask(found.mask, {colour: sum(found.areas.values())}, "; ".join(filter(None, [*told, found.remark])))


def _named(code: NDArray[Any], seen: Mask, labels: Sequence[Value], path: Path, *, lossy: bool) -> ReadMask:
    if numbers := [label for label in labels if not isinstance(label, str)]:
        shown = ", ".join(f"#{value:06x}" for value in np.unique(code)[:5])
        what = f"labels as colours ({shown}), but data.nerve_labels names the number {numbers[0]}"
        raise BadFileError(path, what, "name colours there, for example '#ff0000'")
    if lossy:
        what = f"{len(np.unique(code)):,} colours after lossy compression, which are no labels"
        raise BadFileError(path, what, EXPORT_APART)
    wanted = np.array([int(str(label)[1:], 16) for label in labels], np.uint64)
    drawn = seen & ((code > 0) | (BLACK in labels))
    return ReadMask(seen & np.isin(code, wanted), _areas(code[drawn]))


def _by_colour(colours: NDArray[Any], seen: Mask, path: Path, page: Page) -> ReadMask:
    """Return the mask in which every colour except black is marked."""
    brightest, drawn = np.where(seen, colours.max(axis=-1), 0), seen & colours.any(axis=-1)
    areas = _areas(_codes(colours)[drawn])
    if page.lossy or len(areas) >= mask_values.MOST_LABELS:
        if _differ_in_colour(colours, brightest):
            what = f"{len(areas):,} colours, which are neither labels nor shades of one"
            raise BadFileError(path, what, EXPORT_APART)
        found = from_numbers(brightest, (), path, compressed=True)
        return _called(found, _most_common(colours[found.mask], step=_COARSE if page.lossy else 1))
    if len(areas) > 1 and _are_blends(colours, brightest):
        found = from_numbers(brightest, (), path)
        if len(found.areas) == 1:
            return _called(found, _most_common(colours[found.mask]))
    return ReadMask(drawn, areas)


def _are_blends(colours: NDArray[Any], brightest: NDArray[Any]) -> bool:
    """Whether all colours are one colour and its blends with black, apart from overshoot near its outline."""
    top = int(brightest.max())
    if top < mask_values.DIM:
        return False
    full = _most_common(colours[brightest == top])
    mixed = full * (brightest[..., np.newaxis] / top)
    off = np.where(brightest[..., np.newaxis] > 0, np.abs(colours - mixed), 0.0)
    others = (off > 1.0).any(axis=-1) | ((brightest == top) & (colours != full).any(axis=-1))
    return not interior(others).any() and bool((off <= 1.0 + _OVERSHOOT * mixed).all())


def _most_common(colours: NDArray[Any], step: int = 1) -> NDArray[np.int64]:
    """Return the colour of most pixels (N, 3), each channel rounded to a multiple of `step` or to 255."""
    rounded = np.minimum(np.round(colours / step) * step, 255).astype(np.int64)
    found, counts = np.unique(rounded, axis=0, return_counts=True)
    return found[counts.argmax()]


def _called(found: ReadMask, colour: NDArray[np.int64]) -> ReadMask:
    """Name the one structure of a mask by its colour, since another colour in another file is another structure."""
    return replace(found, areas={f"#{int(_codes(colour)):06x}": sum(found.areas.values())})


def _differ_in_colour(colours: NDArray[Any], brightest: NDArray[Any]) -> bool:
    """Whether areas differ in colour, so that a cut by brightness would merge structures."""
    marked = brightest >= max(1, brightest.max() / 2)
    inside = marked & flat(colours.astype(np.float32))
    drawn = colours[inside if np.count_nonzero(inside) > FEW else marked].astype(np.int64)
    common = np.median(drawn, axis=0)
    far = np.abs(drawn - common).max(axis=1) > (_NEAR if inside.any() else 3 * _NEAR)
    areas = [np.median(colours[each], axis=0) for each in insides(brightest > mask_values.EXTREMES * brightest.max())]
    return bool(np.count_nonzero(far) > FEW // 4) or any(np.abs(each - common).max() > 3 * _NEAR for each in areas)


def _areas(code: NDArray[Any]) -> dict[Value, int]:
    found, counts = np.unique(code, return_counts=True)
    return {f"#{value:06x}": int(count) for value, count in zip(found, counts, strict=True)}
