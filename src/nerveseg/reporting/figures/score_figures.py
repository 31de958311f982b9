"""Draw the figures of scores and of cases under the file names of `captions`."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from nerveseg.evaluation.score_table import Scores
from nerveseg.reporting.figures.pictures import Case, comparison, heatmaps, overlays, uncertainties
from nerveseg.reporting.figures.plots import dice_distribution, robustness, threshold_curves
from nerveseg.reporting.figures.reliability import trust


def draw_scores(
    folder: Path,
    scores: Scores,
    cases: pd.DataFrame,
    robust: pd.DataFrame,
    thresholds: pd.DataFrame,
    reliability: pd.DataFrame,
    dpi: int,
) -> None:
    """Draw the tables that `evaluate` and `robustness` wrote."""
    dice_distribution(cases, folder / "dice.png", dpi)
    robustness(robust, scores, folder / "robustness.png", dpi)
    threshold_curves(thresholds, scores, folder / "thresholds.png", dpi)
    trust(cases, reliability, thresholds, folder / "trust.png", dpi)


def draw_cases(folder: Path, cases: Sequence[Case], dpi: int) -> None:
    """Draw the chosen cases in every way."""
    comparison(cases, folder / "comparison.png", dpi)
    overlays(cases, folder / "overlays.png", dpi)
    heatmaps(cases, folder / "heatmaps.png", dpi)
    uncertainties(cases, folder / "uncertainty.png", dpi)
