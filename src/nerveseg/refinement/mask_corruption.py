"""Corrupts predictions in the ways in which predictions of unseen people are wrong, to train the refiner.

A prediction is a map of the U-Net's logits of nerve, float32 (H, W), before and after. Unlike a corrupted annotation, it
keeps the soft edge of a real one.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]
STEP = 12.0  # of the logit, from nerve to none
LARGEST = 0.05  # radius of erosion and dilation, and jitter of an outline, at most, as shares of the frame's height
BLOB = (0.06, 0.2)  # standard deviation of a blob, as a share of the frame's height


def _missing(logits: Logits, rng: np.random.Generator) -> Logits:
    """Remove a part of what was found, or all of it."""
    found = np.argwhere(logits > 0.0)
    if not len(found):
        return logits
    return logits - np.float32(STEP) * _blob(logits.shape, found[rng.integers(len(found))], rng)


def _extra(logits: Logits, rng: np.random.Generator) -> Logits:
    """Add a blob somewhere."""
    height, width = logits.shape
    return logits + np.float32(STEP) * _blob(logits.shape, rng.uniform((0, 0), (height, width)), rng)


def _jittered(logits: Logits, rng: np.random.Generator) -> Logits:
    """Bend the outline smoothly."""
    height, width = logits.shape
    coarse = rng.uniform(-1.0, 1.0, (2, 5, 7)).astype(np.float32) * np.float32(LARGEST * height)
    down, aside = (cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC) for field in coarse)
    rows, columns = np.indices((height, width), np.float32)
    return cv2.remap(logits, columns + aside, rows + down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


CORRUPTIONS: dict[str, Callable[[Logits, np.random.Generator], Logits]] = {
    "missing blob": _missing,
    "extra blob": _extra,
    "erosion": lambda logits, rng: cv2.erode(logits, _disc(logits, rng)),
    "dilation": lambda logits, rng: cv2.dilate(logits, _disc(logits, rng)),
    "jitter": _jittered,
}


def corrupt_some(logits: Logits, share: float, rng: np.random.Generator) -> Logits:
    """Corrupt this share of a batch of predictions (N, H, W), each in one way with draws of its own."""
    kinds = rng.choice(list(CORRUPTIONS), len(logits))
    chosen = rng.random(len(logits)) < share
    drawn = zip(logits, kinds, chosen, strict=True)
    return np.stack([CORRUPTIONS[str(kind)](each, rng) if taken else each for each, kind, taken in drawn])


def _blob(shape: tuple[int, ...], centre: NDArray[np.float64], rng: np.random.Generator) -> Logits:
    """Return a round hill of height 1 around `centre` (row, column)."""
    height, width = shape
    sigma = rng.uniform(*BLOB) * height
    rows = np.exp(-0.5 * ((np.arange(height) - centre[0]) / sigma) ** 2)
    columns = np.exp(-0.5 * ((np.arange(width) - centre[1]) / sigma) ** 2)
    hill: Logits = np.outer(rows, columns).astype(np.float32)
    return hill


def _disc(logits: Logits, rng: np.random.Generator) -> NDArray[np.uint8]:
    radius = int(rng.integers(1, max(2, round(LARGEST * logits.shape[0]) + 1)))
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
