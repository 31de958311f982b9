"""How TensorFlow runs a training: on which devices, and repeatable to the bit."""

import json
import os

import tensorflow as tf

from nerveseg.errors import ModelError


def make_deterministic(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, and let TensorFlow use only operations whose result does not depend on
    timing; seeds alone did not make two trainings equal.
    """
    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def training_strategy() -> tf.distribute.Strategy:
    """`MultiWorkerMirroredStrategy` where TF_CONFIG names several workers, `MirroredStrategy` with several GPUs,
    else the default: one device. The batch size of params is that of all devices together.

    Raises:
        ModelError: TF_CONFIG is not what TensorFlow expects.
    """
    config = os.environ.get("TF_CONFIG")
    if config:
        try:
            workers = json.loads(config)["cluster"]["worker"]
        except (ValueError, KeyError, TypeError):
            raise ModelError(
                f'TF_CONFIG is {config!r}; expected JSON with {{"cluster": {{"worker": [...]}}, "task": {{...}}}}, '
                "or unset it to train on this machine alone"
            ) from None
        if len(workers) > 1:
            return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()
