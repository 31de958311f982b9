"""A frame and its mask in 1.2 kB, to find near twins, and a frame alone in 256 bits, to recognise copies.

A sketch has the frame's means over 32 x 24 blocks (Yang, Gu and Niu 2006, "Block mean value based image perceptual hashing"),
as grey levels instead of bits, then a bit for each of 64 x 48 blocks that the mask covers. The 256 bits tell which of 16 x 17
blocks are brighter than their left neighbours. They hardly change with compression, size and contrast.
"""

import cv2
import numpy as np

from nerveseg.imaging.arrays import Frame

BLOCKS = (32, 24)
MASK_BLOCKS = (64, 48)
LOOK_BLOCKS = (17, 16)


def sketch(frame: Frame, mask: Frame) -> bytes:
    """Return the sketch of a letterboxed frame and its mask, both uint8 (H, W)."""
    means = cv2.resize(frame, BLOCKS, interpolation=cv2.INTER_AREA)
    covered = cv2.resize(mask, MASK_BLOCKS, interpolation=cv2.INTER_AREA) >= 128
    return means.tobytes() + np.packbits(covered).tobytes()


def look(frame: Frame) -> str:
    """Return 64 hexadecimal digits for a frame of any size."""
    means = cv2.resize(frame, LOOK_BLOCKS, interpolation=cv2.INTER_AREA)
    return np.packbits(means[:, 1:] > means[:, :-1]).tobytes().hex()
