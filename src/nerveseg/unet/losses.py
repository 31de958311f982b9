"""Losses and scores of a batch.

`truth` is float32 (N, H, W, 1), the share of each pixel that is nerve, 0..1; `logits` has the same shape. A frame shows the
nerve if a pixel of its truth is more than half nerve.
"""

import tensorflow as tf

from nerveseg.params.networks import UNetParams

PIXELS = (1, 2, 3)
TYPICAL_AREA = 0.03  # of a nerve, as a share of the frame: 2.9 % in the challenge of 2016


def soft_dice_loss(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return 1 - Dice of the probabilities (Milletari et al. 2016, "V-Net"), averaged over the frames, a scalar 0..1.

    In a frame without a nerve, Dice is 0 as long as any probability is left: its loss would stay near 1 and drown the others.
    The loss of such a frame is P / (P + A) instead, where P is the sum of its probabilities and A the mean area of the
    nerves in the batch (`TYPICAL_AREA` of the frame if there are none), so that a pixel wrongly called nerve costs about as
    much as in a frame that shows one. One pixel is added above and below so that small nerves do not divide by almost 0.
    """
    probability = tf.sigmoid(logits)
    overlap, area = tf.reduce_sum(truth * probability, PIXELS), tf.reduce_sum(truth, PIXELS)
    claimed, shown = tf.reduce_sum(probability, PIXELS), presence_of(truth)[:, 0]
    pixels = tf.cast(tf.size(truth[0]), tf.float32)
    frames = tf.reduce_sum(shown)
    typical = tf.where(frames > 0.0, tf.math.divide_no_nan(tf.reduce_sum(area * shown), frames), TYPICAL_AREA * pixels)
    with_nerve = 1.0 - (2.0 * overlap + 1.0) / (area + claimed + 1.0)
    without = claimed / (claimed + typical)
    return tf.reduce_mean(shown * with_nerve + (1.0 - shown) * without)


def binary_cross_entropy(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the mean cross-entropy over all values in nats, a scalar."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=logits))


def presence_of(truth: tf.Tensor) -> tf.Tensor:
    """Return 1 for each frame that shows the nerve, else 0: float32 (N, 1)."""
    return tf.cast(tf.reduce_max(truth, PIXELS) > 0.5, tf.float32)[:, tf.newaxis]


def segmentation_loss(params: UNetParams, truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the weighted sum of soft Dice loss and binary cross-entropy."""
    return params.dice_weight * soft_dice_loss(truth, logits) + params.bce_weight * binary_cross_entropy(truth, logits)


def presence_loss(params: UNetParams, truth: tf.Tensor, logit: tf.Tensor) -> tf.Tensor:
    """Return the weighted cross-entropy of presence; `logit` is float32 (N, 1)."""
    return params.presence_weight * binary_cross_entropy(presence_of(truth), logit)


def dice(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the Dice of each frame's mask at probability 0.5, (N,) 0..1; if both masks are empty it is 1."""
    annotated, predicted = tf.cast(truth > 0.5, tf.float32), tf.cast(logits > 0.0, tf.float32)
    overlap, total = tf.reduce_sum(annotated * predicted, PIXELS), tf.reduce_sum(annotated + predicted, PIXELS)
    return tf.math.divide_no_nan(2.0 * overlap, total) + tf.cast(total == 0.0, tf.float32)
