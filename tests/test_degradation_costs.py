"""`bench/degradations.py` on a tiny data set."""

import numpy as np
import pytest

from conftest import ROOT
from nerveseg.data.degradation import DEGRADATIONS
from nerveseg.evaluation.postprocessing import Cutoffs
from nerveseg.models.unet import build_unet
from nerveseg.segmenter import Segmenter, SegmenterConfig


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import degradations

    return degradations


def test_what_a_degradation_costs_is_what_the_clean_frames_score_above_the_degraded_ones(bench, data, tiny, tmp_path):
    info = data[2]
    size = (info.height, info.width, info.mean, info.std)
    network = build_unet(tiny.unet, *size)
    kernel, _ = network.get_layer("logits").get_weights()
    model = tmp_path / "model"
    model.mkdir()
    for bias, cut in ((0.0, 0.5), (-30.0, 0.5)):
        network.get_layer("logits").set_weights([kernel, np.full(1, bias)])
        Segmenter(SegmenterConfig(*size, tiny.unet, cutoffs=Cutoffs(cut)), network).save(model)
        table = bench.costs(tmp_path / "processed", model, seed=0)
        assert len(table) == 5 * len(DEGRADATIONS)
        for key in ("dice", "dice_nerve"):
            clean = table[key] + table[f"{key} lost"]
            assert clean.to_numpy() == pytest.approx(clean.iloc[0])
    assert (table["dice_nerve"] == 0.0).all(), "a network that finds nothing"
    assert (table["dice_nerve lost"] == 0.0).all()
    assert (table["dice"] == table["dice"].iloc[0]).all()
