from dataclasses import replace

import pytest

from foreign_names import COMMANDS, LINKS, MARKS, tokens_of
from nerveseg.dataset.info import DatasetInfo
from nerveseg.dataset.input_spec import InputSpec
from nerveseg.params.file import load_params
from nerveseg.registry.model_card import model_card
from paths import ROOT
from score_tables import scores_of

INFO = DatasetInfo(
    "data/phantom", InputSpec(96, 128, 80.0, 40.0), {"train": 10, "val": 3, "test": 4}, "ab" * 32, simulated=17
)  # fmt: skip
SCORES = {"dice": 0.91, "dice_nerve": 0.82, "iou_nerve": 0.71, "hd95": 19.0, "hd95_common": 18.5, "frames_outlined": 92}
BASELINES = {
    "baseline_empty": {"dice": 0.58, "dice_nerve": 0.0, "hd95_common": None},
    "baseline_mean_mask": {"dice": 0.13, "dice_nerve": 0.32, "hd95_common": 98.5},
}
BOUNDS = {("exported", "dice"): (0.88, 0.93, ""), ("exported", "dice_nerve"): (0.79, 0.85, "")}
METRICS = {
    "exported": SCORES,
    "counts": {"frames": 224, "frames_with_nerve": 94, "subjects": 32},
    "degraded": {"unet": 0.62, "control": 0.68},
    "shipped": {"source": "gan", "arm": "control", "precision": "int8"},
    "export": {"dice_change": 0.0005},
}
PARAMS = load_params(ROOT / "params.yaml")


def card(info=INFO, bounds=BOUNDS, params=PARAMS, **changed):
    scores = scores_of({"exported": SCORES} | BASELINES, bounds, {"hd95_common": 90})
    return model_card("exported", METRICS | changed, scores, info, params)


def row(text, name):
    return next(line for line in text.splitlines() if line.startswith(f"| {name}"))


def test_scores_stand_beside_their_intervals_and_both_baselines():
    assert row(card(), "Dice, frames with nerve").endswith("| 0.820 | 0.790 to 0.850 | 0.320 | 0.000 |")


def test_weights_that_training_started_from_are_told_with_the_licence():
    random = PARAMS.unet.model_copy(update={"encoder_weights": None})
    told = [card(), card(params=PARAMS.model_copy(update={"unet": random}))]
    for sentence in ("from weights of ImageNet)", "published weights of ImageNet, which have a licence of their own"):
        assert [sentence in text for text in told] == [True, False]


def test_a_score_that_is_not_defined_is_n_a():
    assert row(card(), "HD95").endswith("| n/a |")


def test_distances_are_over_the_frames_that_all_models_outline_and_the_card_counts_them():
    assert row(card(), "HD95").startswith("| HD95 (pixels) | 18.5 |")
    assert "outlines a nerve in 92 of the 94 frames with a nerve. Distances are means over the 90 that" in card()


def test_without_an_interval_the_card_says_why():
    text = card(bounds=BOUNDS | {("exported", "dice_nerve"): (None, None, "one subject")})
    assert "| 0.820 | n/a (one subject) |" in row(text, "Dice, frames with nerve")
    assert text.startswith("Dice of frames with a nerve 0.820 (no interval: one subject), of all frames 0.910\n")


@pytest.mark.parametrize(
    ("shipped", "told"),
    [
        (
            {"source": "gan", "arm": "unet", "precision": "int8"},
            "The U-Net without a refiner, in int8 (encoder: efficientnetlite0, from weights of ImageNet)",
        ),
        ({"source": "gan", "arm": "control", "precision": "float32"}, "trained without a critic, in float32"),
        ({"source": "gan", "arm": "adversarial", "precision": "int8"}, "trained against a critic, in int8"),
        ({"source": "ensemble", "arm": None, "precision": "int8"}, "The ensemble, in int8"),
    ],
)
def test_it_says_which_model_ships_and_in_which_arithmetic(shipped, told):
    assert told in card(shipped=shipped)
    assert told in card(shipped=shipped, ensemble=SCORES), "another model that was scored changes nothing"


def test_a_loss_by_the_export_is_a_warning_on_the_card():
    assert "**Warning**: it loses a lot." in card(export={"warning": "it loses a lot"})
    assert "Warning" not in card()


def test_it_says_of_what_data_for_what_and_under_which_licence():
    text = card()
    assert INFO.digest in text
    assert "10 train, 3 val, 4 test" in text
    assert "simulated B-mode frames" in text
    assert "not a medical device" in text
    assert "Apache-2.0" in text


def test_frames_of_the_user_s_own_are_not_called_simulated():
    text = card(DatasetInfo("data/raw/clinic", InputSpec(96, 128, 80.0, 40.0), {"train": 1}, "ab" * 32))
    assert "data/raw/clinic" in text
    assert "simulated B-mode" not in text
    assert "the user's own frames, and 5 simulated B-mode frames" in card(replace(INFO, simulated=5))


@pytest.mark.parametrize("name", [*MARKS, *COMMANDS, *LINKS])
def test_the_name_of_the_folder_is_words_alone_in_the_card(name):
    plain = card(info=replace(INFO, source="data/raw/clinic"))
    text = card(info=replace(INFO, source=f"data/raw/{name}"))
    assert [token.type for token in tokens_of(text) if not token.type.startswith("text")] == [
        token.type for token in tokens_of(plain) if not token.type.startswith("text")
    ]


def test_intervals_over_few_subjects_are_called_too_narrow():
    few, many, one = (card(counts=METRICS["counts"] | {"subjects": count}) for count in (2, 6, 1))
    assert "With only 2 test subjects the intervals are too narrow" in few
    assert "too narrow" not in many + one
    assert "224 frames of 1 subject that" in one
