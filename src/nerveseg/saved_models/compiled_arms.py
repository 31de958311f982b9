"""The arms of the ablation, computed by OpenVINO: many degraded frames in a fraction of TensorFlow's time."""

from collections.abc import Mapping

import openvino
import tensorflow as tf

from nerveseg.refinement.ablation_arms import Arms
from nerveseg.saved_models.openvino_export import converted
from nerveseg.saved_models.openvino_predictor import Maps, compiled, infer


def compiled_arms(arms: Arms) -> Arms:
    """The same arms in float32: masks differ in pixels whose probability lies at a cut-off to the last digits alone."""
    said = arms.network.output
    flat = {f"{arm}.{key}": tensor for arm, outputs in said.items() for key, tensor in outputs.items()}
    network = converted(tf.keras.Model(arms.network.input, flat), ["frames"], list(flat))
    runtime = compiled(openvino.Core(), network)

    def run(levels: Maps) -> Mapping[str, Mapping[str, Maps]]:
        found = dict(zip(flat, infer(runtime, {"frames": levels}, list(flat)), strict=True))
        return {arm: {key: found[f"{arm}.{key}"] for key in outputs} for arm, outputs in said.items()}

    return arms.computed_by(run)
