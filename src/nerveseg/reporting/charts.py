"""The interactive charts of the report, of the tables of `plots`, as data for Chart.js: axes and series of points."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from nerveseg.evaluation.baselines import MEAN_MASK
from nerveseg.evaluation.score_table import Scores
from nerveseg.measures.scores import SCORES
from nerveseg.reporting.figures.canvas import BLUE, GREY, LOOKS, VERMILLION, Look
from nerveseg.reporting.figures.plots import models_of, titled

_DASHES: dict[str, tuple[float, ...]] = {
    "-": (),
    "--": (6, 3),
    ":": (2, 3),
    "-.": (8, 3, 2, 3),
}  # Matplotlib's line styles


@dataclass(frozen=True)
class Series:
    label: str
    colour: str
    points: Sequence[Sequence[float | str]]  # x, y, and in a cloud of cases the frame's name
    dash: Sequence[float] = ()  # pixels drawn and left out in turn; none of a whole line


@dataclass(frozen=True)
class Chart:
    id: str
    title: str
    note: str  # what to see in it
    x: str  # titles of the axes
    y: str
    panels: dict[str, list[Series]]  # one of them is seen at a time
    joined: bool = False  # lines, or clouds of points


def charts(
    scores: Scores,
    cases: pd.DataFrame,
    robustness: pd.DataFrame,
    thresholds: pd.DataFrame,
    unet: pd.DataFrame,
) -> list[Chart]:
    """Return all charts of the page, from the tables in `metrics/`; `unet` is `unet_history`."""
    baseline = scores.value(MEAN_MASK, "dice_nerve")
    nerve = cases[cases["has_nerve"]]
    clean, poor = robustness[robustness["severity"] == 0], robustness[robustness["severity"] > 0]
    kinds = [str(kind) for kind in poor["degradation"].unique()][::-1]  # all of them together come first
    degraded = {kind: pd.concat([clean, poor[poor["degradation"] == kind]]) for kind in kinds}
    losses = [
        Series("train", BLUE, _points(unet, ["epoch", "loss"])),
        Series("validation", VERMILLION, _points(unet, ["epoch", "val_loss"]), _DASHES["--"]),
    ]
    dice = SCORES["dice_nerve"].name
    return [
        Chart(
            "by-size", "Dice against the size of the nerve", "Each point is a frame with a nerve. Click one to see it above.",
            "Annotated area (pixels)", "Dice", {"": _of_models(nerve, ["truth_area", "dice", "frame"])},
        ),
        Chart(
            "by-confidence", "Dice against confidence", "Points at the lower right are frames that a model gets wrong with "
            "high confidence.", "Confidence (expected Dice)", "Dice",
            {"": _of_models(cases, ["confidence", "dice", "frame"])},
        ),
        Chart(
            "robustness", "Dice on degraded frames", "Degraded test frames. Severity 0 is the clean frames.",
            "Severity", dice,
            {titled(kind): _of_models(rows, ["severity", "dice_nerve"], baseline) for kind, rows in degraded.items()}, joined=True,
        ),
        Chart(
            "by-threshold", "Dice at other thresholds", "The other cut-offs are those chosen on val.",
            "Threshold on the probability", dice, {"": _of_models(thresholds, ["threshold", "dice_nerve"], baseline)}, joined=True,
        ),
        Chart("loss", "Loss of the U-Net", "By epoch of the training.", "Epoch", "Loss", {"": losses}, joined=True),
    ]  # fmt: skip


def _of_models(table: pd.DataFrame, columns: Sequence[str], baseline: float | None = None) -> list[Series]:
    """Return a series for each model, and a level one for the score of the average train mask."""
    level = [] if baseline is None else [[float(end), baseline] for end in table[columns[0]].agg(["min", "max"])]
    series = [
        Series(
            LOOKS[model].label,
            LOOKS[model].on_white,
            _points(table[table["model"] == model], columns),
            _dash(LOOKS[model]),
        )
        for model in models_of(table)
    ]
    return [*series, Series("Average train mask", GREY, level, _DASHES[":"])] if level else series


def _dash(look: Look) -> Sequence[float]:
    """Return a model's line as the figures draw it."""
    return _DASHES[look.line] if isinstance(look.line, str) else [2 * length for length in look.line[1]]


def _points(table: pd.DataFrame, columns: Sequence[str]) -> list[list[float | str]]:
    """Return the points that are defined, rounded to what can be seen."""
    rows = table[[*columns]].dropna().itertuples(index=False)
    return [[value if isinstance(value, str) else round(float(value), 4) for value in row] for row in rows]
