"""TFRecord shards of prepared frames, and tf.data pipelines over them.

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.dataset.mask_encoding import pack_mask, unpack_mask
from nerveseg.errors import DatasetError
from nerveseg.files.checked_folder import STRICT, CheckedFolder, write_typed
from nerveseg.imaging.arrays import Frame, Mask, Size, Spacing
from nerveseg.imaging.grey_range import GreyRange

INFO_NAME = "dataset.json"
SHUFFLED_AT_ONCE = 4096  # records of a round; one with more is shuffled block by block
READ_AHEAD = 4  # batches


@checked_dataclass(frozen=True, config=STRICT)
class DatasetInfo:
    """Where the frames came from (`data.dir`), what the network expects of them, frames per split, the SHA-256 over the
    digests of all frames, what was black and white in files that do not say it, a sentence for each thing that a reader of
    the scores should know, and how many of the frames the stage `phantom` made.
    """

    source: str
    input: InputSpec
    frames: dict[str, Annotated[int, Field(ge=0)]]
    digest: str
    grey_range: GreyRange = field(default_factory=GreyRange)
    warnings: tuple[str, ...] = ()
    simulated: Annotated[int, Field(ge=0)] = 0

    def write(self, directory: Path) -> None:
        write_typed(directory / INFO_NAME, self)

    @classmethod
    def read(cls, directory: Path) -> "DatasetInfo":
        return prepared(directory).read(INFO_NAME, cls)


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


def prepared(directory: Path) -> CheckedFolder:
    """A folder that `preprocess` or `augment` has written."""
    return CheckedFolder(directory, DatasetError, "run `dvc repro` to make it again")


def shards(directory: Path, prefix: str) -> list[Path]:
    """The files `prefix-*.tfrecord` of a folder, in order.

    Raises:
        DatasetError: there is none, or one is missing or damaged.
    """
    found = prepared(directory).matching(f"{prefix}-*.tfrecord")
    if not found:
        raise DatasetError(f"{directory} holds no {prefix}-*.tfrecord; run `dvc repro` to make it")
    return found


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


def batches(paths: Sequence[Path], info: DatasetInfo, batch_size: int) -> tf.data.Dataset:
    """Batches to score, in the order of the records; the last may be smaller.

    Returns:
        A dataset of (frames, masks), float32 (N, H, W, 1): grey levels 0..255, and shares of nerve 0..1.
    """
    return _parsed(tf.data.TFRecordDataset([str(path) for path in paths]).batch(batch_size), info)


def whole_batches(
    rounds: Sequence[Path],
    info: DatasetInfo,
    batch_size: int,
    seed: int,
    epochs: range,
    shares: tuple[int, Sequence[int]] = (1, (0,)),
) -> tf.data.Dataset:
    """Batches of one size to train on, epoch after epoch: in each every record of a round once, in an order of its own,
    and some of them twice to fill the last batch.

    Args:
        rounds: files that epochs cycle through, each with every train frame once.
        info: of the data set.
        batch_size: a multiple of the first of `shares`.
        seed: of the order, which depends on nothing else but the number of the epoch.
        epochs: their numbers, from 0.
        shares: in how many equal parts each batch is dealt, and which of these are given, one after the other.

    Returns:
        A dataset like that of `batches`; N is the batch size over the number of shares.
    """
    frames, (parts, given) = info.frames["train"], shares
    paths = [str(rounds[epoch % len(rounds)]) for epoch in epochs]
    numbers = tf.data.Dataset.from_tensor_slices((paths, seed + np.array(epochs, np.int64)))

    def of_epoch(path: tf.Tensor, order: tf.Tensor) -> tf.data.Dataset:
        blocks = tf.data.TFRecordDataset(path).batch(SHUFFLED_AT_ONCE).enumerate()
        shuffled = blocks.map(lambda number, block: tf.random.experimental.stateless_shuffle(block, [order, number]))
        return shuffled.unbatch().repeat().take(-(-frames // batch_size) * batch_size)

    dataset = numbers.flat_map(of_epoch).batch(batch_size // parts, drop_remainder=True)
    if parts > 1:
        dataset = dataset.enumerate().filter(lambda number, _: tf.reduce_any(number % parts == list(given)))
        dataset = dataset.map(lambda _, serialised: serialised)
    return _parsed(dataset, info)


def _parsed(serialised: tf.data.Dataset, info: DatasetInfo) -> tf.data.Dataset:
    """Read ahead by a fixed number of batches: TensorFlow's own tuning of it wakes every ten seconds, and an iterator
    that has come to its end waits for that before it says so.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return serialised.map(lambda records: _parse(records, info)).prefetch(READ_AHEAD).with_options(options)


def _parse(serialised: tf.Tensor, info: DatasetInfo) -> tuple[tf.Tensor, tf.Tensor]:
    features = {key: tf.io.FixedLenFeature([], tf.string) for key in ("frame", "mask")}
    parsed = tf.io.parse_example(serialised, features)
    shape = (-1, *info.input.size, 1)
    frames = tf.reshape(tf.cast(tf.io.decode_raw(parsed["frame"], tf.uint8), tf.float32), shape)
    shares = tf.io.decode_raw(tf.io.decode_compressed(parsed["mask"], "ZLIB"), tf.uint8)
    masks = tf.reshape(tf.cast(shares, tf.float32), shape)
    return frames, masks / 255.0
