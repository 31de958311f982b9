"""Videos, as scanners and phones export loops, decoded by the FFmpeg in OpenCV. Without a frame, `BadFileError` is raised."""

import os
import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Frame
from nerveseg.imaging.dicom import MAX_LOOP_PIXELS
from nerveseg.imaging.image_files import bytes_of
from nerveseg.text.wording import counted

VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv",
})  # fmt: skip
START = 1024  # bytes that show the container of a file
# MP4 and QuickTime; AVI; ASF; FLV; Matroska; Ogg; MPEG streams; MXF; DV; IVF; motion JPEG; GIF; transport streams of 188, 192 or 204
# bytes a packet, which may start within a packet unless that looks like text.
CONTAINERS = re.compile(
    rb".{4}(ftyp|moov|mdat|wide|free|skip|pnot|uuid|styp)|RIFF.{4}AVI |\x30\x26\xb2\x75\x8e\x66\xcf\x11|FLV\x01|\x1a\x45\xdf\xa3"
    rb"|OggS\0|\0\0\0?\x01|\x06\x0e\x2b\x34|\x1f\x07\0[\x3f\xbf]|DKIF\0|\xff\xd8\xff|GIF8"
    rb"|(?![\t\n\r -~]{8}).{0,203}?G((.{187}G){3}|(.{191}G){3}|(.{203}G){3})",
    re.DOTALL,
)
TICKS = 1000.0  # a second, in containers such as WMV; with too few frames, OpenCV returns them as the frame rate
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # our messages report what FFmpeg finds wrong


def open_video(path: Path, tell: Callable[[str], object] = str) -> tuple[Iterator[Frame], float | None]:
    """Return the grey frames of a video one after the other, and the milliseconds between them, None if it does not say.

    After the last frame, `tell` gets a remark if the container states a longer video.
    """
    is_container = CONTAINERS.match(bytes_of(path, START))  # FFmpeg would also open texts and follow the names in them
    # In a relative path, FFmpeg takes what precedes a colon for a protocol.
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG) if is_container else None
    if capture is None or not capture.isOpened():
        remedy = "see whether a player shows it; if so, convert it, for example with `ffmpeg -i ... loop.mp4`"
        raise BadFileError(path, "no video that can be read here, or one without frames", remedy)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # as players do, since phones film sideways
    rate = capture.get(cv2.CAP_PROP_FPS)
    frames = _to_the_end(capture, rate, tell)
    first = next(frames, None)
    if first is None:
        raise BadFileError(path, "a video without a frame that can be read", "export or copy it again")
    return chain([first], frames), 1000.0 / rate if 0 < rate < TICKS else None


def _to_the_end(capture: cv2.VideoCapture, rate: float, tell: Callable[[str], object]) -> Iterator[Frame]:
    """Yield the frames, and tell if at least one is missing at the end by their mean distance."""
    count, last, stated = 0, 0.0, capture.get(cv2.CAP_PROP_FRAME_COUNT) / rate if rate > 0 else 0.0  # in seconds
    for count, frame in enumerate(captured(capture), start=1):
        last = max(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, (count - 1) / rate if rate > 0 else 0.0)
        yield frame
    each = last / (count - 1) if count > 1 else 1 / rate if 0 < rate < TICKS else stated
    if stated - last - each > 0.9 * each:
        tell(f"ends after {counted(count, 'frame')} and {last + each:.2f} s, but states {stated:.2f} s; copy it again")


def captured(capture: cv2.VideoCapture) -> Iterator[Frame]:
    """Yield the remaining frames of an open capture, grey."""
    try:
        while True:
            there, pixels = capture.read()
            if not there:
                return
            yield cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels
    finally:
        capture.release()


def read_video(path: Path, tell: Callable[[str], object] = str) -> NDArray[np.uint8]:
    """Read all frames of a video, uint8 (N, H, W), with remarks as `open_video`. Too many raise `BadFileError`."""
    frames: list[Frame] = []
    found, _ = open_video(path, tell)
    for frame in found:
        frames.append(frame)
        if len(frames) * frame.size > MAX_LOOP_PIXELS:
            what = f"more than {len(frames) - 1:,} frames of {frame.shape[1]}x{frame.shape[0]} pixels"
            raise BadFileError(path, what, "cut it into shorter ones")
    return np.stack(frames)


def count_frames(path: Path) -> int:
    """Count the frames of a video by decoding them, since containers only estimate their number."""
    return sum(1 for _ in open_video(path)[0])
