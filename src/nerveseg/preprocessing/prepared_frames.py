"""What one process does with one source: load and check it, and compute from each frame all that the pipeline needs.

Workers import this module before their first frame, so neither it nor its imports may load TensorFlow or pandas.
"""

from dataclasses import dataclass, fields

import numpy as np

from nerveseg.dataset.letterbox import Letterbox
from nerveseg.dataset.mask_encoding import pack_mask
from nerveseg.imaging.arrays import Size
from nerveseg.preprocessing.annotated_frames import AnnotatedFrame, FrameFacts, load
from nerveseg.preprocessing.layouts import Source
from nerveseg.preprocessing.listing import Refused
from nerveseg.preprocessing.sketches import look, sketch
from nerveseg.preprocessing.source_files import Reading


@dataclass(frozen=True)
class Prepared(FrameFacts):
    """One usable frame. Its images are bytes, which travel between processes faster than arrays."""

    size: Size  # (height, width) in the file
    mask_area: int  # in pixels of the file
    pixels: str  # SHA-256 of the frame
    digest: str  # SHA-256 of frame and mask
    frame: bytes  # letterboxed, uint8 (H, W) of the network's input
    mask: bytes  # likewise
    truth: bytes  # the mask at its own size, packed
    sketch: bytes
    look: str
    levels: tuple[int, int]  # the sum of the letterboxed grey levels, and of their squares


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
