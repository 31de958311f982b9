"""Which cases are shown, and what is to be said of one: by rule, never by hand.

`scores` are rows of `metrics/cases.csv`.
"""

import pandas as pd

POOR = 0.7  # Dice below which an outline is called poor
KINDS = {  # of outcomes, the worst first
    "missed": "nerve missed",
    "false_alarm": "nerve where none is annotated",
    "elsewhere": "outline apart from the nerve",
    "poor": f"outline with Dice below {POOR}",
    "good": f"outline with Dice {POOR} or more",
    "none": "no nerve, and none drawn",
}


def outcome(has_nerve: bool, predicted_area: int, dice: float) -> str:  # noqa: FBT001
    """The one of `KINDS` that a prediction belongs to."""
    if not has_nerve:
        return "false_alarm" if predicted_area else "none"
    if not predicted_area:
        return "missed"
    if dice == 0:
        return "elsewhere"
    return "poor" if dice < POOR else "good"


def chosen(scores: pd.DataFrame, count: int, shipped: str = "gan") -> dict[str, str]:
    """About `count` frames with a nerve, and whether each is among the best, median or worst by the Dice of the model that ships:
    a third of each, the best first. Of equal ones that whose name comes first is the better one.
    """
    rows = scores[(scores["model"] == shipped) & scores["has_nerve"]]
    ranked = rows.sort_values(["dice", "frame"], ascending=[False, True])["frame"].tolist()
    each = max(1, min(count, len(ranked)) // 3)
    middle = max(0, (len(ranked) - each) // 2)
    parts = {"worst": ranked[-each:], "median": ranked[middle : middle + each], "best": ranked[:each]}
    why = {name: part for part, names in parts.items() for name in names}
    return {name: why[name] for name in ranked if name in why}
