"""A source on disk -> its annotated frames, or the files that cannot be used and why.

A source is one file of a frame or of a loop with the files of its masks (`nerveseg.data.layouts`). Every check that
needs nothing but the source itself is here. Nothing on disk is ever changed.
"""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nerveseg.data.dicom import DICOM_SUFFIXES, Header, names_the_patient, read_header, subject_of
from nerveseg.data.frames import check_frame, read_frames
from nerveseg.data.layouts import Quarantined, Source
from nerveseg.data.letterbox import Frame, Mask, Size
from nerveseg.data.masks import check_mask, read_masks
from nerveseg.errors import BadFileError


@dataclass(frozen=True)
class Reading:
    """How files are read: the values of a mask that are nerve (`data.nerve_labels`), the folder of the data set, and the
    secret behind the subjects of DICOM files.
    """

    directory: Path
    labels: tuple[int | str, ...]
    salt: bytes = field(repr=False)


@dataclass(frozen=True)
class AnnotatedFrame:
    """One usable frame with its mask, both (H, W).

    `patient` stands for the person examined where a file says who it is, `files` are the frame's and the masks' as
    reports may name them, `remark` is what was done to the mask, '' for nothing.
    """

    name: str
    files: tuple[str, ...]
    patient: str | None
    frame: Frame
    mask: Mask
    remark: str

    def digests(self) -> tuple[str, str]:
        """SHA-256 of the frame's pixels, and of the frame's and the mask's together."""
        pixels = hash_of(self.frame)
        both = pixels.copy()
        both.update(np.packbits(self.mask).data)
        return pixels.hexdigest(), both.hexdigest()


def hash_of(frame: Frame) -> "hashlib._Hash":
    """SHA-256 of a frame's pixels and shape."""
    found = hashlib.sha256(repr(frame.shape).encode())
    found.update(np.ascontiguousarray(frame).data)
    return found


def load(source: Source, reading: Reading) -> Iterator[AnnotatedFrame | Quarantined]:
    """The frames of one source, each usable or quarantined; where the source as a whole cannot be used, its files."""
    header = None
    try:
        if source.frame.suffix.lower() in DICOM_SUFFIXES:
            header = read_header(source.frame)
        frames = read_frames(source.frame)
        masks, remark = _union(source, reading)
        _check_sizes(source, frames, masks)
    except BadFileError as error:
        yield from _quarantined(source, error, reading, header)
        return
    name, patient = source.name, None
    if header is not None:
        patient = subject_of(header, reading.salt)
        name = _public_name(source.name, header, reading)
        if header.burned_in:
            remark = "; ".join(
                filter(None, [remark, "text is burned into its pixels: look whether it names the patient"])
            )
    shown = [_shown(path, source, reading, header) for path in (source.frame, *source.masks)]
    for number, (frame, mask) in enumerate(zip(frames, masks, strict=True), start=1):
        suffix, part = (f"_{number}", f", frame {number}") if len(frames) > 1 else ("", "")
        try:
            check_frame(frame, source.frame)
            check_mask(mask, source.masks[0])
        except BadFileError as error:
            yield from _quarantined(source, error, reading, header, part)
        else:
            yield AnnotatedFrame(name + suffix, tuple(file + part for file in shown), patient, frame, mask, remark)


def _union(source: Source, reading: Reading) -> tuple[list[Mask], str]:
    """The masks of all frames of a source, several of one frame as their union, and a remark."""
    remarks = []
    united: list[Mask] = []
    for path in source.masks:
        masks, remark = read_masks(path, reading.labels)
        if not united:
            united = masks
        elif [mask.shape for mask in masks] != [mask.shape for mask in united]:
            raise BadFileError(
                path, f"{_described(masks)}, but {source.masks[0].name} holds {_described(united)}",
                "export all masks of a frame at one size",
            )  # fmt: skip
        else:
            united = [mask | other for mask, other in zip(united, masks, strict=True)]
        remarks += [remark] * bool(remark)
    if len(source.masks) > 1:
        remarks.append(f"union of {len(source.masks)} masks")
    return united, "; ".join(dict.fromkeys(remarks))


def _check_sizes(source: Source, frames: NDArray[np.uint8], masks: list[Mask]) -> None:
    if len(frames) != len(masks):
        found = f"{len(frames)} frames, but {source.masks[0].name} holds {len(masks)}"
        raise BadFileError(source.frame, found, "give a loop a mask of as many pages")
    for frame, mask in zip(frames, masks, strict=True):
        if frame.shape != mask.shape:
            found = f"the frame is {_size(frame.shape)} pixels and its mask {_size(mask.shape)}"
            raise BadFileError(source.frame, found, "export both at one size")


def _quarantined(
    source: Source, error: BadFileError, reading: Reading, header: Header | None, part: str = ""
) -> Iterator[Quarantined]:
    """The file at fault, and its partners, which are of no use without it."""
    culprit = _shown(Path(str(error.path)), source, reading, header)
    for path in (source.frame, *source.masks):
        shown = _shown(path, source, reading, header)
        if shown == culprit:
            yield Quarantined(shown + part, error.reason, error.remedy)
        else:
            yield Quarantined(shown + part, f"its partner {culprit} cannot be used", f"mend {culprit}")


def _shown(path: Path, source: Source, reading: Reading, header: Header | None) -> str:
    """A file's path below the data set's folder, or a digest where the path itself tells the patient."""
    relative = path.relative_to(reading.directory)
    if header is None or not names_the_patient(str(relative), header):
        return str(relative)
    role = "mask" if path in source.masks else "frame"
    return f"{_public_name(source.name, header, reading)} ({role}; the file's own name tells the patient)"


def _public_name(name: str, header: Header, reading: Reading) -> str:
    if not names_the_patient(name, header):
        return name
    return "f" + hmac.new(reading.salt, name.encode(), hashlib.sha256).hexdigest()[:12]


def _described(masks: list[Mask]) -> str:
    return f"{len(masks)} of {_size(masks[0].shape)} pixels"


def _size(shape: Size) -> str:
    return f"{shape[1]}x{shape[0]}"
