"""Sentences for the report: what the ablation found, and what ships."""

from collections.abc import Hashable, Mapping, Sequence
from math import isnan
from typing import Any

import pandas as pd

from nerveseg.evaluation.model_names import BASE, ENSEMBLE, what_ships
from nerveseg.evaluation.rescued_frame import Rescue
from nerveseg.evaluation.robustness import CLEAN, POOLED, REPORTED
from nerveseg.measures.intervals import Interval
from nerveseg.measures.scores import HEADLINE, SCORES
from nerveseg.refinement.outcome import Refinement
from nerveseg.reporting.figures.plots import titled

NAMES = {"control": "without a critic", "adversarial": "against a critic"}


def verdict(table: pd.DataFrame, refinement: Refinement) -> str:
    """Summarise the ablation table, and why val chose its arm."""
    cells = zip(table["degradation"], table["severity"], table["model"], strict=True)
    rows = dict(zip(cells, table.to_dict("records"), strict=True))
    arms = {arm: f"the refiner trained {name}" for arm, name in NAMES.items() if arm in refinement.clean}
    poor = {who: _changes(rows[(POOLED, REPORTED, arm)], "dice_nerve", "hd95_common") for arm, who in arms.items()}
    clean = {who: _changes(rows[(CLEAN, 0, arm)], "dice_nerve") for arm, who in arms.items()}
    outlined = int(rows[(POOLED, REPORTED, BASE)]["frames_outlined_by_all"])
    return (
        f"Against the U-Net with its cut-offs, on test frames with a nerve degraded at severity {REPORTED}, {_told(poor)}. "
        f"HD95 is over the {outlined:,} degraded frames that all models outline. On clean frames with a nerve, "
        f"{_told(clean)}. {refinement.reason}"
    )


def example(rescue: Rescue | None, table: pd.DataFrame, metrics: Mapping[str, Any]) -> str:
    """Say what the picture of a degraded frame is an example of, or why there is none."""
    arm = metrics["shipped"]["arm"]
    if arm in (None, BASE):
        return "No refiner ships, so this page shows no degraded frame that one helps."
    if rescue is None:
        return "The refiner that ships raises the Dice of no degraded test frame."
    poor = table[(table["severity"] == REPORTED) & (table["degradation"] != POOLED)]
    among = poor["degradation"].nunique() * metrics["counts"]["frames_with_nerve"]
    (mean,) = table[
        (table["degradation"] == POOLED) & (table["severity"] == REPORTED) & (table["model"] == arm)
    ].to_dict("records")
    return (
        f"The last row of the figure “Comparison” shows the best case: of {among:,} degraded frames with a nerve, the refiner that ships raised the Dice of "
        f"{rescue.frame} ({titled(rescue.degradation)}) most, by {rescue.gain:.2f} over the better of the U-Net’s masks with and without its cut-offs. The mean gain over all of "
        f"them is {mean['dice_nerve_gain']:+.3f} {Interval.of(mean, 'dice_nerve').beside('+.3f')}."
    )


def shipped(metrics: Mapping[str, Any]) -> list[str]:
    """Say what ships, by how much the export changed its Dice, and whether that is too much, from `metrics.json`."""
    export = metrics["export"]
    changes = [
        change
        for key in HEADLINE
        if f"{key}_change" in export
        and (
            change := _change(
                export[f"{key}_change"], Interval.of(export, f"{key}_change"), "+.4f", f" on {SCORES[key].over.label}"
            )
        )
    ]
    instead = ", in place of the arm that val chose" if metrics["shipped"]["source"] == ENSEMBLE else ""
    changed = f"changed Dice by {' and '.join(changes)}" if changes else "changed no Dice"
    told = f"“Shipped” is {what_ships(metrics)}{instead}; its export {changed}."
    return [told, *([f"Warning: {export['warning']}."] if "warning" in export else [])]


def _told(changes: Mapping[str, Sequence[str]]) -> str:
    """Say who changed what, and in one clause who changed nothing."""
    if not any(changes.values()):
        return "no refiner changed anything"
    same = [who for who, told in changes.items() if not told]
    some = [f"{who} changed {', '.join(told)}" for who, told in changes.items() if told]
    return "; ".join([*some, *([f"{' and '.join(same)} changed nothing"] if same else [])])


def _changes(row: Mapping[Hashable, Any], *measures: str) -> list[str]:
    """Return which of Dice and HD95 changed, by how much."""
    told = []
    for measure in measures:
        name, form, unit = ("HD95", "+.1f", " pixels") if measure == "hd95_common" else ("Dice", "+.3f", "")
        if change := _change(row[f"{measure}_gain"], Interval.of(row, measure), form, unit):
            told.append(f"{name} by {change}")
    return told


def _change(gain: float, interval: Interval, form: str, unit: str = "") -> str:
    """Return the mean gain with its 95 % interval; empty if all of that rounds to 0."""
    if isnan(gain):
        return "an unknown amount (no frame to compare)"
    if not any(float(f"{number:{form}}") for number in (gain, interval.low, interval.high) if not isnan(number)):
        return ""
    return f"{gain:{form}}{unit} {interval.beside(form)}"
