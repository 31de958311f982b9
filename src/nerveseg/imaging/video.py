"""Videos, as scanners and phones export loops: decoded by OpenCV, which brings FFmpeg with it."""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Frame
from nerveseg.imaging.dicom import MAX_LOOP_PIXELS

VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv",
})  # fmt: skip
TICKS = 1000.0  # a second, of containers such as WMV: of too few frames to tell, OpenCV gives these as the frame rate
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what FFmpeg finds wrong is told in one way only, ours


def open_video(path: Path) -> tuple[Iterator[Frame], float | None]:
    """The frames of a video, grey, one after the other, and milliseconds from one to the next, None where it does not say.

    Raises:
        BadFileError: it cannot be read, or holds no frame.
    """
    if path.is_file() and not path.stat().st_size:
        raise BadFileError(path, "the file is empty", "copy it again from its source")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise BadFileError(
            path, "no video that can be read here, or one without frames",
            "see whether a player shows it; if so, convert it, for example with `ffmpeg -i ... loop.mp4`",
        )  # fmt: skip
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # turned as the file says, as players do: phones film on their side
    rate = capture.get(cv2.CAP_PROP_FPS)
    frames = captured(capture)
    first = next(frames, None)
    if first is None:
        raise BadFileError(path, "a video without a frame that can be read", "export or copy it again")
    return chain([first], frames), 1000.0 / rate if 0 < rate < TICKS else None


def captured(capture: cv2.VideoCapture) -> Iterator[Frame]:
    """The frames that an open capture still has to give, grey."""
    try:
        while True:
            there, pixels = capture.read()
            if not there:
                return
            yield cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels
    finally:
        capture.release()


def read_video(path: Path) -> NDArray[np.uint8]:
    """All frames of a video, uint8 (N, H, W).

    Raises:
        BadFileError: it cannot be read, holds no frame, or too many.
    """
    frames: list[Frame] = []
    found, _ = open_video(path)
    for frame in found:
        frames.append(frame)
        if len(frames) * frame.size > MAX_LOOP_PIXELS:
            raise BadFileError(
                path,
                f"more than {len(frames) - 1:,} frames of {frame.shape[1]}x{frame.shape[0]} pixels",
                "cut it into shorter ones",
            )
    return np.stack(frames)


def count_frames(path: Path) -> int:
    """How many frames `read_video` gives: containers only estimate it, so they are gone through.

    Raises:
        BadFileError: it cannot be read.
    """
    found, _ = open_video(path)
    return sum(1 for _ in found)
