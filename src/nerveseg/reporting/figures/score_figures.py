"""Draw the figures of scores and of cases under the file names of `captions`."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from nerveseg.evaluation.model_names import BASE, SHIPPED
from nerveseg.evaluation.score_table import Scores
from nerveseg.reporting.figures.captions import SUMMARY
from nerveseg.reporting.figures.pictures import Case, Pictured, comparison, heatmaps, overlays, uncertainties
from nerveseg.reporting.figures.plots import dice_distribution, robustness, threshold_curves, training_curves
from nerveseg.reporting.figures.reliability import trust


def draw_scores(
    folder: Path,
    scores: Scores,
    cases: pd.DataFrame,
    robust: pd.DataFrame,
    thresholds: pd.DataFrame,
    reliability: pd.DataFrame,
    unet_history: pd.DataFrame,
    gan_history: pd.DataFrame,
    dpi: int,
) -> None:
    """Draw the tables that the stages wrote."""
    dice_distribution(cases, folder / "dice.png", dpi)
    robustness(robust, scores, folder / "robustness.png", dpi)
    threshold_curves(thresholds, scores, folder / "thresholds.png", dpi)
    trust(cases, reliability, thresholds, folder / "trust.png", dpi)
    training_curves(unet_history, gan_history, folder / "training.png", dpi)


def draw_cases(folder: Path, cases: Sequence[Case], order: Iterable[str], rescued: Pictured | None, dpi: int) -> None:
    """Draw the chosen cases in every way, in this order of their names, and among them what a refiner rescued."""
    by_name = {case.name: case for case in cases}
    cases = [by_name[name] for name in order]
    last = [rescued] if rescued else []
    few = {case.rank: case.only(SHIPPED) for case in reversed(cases)}  # the first of each rank
    before_and_after = [each.only(model) for each in last for model in (BASE, SHIPPED)]
    typical = [few[rank] for rank in ("median", "worst") if rank in few] or [*few.values()]
    overlays([*typical, *before_and_after], folder / SUMMARY, dpi, columns=2, width=2.4)
    comparison([*cases, *last], folder / "comparison.png", dpi)
    overlays(cases, folder / "overlays.png", dpi)
    heatmaps(cases, folder / "heatmaps.png", dpi)
    uncertainties(cases, folder / "uncertainty.png", dpi)
