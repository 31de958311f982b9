"""From the envelope to the screen: log compression, speckle reduction, the grey map, scan conversion, the marker.

A scanner smooths speckle after log compression, and its grey map is steeper in the bright than in the dark. Half of the
pixels in Kaggle's frames are darker than a third of white, hardly any are black, and 2 % are white: a power law of exponent
1.5 fits these quantiles. The frames are screenshots: their first column is black, and a hollow triangle marks the probe.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.phantom.acoustics import Map, Scanner

SMOOTH = (0.9, 2.0)  # standard deviation of the speckle reduction in rows and lines of a frame of 420 rows
KEPT = 0.55  # share of the unsmoothed frame that it keeps
MARKER_AT, MARKER_WIDTH, MARKER_HEIGHT = 0.523, 18 / 420, 18 / 420  # shares of the frame's width, then height

_DB = np.float32(np.log(10.0) / 20.0)


def compress(envelope: Map, scanner: Scanner, width: int) -> NDArray[np.uint8]:
    """Return grey levels (rows, width): 255 at 0 dB, black `dynamic_range` dB below."""
    decibels = np.log(np.maximum(envelope, np.float32(1e-6))) / _DB
    level = (decibels + np.float32(scanner.gain)) * np.float32(1.0 / scanner.dynamic_range) + np.float32(1.0)
    detail = envelope.shape[0] / 420
    sigma = [max(size * detail, 0.1) for size in SMOOTH]
    smooth = cv2.GaussianBlur(level, (0, 0), sigmaX=sigma[1], sigmaY=sigma[0])
    level = np.maximum(smooth + np.float32(KEPT) * (level - smooth), 0.0)
    grey = np.float32(255.0) * level * np.sqrt(level)
    scan_converted = cv2.resize(grey, (width, grey.shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.clip(scan_converted, 0.0, 255.0).astype(np.uint8)


def add_marker(image: NDArray[np.uint8]) -> None:
    """Draw the probe's marker and the black column over the frame, in place."""
    height, width = image.shape
    left, right = (round(MARKER_AT * width + side * 0.5 * MARKER_WIDTH * height) for side in (-1, 1))
    tip = (round(MARKER_AT * width), round(MARKER_HEIGHT * height))
    corners = np.array([(left, 0), (right, 0), tip], np.int32)
    cv2.polylines(image, [corners], isClosed=True, color=12, thickness=max(round(height / 420), 1))
    image[:, 0] = 0
