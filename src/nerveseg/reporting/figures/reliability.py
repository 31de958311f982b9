"""How far probabilities can be trusted: reliability diagram, ROC, precision-recall and risk-coverage curves."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from sklearn.metrics import roc_curve

from nerveseg.measures.cases import presence_auc
from nerveseg.reporting.figures.canvas import GREY, LOOKS, Look, canvas
from nerveseg.reporting.figures.plots import line_per_model, models_of, need


def trust(cases: pd.DataFrame, reliability: pd.DataFrame, thresholds: pd.DataFrame, path: Path | str, dpi: int) -> None:
    """Draw four panels, a line per model, from the tables of cases, calibration and thresholds."""
    need(cases, ["model", "has_nerve", "presence", "confidence", "dice"], "the table of cases")
    need(reliability, ["model", "probability", "nerve"], "the calibration table")
    need(thresholds, ["model", "precision", "recall"], "the threshold table")
    with canvas(path, 9.0, 7.4, dpi) as figure:
        calibration, presence, overlap, selective = figure.subplots(2, 2).flat
        for axes in (calibration, presence):
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.2, linestyle=":")
        line_per_model(calibration, reliability, "probability", "nerve")
        _per_model(presence, cases, _draw_roc)
        line_per_model(overlap, thresholds, "recall", "precision")
        _per_model(selective, cases, _draw_risk)
        calibration.set(title="Reliability diagram (pixels)", xlabel="Mean predicted probability")
        calibration.set_ylabel("Observed share of nerve")
        presence.set(title="ROC curve (presence of a nerve)", xlabel="False positive rate", ylabel="True positive rate")
        overlap.set(
            title="Precision-recall curve (pixels)", xlabel="Recall (at thresholds 0.05 to 0.95)", ylabel="Precision"
        )
        selective.set(
            title="Risk-coverage curve (frames)", xlabel="Coverage", ylabel="Risk (1 - mean Dice)", xlim=(-0.03, 1.03)
        )
        for axes in (calibration, presence):
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        if not presence.get_legend_handles_labels()[0]:
            what = "Every" if cases["has_nerve"].any() else "No"
            presence.text(0.5, 0.3, f"{what} test frame shows a nerve:\nnothing to tell apart", ha="center", color=GREY)
        corners = ("upper left", "lower right", "lower left", "upper left")
        for axes, corner in zip((calibration, presence, overlap, selective), corners, strict=True):
            if axes.get_legend_handles_labels()[0]:
                axes.legend(loc=corner)


def _per_model(axes: Axes, table: pd.DataFrame, draw: Callable[[Axes, pd.DataFrame, Look], None]) -> None:
    for model in models_of(table):
        draw(axes, table[table["model"] == model], LOOKS[model])


def _draw_roc(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
    """Draw nothing if all frames show a nerve, or none does."""
    if (area := presence_auc(rows)) is not None:
        wrong, found, _ = roc_curve(rows["has_nerve"], rows["presence"])
        axes.plot(
            wrong, found, color=look.on_white, linestyle=look.line, label=f"{look.label} (AUC {area:.3f})",
            drawstyle="steps-post",
        )  # fmt: skip


def _draw_risk(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
    """Draw the risk of the most confident frames by their share, and thinner the least possible, of the truly best frames."""
    coverage = np.arange(1, len(rows) + 1) / len(rows)
    for by, line, width in (("confidence", look.line, 1.8), ("dice", ":", 1.0)):
        ranked = rows.sort_values(by, ascending=False, kind="stable")["dice"].to_numpy(float)
        risk = 1.0 - ranked.cumsum() / np.arange(1, len(rows) + 1)
        label = f"{look.label} (area {risk.mean():.3f})" if by == "confidence" else f"{look.label}, ideal order"
        axes.plot(coverage, risk, color=look.on_white, linestyle=line, linewidth=width, label=label)
