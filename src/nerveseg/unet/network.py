"""The U-Net (Ronneberger et al. 2015), plain or with another encoder.

A network takes grey levels, float32 (N, H, W, 1) 0..255, and has two outputs by name:

    logits      float32 (N, H, W, 1), of nerve in each pixel
    presence    float32 (N, 1), the logit of there being a nerve in the frame at all

Its first layer normalises with the statistics of train, so that no caller can forget it. What differs from the paper:
convolutions keep the size and are followed by batch normalisation; nearest up-sampling replaces transposed convolutions; the
stem is a strided convolution, and the last layer lays channels out as squares of pixels (Shi et al. 2016, "sub-pixel
convolution"), so that the widest maps take a fraction of the time; presence is a head on the mean of the deepest features.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import tensorflow as tf

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.params.networks import LITE, PLAIN, UNetParams
from nerveseg.unet.deterministic_layers import BatchNormalization, UpSampling2D
from nerveseg.unet.efficientnet_lite import encode, rescaled
from nerveseg.unet.encoders import backbone_outputs

layers = tf.keras.layers
PRIOR_LOGIT = -3.0  # about 5 %, so that training need not begin by learning that most pixels are not nerve
LOGITS, PRESENCE = "logits", "presence"
Builder = Callable[..., tuple[tf.Tensor, tf.Tensor]]  # from normalised frames, parameters, and whether to fetch weights


def build_unet(
    params: UNetParams, spec: InputSpec, *, pretrained: bool = True, policy: str = "float32"
) -> tf.keras.Model:
    """Return the segmentation network of `params` with initial weights.

    `pretrained` fetches the weights that `encoder_weights` names, or raises ModelError; it is False if trained ones are
    loaded next. Layers compute in the Keras policy `policy`, `float32` or `mixed_bfloat16`; weights and outputs are
    always float32.
    """
    with computing_in(policy):
        frames = tf.keras.Input((*spec.size, 1), name="frames")
        normalised = normalise(frames, spec)
        build: Builder = BUILDERS.get(params.encoder, backbone_outputs)
        logits, deepest = build(normalised, params, pretrained=pretrained)
        pooled = layers.GlobalAveragePooling2D(dtype="float32", name="deepest_mean")(deepest)
        presence = layers.Dense(1, dtype="float32", name=PRESENCE)(pooled)
        name = f"{params.architecture}_{params.encoder}"
        return tf.keras.Model(frames, {LOGITS: logits, PRESENCE: presence}, name=name)


def normalise(frames: tf.Tensor, spec: InputSpec) -> tf.Tensor:
    """Scale grey levels, (N, H, W, 1), to mean 0 and standard deviation 1 over train."""
    return rescaled(frames, 1.0 / spec.std, -spec.mean / spec.std, "normalise")


@contextmanager
def computing_in(policy: str) -> Iterator[None]:
    """Build the layers inside with this Keras policy."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def _plain(normalised: tf.Tensor, params: UNetParams, **_: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Return logits at the size of the input, and the deepest features."""
    features = normalised
    if params.stem > 1:
        features = _convolution(features, params.base_filters, 2 * params.stem - 1, params.stem)
    filters = [min(params.max_filters, params.base_filters * 2**level) for level in range(params.depth + 1)]
    features, deepest = contract_and_expand(features, filters)
    return _logits(features, params.stem), deepest


def _lite(normalised: tf.Tensor, params: UNetParams, *, pretrained: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Return logits at the size of the input, and the deepest features."""
    *skips, deepest = encode(normalised, params, pretrained=pretrained)
    filters = [min(params.max_filters, params.base_filters * 2**level) for level in range(len(skips))]
    return _logits(_expand(deepest, skips, filters), 2), deepest


def _logits(features: tf.Tensor, stride: int) -> tf.Tensor:
    prior = tf.keras.initializers.Constant(PRIOR_LOGIT)
    logits = layers.Conv2D(stride**2, 1, bias_initializer=prior, dtype="float32", name="logits")(features)
    return tf.nn.depth_to_space(logits, stride) if stride > 1 else logits


def contract_and_expand(inputs: tf.Tensor, filters: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Halve the size for each of `filters` but the last, and expand again; return both features, the deepest last."""
    skips = []
    features = inputs
    for width in filters[:-1]:
        features = _twice(features, width)
        skips.append(features)
        features = layers.MaxPooling2D()(features)
    deepest = _twice(features, filters[-1])
    return _expand(deepest, skips, filters[:-1]), deepest


def _expand(features: tf.Tensor, skips: Sequence[tf.Tensor], filters: Sequence[int]) -> tf.Tensor:
    """Double the size for each of `skips`, the last first, and join it; each level has so many of `filters`."""
    for width, skip in reversed(list(zip(filters, skips, strict=True))):
        features = UpSampling2D()(features)
        features = layers.Concatenate()([skip, features])
        features = _twice(features, width)
    return features


def _twice(features: tf.Tensor, filters: int) -> tf.Tensor:
    return _convolution(_convolution(features, filters, 3), filters, 3)


def _convolution(features: tf.Tensor, filters: int, size: int, strides: int = 1) -> tf.Tensor:
    features = layers.Conv2D(
        filters, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(features)  # fmt: skip
    features = BatchNormalization(momentum=0.95)(features)
    return layers.ReLU()(features)


BUILDERS: dict[str, Builder] = {
    PLAIN: _plain,
    **dict.fromkeys(LITE, _lite),
}  # of the encoders of `params.networks.OURS`
