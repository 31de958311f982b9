"""Adversarial training of the refiner against the critic, on degraded frames, by alternating updates.

The generator (refiner) minimises the segmentation loss plus `adversarial_weight` times the hinge generator loss; the
critic minimises the hinge loss (Lim and Ye 2017, "Geometric GAN") between annotated and refined masks of the same
frames. The U-Net is frozen. The refiner starts as the identity and keeps the weights of the epoch that scored best
on degraded val frames without falling below the U-Net on clean ones. Where no epoch does so clearly it stays the
identity: refining never costs Dice on val.
"""

import functools
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from nerveseg.data.degradation import degrade_at_random
from nerveseg.data.records import DatasetInfo, batches, whole_batches
from nerveseg.models.losses import dice, segmentation_loss
from nerveseg.models.unet import LOGITS
from nerveseg.params import GanParams, UNetParams
from nerveseg.training.checkpoints import Checkpoint, assign, values_of
from nerveseg.training.supervised import EpochCallback, stop_if_diverged

HISTORY_COLUMNS = [
    "epoch", "segmentation_loss", "adversarial_loss", "critic_loss", "critic_accuracy", "val_dice", "val_dice_degraded",
]  # fmt: skip
TRAIN_SEVERITY = 4  # the greatest severity that the refiner trains on
VAL_SEVERITY = 3
LEAST_GAIN = 0.002  # of Dice on degraded val frames; less is noise, and the refiner stays the identity
STAGE_SEED = 0x6A4


