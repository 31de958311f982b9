"""The refiner: sees a frame and what the U-Net says of it, and corrects that.

It gives what the U-Net gives, `logits` and `presence`, each the U-Net's plus a residual. What makes the residuals starts
at zero: untrained it is the identity. It is a small U-Net at half the size of the frame, 0.49 million parameters with 16
first channels.
"""

import tensorflow as tf

from nerveseg.models.unet import LOGITS, PRESENCE, computing_in, contract_and_expand

layers = tf.keras.layers
DEPTH = 3
STRIDE = 2
SIZE_MULTIPLE = STRIDE * 2**DEPTH
LOGIT_LIMIT = 8.0  # of what the refiner sees: the U-Net is over-confident


def build_refiner(
    base_filters: int, height: int, width: int, mean: float, deviation: float, policy: str = "float32"
) -> tf.keras.Model:
    """A refiner with fresh weights.

    Args:
        base_filters: channels of the first level, doubled at each of the three below it.
        height: of the frames in pixels, a multiple of `SIZE_MULTIPLE`.
        width: likewise.
        mean: of the grey levels of train.
        deviation: standard deviation of the grey levels of train.
        policy: of Keras, in which the layers compute; weights and outputs are float32 in any.

    Returns:
        A network of [grey levels (N, H, W, 1) 0..255, the U-Net's logits (N, H, W, 1) and its presence (N, 1)], which gives
        `logits` and `presence` of the same shapes.
    """
    with computing_in(policy):
        frames = tf.keras.Input((height, width, 1), name="frames")
        logits = tf.keras.Input((height, width, 1), name="unet_logits")
        presence = tf.keras.Input((1,), name="unet_presence")
        normalised = layers.Rescaling(1.0 / deviation, -mean / deviation, name="normalise")(frames)
        bounded = tf.clip_by_value(logits, -LOGIT_LIMIT, LOGIT_LIMIT)
        seen = layers.Concatenate()([normalised, tf.sigmoid(bounded), bounded / LOGIT_LIMIT])
        stem = layers.Conv2D(base_filters, 3, STRIDE, padding="same", use_bias=False, name="stem")(seen)
        stem = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(stem))
        features, deepest = contract_and_expand(stem, [base_filters * 2**level for level in range(DEPTH + 1)])
        residual = layers.Conv2D(STRIDE**2, 1, kernel_initializer="zeros", dtype="float32", name="residual")(features)
        pooled = layers.GlobalAveragePooling2D(dtype="float32")(deepest)
        presence_residual = layers.Dense(1, kernel_initializer="zeros", dtype="float32", name="presence_residual")
        refined = {
            LOGITS: logits + tf.nn.depth_to_space(residual, STRIDE),
            PRESENCE: presence + presence_residual(pooled),
        }
        return tf.keras.Model([frames, logits, presence], refined, name="refiner")
