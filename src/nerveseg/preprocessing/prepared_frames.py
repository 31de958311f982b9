"""What one process does with one source: load and check it, and compute from each frame all that the pipeline needs.

Workers import this module before their first frame, so neither it nor its imports may load TensorFlow or pandas.
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
from nerveseg.preprocessing.annotated_frames import AnnotatedFrame, Reading, load
from nerveseg.preprocessing.layouts import Quarantined, Source
from nerveseg.preprocessing.sketches import look, sketch


@dataclass(frozen=True)
class Prepared:
    """One usable frame; what it shares with `AnnotatedFrame` is explained there.

    `source` is the source's name, which like `key` no output may show. `size` (height, width) and `mask_area` are in pixels of
    the file. `pixels` and `digest` are SHA-256 of the frame, and of frame and mask. `frame` and `mask` are letterboxed, uint8 (H, W)
    of the network's input; `truth` is the mask at its own size, packed. They are bytes, which travel between processes
    faster than arrays. `sketch` and `look` are from `nerveseg.preprocessing.sketches`, `levels` are the sum of the letterboxed
    grey levels and of their squares.
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
    """Return the grey levels that decide on black and white, before any frame is prepared."""
    return extremes(source.frame)


def prepare(source: Source, reading: Reading, target: Size) -> list[list[Prepared | Quarantined]]:
    """Return one list for the source: its frames for an input of size `target`, and the files that cannot be used."""
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
