"""The batches that refiners learn from and are scored on: degraded frames with the U-Net's predictions of them.

Train frames are degraded at all severities; some stay as they are. The U-Net has learnt from the clean ones, so its predictions
of them are better than of unseen people. To make up for that, a share of the predictions is corrupted (`mask_corruption`).
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from nerveseg.augmentation.degradations import SEVERITIES, degrade_at_random
from nerveseg.dataset.batches import batches
from nerveseg.dataset.info import DatasetInfo
from nerveseg.params.networks import DegradationParams
from nerveseg.refinement.mask_corruption import corrupt_some
from nerveseg.unet.network import LOGITS, PRESENCE

TRAIN_SEVERITIES = (0, 0, *SEVERITIES)
VAL_SEVERITY = 3
STAGE_SEED = 0x6A4


class RefinerBatch(NamedTuple):
    frames: tf.Tensor  # grey levels 0..255, float32 (N, H, W, 1)
    masks: tf.Tensor  # annotated shares of nerve 0..1, of the same shape
    logits: tf.Tensor  # the U-Net's, of the same shape
    presence: tf.Tensor  # its logit, (N, 1)
    poor: tf.Tensor  # 1 if the frame was degraded and else 0, (N, 1)


class RefinerInputs:
    """Makes these batches with a trained U-Net; `corruption` is the share of train predictions to corrupt."""

    def __init__(self, unet: tf.keras.Model, corruption: float, strengths: DegradationParams, seed: int) -> None:
        self._corruption, self._strengths, self._seed = corruption, strengths, seed

        def side_by_side(parts: list[tf.Tensor]) -> dict[str, tf.Tensor]:
            said = [unet(part, training=False) for part in parts]
            return {key: tf.concat([part[key] for part in said], 0) for key in (LOGITS, PRESENCE)}

        self._predict = tf.function(side_by_side, reduce_retracing=True)

    def train(self, rounds: Iterable[tuple[tf.Tensor, tf.Tensor]], epoch: int) -> Iterator[RefinerBatch]:
        """Yield the batches of one epoch, made from those of `whole_batches`; the next one is made while one is used."""
        of_frames, of_predictions = (np.random.default_rng([self._seed, STAGE_SEED, epoch, draws]) for draws in (0, 1))
        with ThreadPoolExecutor(1) as maker:
            made = (maker.submit(self._corrupted, *batch, of_frames, of_predictions) for batch in rounds)
            for ready, _ in pairwise(chain(made, [Future()])):
                yield ready.result()

    def val(self, shards: Sequence[Path], info: DatasetInfo, batch_size: int, *, degraded: bool) -> list[RefinerBatch]:
        """Return all val frames, clean or each degraded in one way at `VAL_SEVERITY`."""
        rng = np.random.default_rng([self._seed, STAGE_SEED])
        severities = (VAL_SEVERITY,) if degraded else (0,)
        return [self._given(frames, masks, severities, rng) for frames, masks in batches(shards, info, batch_size)]

    def _corrupted(
        self, frames: tf.Tensor, masks: tf.Tensor, of_frames: np.random.Generator, of_predictions: np.random.Generator
    ) -> RefinerBatch:
        given = self._given(frames, masks, TRAIN_SEVERITIES, of_frames)
        logits = corrupt_some(given.logits.numpy()[..., 0], self._corruption, of_predictions)
        return given._replace(logits=tf.constant(logits[..., np.newaxis]))

    def _given(
        self, frames: tf.Tensor, masks: tf.Tensor, severities: Sequence[int], rng: np.random.Generator
    ) -> RefinerBatch:
        levels, drawn = degrade_at_random(frames.numpy()[..., 0].astype(np.uint8), severities, self._strengths, rng)
        seen = tf.constant(levels[..., np.newaxis], tf.float32)
        middle = len(seen) // 2
        said = self._predict([seen[:middle], seen[middle:]] if middle else [seen])
        poor = tf.constant((drawn > 0)[:, np.newaxis], tf.float32)
        return RefinerBatch(seen, masks, said[LOGITS], said[PRESENCE], poor)
