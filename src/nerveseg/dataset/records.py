"""TFRecord shards of prepared frames: how a record is written and read.

A record holds one frame at the network's size and what belongs to it:

    name, subject   text
    frame           uint8 (H, W): grey levels, letterboxed to the network's input
    mask            uint8 (H, W): 0..255, the share of each pixel that is nerve, deflated
    size            height and width of the frame as it was read; 0, 0 in augmented records
    truth           the annotated mask at that size, one bit a pixel, deflated; empty in augmented records
    spacing         height and width of a pixel of that size in millimetres; empty where they are not known
    original        uint8 (height, width): the frame as it was read; test records only

Beside the shards stand `dataset.json`, a `DatasetInfo`, and the list of all files (`checked_folder`). Records are read in the order in which they were
written, shard after shard.
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
        """The truth of a record that has one.

        Raises:
            DatasetError: an augmented record, which has none.
        """
        if self.truth is None:
            raise DatasetError(f"record {self.name} holds no annotated mask; score the shards of data/processed")
        return self.truth

    @property
    def as_read(self) -> Frame:
        """The frame at its own size, of a test record.

        Raises:
            DatasetError: a record of another split, which does not keep it.
        """
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
    """A record as it is written: pixels row after row; `truth` is a packed mask of `size`."""
    texts = {
        "name": name.encode(),
        "subject": subject.encode(),
        "frame": frame,
        "mask": zlib.compress(mask, 1),
        "truth": truth,
        "original": original,
    }
    feature = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in texts.items()}
    feature["size"] = tf.train.Feature(int64_list=tf.train.Int64List(value=size))
    feature["spacing"] = tf.train.Feature(float_list=tf.train.FloatList(value=spacing or ()))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True)


def with_values(record: bytes, **values: bytes) -> bytes:
    """A serialised record with other values, such as the frame as it was read in `original`."""
    example = tf.train.Example.FromString(record)
    for name, value in values.items():
        example.features.feature[name].bytes_list.value[0] = value
    return example.SerializeToString(deterministic=True)


def write_records(paths: Sequence[Path], records: Iterable[bytes]) -> int:
    """Deal serialised records to shards in turn, and say how many there were; the files appear only when all are
    whole.
    """
    partials = [path.with_name(f".{path.name}.part") for path in paths]
    count = 0
    with ExitStack() as stack:
        writers = [stack.enter_context(tf.io.TFRecordWriter(str(partial))) for partial in partials]
        for record in records:
            writers[count % len(writers)].write(record)
            count += 1
    for partial, path in zip(partials, paths, strict=True):
        partial.replace(path)
    return count


def read_records(paths: Sequence[Path], info: DatasetInfo) -> Iterator[Record]:
    """The records of some shards, decoded, one after the other."""
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
    """All frames of some shards at the network's size, uint8 (N, H, W), and their masks at the size they were drawn."""
    records = list(read_records(paths, info))
    return np.stack([record.frame for record in records]), [record.annotated for record in records]
