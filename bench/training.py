"""Measure how fast the U-Net trains, against what the machine can compute in the same run.

    python bench/training.py            # after `dvc repro augment`; --set NAME=VALUE for other params, --steps N

Prints:

- the rate of the machine's matrix product in float32 and in the training's arithmetic, on as many cores as the training uses, with as
  many threads each
- the floating-point operations of a step, counted from its convolutions: two per multiply-add; the backward pass costs twice as
  much, less the gradient of the input
- the speed of the training loop, and the share of its time that it waits for data
- the cost of scores: those of train in each step, and those of val after each epoch
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from nerveseg.dataset.batches import batches
from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.errors import told_plainly
from nerveseg.params.file import Params, load_params
from nerveseg.training.distribution import keras_policy, make_deterministic, training_strategy, use_threads
from nerveseg.training.task import steps_per_epoch
from nerveseg.unet.optimiser import gradients_of
from nerveseg.unet.training import SupervisedTraining
from nerveseg.unet.warm_start import network_to_train
from trainings import asked_changes, changed

import tensorflow as tf  # isort: skip - nerveseg must come first: it selects the Keras version

PROCESSED, AUGMENTED = Path("data/processed"), Path("data/augmented")
SIDE = 3000  # of the matrices


def operations(network: tf.keras.Model) -> int:
    """Return the floating-point operations of the convolutions for one frame, forward and backward."""
    total = 0
    for number, layer in enumerate(_convolutions(network)):
        height, width = layer.output_shape[1:3]
        forwards = 2 * height * width * int(tf.size(layer.kernel))
        total += forwards * (2 if number == 0 else 3)
    return total


def _convolutions(network: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    return [layer for layer in network._flatten_layers() if isinstance(layer, tf.keras.layers.Conv2D)]  # noqa: SLF001 - measured from inside


def matrix_product(dtype: tf.DType, parts: int) -> float:
    """Return the operations per second of `parts` products in parallel."""
    generator = tf.random.Generator.from_seed(1)
    factors = [tf.cast(generator.normal((SIDE, SIDE)), dtype) for _ in range(parts + 1)]

    multiply = tf.function(lambda: [factor @ factors[-1] for factor in factors[:-1]])
    return float(parts * 2 * SIDE**3 / seconds(multiply, 7))


def seconds(call: Callable[[], object], times: int) -> float:
    """Return the median time of some calls, after two to warm up."""
    call(), call()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


class WithoutScores(SupervisedTraining):
    """The training without scores: it computes the loss alone."""

    def _gradients(self, frames: tf.Tensor, masks: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        loss = self._loss(masks, self.network(frames, training=True))
        return gradients_of(loss, self.network.trainable_variables), tf.stack([loss, loss])


def measure(params: Params, steps: int) -> None:
    unet = params.unet
    use_threads(unet.ghost_batches)
    make_deterministic(params.seed)
    policy, strategy = keras_policy(unet.precision), training_strategy(unet)
    info = DatasetInfo.read(PROCESSED)
    build = partial(network_to_train, unet, info.input, policy)
    training = SupervisedTraining(build, unet, params.lr, 10_000, strategy)
    rounds = shards(AUGMENTED, "round")
    frame = operations(training.network)
    computed = tf.bfloat16 if policy == "mixed_bfloat16" else tf.float32
    peaks = {dtype: matrix_product(dtype, unet.ghost_batches) for dtype in dict.fromkeys((tf.float32, computed))}
    for dtype, peak in peaks.items():
        print(f"matrix product, {dtype.name}, {unet.ghost_batches} side by side: {peak / 1e9:,.0f} GFLOP/s")
    print(
        f"{training.network.count_params():,} parameters, {frame / 1e9:.2f} GFLOP a frame, {policy}, batch {unet.batch_size} in {unet.ghost_batches} ghost batches, {os.cpu_count()} cores"
    )

    batch = next(iter(training.train_batches(rounds, info, params.seed, range(1))))
    bare = WithoutScores(build, unet, params.lr, 10_000, strategy)
    alone, without = [], []
    for _ in range(5):
        alone.append(seconds(lambda: training.step(*batch), steps // 5))
        without.append(seconds(lambda: bare.step(*batch), steps // 5))
    step, bare_step = statistics.median(alone), statistics.median(without)
    _tell("step alone", unet.batch_size / step, frame, peaks)
    print(f"scores of train in a step: {1 - bare_step / step:.1%} of its time")

    waited = worked = 0.0
    epochs = range(-(-(steps + 1) // steps_per_epoch(info, unet.batch_size)))
    began = time.perf_counter()
    given = iter(training.train_batches(rounds, info, params.seed, epochs))
    training.step(*next(given))
    start = time.perf_counter() - began - step
    for _ in range(steps):
        clock = time.perf_counter()
        frames, masks = next(given)
        arrived = time.perf_counter()
        training.step(frames, masks)
        waited, worked = waited + arrived - clock, worked + time.perf_counter() - arrived
    validation = batches(shards(PROCESSED, "val"), info, unet.batch_size)
    validating = seconds(lambda: training._validate(validation), 5)  # noqa: SLF001 - measured from inside
    epoch = (waited + worked) / steps * steps_per_epoch(info, unet.batch_size)
    _tell("the loop", steps * unet.batch_size / (waited + worked), frame, peaks)
    print(f"waiting for data: {waited / (waited + worked):.2%} of its time, after {start:.2f} s for the first batch")
    print(f"validation after each epoch: {validating:.2f} s, {validating / (epoch + validating):.1%} of its time")


def _tell(what: str, rate: float, frame: int, peaks: dict[tf.DType, float]) -> None:
    shares = ", ".join(f"{rate * frame / peak:.0%} of {dtype.name}" for dtype, peak in peaks.items())
    print(f"{what}: {rate:.1f} frames/s, {rate * frame / 1e9:,.0f} GFLOP/s, {shares}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", dest="changes", nargs="*", default=[], metavar="NAME=VALUE", help="params to change")
    parser.add_argument("--steps", type=int, default=100, help="at least 5 (default: 100)")
    asked = parser.parse_args()
    measure(changed(load_params(), asked_changes(asked.changes)), max(5, asked.steps))


if __name__ == "__main__":
    with told_plainly():
        main()
