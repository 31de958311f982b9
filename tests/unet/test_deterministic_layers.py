"""Layers of ours give what Keras's give, with gradients that TensorFlow does not refuse on a GPU."""

import numpy as np
import pytest
import segmentation_models
import tensorflow as tf

from gpu_operations import refused_in, without_kernel_in
from nerveseg.unet import deterministic_layers

pytestmark = pytest.mark.slow


def test_the_listing_finds_what_keras_s_own_layers_would_have_refused():
    frozen = tf.keras.layers.BatchNormalization(trainable=False)

    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(frozen(tf.keras.layers.UpSampling2D()(x), training=True) ** 2)
        return tape.gradient(y, x)

    assert sorted(refused_in(gradient, tf.TensorSpec((4, 8, 8, 1)))[0]) == [
        "FusedBatchNormGradV3",
        "ResizeNearestNeighborGrad",
    ]


@pytest.mark.skipif(not tf.test.is_built_with_cuda(), reason="this package has no kernels for GPUs")
def test_the_listing_finds_what_has_no_kernel_for_a_gpu():
    @tf.function
    def norms(x):
        return tf.strings.as_string(tf.norm(tf.cast(x, tf.bfloat16))), tf.linalg.expm(x)

    assert without_kernel_in(norms, tf.TensorSpec((4, 8, 8))) == ["AsString"]


@pytest.mark.parametrize("size", [(2, 2), (4, 4), (3, 2), (1, 8)])
def test_up_sampling_gives_what_keras_s_gives_and_its_gradient(size):
    rng = np.random.default_rng(0)
    frames = tf.constant(rng.normal(size=(2, 6, 8, 5)), tf.float32)
    results = []
    for layer in (deterministic_layers.UpSampling2D(size), tf.keras.layers.UpSampling2D(size)):
        with tf.GradientTape() as tape:
            tape.watch(frames)
            larger = layer(frames)
            loss = tf.reduce_sum(larger**3)
        results.append((larger, tape.gradient(loss, frames)))
    (ours, our_gradient), (theirs, their_gradient) = results
    assert np.array_equal(ours, theirs)
    assert np.allclose(our_gradient, their_gradient, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"epsilon": 1.0}])
@pytest.mark.parametrize(("policy", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 0.03)])
def test_frozen_normalisation_gives_what_keras_s_gives_and_its_gradient(options, policy, tolerance):
    rng = np.random.default_rng(0)
    frames = tf.constant(rng.normal(size=(2, 6, 8, 5)), tf.float32)
    results, weights = [], None
    for kind in (deterministic_layers.BatchNormalization, tf.keras.layers.BatchNormalization):
        layer = kind(trainable=False, dtype=tf.keras.mixed_precision.Policy(policy), **options)
        layer.build(frames.shape)
        weights = weights or [rng.uniform(0.5, 2.0, each.shape) for each in layer.weights]
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            tape.watch(frames)
            normalised = tf.cast(layer(frames, training=True), tf.float32)
            loss = tf.reduce_sum(tf.tanh(normalised))
        results.append((normalised, tape.gradient(loss, frames)))
        assert [np.array_equal(*pair) for pair in zip(layer.get_weights(), np.float32(weights), strict=False)]
    (ours, our_gradient), (theirs, their_gradient) = results
    assert np.allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    assert np.allclose(our_gradient, their_gradient, rtol=tolerance, atol=tolerance)


def test_a_normalisation_that_learns_is_keras_s_own():
    frames = tf.random.stateless_normal((4, 6, 8, 5), [1, 2], mean=3.0)
    ours, theirs = deterministic_layers.BatchNormalization(), tf.keras.layers.BatchNormalization()
    assert np.array_equal(ours(frames, training=True), theirs(frames, training=True))
    assert np.array_equal(ours(frames, training=False), theirs(frames, training=False))
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_a_network_of_others_says_the_same_with_these_layers():
    theirs = segmentation_models.Unet("resnet18", input_shape=(64, 64, 3), encoder_weights=None)
    ours = deterministic_layers.deterministic(theirs)
    kinds = {type(layer) for layer in ours.layers}
    assert {deterministic_layers.UpSampling2D, deterministic_layers.BatchNormalization} <= kinds
    assert not {tf.keras.layers.UpSampling2D, tf.keras.layers.BatchNormalization} & kinds
    frames = tf.random.stateless_normal((1, 64, 64, 3), [1, 2])
    assert np.array_equal(ours(frames), theirs(frames))
