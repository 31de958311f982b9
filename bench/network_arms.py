"""The arms of `bench/network_study.py`: what each of them changes in `params.yaml`.

Losses, blocks and pre-trainings that were tried but are not part of the pipeline are defined here, so that the figures in
`bench/README.md` can be reproduced. A loss takes truth and logits, float32 (N, H, W, 1), and replaces the soft Dice loss or the
cross-entropy, as its arm says.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from unittest import mock

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nerveseg.params.networks import PLAIN, UNetParams
from nerveseg.unet import efficientnet_lite, network
from nerveseg.unet.deterministic_layers import UpSampling2D
from nerveseg.unet.losses import binary_cross_entropy, soft_dice_loss

PIXELS = (1, 2, 3)
_PLAIN, _WHOLE, _EXPAND = network._twice, network._plain, network.contract_and_expand  # noqa: SLF001 - arms replace internals of the pipeline
_BLOCK = efficientnet_lite._block  # noqa: SLF001 - as above
layers = tf.keras.layers
Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Arm:
    """Values that replace those of params, and changes that params cannot express.

    Attributes:
        params: by dotted name, for example `unet.depth`, laid over those of `BEFORE`.
        default: lay them over `params.yaml` as it is instead.
        region: the loss that is added to the cross-entropy.
        pixel: the loss that is added to that of the region.
        balance: each subject, or frames with and without a nerve, get the same share of the batches, whatever their
            number.
        on_the_fly: make a new variant of each frame in each epoch, instead of using cached rounds.
        block: what replaces the two convolutions of a level of the plain U-Net: `plain`, `residual` or `inverted`.
        halved: halve the channels by a 1x1 convolution before each up-sampling.
        mixed: average each frame, and its mask, with another one of the batch, with a weight drawn from
            Beta(0.4, 0.4) (Zhang et al. 2018, "mixup").
        filtered: convolve half of the frames with a random kernel of 3x3 pixels, and restore their mean and standard
            deviation (Xu et al. 2021, "RandConv").
        elastic: standard deviation, in pixels, of the shifts of 4 by 5 points of the frame. Frame and mask are deformed
            smoothly between them, after all other geometry; 0: none (Simard et al. 2003).
        holes: make a rectangle of a quarter to a half of height and width grey, in half of the frames (DeVries and Taylor 2017,
            "Cutout").
        corrected: from a fifth of the steps on, replace this share of the masks by the prediction of the averaged weights
            (at most 25 steps old), which have memorised less than the network itself (after
            Liu et al. 2020, "Early-learning regularization").
        levels: a function of the grey levels, (N, H, W, 1) 0..255, that is applied before the network, in training and after.
        coordinates: also give the network row and column of each pixel, -1..1 (Liu et al. 2018, "CoordConv").
        sharpness: length of the step uphill at whose end the gradient is computed; 0: none (Foret et al. 2021, "Sharpness-aware
            minimization").
        start: `random`, `phantom` (the folder that the command names), or `denoising` (a third of the minutes goes to
            restoring frames with patches taken out).
        schedule: of the learning rate after its warm-up: `constant`, or `cosine` or `linear` to zero.
        encoder_rate: share of the learning rate that the pretrained encoder gets.
        frozen: share of the steps in which the pretrained encoder does not learn.
        stretched: a logarithm; each frame is made wider and lower, or narrower and higher, by at most this much, and sheared by
            as much, in addition to all other geometry.
        local_contrast: share of the frames in training whose histograms are equalised locally (`equalised`).
        fourier: share of the frames whose coarse amplitudes are mixed with those of another frame of the batch (Xu et al.
            2021, "A Fourier-based framework for domain generalization").
        mixed_style: mix the mean and deviation of each channel with those of another frame, after the first two stages
            of the encoder (Zhou et al. 2021, "MixStyle").
        teachers: arms whose trained networks predict each train frame; the mean of their maps becomes part of the mask.
        held_out: train so many teachers like this arm, in half of the minutes, each without its part of the subjects, which
            it then predicts; 0: none.
        taught: share of the mask that comes from the teachers.
        blended: share of the frames that are averaged with one of another subject, and get the teachers' map of the average
            as the mask: frames that no teacher has learnt (Beyer et al. 2022, "A good teacher is patient and consistent").
        consensus: nearly equal frames of a subject share their masks, more so the more their correlation exceeds this; 0: none.
        labelled: number of train subjects, evenly spread over the list of them; 0: all.
        unlabelled: train a teacher on the labelled subjects in half of the minutes; its maps are the masks of the others.
        repetition: 1 for an arm that differs from another only in its random numbers.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    default: bool = False
    region: Loss = soft_dice_loss
    pixel: Loss = binary_cross_entropy
    balance: Literal["", "subject", "presence"] = ""
    on_the_fly: bool = False
    block: str = "plain"
    halved: bool = False
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
    encoder_rate: float = 1.0
    frozen: float = 0.0
    stretched: float = 0.0
    local_contrast: float = 0.0
    fourier: float = 0.0
    mixed_style: bool = False
    teachers: tuple[str, ...] = ()
    held_out: int = 0
    taught: float = 0.0
    blended: float = 0.0
    consensus: float = 0.0
    labelled: int = 0
    unlabelled: bool = False
    repetition: int = 0


def tversky_loss(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the Tversky loss of Salehi et al. 2017, with weight 0.3 for false positives and 0.7 for false negatives, per frame."""
    probability = tf.sigmoid(logits)
    found = tf.reduce_sum(truth * probability, PIXELS)
    wrong, missed = tf.reduce_sum((1 - truth) * probability, PIXELS), tf.reduce_sum(truth * (1 - probability), PIXELS)
    return tf.reduce_mean(1.0 - (found + 1.0) / (found + 0.3 * wrong + 0.7 * missed + 1.0))


def lovasz_loss(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the Lovasz hinge of IoU, per frame (Berman et al. 2018)."""
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
    """Return soft Dice plus 0.01 times the boundary loss: probability times signed distance in pixels (Kervadec 2019)."""

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
    """Return the focal loss of Lin et al. 2017 with exponent 2, times 4 so that it starts near the cross-entropy."""
    wrong = tf.abs(truth - tf.sigmoid(logits))
    return 4.0 * tf.reduce_mean(wrong**2 * tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=logits))


def positive_weighted(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy with weight 5 for pixels of nerve."""
    return tf.reduce_mean(tf.nn.weighted_cross_entropy_with_logits(truth, logits, 5.0))


def smoothed(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy with labels smoothed by 0.05."""
    return binary_cross_entropy(0.05 + 0.9 * truth, logits)


def no_loss(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:  # noqa: ARG001 - replaces a loss
    """Return 0, so that the other loss is used alone."""
    return tf.constant(0.0)


def _residual(features: tf.Tensor, filters: int) -> tf.Tensor:
    shortcut = features if features.shape[-1] == filters else layers.Conv2D(filters, 1, use_bias=False)(features)
    inner = network._convolution(features, filters, 3)  # noqa: SLF001 - as above
    inner = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(inner)
    inner = layers.BatchNormalization(momentum=0.95)(inner)
    return layers.ReLU()(layers.Add()([shortcut, inner]))


def _inverted(features: tf.Tensor, filters: int) -> tf.Tensor:
    """Apply two inverted residuals (Sandler et al. 2018): expand four times, depthwise 3x3, project; the second with a shortcut."""
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
    """Build networks in this context from the arm's blocks and inputs."""
    chosen = {"plain": _PLAIN, "residual": _residual, "inverted": _inverted}[arm.block]
    seen = _with_coordinates if arm.coordinates else _WHOLE
    expand = _halved if arm.halved else _EXPAND
    block = _with_mixed_style if arm.mixed_style else _BLOCK
    with (
        mock.patch.object(efficientnet_lite, "_block", block),
        mock.patch.object(network, "_twice", chosen),
        mock.patch.object(network, "contract_and_expand", expand),
        mock.patch.dict(network.BUILDERS, {PLAIN: seen}),
    ):
        yield


def _halved(inputs: tf.Tensor, filters: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Contract and expand as the pipeline does, but halve the channels before each up-sampling, as Ronneberger et al. do."""
    widths = reversed(filters[:-1])

    def enlarge() -> Callable[[tf.Tensor], tf.Tensor]:
        return lambda features: UpSampling2D()(network._convolution(features, next(widths), 1))  # noqa: SLF001 - as above

    with mock.patch.object(network, "UpSampling2D", enlarge):
        return _EXPAND(inputs, filters)


def _with_coordinates(normalised: tf.Tensor, params: UNetParams, **_: bool) -> tuple[tf.Tensor, tf.Tensor]:
    height, width = normalised.shape[1:3]
    places = np.stack(np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height)), -1).astype(np.float32)
    maps = tf.zeros_like(tf.repeat(normalised, 2, -1)) + tf.cast(places, normalised.dtype)
    return _WHOLE(tf.concat([normalised, maps], -1), params)


class MixStyle(tf.keras.layers.Layer):
    """Mixes each channel's mean and deviation with those of another frame, in half of the batches, in training."""

    def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:  # noqa: FBT001, FBT002 - as Keras calls it
        if not training:
            return features
        mean, variance = tf.nn.moments(tf.cast(features, tf.float32), (1, 2), keepdims=True)
        deviation = tf.sqrt(variance + 1e-6)
        count = tf.shape(features)[0]
        weights = tf.where(tf.random.uniform(()) < 0.5, _beta(count), tf.ones((count, 1, 1, 1)))
        order = tf.random.shuffle(tf.range(count))
        other_mean, other_deviation = tf.gather(mean, order), tf.gather(deviation, order)
        mixed = (tf.cast(features, tf.float32) - mean) / deviation
        mixed = (
            mixed * (weights * deviation + (1 - weights) * other_deviation)
            + weights * mean
            + (1 - weights) * other_mean
        )
        return tf.cast(mixed, features.dtype)


def _beta(count: tf.Tensor) -> tf.Tensor:
    drawn = tf.random.gamma((2, count, 1, 1, 1), 0.1)
    return drawn[0] / (drawn[0] + drawn[1] + 1e-12)


def _with_mixed_style(inputs: tf.Tensor, name: str, *rest: int) -> tuple[tf.Tensor, list[tf.keras.layers.Layer]]:
    features, made = _BLOCK(inputs, name, *rest)
    return (MixStyle()(features) if name.endswith(("blocks.0.", "blocks.2.")) else features), made


def standardised(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standardise each frame."""
    mean, deviation = (measure(frames, axis=(1, 2, 3), keepdims=True) for measure in (np.mean, np.std))
    return (100.0 + 55.0 * (frames - mean) / np.maximum(deviation, 1.0)).astype(np.float32)


def equalised(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Equalise each frame by contrast-limited adaptive histograms (Zuiderveld 1994), 8 by 6 fields."""
    equaliser = cv2.createCLAHE(2.0, (8, 6))
    return np.stack([equaliser.apply(frame.astype(np.uint8)) for frame in frames[..., 0]])[..., np.newaxis].astype(
        np.float32
    )


def _encoder(name: str) -> Arm:
    return Arm({"unet.encoder": name, "lr": 1e-3})


def _lite(*changes: Mapping[str, float], weights: str | None = "imagenet", **of_arm: Any) -> Arm:
    fixed = {"unet.encoder": "efficientnetlite0", "unet.encoder_weights": weights}
    return Arm({key: value for each in (fixed, *changes) for key, value in each.items()}, **of_arm)


# The plain U-Net, the default until 2026-12-01, of which the other arms are changes.
BEFORE = {
    "unet.encoder": "plain", "unet.encoder_weights": None, "unet.base_filters": 32, "preprocess.width": 128,
    "preprocess.height": 96, "augment.variants": 19,
}  # fmt: skip
_TALLER = {"preprocess.width": 192, "preprocess.height": 160}
_SLIM = {"unet.base_filters": 16}
STRONGER = {"augment.rotation": 20.0, "augment.scale": 0.25, "augment.shift": 0.12, "augment.gamma": 0.5}
WEAKER = {"augment.rotation": 8.0, "augment.scale": 0.1, "augment.shift": 0.05}
INTENSITY = {
    "augment.gain": 0.4, "augment.gamma": 0.6, "augment.speckle": 5.0, "augment.shadow": 0.4, "augment.blur": 0.4,
}  # fmt: skip
ARMS = {
    "params": Arm(default=True),
    "params 2": Arm(default=True, repetition=1),
    "plain": Arm(),
    "halved": Arm(halved=True),
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
    "lite": _lite(),
    "lite random": _lite(weights=None),
    "lite 1e-3": _lite({"lr": 1e-3}),
    "lite 160": _lite(_TALLER),
    "lite 192": _lite({"preprocess.width": 256, "preprocess.height": 192}),
    "slim": _lite(_TALLER, _SLIM),
    "slim 192": _lite({"preprocess.width": 256, "preprocess.height": 192}, _SLIM),
    "lite 224": _lite({"preprocess.width": 224, "preprocess.height": 160}),
    "slim 128": _lite({"preprocess.width": 160, "preprocess.height": 128}, _SLIM),
    "slim half": _lite(_TALLER, _SLIM, encoder_rate=0.5),
    "slim mixed style": _lite(_TALLER, _SLIM, mixed_style=True),
    "slim stretched": _lite(_TALLER, _SLIM, stretched=0.25),
    "slim consensus": _lite(_TALLER, _SLIM, consensus=0.9),
    "slim 1e-3": _lite(_TALLER, _SLIM, {"lr": 1e-3}),
    "lite half": _lite(encoder_rate=0.5),
    "lite tenth": _lite(encoder_rate=0.1),
    "lite thawed": _lite(frozen=0.33),
    "lite frozen": _lite(frozen=1.0),
    "lite stretched": _lite(stretched=0.25),
    "lite local contrast": _lite(local_contrast=0.5),
    "lite fourier": _lite(fourier=0.5),
    "lite mixed style": _lite(mixed_style=True),
    "lite by subject": _lite(balance="subject"),
    "stretched": Arm(stretched=0.25),
    "held out": Arm(held_out=3, taught=0.5),
    "lite held out": _lite(held_out=3, taught=0.5),
    "lite taught": _lite(teachers=("plain", "lite 160"), taught=0.5),
    "plain taught": Arm(teachers=("plain", "lite 160"), taught=0.5),
    "plain blended": Arm(teachers=("plain", "slim"), taught=0.5, blended=0.5),
    "lite 160 taught": _lite(_TALLER, teachers=("plain", "lite 160"), taught=0.5),
    "consensus": Arm(consensus=0.9),
    "lite 160 consensus": _lite(_TALLER, consensus=0.9),
    "plain of 5": Arm(labelled=5),
    "plain of 10": Arm(labelled=10),
    "plain of 5 and others": Arm(labelled=5, unlabelled=True),
    "plain of 10 and others": Arm(labelled=10, unlabelled=True),
    "lite of 5": _lite(labelled=5),
    "lite of 10": _lite(labelled=10),
    "slim of 5": _lite(_TALLER, _SLIM, labelled=5),
    "slim of 10": _lite(_TALLER, _SLIM, labelled=10),
    "slim of 5 and others": _lite(_TALLER, _SLIM, labelled=5, unlabelled=True),
    "slim of 10 and others": _lite(_TALLER, _SLIM, labelled=10, unlabelled=True),
}
