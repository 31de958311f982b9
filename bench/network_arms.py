"""The arms of `bench/network_study.py`: what each changes against `params.yaml`.

Losses, blocks and beginnings that were tried and are not part of the pipeline stand here, so that the figures in
`bench/README.md` can be made again. A loss takes truth and logits, float32 (N, H, W, 1), and stands in for the soft Dice
loss, or for the cross-entropy, as its arm says.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from unittest import mock

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nerveseg.params.networks import UNetParams
from nerveseg.unet import network
from nerveseg.unet.losses import binary_cross_entropy, soft_dice_loss

PIXELS = (1, 2, 3)
_PLAIN, _WHOLE = network._twice, network._plain  # noqa: SLF001 - what arms replace is no interface of the pipeline
layers = tf.keras.layers
Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Arm:
    """Values that replace those of params, and what params cannot say.

    Attributes:
        params: by dotted name, for example `network.depth`.
        region: the loss beside the cross-entropy.
        pixel: the loss beside that of the region.
        balance: each subject, or the frames with a nerve and those without, make up the same share of the batches,
            whatever their number.
        on_the_fly: a new variant of each frame in each epoch, made while training, instead of cached rounds.
        block: two convolutions of the plain U-Net: `plain`, `residual` or `inverted`.
        mixed: frames are averaged with another of their batch, and their masks with its, by a weight that is drawn from
            Beta(0.4, 0.4) (Zhang et al. 2018, "mixup").
        filtered: half of the frames are convolved with a random kernel of 3x3 pixels, brought back to their mean and
            deviation (Xu et al. 2021, "RandConv").
        elastic: pixels, the standard deviation of the shifts of 4 by 5 points of the frame, between which frame and mask
            are bent smoothly, after all other geometry; 0: none (Simard et al. 2003).
        holes: in half of the frames a rectangle of a quarter to a half of height and width is grey (DeVries and Taylor 2017,
            "Cutout").
        corrected: from a fifth of the steps on, this share of the masks is what the average of the weights says of the
            frames (the average of 25 steps before at most), which has learnt less by heart than the network has (after
            Liu et al. 2020, "Early-learning regularization").
        levels: what is made of the grey levels, (N, H, W, 1) 0..255, before the network sees them, in training and after.
        coordinates: the network sees row and column of each pixel, -1..1, as well (Liu et al. 2018, "CoordConv").
        sharpness: length of the step uphill from which the gradient is taken; 0: none (Foret et al. 2021, "Sharpness-aware
            minimization").
        start: `random`, `phantom` (the folder that the command names), or `denoising` (a third of the minutes goes to
            restoring frames with patches taken out).
        schedule: of the learning rate after its warm-up: `constant`, or `cosine` or `linear` to zero.
        repetition: 1 for an arm that differs from another in its random numbers alone.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    region: Loss = soft_dice_loss
    pixel: Loss = binary_cross_entropy
    balance: Literal["", "subject", "presence"] = ""
    on_the_fly: bool = False
    block: str = "plain"
    mixed: bool = False
    filtered: bool = False
    elastic: float = 0.0
    holes: bool = False
    corrected: float = 0.0
    levels: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None
    coordinates: bool = False
    sharpness: float = 0.0
    start: str = "random"
    schedule: str = "constant"
    repetition: int = 0


def tversky_loss(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Salehi et al. 2017 with 0.3 for pixels wrongly called nerve and 0.7 for missed ones, frame by frame."""
    probability = tf.sigmoid(logits)
    found = tf.reduce_sum(truth * probability, PIXELS)
    wrong, missed = tf.reduce_sum((1 - truth) * probability, PIXELS), tf.reduce_sum(truth * (1 - probability), PIXELS)
    return tf.reduce_mean(1.0 - (found + 1.0) / (found + 0.3 * wrong + 0.7 * missed + 1.0))


def lovasz_loss(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The Lovasz hinge of IoU, frame by frame (Berman et al. 2018)."""
    pixels = tf.size(truth[0])
    hard = tf.reshape(tf.cast(truth > 0.5, tf.float32), (-1, pixels))
    errors = 1.0 - tf.reshape(logits, (-1, pixels)) * (2.0 * hard - 1.0)
    largest, order = tf.math.top_k(errors, pixels)
    labels = tf.gather(hard, order, batch_dims=1)
    total = tf.reduce_sum(labels, 1, keepdims=True)
    jaccard = 1.0 - (total - tf.cumsum(labels, 1)) / (total + tf.cumsum(1.0 - labels, 1))
    steps = tf.concat([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], 1)
    return tf.reduce_mean(tf.reduce_sum(tf.nn.relu(largest) * tf.stop_gradient(steps), 1))


def boundary_loss(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Soft Dice and 0.01 of the probability weighted by the signed distance to the outline in pixels (Kervadec 2019)."""

    def distances(masks: Any) -> Any:
        inside = [(mask[..., 0] > 0.5).astype(np.uint8) for mask in masks]
        outer = [
            cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5) - cv2.distanceTransform(mask, cv2.DIST_L2, 5)
            for mask in inside
        ]
        shown = np.array([mask.any() for mask in inside])
        return (np.stack(outer) * shown[:, None, None]).astype(np.float32)[..., np.newaxis]

    signed = tf.ensure_shape(tf.numpy_function(distances, [truth], tf.float32), truth.shape)
    return soft_dice_loss(truth, logits) + 0.01 * tf.reduce_mean(tf.sigmoid(logits) * signed)


def focal_loss(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Lin et al. 2017 with exponent 2, times 4, so that it starts at about the size of the cross-entropy."""
    wrong = tf.abs(truth - tf.sigmoid(logits))
    return 4.0 * tf.reduce_mean(wrong**2 * tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=logits))


def positive_weighted(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Cross-entropy in which a pixel of nerve counts five times."""
    return tf.reduce_mean(tf.nn.weighted_cross_entropy_with_logits(truth, logits, 5.0))


def smoothed(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Cross-entropy against labels drawn a twentieth towards the middle."""
    return binary_cross_entropy(0.05 + 0.9 * truth, logits)


def no_loss(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:  # noqa: ARG001 - stands in for a loss
    """Nothing, where the other loss is to be alone."""
    return tf.constant(0.0)


def _residual(features: tf.Tensor, filters: int) -> tf.Tensor:
    shortcut = features if features.shape[-1] == filters else layers.Conv2D(filters, 1, use_bias=False)(features)
    inner = network._convolution(features, filters, 3)  # noqa: SLF001 - as above
    inner = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(inner)
    inner = layers.BatchNormalization(momentum=0.95)(inner)
    return layers.ReLU()(layers.Add()([shortcut, inner]))


def _inverted(features: tf.Tensor, filters: int) -> tf.Tensor:
    """Sandler et al. 2018: expand four times, 3x3 for each channel, back; twice, the second with a shortcut."""
    for _ in range(2):
        inner = network._convolution(features, 4 * filters, 1)  # noqa: SLF001 - as above
        inner = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(inner)
        inner = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(inner))
        inner = layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="he_normal")(inner)
        inner = layers.BatchNormalization(momentum=0.95)(inner)
        features = layers.Add()([features, inner]) if features.shape[-1] == filters else inner
    return features


@contextmanager
def blocks_of(arm: Arm) -> Iterator[None]:
    """Networks built inside are made of the arm's blocks, and see what the arm lets them see."""
    chosen = {"plain": _PLAIN, "residual": _residual, "inverted": _inverted}[arm.block]
    seen = _with_coordinates if arm.coordinates else _WHOLE
    with mock.patch.object(network, "_twice", chosen), mock.patch.object(network, "_plain", seen):
        yield


def _with_coordinates(normalised: tf.Tensor, params: UNetParams) -> tuple[tf.Tensor, tf.Tensor]:
    height, width = normalised.shape[1:3]
    places = np.stack(np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height)), -1).astype(np.float32)
    maps = tf.zeros_like(tf.repeat(normalised, 2, -1)) + tf.cast(places, normalised.dtype)
    return _WHOLE(tf.concat([normalised, maps], -1), params)


