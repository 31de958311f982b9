"""What the ablation came to, in one honest sentence or two."""

from collections.abc import Mapping

import pandas as pd

from nerveseg.evaluation.ablation import CLEAN, POOLED, REPORTED
from nerveseg.refinement import Refinement

NAMES = {"control": "without a critic", "adversarial": "against a critic"}


def verdict(table: pd.DataFrame, refinement: Refinement) -> str:
    """From the ablation table, and what val chose to ship."""
    rows = table.set_index(["degradation", "severity", "model"])
    told = [
        f"the refiner trained {name} changed Dice by {_change(rows.loc[(POOLED, REPORTED, arm)], 'dice_nerve', '')} and "
        f"HD95 by {_change(rows.loc[(POOLED, REPORTED, arm)], 'hd95', ' pixels')}, on clean frames Dice by "
        f"{_change(rows.loc[(CLEAN, 0, arm)], 'dice_nerve', '')}"
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


def _change(row: Mapping[str, float], measure: str, unit: str) -> str:
    """Mean and 95 % interval."""
    gain, low, high = (row[f"{measure}_{bound}"] for bound in ("gain", "low", "high"))
    digits = 1 if unit else 3
    return f"{gain:+.{digits}f}{unit} (95 % {low:+.{digits}f} to {high:+.{digits}f})"
