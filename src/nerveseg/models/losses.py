"""What training minimises and what it watches, on batches.

`truth` is float32 (N, H, W, 1), the share of each pixel that is nerve, 0..1; `logits` has the same shape, any
real number.
"""

from collections.abc import Callable

import tensorflow as tf

PIXELS = (1, 2, 3)


def soft_dice_loss(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """1 - Dice of the probabilities (Milletari et al. 2016, "V-Net"), a scalar 0..1, pooled over the batch.

    Pooled, since the Dice of a frame without a nerve is 0 until its last pixel of probability is gone: frame by frame
    such a loss stays near 1 and drowns that of the others. One pixel more above and below covers an empty batch.
    """
    probability = tf.sigmoid(logits)
    overlap = tf.reduce_sum(truth * probability)
    total = tf.reduce_sum(truth) + tf.reduce_sum(probability)
    return 1.0 - (2.0 * overlap + 1.0) / (total + 1.0)


def binary_cross_entropy(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Mean over all pixels of the cross-entropy in nats, a scalar."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=logits))


def segmentation_loss(dice_weight: float, bce_weight: float) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The weighted sum of soft Dice loss and binary cross-entropy."""

    def loss(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return dice_weight * soft_dice_loss(truth, logits) + bce_weight * binary_cross_entropy(truth, logits)

    return loss


def dice(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Dice of each frame's mask at probability 0.5, (N,) 0..1, at the network's size; empty against empty is 1."""
    annotated = tf.cast(truth > 0.5, tf.float32)
    predicted = tf.cast(logits > 0.0, tf.float32)
    total = tf.reduce_sum(annotated, PIXELS) + tf.reduce_sum(predicted, PIXELS)
    return tf.math.divide_no_nan(2.0 * tf.reduce_sum(annotated * predicted, PIXELS), total) + tf.cast(
        total == 0.0, tf.float32
    )
