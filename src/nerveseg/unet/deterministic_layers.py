"""Keras layers whose gradients TensorFlow can compute deterministically on a GPU.

Training uses `enable_op_determinism`. With it, TensorFlow 2.17 refuses two gradients on GPUs that U-Nets and refiners need:
of nearest up-sampling (`core/kernels/image/resize_nearest_neighbor_op.cc`) and of frozen batch normalisation
(`core/kernels/fused_batch_norm_op.cu.cc`). The layers here have the same outputs as Keras's.
"""

import operator
from functools import reduce
from typing import Any

import tensorflow as tf


class UpSampling2D(tf.keras.layers.UpSampling2D):
    """Up-sampling whose gradient for `nearest` is, for each pixel, the sum over its copies."""

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
                # In this order, which `tf.add_n` does not guarantee.
                of_rows = reduce(operator.add, (by_row[:, :, row] for row in range(rows)))
                by_column = tf.reshape(of_rows, (-1, height, width, columns * channels))
                return reduce(operator.add, tf.split(by_column, columns, axis=-1))

            return super(UpSampling2D, self).call(pixels), summed

        return copied(inputs)


class BatchNormalization(tf.keras.layers.BatchNormalization):
    """Batch normalisation that, frozen in a training, is computed as the affine map that it is then."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, **options: Any) -> tf.Tensor:  # noqa: FBT001 - Keras's
        if self.trainable or not training:
            return super().call(inputs, training=training, **options)
        scale = tf.math.rsqrt(self.moving_variance + self.epsilon) * (self.gamma if self.scale else 1.0)
        offset = (self.beta if self.center else 0.0) - self.moving_mean * scale
        return tf.cast(tf.cast(inputs, tf.float32) * scale + offset, inputs.dtype)


OURS = {tf.keras.layers.UpSampling2D: UpSampling2D, tf.keras.layers.BatchNormalization: BatchNormalization}


def deterministic(network: tf.keras.Model) -> tf.keras.Model:
    """Return a copy of a network with these layers instead of Keras's, and the same weights."""

    def replaced(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        kind: Any = OURS.get(type(layer), type(layer))
        return kind.from_config(layer.get_config())

    same = tf.keras.models.clone_model(network, clone_function=replaced)
    for layer in network.layers:
        same.get_layer(layer.name).set_weights(layer.get_weights())
    return same