def standardised(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each frame with one mean and one deviation."""
    mean, deviation = (measure(frames, axis=(1, 2, 3), keepdims=True) for measure in (np.mean, np.std))
    return (100.0 + 55.0 * (frames - mean) / np.maximum(deviation, 1.0)).astype(np.float32)


def equalised(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Contrast-limited adaptive histogram equalisation of each frame (Zuiderveld 1994), 8 by 6 fields."""
    equaliser = cv2.createCLAHE(2.0, (8, 6))
    return np.stack([equaliser.apply(frame.astype(np.uint8)) for frame in frames[..., 0]])[..., np.newaxis].astype(
        np.float32
    )


def _encoder(name: str) -> Arm:
    return Arm({"unet.encoder": name, "lr": 1e-3})


STRONGER = {"augment.rotation": 20.0, "augment.scale": 0.25, "augment.shift": 0.12, "augment.gamma": 0.5}
WEAKER = {"augment.rotation": 8.0, "augment.scale": 0.1, "augment.shift": 0.05}
INTENSITY = {
    "augment.gain": 0.4, "augment.gamma": 0.6, "augment.speckle": 5.0, "augment.shadow": 0.4, "augment.blur": 0.4,
}  # fmt: skip
ARMS = {
    "params": Arm(),
    "params 2": Arm(repetition=1),
    "tversky": Arm(region=tversky_loss),
    "lovasz": Arm(region=lovasz_loss),
    "boundary": Arm(region=boundary_loss),
    "focal": Arm(pixel=focal_loss),
    "positive": Arm(pixel=positive_weighted),
    "smoothed": Arm(pixel=smoothed),
    "by subject": Arm(balance="subject"),
    "by presence": Arm(balance="presence"),
    "on the fly": Arm(on_the_fly=True),
    "on the fly 2": Arm(on_the_fly=True, repetition=1),
    "on the fly 3": Arm(on_the_fly=True, repetition=2),
    "on the fly 4": Arm(on_the_fly=True, repetition=3),
    "stronger": Arm(STRONGER, on_the_fly=True),
    "weaker": Arm(WEAKER, on_the_fly=True),
    "intensity": Arm(INTENSITY, on_the_fly=True),
    "cosine on the fly": Arm(schedule="cosine", on_the_fly=True),
    "focal on the fly": Arm(pixel=focal_loss, on_the_fly=True),
    "no average": Arm({"unet.ema_decay": 0.0}),
    "slow average": Arm({"unet.ema_decay": 0.997}, on_the_fly=True),
    "mixed": Arm(mixed=True, on_the_fly=True),
    "filtered": Arm(filtered=True, on_the_fly=True),
    "elastic": Arm(elastic=3.0, on_the_fly=True),
    "holes": Arm(holes=True, on_the_fly=True),
    "standardised": Arm(levels=standardised, on_the_fly=True),
    "equalised": Arm(levels=equalised, on_the_fly=True),
    "coordinates": Arm(coordinates=True, on_the_fly=True),
    "sharpness": Arm(sharpness=0.05, on_the_fly=True),
    "small": Arm({"unet.base_filters": 16, "unet.max_filters": 128}, on_the_fly=True),
    "cross-entropy on the fly": Arm(region=no_loss, on_the_fly=True),
    "corrected": Arm(corrected=0.5, on_the_fly=True),
    "decay 0.1": Arm({"unet.weight_decay": 0.1}, on_the_fly=True),
    "batch 32 on the fly": Arm({"unet.batch_size": 32, "unet.ghost_batches": 2}, on_the_fly=True),
    "residual": Arm(block="residual"),
    "inverted": Arm(block="inverted"),
    "phantom on the fly": Arm(start="phantom", on_the_fly=True),
    "denoising": Arm(start="denoising"),
    "linear": Arm(schedule="linear"),
    "cosine": Arm(schedule="cosine"),
    "lr 6e-3": Arm({"lr": 6e-3}),
    "batch 32": Arm({"unet.batch_size": 32, "lr": 6e-3}),
    "wide": Arm({"unet.base_filters": 48, "unet.max_filters": 384}),
    "wide on the fly": Arm({"unet.base_filters": 48, "unet.max_filters": 384}, on_the_fly=True),
    "narrow": Arm({"unet.base_filters": 24, "unet.max_filters": 192}),
    "large on the fly": Arm({"preprocess.width": 224, "preprocess.height": 160}, on_the_fly=True),
    "resnet18": _encoder("resnet18"),
    "resnet34": _encoder("resnet34"),
    "mobilenetv2": _encoder("mobilenetv2"),
    "efficientnetb0": _encoder("efficientnetb0"),
}
