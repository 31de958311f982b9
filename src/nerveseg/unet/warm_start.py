"""Training that starts from the weights of a trained network (`unet.init_from`)."""

from pathlib import Path

import tensorflow as tf

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.errors import ModelError
from nerveseg.files.checked_folder import CheckedFolder
from nerveseg.params.fields import FRESH
from nerveseg.params.networks import OURS, UNetParams
from nerveseg.unet.network import build_unet
from nerveseg.unet.segmenter import REMEDY, UNET_FOLDER, UNET_WEIGHTS, SegmenterConfig, load_weights


def network_to_train(params: UNetParams, spec: InputSpec, policy: str) -> tf.keras.Model:
    """Return the U-Net of `params` as training starts from it, computing in `policy`.

    Its weights are new, or those of the segmenter in `params.init_from`, whose input size and grey levels may differ.
    Raise ModelError if that folder holds no segmenter, or one of another architecture.
    """
    if params.init_from == FRESH:
        return build_unet(params, spec, policy=policy)
    directory = _unet_in(params.init_from)
    theirs = SegmenterConfig.read(directory).unet
    alike = (
        ("encoder", "stem", "base_filters", "max_filters", "depth")
        if params.encoder in OURS
        else ("architecture", "encoder", "encoder_weights")
    )
    if other := {key: getattr(theirs, key) for key in alike if getattr(theirs, key) != getattr(params, key)}:
        asked = {key: getattr(params, key) for key in other}
        raise ModelError(
            f"unet.init_from: {directory} has a U-Net with {other}, params ask for {asked}; make them alike"
        )
    network = build_unet(params, spec, pretrained=False, policy=policy)
    load_weights(network, CheckedFolder(directory, ModelError, REMEDY).file(UNET_WEIGHTS))
    return network


def frames_behind(init_from: str) -> frozenset[str]:
    """Return the keys of the frames that the weights in this folder have learnt from."""
    return frozenset() if init_from == FRESH else frozenset(SegmenterConfig.read(_unet_in(init_from)).learnt_frames)


def nothing_real_behind(init_from: str) -> bool:
    """Return whether the weights in this folder have learnt from no real frame, as new weights have not."""
    return init_from == FRESH or SegmenterConfig.read(_unet_in(init_from)).simulated_only


def _unet_in(init_from: str) -> Path:
    """Return the folder of the U-Net: this one, or the one inside a refined segmenter's."""
    inner = Path(init_from) / UNET_FOLDER
    return inner if inner.is_dir() else Path(init_from)
