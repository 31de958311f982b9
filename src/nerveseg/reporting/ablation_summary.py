"""Sentences for the report: what the ablation found, and what ships."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from nerveseg.evaluation.model_names import ENSEMBLE, what_ships
from nerveseg.evaluation.robustness import CLEAN, POOLED, REPORTED
from nerveseg.measures.intervals import Interval
from nerveseg.measures.scores import HEADLINE, SCORES
from nerveseg.refinement.outcome import Refinement

NAMES = {"control": "without a critic", "adversarial": "against a critic"}


def verdict(table: pd.DataFrame, refinement: Refinement) -> str:
    """Summarise the ablation table, and why val chose its arm."""
    cells = zip(table["degradation"], table["severity"], table["model"], strict=True)
    rows = dict(zip(cells, table.to_dict("records"), strict=True))
    told = [
        f"the refiner trained {name} changed Dice by {_change(rows[(POOLED, REPORTED, arm)], 'dice_nerve')}, "
        f"HD95 by {_change(rows[(POOLED, REPORTED, arm)], 'hd95_common', ' pixels')}, and on clean frames Dice by "
        f"{_change(rows[(CLEAN, 0, arm)], 'dice_nerve')}"
        for arm, name in NAMES.items()
        if arm in refinement.clean
    ]
    outlined = int(rows[(POOLED, REPORTED, "unet")]["frames_outlined_by_all"])
    return (
        f"Against the U-Net with its cut-offs, on test frames with a nerve degraded at severity {REPORTED}, "
        f"{'; '.join(told)}. HD95 is over the {outlined:,} degraded frames that all models outline. {refinement.reason}"
    )


def shipped(metrics: Mapping[str, Any]) -> list[str]:
    """Say what ships, by how much the export changed its Dice, and whether that is too much, from `metrics.json`."""
    export = metrics["export"]
    changes = [
        f"{export[f'{key}_change']:+.4f} on {SCORES[key].over.label} {Interval.of(export, f'{key}_change').beside('+.4f')}"
        for key in HEADLINE
        if f"{key}_change" in export
    ]
    instead = ", in place of the arm that val chose" if metrics["shipped"]["source"] == ENSEMBLE else ""
    told = f"“Shipped” is {what_ships(metrics)}{instead}; its export changed Dice by {' and '.join(changes)}."
    return [told, *([f"Warning: {export['warning']}."] if "warning" in export else [])]


def _change(row: Mapping[Hashable, Any], measure: str, unit: str = "") -> str:
    """Return the mean gain with its 95 % interval, or say that there is none."""
    gain = row[f"{measure}_gain"]
    if pd.isna(gain):
        return "an unknown amount (no frame to compare)"
    form = "+.1f" if unit else "+.3f"
    return f"{gain:{form}}{unit} {Interval.of(row, measure).beside(form)}"
