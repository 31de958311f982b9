"""Frames of filtered noise in which a bright ellipse is the nerve."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np


def simulated_frame(size: tuple[int, int], *, nerve: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame, uint8, and its mask, bool, of `size` (height, width)."""
    rng = np.random.default_rng(seed)
    height, width = size
    noise = cv2.GaussianBlur(rng.standard_normal(size), (0, 0), 1.5)
    frame = 90 + 25 * noise / noise.std()
    mask = np.zeros(size, np.uint8)
    if nerve:
        centre = (int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.65)))
        cv2.ellipse(mask, centre, (width // 8, height // 7), float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return np.clip(frame + 90 * mask, 0, 255).astype(np.uint8), mask.astype(bool)


def write_pair(folder: Path, name: str, frame: np.ndarray, mask: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.tif"), frame)
    cv2.imwrite(str(folder / f"{name}_mask.tif"), mask.astype(np.uint8) * 255)


def kaggle_frames(
    folder: Path, subjects: Sequence[int] = range(1, 7), frames: int = 4, size: tuple[int, int] = (48, 80)
) -> Path:
    """A folder in Kaggle's layout; every second frame of a subject shows a nerve."""
    for subject in subjects:
        for number in range(1, frames + 1):
            frame, mask = simulated_frame(size, nerve=number % 2 == 0, seed=1000 * subject + number)
            write_pair(folder, f"{subject}_{number}", frame, mask)
    return folder
