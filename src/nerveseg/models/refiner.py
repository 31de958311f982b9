"""The refiner: sees a frame and the U-Net's probability of nerve, and corrects the logit.

Its output is a residual on the U-Net's logit whose last convolution starts at zero: untrained it is the identity.
"""

import tensorflow as tf

from nerveseg.models.unet import contract_and_expand

layers = tf.keras.layers
DEPTH = 3
LOGIT_LIMIT = 8.0  # the U-Net is over-confident; beyond this a correction would find no gradient


def build_refiner(base_filters: int, height: int, width: int, mean: float, deviation: float) -> tf.keras.Model:
    """Grey levels (N, H, W, 1) 0..255 and the U-Net's logits (N, H, W, 1) -> refined logits (N, H, W, 1)."""
    frames = tf.keras.Input((height, width, 1), name="frames")
    logits = tf.keras.Input((height, width, 1), name="unet_logits")
    normalised = layers.Rescaling(1.0 / deviation, -mean / deviation, name="normalise")(frames)
    bounded = tf.clip_by_value(logits, -LOGIT_LIMIT, LOGIT_LIMIT)
    features, _ = contract_and_expand(
        layers.Concatenate()([normalised, tf.sigmoid(bounded)]), [base_filters * 2**level for level in range(DEPTH + 1)]
    )
    residual = layers.Conv2D(1, 1, kernel_initializer="zeros", name="residual")(features)
    return tf.keras.Model([frames, logits], bounded + residual, name="refiner")
