import numpy as np
import pandas as pd

from nerveseg.reporting.charts import charts
from nerveseg.reporting.figures.canvas import LOOKS
from score_tables import scores_of

CASES = pd.DataFrame(
    [
        ("1_1", "unet", True, 0.8, 300, 0.9),
        ("1_2", "unet", False, 1.0, 0, 0.5),
        ("1_1", "exported", True, 0.85, 300, 0.91),
        ("1_2", "exported", False, 0.0, 0, 0.4),
    ],
    columns=["frame", "model", "has_nerve", "dice", "truth_area", "confidence"],
)
ROBUSTNESS = pd.DataFrame(
    [("clean", 0, "unet", 0.8), ("blur", 3, "unet", 0.6), ("jpeg", 3, "unet", np.nan), ("all", 3, "unet", 0.61234567)],
    columns=["degradation", "severity", "model", "dice_nerve"],
)
THRESHOLDS = pd.DataFrame({"model": "unet", "threshold": [0.3, 0.5], "dice_nerve": [0.7, 0.8]})
HISTORY = pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5], "val_loss": [0.9, np.nan]})
SCORES = scores_of({"baseline_mean_mask": {"dice_nerve": 0.4}})
DRAWN = {chart.id: chart for chart in charts(SCORES, CASES, ROBUSTNESS, THRESHOLDS, HISTORY)}


def series(chart, panel=""):
    return {each.label: each.points for each in DRAWN[chart].panels[panel]}


def test_points_of_cases_name_their_frame_and_those_by_size_show_a_nerve():
    assert series("by-size") == {"U-Net": [[300, 0.8, "1_1"]], "Shipped": [[300, 0.85, "1_1"]]}
    assert series("by-confidence")["Shipped"] == [[0.91, 0.85, "1_1"], [0.4, 0.0, "1_2"]]
    assert not DRAWN["by-size"].joined


def test_every_line_of_robustness_begins_at_the_clean_frames_and_all_together_come_first():
    assert list(DRAWN["robustness"].panels) == ["All of them", "JPEG", "Blur"]
    assert series("robustness", "All of them")["U-Net"] == [[0, 0.8], [3, 0.6123]]
    assert series("robustness", "JPEG")["U-Net"] == [[0, 0.8]], "what is not defined leaves a gap"


def test_the_average_train_mask_stands_beside_the_models():
    assert series("by-threshold")["Average train mask"] == [[0.3, 0.4], [0.5, 0.4]]
    assert series("robustness", "Blur")["Average train mask"] == [[0, 0.4], [3, 0.4]]


def test_losses_are_by_epoch():
    assert series("loss") == {"train": [[1, 1.0], [2, 0.5]], "validation": [[1, 0.9]]}


def test_a_model_has_the_line_that_it_has_in_the_figures():
    arms = ["unet", "control", "gan", "unet_untuned"]
    rows = THRESHOLDS.merge(pd.DataFrame({"model": arms}), how="cross", suffixes=("_", "")).drop(columns="model_")
    drawn = {chart.id: chart for chart in charts(SCORES, CASES, ROBUSTNESS, rows, HISTORY)}
    dashes = {each.label: [*each.dash] for each in drawn["by-threshold"].panels[""]}
    assert dashes == {
        LOOKS["unet_untuned"].label: [2, 3], LOOKS["unet"].label: [], LOOKS["control"].label: [6, 3],
        LOOKS["gan"].label: [8, 3, 2, 3], "Average train mask": [2, 3],
    }  # fmt: skip
