"""Sources of live frames, uint8 (H, W), given when they are due: a video or loop, a folder that grows, or a device."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path, PurePath

import cv2

from nerveseg.errors import BadFileError, DatasetError
from nerveseg.file_prediction.mask_formats import FRAME_TIME
from nerveseg.files.user_folder import Records
from nerveseg.imaging.arrays import Frame
from nerveseg.imaging.dicom import is_dicom, read_header
from nerveseg.imaging.frame_files import grey_range_of, read_frames
from nerveseg.imaging.grey_range import GreyRange
from nerveseg.imaging.video import captured, open_video
from nerveseg.preprocessing.layouts import natural_key
from nerveseg.preprocessing.listing import DICOM, IMAGE, kind_of, refusal_of
from nerveseg.preprocessing.roles import roles_of
from nerveseg.text.foreign_text import on_one_line

LOOK = 0.02  # seconds between two looks at a folder
WRITTEN_IN = 2.0  # seconds without a change after which a file counts as written
_Stamp = tuple[int, int]  # of a file: its size, and when it was written


def frames_of(source: Path | int, grey_range: GreyRange | None = None, *, loop: bool = False) -> Iterator[Frame]:
    """Return the frames of a file, of a folder from its newest one on, or of a capture device by its number.

    With `loop`, a file begins again after its last frame. Files that do not say their black and white are read with `grey_range`; what it leaves open, the first such file
    decides. Raise DatasetError if there is no such source, or if it cannot be read.
    """
    if loop and (isinstance(source, int) or source.is_dir()):
        what = "a capture device" if isinstance(source, int) else "a folder, which is watched for new frames"
        raise DatasetError(f"{source} is {what}; --loop plays a video or a cine loop again, leave it out here")
    if isinstance(source, int):
        return _of_device(source)
    if source.is_dir():
        return _Folder(source, grey_range)
    if not source.is_file():
        raise DatasetError(f"{source} was not found; name a video, a folder or a capture device's number, such as 0")
    if kind_of(source) == IMAGE:
        raise BadFileError(source, "an image, expected a video, a cine loop or a folder", "run `nerveseg predict`")
    tell = cache(partial(print, flush=True))  # once
    return _Again(partial(_of_loop, source, grey_range, tell)) if loop else _of_loop(source, grey_range, tell)


def _of_device(number: int) -> Iterator[Frame]:
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise DatasetError(
            f"capture device {number} cannot be opened; check that it is plugged in and that no other program uses it, or name another"
        )
    return captured(capture)


class _Again(Iterator[Frame]):
    """What `play` returns, from its start again and again; `turn` counts, from 0, which time the frame given last is of."""

    turn = 0

    def __init__(self, play: Callable[[], Iterator[Frame]]) -> None:
        self._play, self._frames = play, play()

    def __next__(self) -> Frame:
        while (frame := next(self._frames, None)) is None:
            self._frames, self.turn = self._play(), self.turn + 1
        return frame


def _of_loop(path: Path, grey_range: GreyRange | None, tell: Callable[[str], object]) -> Iterator[Frame]:
    if is_dicom(path):
        whole, remark = read_frames(path, grey_range_of([path], grey_range))
        if remark:
            tell(remark)
        frames, frame_time = iter(whole), read_header(path).frame_time
    else:
        frames, frame_time = open_video(path, lambda remark: tell(f"{on_one_line(path)} {remark}"))
    return _in_time(frames, (frame_time or FRAME_TIME) / 1000.0)


def _in_time(frames: Iterator[Frame], seconds: float) -> Iterator[Frame]:
    """Give each frame when it is due, however long the others took."""
    began = time.monotonic()
    for number, frame in enumerate(frames):
        time.sleep(max(0.0, began + number * seconds - time.monotonic()))
        yield frame


class _Folder(Iterator[Frame]):
    """`age` is of the frame given last: how many seconds before the watch it was written, 0 if during it."""

    age = 0.0

    def __init__(self, folder: Path, grey_range: GreyRange | None) -> None:
        self._frames = self._given(folder, grey_range)

    def __next__(self) -> Frame:
        return next(self._frames)

    def _given(self, folder: Path, grey_range: GreyRange | None) -> Iterator[Frame]:
        there = _images(folder, {})
        grey_range = grey_range_of(there, grey_range)
        by_time = sorted(there, key=lambda path: there[path][1])  # names, as of DICOM files, need not be in order
        seen, told = {path: there[path] for path in by_time[:-1]}, {""}
        changed: dict[Path, tuple[_Stamp, float]] = {}  # and when, of files that cannot be read
        while True:
            try:
                found = _images(folder, seen)
            except OSError as error:
                raise DatasetError(
                    f"{folder} can no longer be read ({error.strerror}); find out where it went, and start again"
                ) from None
            for path, stamp in found.items():
                try:
                    grey_range = grey_range_of([path], grey_range)
                    frames, remark = read_frames(path, grey_range)
                    if len(frames) != 1:
                        raise BadFileError(path, f"{len(frames)} frames, expected one", "watch the loop by itself")  # noqa: TRY301
                    if remark not in told:
                        told.add(remark)
                        print(f"from {on_one_line(path.name)} on: {remark}", flush=True)
                    self.age = max(0.0, time.time() - stamp[1] / 1e9) if there.get(path) == stamp else 0.0
                    yield frames[0]
                except BadFileError as error:  # it may not be complete yet
                    if changed.get(path, ((), 0.0))[0] != stamp:
                        changed[path] = stamp, time.monotonic()
                    if time.monotonic() - changed[path][1] < WRITTEN_IN:
                        continue
                    print(f"skipped: {on_one_line(error)}", file=sys.stderr)
                seen[path] = stamp
            time.sleep(LOOK)


def _images(folder: Path, seen: Mapping[Path, _Stamp]) -> dict[Path, _Stamp]:
    """List the frames directly in a folder that are new, or were written again, by the rules of every command."""
    stamps: dict[Path, _Stamp] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # it was removed meanwhile
                path, status = folder / entry.name, entry.stat()
                stamp = status.st_size, status.st_mtime_ns
                if entry.is_file() and seen.get(path) != stamp:
                    stamps[path] = stamp
    records = Records()
    kinds = {path: kind_of(path) for path in stamps}
    fit = [path for path, kind in kinds.items() if kind in (IMAGE, DICOM) and not refusal_of(path, path, kind, records)]
    roles = roles_of([PurePath(path.name) for path in fit])
    frames = [folder / name for names in roles.frames.values() for name in names]
    return {path: stamps[path] for path in sorted(frames, key=lambda path: natural_key(path.name))}
