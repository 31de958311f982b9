"""The files of a source -> its frames and their masks, checked against each other."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nerveseg.annotation_files.labelme import TOOL as LABELME
from nerveseg.annotation_files.labelme import check_copy
from nerveseg.annotation_files.shapes import Annotation
from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Mask, Size, Spacing
from nerveseg.imaging.dicom import Header, read_header
from nerveseg.imaging.frame_files import read_frames
from nerveseg.imaging.grey_range import GreyRange
from nerveseg.imaging.mask_files import check_mask, read_masks
from nerveseg.imaging.mask_values import EXTREMES, FEW, ReadMask, Value
from nerveseg.imaging.nifti import is_nifti, read_volume
from nerveseg.imaging.video import open_video, read_video
from nerveseg.preprocessing.layouts import Source
from nerveseg.preprocessing.listing import DICOM, VIDEO, Names, kind_of
from nerveseg.text.wording import counted

SAME_LEVELS = 0.95  # correlation of a mask's levels with those of its frame, in which labels have no part


@dataclass(frozen=True)
class Reading:
    """How to read the files of a data set."""

    directory: Path
    labels: tuple[int | str, ...]  # mask values that are nerve (`data.nerve_labels`)
    salt: bytes = field(repr=False)  # the secret behind the subjects of DICOM files
    names: Names = field(default_factory=Names)  # how reports call files
    spacing: Spacing | None = None  # of files that do not say it (`data.spacing_mm`)
    grey_range: GreyRange = field(default_factory=GreyRange)  # of files that do not say black and white

    def name(self, path: Path) -> str:
        return self.names(path.relative_to(self.directory))


def read_source(source: Source, reading: Reading) -> tuple[Header | None, NDArray[np.uint8], str, list[ReadMask]]:
    """Return the header of a DICOM file, the frames that have masks, uint8 (N, H, W), a remark on them, and a mask for each.

    Files that do not fit together raise `BadFileError`.
    """
    header = read_header(source.frame) if kind_of(source.frame) == DICOM else None
    frames, told = frames_of(source, reading.grey_range)
    masks = _of_video(source, frames, reading) if source.of_frames else _union(source, frames, reading, header)
    _check_sizes(source, frames, [found.mask for found in masks], reading)
    _check_levels(source, frames, masks, reading)
    _check_axes(source)
    return header, frames, told, masks


def frames_of(source: Source, grey_range: GreyRange) -> tuple[NDArray[np.uint8], str]:
    """Return the frames of a source that have masks, uint8 (N, H, W), and a remark on them or ''."""
    remarks: list[str] = []
    if not source.of_frames and kind_of(source.frame) == VIDEO:
        return read_video(source.frame, remarks.append), "".join(remarks)
    if not source.of_frames:
        return read_frames(source.frame, grey_range)
    found = {
        number: frame
        for number, frame in enumerate(open_video(source.frame, remarks.append)[0], start=1)
        if number in source.of_frames
    }
    if missing := source.of_frames.keys() - found.keys():
        what = f"there is a mask of frame {min(missing)}, which the video does not have; frames count from 1"
        raise BadFileError(
            source.frame, what, "see whether video and masks belong together, and how the masks are numbered"
        )
    told = f"one of {counted(len(found), 'frame')} of a video that have masks"
    return np.stack([found[number] for number in source.of_frames]), "; ".join([told, *remarks])


def _of_video(source: Source, frames: NDArray[np.uint8], reading: Reading) -> list[ReadMask]:
    """Return the masks of the frames of a video that have any."""
    found = []
    for mask in source.of_frames.values():
        if isinstance(mask, Annotation):
            found.append(_drawn(mask, source.frame, frames[0].shape, reading))
        else:
            found += read_masks(mask, reading.labels)[:1]
    return found


def _drawn(annotation: Annotation, frame: Path, size: Size, reading: Reading) -> ReadMask:
    """Return the mask that an annotation tool stores of a frame of `size`."""
    if annotation.size and annotation.size != size:  # before anything is drawn at a size that a file claims
        what = f"the frame is {_size(size)} pixels and its annotation {_size(annotation.size)}"
        raise BadFileError(frame, what, "export both at one size")
    return annotation.read(reading.labels, size, annotation.file if annotation.own_file else frame)


def _union(source: Source, frames: NDArray[np.uint8], reading: Reading, header: Header | None) -> list[ReadMask]:
    """Return a mask for each frame of a source: the union of its masks, with the remarks of all."""
    files = []
    for path in source.masks:
        if drawn := source.drawn.get(path):
            if drawn.tool == LABELME:
                check_copy(path, frames[0])
            files.append([_drawn(drawn, source.frame, frames[0].shape, reading)])
        else:
            files.append(read_masks(path, reading.labels, header))
    for path, found in zip(source.masks, files, strict=True):
        if [one.mask.shape for one in found] != [one.mask.shape for one in files[0]]:
            raise BadFileError(
                path, f"{_described(found)}, but {reading.name(source.masks[0])} holds {_described(files[0])}",
                "export all masks of a frame at one size, those of a loop with as many pages",
            )  # fmt: skip
        if len(files) > 1 and len(found) == 1:
            check_mask(found[0].mask, path)
    remarks = [remark for found in files for remark in sorted({one.remark for one in found if one.remark})]
    remarks += [f"union of {len(files)} masks"] * (len(files) > 1)
    told = "; ".join(dict.fromkeys(remarks))
    segments = tuple(one._replace(file=reading.name(Path(one.file))) for found in files for one in found[0].segments)
    united = []
    for of_frame in zip(*files, strict=True):
        areas = dict(sum((Counter(one.areas) for one in of_frame), Counter[Value]()))
        united.append(ReadMask(np.logical_or.reduce([one.mask for one in of_frame]), areas, told, segments))
    return united


def _check_sizes(source: Source, frames: NDArray[np.uint8], masks: list[Mask], reading: Reading) -> None:
    if len(frames) != len(masks):
        holder = reading.name(source.masks[0])
        if len(frames) == 1:
            raise BadFileError(source.frame, f"one frame, but {holder} holds {len(masks)} masks", "keep one of them")
        found = f"{len(frames)} frames, but {holder} holds {counted(len(masks), 'mask')}"
        raise BadFileError(source.frame, found, "give the loop a mask with as many pages")
    for frame, mask in zip(frames, masks, strict=True):
        if frame.shape != mask.shape:
            found = f"the frame is {_size(frame.shape)} pixels and its mask {_size(mask.shape)}"
            raise BadFileError(source.frame, found, "export both at one size")


def _check_levels(source: Source, frames: NDArray[np.uint8], masks: list[ReadMask], reading: Reading) -> None:
    """Refuse a mask that is the frame, cut out: its levels are no labels, and the dark ones may be nerve as well."""
    suspects = source.masks if any(found.remark or len(found.areas) > 1 for found in masks) else ()
    for path in (path for path in suspects if path not in source.drawn):  # others hold one value
        try:
            levels, _ = read_frames(path, reading.grey_range)
        except BadFileError:
            continue  # it can be read as a mask alone
        inside = levels > EXTREMES * levels.max()
        comparable = levels.shape == frames.shape and np.count_nonzero(inside) > FEW
        with np.errstate(invalid="ignore"):  # equal levels have no correlation
            if comparable and np.corrcoef(levels[inside], frames[inside])[0, 1] > SAME_LEVELS:
                raise BadFileError(path, "it shows the frame itself, cut out", "export the mask with 0 and 255 alone")


def _check_axes(source: Source) -> None:
    """Refuse a volume of masks that lies otherwise than that of its frames: it may be mirrored."""
    if not is_nifti(source.frame):
        return
    expected = read_volume(source.frame).axes
    for path in filter(is_nifti, source.masks):
        if (found := read_volume(path).axes) != expected:
            what = f"its axes point to {' and '.join(found)}, those of its frames to {' and '.join(expected)}"
            raise BadFileError(path, what, "export both from one tool, so that they are stored alike")


def _described(masks: list[ReadMask]) -> str:
    return f"{counted(len(masks), 'mask')} of {_size(masks[0].mask.shape)} pixels"


def _size(shape: Size) -> str:
    return f"{shape[1]}x{shape[0]}"
