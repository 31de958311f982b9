import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy

from nerveseg.dataset.records import Record
from nerveseg.inference.postprocessing import Cutoffs, Estimate
from nerveseg.inference.predictor import Prediction
from nerveseg.reporting.case_selection import outcome
from nerveseg.reporting.predicted_cases import examine, uncertainty


class Bright:
    """Calls a pixel nerve with the probability of its grey level, and sees nothing in the left half of a frame."""

    def __init__(self, half=False, cutoffs=None):
        self.half, self.cutoffs = half, cutoffs or Cutoffs()

    def predict(self, frames):
        maps = [frame.astype(np.float32) / 255 for frame in frames]
        if self.half:
            maps = [
                np.concatenate([0 * each[:, : each.shape[1] // 2], each[:, each.shape[1] // 2 :]], 1) for each in maps
            ]
        return [Prediction(each, self.cutoffs.mask(Estimate(each, 0.8)), 0.8, 1.0) for each in maps]


def record(name, shape=(12, 16)):
    rng = np.random.default_rng(int(name))
    frame = rng.integers(0, 256, shape, np.uint8)
    return Record(name, f"s{name}", frame[:4, :4], frame[:4, :4], rng.random(shape) > 0.5, frame)


def test_uncertainty_is_the_entropy_of_the_mean_over_a_frame_and_its_mirror_image():
    frame = np.array([[0, 51, 128, 255]], np.uint8)
    (same,) = uncertainty(Bright(), [frame], Bright().predict([frame]))
    assert same[0] == pytest.approx([entropy([p, 1 - p], base=2) for p in frame[0] / 255], abs=1e-5)
    half = Bright(half=True)
    (found,) = uncertainty(half, [frame], half.predict([frame]))
    means = [0, 51 / 255 / 2, 128 / 255 / 2, 0.5]  # each pixel lies in the half that is seen once
    assert found[0] == pytest.approx([entropy([p, 1 - p], base=2) for p in means], abs=1e-5)
    assert found.dtype == np.float32


def test_every_record_becomes_a_case_with_what_each_model_says_and_why_it_is_shown():
    records = [record(str(n), (12 + n % 3, 16)) for n in range(20)]
    scores = pd.DataFrame(
        [(str(n), model, n / 20) for n in range(20) for model in ("unet", "exported")],
        columns=["frame", "model", "dice"],
    )
    models = {"unet": Bright(), "exported": Bright(half=True)}
    cases = list(examine(records, models, scores, {"17": "worst"}))
    assert [case.name for case in cases] == [str(n) for n in range(20)]
    for number, case in enumerate(cases):
        assert case.subject == f"s{number}"
        assert (case.frame == records[number].original).all()
        assert (case.truth == records[number].truth).all()
        assert (case.masks["unet"] == (case.frame > 127)).all()
        assert not case.masks["exported"][:, :8].any()
        assert case.dice == {"unet": number / 20, "exported": number / 20}
        assert case.uncertainty.max() <= 1
    assert [case.rank for case in cases if case.rank] == ["worst"]
    assert cases[17].rank == "worst"


@pytest.mark.parametrize("cutoffs", [Cutoffs(presence=0.9), Cutoffs(min_area=0.99)])
def test_a_nerve_that_a_cut_off_removed_is_told_from_one_that_was_not_seen(cutoffs):
    scores = pd.DataFrame([("1", model, 0.0) for model in ("unet", "exported")], columns=["frame", "model", "dice"])
    (case,) = examine([record("1")], {"unet": Bright(), "exported": Bright(cutoffs=cutoffs)}, scores, {})
    assert not case.masks["exported"].any()
    assert case.withheld == {"exported"}
    assert outcome(True, 0, 0.0, withheld=True) == "withheld"


def test_where_no_pixel_is_taken_for_nerve_nothing_was_removed():
    assert not Cutoffs(presence=0.9).withholds(Estimate(np.full((4, 4), 0.49, np.float32), 0.1))
