"""The refiner: sees a frame and what the U-Net says of it, and corrects that where the frame is poor.

It holds a copy of the U-Net that begins with its weights. In the copy the outer levels learn, whose maps have at least a
quarter of the frame's height; what is deeper stays as it was, knowledge of anatomy that a poor frame does not change.
Before the copy a few convolutions correct the frame by what they see of it and of the U-Net's map. A branch of its own says
whether the frame is poor, and what comes out is

    logits = U-Net's + share * (copy's - U-Net's),    share = P(poor), or 0 where that is below one half

and presence likewise, so that a frame which seems good is left to the U-Net to the bit, and the residual is zero until
something was learnt.
With the default U-Net, of 4.9 million parameters, 0.27 million learn, and these alone are saved.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.errors import ModelError
from nerveseg.inference.postprocessing import LEAST_POOR
from nerveseg.params.networks import UNetParams
from nerveseg.unet.network import LOGITS, PRESENCE, build_unet, computing_in, normalise

layers = tf.keras.layers
POOR = "poor"
STRIDE = 2  # of what corrects the frame
OUTER = 4  # times the height of a map that learns is at least that of the frame
COPY = "copy_of_unet"
LOGIT_LIMIT = 8.0  # of what the refiner sees: the U-Net is over-confident


def build_refiner(unet: UNetParams, base_filters: int, spec: InputSpec, policy: str = "float32") -> tf.keras.Model:
    """A refiner whose copy of the U-Net has fresh weights: `start_from` gives it those of a trained one.

    Args:
        unet: of the U-Net that it refines.
        base_filters: channels of the convolutions that correct the frame and of those that judge it.
        spec: of the frames; height and width are multiples of `STRIDE`.
        policy: of Keras, in which the layers compute; weights and outputs are float32 in any.

    Returns:
        A network of [grey levels (N, H, W, 1) 0..255, the U-Net's logits (N, H, W, 1) and its presence (N, 1)], which gives
        `logits` and `presence` of the same shapes, and `poor`, the logit of the frame being a degraded one, (N, 1).
    """
    with computing_in(policy):
        frames = tf.keras.Input((*spec.size, 1), name="frames")
        logits = tf.keras.Input((*spec.size, 1), name="unet_logits")
        presence = tf.keras.Input((1,), name="unet_presence")
        normalised = normalise(frames, spec)
        correction = _correction(normalised, logits, base_filters)
        poor = _poor(normalised, base_filters)
        copy = build_unet(unet, spec, pretrained=False, policy=policy)
        for layer in _leaves(copy):
            layer.trainable = _learns(layer, spec.height)
        copy = tf.keras.Model(copy.input, copy.output, name=COPY)
        again = copy(frames + spec.std * correction)
        certain = tf.stop_gradient(tf.sigmoid(poor))  # it learns from which frames were degraded, not from the masks
        share = tf.where(certain < LEAST_POOR, 0.0, certain)
        refined = {
            LOGITS: logits + share[:, :, tf.newaxis, tf.newaxis] * (again[LOGITS] - logits),
            PRESENCE: presence + share * (again[PRESENCE] - presence),
            POOR: poor,
        }
        return tf.keras.Model([frames, logits, presence], refined, name="refiner")


def start_from(refiner: tf.keras.Model, unet: tf.keras.Model) -> tf.keras.Model:
    """The refiner with the weights of this U-Net in its copy: fresh but for that, it is the identity."""
    refiner.get_layer(COPY).set_weights(unet.get_weights())
    return refiner


def learnt(refiner: tf.keras.Model) -> list[tf.Variable]:
    """What training changes, in a fixed order: all but the deeper levels of the copy."""
    return [variable for layer in _leaves(refiner) if layer.trainable for variable in layer.weights]


def save_learnt(refiner: tf.keras.Model, path: Path) -> None:
    np.savez(path, *(variable.numpy() for variable in learnt(refiner)))


def load_learnt(refiner: tf.keras.Model, path: Path) -> None:
    """Read what `save_learnt` wrote into a refiner of the same shape, whose copy has the weights of the same U-Net.

    Raises:
        ModelError: the file is missing, damaged, or of another refiner.
    """
    try:
        with np.load(path) as saved:
            for variable, value in zip(learnt(refiner), saved.values(), strict=True):
                variable.assign(value)
    except Exception as error:  # noqa: BLE001 - NumPy and TensorFlow raise many kinds for a file of something else
        raise ModelError(f"{path}: weights cannot be loaded ({error}); train again with `dvc repro`") from None


def _correction(normalised: tf.Tensor, logits: tf.Tensor, base_filters: int) -> tf.Tensor:
    """What to add to the normalised frame, (N, H, W, 1); zero at first."""
    bounded = tf.clip_by_value(logits, -LOGIT_LIMIT, LOGIT_LIMIT)
    features = layers.Concatenate()([normalised, tf.sigmoid(bounded), bounded / LOGIT_LIMIT])
    for strides in (STRIDE, 1, 1):
        features = layers.Conv2D(base_filters, 3, strides, padding="same", use_bias=False)(features)
        features = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(features))
    correction = layers.Conv2D(STRIDE**2, 1, kernel_initializer="zeros", dtype="float32", name="correction")(features)
    return tf.nn.depth_to_space(correction, STRIDE)


def _poor(normalised: tf.Tensor, base_filters: int) -> tf.Tensor:
    """The logit of the frame being a degraded one, (N, 1), from its finest structure: mean and greatest features."""
    features = normalised
    for level, strides in enumerate((1, 2, 2)):
        features = layers.Conv2D(
            base_filters * 2**level // 2, 3, strides, padding="same", activation="relu", name=f"judge_{level}"
        )(features)
    pooled = [pool(dtype="float32")(features) for pool in (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)]
    both = layers.Concatenate(dtype="float32")(pooled)
    hidden = layers.Dense(2 * base_filters, activation="relu", dtype="float32", name="judge")(both)
    return layers.Dense(1, dtype="float32", name=POOR)(hidden)


def _leaves(network: tf.keras.Model) -> Iterator[tf.keras.layers.Layer]:
    """All layers of a network but those that are networks themselves, whose layers come instead."""
    for layer in network.layers:
        if isinstance(layer, tf.keras.Model):
            yield from _leaves(layer)
        else:
            yield layer


def _learns(layer: tf.keras.layers.Layer, height: int) -> bool:
    """Whether a layer of the copy learns, by the height of its maps, that of the frame given."""
    maps = layer.output
    return not isinstance(maps, list) and len(maps.shape) == 4 and OUTER * (maps.shape[1] or 0) >= height
