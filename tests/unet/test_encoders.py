"""Encoders of `segmentation_models`, one of each family: within one they differ in depth and width; and EfficientNet-Lite."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import segmentation_models
import tensorflow as tf

from gpu_operations import refused_in, without_kernel_in
from nerveseg.dataset.input_spec import InputSpec
from nerveseg.errors import ModelError
from nerveseg.params.file import load_params
from nerveseg.params.networks import ENCODERS, LITE, OURS
from nerveseg.refinement.refiner import build_refiner, learnt, start_from
from nerveseg.unet.encoders import _as_imagenet
from nerveseg.unet.losses import segmentation_loss
from nerveseg.unet.network import BUILDERS, build_unet
from paths import ROOT
from small_encoders import make_shallow

UNET = load_params(ROOT / "params.yaml").unet.model_copy(update={"stem": 1, "encoder_weights": "imagenet"})
FAMILIES = (
    "densenet121", "efficientnetb0", "inceptionresnetv2", "inceptionv3", "mobilenet", "mobilenetv2", "resnet18",
    "resnet50", "resnext50", "senet154", "seresnet18", "seresnet50", "seresnext50", "vgg16",
)  # fmt: skip
NETWORKS = [
    *(("unet", family) for family in (*FAMILIES, LITE[0])),
    *((decoder, "resnet18") for decoder in ("linknet", "fpn", "pspnet")),
]


def test_each_encoder_of_ours_has_a_function_that_builds_it():
    assert BUILDERS.keys() == OURS.keys()


def test_the_families_are_all_that_segmentation_models_has():
    assert {re.sub(r"\d+$", "", name) for name in ENCODERS} <= {re.sub(r"\d+$", "", name) for name in FAMILIES} | {
        "efficientnetb"
    }


@pytest.fixture(scope="module")
def built(request):
    """A network and its parameters; a U-Net is meant for weights of ImageNet, which are not fetched. Some compute in
    bfloat16.
    """
    architecture, encoder = request.param
    tf.keras.backend.clear_session()
    weights = "imagenet" if architecture == "unet" else None
    params = UNET.model_copy(update={"architecture": architecture, "encoder": encoder, "encoder_weights": weights})
    size = (96, 96) if architecture == "pspnet" or "inception" in encoder else (32, 64)
    policy = "mixed_bfloat16" if encoder == "efficientnetb0" or architecture == "linknet" else "float32"
    spec = InputSpec(*size, 60.0, 40.0)
    frames = np.random.default_rng(0).uniform(0, 255, (2, *size, 1)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        make_shallow(patch, encoder)
        network = build_unet(params, spec, pretrained=weights is None, policy=policy)
        yield SimpleNamespace(params=params, spec=spec, policy=policy, network=network, frames=frames)


@pytest.mark.slow
@pytest.mark.parametrize("built", NETWORKS, indirect=True, ids="-".join)
def test_each_weight_has_a_gradient_and_no_operation_is_refused_by_a_gpu_whether_layers_learn_or_are_frozen(built):
    network, frames = built.network, tf.constant(built.frames)
    learning = network.trainable_variables
    for whole in [layer for layer in network.layers if isinstance(layer, tf.keras.Model)] or [network]:
        for layer in whole.layers[: len(whole.layers) // 2]:
            layer.trainable = False

    @tf.function
    def gradients(frames):
        with tf.GradientTape() as tape:
            outputs = network(frames, training=True)
            loss = segmentation_loss(built.params, tf.cast(frames > 128.0, tf.float32), outputs["logits"])
            loss += tf.reduce_mean(outputs["presence"])
        return tape.gradient(loss, learning)

    found, seen = refused_in(gradients, frames)
    assert found == without_kernel_in(gradients, frames) == []
    assert "Conv2DBackpropFilter" in seen
    values = gradients(frames)
    assert len(learning) > len(network.trainable_variables) > 0
    assert network.output_shape == {"logits": (None, *built.spec.size, 1), "presence": (None, 1)}
    assert all(value is not None and np.isfinite(value).all() for value in values)
    assert np.mean([np.any(value) for value in values]) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    "built",
    [("unet", "vgg16"), ("unet", "efficientnetb0"), ("unet", LITE[0]), ("pspnet", "resnet18")],
    indirect=True,
    ids="-".join,
)
def test_a_network_is_rebuilt_without_a_download_and_says_the_same_with_its_weights(built, tmp_path):
    built.network.save_weights(tmp_path / "net.weights.h5")
    again = build_unet(built.params, built.spec, pretrained=False, policy=built.policy)
    again.load_weights(tmp_path / "net.weights.h5")
    for output, value in built.network(built.frames).items():
        assert np.array_equal(value, again(built.frames)[output])


@pytest.mark.slow
@pytest.mark.parametrize(
    "built", [("unet", "resnet18"), ("unet", "efficientnetb0"), ("unet", LITE[0])], indirect=True, ids="-".join
)
def test_an_untrained_refiner_of_it_is_the_identity_and_some_of_its_copy_learns(built):
    refiner = start_from(build_refiner(built.params, 4, built.spec, built.policy), built.network)
    said = built.network(built.frames)
    refined = refiner([built.frames, said["logits"], said["presence"]])
    assert np.array_equal(refined["logits"], said["logits"])
    assert np.array_equal(refined["presence"], said["presence"])
    learning = sum(variable.shape.num_elements() for variable in learnt(refiner))
    assert 0.01 < learning / refiner.count_params() < 0.7


def test_pretrained_weights_without_a_network_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("os.path.expanduser", lambda path: path.replace("~", str(tmp_path)))
    for proxy in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setattr("urllib.request._opener", None)  # it keeps the proxies of its first use for the whole process
    params = UNET.model_copy(update={"encoder": "resnet18"})
    with pytest.raises(
        ModelError, match=r"weights of resnet18 could not be downloaded .* or set unet\.encoder_weights"
    ):
        build_unet(params, InputSpec(32, 64, 60.0, 40.0))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_grey_levels_reach_an_encoder_of_imagenet_as_its_own_preprocessing_would_give_them(encoder):
    preprocess = segmentation_models.get_preprocessing(encoder)
    normalised = np.repeat(np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype(np.float32), 3, axis=-1)
    expected = preprocess(118.0 + 58.0 * normalised)
    layer = _as_imagenet(preprocess)
    assert np.allclose(layer(normalised), expected, rtol=1e-4, atol=1e-3)
    saved = tf.keras.layers.serialize(layer)
    assert np.array_equal(tf.keras.layers.deserialize(saved)(normalised), layer(normalised))
