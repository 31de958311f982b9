"""What the report says of the refiner: a verdict, the ablation's table, and sentences on what ships.

Scores are over test frames with a nerve. Gains are over the U-Net with its cut-offs.
"""

from collections.abc import Hashable, Mapping, Sequence
from math import isnan
from typing import Any, NamedTuple

import pandas as pd

from nerveseg.evaluation.model_names import BASE, ENSEMBLE, LABELS, what_ships
from nerveseg.evaluation.rescued_frame import Rescue
from nerveseg.evaluation.robustness import CLEAN, POOLED, REPORTED
from nerveseg.measures.intervals import Interval
from nerveseg.measures.scores import HEADLINE, SCORES
from nerveseg.refinement.outcome import Refinement
from nerveseg.reporting.figures.plots import titled

NAMES = {"control": "trained without a critic", "adversarial": "trained against a critic"}
DICE, DISTANCE = ("dice_nerve", ".3f"), ("hd95_common", ".1f")  # a measure and its format
SEEN_ON = {"Dice, clean": (CLEAN, 0, *DICE), "Dice, degraded": (POOLED, REPORTED, *DICE),
           "HD95 (pixels), degraded": (POOLED, REPORTED, *DISTANCE)}  # fmt: skip

Row = Mapping[Hashable, Any]  # of the ablation table


class Gain(NamedTuple):
    """A cell of the table: a score, its gain, and the gain's interval or why there is none."""

    score: str
    gain: str = ""
    interval: str = ""


class Findings(NamedTuple):
    verdict: str
    models: Sequence[str] = ()  # the columns' heads
    rows: Mapping[str, Sequence[Gain]] = {}  # by the row's head
    sentences: Sequence[str] = ()


def findings(
    table: pd.DataFrame, refinement: Refinement, metrics: Mapping[str, Any], rescue: Rescue | None
) -> Findings:
    """Compare the U-Net with the refiners that were trained, and say what ships and why."""
    cells = zip(table["degradation"], table["severity"], table["model"], strict=True)
    found: dict[tuple[str, int, str], Row] = dict(zip(cells, table.to_dict("records"), strict=True))
    arms = [arm for arm in NAMES if arm in refinement.clean]
    poor, clean = ({arm: _effect(found[*seen, arm]) for arm in arms} for seen in ((POOLED, REPORTED), (CLEAN, 0)))
    outlined = int(found[POOLED, REPORTED, BASE]["frames_outlined_by_all"])
    return Findings(
        f"On degraded test frames with a nerve, {_verdict(poor)}; on clean ones, {_verdict(clean)}.",
        [LABELS[model] for model in (BASE, *arms)],
        {
            head: [_cell(found[kind, severity, model], measure, form) for model in (BASE, *arms)]
            for head, (kind, severity, measure, form) in SEEN_ON.items()
        },
        [
            _legend(outlined),
            refinement.reason,
            *shipped(metrics),
            example(rescue, table, metrics),
            *refinement.remarks,
        ],
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


def _legend(outlined: int) -> str:
    return (
        f"All are means over test frames with a nerve, clean ones or degraded in every way at severity {REPORTED}. Below a score: "
        "its gain over the U-Net with its cut-offs, and the gain’s 95 % interval. A lower HD95 is better; it is over the "
        f"{outlined:,} degraded frames that all models outline."
    )


def _verdict(effects: Mapping[str, str]) -> str:
    """Say which arm had which effect, in one clause for those that had the same."""
    if len(effects) > 1 and len(set(effects.values())) == 1:
        return f"both refiners {next(iter(effects.values()))}"
    return ", and ".join(f"the refiner {NAMES[arm]} {effect}" for arm, effect in effects.items())


def _effect(row: Row) -> str:
    measure, form = DICE
    gain, interval = row[f"{measure}_gain"], Interval.of(row, measure)
    if not _change(gain, interval, f"+{form}"):
        return "changed nothing"
    if isnan(gain) or interval.missing:
        return "changed Dice by an amount that has no interval"
    if interval.low > 0:
        return "raised Dice"
    return "lowered Dice" if interval.high < 0 else "changed Dice no more than chance might"


def _cell(row: Row, measure: str, form: str) -> Gain:
    score = "n/a" if isnan(row[measure]) else f"{row[measure]:{form}}"
    if row["model"] == BASE:
        return Gain(score)
    gain, interval = row[f"{measure}_gain"], Interval.of(row, measure)
    if isnan(gain):
        return Gain(score, "no frame to compare")
    if not _change(gain, interval, f"+{form}"):
        return Gain(score, "no change")
    told = f"no interval: {interval.missing}" if interval.missing else interval.told(f"+{form}")
    return Gain(score, f"{gain:+{form}}", told)


def _change(gain: float, interval: Interval, form: str, unit: str = "") -> str:
    """Return the mean gain with its 95 % interval; empty if all of that rounds to 0."""
    if isnan(gain):
        return "an unknown amount (no frame to compare)"
    if not any(float(f"{number:{form}}") for number in (gain, interval.low, interval.high) if not isnan(number)):
        return ""
    return f"{gain:{form}}{unit} {interval.beside(form)}"
