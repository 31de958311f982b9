"""Masks and images inside of annotation files: run lengths and small PNGs. Nothing that a file claims is believed: ValueError."""

import io
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from nerveseg.imaging.arrays import Mask, Size
from nerveseg.imaging.image_files import MAX_PIXELS


def from_run_lengths(lengths: Sequence[int], size: Size) -> Mask:
    """Return the mask of alternating run lengths, row by row, the first outside; ValueError if they do not fill `size`."""
    if min(lengths, default=-1) < 0 or sum(lengths) != size[0] * size[1] or sum(lengths) > MAX_PIXELS:
        raise ValueError(f"run lengths of {sum(lengths):,} pixels in a mask of {size[1]}x{size[0]}")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(size)


def lengths_of(code: str) -> list[int]:
    """Return the run lengths in COCO's compressed code: six bits a letter, and from the fourth on, the difference to the last but one.

    `pycocotools` reads it too, but returns memory of something else if the lengths do not fill the mask.
    """
    lengths: list[int] = []
    value = shift = 0
    for letter in code.encode("ascii"):
        bits = letter - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            value -= (bits & 0x10) << (shift - 4)
            lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
            value = shift = 0
    return lengths


def opened(content: bytes, formats: tuple[str, ...] = ("PNG",)) -> Image.Image:
    """Open an image; ValueError if it claims more pixels than a frame may have."""
    image = Image.open(io.BytesIO(content), formats=formats)
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"an image of {image.width}x{image.height} pixels")
    return image


def inflated(content: bytes) -> bytes:
    """Inflate up to `MAX_PIXELS` bytes; ValueError if there are more."""
    inflating = zlib.decompressobj()
    found = inflating.decompress(content, MAX_PIXELS)
    if inflating.unconsumed_tail:
        raise ValueError("a deflated image that is too large")
    return found
