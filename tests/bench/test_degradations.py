"""`bench/degradations.py` on a tiny data set."""

import numpy as np
import pytest

from nerveseg.augmentation.degradations import DEGRADATIONS
from nerveseg.augmentation.ultrasound_effects import DISPLAY_RANGE_DB
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.params.networks import DegradationParams
from nerveseg.unet.network import build_unet
from nerveseg.unet.segmenter import Segmenter, SegmenterConfig
from paths import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import degradations

    return degradations


def test_what_a_degradation_costs_is_what_the_clean_frames_score_above_the_degraded_ones(bench, data, tiny, tmp_path):
    info = data[2]
    spec = info.input
    network = build_unet(tiny.unet, spec)
    kernel, _ = network.get_layer("logits").get_weights()
    model = tmp_path / "model"
    model.mkdir()
    for bias, cut in ((0.0, 0.5), (-30.0, 0.5)):
        network.get_layer("logits").set_weights([kernel, np.full(1, bias)])
        Segmenter(SegmenterConfig(spec, tiny.unet, cutoffs=Cutoffs(cut)), network).save(model)
        table = bench.costs(bench.Val(tmp_path / "processed", model), tiny.degradation, seed=0)
        assert len(table) == 5 * len(DEGRADATIONS)
        for key in ("dice", "dice_nerve"):
            clean = table[key] + table[f"{key} lost"]
            assert clean.to_numpy() == pytest.approx(clean.iloc[0])
    assert (table["dice_nerve"] == 0.0).all(), "a network that finds nothing"
    assert (table["dice_nerve lost"] == 0.0).all()
    assert (table["dice"] == table["dice"].iloc[0]).all()


def test_fitted_strengths_cost_what_they_should_and_are_such_as_params_take(bench, tiny):
    """Of frames whose Dice falls by a hundredth with each grey level that they become brighter."""

    class Falling:
        frames = np.full((4, 32, 64), 100, np.uint8)

        def dice(self, frames):
            return max(0.0, 0.9 - 0.01 * (frames.mean() - 100.0)), 0.0

    tried = {"over_gain": (2, 5, 10, 20)}
    found = bench.fitted(Falling(), 0, tried)["over_gain"]
    for strength, cost in zip(found, bench.COSTS, strict=True):
        assert 100 * cost == pytest.approx(strength * 255 / DISPLAY_RANGE_DB, abs=1.0)
    assert DegradationParams(**tiny.degradation.model_dump() | {"over_gain": found})


def test_where_no_strength_costs_enough_the_fitted_ones_still_increase(bench, tiny):
    class Deaf:
        frames = np.full((4, 32, 64), 100, np.uint8)

        def dice(self, frames):
            return 0.9, 0.9

    found = bench.fitted(Deaf(), 0, bench.TRIED)
    assert DegradationParams(**found)
