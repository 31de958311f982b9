"""A source on disk -> its annotated frames, or the files that cannot be used and why.

A source is one file of a frame or of a loop with the files of its masks (`nerveseg.preprocessing.layouts`). Every check
that needs only the source itself is here. Nothing on disk is ever changed.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nerveseg.annotation_files.shapes import Annotation
from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Frame, Mask, Spacing
from nerveseg.imaging.dicom import Patient, patient_of
from nerveseg.imaging.frame_files import fault_of
from nerveseg.imaging.mask_files import check_mask, is_outline
from nerveseg.imaging.mask_values import Segment, Value
from nerveseg.imaging.nifti import is_nifti, read_volume
from nerveseg.preprocessing.layouts import Source
from nerveseg.preprocessing.listing import Refused
from nerveseg.preprocessing.source_files import Reading, read_source
from nerveseg.preprocessing.video_masks import file_of


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
    try:
        header, frames, told, masks = read_source(source, reading)
    except BadFileError as error:
        yield from _quarantined(source, source.masks, error, reading)
        return
    burned_in = "text is burned into its pixels: look whether it names the patient" * bool(header and header.burned_in)
    patient = patient_of(header, reading.salt) if header else None
    said = header or (read_volume(source.frame) if is_nifti(source.frame) else None)
    spacing = (said and said.spacing) or reading.spacing
    name = reading.names(source.name)
    numbers = [*source.of_frames] or range(1, len(frames) + 1)
    for number, frame, found in zip(numbers, frames, masks, strict=True):
        suffix, part = (f"_{number}", f", frame {number}") if source.of_frames or len(frames) > 1 else ("", "")
        own = source.of_frames.get(number)
        of_frame = (file_of(own),) if own else source.masks
        try:
            if fault := fault_of(frame):
                raise BadFileError(source.frame, *fault)  # noqa: TRY301
            if reading.labels or len(found.areas) == 1:  # of several, the inventory asks which are nerve
                check_mask(found.mask, of_frame[0])
            if np.array_equal(frame > frame.min(), found.mask):
                raise BadFileError(source.frame, "the frame is a copy of its mask", "export the frame itself")  # noqa: TRY301
        except BadFileError as error:
            yield from _quarantined(source, of_frame, error, reading, part)
        else:
            files = tuple(reading.name(path) + part for path in (source.frame, *of_frame))
            hollow = "its mask marks an outline, not the area inside: fill it" * is_outline(found.mask)
            remark = "; ".join(filter(None, [told, found.remark, burned_in, hollow]))
            key, shown_as = source.name + suffix, name + suffix
            facts = (source.name, key, shown_as, files, patient, spacing, found.areas, found.segments, remark)
            yield AnnotatedFrame(*facts, frame, found.mask)


def _quarantined(
    source: Source, masks: Sequence[Path], error: BadFileError, reading: Reading, part: str = ""
) -> Iterator[Refused]:
    """Yield the file at fault, and its partners, which are of no use without it."""
    culprit = Path(str(error.path))
    name = reading.name(culprit)
    shared = {path for path, drawn in source.drawn.items() if not drawn.own_file}  # with other frames
    shared |= {drawn.file for drawn in source.of_frames.values() if isinstance(drawn, Annotation)}
    for path in (path for path in (source.frame, *masks) if path not in shared):
        of_partner = (f"its partner {name} cannot be used", f"mend {name}")
        yield Refused(reading.name(path) + part, *((error.reason, error.remedy) if path == culprit else of_partner))
