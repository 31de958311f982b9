"""What the ablation came to, in one honest sentence or two."""

import math
from collections.abc import Hashable, Mapping

import pandas as pd

from nerveseg.evaluation.ablation import CLEAN, POOLED, REPORTED
from nerveseg.refinement import Refinement

NAMES = {"control": "without a critic", "adversarial": "against a critic"}


def verdict(table: pd.DataFrame, refinement: Refinement) -> str:
    """From the ablation table, and what val chose to ship."""
    cells = zip(table["degradation"], table["severity"], table["model"], strict=True)
    rows = dict(zip(cells, table.to_dict("records"), strict=True))
    told = [
        f"the refiner trained {name} changed Dice by {_change(rows[(POOLED, REPORTED, arm)], 'dice_nerve', '')} and "
        f"HD95 by {_change(rows[(POOLED, REPORTED, arm)], 'hd95', ' pixels')}, on clean frames Dice by "
        f"{_change(rows[(CLEAN, 0, arm)], 'dice_nerve', '')}"
        for arm, name in NAMES.items()
        if arm in refinement.clean
    ]
    shipped = (
        f"On val the one trained {NAMES[refinement.arm]} gained most, so that it ships."
        if refinement.used
        else "On val none gained over the U-Net with its cut-offs, so that this ships."
    )
    return (
        f"Against the U-Net with its cut-offs, on test frames with a nerve degraded at severity {REPORTED}, "
        f"{'; '.join(told)}. {shipped}"
    )


def _change(row: Mapping[Hashable, float], measure: str, unit: str) -> str:
    """Mean and 95 % interval; where no frame could be compared, as where nothing was drawn, it says so."""
    gain, low, high = (row[f"{measure}_{bound}"] for bound in ("gain", "low", "high"))
    if math.isnan(gain):
        return "nothing that can be told (no frame to compare)"
    digits = 1 if unit else 3
    return f"{gain:+.{digits}f}{unit} (95 % {low:+.{digits}f} to {high:+.{digits}f})"
