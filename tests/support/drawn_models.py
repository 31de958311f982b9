"""Small networks whose weights are drawn at random, and what their export is measured on."""

import numpy as np

from drawn_frames import simulated_frame
from nerveseg.dataset.input_spec import InputSpec
from nerveseg.dataset.letterbox import Letterbox
from nerveseg.evaluation.test_set import TestSet
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.params.file import load_params
from nerveseg.params.networks import ExportParams
from nerveseg.refinement.refined_segmenter import RefinedSegmenter, RefinedSegmenterConfig
from nerveseg.refinement.refiner import COPY, build_refiner, start_from
from nerveseg.unet.network import build_unet
from nerveseg.unet.segmenter import Segmenter, SegmenterConfig
from paths import ROOT

UNET = load_params(ROOT / "params.yaml").unet.model_copy(
    update={"encoder": "plain", "encoder_weights": None, "stem": 1, "base_filters": 4, "depth": 2}
)
SPEC = InputSpec(32, 64, 100.0, 40.0)
FRAMES = [simulated_frame(size, nerve=True, seed=1)[0] for size in ((48, 80), (100, 90), (32, 64))]

# Networks drawn at random have a Dice that is noise, hence the large difference that int8 may make.
INT8 = ExportParams(precision="int8", max_difference=0.1)
FLOAT = ExportParams(precision="float32", max_difference=0.002)
DRAWN = [simulated_frame((48, 80), nerve=number % 3 > 0, seed=number) for number in range(12)]
VAL = TestSet(
    np.stack([Letterbox.fit((48, 80), (32, 64)).frame(frame) for frame, _ in DRAWN]),
    [mask for _, mask in DRAWN],
    [str(number) for number in range(12)],
    list("aabbccddeeff"),
    [None] * 12,
)


def segmenter(refiner_filters=0, *, flip=False, simulated_only=False):
    """A network that calls bright pixels nerve: its last convolution looks at the first features alone."""
    config = SegmenterConfig(SPEC, UNET, flip, Cutoffs(0.5, 0.01), simulated_only=simulated_only)
    plain = Segmenter(config, build_unet(UNET, SPEC))
    rng = np.random.default_rng(0)
    plain.unet.get_layer("logits").set_weights([rng.normal(size=(1, 1, 4, 1)), np.zeros(1)])
    if not refiner_filters:
        return plain
    refiner = start_from(build_refiner(UNET, refiner_filters, SPEC), plain.unet)
    refiner.get_layer(COPY).get_layer("logits").set_weights([rng.normal(size=(1, 1, 4, 1)), np.zeros(1)])
    return RefinedSegmenter(RefinedSegmenterConfig(refiner_filters, plain.cutoffs), plain, refiner)


def member(seed, cutoffs=None, width=64, learnt_frames=(), *, simulated_only=False):
    spec, learnt = InputSpec(32, width, 100.0, 40.0), tuple(learnt_frames)
    config = SegmenterConfig(spec, UNET, False, cutoffs or Cutoffs(), learnt, simulated_only=simulated_only)
    unet = build_unet(UNET, spec)
    rng = np.random.default_rng(seed)
    unet.get_layer("logits").set_weights([rng.normal(size=(1, 1, 4, 1)), np.zeros(1)])
    return Segmenter(config, unet)
