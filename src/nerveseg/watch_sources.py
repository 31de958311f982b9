"""Where live frames come from: a video or cine loop at its own speed, a folder that grows, or a capture device.

Each source gives its frames, uint8 (H, W), when they are due, and ends when there will be no more.
"""

import sys
import time
from collections.abc import Container, Iterator
from pathlib import Path, PurePath

import cv2

from nerveseg.data.dicom import is_dicom, read_header
from nerveseg.data.frames import read_frame, read_frames
from nerveseg.data.layouts import natural_key, roles_of
from nerveseg.data.letterbox import Frame
from nerveseg.data.listing import DICOM, IMAGE, kind_of, refusal_of
from nerveseg.data.video import captured, open_video
from nerveseg.errors import BadFileError, DatasetError
from nerveseg.foreign_text import on_one_line
from nerveseg.prediction_files import FRAME_TIME
from nerveseg.written import Records

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
    return captured(capture)


def _of_video(path: Path) -> Iterator[Frame]:
    frames, frame_time = open_video(path)
    return _in_time(frames, (frame_time or FRAME_TIME) / 1000.0)


def _of_loop(path: Path) -> Iterator[Frame]:
    frames, _ = read_frames(path)
    return _in_time(iter(frames), (read_header(path).frame_time or FRAME_TIME) / 1000.0)


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
            found = _images(folder, seen)
        except OSError as error:
            raise DatasetError(
                f"{folder} can no longer be read ({error.strerror}); see where it went, and begin again"
            ) from None
        for path in found:
            try:
                yield read_frame(path)
            except BadFileError as error:  # perhaps it is not written to its end
                if time.monotonic() - appeared.setdefault(path, time.monotonic()) < WRITTEN_IN:
                    continue
                print(f"skipped: {on_one_line(error)}", file=sys.stderr)
            seen.add(path)
        time.sleep(LOOK)


def _images(folder: Path, seen: Container[Path] = ()) -> list[Path]:
    """The new frames right in a folder, as every command tells them (`nerveseg.data.listing`)."""
    records = Records()
    kinds = {path: kind_of(path) for path in folder.iterdir() if path not in seen and path.is_file()}
    fit = [path for path, kind in kinds.items() if kind in (IMAGE, DICOM) and not refusal_of(path, path, kind, records)]
    roles = roles_of([PurePath(path.name) for path in fit])
    frames = [folder / name for names in roles.frames.values() for name in names]
    return sorted(frames, key=lambda path: natural_key(path.name))
