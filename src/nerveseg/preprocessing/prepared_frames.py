"""What one process does with one source: load and check it, and compute from each frame all that the pipeline needs.

Workers import this module before their first frame, so neither it nor its imports may load TensorFlow or pandas.
"""

from dataclasses import dataclass, fields

import numpy as np

from nerveseg.dataset.letterbox import Letterbox
from nerveseg.dataset.mask_encoding import pack_mask
from nerveseg.imaging.arrays import Size
from nerveseg.preprocessing.annotated_frames import AnnotatedFrame, FrameFacts, Reading, load
from nerveseg.preprocessing.layouts import Source
from nerveseg.preprocessing.listing import Refused
from nerveseg.preprocessing.sketches import look, sketch


@dataclass(frozen=True)
class Prepared(FrameFacts):
    """One usable frame.

    `size` (height, width) and `mask_area` are in pixels of the file. `pixels` and `digest` are SHA-256 of the frame, and of frame
    and mask. `frame` and `mask` are letterboxed, uint8 (H, W) of the network's input; `truth` is the mask at its own size,
    packed. They are bytes, which travel between processes faster than arrays. `sketch` and `look` are from
    `nerveseg.preprocessing.sketches`, `levels` are the sum of the letterboxed grey levels and of their squares.
    """

    size: Size
    mask_area: int
    pixels: str
    digest: str
    frame: bytes
    mask: bytes
    truth: bytes
    sketch: bytes
    look: str
    levels: tuple[int, int]


def prepare(source: Source, reading: Reading, target: Size) -> list[list[Prepared | Refused]]:
    """Return one list for the source: its frames for an input of size `target`, and the files that cannot be used."""
    return [[item if isinstance(item, Refused) else _prepared(item, target) for item in load(source, reading)]]


def _prepared(item: AnnotatedFrame, target: Size) -> Prepared:
    letterbox = Letterbox.fit(item.frame.shape, target)
    frame = letterbox.frame(item.frame)
    area = int(np.count_nonzero(item.mask))
    mask = letterbox.mask(item.mask) if area else np.zeros_like(frame)
    pixels, digest = item.digests()
    levels = frame.ravel().astype(np.int64)
    return Prepared(
        **{of.name: getattr(item, of.name) for of in fields(FrameFacts)},
        size=item.frame.shape,
        mask_area=area,
        pixels=pixels,
        digest=digest,
        frame=frame.tobytes(),
        mask=mask.tobytes(),
        truth=pack_mask(item.mask),
        sketch=sketch(frame, mask),
        look=look(item.frame),
        levels=(int(levels.sum()), int(levels @ levels)),
    )
