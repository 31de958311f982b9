"""What training computes, against the operations that TensorFlow refuses on a GPU; no GPU is needed to look."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.params.file import load_params
from nerveseg.refinement.adversarial_training import AdversarialTraining
from nerveseg.refinement.critic import CRITICS
from nerveseg.refinement.degraded_batches import RefinerBatch
from nerveseg.refinement.refiner import build_refiner
from nerveseg.unet import deterministic_layers
from nerveseg.unet.network import build_unet
from nerveseg.unet.training import SupervisedTraining
from paths import ROOT
from small_encoders import make_shallow

pytestmark = pytest.mark.slow

PARAMS = load_params(ROOT / "params.yaml")
PLAIN = PARAMS.unet.model_copy(update={"base_filters": 4, "max_filters": 8, "epochs": 1, "batch_size": 4})
SIZE = (64, 96)
# Of TensorFlow 2.17, all kernels that answer Unimplemented on a GPU where determinism is required: the messages that
# `strings libtensorflow_cc.so.2 | grep -i determinis` finds, and the files under tensorflow/core/kernels that hold them.
REFUSED = {
    "AdjustContrast", "AdjustContrastv2",  # adjust_contrast_op.cc
    "ResizeNearestNeighborGrad",  # image/resize_nearest_neighbor_op.cc
    "CropAndResizeGradBoxes", "CropAndResizeGradImage",  # image/crop_and_resize_op.cc
    "SparseTensorDenseMatMul",  # sparse_tensor_dense_matmul_op_gpu.cu.cc
    "DebugNumericSummaryV2",  # debug_ops.h
    "Dilation2DBackpropFilter", "Dilation2DBackpropInput",  # dilation_ops.cc
    "MaxPoolGradWithArgmax",  # maxpooling_op.cc
    "Svd",  # linalg/svd_op_gpu.cu.cc
    "Bincount", "DenseBincount",  # bincount_op_gpu.cu.cc, bincount_op.cc
    "FakeQuantWithMinMaxVarsGradient", "FakeQuantWithMinMaxVarsPerChannelGradient",  # fake_quant_ops.cc
    "ScatterAdd", "ScatterSub", "ScatterMul", "ScatterDiv", "ScatterMin", "ScatterMax", "ScatterUpdate",  # scatter_op.cc
    "SegmentSum", "SegmentMean", "SegmentProd", "SegmentMin", "SegmentMax",  # segment_reduction_ops_impl.h
    "UnsortedSegmentSum", "UnsortedSegmentProd", "UnsortedSegmentMin", "UnsortedSegmentMax",
    "SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits",  # xent_op.cc, sparse_xent_op.cc
    "Timestamp",  # logging_ops.cc
}  # fmt: skip
# fused_batch_norm_op.cu.cc; in training they are allowed. Depthwise convolutions need cuDNN 7.6.3, 2.17 itself a later one.
REFUSED_IF_FROZEN = {"FusedBatchNormGrad", "FusedBatchNormGradV2", "FusedBatchNormGradV3"}


def refused_in(function, *given):
    """Names of refused operations in a function's graph and in the functions that it calls, and of all of them."""
    graph = tf.function(function).get_concrete_function(*given).graph.as_graph_def()
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    found = [
        node.op
        for node in nodes
        if node.op in REFUSED or (node.op in REFUSED_IF_FROZEN and not node.attr["is_training"].b)
    ]
    return found, {node.op for node in nodes}


def images(count=4, channels=1, size=SIZE):
    return tf.TensorSpec((count, *size, channels))


def test_the_listing_finds_what_keras_s_own_layers_would_have_refused():
    frozen = tf.keras.layers.BatchNormalization(trainable=False)

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(frozen(tf.keras.layers.UpSampling2D()(x), training=True) ** 2)
        return tape.gradient(y, x)

    assert sorted(refused_in(gradient, images())[0]) == ["FusedBatchNormGradV3", "ResizeNearestNeighborGrad"]


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_step_of_the_u_net_has_no_operation_that_a_gpu_refuses(policy):
    build = partial(build_unet, PLAIN, InputSpec(*SIZE, 80.0, 40.0), policy=policy)
    training = SupervisedTraining(build, PLAIN, 1e-3, 10, tf.distribute.get_strategy())
    found, seen = refused_in(training.step, images(), images())
    assert found == []
    assert {"Conv2DBackpropFilter", "FusedBatchNormGradV3", "MaxPoolGrad"} <= seen


@pytest.mark.parametrize("critic", ["none", *CRITICS])
def test_a_step_of_the_refiner_and_of_its_critic_has_none(critic):
    spec = InputSpec(*SIZE, 80.0, 40.0)
    build = partial(build_refiner, PLAIN, 4, spec)
    kind = None if critic == "none" else partial(CRITICS[critic], 4, spec)
    training = AdversarialTraining(build, kind, None, PARAMS.gan, PLAIN, Cutoffs())
    given = RefinerBatch(images(), images(), images(), tf.TensorSpec((4, 1)), tf.TensorSpec((4, 1)))
    for name, arm in training.arms.items():
        found, seen = refused_in(arm.update, given)
        assert found == [], name
        assert {"Conv2DBackpropFilter", "FusedBatchNormGradV3"} <= seen


# One of each family; within one they differ in depth and width.
ENCODERS = ["resnet18", "seresnet18", "resnext50", "senet154", "densenet121", "mobilenet", "mobilenetv2", "efficientnetb0", "inceptionv3", "inceptionresnetv2", "vgg16"]  # fmt: skip


@pytest.mark.parametrize(
    ("decoder", "encoder"),
    [
        *[("unet", encoder) for encoder in ENCODERS],
        *[(decoder, "resnet18") for decoder in ("linknet", "fpn", "pspnet")],
    ],
)
def test_an_encoder_of_segmentation_models_has_none_whether_it_learns_or_is_frozen(decoder, encoder, monkeypatch):
    import segmentation_models

    build = {"unet": "Unet", "linknet": "Linknet", "fpn": "FPN", "pspnet": "PSPNet"}[decoder]
    size = (96, 96) if decoder == "pspnet" or encoder.startswith("inception") else (32, 32)
    if encoder != "resnet18":
        make_shallow(monkeypatch, encoder, size)
    theirs = getattr(segmentation_models, build)(encoder, input_shape=(*size, 3), encoder_weights=None)
    assert refused_in_a_step(theirs, size) == []


def refused_in_a_step(theirs, size):
    """In the gradients of a network of segmentation_models of which the first half is frozen."""
    network = deterministic_layers.deterministic(theirs)
    for layer in network.layers[: len(network.layers) // 2]:
        layer.trainable = False

    def gradients(frames):
        with tf.GradientTape() as tape:
            tape.watch(frames)
            loss = tf.reduce_sum(network(frames, training=True))
        return tape.gradient(loss, [frames, *network.trainable_variables])

    return refused_in(gradients, images(2, 3, size))[0]


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
    import segmentation_models

    theirs = segmentation_models.Unet("resnet18", input_shape=(64, 64, 3), encoder_weights=None)
    ours = deterministic_layers.deterministic(theirs)
    kinds = {type(layer) for layer in ours.layers}
    assert {deterministic_layers.UpSampling2D, deterministic_layers.BatchNormalization} <= kinds
    assert not {tf.keras.layers.UpSampling2D, tf.keras.layers.BatchNormalization} & kinds
    frames = tf.random.stateless_normal((1, 64, 64, 3), [1, 2])
    assert np.array_equal(ours(frames), theirs(frames))
