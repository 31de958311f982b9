"""A source on disk -> its annotated frames, or the files that cannot be used and why.

A source is one file of a frame or of a loop with the files of its masks (`nerveseg.preprocessing.layouts`). Every check
that needs only the source itself is here. Nothing on disk is ever changed.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Frame, Mask, Size, Spacing
from nerveseg.imaging.dicom import Header, Patient, patient_of, read_header
from nerveseg.imaging.frame_files import fault_of, read_frames
from nerveseg.imaging.grey_range import GreyRange
from nerveseg.imaging.image_files import IMAGE_SUFFIXES
from nerveseg.imaging.mask_files import check_mask, is_outline, read_masks
from nerveseg.imaging.mask_values import EXTREMES, FEW, ReadMask, Segment, Value
from nerveseg.preprocessing.layouts import Source
from nerveseg.preprocessing.listing import Names, Refused
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


@dataclass(frozen=True)
class FrameFacts:
    """What is known of a usable frame besides its pixels."""

    source: str = field(repr=False)  # the source's name, which no output may show
    key: str = field(repr=False)  # its own name in the data set, which no output may show
    name: str  # that may be shown
    files: tuple[str, ...]  # of frame and masks, as they may be shown
    patient: Patient | None  # the person examined, if the file says who it is
    spacing: Spacing | None  # height and width of a pixel in millimetres, if known
    areas: dict[Value, int]  # the pixels of each value in its masks, nerve or not
    segments: tuple[Segment, ...]  # the values that its masks name
    remark: str  # what was done to frame or mask, if anything


@dataclass(frozen=True)
class AnnotatedFrame(FrameFacts):
    """One usable frame with its mask, both (H, W)."""

    frame: Frame
    mask: Mask

    def digests(self) -> tuple[str, str]:
        """Return SHA-256 of the frame, and of frame and mask together."""
        pixels = hash_of(self.frame)
        both = pixels.copy()
        both.update(np.packbits(self.mask).data)
        return pixels.hexdigest(), both.hexdigest()


def hash_of(frame: Frame) -> "hashlib._Hash":
    """Return SHA-256 of a frame's pixels and shape."""
    found = hashlib.sha256(repr(frame.shape).encode())
    found.update(np.ascontiguousarray(frame).data)
    return found


def load(source: Source, reading: Reading) -> Iterator[AnnotatedFrame | Refused]:
    """Yield the frames of one source, usable or quarantined. If the source as a whole cannot be used, yield its files."""
    header = None
    try:
        if source.frame.suffix.lower() not in IMAGE_SUFFIXES:
            header = read_header(source.frame)
        frames, told = read_frames(source.frame, reading.grey_range)
        masks = _union(source, reading, header)
        _check_sizes(source, frames, [found.mask for found in masks], reading)
        _check_levels(source, frames, masks, reading)
    except BadFileError as error:
        yield from _quarantined(source, error, reading)
        return
    burned_in = "text is burned into its pixels: look whether it names the patient" * bool(header and header.burned_in)
    patient = patient_of(header, reading.salt) if header else None
    spacing = (header.spacing if header else None) or reading.spacing
    shown, name = [reading.name(path) for path in (source.frame, *source.masks)], reading.names(source.name)
    for number, (frame, found) in enumerate(zip(frames, masks, strict=True), start=1):
        suffix, part = (f"_{number}", f", frame {number}") if len(frames) > 1 else ("", "")
        try:
            if fault := fault_of(frame):
                raise BadFileError(source.frame, *fault)  # noqa: TRY301
            if reading.labels or len(found.areas) == 1:  # of several, the inventory asks which are nerve
                check_mask(found.mask, source.masks[0])
            if np.array_equal(frame > frame.min(), found.mask):
                raise BadFileError(source.frame, "the frame is a copy of its mask", "export the frame itself")  # noqa: TRY301
        except BadFileError as error:
            yield from _quarantined(source, error, reading, part)
        else:
            files = tuple(file + part for file in shown)
            hollow = "its mask marks an outline, not the area inside: fill it" * is_outline(found.mask)
            remark = "; ".join(filter(None, [told, found.remark, burned_in, hollow]))
            key, shown_as = source.name + suffix, name + suffix
            facts = (source.name, key, shown_as, files, patient, spacing, found.areas, found.segments, remark)
            yield AnnotatedFrame(*facts, frame, found.mask)


def _union(source: Source, reading: Reading, header: Header | None) -> list[ReadMask]:
    """Return a mask for each frame of a source: the union of its masks, with the remarks of all."""
    files = [read_masks(path, reading.labels, header) for path in source.masks]
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
    for path in suspects:  # others hold one value
        try:
            levels, _ = read_frames(path, reading.grey_range)
        except BadFileError:
            continue  # it can be read as a mask alone
        inside = levels > EXTREMES * levels.max()
        comparable = levels.shape == frames.shape and np.count_nonzero(inside) > FEW
        with np.errstate(invalid="ignore"):  # equal levels have no correlation
            if comparable and np.corrcoef(levels[inside], frames[inside])[0, 1] > SAME_LEVELS:
                raise BadFileError(path, "it shows the frame itself, cut out", "export the mask with 0 and 255 alone")


def _quarantined(source: Source, error: BadFileError, reading: Reading, part: str = "") -> Iterator[Refused]:
    """Yield the file at fault, and its partners, which are of no use without it."""
    culprit = Path(str(error.path))
    name = reading.name(culprit)
    for path in (source.frame, *source.masks):
        of_partner = (f"its partner {name} cannot be used", f"mend {name}")
        yield Refused(reading.name(path) + part, *((error.reason, error.remedy) if path == culprit else of_partner))


def _described(masks: list[ReadMask]) -> str:
    return f"{counted(len(masks), 'mask')} of {_size(masks[0].mask.shape)} pixels"


def _size(shape: Size) -> str:
    return f"{shape[1]}x{shape[0]}"
