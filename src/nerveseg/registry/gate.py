"""Whether a model is good enough to take another one's place: no clear fall of Dice over all, nor in a part.

Both are tables of cases: rows of one model in `metrics/cases.csv`, a frame each. They are paired by frame, so that what is
hard about a frame drops out. Two things fail:

    the mean change of `dice_nerve` is below `-margin`
    the mean change of `dice` in a stratum (`subgroups`: presence, thirds by size, subjects) is below `-stratum_margin`

A subject has few frames, and one nerve that is missed moves their mean by more than any sensible margin. A subject therefore
fails only where the whole interval of its change lies below `-stratum_margin`: one frame alone fails no model. Intervals are
at 95 %, over subjects; that of a subject is over its frames, and where all of them changed alike the change itself stands for it.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from nerveseg.errors import ComparisonError
from nerveseg.evaluation.subgroups import parts_of
from nerveseg.measures.intervals import ALL_EQUAL, Interval, subject_interval
from nerveseg.params.fields import Section

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
    """`passed`; `reasons`, a sentence for each thing that fails; and `table`, a row for each thing that was looked at:

    `stratum`, which is `all`, `presence`, `size` or `subject`; `part`, its name there (of `all`: the score); `frames` and
    `subjects`; `base` and `now`, the mean Dice of either; `change` with its interval, `low` and `high`, NaN where there is none, and
    `no_interval`, the reason for that; `margin`, NaN where nothing is decided; `failed`.
    """

    passed: bool
    reasons: tuple[str, ...]
    table: pd.DataFrame

    @property
    def change(self) -> float:
        """Of `dice_nerve`."""
        return float(self.table["change"].iloc[0])


def judge(base: pd.DataFrame, now: pd.DataFrame, margins: GateParams, resamples: int, seed: int) -> Verdict:
    """Compare the cases of the model that is there with those of the one that would take its place.

    Args:
        base: columns `frame`, `subject`, `has_nerve`, `truth_area` and `dice`.
        now: likewise, and `frame_area`.
        margins: how far what may fall.
        resamples: of the bootstrap.
        seed: likewise.

    Raises:
        ComparisonError: they are not cases of the same frames, or no frame shows a nerve.
    """
    pairs = _paired(base, now)
    rows = []
    for stratum, part, margin, of in _looked_at(pairs, margins):
        low, high, missing = _interval(of, stratum, resamples, seed)
        change = of["change"].mean()
        certain = change if missing == ALL_EQUAL else high
        fell = (certain if stratum == SUBJECT else change) < -margin - _ROUNDING
        means = {"base": of["dice_base"].mean(), "now": of["dice"].mean(), "change": change, "low": low, "high": high}
        counts = {"frames": len(of), "subjects": of["subject"].nunique()}
        why = missing.replace("subject", "frame") if stratum == SUBJECT else missing  # whose intervals are over frames
        decision = {"margin": margin, "failed": bool(fell), "no_interval": why}
        rows.append({"stratum": stratum, "part": part, **counts, **means, **decision})
    table = pd.DataFrame(rows)
    reasons = tuple(_reason(row) for row in table[table["failed"]].to_dict("records"))
    return Verdict(not reasons, reasons, table)


def _looked_at(pairs: pd.DataFrame, margins: GateParams) -> Iterator[tuple[str, str, float, pd.DataFrame]]:
    yield ALL, DECISIVE, margins.margin, pairs[pairs["has_nerve"]]
    yield ALL, CHALLENGE, float("nan"), pairs
    for stratum, parts in parts_of(pairs).items():
        for part, of in pairs.groupby(parts, observed=True):
            yield stratum, str(part), margins.stratum_margin, of


def _paired(base: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """The frames of `now`, with `dice_base` and `change`."""
    for name, table, needed in (("the base", base, _NEEDED), ("the model to judge", now, (*_NEEDED, "frame_area"))):
        if missing := [column for column in needed if column not in table]:
            raise ComparisonError(
                f"the cases of {name} lack {', '.join(missing)}, as those of an older version do; score that model again "
                "with this one: `dvc repro`"
            )
        if table["frame"].duplicated().any():
            twice = _some(table.loc[table["frame"].duplicated(), "frame"])
            raise ComparisonError(f"the cases of {name} name a frame more than once ({twice}); score that model again")
    told = "the test data differ, so that a comparison would mean nothing"
    before, after = base.set_index("frame"), now.set_index("frame")
    only = {"in the base": before.index.difference(after.index), "now": after.index.difference(before.index)}
    if found := [f"{len(frames)} only {where} ({_some(frames)})" for where, frames in only.items() if len(frames)]:
        raise ComparisonError(f"{told}: of the test frames {' and '.join(found)}; score both on one data set and split")
    before = before.reindex(after.index)
    for column in _OF_THE_FRAME:
        if (other := before[column] != after[column]).any():
            raise ComparisonError(
                f"{told}: {column} is another one in {other.sum()} of {len(after)} frames ({_some(after.index[other])}); "
                "score both on one data set and split"
            )
    if not after["has_nerve"].any():
        raise ComparisonError("no test frame shows a nerve, so that dice_nerve is not defined; test on frames that do")
    return after.assign(dice_base=before["dice"], change=after["dice"] - before["dice"]).reset_index()


def _interval(of: pd.DataFrame, stratum: str, resamples: int, seed: int) -> Interval:
    drawn = of["frame"] if stratum == SUBJECT else of["subject"]
    return subject_interval(of.assign(subject=drawn), "change", resamples, seed)


def _reason(row: dict[Hashable, Any]) -> str:
    names = {ALL: row["part"], SUBJECT: f"dice of subject {row['part']}", "size": f"dice of {row['part']} nerves"}
    what = names.get(row["stratum"], f"dice of frames with {row['part']}")
    interval = "" if pd.isna(row["low"]) else f" (95 % {row['low']:+.4f} to {row['high']:+.4f})"
    return f"{what} fell by {-row['change']:.4f}{interval}, more than {row['margin']:g}"


def _some(frames: Iterable[object]) -> str:
    names = [str(frame) for frame in frames]
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
