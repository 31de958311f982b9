"""The critic: a patch discriminator (Isola et al. 2017, "pix2pix") that judges a mask on its frame.

Spectral normalisation (Miyato et al. 2018) bounds its slope, and it has no batch normalisation, so that the truth
and the prediction may be judged in separate batches.
"""

import tensorflow as tf

layers = tf.keras.layers
LEVELS = 3


def build_critic(base_filters: int, height: int, width: int, mean: float, deviation: float) -> tf.keras.Model:
    """Grey levels (N, H, W, 1) 0..255 and a mask or probability (N, H, W, 1) 0..1 -> a score for each patch,
    (N, H / 8, W / 8, 1): above 0 for an annotated mask, below for a predicted one.
    """
    frames = tf.keras.Input((height, width, 1), name="frames")
    masks = tf.keras.Input((height, width, 1), name="masks")
    normalised = layers.Rescaling(1.0 / deviation, -mean / deviation, name="normalise")(frames)
    features = layers.Concatenate()([normalised, masks])
    for level in range(LEVELS):
        convolution = layers.Conv2D(base_filters * 2**level, 4, strides=2, padding="same")
        features = layers.SpectralNormalization(convolution)(features)
        features = layers.LeakyReLU(0.2)(features)
    scores = layers.SpectralNormalization(layers.Conv2D(1, 3, padding="same"))(features)
    return tf.keras.Model([frames, masks], scores, name="critic")
