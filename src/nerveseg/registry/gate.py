"""Compares a model with the one whose place it would take, and fails it if Dice clearly fell.

Both are rows of one model in `metrics/cases.csv`, paired by frame, so that how hard a frame is drops out. A model fails if

    the mean change of `dice_nerve` is below `-margin`, or
    the mean change of `dice` in a stratum (`subgroups`: presence, thirds by size, subjects) is below `-stratum_margin`

Subjects have few frames, and one missed nerve moves a subject's mean by more than any sensible margin. So a subject fails only if
the whole interval of its change lies below `-stratum_margin`: no model fails because of one frame. Intervals are at 95 %, over
subjects; for one subject, over its frames. If all its frames changed by the same amount, that amount is used instead.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from nerveseg.errors import ComparisonError
from nerveseg.evaluation.subgroups import parts_of
from nerveseg.measures.intervals import ALL_EQUAL, subject_interval
from nerveseg.params.fields import Section
from nerveseg.text.wording import some

ALL, SUBJECT = "all", "subject"
DECISIVE, CHALLENGE = "dice_nerve", "dice"
_OF_THE_FRAME = ("subject", "has_nerve", "truth_area")  # equal in both, or the test data differ
_NEEDED = ("frame", "dice", *_OF_THE_FRAME)
_ROUNDING = 1e-9  # of sums of floats: a fall by exactly the margin passes
_SHOWN = 3  # frames in a message


class GateParams(Section):
    margin: Annotated[float, Field(ge=0.0, lt=1.0)]
    stratum_margin: Annotated[float, Field(ge=0.0, lt=1.0)]


@dataclass(frozen=True)
class Verdict:
    """The result: `passed`; `reasons`, a sentence for each failure; and `table`, a row for each comparison.

    Columns: `stratum` (`all`, `presence`, `size` or `subject`) and `part`, its name there (of `all`: the score); `frames` and
    `subjects`; `base` and `now`, the mean Dice of each model; `change` with its interval `low` to `high`, NaN without one, and
    `no_interval`, the reason for that; `margin`, NaN if the row decides nothing; `failed`.
    """

    passed: bool
    reasons: tuple[str, ...]
    table: pd.DataFrame

    @property
    def change(self) -> float:
        """Of `dice_nerve`."""
        return float(self.table["change"].iloc[0])


def judge(base: pd.DataFrame, now: pd.DataFrame, margins: GateParams, resamples: int, seed: int) -> Verdict:
    """Compare the cases of a new model, `now`, with those of the model in place, `base`.

    Both have the columns `frame`, `subject`, `has_nerve`, `truth_area` and `dice`, `now` also `frame_area`. Raise
    ComparisonError if the frames differ, or if none shows a nerve.
    """
    pairs = _paired(base, now)
    rows = []
    for stratum, part, margin, of in _comparisons(pairs, margins):
        drawn = of.assign(subject=of["frame"]) if stratum == SUBJECT else of
        low, high, missing = subject_interval(drawn, "change", resamples, seed)
        change = of["change"].mean()
        certain = change if missing == ALL_EQUAL else high
        fell = (certain if stratum == SUBJECT else change) < -margin - _ROUNDING
        means = {"base": of["dice_base"].mean(), "now": of["dice"].mean(), "change": change, "low": low, "high": high}
        counts = {"frames": len(of), "subjects": of["subject"].nunique()}
        why = missing.replace("subject", "frame") if stratum == SUBJECT else missing
        decision = {"margin": margin, "failed": bool(fell), "no_interval": why}
        rows.append({"stratum": stratum, "part": part, **counts, **means, **decision})
    table = pd.DataFrame(rows)
    reasons = tuple(_reason(row) for row in table[table["failed"]].to_dict("records"))
    return Verdict(not reasons, reasons, table)


def _comparisons(pairs: pd.DataFrame, margins: GateParams) -> Iterator[tuple[str, str, float, pd.DataFrame]]:
    yield ALL, DECISIVE, margins.margin, pairs[pairs["has_nerve"]]
    yield ALL, CHALLENGE, float("nan"), pairs
    for stratum, parts in parts_of(pairs).items():
        for part, of in pairs.groupby(parts, observed=True):
            yield stratum, str(part), margins.stratum_margin, of


def _paired(base: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Return the frames of `now`, with `dice_base` and `change`."""
    for name, table, needed in (("the base", base, _NEEDED), ("the new model", now, (*_NEEDED, "frame_area"))):
        if missing := [column for column in needed if column not in table]:
            raise ComparisonError(
                f"the cases of {name} lack {', '.join(missing)}; an older version may have written them: score that model "
                "again with `dvc repro`"
            )
        if (twice := table["frame"].duplicated()).any():
            raise ComparisonError(
                f"the cases of {name} name a frame twice ({some(table.loc[twice, 'frame'], _SHOWN)}); score that model again"
            )
    differ, both = "the test data differ, so the models cannot be compared", "score both on one data set and split"
    before, after = base.set_index("frame"), now.set_index("frame")
    only = {"in the base": before.index.difference(after.index), "now": after.index.difference(before.index)}
    if found := [f"{len(names)} only {where} ({some(names, _SHOWN)})" for where, names in only.items() if len(names)]:
        raise ComparisonError(f"{differ}: of the test frames {' and '.join(found)}; {both}")
    before = before.reindex(after.index)
    for column in _OF_THE_FRAME:
        if (other := before[column] != after[column]).any():
            raise ComparisonError(
                f"{differ}: {column} in {other.sum()} of {len(after)} frames ({some(after.index[other], _SHOWN)}); {both}"
            )
    if not after["has_nerve"].any():
        raise ComparisonError("no test frame shows a nerve, so dice_nerve is undefined; test on frames that do")
    return after.assign(dice_base=before["dice"], change=after["dice"] - before["dice"]).reset_index()


def _reason(row: dict[Hashable, Any]) -> str:
    names = {ALL: row["part"], SUBJECT: f"dice of subject {row['part']}", "size": f"dice of {row['part']} nerves"}
    what = names.get(row["stratum"], f"dice of frames with {row['part']}")
    interval = "" if pd.isna(row["low"]) else f" (95 % {row['low']:+z.4f} to {row['high']:+z.4f})"
    return f"{what} fell by {-row['change']:.4f}{interval}, more than {row['margin']:g}"
