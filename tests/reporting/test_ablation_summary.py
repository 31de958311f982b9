"""What the report says of the refiner: the verdict, the table, what ships, and what the degraded frame is an example of."""

import numpy as np
import pandas as pd
import pytest

from nerveseg.evaluation.rescued_frame import Rescue
from nerveseg.refinement.outcome import Refinement
from nerveseg.reporting.ablation_summary import Gain, example, findings, shipped

NOTHING = np.zeros((2, 2), bool)
RESCUE = Rescue("48_2", "low_gain", "control", 0.834, np.zeros((2, 2), np.uint8), NOTHING, NOTHING, False)
METRICS = {
    "shipped": {"source": "gan", "arm": "control", "precision": "int8"},
    "counts": {"frames": 20, "frames_with_nerve": 9, "subjects": 4},
    "export": {"dice_change": 0.0, "dice_change_low": 0.0, "dice_change_high": 0.0},
}


def ablation(**gains):
    """Rows of clean, blurred and all degraded frames; `gains` are those of each arm on degraded frames."""
    rows = []
    for kind, severity in (("clean", 0), ("blur", 3), ("jpeg", 3), ("all", 3)):
        for arm, gain in {"unet": np.nan, **gains}.items():
            changed = gain if severity else 0.0
            row = {"degradation": kind, "severity": severity, "model": arm, "frames_outlined_by_all": 7}
            for measure in ("dice_nerve", "hd95_common"):
                row |= {measure: 0.5, f"{measure}_gain": changed}
                row |= {
                    f"{measure}_low": min(changed / 2, 2 * changed),
                    f"{measure}_high": max(changed / 2, 2 * changed),
                }
            rows.append(row)
    return pd.DataFrame(rows)


def refinement(*arms):
    scores = dict.fromkeys(("unet", *arms), 0.5)
    return Refinement("control", scores, scores, (), "Val chose one.")


def found(table, *arms):
    return findings(table, refinement(*arms), METRICS, RESCUE)


def test_the_verdict_is_one_sentence_with_a_clause_for_degraded_and_one_for_clean_frames():
    verdicts = {
        (0.1, 0.2): "both refiners raised Dice",
        (
            0.1,
            0.0,
        ): "the refiner trained without a critic raised Dice, and the refiner trained against a critic changed nothing",
        (-0.1, -0.2): "both refiners lowered Dice",
    }
    for (control, adversarial), told in verdicts.items():
        table = ablation(control=control, adversarial=adversarial)
        said = f"On degraded test frames with a nerve, {told}; on clean ones, both refiners changed nothing."
        assert found(table, "control", "adversarial").verdict == said


def test_a_change_whose_interval_holds_zero_may_be_chance_and_one_without_an_interval_is_no_verdict():
    table = ablation(control=0.1)
    assert "changed Dice no more than chance might" in found(table.assign(dice_nerve_low=-0.1), "control").verdict
    alone = table.assign(dice_nerve_no_interval="one subject")
    assert "without a critic changed Dice by an amount that has no interval" in found(alone, "control").verdict


def test_the_table_gives_each_score_its_gain_and_interval():
    told = found(ablation(control=0.1, adversarial=0.0), "control", "adversarial")
    assert told.models == ["U-Net", "Refiner without critic", "Refiner with critic"]
    same = [Gain("0.500"), Gain("0.500", "no change"), Gain("0.500", "no change")]
    raised = [Gain("0.500"), Gain("0.500", "+0.100", "+0.050 to +0.200"), Gain("0.500", "no change")]
    assert (told.rows["Dice, clean"], told.rows["Dice, degraded"]) == (same, raised)
    assert told.rows["HD95 (pixels), degraded"][1] == Gain("0.5", "+0.1", "+0.1 to +0.2")


def test_beside_the_table_stand_what_it_is_of_and_why_val_chose():
    legend, reason, *_ = found(ablation(control=0.1), "control").sentences
    for part in ("frames with a nerve", "at severity 3", "over the U-Net with its cut-offs", "the 7 degraded frames"):
        assert part in legend
    assert reason == "Val chose one."


def test_a_gain_of_zero_whose_interval_is_not_is_told():
    table = ablation(control=0.0)
    table["dice_nerve_high"] = 0.02
    assert found(table, "control").rows["Dice, clean"][1] == Gain("0.500", "+0.000", "+0.000 to +0.020")


@pytest.mark.parametrize(
    ("change", "told"), [(0.00001, "changed no Dice."), (0.0005, "changed Dice by +0.0005 on all")]
)
def test_what_the_export_changed_is_told_if_it_can_be_seen(change, told):
    export = {"dice_change": change, "dice_change_low": 0.0, "dice_change_high": 2 * change}
    (sentence,) = shipped(METRICS | {"export": export})
    assert told in sentence


def test_the_example_is_called_the_best_case_and_stands_beside_the_mean():
    told = example(RESCUE, ablation(control=0.1), METRICS)
    assert "best case: of 18 degraded frames with a nerve" in told
    assert "48_2 (Low gain) most, by 0.83 over the better of" in told
    assert told.endswith("The mean gain over all of them is +0.100 (95 % +0.050 to +0.200).")


@pytest.mark.parametrize("source", [("gan", "unet"), ("ensemble", None)])
def test_without_a_refiner_that_ships_the_page_says_why_there_is_no_example(source):
    ships = dict(zip(("source", "arm"), source, strict=True))
    assert example(None, ablation(control=0.1), METRICS | {"shipped": ships}).startswith("No refiner ships")
    assert "of no degraded test frame" in example(None, ablation(control=0.1), METRICS)
