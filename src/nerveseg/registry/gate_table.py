"""A verdict of the gate for a terminal, and as Markdown, which folds away subjects that did not fall by its margin."""

from bisect import bisect
from collections.abc import Callable
from itertools import accumulate

import pandas as pd

from nerveseg.registry.gate import SUBJECT, Verdict
from nerveseg.text.foreign_text import in_markdown, on_one_line
from nerveseg.text.wording import counted, some

_COLUMNS = ("stratum", "part", "frames", "subjects", "base", "now", "change", "95 % interval", "")
_NAMED, _REASONS = 3, 10  # subjects in a sentence, and failures
_ROOM = 15_000  # characters of each table in Markdown: GitHub takes 65,536 in a comment, where scores and params follow
_LONGEST = 40  # letters of a name in the table for a terminal


def as_text(verdict: Verdict, base: str) -> str:
    """Return the whole table and the conclusion; `base` is what the user typed."""
    return f"{_cells(verdict.table, _short).to_string(index=False)}\n{on_one_line(conclusion(verdict, base))}"


def as_markdown(verdict: Verdict, base: str) -> str:
    table = verdict.table
    quiet = (table["stratum"] == SUBJECT) & ~(table["change"] < -table["margin"])
    summary = f"{counted(quiet.sum(), 'subject')} that did not fall by more than the margin"
    folded = f"<details><summary>{summary}</summary>\n\n{_pipes(table[quiet])}\n\n</details>"
    sign = "✅" if verdict.passed else "❌"
    more = f"\n{folded}\n" if quiet.any() else ""
    return f"{sign} {in_markdown(conclusion(verdict, base))}\n\n{_pipes(table[~quiet])}\n{more}"


def conclusion(verdict: Verdict, base: str) -> str:
    if not verdict.passed:
        more = len(verdict.reasons) - _REASONS
        told = [*verdict.reasons[:_REASONS], *([f"and {counted(more, 'more failure')}"] if more > 0 else [])]
        return f"failed against {base}: {'; '.join(told)}"
    fell = verdict.table[verdict.table["change"] < -verdict.table["margin"]].sort_values("change")
    passed = f"passed against {base}: dice_nerve changed by {verdict.change:+z.4f}"
    if fell.empty:
        return f"{passed}, and nothing fell beyond its margin"
    named = [f"{row['part']} ({row['change']:+z.4f})" for row in fell.to_dict("records")]
    who = "subject" if len(named) == 1 else "subjects"
    return f"{passed}; {who} {some(named, _NAMED)} fell beyond the margin, but over too few frames to be certain"


def _short(part: str) -> str:
    """Return a name on one line; a long one loses its middle, so that the numbers beside it stay on the screen."""
    line = on_one_line(part)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2 - 2]}...{line[1 - _LONGEST // 2 :]}"


def _cells(table: pd.DataFrame, shown: Callable[[str], str]) -> pd.DataFrame:
    rows = [
        [
            row["stratum"], shown(row["part"]), row["frames"], row["subjects"],
            *(f"{row[mean]:.4f}" for mean in ("base", "now")), f"{row['change']:+z.4f}",
            f"none: {row['no_interval']}" if row["no_interval"] else f"{row['low']:+z.4f} to {row['high']:+z.4f}",
            f"failed, margin {row['margin']:g}" if row["failed"] else "",
        ]
        for row in table.to_dict("records")
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=pd.Index(_COLUMNS))


def _pipes(table: pd.DataFrame) -> str:
    rows = [list(_COLUMNS), ["---"] * len(_COLUMNS), *_cells(table, on_one_line).astype(str).to_numpy().tolist()]
    lines = [f"| {' | '.join(map(in_markdown, row))} |" for row in rows]
    shown = bisect(list(accumulate(len(line) + 1 for line in lines)), _ROOM)
    left_out = f"\n\nand {counted(len(lines) - shown, 'more subject')}, which `nerveseg gate` without `--md` lists"
    return "\n".join(lines[:shown]) + (left_out if shown < len(lines) else "")
