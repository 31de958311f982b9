"""TFRecord shards of prepared frames: how a record is written and read.

A record holds one frame at the network's size:

    name, subject   text
    frame           uint8 (H, W): grey levels, letterboxed to the network's input
    mask            uint8 (H, W): 0..255, the share of each pixel that is nerve, deflated
    size            height and width of the frame as it was read; 0, 0 in augmented records
    truth           the annotated mask at that size, one bit a pixel, deflated; empty in augmented records
    spacing         height and width of a pixel of that size in millimetres; empty if unknown
    original        uint8 (height, width): the frame as it was read; test records only

Beside the shards are `dataset.json` (`DatasetInfo`) and the list of all files (`checked_folder`). Shards are read in turn.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nerveseg.dataset.info import DatasetInfo
from nerveseg.dataset.mask_encoding import pack_mask, unpack_mask
from nerveseg.errors import DatasetError
from nerveseg.files.atomic import whole_file
from nerveseg.imaging.arrays import Frame, Mask, Size, Spacing


@dataclass(frozen=True)
class Record:
    name: str
    subject: str
    frame: Frame
    mask: Frame
    truth: Mask | None = None
    original: Frame | None = None
    spacing: Spacing | None = None

    @property
    def annotated(self) -> Mask:
        """The annotated mask. An augmented record has none and raises `DatasetError`."""
        if self.truth is None:
            raise DatasetError(f"record {self.name} holds no annotated mask; score the shards of data/processed")
        return self.truth

    @property
    def as_read(self) -> Frame:
        """The frame at its own size. Only test records keep it; others raise `DatasetError`."""
        if self.original is None:
            raise DatasetError(f"record {self.name} holds its frame at the network's size only; use a test shard")
        return self.original

    def serialise(self) -> bytes:
        truth = b"" if self.truth is None else pack_mask(self.truth)
        size = (0, 0) if self.truth is None else self.truth.shape
        original = b"" if self.original is None else self.original.tobytes()
        return serialised(
            self.name, self.subject, self.frame.tobytes(), self.mask.tobytes(), truth, size, original, self.spacing
        )


def serialised(
    name: str, subject: str, frame: bytes, mask: bytes, truth: bytes, size: Size, original: bytes = b"",
    spacing: Spacing | None = None,
) -> bytes:  # fmt: skip
    """Return the bytes of a record. Pixels come row by row; `truth` is a packed mask of `size`."""
    values = {"name": name.encode(), "subject": subject.encode(), "frame": frame, "truth": truth, "original": original}
    values["mask"] = zlib.compress(mask, 1)
    feature = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in values.items()}
    feature["size"] = tf.train.Feature(int64_list=tf.train.Int64List(value=size))
    feature["spacing"] = tf.train.Feature(float_list=tf.train.FloatList(value=spacing or ()))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True)


def with_values(record: bytes, **values: bytes) -> bytes:
    """Replace values of a serialised record, such as `original`."""
    example = tf.train.Example.FromString(record)
    for name, value in values.items():
        example.features.feature[name].bytes_list.value[0] = value
    return example.SerializeToString(deterministic=True)


def write_records(paths: Sequence[Path], records: Iterable[bytes]) -> int:
    """Deal serialised records to shards in turn, and return their number. The files appear when all are complete."""
    count = 0
    with ExitStack() as stack:
        partials = [stack.enter_context(whole_file(path)) for path in paths]
        writers = [stack.enter_context(tf.io.TFRecordWriter(str(partial))) for partial in partials]
        for count, record in enumerate(records, start=1):
            writers[(count - 1) % len(writers)].write(record)
    return count


def read_records(paths: Sequence[Path], info: DatasetInfo) -> Iterator[Record]:
    """Yield the decoded records of some shards."""
    shape = info.input.size
    for content in tf.data.TFRecordDataset([str(path) for path in paths]).as_numpy_iterator():
        features = tf.train.Example.FromString(content).features.feature
        values = {key: features[key].bytes_list.value[0] for key in features if key not in ("size", "spacing")}
        size, spacing = tuple(features["size"].int64_list.value), tuple(features["spacing"].float_list.value)
        yield Record(
            name=values["name"].decode(),
            subject=values["subject"].decode(),
            frame=np.frombuffer(values["frame"], np.uint8).reshape(shape),
            mask=np.frombuffer(zlib.decompress(values["mask"]), np.uint8).reshape(shape),
            truth=unpack_mask(values["truth"], size) if values["truth"] else None,
            original=np.frombuffer(values["original"], np.uint8).reshape(size) if values["original"] else None,
            spacing=spacing or None,
        )


def annotated_frames(paths: Sequence[Path], info: DatasetInfo) -> tuple[NDArray[np.uint8], list[Mask]]:
    """Return the frames of some shards at the network's size, uint8 (N, H, W), and their masks at their own sizes."""
    records = list(read_records(paths, info))
    return np.stack([record.frame for record in records]), [record.annotated for record in records]