class AdversarialTraining:
    """The networks, their optimisers and one step of each.

    Args:
        unet: frozen; from `build_unet`.
        refiner: from `build_refiner`.
        critic: from `build_critic`.
        params: the `gan` section.
        loss: the `unet` section, for the weights of the segmentation loss.
    """

    def __init__(
        self, unet: tf.keras.Model, refiner: tf.keras.Model, critic: tf.keras.Model, params: GanParams, loss: UNetParams
    ) -> None:
        self.unet, self.refiner, self.critic, self.params = unet, refiner, critic, params
        self.generator_optimiser = tf.keras.optimizers.Adam(params.lr, beta_1=0.5)
        self.critic_optimiser = tf.keras.optimizers.Adam(params.critic_lr, beta_1=0.5)
        self.generator_optimiser.build(refiner.trainable_variables)
        self.critic_optimiser.build(critic.trainable_variables)
        self._loss = functools.partial(segmentation_loss, loss)
        self._generate = tf.function(self._generator_step, reduce_retracing=True)
        self._criticise = tf.function(self._critic_step, reduce_retracing=True)
        self._infer = tf.function(lambda frames: unet(frames, training=False)[LOGITS], reduce_retracing=True)
        self._refine = tf.function(lambda inputs: refiner(inputs, training=False), reduce_retracing=True)

    def fit(
        self,
        rounds: Sequence[Path],
        val: Sequence[Path],
        info: DatasetInfo,
        seed: int,
        checkpoint: Checkpoint,
        on_epoch: EpochCallback,
    ) -> pd.DataFrame:
        """Train, and leave the refiner with its best weights.

        Returns:
            The history, columns `HISTORY_COLUMNS`, a row an epoch; epoch 0 is the U-Net as it came.
        """
        validation = _Validation(self, val, info, seed)
        history, states = checkpoint.restore() or (pd.DataFrame([{"epoch": 0, **validation.scores()}]), {})
        history = history.reindex(columns=HISTORY_COLUMNS)
        best = states.pop("best", self.refiner.get_weights())
        for name, state in states.items():
            assign(self._state()[name], state)
        epochs = range(len(history), self.params.epochs + 1)
        given = iter(whole_batches(rounds, info, self.params.batch_size, seed, epochs) if epochs else ())
        steps = -(-info.frames["train"] // self.params.batch_size)
        progress = tqdm(epochs, desc="refiner", unit="epoch")
        for epoch in progress:
            means = self._train_epoch(islice(given, steps), seed, epoch)
            stop_if_diverged(means["segmentation_loss"], epoch, "gan.lr")
            row = {"epoch": epoch, **means, **validation.scores()}
            history.loc[epoch] = row
            if best_epoch(history) == epoch:
                best = self.refiner.get_weights()
            states = {name: values_of(variables) for name, variables in self._state().items()}
            checkpoint.save(history, states | {"best": best})
            progress.set_postfix(val_dice=f"{row['val_dice']:.3f}", degraded=f"{row['val_dice_degraded']:.3f}")
            on_epoch(epoch, row)
        self.refiner.set_weights(best)
        return history.astype({"epoch": int})

    def _state(self) -> dict[str, Sequence[tf.Variable]]:
        return {
            "refiner": self.refiner.weights,
            "critic": self.critic.weights,
            "generator_optimiser": self.generator_optimiser.variables,
            "critic_optimiser": self.critic_optimiser.variables,
        }

    def _train_epoch(self, given: Iterable[tuple[tf.Tensor, tf.Tensor]], seed: int, epoch: int) -> dict[str, float]:
        """Means of the losses over one round, its frames degraded by seeded draws."""
        rng = np.random.default_rng([seed, STAGE_SEED, epoch])
        adversarial = epoch > self.params.warmup_epochs
        sums: dict[str, float] = {}
        steps = 0
        for frames, masks in given:
            degraded = degrade_at_random(frames.numpy()[..., 0].astype(np.uint8), TRAIN_SEVERITY, rng)
            levels = tf.constant(degraded[..., np.newaxis], tf.float32)
            for key, value in self._train_step(levels, masks, self._infer(levels), adversarial=adversarial).items():
                sums[key] = sums.get(key, 0.0) + float(value)
            steps += 1
        return {key: total / steps for key, total in sums.items()}

    def _train_step(
        self, frames: tf.Tensor, masks: tf.Tensor, logits: tf.Tensor, *, adversarial: bool
    ) -> dict[str, tf.Tensor]:
        """An update of the generator, then one of the critic.

        They are two functions of TensorFlow, and each is one chain of operations: side by side, parts of them would
        share the cores now so, now otherwise, and sums over threads differ in their last bit.
        """
        fake, losses = self._generate(frames, masks, logits, adversarial)
        if adversarial:
            losses |= self._criticise(frames, masks, fake)
        return losses

    def _generator_step(
        self,
        frames: tf.Tensor,
        masks: tf.Tensor,
        logits: tf.Tensor,
        adversarial: bool,  # noqa: FBT001 - traced once each
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        losses = {}
        with tf.GradientTape() as tape:
            refined = self.refiner([frames, logits], training=True)
            fake = tf.sigmoid(refined)
            total = losses["segmentation_loss"] = self._loss(masks, refined)
            if adversarial:
                losses["adversarial_loss"] = -tf.reduce_mean(self.critic([frames, fake], training=True))
                total += self.params.adversarial_weight * losses["adversarial_loss"]
        gradients = tape.gradient(total, self.refiner.trainable_variables)
        self.generator_optimiser.apply_gradients(zip(gradients, self.refiner.trainable_variables, strict=True))
        return fake, losses

    def _critic_step(self, frames: tf.Tensor, masks: tf.Tensor, fake: tf.Tensor) -> dict[str, tf.Tensor]:
        """The critic's hinge loss, and the share of patches that it judged right."""
        with tf.GradientTape() as tape:
            scores = self.critic([tf.concat([frames, frames], 0), tf.concat([masks, fake], 0)], training=True)
            on_truth, on_fake = tf.split(scores, 2)
            loss = tf.reduce_mean(tf.nn.relu(1.0 - on_truth)) + tf.reduce_mean(tf.nn.relu(1.0 + on_fake))
        gradients = tape.gradient(loss, self.critic.trainable_variables)
        self.critic_optimiser.apply_gradients(zip(gradients, self.critic.trainable_variables, strict=True))
        right = [tf.reduce_mean(tf.cast(judged > 0.0, tf.float32)) for judged in (on_truth, -on_fake)]
        return {"critic_loss": loss, "critic_accuracy": (right[0] + right[1]) / 2.0}


def best_epoch(history: pd.DataFrame) -> int:
    """The epoch with the highest Dice on degraded val frames among those that are not below the start on clean ones
    and above it by `LEAST_GAIN` on degraded ones; 0, the start, where there is none.
    """
    start = history.iloc[0]
    gains = history["val_dice_degraded"] > start["val_dice_degraded"] + LEAST_GAIN
    allowed = history[(history["val_dice"] >= start["val_dice"]) & gains]
    return int(allowed["val_dice_degraded"].idxmax()) if len(allowed) else 0


class _Validation:
    """Val frames, clean and degraded, with the U-Net's logits, which do not change."""

    def __init__(self, training: AdversarialTraining, val: Sequence[Path], info: DatasetInfo, seed: int) -> None:
        self._training = training
        rng = np.random.default_rng([seed, STAGE_SEED])
        self._clean, self._degraded = [], []
        for frames, masks in batches(val, info, training.params.batch_size):
            poor = degrade_at_random(frames.numpy()[..., 0].astype(np.uint8), VAL_SEVERITY, rng)
            self._clean.append(self._with_logits(frames, masks))
            self._degraded.append(self._with_logits(tf.constant(poor[..., np.newaxis], tf.float32), masks))

    def _with_logits(self, frames: tf.Tensor, masks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return frames, masks, self._training._infer(frames)  # noqa: SLF001 - one module, one idea

    def scores(self) -> dict[str, float]:
        """Mean Dice at probability 0.5 and at the network's size, on clean and on degraded val frames."""
        return {"val_dice": self._mean(self._clean), "val_dice_degraded": self._mean(self._degraded)}

    def _mean(self, kept: list[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]) -> float:
        values: list[NDArray[np.float32]] = [
            dice(masks, self._training._refine([frames, logits])).numpy()  # noqa: SLF001
            for frames, masks, logits in kept
        ]
        return float(np.concatenate(values).mean(dtype=np.float64))
