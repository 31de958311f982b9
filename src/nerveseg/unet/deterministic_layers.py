"""Layers whose gradients TensorFlow can compute deterministically on a GPU.

With `enable_op_determinism`, which training uses, TensorFlow 2.17 refuses two gradients there that U-Nets and refiners would
need: of nearest up-sampling (`core/kernels/image/resize_nearest_neighbor_op.cc`) and of batch normalisation that is frozen
(`core/kernels/fused_batch_norm_op.cu.cc`). The layers here compute what Keras's own do.
"""

import operator
from collections.abc import Iterable
from functools import reduce
from typing import Any

import tensorflow as tf


class UpSampling2D(tf.keras.layers.UpSampling2D):
    """Keras's, with a gradient of its own for `nearest`: each pixel's is the sum over those that it was copied to."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if self.interpolation != "nearest":
            return super().call(inputs)
        height, width = inputs.shape[1:3]
        rows, columns = self.size

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def copied(pixels: tf.Tensor) -> tuple[tf.Tensor, Any]:
            def summed(gradient: tf.Tensor) -> tf.Tensor:
                channels = gradient.shape[-1]
                by_row = tf.reshape(gradient, (-1, height, rows, width * columns * channels))
                of_rows = _sum(by_row[:, :, row] for row in range(rows))
                by_column = tf.reshape(of_rows, (-1, height, width, columns * channels))
                return _sum(tf.split(by_column, columns, axis=-1))

            return super(UpSampling2D, self).call(pixels), summed

        return copied(inputs)


class BatchNormalization(tf.keras.layers.BatchNormalization):
    """Keras's; in a training in which it is frozen, it is the affine map that it stands for."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, **options: Any) -> tf.Tensor:  # noqa: FBT001 - Keras's
        if self.trainable or not training:
            return super().call(inputs, training=training, **options)
        scale = tf.math.rsqrt(self.moving_variance + self.epsilon) * (self.gamma if self.scale else 1.0)
        offset = (self.beta if self.center else 0.0) - self.moving_mean * scale
        return tf.cast(tf.cast(inputs, tf.float32) * scale + offset, inputs.dtype)


OURS = {tf.keras.layers.UpSampling2D: UpSampling2D, tf.keras.layers.BatchNormalization: BatchNormalization}


def deterministic(network: tf.keras.Model) -> tf.keras.Model:
    """A network of others' with these layers in place of Keras's, and the same weights."""

    def replaced(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        kind: Any = OURS.get(type(layer), type(layer))
        return kind.from_config(layer.get_config())

    same = tf.keras.models.clone_model(network, clone_function=replaced)
    for layer in network.layers:
        same.get_layer(layer.name).set_weights(layer.get_weights())
    return same


def _sum(parts: Iterable[tf.Tensor]) -> tf.Tensor:
    """In the order of the parts, which `tf.add_n` does not promise."""
    return reduce(operator.add, parts)
