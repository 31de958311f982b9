"""Dropout whose random numbers a stopped training need not remember."""

import tensorflow as tf


class ChannelDropout(tf.keras.layers.Layer):
    """Leaves out channels of each frame while training, and raises the others so that means stay (Tompson et al. 2015,
    "Efficient object localization using convolutional networks").

    What is left out depends on `number` and on the grey levels of the batch, and on no state: whoever trains on the same
    batches, in one go or in several, leaves out the same channels.

    Args:
        rate: share of the channels, 0..1.
        number: of the layer in its network; another one leaves out others.
    """

    def __init__(self, rate: float, number: int) -> None:
        super().__init__(name=f"dropout_{number}", autocast=False)
        self.rate, self.number = rate, number

    def call(
        self,
        inputs: tuple[tf.Tensor, tf.Tensor],
        training: bool = False,  # noqa: FBT001, FBT002 - Keras's signature
    ) -> tf.Tensor:
        """`inputs` are features, (N, H, W, channels), and the grey levels of their frames, float32 of any shape."""
        features, frames = inputs
        if not training:
            return features
        seed = tf.stack([self.number, tf.reduce_sum(tf.cast(frames, tf.int32))])
        shape = tf.shape(features)
        kept = tf.random.stateless_uniform([shape[0], 1, 1, shape[3]], seed) >= self.rate
        return features * tf.cast(kept, features.dtype) / (1.0 - self.rate)
