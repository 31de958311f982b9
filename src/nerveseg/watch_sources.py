"""Where live frames come from: a video or cine loop at its own speed, a folder that grows, or a capture device.

Each source gives its frames, uint8 (H, W), when they are due, and ends when there will be no more.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.data.dicom import is_dicom, read_header
from nerveseg.data.frames import FRAME_SUFFIXES, read_frame, read_frames
from nerveseg.data.layouts import natural_key
from nerveseg.data.letterbox import Frame
from nerveseg.errors import BadFileError, DatasetError
from nerveseg.foreign_text import on_one_line
from nerveseg.prediction_files import FRAME_TIME

LOOK = 0.02  # seconds between two looks at a folder
WRITTEN_IN = 2.0  # seconds that a file may take to be written


def frames_of(source: str) -> Iterator[Frame]:
    """The frames of a file, of a folder from its newest one on, or of a capture device by its number.

    Raises:
        DatasetError: there is no such source, or it cannot be read.
    """
    if source.isdecimal():
        return _of_device(int(source))
    path = Path(source)
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise DatasetError(f"{source} was not found; name a video, a folder, or the number of a capture device, as 0")
    return _of_loop(path) if is_dicom(path) else _of_video(path)


def _of_device(number: int) -> Iterator[Frame]:
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise DatasetError(
            f"capture device {number} cannot be opened; see that it is plugged in and used by no other program, or name another"
        )
    return _captured(capture)


def _of_video(path: Path) -> Iterator[Frame]:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise BadFileError(
            path, "no video that can be read here", "convert it, for example with `ffmpeg -i ... loop.mp4`"
        )
    rate = capture.get(cv2.CAP_PROP_FPS)
    return _in_time(_captured(capture), 1.0 / rate if rate > 0 else FRAME_TIME / 1000.0)


def _of_loop(path: Path) -> Iterator[Frame]:
    frames, _ = read_frames(path)
    return _in_time(iter(frames), (read_header(path).frame_time or FRAME_TIME) / 1000.0)


def _captured(capture: cv2.VideoCapture) -> Iterator[Frame]:
    try:
        while True:
            there, pixels = capture.read()
            if not there:
                return
            yield _grey(pixels)
    finally:
        capture.release()


def _grey(pixels: NDArray[np.uint8]) -> Frame:
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels


def _in_time(frames: Iterator[Frame], seconds: float) -> Iterator[Frame]:
    """Each frame when it is due, however long the others took."""
    began = time.monotonic()
    for number, frame in enumerate(frames):
        time.sleep(max(0.0, began + number * seconds - time.monotonic()))
        yield frame


def _of_folder(folder: Path) -> Iterator[Frame]:
    seen = set(_images(folder)[:-1])
    appeared: dict[Path, float] = {}
    while True:
        try:
            found = _images(folder)
        except OSError as error:
            raise DatasetError(
                f"{folder} can no longer be read ({error.strerror}); see where it went, and begin again"
            ) from None
        for path in found:
            if path in seen:
                continue
            try:
                yield read_frame(path)
            except BadFileError as error:  # perhaps it is not written to its end
                if time.monotonic() - appeared.setdefault(path, time.monotonic()) < WRITTEN_IN:
                    continue
                print(f"skipped: {on_one_line(error)}", file=sys.stderr)
            seen.add(path)
        time.sleep(LOOK)


def _images(folder: Path) -> list[Path]:
    files = [path for path in folder.iterdir() if path.suffix.lower() in FRAME_SUFFIXES - {""} and path.is_file()]
    return sorted(files, key=lambda path: natural_key(path.name))
