"""Exports a trained model so that it predicts without TensorFlow, in int8 if val shows that this costs no Dice.

NNCF quantises after training, with control of accuracy: it fits ranges and biases on val frames and, while a loss of Dice beyond the
limit cannot be ruled out (`export_parity`), returns the layers that matter most to float32, one by one. The first layer, which
sees the grey levels, is the one that matters most and costs little, so it is never quantised. The judge, which classifies
frames as poor, and the refiner stay float32: the judge decides at a threshold, and few frames pass through the refiner. In the
end the whole model is compared with the trained one on val, and written in float32 if int8 cannot be shown to be as good.
"""

import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nncf
import numpy as np
import openvino
import pandas as pd
import tensorflow as tf

from nerveseg.dataset.letterbox import Letterbox
from nerveseg.evaluation.export_parity import LEAST_SUBJECTS, changes, loss_not_excluded
from nerveseg.evaluation.test_set import TestSet
from nerveseg.inference.postprocessing import Cutoffs, Estimate
from nerveseg.inference.predictor import Predictor
from nerveseg.measures.overlap import count
from nerveseg.params.networks import ExportParams
from nerveseg.refinement.refined_segmenter import RefinedSegmenter
from nerveseg.saved_models import openvino_predictor as shipped
from nerveseg.saved_models.ensemble import Ensemble
from nerveseg.saved_models.openvino_predictor import LOGITS, POOR, PRESENCE, Source
from nerveseg.text.wording import counted
from nerveseg.unet.segmenter import Segmenter

nncf.set_log_level(logging.WARNING)
INT8, FLOAT32 = "int8", "float32"
SHARE_FOR_UNET = 0.75  # of the limit, for each U-Net alone; the others of an ensemble may add to it
RESAMPLES, SEED = 1000, 0


@dataclass(frozen=True)
class Export:
    precision: str  # in which the model computes
    reason: str  # if it is not the requested one, else ''
    layers: int  # convolutions that the U-Nets have
    int8_layers: int  # how many of them are in int8


def export(
    model: Segmenter | RefinedSegmenter | Ensemble, directory: Path, params: ExportParams, val: TestSet, source: Source
) -> Export:
    """Write a trained model, `source` in `metrics.json`, into an empty folder; ranges and Dice are those of `val`."""
    if params.precision == FLOAT32:
        return _write_all(model, directory, params, val, source)
    with_nerve = len({subject for subject, truth in zip(val.subjects, val.truths, strict=True) if truth.any()})
    if with_nerve < LEAST_SUBJECTS:
        reason = f"val has {counted(with_nerve, 'subject')} with a nerve; it takes {LEAST_SUBJECTS} to measure what int8 costs"
    else:
        found = _write_all(model, directory, params, val, source)
        exported = shipped.ExportedPredictor.load(directory)
        loss = loss_not_excluded(changes(_cases(exported, val), _cases(model, val)), RESAMPLES, SEED)
        if found.int8_layers and loss <= params.max_difference:
            return found
        reason = f"in int8 a loss of {loss:.4f} Dice cannot be ruled out on val, more than {params.max_difference:g}"
        reason = reason if found.int8_layers else "val lets no layer be computed in int8"
        for folder in directory.iterdir():
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    exact = params.model_copy(update={"precision": FLOAT32})
    return replace(_write_all(model, directory, exact, val, source), reason=reason)


def _cases(model: Predictor, val: TestSet) -> pd.DataFrame:
    return val.cases("", model.estimates(val.frames, val.sizes), model.cutoffs)


def _write_all(
    model: Segmenter | RefinedSegmenter | Ensemble, directory: Path, params: ExportParams, val: TestSet, source: Source
) -> Export:
    members = list(model.members.values()) if isinstance(model, Ensemble) else [model]
    counts = []
    for number, member in enumerate(members):
        folder = shipped.member_folder(directory, number)
        folder.mkdir()
        counts.append(_export_member(member, folder, params, val))
    trainings = tuple(
        shipped.ExportedMember(_segmenter(each).config.flip, isinstance(each, RefinedSegmenter)) for each in members
    )
    height, width = model.size
    learnt, data = tuple(sorted(model.learnt_frames)), (model.grey_range, model.simulated_only)
    settings = (model.cutoffs, learnt, params.precision, source, trainings, *data)
    shipped.ExportedConfig(height, width, *settings).write(directory)
    layers, int8_layers = map(sum, zip(*counts, strict=True))
    return Export(params.precision, "", layers, int8_layers)


def _segmenter(member: Segmenter | RefinedSegmenter) -> Segmenter:
    return member.segmenter if isinstance(member, RefinedSegmenter) else member


