"""The refiner: takes a frame and the U-Net's prediction of it, and corrects the prediction if the frame is poor.

It holds a copy of the U-Net, with its weights. Only the outer levels of the copy learn, whose maps have at least a quarter of
the frame's height; the deeper ones keep their knowledge of anatomy, which a poor frame does not change. Before the copy, a few
convolutions correct the frame, given the frame and the U-Net's map. A separate branch classifies the frame as poor or not:

    logits = U-Net's + share * (copy's - U-Net's),    share = P(poor), or 0 if that is below one half

and presence likewise, so that the U-Net's prediction of a good frame is unchanged, bit for bit. Before training, the refiner
is the identity. With the default U-Net of 3.8 million parameters, 0.08 million learn, and only these are saved.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.errors import ModelError
from nerveseg.files.array_archive import write_arrays
from nerveseg.inference.postprocessing import LEAST_POOR
from nerveseg.params.networks import UNetParams
from nerveseg.unet.network import LOGITS, PRESENCE, build_unet, computing_in, normalise

layers = tf.keras.layers
POOR = "poor"
STRIDE = 2  # of the convolutions that correct the frame
OUTER = 4  # a layer of the copy learns if its maps have at least the frame's height divided by this
COPY = "copy_of_unet"
LOGIT_LIMIT = 8.0  # the refiner's input is clipped to this: the U-Net is over-confident


def build_refiner(unet: UNetParams, base_filters: int, spec: InputSpec, policy: str = "float32") -> tf.keras.Model:
    """Return a refiner whose copy of the U-Net has random weights: `start_from` sets those of a trained one.

    It maps [grey levels (N, H, W, 1) 0..255, the U-Net's logits (N, H, W, 1) and its presence (N, 1)] to `logits` and
    `presence` of the same shapes, and `poor`, the logit of the frame being degraded, (N, 1). `base_filters` are the channels
    of the convolutions that correct and classify the frame. Height and width must be multiples of `STRIDE`. Layers compute in
    the Keras policy `policy`; weights and outputs are always float32.
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
    """Set the weights of the refiner's copy to those of this U-Net, and return the refiner."""
    refiner.get_layer(COPY).set_weights(unet.get_weights())
    return refiner


def learnt(refiner: tf.keras.Model) -> list[tf.Variable]:
    """Return the variables that training changes, in a fixed order: all but those of the copy's deeper levels."""
    return [variable for layer in _leaves(refiner) if layer.trainable for variable in layer.weights]


def save_learnt(refiner: tf.keras.Model, path: Path) -> None:
    write_arrays(path, {f"{index}": variable.numpy() for index, variable in enumerate(learnt(refiner))})


def load_learnt(refiner: tf.keras.Model, path: Path) -> None:
    """Read what `save_learnt` wrote into a refiner of one shape and U-Net; ModelError if the file does not fit."""
    try:
        with np.load(path) as saved:
            for variable, value in zip(learnt(refiner), saved.values(), strict=True):
                variable.assign(value)
    except Exception as error:  # noqa: BLE001 - NumPy and TensorFlow raise many kinds for a file of something else
        raise ModelError(f"{path}: weights cannot be loaded ({error}); train again with `dvc repro`") from None


def _correction(normalised: tf.Tensor, logits: tf.Tensor, base_filters: int) -> tf.Tensor:
    """Return what to add to the normalised frame, (N, H, W, 1); initially zero."""
    bounded = tf.clip_by_value(logits, -LOGIT_LIMIT, LOGIT_LIMIT)
    features = layers.Concatenate()([normalised, tf.sigmoid(bounded), bounded / LOGIT_LIMIT])
    for strides in (STRIDE, 1, 1):
        features = layers.Conv2D(base_filters, 3, strides, padding="same", use_bias=False)(features)
        features = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(features))
    correction = layers.Conv2D(STRIDE**2, 1, kernel_initializer="zeros", dtype="float32", name="correction")(features)
    return tf.nn.depth_to_space(correction, STRIDE)


def _poor(normalised: tf.Tensor, base_filters: int) -> tf.Tensor:
    """Return the logit of the frame being degraded, (N, 1), from mean and maximum of features of its finest structure."""
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
    """Yield all layers of a network, and instead of a layer that is a network, its layers."""
    for layer in network.layers:
        if isinstance(layer, tf.keras.Model):
            yield from _leaves(layer)
        else:
            yield layer


def _learns(layer: tf.keras.layers.Layer, height: int) -> bool:
    """Return whether a layer of the copy learns, by the height of its maps and the frame's."""
    maps = layer.output
    return not isinstance(maps, list) and len(maps.shape) == 4 and OUTER * (maps.shape[1] or 0) >= height
