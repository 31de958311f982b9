"""Encoders of `segmentation_models` with few blocks: every kind of layer of their family, built in a second or two."""

from functools import partial

import tensorflow as tf
from classification_models.models import resnet, resnext, senet
from efficientnet import model as efficientnet
from keras_applications import densenet, mobilenet, mobilenet_v2
from segmentation_models.backbones import inception_resnet_v2, inception_v3
from segmentation_models.backbones.backbones_factory import Backbones

from nerveseg.params.networks import LITE
from nerveseg.unet import efficientnet_lite

BLOCKS = (2, 1, 1, 1)  # of each level; the second block of a level is one that keeps the size
GROUPS = 4  # of a grouped convolution: each is a layer


LOOPS = {"inceptionv3": inception_v3, "inceptionresnetv2": inception_resnet_v2}
LEFT_OUT = {  # blocks by number whose output has the shape of their input
    "mobilenet": (mobilenet, "_depthwise_conv_block", {7, 8, 9, 10}),
    "mobilenetv2": (mobilenet_v2, "_inverted_res_block", {4, 5, 7, 8, 9, 11, 12, 14, 15}),
}


def make_shallow(patch, encoder: str) -> None:
    """Shorten an encoder until the patch is undone; VGG, which has no blocks to leave out, stays as it is."""
    if encoder in LITE:
        stages = [(1 + (channels == 24), *others, channels) for _, *others, channels in efficientnet_lite._STAGES]
        patch.setattr(efficientnet_lite, "_STAGES", stages)
        return
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
    if encoder in LEFT_OUT:
        module, name, numbers = LEFT_OUT[encoder]
        patch.setattr(module, name, partial(_block, getattr(module, name), numbers))
    if encoder in LOOPS:
        patch.setattr(LOOPS[encoder], "range", lambda *ends: range(*ends)[:1], raising=False)
    if isinstance(Backbones.get_feature_layers(encoder)[0], int):
        patch.setattr(Backbones, "get_backbone", partial(_with_features, Backbones.get_backbone, patch))


def _block(block, left_out, features, *args, block_id: int, **options):
    return features if block_id in left_out else block(features, *args, block_id=block_id, **options)


def _with_features(build, patch, name: str, **options) -> tf.keras.Model:
    """An encoder whose features the library names by their number in the full one: the last of each level instead, those
    with 1/16, 1/8, 1/4 and 1/2 of the input's size.
    """
    network = build(name, **options)
    sizes = [tuple(layer.output.shape[1:3]) for layer in network.layers]
    height, width = sizes[0]
    last = [len(sizes) - 1 - sizes[::-1].index((height // part, width // part)) for part in (16, 8, 4, 2)]
    patch.setitem(Backbones._default_feature_layers, name, last)
    return network
