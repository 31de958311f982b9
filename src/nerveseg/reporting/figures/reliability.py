"""How far probabilities can be trusted: calibration, presence, precision against recall, and Dice without the least certain frames."""

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
        calibration, presence, overlap, kept = figure.subplots(2, 2).flat
        for axes in (calibration, presence):
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.2, linestyle=":")
        line_per_model(calibration, reliability, "probability", "nerve")
        _per_model(presence, cases, _draw_roc)
        line_per_model(overlap, thresholds, "recall", "precision")
        _per_model(kept, cases, _draw_kept)
        calibration.set(title="Calibration of the pixels", xlabel="Probability of nerve (mean of a bin)")
        calibration.set_ylabel("Share of the pixels that is nerve")
        presence.set(title="Presence of a nerve", xlabel="Share of frames without one, called so wrongly")
        presence.set_ylabel("Share of frames with one, found")
        overlap.set(title="Precision against recall", xlabel="Recall (at thresholds 0.05 to 0.95)", ylabel="Precision")
        kept.set(title="The least certain frames set aside", xlabel="Share of the frames kept", xlim=(1.03, -0.03))
        kept.set_ylabel("Dice of those kept")
        for axes in (calibration, presence):
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        if not presence.get_legend_handles_labels()[0]:
            what = "Every" if cases["has_nerve"].any() else "No"
            presence.text(0.5, 0.3, f"{what} test frame shows a nerve:\nnothing to tell apart", ha="center", color=GREY)
        corners = ("upper left", "lower right", "lower left", "best")
        for axes, corner in zip((calibration, presence, overlap, kept), corners, strict=True):
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


def _draw_kept(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
    """Draw the mean Dice of the most certain frames, and thinner that of the best ones, which is the most one can reach."""
    share = np.arange(1, len(rows) + 1) / len(rows)
    for by, line, width in (("confidence", look.line, 1.8), ("dice", ":", 1.0)):
        ranked = rows.sort_values(by, ascending=False, kind="stable")["dice"].to_numpy(float)
        label = look.label if by == "confidence" else f"{look.label}, by its true Dice"
        kept = ranked.cumsum() / np.arange(1, len(rows) + 1)
        axes.plot(share, kept, color=look.on_white, linestyle=line, linewidth=width, label=label)
