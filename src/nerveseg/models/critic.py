"""The critic: a patch discriminator (Isola et al. 2017, "pix2pix") that judges a mask on its frame.

After each update its kernels are projected to a spectral norm of at most 1 (Gouk et al. 2021, "Regularisation of
neural networks by enforcing Lipschitz continuity"), which bounds its slope as spectral normalisation does. It has no
batch normalisation, so that the truth and the prediction may be judged in separate batches.
"""

import tensorflow as tf

layers = tf.keras.layers
LEVELS = 3


class SpectralNormAtMostOne(tf.keras.constraints.Constraint):
    """Divides a convolution's kernel (h, w, in, out), as a matrix of (h * w * in, out), by its largest singular value
    where that is above 1.
    """

    def __call__(self, kernel: tf.Tensor) -> tf.Tensor:
        matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))
        largest = tf.sqrt(tf.reduce_max(tf.linalg.eigvalsh(tf.matmul(matrix, matrix, transpose_a=True))))
        return kernel / tf.maximum(largest, 1.0)


def build_critic(base_filters: int, height: int, width: int, mean: float, deviation: float) -> tf.keras.Model:
    """Grey levels (N, H, W, 1) 0..255 and a mask or probability (N, H, W, 1) 0..1 -> a score for each patch,
    (N, H / 8, W / 8, 1): above 0 for an annotated mask, below for a predicted one.
    """
    frames = tf.keras.Input((height, width, 1), name="frames")
    masks = tf.keras.Input((height, width, 1), name="masks")
    normalised = layers.Rescaling(1.0 / deviation, -mean / deviation, name="normalise")(frames)
    features = layers.Concatenate()([normalised, masks])
    for level in range(LEVELS):
        features = _convolution(base_filters * 2**level, 4, strides=2)(features)
        features = layers.LeakyReLU(0.2)(features)
    scores = _convolution(1, 3)(features)
    return tf.keras.Model([frames, masks], scores, name="critic")


def _convolution(filters: int, size: int, strides: int = 1) -> tf.keras.layers.Layer:
    return layers.Conv2D(filters, size, strides, padding="same", kernel_constraint=SpectralNormAtMostOne())
