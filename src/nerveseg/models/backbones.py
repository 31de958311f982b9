"""Encoders of `segmentation_models` (resnet34, efficientnetb0, ...) under its U-Net decoder, for grey frames."""

from typing import Literal
from urllib.error import URLError

import tensorflow as tf

from nerveseg.errors import ModelError

layers = tf.keras.layers


def backbone_logits(
    normalised: tf.Tensor, encoder: str, weights: Literal["imagenet"] | None, *, pretrained: bool
) -> tf.Tensor:
    """Logits of nerve, (N, H, W, 1), from normalised grey frames (N, H, W, 1), H and W multiples of 32.

    The encoders see three channels: without pretrained weights the frame three times. With those of ImageNet the
    same, brought to the range that the encoder was trained on (its own `preprocess_input` over 0..255 levels).
    `pretrained` False builds the same network without fetching the weights.

    Raises:
        ModelError: the encoder's weights are not on disk and cannot be downloaded.
    """
    import segmentation_models

    height, width = normalised.shape[1:3]
    try:
        network = segmentation_models.Unet(
            encoder, input_shape=(height, width, 3), classes=1, activation="linear",
            encoder_weights=weights if pretrained else None,
        )  # fmt: skip
    except (URLError, OSError) as error:
        raise _no_weights(encoder, error) from None
    except Exception as error:
        if "URL fetch failure" in str(error):  # how tf-keras reports a download that failed
            raise _no_weights(encoder, error) from None
        raise
    colours = layers.Concatenate(name="to_colours")([normalised] * 3)
    if weights == "imagenet":
        # Normalised grey levels have mean 0 and deviation 1; ImageNet's have about 118 and 58 of 255.
        colours = segmentation_models.get_preprocessing(encoder)(colours * 58.0 + 118.0)
    return network(colours)


def _no_weights(encoder: str, error: Exception) -> ModelError:
    return ModelError(
        f"unet.encoder_weights is imagenet, but the weights of {encoder} could not be downloaded ({error}); connect to "
        "the network once (they are kept in ~/.keras/models), or set unet.encoder_weights to null"
    )
