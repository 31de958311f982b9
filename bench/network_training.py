"""How an arm of `bench/network_study.py` is trained: in one thread, for a given processor time.

It first times some steps, then schedules as many as fit. Frames are held in memory. The time for cached rounds is not counted; the
time for variants on the fly is.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from unittest import mock

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.augmentation.rounds import round_of
from nerveseg.dataset.info import DatasetInfo
from nerveseg.dataset.records import Record
from nerveseg.params.file import Params
from nerveseg.training.distribution import keras_policy, make_deterministic, training_strategy
from nerveseg.unet.losses import presence_loss
from nerveseg.unet.network import LOGITS, PRESENCE
from nerveseg.unet.training import SupervisedTraining
from nerveseg.unet.warm_start import network_to_train
from network_arms import Arm, blocks_of
from network_augmentation import augmented
from network_teaching import lessons

import tensorflow as tf  # isort: skip - nerveseg must come first: it selects the Keras version

QUARTERS = (1, 2, 3)
OPINION = 25  # steps between two updates of the average that predicts
TRIED, TIMED = 3, 15  # steps before the training; the last ones are timed
Batches = Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True)
class Trained:
    """The network with the final average of the weights, the steps, and the frames per second of processor time."""

    network: tf.keras.Model
    steps: int
    rate: float


class ArmTraining(SupervisedTraining):
    """The pipeline's training, with the losses of an arm."""

    def __init__(self, arm: Arm, params: Params, build: Callable[[], tf.keras.Model], steps: int) -> None:
        self.arm = arm
        super().__init__(build, params.unet, params.lr, steps, training_strategy(params.unet))
        if arm.schedule != "constant":
            warmup = int(params.unet.warmup_share * steps)
            self.optimiser._learning_rate = _schedule(arm.schedule, params.lr, steps, warmup)  # noqa: SLF001 - Keras has no way to change a schedule
        self._restore = tf.function(self._restoring)
        self._opinion = tf.function(lambda frames: tf.sigmoid(self.averaged(frames, training=False)[LOGITS]))
        if arm.frozen or arm.encoder_rate < 1.0:
            self._slow_down_encoder(int(arm.frozen * steps))
        self.learnt = self.next_look = 0

    def _loss(self, masks: tf.Tensor, outputs: dict[str, tf.Tensor]) -> tf.Tensor:
        logits = outputs[LOGITS]
        loss = self.arm.region(masks, logits) + self.arm.pixel(masks, logits)
        return loss + presence_loss(self.params, masks, outputs[PRESENCE])

    def _gradients(self, frames: tf.Tensor, masks: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return the gradients, for sharpness-aware arms those after a step uphill, which is undone."""
        gradients, measured = super()._gradients(frames, masks)
        if self.arm.sharpness:
            variables = self.network.trainable_variables
            length = self.arm.sharpness / (tf.linalg.global_norm(gradients) + 1e-12)
            uphill = [length * gradient for gradient in gradients]
            before = [tf.identity(variable) for variable in variables]
            for variable, step in zip(variables, uphill, strict=True):
                variable.assign_add(step)
            gradients, _ = super()._gradients(frames, masks)
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
        return gradients, measured

    def _slow_down_encoder(self, thawed_after: int) -> None:
        """Give the pretrained encoder its share of the learning rate, and none before it is thawed."""
        optimiser, whole = self.optimiser, self.optimiser.update_step
        rate_of_all = type(optimiser).learning_rate.fget

        def update(gradient: tf.Tensor, variable: tf.Variable) -> None:
            if not variable.name.startswith("lite"):
                return whole(gradient, variable)
            thawed = tf.cast(optimiser.iterations >= thawed_after, tf.float32)
            slower = thawed * self.arm.encoder_rate * rate_of_all(optimiser)
            with mock.patch.object(type(optimiser), "learning_rate", property(lambda _: slower)):
                return whole(gradient, variable)

        optimiser.update_step = update  # type: ignore[method-assign] # for this optimiser alone

    def average(self) -> tf.keras.Model:
        self.averaged.set_weights([value.numpy() for value in self._values()["average"]])
        return self.averaged

    def learn(self, frames: NDArray[np.float32], masks: NDArray[np.float32], share: float) -> None:
        """Train a step in which predictions of the averaged network make up this share of the masks."""
        self.learnt += 1
        if share:
            if self.learnt >= self.next_look:
                self.average()
                self.next_look = self.learnt + OPINION
            masks = (1.0 - share) * masks + share * self._opinion(frames).numpy()
        self.step(frames, masks)

    def denoise(self, given: Batches, seconds: float) -> None:
        """Pre-train the network to restore frames for this time, then reset its last layer."""
        last = [variable for variable in self.network.weights if variable.name.startswith(LOGITS)]
        before = [variable.numpy() for variable in last]
        optimiser = tf.keras.optimizers.AdamW(1e-3, weight_decay=1e-4)
        optimiser.build(self.network.trainable_variables)
        self._restore(next(given)[0], optimiser)
        until = time.process_time() + seconds
        while time.process_time() < until:
            self._restore(next(given)[0], optimiser)
        for variable, value in zip(last, before, strict=True):
            variable.assign(value)

    def _restoring(self, frames: tf.Tensor, optimiser: tf.keras.optimizers.Optimizer) -> None:
        """Train a step of restoring frames in which half of the 16-pixel squares are missing."""
        shape = tf.shape(frames)
        kept = tf.cast(tf.random.uniform((shape[0], shape[1] // 16, shape[2] // 16, 1)) > 0.5, tf.float32)
        kept = tf.repeat(tf.repeat(kept, 16, 1), 16, 2)
        middle = tf.reduce_mean(frames)
        with tf.GradientTape() as tape:
            restored = self.network(frames * kept + middle * (1.0 - kept), training=True)[LOGITS]
            loss = tf.reduce_mean(((frames - middle) / 64.0 - restored) ** 2)
        variables = self.network.trainable_variables
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        optimiser.apply_gradients(zip(gradients, variables, strict=True))


def train_arm(
    arm: Arm,
    params: Params,
    records: Sequence[Record],
    info: DatasetInfo,
    seed: int,
    minutes: float,
    on_quarter: Callable[[int, tf.keras.Model], None],
    teachers: Sequence[tf.keras.Model] = (),
) -> Trained:
    """Train on the records. `on_quarter` gets the average after each quarter but the last; its time is not counted.

    Nor is that of `teachers`, nor of any predictions on train; that of training the arm's own teachers is.
    """
    spec, policy = info.input, keras_policy(params.unet.precision)

    def alone(like: Arm, some: Sequence[Record], time_: float) -> tf.keras.Model:
        return train_arm(like, params, some, info, seed, time_, lambda *_: None).network

    rounds, minutes = lessons(arm, params, records, seed, minutes, teachers, alone)

    def fresh(steps: int) -> ArmTraining:
        tf.keras.backend.clear_session()
        make_deterministic(seed + 1000 * arm.repetition)
        with blocks_of(arm):
            return ArmTraining(arm, params, lambda: network_to_train(params.unet, spec, policy), steps)

    given = _batches(arm, params, records, seed, rounds)
    restoring = 60 * minutes / 3 if arm.start == "denoising" else 0.0
    steps = max(2, int((60 * minutes - restoring) / _seconds_of_a_step(fresh(100), given, arm.corrected)))
    training = fresh(steps)
    if restoring:
        training.denoise(given, restoring)
    training.step(*next(given))
    spent, began = 0.0, time.process_time()
    quarters = {steps * quarter // 4: quarter for quarter in QUARTERS}
    for step in range(2, steps + 1):
        training.learn(*next(given), arm.corrected if step > steps // 5 else 0.0)
        if step in quarters:
            spent += time.process_time() - began
            on_quarter(quarters[step], training.average())
            began = time.process_time()
    spent += time.process_time() - began
    return Trained(training.average(), steps, (steps - 1) * params.unet.batch_size / spent)


def _seconds_of_a_step(training: ArmTraining, given: Batches, share: float) -> float:
    for _ in range(TRIED):
        training.learn(*next(given), share)
    began = time.process_time()
    for _ in range(TIMED):
        training.learn(*next(given), share)
    return (time.process_time() - began) / TIMED


def _batches(
    arm: Arm, params: Params, records: Sequence[Record], seed: int, cached: Sequence[Sequence[Record]]
) -> Batches:
    """Yield batches endlessly, with the frames of a round in random order, or drawn so that they are balanced."""
    rng, augment, size = np.random.default_rng(seed), params.augment, params.unet.batch_size
    count = augment.variants + 1
    if arm.on_the_fly:
        augment = augment.model_copy(update={"variants": 100_000})
    number, waiting = 0, list[Record]()
    while True:
        found = cached[number % count] if cached else list(round_of(records, number, augment, seed))
        number += 1
        order = rng.permutation(len(found))
        if arm.balance:
            kinds = pd.Series([_kind(record, arm.balance) for record in found])
            shares = 1.0 / kinds.groupby(kinds).transform("size").to_numpy()
            order = rng.choice(len(found), len(found), p=shares / shares.sum())
        waiting += [found[i] for i in order]
        while len(waiting) >= size:
            batch, waiting = waiting[:size], waiting[size:]
            frames = np.stack([record.frame for record in batch])[..., np.newaxis].astype(np.float32)
            masks = np.stack([record.mask for record in batch])[..., np.newaxis].astype(np.float32) / 255.0
            frames, masks = augmented(frames, masks, arm, rng)
            yield (arm.levels(frames) if arm.levels else frames), masks


def _kind(record: Record, balance: str) -> str:
    return record.subject if balance == "subject" else str((record.mask > 127).any())


def _schedule(kind: str, peak: float, steps: int, warmup: int) -> tf.keras.optimizers.schedules.LearningRateSchedule:
    if kind == "cosine":
        return tf.keras.optimizers.schedules.CosineDecay(0.0, steps - warmup, warmup_target=peak, warmup_steps=warmup)

    class Linear(tf.keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: tf.Tensor) -> tf.Tensor:
            done = tf.cast(step, tf.float32)
            return peak * tf.minimum(done / warmup, (steps - done) / (steps - warmup))

    return Linear()