def _export_member(
    member: Segmenter | RefinedSegmenter, folder: Path, params: ExportParams, val: TestSet
) -> tuple[int, int]:
    """Return how many convolutions its U-Net has, and how many of them are in int8."""
    unet = _converted(_segmenter(member).unet, ["frames"], [LOGITS, PRESENCE])
    if params.precision == INT8:
        unet = _in_int8(unet, params, val, member.cutoffs)
    openvino.save_model(unet, folder / shipped.UNET_FILE, compress_to_fp16=False)
    if isinstance(member, RefinedSegmenter):
        judging = tf.keras.Model(member.refiner.inputs[0], {POOR: member.refiner.output[POOR]})
        judge = _converted(judging, ["frames"], [POOR])
        openvino.save_model(judge, folder / shipped.JUDGE_FILE, compress_to_fp16=False)
        refiner = _converted(member.refiner, ["frames", "unet_logits", "unet_presence"], [LOGITS, PRESENCE])
        openvino.save_model(refiner, folder / shipped.REFINER_FILE, compress_to_fp16=False)
    layers = _convolutions(unet)
    return len(layers), sum(map(_is_int8, layers))


def _convolutions(network: openvino.Model) -> list[openvino.Node]:
    """Return the convolutions in the order in which they are computed, depthwise ones included."""
    return [node for node in network.get_ordered_ops() if node.get_type_name() in {"Convolution", "GroupConvolution"}]


def _converted(network: tf.keras.Model, inputs: Sequence[str], outputs: Sequence[str]) -> openvino.Model:
    """Convert a network with these outputs and names of its inputs; the runtime folds batch normalisation."""
    signature = [
        tf.TensorSpec((None, *each.shape[1:]), tf.float32, n) for each, n in zip(network.inputs, inputs, strict=True)
    ]

    def computed(*values: tf.Tensor) -> dict[str, tf.Tensor]:
        found = network(values[0] if len(values) == 1 else list(values), training=False)
        return {name: found[name] for name in outputs}

    return openvino.convert_model(tf.function(computed, input_signature=signature).get_concrete_function())


def _in_int8(network: openvino.Model, params: ExportParams, val: TestSet, cutoffs: Cutoffs) -> openvino.Model:
    reference = _dice(shipped.compiled(openvino.Core(), network), val, cutoffs)

    def agreement(quantised: openvino.CompiledModel, _: Iterable[object]) -> tuple[float, list[float]]:
        now = _dice(quantised, val, cutoffs)
        loss = loss_not_excluded(changes(now, reference), RESAMPLES, SEED)
        return 1.0 - loss, [1.0 - abs(change) for change in now["dice"] - reference["dice"]]

    return nncf.quantize_with_accuracy_control(
        network,
        _dataset(val),
        _dataset(val),
        agreement,
        preset=nncf.QuantizationPreset.MIXED,  # ranges of activations need not be symmetric
        max_drop=SHARE_FOR_UNET * params.max_difference,
        subset_size=len(val.frames),
        fast_bias_correction=False,
        ignored_scope=nncf.IgnoredScope(names=[_convolutions(network)[0].get_friendly_name()]),
    )


def _levels(val: TestSet) -> shipped.Maps:
    return val.frames[..., np.newaxis].astype(np.float32)


def _dataset(val: TestSet) -> nncf.Dataset:
    return nncf.Dataset([{"frames": levels[np.newaxis]} for levels in _levels(val)])


def _dice(network: openvino.CompiledModel, val: TestSet, cutoffs: Cutoffs) -> pd.DataFrame:
    """Return the Dice of each frame by the U-Net alone, with `subject` and `has_nerve`."""
    dices = []
    for levels, truth in zip(_levels(val), val.truths, strict=True):
        logits, head = shipped.infer(network, {"frames": levels[np.newaxis]}, [LOGITS, PRESENCE])
        probability, presence = shipped.estimate_of([(logits, head)])
        over = Letterbox.fit(truth.shape, levels.shape[:2]).restore(probability[0, ..., 0])
        dices.append(count(truth, cutoffs.mask(Estimate(over, float(presence[0, 0])))).dice)
    return pd.DataFrame({"subject": val.subjects, "has_nerve": [truth.any() for truth in val.truths], "dice": dices})


def _is_int8(layer: openvino.Node) -> bool:
    waiting = [layer.input_value(1).get_node()]
    while waiting:
        node = waiting.pop()
        if node.get_element_type() == openvino.Type.i8:
            return True
        waiting += [value.get_node() for value in node.input_values()]
    return False
