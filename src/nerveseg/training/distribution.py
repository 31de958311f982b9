"""How TensorFlow runs a training: on which devices, and repeatable to the bit."""

import os
import random

import tensorflow as tf
from tf_keras.src import backend

from nerveseg.errors import ModelError


class _WholeNumbers(random.Random):
    """What tf-keras draws the seeds of its initialisers from: it calls `randint(1, 1e9)`, and from Python 3.12 on that
    takes no floating-point number. The numbers are those of `random.Random`.
    """

    def randint(self, low: float, high: float) -> int:
        return super().randint(int(low), int(high))


def make_deterministic(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, and let TensorFlow use only operations whose result does not depend on
    timing; seeds alone did not make two trainings equal.
    """
    tf.keras.utils.set_random_seed(seed)
    backend._SEED_GENERATOR.generator = _WholeNumbers(seed)  # noqa: SLF001 - tf-keras has no other way in
    tf.config.experimental.enable_op_determinism()


def training_strategy() -> tf.distribute.Strategy:
    """`MirroredStrategy` with several GPUs, else the default: one device. The batch size of params is that of all
    devices together.

    Raises:
        ModelError: TF_CONFIG asks for several machines, whose stages would overwrite each other's outputs.
    """
    if "TF_CONFIG" in os.environ:
        raise ModelError(
            f"TF_CONFIG is {os.environ['TF_CONFIG']!r}, but nerveseg trains on one machine so far; unset it"
        )
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()
