"""Encoders of `segmentation_models` (resnet34, efficientnetb0, ...) under one of its decoders, for grey frames."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nerveseg.errors import ModelError
from nerveseg.params.networks import UNetParams
from nerveseg.unet.deterministic_layers import deterministic

layers = tf.keras.layers


def backbone_outputs(normalised: tf.Tensor, params: UNetParams, *, pretrained: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Return logits of nerve, float32 (N, H, W, 1), and the deepest features, from normalised frames of that shape.

    The encoder sees the frame as three equal channels; for weights of ImageNet they are in the range that these were
    trained on (the encoder's own `preprocess_input` of levels 0..255). If `pretrained` is False, no weights are
    fetched. Raise ModelError if the weights are not on disk and cannot be downloaded.
    """
    import segmentation_models

    decoder = {"unet": "Unet", "linknet": "Linknet", "fpn": "FPN", "pspnet": "PSPNet"}[params.architecture]
    encoder, (height, width) = params.encoder, normalised.shape[1:3]
    try:
        theirs = getattr(segmentation_models, decoder)(
            encoder, input_shape=(height, width, 3), classes=1, activation="linear",
            encoder_weights=params.encoder_weights if pretrained else None,
        )  # fmt: skip
    except Exception as error:
        if isinstance(error, OSError) or "URL fetch failure" in str(error):  # tf-keras's message of a failed download
            raise ModelError(
                f"unet.encoder_weights is imagenet, but the weights of {encoder} could not be downloaded ({error}); connect "
                "to the network once (they are kept in ~/.keras/models), or set unet.encoder_weights to null"
            ) from None
        raise
    network = deterministic(theirs)
    colours = layers.Concatenate(name="to_colours")([normalised] * 3)
    if params.encoder_weights == "imagenet":
        colours = _as_imagenet(segmentation_models.get_preprocessing(encoder))(colours)
    both = tf.keras.Model(network.input, [network.output, _deepest(network, height)], name=network.name)
    logits, deepest = both(colours)
    return layers.Activation("linear", dtype="float32", name="logits")(logits), deepest


def _deepest(network: tf.keras.Model, height: int) -> tf.Tensor:
    """Return the last features of the encoder's smallest size: its own, or the decoder's first. Even smaller ones weight
    channels, or belong to the pyramid of PSPNet, which cuts its encoder at an eighth of the input.
    """
    least = height // (8 if any(layer.name.startswith("psp_") for layer in network.layers) else 32)
    outputs = [layer.output for layer in network.layers if not isinstance(layer.output, list)]
    return [maps for maps in outputs if len(maps.shape) == 4 and maps.shape[1] == least and maps.shape[3] > 1][-1]


def _as_imagenet(preprocess: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> tf.keras.layers.Layer:
    """Return a layer from normalised grey levels, of mean 0 and standard deviation 1, to what the encoder expects.

    Levels of ImageNet have mean 118 and standard deviation 58, of 255. Every `preprocess_input` is an affine map per channel,
    which two points determine. As a layer it can be saved; their function cannot.
    """
    offset = preprocess(np.full((1, 1, 1, 3), 118.0, np.float32)).ravel()
    scale = preprocess(np.full((1, 1, 1, 3), 118.0 + 58.0, np.float32)).ravel() - offset
    return layers.Rescaling(scale.tolist(), offset.tolist(), name="as_imagenet")
