"""Pictures of predictions: a frame with the outline of its mask or, if the mask is empty, with the words "no nerve".

Without these words, the overlay of an empty mask would look like a copy of the frame, and the prediction like a failure.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nerveseg.imaging.arrays import Frame, Mask

VERMILLION = (213, 94, 0)  # red, green, blue: the colour of predictions in the report, too
CONTOUR, LEVELS = 255, 255  # index of the contour's colour in the palette of a film; grey levels before it
NO_NERVE, FONT = "no nerve", cv2.FONT_HERSHEY_SIMPLEX
WIDEST, TALLEST = 0.3, 0.06  # of the words, as shares of the frame


def overlay(frame: Frame, mask: Mask) -> NDArray[np.uint8]:
    """Draw the outline of a mask on a frame: uint8 (H, W, 3) in OpenCV's order, blue, green, red."""
    coloured = cv2.cvtColor(labelled(frame, mask), cv2.COLOR_GRAY2BGR)
    coloured[contour(mask)] = VERMILLION[::-1]
    return coloured


def film_of(frames: Iterable[Frame], masks: Iterable[Mask]) -> list[Image.Image]:
    """Return overlays as images with a palette. The brightest grey level is lost to the contour's colour, nothing else."""
    palette = [level for grey in range(LEVELS) for level in (grey, grey, grey)] + list(VERMILLION)
    pages = []
    for frame, mask in zip(frames, masks, strict=True):
        grey = np.minimum(labelled(frame, mask), LEVELS - 1)
        page = Image.fromarray(np.where(contour(mask), CONTOUR, grey).astype(np.uint8), "P")
        page.putpalette(palette)
        pages.append(page)
    return pages


def labelled(frame: Frame, mask: Mask) -> Frame:
    """Return the frame, with "no nerve" in its lower left corner if the mask is empty: white with a black edge."""
    if mask.any():
        return frame
    written, (height, width) = frame.copy(), frame.shape
    (across, up), _ = cv2.getTextSize(NO_NERVE, FONT, 1.0, 1)
    scale = min(WIDEST * width / across, TALLEST * height / up)
    stroke, margin = max(1, round(2 * scale)), round(up * scale)
    for level, thickness in ((0, 3 * stroke), (255, stroke)):
        cv2.putText(written, NO_NERVE, (margin, height - margin), FONT, scale, level, thickness, cv2.LINE_AA)
    return written


def contour(mask: Mask) -> Mask:
    """Return the pixels of a mask's outline, about a two-hundredth of its height thick and at least one pixel."""
    thickness = max(1, round(mask.shape[0] / 200))
    outlines, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    drawn = cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, thickness)
    return drawn.astype(np.bool_)
