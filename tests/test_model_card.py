import json
from dataclasses import replace

import pytest

from conftest import ROOT
from nerveseg.data.records import DatasetInfo
from nerveseg.model_card import model_card
from nerveseg.params import load_params
from test_foreign_text import COMMANDS, LINKS, MARKS, tokens_of

INFO = DatasetInfo("data/phantom", 96, 128, 80.0, 40.0, {"train": 10, "val": 3, "test": 4}, "ab" * 32)


def card(model="gan", info=INFO, **changed):
    metrics = json.loads((ROOT / "metrics" / "metrics.json").read_text())
    return metrics, model_card(model, metrics | changed, info, load_params(ROOT / "params.yaml"))


def test_scores_stand_beside_their_intervals_and_both_baselines():
    metrics, text = card()
    (row,) = [line for line in text.splitlines() if line.startswith("| Dice, frames with a nerve")]
    bounds = metrics["intervals"]["gan"]
    numbers = [metrics["gan"]["dice_nerve"], bounds["dice_nerve_low"], bounds["dice_nerve_high"]]
    numbers += [metrics[name]["dice_nerve"] for name in ("baseline_mean_mask", "baseline_empty")]
    assert all(f"{number:.3f}" in row for number in numbers)


def test_a_score_that_is_not_defined_is_n_a():
    metrics, _ = card()
    _, text = card(baseline_empty=metrics["baseline_empty"] | {"hd95": None})
    assert next(line for line in text.splitlines() if line.startswith("| HD95")).endswith("| n/a |")


def test_it_says_what_the_model_is_of_what_data_for_what_and_under_which_licence():
    metrics, text = card()
    assert INFO.digest in text
    assert "10 train, 3 val, 4 test" in text
    assert "simulated B-mode frames" in text
    assert "not a medical device" in text
    assert "Apache-2.0" in text
    _, plain = card(gan=metrics["gan"] | {"used": False})
    assert "without a refiner" in plain


def test_frames_of_the_user_s_own_are_not_called_simulated():
    _, text = card(info=DatasetInfo("data/raw/clinic", 96, 128, 80.0, 40.0, {"train": 1}, "ab" * 32))
    assert "data/raw/clinic" in text
    assert "simulated B-mode" not in text


@pytest.mark.parametrize("name", [*MARKS, *COMMANDS, *LINKS])
def test_the_name_of_the_folder_is_words_alone_in_the_card(name):
    _, plain = card(info=replace(INFO, source="data/raw/clinic"))
    _, text = card(info=replace(INFO, source=f"data/raw/{name}"))
    assert [token.type for token in tokens_of(text) if not token.type.startswith("text")] == [
        token.type for token in tokens_of(plain) if not token.type.startswith("text")
    ]
