"""Encoders of `segmentation_models` with few blocks: every kind of layer of their family, built in a second or two."""

from functools import partial

import tensorflow as tf
from classification_models.models import resnet, resnext, senet
from efficientnet import model as efficientnet
from keras_applications import densenet
from segmentation_models.backbones import inception_resnet_v2
from segmentation_models.backbones.backbones_factory import Backbones

BLOCKS = (2, 1, 1, 1)  # of each level; the second block of a level is one that keeps the size
GROUPS = 4  # of a grouped convolution: each is a layer


def make_shallow(patch, encoder: str, size: tuple[int, int]) -> None:
    """Shorten an encoder until the patch is undone; families without a number of blocks stay as they are.

    The library names some features by their number in the full encoder. They are then the last ones of each level.
    """
    for module in (resnet, resnext, senet):
        if full := module.MODELS_PARAMS.get(encoder):
            short = full._replace(repetitions=BLOCKS)
            grouped = module is senet and full.groups > 1
            patch.setitem(module.MODELS_PARAMS, encoder, short._replace(groups=GROUPS) if grouped else short)
    if encoder == "resnext50":
        patch.setattr(resnext, "GroupConv2D", partial(resnext.GroupConv2D, groups=GROUPS))
    if encoder == "densenet121":
        patch.setitem(Backbones._models, encoder, [partial(densenet.DenseNet, BLOCKS), densenet.preprocess_input])
    if encoder == "efficientnetb0":
        blocks = [
            each._replace(num_repeat=1 + (each.output_filters == 24)) for each in efficientnet.DEFAULT_BLOCKS_ARGS
        ]
        short = partial(efficientnet.EfficientNetB0, blocks_args=blocks)
        patch.setitem(Backbones._models_update, encoder, [short, efficientnet.preprocess_input])
    if encoder == "inceptionresnetv2":
        patch.setattr(inception_resnet_v2, "range", lambda first, _: [first], raising=False)
    if isinstance(Backbones.get_feature_layers(encoder)[0], int) and encoder != "inceptionv3":
        patch.setitem(Backbones._default_feature_layers, encoder, _last_of_each_level(encoder, size))


def _last_of_each_level(encoder: str, size: tuple[int, int]) -> list[int]:
    """The numbers of the last layers whose features have 1/16, 1/8, 1/4 and 1/2 of the input's size."""
    modules = {name: getattr(tf.keras, name) for name in ("backend", "layers", "models", "utils")}
    layers = Backbones.get_backbone(encoder, input_shape=(*size, 3), include_top=False, weights=None, **modules).layers
    sizes = [tuple(layer.output.shape[1:3]) for layer in layers]
    return [len(sizes) - 1 - sizes[::-1].index((size[0] // part, size[1] // part)) for part in (16, 8, 4, 2)]
