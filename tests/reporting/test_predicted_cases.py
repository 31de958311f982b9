"""Cases made of stored predictions: masks, probabilities, and where the model that ships is unsure."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy

from nerveseg.dataset.records import Record
from nerveseg.errors import DatasetError
from nerveseg.evaluation.rescued_frame import Rescue
from nerveseg.evaluation.stored_predictions import (
    ShippedModel,
    StoredPredictions,
    finish,
    store,
    store_mirrored,
)
from nerveseg.inference.postprocessing import Cutoffs, Estimate
from nerveseg.inference.predictor import Predictor
from nerveseg.reporting.case_selection import outcome
from nerveseg.reporting.predicted_cases import predicted_cases, rescued_case, uncertainty

SIZE = (12, 16)


def bright(half=False):
    """Calls a pixel nerve with the probability of its grey level; with `half` it sees nothing in a frame's left half."""

    def run(levels):
        probability = levels / np.float32(255)
        if half:
            probability[:, :, : SIZE[1] // 2] = 0
        return {"probability": probability, "presence": np.full((len(levels), 1), 0.8, np.float32)}

    return Predictor(run, SIZE, Cutoffs(), frozenset())


def record(name, shape=SIZE):
    rng = np.random.default_rng(int(name))
    frame = rng.integers(0, 256, shape, np.uint8)
    return Record(name, f"s{name}", frame, frame, rng.random(shape) > 0.5, frame)


def stored(folder, records, models, cutoffs):
    """The predictions of these models, `exported` among them."""
    inputs = np.stack([record.frame for record in records])
    for name, model in models.items():
        store(folder, name, model, inputs)
    store_mirrored(folder, models["exported"], [record.as_read for record in records])
    finish(folder, inputs, cutoffs, ShippedModel("gan", "control", "int8"))
    return StoredPredictions(folder, inputs)


def scores_of(records, models, dice=0.0):
    rows = [(record.name, model, dice) for record in records for model in models]
    return pd.DataFrame(rows, columns=["frame", "model", "dice"])


def test_uncertainty_is_the_entropy_of_the_mean_over_a_frame_and_its_mirror_image():
    seen, mirrored = np.array([[0, 0.2, 0.5, 1]], np.float32), np.array([[0, 0.2, 0.5, 0]], np.float32)
    found = uncertainty(seen, mirrored)
    assert found[0] == pytest.approx([entropy([p, 1 - p], base=2) for p in (0, 0.2, 0.5, 0.5)], abs=1e-5)
    assert found.dtype == np.float32


def test_every_record_becomes_a_case_with_what_each_model_says_and_why_it_is_shown(tmp_path):
    records = [record(str(n)) for n in range(20)]
    models = {"unet": bright(), "exported": bright(half=True)}
    predictions = stored(tmp_path, records, models, dict.fromkeys(models, Cutoffs()))
    cases = list(predicted_cases(records, predictions, list(models), scores_of(records, models, 0.3), {"17": "worst"}))
    assert [case.name for case in cases] == [str(n) for n in range(20)]
    for number, case in enumerate(cases):
        assert case.subject == f"s{number}"
        assert (case.frame == records[number].original).all()
        assert (case.truth == records[number].truth).all()
        assert (case.masks["unet"] == (case.frame > 127)).all()
        assert not case.masks["exported"][:, :8].any()
        assert case.dice == {"unet": 0.3, "exported": 0.3}
        unseen = (case.frame[:, :8] / 255 / 2)[0, 0]  # the left half is seen in the mirror image alone
        assert case.uncertainty[0, 0] == pytest.approx(entropy([unseen, 1 - unseen], base=2), abs=1e-5)
    assert [case.name for case in cases if case.rank] == ["17"]


def test_stored_predictions_lie_over_frames_of_any_size_as_fresh_ones_do(tmp_path):
    records = [record(str(n)) for n in range(3)]
    sizes = [(24, 32), (12, 16), (30, 20)]
    model = bright()
    predictions = stored(tmp_path, records, {"exported": model}, {"exported": Cutoffs()})
    fresh = model.estimates(np.stack([record.frame for record in records]), sizes)
    for one, other in zip(predictions.estimates("exported", sizes), fresh, strict=True):
        assert np.array_equal(one.probability, other.probability)
        assert one.presence == other.presence


def test_predictions_that_are_damaged_are_not_scored(tmp_path):
    predictions = stored(tmp_path, [record("1")], {"exported": bright()}, {"exported": Cutoffs()})
    content = bytearray((tmp_path / "exported.npz").read_bytes())
    content[-1] ^= 1
    (tmp_path / "exported.npz").write_bytes(content)
    with pytest.raises(DatasetError, match=r"exported\.npz is damaged or was changed.*dvc repro predict"):
        next(predictions.estimates("exported", [SIZE]))


@pytest.mark.parametrize("now", [["1", "3"], ["2", "1"], ["1"], ["1", "2", "3"]])
def test_predictions_of_other_test_frames_or_in_another_order_are_not_scored(tmp_path, now):
    stored(tmp_path, [record("1"), record("2")], {"exported": bright()}, {"exported": Cutoffs()})
    predictions = StoredPredictions(tmp_path, np.stack([record(name).frame for name in now]))
    with pytest.raises(DatasetError, match=r"predictions of other test frames than the prepared ones.*`dvc repro`"):
        predictions.info.cutoffs  # noqa: B018 - what stages read first
    with pytest.raises(DatasetError, match="other test frames"):
        next(predictions.estimates("exported", [SIZE] * len(now)))


@pytest.mark.parametrize("cutoffs", [Cutoffs(presence=0.9), Cutoffs(min_area=0.99)])
def test_a_nerve_that_a_cut_off_removed_is_told_from_one_that_was_not_seen(tmp_path, cutoffs):
    models = {"unet": bright(), "exported": bright()}
    predictions = stored(tmp_path, [record("1")], models, {"unet": Cutoffs(), "exported": cutoffs})
    (case,) = predicted_cases([record("1")], predictions, list(models), scores_of([record("1")], models), {})
    assert not case.masks["exported"].any()
    assert case.withheld == {"exported"}
    assert outcome(True, 0, 0.0, withheld=True) == "withheld"


def test_where_no_pixel_is_taken_for_nerve_nothing_was_removed():
    assert not Cutoffs(presence=0.9).withholds(Estimate(np.full((4, 4), 0.49, np.float32), 0.1))


def test_a_rescued_frame_is_shown_degraded_at_the_size_that_it_was_read_in():
    one, nothing = record("1", (24, 32)), np.zeros((24, 32), bool)
    degraded = np.full((12, 16), 77, np.uint8)
    case = rescued_case(
        [record("2"), one], Rescue("1", "low_gain", "control", 0.9, degraded, nothing, one.annotated, True)
    )
    assert (case.frame == 77).all()
    assert case.frame.shape == (24, 32)
    assert case.dice == {"unet": 0.0, "exported": 1.0}
    assert case.withheld == {"unet"}
    assert case.title == "Low gain 3 · 1 · subject s1"
    assert rescued_case([one], None) is None
