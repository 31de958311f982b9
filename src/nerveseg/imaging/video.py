"""Videos, as scanners and phones export loops: decoded by OpenCV, which brings FFmpeg with it."""

import os
import re
import stat
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
START = 1024  # bytes of a file, by which its container is told
# MP4 and QuickTime; AVI; ASF; FLV; Matroska; Ogg; MPEG streams; MXF; DV; IVF; motion JPEG; GIF; transport streams of 188, 192 or 204
# bytes a packet, which may be cut at their beginning, where they are no text.
CONTAINERS = re.compile(
    rb".{4}(ftyp|moov|mdat|wide|free|skip|pnot|uuid|styp)|RIFF.{4}AVI |\x30\x26\xb2\x75\x8e\x66\xcf\x11|FLV\x01|\x1a\x45\xdf\xa3"
    rb"|OggS\0|\0\0\0?\x01|\x06\x0e\x2b\x34|\x1f\x07\0[\x3f\xbf]|DKIF\0|\xff\xd8\xff|GIF8"
    rb"|(?![\t\n\r -~]{8}).{0,203}?G((.{187}G){3}|(.{191}G){3}|(.{203}G){3})",
    re.DOTALL,
)
TICKS = 1000.0  # a second, of containers such as WMV: of too few frames to tell, OpenCV gives these as the frame rate
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what FFmpeg finds wrong is told in one way only, ours


def open_video(path: Path) -> tuple[Iterator[Frame], float | None]:
    """The frames of a video, grey, one after the other, and milliseconds from one to the next, None where it does not say.

    Raises:
        BadFileError: it cannot be read, or holds no frame.
    """
    # FFmpeg takes what stands before a colon for a protocol, unless the path is absolute.
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG) if _is_container(path) else None
    if capture is None or not capture.isOpened():
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


def _is_container(path: Path) -> bool:
    """Whether a file begins as a container of video does; FFmpeg would also open a text and follow the names in it."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            start = file.read(START)
    except OSError as error:
        raise BadFileError(
            path, f"it cannot be read ({error.strerror})", "check the path, its links and its permissions"
        ) from None
    if not start:
        raise BadFileError(path, "the file is empty", "copy it again from its source")
    return CONTAINERS.match(start) is not None


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
