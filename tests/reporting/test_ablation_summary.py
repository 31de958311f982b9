"""What the report says in sentences: what ships, what changed, what did not, and what the degraded frame is an example of."""

import numpy as np
import pandas as pd
import pytest

from nerveseg.evaluation.rescued_frame import Rescue
from nerveseg.refinement.outcome import Refinement
from nerveseg.reporting.ablation_summary import example, shipped, verdict

NOTHING = np.zeros((2, 2), bool)
RESCUE = Rescue("48_2", "low_gain", "control", 0.834, np.zeros((2, 2), np.uint8), NOTHING, NOTHING, False)
METRICS = {
    "shipped": {"source": "gan", "arm": "control", "precision": "int8"},
    "counts": {"frames": 20, "frames_with_nerve": 9, "subjects": 4},
}


def ablation(**gains):
    """Rows of clean, blurred and all degraded frames; `gains` are those of each arm on degraded frames."""
    rows = []
    for kind, severity in (("clean", 0), ("blur", 3), ("jpeg", 3), ("all", 3)):
        for arm, gain in {"unet": np.nan, **gains}.items():
            changed = gain if severity else 0.0
            row = {"degradation": kind, "severity": severity, "model": arm, "frames_outlined_by_all": 7}
            for measure in ("dice_nerve", "hd95_common"):
                row |= {f"{measure}_gain": changed, f"{measure}_low": changed / 2, f"{measure}_high": 2 * changed}
            rows.append(row)
    return pd.DataFrame(rows)


def refinement(*arms):
    scores = dict.fromkeys(("unet", *arms), 0.5)
    return Refinement("control", scores, scores, (), "Val chose one.")


def test_a_refiner_that_changes_nothing_is_said_to_in_one_clause():
    told = verdict(ablation(control=0.1, adversarial=0.0), refinement("control", "adversarial"))
    assert "trained without a critic changed Dice by +0.100 (95 % +0.050 to +0.200), HD95 by +0.1 pixels" in told
    assert "; the refiner trained against a critic changed nothing. " in told
    assert "On clean frames with a nerve, no refiner changed anything." in told
    assert "0.000" not in told


def test_a_gain_of_zero_whose_interval_is_not_is_told():
    table = ablation(control=0.0)
    table["dice_nerve_high"] = 0.02
    told = verdict(table, refinement("control"))
    assert "changed Dice by +0.000 (95 % +0.000 to +0.020)" in told


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
