"""Critics, which classify masks as annotated or predicted, given their frames.

`frames` are grey levels (N, H, W, 1) 0..255, `truth` the annotated masks and `predicted` the probabilities, (N, H, W,
1) 0..1. A critic's `network` has its weights, `judge` returns its own loss and accuracy, and `generator_loss` the
refiner's: a scalar that falls as the critic takes prediction for truth.

After each update the kernels of a critic are projected to a spectral norm of at most 1 (Gouk et al. 2021,
"Regularisation of neural networks by enforcing Lipschitz continuity"), which bounds its slope like spectral
normalisation. Critics have no batch normalisation, so that truth and prediction can be classified in separate batches.
"""

from typing import Literal, NamedTuple

import tensorflow as tf

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.unet.network import normalise

layers = tf.keras.layers
LEVELS = 3
UNLIKE = 0.5  # difference of a pixel's probability above which truth and prediction differ in its patch


class Judgement(NamedTuple):
    loss: tf.Tensor  # what a critic minimises, a scalar
    accuracy: tf.Tensor  # share of right judgements where truth and prediction differ, 0..1; NaN if they do nowhere


class PatchCritic:
    """A patch discriminator (Isola et al. 2017, "pix2pix") with the hinge loss (Lim and Ye 2017, "Geometric GAN").

    The score of a patch is above 0 for an annotated mask and below for a predicted one.
    """

    def __init__(self, base_filters: int, spec: InputSpec) -> None:
        frames = tf.keras.Input((*spec.size, 1), name="frames")
        masks = tf.keras.Input((*spec.size, 1), name="masks")
        features = layers.Concatenate()([normalise(frames, spec), masks])
        for level in range(LEVELS):
            features = layers.LeakyReLU(0.2)(_convolution(base_filters * 2**level, 4, strides=2)(features))
        self.network = tf.keras.Model([frames, masks], _convolution(1, 3)(features), name="patch_critic")

    def judge(self, frames: tf.Tensor, truth: tf.Tensor, predicted: tf.Tensor) -> Judgement:
        on_truth, on_predicted = (self.network([frames, masks], training=True) for masks in (truth, predicted))
        loss = tf.reduce_mean(tf.nn.relu(1.0 - on_truth)) + tf.reduce_mean(tf.nn.relu(1.0 + on_predicted))
        right = tf.cast(on_truth > 0.0, tf.float32) + tf.cast(on_predicted < 0.0, tf.float32)
        # If both masks are alike, as in the background, one of two judgements is right whatever the critic's score.
        unlike = tf.nn.max_pool2d(tf.abs(truth - predicted), 2**LEVELS, 2**LEVELS, "SAME") > UNLIKE
        return Judgement(loss, tf.reduce_mean(tf.boolean_mask(right / 2.0, unlike)))

    def generator_loss(self, frames: tf.Tensor, truth: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:  # noqa: ARG002 - as the other's
        return -tf.reduce_mean(self.network([frames, predicted], training=True))


class FeatureCritic:
    """SegAN's critic (Xue et al. 2018, "SegAN: adversarial network with multi-scale L1 loss").

    It compares the features of the frame masked by the annotation and by the prediction: the critic raises their mean
    absolute difference over all scales, the refiner lowers it. It classifies no single mask, so it has no accuracy.
    """

    def __init__(self, base_filters: int, spec: InputSpec) -> None:
        frames = tf.keras.Input((*spec.size, 1), name="frames")
        masks = tf.keras.Input((*spec.size, 1), name="masks")
        features = layers.Concatenate()([normalise(frames, spec) * masks, masks])
        scales = [layers.Flatten()(features)]
        for level in range(LEVELS):
            features = layers.LeakyReLU(0.2)(_convolution(base_filters * 2**level, 4, strides=2)(features))
            scales.append(layers.Flatten()(features))
        self.network = tf.keras.Model([frames, masks], scales, name="feature_critic")

    def judge(self, frames: tf.Tensor, truth: tf.Tensor, predicted: tf.Tensor) -> Judgement:
        return Judgement(-self._distance(frames, truth, predicted), tf.constant(float("nan")))

    def generator_loss(self, frames: tf.Tensor, truth: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
        return self._distance(frames, truth, predicted)

    def _distance(self, frames: tf.Tensor, truth: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
        of_truth, of_predicted = (self.network([frames, masks], training=True) for masks in (truth, predicted))
        pairs = zip(of_truth, of_predicted, strict=True)
        return tf.reduce_mean(tf.stack([tf.reduce_mean(tf.abs(one - other)) for one, other in pairs]))


Critic = PatchCritic | FeatureCritic
CRITICS: dict[Literal["patch", "features"], type[Critic]] = {"patch": PatchCritic, "features": FeatureCritic}


class SpectralNormAtMostOne(tf.keras.constraints.Constraint):
    """Divide a kernel (h, w, in, out), as a matrix of (h * w * in, out), by its largest singular value if that is above 1."""

    def __call__(self, kernel: tf.Tensor) -> tf.Tensor:
        matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))
        matrix = tf.where(tf.math.is_finite(matrix), matrix, 0.0)  # a diverged critic must not crash here
        largest = tf.sqrt(tf.reduce_max(tf.linalg.eigvalsh(tf.matmul(matrix, matrix, transpose_a=True))))
        return kernel / tf.maximum(largest, 1.0)


def _convolution(filters: int, size: int, strides: int = 1) -> tf.keras.layers.Layer:
    return layers.Conv2D(filters, size, strides, padding="same", kernel_constraint=SpectralNormAtMostOne())
