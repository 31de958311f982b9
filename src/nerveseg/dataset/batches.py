"""Batches of prepared frames, by tf.data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from nerveseg.dataset.info import DatasetInfo

SHUFFLED_AT_ONCE = 4096  # records; a longer round is shuffled block by block
READ_AHEAD = 4  # batches, decoded side by side
SERIALISED_AHEAD = 64  # batches to train on while the next round is read and shuffled, so that no GPU waits for it


def batches(paths: Sequence[Path], info: DatasetInfo, batch_size: int) -> tf.data.Dataset:
    """Return batches to score, in the order of the records. The last one may be smaller.

    A batch is (frames, masks), float32 (N, H, W, 1): grey levels 0..255, and shares of nerve 0..1.
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
    """Return batches like those of `batches`, but of equal size, to train on in some epochs, whose numbers begin at 0.

    Epochs cycle through `rounds`, files with every train frame once. An epoch has each record of its round, in an order that
    `seed` and its number decide, and repeats some to fill the last batch. `shares` are the number of equal parts of a batch,
    a divisor of `batch_size`, and which parts to return, one after the other: N is the size of a part.
    """
    frames, (parts, given) = info.frames["train"], shares
    paths = [str(rounds[epoch % len(rounds)]) for epoch in epochs]
    numbers = tf.data.Dataset.from_tensor_slices((paths, seed + np.array(epochs, np.int64)))

    def of_epoch(path: tf.Tensor, order: tf.Tensor) -> tf.data.Dataset:
        blocks = tf.data.TFRecordDataset(path).batch(SHUFFLED_AT_ONCE).enumerate()
        shuffled = blocks.map(lambda number, block: tf.random.experimental.stateless_shuffle(block, [order, number]))
        return shuffled.unbatch().repeat().take(-(-frames // batch_size) * batch_size)

    dataset = numbers.flat_map(of_epoch).batch(batch_size // parts, drop_remainder=True).prefetch(SERIALISED_AHEAD)
    if parts > 1:
        dataset = dataset.enumerate().filter(lambda number, _: tf.reduce_any(number % parts == list(given)))
        dataset = dataset.map(lambda _, serialised: serialised)
    return _parsed(dataset, info)


def _parsed(serialised: tf.data.Dataset, info: DatasetInfo) -> tf.data.Dataset:
    """Read ahead by a fixed number of batches: an exhausted iterator waits for TensorFlow's own tuning, up to 10 seconds."""
    options = tf.data.Options()
    options.autotune.enabled = False
    parsed = serialised.map(lambda records: _parse(records, info), num_parallel_calls=READ_AHEAD)
    return parsed.prefetch(READ_AHEAD).with_options(options)


def _parse(serialised: tf.Tensor, info: DatasetInfo) -> tuple[tf.Tensor, tf.Tensor]:
    parsed = tf.io.parse_example(serialised, {key: tf.io.FixedLenFeature([], tf.string) for key in ("frame", "mask")})
    shape = (-1, *info.input.size, 1)
    frames = tf.reshape(tf.cast(tf.io.decode_raw(parsed["frame"], tf.uint8), tf.float32), shape)
    shares = tf.io.decode_raw(tf.io.decode_compressed(parsed["mask"], "ZLIB"), tf.uint8)
    masks = tf.reshape(tf.cast(shares, tf.float32), shape)
    return frames, masks / 255.0
