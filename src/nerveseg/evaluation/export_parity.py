"""Whether the exported model keeps the Dice of the trained one.

The two are compared frame by frame, which cancels what is hard about a frame, and the changes are averaged over subjects. `export`
chooses its arithmetic on val, with `loss_not_excluded`. `evaluate` reports the change on test.
"""

from collections.abc import Mapping

import pandas as pd

from nerveseg.evaluation.model_names import SHIPPED
from nerveseg.measures.intervals import Interval, lower_bound, subject_interval
from nerveseg.measures.scores import HEADLINE

LEAST_SUBJECTS = 5  # fewer are all on one side of the median by chance in more than 5 % of draws (2 ** -4)


def changes(exported: pd.DataFrame, trained: pd.DataFrame) -> pd.DataFrame:
    """Subtract the Dice of the trained model from that of the exported one, frame by frame.

    Both have the columns `subject`, `has_nerve` and `dice`, and a row for each frame in the same order. Returned are
    `subject`, `dice`, and `dice_nerve`, NaN where the frame shows no nerve.
    """
    change = exported["dice"].to_numpy() - trained["dice"].to_numpy()
    table = pd.DataFrame({"subject": exported["subject"].to_numpy(), "dice": change})
    return table.assign(dice_nerve=table["dice"].where(exported["has_nerve"].to_numpy(bool)))


def loss_not_excluded(changed: pd.DataFrame, resamples: int, seed: int) -> float:
    """Return the one-sided 95 % bound of the loss of Dice; infinite if fewer than `LEAST_SUBJECTS` show a nerve."""
    return max(-lower_bound(changed, key, resamples, seed, least_subjects=LEAST_SUBJECTS) for key in HEADLINE)


def reported(changed: pd.DataFrame, resamples: int, seed: int) -> dict[str, float | str | None]:
    """Return the mean change of each of `HEADLINE` that is defined, for example `dice_change`, and its 95 % interval."""
    found: dict[str, float | str | None] = {}
    for key in HEADLINE:
        if changed[key].notna().any():
            interval = subject_interval(changed, key, resamples, seed)
            found |= {f"{key}_change": float(changed[key].mean())} | interval.as_json(f"{key}_change")
    return found


def on_test(
    cases: pd.DataFrame, source: str, precision: str, allowed: float, resamples: int, seed: int
) -> dict[str, float | str | None]:
    """Return what the export of the model `source` changed (`reported`), and a `warning` if there is one.

    `cases` are of `TestSet.cases`, of the model that ships and of its source; `precision` is the arithmetic of the
    exported model, `allowed` is `export.max_difference`.
    """
    exported, trained = (cases[cases["model"] == name] for name in (SHIPPED, source))
    found = reported(changes(exported, trained), resamples, seed)
    warning = warning_on(found, allowed, precision)
    return found | ({"warning": warning} if warning else {})


def warning_on(found: Mapping[str, float | str | None], allowed: float, precision: str) -> str | None:
    """Return a sentence if the export lost more Dice than allowed, beyond chance, by `reported`; else None."""
    told = []
    for key in HEADLINE:
        change, interval = found.get(f"{key}_change"), Interval.of(dict(found), f"{key}_change")
        if isinstance(change, float) and (change if interval.missing else interval.high) < -allowed:
            told.append(f"{key} changed by {change:+.4f} {interval.beside('+.4f')}")
    if not told:
        return None
    remedy = (
        "set export.precision to float32, or allow more, and type `dvc repro`"
        if precision == "int8"
        else "make it again with `dvc repro --force export evaluate`"
    )
    return (
        f"on the test frames models/exported loses more than export.max_difference {allowed:g} against what was trained: "
        f"{' and '.join(told)}; {remedy}"
    )
