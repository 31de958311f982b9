"""The formats in which `predict` writes masks, so that they open in the tool that the annotations come from.

| format | files |
|---|---|
| png | a mask, 0 and 255, and an overlay of each frame; of a loop also the overlays as a film, at its own speed |
| labelme | each frame as a PNG, and LabelMe's JSON beside it |
| coco | each frame as a PNG, and one JSON for all |
| nifti | a volume of labels, 0 and 1, for each file |
| dicom-seg | a DICOM segmentation of each DICOM file, which refers to it |
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerveseg.annotation_files import MASK_FORMATS
from nerveseg.annotation_files.coco import write_coco
from nerveseg.annotation_files.dicom_segmentation import write_segmentation
from nerveseg.annotation_files.labelme import write_labelme
from nerveseg.file_prediction.overlays import film_of, overlay
from nerveseg.files.user_folder import Written
from nerveseg.imaging.arrays import Frame, Mask, Spacing
from nerveseg.imaging.frame_files import write_image
from nerveseg.imaging.nifti import write_nifti

FRAME_TIME = 50.0  # milliseconds, for loops that do not say theirs
NERVE = "nerve"  # as annotation tools shall call it
PNG, LABELME, COCO, NIFTI, DICOM_SEG = MASK_FORMATS


class Segmented(NamedTuple):
    """What was predicted of a file: its frames, uint8 (N, H, W), their masks, and what its header says of them."""

    path: Path
    name: str  # of its files below the output folder, without what they end in
    stems: Sequence[str]  # likewise, of its frames
    frames: NDArray[np.uint8]
    masks: Sequence[Mask]
    spacing: Spacing | None
    frame_time: float | None  # milliseconds between frames
    model: str  # digest of the model


WriteFrame = Callable[[Path, Frame, Mask, str], None]  # the last is the frame's name, without folder
WriteFile = Callable[[Path, Segmented], None]
WriteRun = Callable[[Path, Iterable[tuple[str, Mask]], str], None]  # with each mask its frame's PNG; what they show


@dataclass(frozen=True)
class Files:
    """What the names of files end in, and what writes them: for each frame, for each file, also for loops, and for all of a run."""

    of_frame: dict[str, WriteFrame] = field(default_factory=dict)
    of_file: dict[str, WriteFile] = field(default_factory=dict)
    of_loop: dict[str, WriteFile] = field(default_factory=dict)
    of_run: dict[str, WriteRun] = field(default_factory=dict)


def _film(path: Path, found: Segmented) -> None:
    pages = film_of(found.frames, found.masks)
    milliseconds = max(20.0, found.frame_time or FRAME_TIME)  # GIF counts hundredths of a second
    pages[0].save(path, "GIF", save_all=True, append_images=pages[1:], optimize=False, duration=milliseconds, loop=0)


def _frame(path: Path, frame: Frame, _mask: Mask, _name: str) -> None:
    write_image(path, frame)


FORMATS = {
    PNG: Files(
        of_frame={
            "_mask.png": lambda path, _frame, mask, _name: write_image(path, mask),
            "_overlay.png": lambda path, frame, mask, _name: write_image(path, overlay(frame, mask)),
        },
        of_loop={".gif": _film},
    ),
    LABELME: Files(
        of_frame={
            ".png": _frame,
            ".json": lambda path, _frame, mask, name: write_labelme(path, f"{name}.png", mask, NERVE),
        }
    ),
    COCO: Files(of_frame={".png": _frame}, of_run={"predictions.coco.json": write_coco}),
    NIFTI: Files(of_file={"_mask.nii.gz": lambda path, found: write_nifti(path, found.masks, found.spacing)}),
    DICOM_SEG: Files(
        of_file={"_mask.dcm": lambda path, found: write_segmentation(path, found.path, found.masks, NERVE, found.model)}
    ),
}


def jobs(found: Segmented, mask_format: str, written: Written) -> Iterator[Callable[[], None]]:
    """Yield what writes the files of a source, the longest first. Each may run in a thread of its own."""
    files = FORMATS[mask_format]
    for ending, write in {**files.of_file, **(files.of_loop if len(found.frames) > 1 else {})}.items():
        yield partial(_write_whole, written, found, ending, write)
    if files.of_frame:
        for place in range(len(found.frames)):
            yield partial(_write_frame, written, found, place, files)


def _write_whole(written: Written, found: Segmented, ending: str, write: WriteFile) -> None:
    with written.new(found.name + ending, found.path) as path:
        write(path, found)


def _write_frame(written: Written, found: Segmented, place: int, files: Files) -> None:
    stem = found.stems[place]
    for ending, write in files.of_frame.items():
        with written.new(stem + ending, found.path) as path:
            write(path, found.frames[place], found.masks[place], PurePath(stem).name)
