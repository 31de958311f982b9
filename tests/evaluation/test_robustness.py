"""The ablation table: what is scored, what it is held against, and what the report says of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from drawn_frames import simulated_frame
from nerveseg.augmentation.degradations import DEGRADATIONS
from nerveseg.evaluation.robustness import ablation_table, degraded_scores, doubt
from nerveseg.evaluation.test_set import TestSet
from nerveseg.inference.postprocessing import Cutoffs, Estimate
from nerveseg.measures.cases import case_measures
from nerveseg.params.file import load_params
from nerveseg.params.scores import EvaluateParams
from nerveseg.refinement.outcome import Refinement
from nerveseg.reporting.ablation_summary import Gain, findings
from paths import ROOT

STRENGTHS = load_params(ROOT / "params.yaml").degradation
PARAMS = EvaluateParams(ensemble="models/fresh", severities=(3,), bootstrap=100)
PAIRS = [simulated_frame((32, 64), nerve=number % 3 > 0, seed=number) for number in range(12)]
TEST = TestSet(
    np.stack([frame for frame, _ in PAIRS]),
    [mask for _, mask in PAIRS],
    [str(n) for n in range(12)],
    list("aaabbbcccddd"),
    [None] * 12,
)
CUTOFFS = {"unet": Cutoffs(0.3), "control": Cutoffs(0.5), "adversarial": Cutoffs(0.5, 0.0, 0.5)}


def bright(frames):
    """Calls bright pixels nerve; the refined arms are surer of it."""
    probabilities = frames.astype(np.float32) / 255.0
    return {
        "unet": (Estimate(each, 1.0) for each in probabilities),
        "control": (Estimate(np.clip(2 * each - 0.6, 0, 1), 1.0) for each in probabilities),
        "adversarial": (Estimate(np.clip(2 * each - 0.6, 0, 1), float(each.max() > 0.75)) for each in probabilities),
    }


@pytest.fixture(scope="module")
def table():
    return ablation_table(TEST, bright, CUTOFFS, PARAMS, STRENGTHS, seed=0)


def row(table, degradation, severity, model):
    return table.set_index(["degradation", "severity", "model"]).loc[(degradation, severity, model)]


def test_there_is_a_row_for_each_model_clean_in_each_degradation_and_in_all_together(table):
    kinds = ["clean", *DEGRADATIONS, "all"]
    assert table["degradation"].unique().tolist() == kinds
    assert table["model"].unique().tolist() == ["unet_untuned", *CUTOFFS]
    assert len(table) == len(kinds) * 4
    assert set(table.loc[table["severity"] == 0, "degradation"]) == {"clean"}


@pytest.mark.parametrize("model", ["unet_untuned", *CUTOFFS])
def test_clean_scores_are_the_means_of_the_cases(table, model):
    cutoffs = CUTOFFS.get(model, Cutoffs(0.5))
    masks = [cutoffs.mask(each) for each in bright(TEST.frames)[model.removesuffix("_untuned")]]
    cases = pd.DataFrame([case_measures(truth, mask) for truth, mask in zip(TEST.truths, masks, strict=True)])
    found, nerve = row(table, "clean", 0, model), cases["has_nerve"]
    assert found["dice"] == pytest.approx(cases["dice"].mean())
    assert found["iou_nerve"] == pytest.approx(cases.loc[nerve, "iou"].mean())
    outlines = ["hd95", "assd", "nsd"]
    assert found[outlines].tolist() == pytest.approx(cases[outlines].mean().tolist())


def test_a_gain_is_the_mean_difference_from_the_tuned_unet_on_the_same_frames(table):
    for degradation, severity in (("clean", 0), ("speckle", 3), ("all", 3)):
        base = row(table, degradation, severity, "unet")
        for model in ("unet_untuned", "control", "adversarial"):
            found = row(table, degradation, severity, model)
            assert found["dice_nerve_gain"] == pytest.approx(found["dice_nerve"] - base["dice_nerve"])
            assert found["dice_nerve_low"] <= found["dice_nerve_gain"] <= found["dice_nerve_high"]
        assert np.isnan(base["dice_nerve_gain"])


def test_all_degradations_together_are_the_mean_of_each(table):
    for model in CUTOFFS:
        each = [row(table, kind, 3, model)["dice_nerve"] for kind in DEGRADATIONS]
        assert row(table, "all", 3, model)["dice_nerve"] == pytest.approx(np.mean(each))


def test_each_degradation_at_severity_three_is_shown_with_the_masks_of_every_model(table):
    shown = {}
    params = PARAMS.model_copy(update={"severities": (1, 3)})

    def show(kind, frames, masks):
        assert kind not in shown
        dices = {
            model: [case_measures(truth, mask)["dice"] for truth, mask in zip(TEST.truths, of, strict=True)]
            for model, of in masks.items()
        }
        shown[kind] = {"frames": frames} | dices

    ablation_table(TEST, bright, CUTOFFS, params, STRENGTHS, 0, show)
    assert list(shown) == list(DEGRADATIONS)
    assert shown["speckle"]["frames"].shape == TEST.frames.shape
    for model in ("unet_untuned", *CUTOFFS):
        assert np.mean(shown["speckle"][model]) == pytest.approx(row(table, "speckle", 3, model)["dice"])


def test_the_same_seed_degrades_alike_and_another_one_otherwise(table):
    pd.testing.assert_frame_equal(
        table, ablation_table(TEST, bright, CUTOFFS, PARAMS, STRENGTHS, seed=0), check_exact=True
    )
    other = ablation_table(TEST, bright, CUTOFFS, PARAMS, STRENGTHS, seed=1)
    assert row(other, "speckle", 3, "control")["dice"] != row(table, "speckle", 3, "control")["dice"]
    assert row(other, "clean", 0, "control")["dice"] == row(table, "clean", 0, "control")["dice"]


def test_metrics_tell_of_all_degradations_at_severity_three(table):
    scores = degraded_scores(table)
    assert scores.keys() == {"unet_untuned", *CUTOFFS}
    assert scores["control"] == row(table, "all", 3, "control")["dice_nerve"]


def test_an_ablation_of_other_frames_than_the_scores_is_doubted(table):
    dice = row(table, "clean", 0, "unet")["dice"]
    assert doubt(table, dice + 0.005) == "", "another arithmetic"
    assert doubt(table, dice + 0.02).startswith("metrics/robustness.csv is of other frames or another U-Net")


def refinement(arm, *arms):
    scores = dict.fromkeys(("unet", *arms), 0.5)
    return Refinement(arm, scores, scores, (), "Val chose one of them.")


METRICS = {"shipped": {"source": "gan", "arm": "unet", "precision": "int8"}, "export": {}}


def test_the_report_gives_each_refiner_with_its_interval_and_what_ships(table):
    told = findings(table, refinement("control", "control", "adversarial"), METRICS, None)
    found = row(table, "all", 3, "control")
    dice, gain, low, high = (found[f"dice_nerve{end}"] for end in ("", "_gain", "_low", "_high"))
    _, control, adversarial = told.rows["Dice, degraded"]
    assert control == Gain(f"{dice:.3f}", f"{gain:+.3f}", f"{low:+.3f} to {high:+.3f}")
    assert adversarial.score == f"{row(table, 'all', 3, 'adversarial')['dice_nerve']:.3f}"
    assert told.sentences[1] == "Val chose one of them."
    assert f"over the {found['frames_outlined_by_all']} degraded frames that all models outline" in told.sentences[0]


def test_the_report_says_where_no_frame_could_be_compared(table):
    blank = table.assign(hd95_common=np.nan, hd95_common_gain=np.nan, hd95_common_low=np.nan)
    told = findings(blank, refinement("control", "control"), METRICS, None)
    assert told.rows["HD95 (pixels), degraded"] == [Gain("n/a"), Gain("n/a", "no frame to compare")]


def test_the_report_names_no_arm_that_was_not_trained(table):
    told = findings(table[table["model"] != "adversarial"], refinement("unet", "control"), METRICS, None)
    assert told.models == ["U-Net", "Refiner without critic"]
    assert "against a critic" not in told.verdict


def test_a_model_that_draws_nothing_has_no_distance_and_says_so():
    def silent(frames):
        return bright(frames) | {"control": (Estimate(np.zeros(each.shape, np.float32), 0.0) for each in frames)}

    silence = ablation_table(TEST, silent, CUTOFFS, PARAMS, STRENGTHS, seed=0)
    assert degraded_scores(silence)["control"] == 0.0
    found = row(silence, "all", 3, "control")
    assert np.isnan(found["hd95_common"])
    assert (found["frames_outlined"], found["frames_outlined_by_all"]) == (0, 0)
    assert row(silence, "all", 3, "unet")["hd95"] > 0
    assert row(silence, "all", 3, "unet")["frames_outlined"] > 0
    told = findings(silence, refinement("unet", "control"), METRICS, None)
    assert told.rows["HD95 (pixels), degraded"][1] == Gain("n/a", "no frame to compare")


def test_a_model_that_misses_the_hard_frames_gains_no_distance_by_it():
    """Its outlines are the U-Net's, and of the frame with the longest distance it draws nothing."""

    def shy(frames):
        drawn = list(bright(frames)["unet"])
        found = [case_measures(t, CUTOFFS["unet"].mask(e))["hd95"] for t, e in zip(TEST.truths, drawn, strict=True)]
        hardest = int(np.nanargmax(found))
        quiet = [Estimate(0 * e.probability, 0.0) if n == hardest else e for n, e in enumerate(drawn)]
        return {"unet": iter(drawn), "control": iter(quiet)}

    cutoffs = {"unet": CUTOFFS["unet"], "control": CUTOFFS["unet"]}
    found = ablation_table(TEST, shy, cutoffs, PARAMS, STRENGTHS, seed=0)
    unet, control = (row(found, "clean", 0, model) for model in ("unet", "control"))
    assert control["hd95"] < unet["hd95"], "over frames of its own it looks better"
    assert control["hd95_common"] == unet["hd95_common"]
    assert control["hd95_common_gain"] == 0.0
    assert (unet["frames_outlined"], control["frames_outlined"], control["frames_outlined_by_all"]) == (8, 7, 7)
    assert control["dice_nerve_gain"] < 0


def test_the_gain_in_distance_is_the_difference_of_the_means_beside_it(table):
    for kind in ("clean", "all"):
        found = {model: row(table, kind, 0 if kind == "clean" else 3, model) for model in CUTOFFS}
        for model in ("control", "adversarial"):
            difference = found[model]["hd95_common"] - found["unet"]["hd95_common"]
            assert found[model]["hd95_common_gain"] == pytest.approx(difference, abs=1e-9)


def test_of_one_subject_the_table_and_the_report_give_no_interval():
    alone = replace(TEST, subjects=["a"] * 12)
    table = ablation_table(alone, bright, CUTOFFS, PARAMS, STRENGTHS, seed=0)
    found = row(table, "all", 3, "control")
    assert np.isnan(found["dice_nerve_low"])
    assert found["dice_nerve_no_interval"] == "one subject"
    told = findings(table, refinement("control", "control"), METRICS, None)
    assert told.rows["Dice, degraded"][1].interval == "no interval: one subject"
