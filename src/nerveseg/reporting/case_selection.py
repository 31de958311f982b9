"""Which cases the report shows, and what the outcome of a case is called. `scores` are rows of `metrics/cases.csv`."""

import pandas as pd

from nerveseg.evaluation.model_names import SHIPPED

POOR = 0.7  # Dice below which an outline is called poor
KINDS = {  # of outcomes, the worst first: what it is called, and what it means
    "missed": "the nerve was missed",
    "withheld": "a pixel reached probability 0.5, but a cut-off left no outline, as the region is too small or the presence too low",
    "false alarm": "a nerve was drawn where none is annotated",
    "apart": "the outline lies apart from the nerve",
    "poor": f"the outline has a Dice below {POOR}",
    "good": f"the outline has a Dice of {POOR} or more",
    "no nerve": "none is annotated, and none was drawn",
}


def outcome(has_nerve: bool, predicted_area: int, dice: float, *, withheld: bool = False) -> str:  # noqa: FBT001
    """Return the one of `KINDS` that a prediction belongs to; `withheld` means that a cut-off removed its mask."""
    if not has_nerve:
        return "false alarm" if predicted_area else "no nerve"
    if not predicted_area:
        return "withheld" if withheld else "missed"
    if dice == 0:
        return "apart"
    return "poor" if dice < POOR else "good"


def chosen(scores: pd.DataFrame, count: int, shipped: str = SHIPPED) -> dict[str, str]:
    """Choose about `count` frames with a nerve: worst, median and best thirds by what ships, in that order."""
    rows = scores[(scores["model"] == shipped) & scores["has_nerve"]]
    ranked = rows.sort_values(["dice", "frame"])["frame"].tolist()
    each = max(1, min(count, len(ranked)) // 3)
    middle = max(0, (len(ranked) - each) // 2)
    parts = {"worst": ranked[:each], "median": ranked[middle : middle + each], "best": ranked[-each:]}
    why = {name: part for part, names in parts.items() for name in names}
    return {name: why[name] for name in ranked if name in why}
