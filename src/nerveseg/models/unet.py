"""The U-Net (Ronneberger et al. 2015) as nerveseg trains it, and the network of any encoder that params names.

A network takes grey levels, float32 (N, H, W, 1) 0..255, and gives logits of nerve, float32 (N, H, W, 1). The
normalisation with the statistics of train is its first layer, so that no caller can forget it. Against the paper:
same-size convolutions, batch normalisation after each, and transposed convolutions replaced by nearest up-sampling.
"""

import tensorflow as tf

from nerveseg.models.backbones import backbone_logits
from nerveseg.params import PLAIN, UNetParams

layers = tf.keras.layers
PRIOR_LOGIT = -3.0  # about 5 % of the pixels: training need not begin by learning that most are no nerve


def build_unet(
    params: UNetParams, height: int, width: int, mean: float, deviation: float, *, pretrained: bool = True
) -> tf.keras.Model:
    """The segmentation network of `params`, with fresh weights.

    Args:
        params: `encoder` is `plain` or an encoder of segmentation_models.
        height: of the input in pixels, a multiple of 2 ** depth (plain) or of 32.
        width: likewise.
        mean: of the grey levels of train.
        deviation: standard deviation of the grey levels of train.
        pretrained: fetch the weights that `encoder_weights` names; False where trained ones are loaded next.

    Raises:
        ModelError: the pretrained weights of the encoder cannot be had.
    """
    frames = tf.keras.Input((height, width, 1), name="frames")
    normalised = layers.Rescaling(1.0 / deviation, -mean / deviation, name="normalise")(frames)
    if params.encoder == PLAIN:
        features = contract_and_expand(normalised, params.base_filters, params.depth)
        logits = layers.Conv2D(1, 1, bias_initializer=tf.keras.initializers.Constant(PRIOR_LOGIT), name="logits")(
            features
        )
    else:
        logits = backbone_logits(normalised, params.encoder, params.encoder_weights, pretrained=pretrained)
    return tf.keras.Model(frames, logits, name=f"unet_{params.encoder}")


def contract_and_expand(inputs: tf.Tensor, base_filters: int, depth: int) -> tf.Tensor:
    """Features of `base_filters` channels at the size of the inputs: contract `depth` times, expand with skips."""
    skips = []
    features = inputs
    for level in range(depth):
        features = _twice(features, base_filters * 2**level)
        skips.append(features)
        features = layers.MaxPooling2D()(features)
    features = _twice(features, base_filters * 2**depth)
    for level in reversed(range(depth)):
        features = layers.UpSampling2D(interpolation="nearest")(features)
        features = layers.Concatenate()([skips[level], features])
        features = _twice(features, base_filters * 2**level)
    return features


def _twice(features: tf.Tensor, filters: int) -> tf.Tensor:
    for _ in range(2):
        features = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(features)
        features = layers.BatchNormalization(momentum=0.95)(features)
        features = layers.ReLU()(features)
    return features
