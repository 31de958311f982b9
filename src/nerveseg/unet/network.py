"""The U-Net (Ronneberger et al. 2015) as nerveseg trains it, and the network of any encoder that params names.

A network takes grey levels, float32 (N, H, W, 1) 0..255, and gives two things by name:

    logits      float32 (N, H, W, 1), of nerve in each pixel
    presence    float32 (N, 1), the logit of there being a nerve in the frame at all

The normalisation with the statistics of train is its first layer, so that no caller can forget it. Against the paper:
same-size convolutions, batch normalisation after each, transposed convolutions replaced by nearest up-sampling, a
strided convolution as the stem and its counterpart at the end, which lays channels out as a square of pixels (Shi et al.
2016, "sub-pixel convolution"), so that the widest maps cost a fraction of the time, and a head on the mean of the deepest
features for presence.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tensorflow as tf

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.params.networks import PLAIN, UNetParams
from nerveseg.unet.deterministic_layers import BatchNormalization, UpSampling2D
from nerveseg.unet.encoders import backbone_outputs

layers = tf.keras.layers
PRIOR_LOGIT = -3.0  # about 5 % of the pixels: training need not begin by learning that most are no nerve
LOGITS, PRESENCE = "logits", "presence"


def build_unet(
    params: UNetParams, spec: InputSpec, *, pretrained: bool = True, policy: str = "float32"
) -> tf.keras.Model:
    """The segmentation network of `params`, with fresh weights.

    Args:
        params: `encoder` is `plain` or an encoder of segmentation_models.
        spec: of the input; height and width are multiples of `params.size_multiple`.
        pretrained: fetch the weights that `encoder_weights` names; False where trained ones are loaded next.
        policy: of Keras, in which the layers compute: `float32` or `mixed_bfloat16`; weights and outputs are float32
            in either.

    Raises:
        ModelError: the pretrained weights of the encoder cannot be had.
    """
    with computing_in(policy):
        frames = tf.keras.Input((*spec.size, 1), name="frames")
        normalised = normalise(frames, spec)
        if params.encoder == PLAIN:
            logits, deepest = _plain(normalised, params)
        else:
            logits, deepest = backbone_outputs(normalised, params, pretrained=pretrained)
        pooled = layers.GlobalAveragePooling2D(dtype="float32", name="deepest_mean")(deepest)
        presence = layers.Dense(1, dtype="float32", name=PRESENCE)(pooled)
        name = f"{params.architecture}_{params.encoder}"
        return tf.keras.Model(frames, {LOGITS: logits, PRESENCE: presence}, name=name)


def normalise(frames: tf.Tensor, spec: InputSpec) -> tf.Tensor:
    """Grey levels with the mean 0 and the standard deviation 1 over train."""
    return layers.Rescaling(1.0 / spec.std, -spec.mean / spec.std, name="normalise")(frames)


@contextmanager
def computing_in(policy: str) -> Iterator[None]:
    """Layers built inside compute in this policy of Keras."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def _plain(normalised: tf.Tensor, params: UNetParams) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits at the size of the input, and the deepest features."""
    features = normalised
    if params.stem > 1:
        features = _convolution(features, params.base_filters, 2 * params.stem - 1, params.stem)
    filters = [min(params.max_filters, params.base_filters * 2**level) for level in range(params.depth + 1)]
    features, deepest = contract_and_expand(features, filters)
    prior = tf.keras.initializers.Constant(PRIOR_LOGIT)
    logits = layers.Conv2D(params.stem**2, 1, bias_initializer=prior, dtype="float32", name="logits")(features)
    return (tf.nn.depth_to_space(logits, params.stem) if params.stem > 1 else logits), deepest


def contract_and_expand(inputs: tf.Tensor, filters: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Contract, halving the size for each of `filters` but the last, and expand with skips: features of `filters[0]`
    channels at the size of the inputs, and the deepest features, of `filters[-1]`.
    """
    skips = []
    features = inputs
    for width in filters[:-1]:
        features = _twice(features, width)
        skips.append(features)
        features = layers.MaxPooling2D()(features)
    features = deepest = _twice(features, filters[-1])
    for width, skip in reversed(list(zip(filters[:-1], skips, strict=True))):
        features = UpSampling2D()(features)
        features = layers.Concatenate()([skip, features])
        features = _twice(features, width)
    return features, deepest


def _twice(features: tf.Tensor, filters: int) -> tf.Tensor:
    return _convolution(_convolution(features, filters, 3), filters, 3)


def _convolution(features: tf.Tensor, filters: int, size: int, strides: int = 1) -> tf.Tensor:
    features = layers.Conv2D(
        filters, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(features)  # fmt: skip
    features = BatchNormalization(momentum=0.95)(features)
    return layers.ReLU()(features)
