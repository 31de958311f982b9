"""What one process does with one source: load it, check it, and make of each frame all that the pipeline needs of it.

A worker imports this module before its first frame, so that neither it nor what it imports may load TensorFlow or pandas.
"""

from dataclasses import dataclass

import numpy as np

from nerveseg.dataset.letterbox import Letterbox
from nerveseg.dataset.mask_encoding import pack_mask
from nerveseg.imaging.arrays import Size, Spacing
from nerveseg.imaging.dicom import Patient
from nerveseg.imaging.frame_files import extremes
from nerveseg.imaging.grey_range import Extremes
from nerveseg.imaging.mask_values import Value
from nerveseg.preprocessing.layouts import Quarantined, Source
from nerveseg.preprocessing.sketches import look, sketch
from nerveseg.preprocessing.sources import AnnotatedFrame, Reading, load


@dataclass(frozen=True)
class Prepared:
    """One usable frame.

    `key` and `source` are its name and its source's in the data set, which no output may show; `name` is the one that may
    be shown, `files` are those it came from, likewise. `frame` and `mask` are
    letterboxed, uint8 (H, W) of the network's input, as bytes, which travel faster than arrays; `truth` is the mask as
    it was drawn, packed;
    `size` (height, width) and `mask_area`, in pixels, are those of the file, and `spacing` is that of `AnnotatedFrame`. `pixels` and `digest` are SHA-256 of the
    frame and of frame and mask, `areas` that of `AnnotatedFrame`, `levels` the sum of the letterboxed grey levels and of their squares; `sketch` and
    `look` are those of `nerveseg.preprocessing.sketches`.
    """

    key: str
    name: str
    source: str
    files: tuple[str, ...]
    patient: Patient | None
    size: Size
    spacing: Spacing | None
    mask_area: int
    pixels: str
    digest: str
    areas: dict[Value, int]
    remark: str
    frame: bytes
    mask: bytes
    truth: bytes
    sketch: bytes
    look: str
    levels: tuple[int, int]


def extremes_of(source: Source) -> list[Extremes]:
    """What the frames of a source add to the decision on black and white, before any is prepared."""
    return extremes(source.frame)


def prepare(source: Source, reading: Reading, target: Size) -> list[list[Prepared | Quarantined]]:
    """One list for the source: its frames, ready to be packed for an input of size `target`, and what cannot be used."""
    loaded = load(source, reading)
    return [[item if isinstance(item, Quarantined) else _prepared(item, source.name, target) for item in loaded]]


def _prepared(item: AnnotatedFrame, source: str, target: Size) -> Prepared:
    letterbox = Letterbox.fit(item.frame.shape, target)
    frame = letterbox.frame(item.frame)
    area = int(np.count_nonzero(item.mask))
    mask = letterbox.mask(item.mask) if area else np.zeros_like(frame)
    pixels, digest = item.digests()
    levels = frame.ravel().astype(np.int64)
    return Prepared(
        key=item.key,
        name=item.name,
        source=source,
        files=item.files,
        patient=item.patient,
        size=item.frame.shape,
        spacing=item.spacing,
        mask_area=area,
        pixels=pixels,
        digest=digest,
        areas=item.areas,
        remark=item.remark,
        frame=frame.tobytes(),
        mask=mask.tobytes(),
        truth=pack_mask(item.mask),
        sketch=sketch(frame, mask),
        look=look(item.frame),
        levels=(int(levels.sum()), int(levels @ levels)),
    )
