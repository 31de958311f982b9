"""Turns a trained model into one that predicts without TensorFlow (`exported`), in int8 where that costs no Dice.

Int8 comes of post-training quantisation by NNCF with its control of accuracy: ranges and biases are fitted on val frames,
and where Dice on val comes to differ by too much, the layers that matter most go back to float32, one after the other. What
judges a frame poor is quantised likewise, but without that control: it changes its mind about frames alone that are at its threshold.
The refiner, to which poor frames alone are shown, stays float32.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nncf
import numpy as np
import openvino
import tensorflow as tf
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
from nncf.quantization.range_estimator import RangeEstimatorParametersSet
from numpy.typing import NDArray

from nerveseg.data.letterbox import Letterbox, Mask
from nerveseg.ensemble import Ensemble
from nerveseg.evaluation.metrics import count
from nerveseg.evaluation.postprocessing import Cutoffs, Estimate
from nerveseg.exported import (
    JUDGE_FILE,
    LOGITS,
    POOR,
    PRESENCE,
    REFINER_FILE,
    UNET_FILE,
    ExportedConfig,
    ExportedMember,
    Maps,
    compiled,
    estimate_of,
    infer,
    member_folder,
)
from nerveseg.params import ExportParams
from nerveseg.segmenter import Segmenter

nncf.set_log_level(logging.WARNING)
INT8 = "int8"
# Ranges that clip no val frame: those that stand out are the ones that are poor.
_WIDEST = AdvancedQuantizationParameters(activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX)
SHARE_FOR_VAL = 0.75  # of the difference that test may show


@dataclass(frozen=True)
class Annotated:
    """Frames at the network's size, uint8 (N, H, W), and their annotated masks at their own size."""

    frames: NDArray[np.uint8]
    truths: Sequence[Mask]

    @property
    def levels(self) -> Maps:
        return self.frames[..., np.newaxis].astype(np.float32)


def export(model: Segmenter | Ensemble, directory: Path, params: ExportParams, val: Annotated) -> dict[str, int]:
    """Write the exported model into a folder.

    Args:
        model: trained.
        directory: it is there, and empty.
        params: the `export` section.
        val: frames to fit ranges on, and to hold Dice against.

    Returns:
        How many `layers` the U-Nets have, convolutions that is, and how many of them are in int8, `int8_layers`.
    """
    members = list(model.members.values()) if isinstance(model, Ensemble) else [model]
    layers = {"layers": 0, "int8_layers": 0}
    for number, member in enumerate(members):
        folder = member_folder(directory, number)
        folder.mkdir()
        for key, found in _export_member(member, folder, params, val).items():
            layers[key] += found
    height, width = model.size
    config = tuple(ExportedMember(member.config.flip, member.refiner is not None) for member in members)
    learnt = tuple(sorted(model.learnt_frames))
    ExportedConfig(height, width, model.cutoffs, learnt, params.precision, config, model.grey_range).write(directory)
    return layers


def _export_member(member: Segmenter, folder: Path, params: ExportParams, val: Annotated) -> dict[str, int]:
    unet = _converted(member.unet, ["frames"], [LOGITS, PRESENCE])
    if params.precision == INT8:
        unet = _in_int8(unet, params, val, member)
    _write(unet, folder / UNET_FILE)
    if member.refiner is not None:
        judging = tf.keras.Model(member.refiner.inputs[0], {POOR: member.refiner.output[POOR]})
        judge = _converted(judging, ["frames"], [POOR])
        if params.precision == INT8:
            judge = nncf.quantize(judge, _dataset(val), subset_size=len(val.frames), advanced_parameters=_WIDEST)
        _write(judge, folder / JUDGE_FILE)
        refiner = _converted(member.refiner, ["frames", "unet_logits", "unet_presence"], [LOGITS, PRESENCE])
        _write(refiner, folder / REFINER_FILE)
    layers = [node for node in unet.get_ordered_ops() if node.get_type_name() == "Convolution"]
    return {"layers": len(layers), "int8_layers": sum(map(_is_int8, layers))}


def _converted(network: tf.keras.Model, inputs: Sequence[str], outputs: Sequence[str]) -> openvino.Model:
    """Those outputs of a network, with batch normalisation folded, its inputs called as given in their order."""
    given = [
        tf.TensorSpec((None, *each.shape[1:]), tf.float32, n) for each, n in zip(network.inputs, inputs, strict=True)
    ]

    def said(*values: tf.Tensor) -> dict[str, tf.Tensor]:
        found = network(values[0] if len(values) == 1 else list(values), training=False)
        return {name: found[name] for name in outputs}

    return openvino.convert_model(tf.function(said, input_signature=given).get_concrete_function())


def _in_int8(network: openvino.Model, params: ExportParams, val: Annotated, member: Segmenter) -> openvino.Model:
    reference = _dice(compiled(openvino.Core(), network), val, member.cutoffs)
    nerve = np.array([truth.any() for truth in val.truths])

    def agreement(quantised: openvino.CompiledModel, _: Iterable[object]) -> tuple[float, list[float]]:
        change = _dice(quantised, val, member.cutoffs) - reference
        mean = max(abs(float(part.mean())) for part in (change, change[nerve]) if part.size)
        return 1.0 - mean, [1.0 - abs(float(of_frame)) for of_frame in change]

    return nncf.quantize_with_accuracy_control(
        network,
        _dataset(val),
        _dataset(val),
        agreement,
        max_drop=SHARE_FOR_VAL * params.max_difference,
        subset_size=len(val.frames),
        fast_bias_correction=False,
    )


def _dataset(val: Annotated) -> nncf.Dataset:
    return nncf.Dataset([{"frames": levels[np.newaxis]} for levels in val.levels])


def _dice(network: openvino.CompiledModel, val: Annotated, cutoffs: Cutoffs) -> NDArray[np.float64]:
    """Of each frame, by the U-Net alone."""
    dices = []
    for levels, truth in zip(val.levels, val.truths, strict=True):
        logits, said = infer(network, {"frames": levels[np.newaxis]}, [LOGITS, PRESENCE])
        probability, presence = estimate_of([(logits, said)])
        over = Letterbox.fit(truth.shape, levels.shape[:2]).restore(probability[0, ..., 0])
        dices.append(count(truth, cutoffs.mask(Estimate(over, float(presence[0, 0])))).dice)
    return np.array(dices)


def _is_int8(layer: openvino.Node) -> bool:
    """Whether its weights are."""
    waiting = [layer.input_value(1).get_node()]
    while waiting:
        node = waiting.pop()
        if node.get_element_type() == openvino.Type.i8:
            return True
        waiting += [value.get_node() for value in node.input_values()]
    return False


def _write(network: openvino.Model, path: Path) -> None:
    openvino.save_model(network, path, compress_to_fp16=False)
