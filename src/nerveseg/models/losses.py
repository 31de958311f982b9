"""What training minimises and what it watches, on batches.

`truth` is float32 (N, H, W, 1), the share of each pixel that is nerve, 0..1; `logits` has the same shape, any
real number. Each function gives one value a frame, float32 (N,).
"""

from collections.abc import Callable

import tensorflow as tf

PIXELS = (1, 2, 3)


def soft_dice_loss(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """1 - Dice of the probabilities (Milletari et al. 2016, "V-Net"), 0..1.

    One pixel is added above and below, so that a frame without a nerve has a loss too: it falls to 0 as the
    probabilities do.
    """
    probability = tf.sigmoid(logits)
    overlap = tf.reduce_sum(truth * probability, PIXELS)
    total = tf.reduce_sum(truth, PIXELS) + tf.reduce_sum(probability, PIXELS)
    return 1.0 - (2.0 * overlap + 1.0) / (total + 1.0)


def binary_cross_entropy(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Mean over pixels of the cross-entropy in nats."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=logits), PIXELS)


def segmentation_loss(dice_weight: float, bce_weight: float) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The weighted sum of soft Dice loss and binary cross-entropy."""

    def loss(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return dice_weight * soft_dice_loss(truth, logits) + bce_weight * binary_cross_entropy(truth, logits)

    return loss


def dice(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Dice of the masks at probability 0.5 and at the network's size, 0..1; empty against empty is 1."""
    annotated = tf.cast(truth > 0.5, tf.float32)
    predicted = tf.cast(logits > 0.0, tf.float32)
    total = tf.reduce_sum(annotated, PIXELS) + tf.reduce_sum(predicted, PIXELS)
    return tf.math.divide_no_nan(2.0 * tf.reduce_sum(annotated * predicted, PIXELS), total) + tf.cast(
        total == 0.0, tf.float32
    )
