"""Frames, uint8 of shape (H, W) with grey levels 0..255, and masks, bool of shape (H, W)."""

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Spacing = tuple[float, float]  # height and width of a pixel
Size = tuple[int, ...]  # (height, width), as `shape` gives it
cv2.setNumThreads(1)  # stages work on frames in parallel; OpenCV's own threads would only compete
cv2.setLogLevel(0)  # our messages report damaged files
