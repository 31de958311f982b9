import json

import numpy as np
import pandas as pd
import pytest
from flatten_dict import flatten

from nerveseg.dataset.info import DatasetInfo
from nerveseg.dataset.input_spec import InputSpec
from nerveseg.evaluation.calibration import reliability_table
from nerveseg.evaluation.score_table import Scores, headline, score_table
from nerveseg.evaluation.stored_predictions import ShippedModel
from nerveseg.evaluation.test_set import TestSet
from nerveseg.files.atomic import read_csv
from nerveseg.inference.postprocessing import Cutoffs, Estimate
from nerveseg.measures.scores import SCORES

TRUTHS = [np.pad(np.ones((4, 4), bool), ((2, 10), (2, 10 + n % 3))) for n in range(6)] + [np.zeros((16, 16), bool)] * 3
TEST = TestSet(np.zeros((9, 16, 16), np.uint8), TRUTHS, list("abcdefghi"), list("112233123"), [None] * 9)
MODELS = ("unet", "gan", "exported")
INFO = DatasetInfo("data/raw/clinic", InputSpec(16, 16, 80.0, 40.0), {"train": 1, "val": 1, "test": 9}, "ab" * 32)
SHIPPED = ShippedModel("gan", "control", "int8")


def said(shift):
    """Estimates that are the truth, `shift` pixels to the right; of the first frame nothing."""
    moved = [np.roll(truth, shift, 1).astype(np.float32) * (n > 0) for n, truth in enumerate(TRUTHS)]
    return [Estimate(probability, float(probability.max())) for probability in moved]


@pytest.fixture(scope="module")
def cases():
    return pd.concat([TEST.cases(model, said(shift), Cutoffs()) for shift, model in enumerate(MODELS)])


@pytest.fixture(scope="module")
def table(cases):
    reliability = pd.concat([reliability_table(model, said(shift), TRUTHS) for shift, model in enumerate(MODELS)])
    return score_table(TEST.all_cases(cases, np.zeros((16, 16), np.float32)), reliability, 50, 0)


def test_the_table_has_every_score_of_models_and_of_baselines_all_that_need_no_probability(table):
    assert set(table.loc[table["model"] == "unet", "score"]) == set(SCORES)
    unknown = set(SCORES) - set(table.loc[table["model"] == "baseline_empty", "score"])
    assert unknown == {"presence_auc", "ece", "ece_doubtful"}


def test_a_score_is_read_back_with_its_interval_as_from_the_file(table, cases, tmp_path):
    table.to_csv(tmp_path / "scores.csv", index=False)
    for scores in (Scores(table), Scores(read_csv(tmp_path / "scores.csv"))):
        dice = cases.loc[cases["model"] == "gan", "dice"].mean()
        assert scores.value("gan", "dice") == pytest.approx(dice)
        assert scores.interval("gan", "dice").low < dice < scores.interval("gan", "dice").high
        assert scores.value("gan", "frames_outlined") == 5
        assert scores.interval("gan", "frames_outlined") is None, "a count has none"
        assert scores.value("baseline_empty", "hd95") is None
        assert scores.interval("baseline_empty", "hd95").missing == "no frame counts"
        assert scores.value("ensemble", "dice") is None
        assert scores.models == ["unet", "gan", "exported", "baseline_mean_mask", "baseline_empty"]
        assert (scores.frames, scores.outlined_by_all) == (9, 0), "the average mask draws nothing"


def test_metrics_json_has_the_scores_that_decide_with_the_intervals_of_what_ships(table, cases):
    found = headline(Scores(table), cases[cases["model"] == "unet"], INFO, {"unet": 0.5}, SHIPPED, {"dice_change": 0.0})
    assert set(found["unet"]) == {"dice", "iou", "dice_nerve"}
    assert found["exported"]["dice_low"] < found["exported"]["dice"] < found["exported"]["dice_high"]
    assert found["exported"]["presence_specificity"] == 1.0
    assert found["exported"]["hd95_common"] is None
    assert found["counts"] == {"frames": 9, "frames_with_nerve": 6, "subjects": 3}
    assert found["data"] == {"source": "data/raw/clinic", "simulated": 0}
    assert found["shipped"] == {"source": "gan", "arm": "control", "precision": "int8"}
    assert len(flatten(json.loads(json.dumps(found)))) < 40


def test_an_interval_that_cannot_be_computed_is_null_with_its_reason(cases):
    of_one = cases.assign(subject="1")
    reliability = pd.concat([reliability_table(model, said(0), TRUTHS) for model in MODELS])
    scores = Scores(score_table(TEST.all_cases(of_one, np.zeros((16, 16), np.float32)), reliability, 50, 0))
    found = headline(scores, of_one[of_one["model"] == "unet"], INFO, {}, SHIPPED, {})
    assert found["exported"]["dice_low"] is None
    assert found["exported"]["dice_no_interval"] == "one subject"
