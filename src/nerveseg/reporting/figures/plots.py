"""Charts of the trainings and of the scores, each of a table that a stage wrote, as a PNG. Values of NaN leave gaps."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nerveseg.evaluation.baselines import MEAN_MASK
from nerveseg.evaluation.score_table import Scores
from nerveseg.measures.scores import AT_THRESHOLDS, OF_ARMS, SCORES
from nerveseg.reporting.figures.canvas import BLUE, GREEN, GREY, LOOKS, SKY, VERMILLION, LineStyle, canvas

CROWDED = 40  # points of a line, beyond which markers run into each other
Curve = tuple[str, str, str, LineStyle]  # name, colour, marker, line

_VAL = ("val_dice", "val_dice_degraded")


def training_curves(unet_history: pd.DataFrame, gan_history: pd.DataFrame, path: Path | str, dpi: int) -> None:
    """Draw losses, Dice, and learning rate or critic by epoch: the U-Net above, the refiner below."""
    need(unet_history, ["epoch", "lr", "loss", "val_loss", "dice", "val_dice"], "the U-Net's history")
    arms = [f"{arm}_{key}" for arm in ("control", "adversarial") for key in ("segmentation_loss", *_VAL)]
    need(gan_history, ["epoch", *arms, "adversarial_loss", "critic_loss", "critic_accuracy"], "the refiner's history")
    train: Curve = ("train", BLUE, "o", "-")
    val: Curve = ("validation", VERMILLION, "s", "--")
    with canvas(path, 11.0, 6.2, dpi) as figure:
        above, below = figure.subplots(2, 3, sharex="row")
        _curves(above[0], unet_history, {"loss": train, "val_loss": val}, "U-Net: loss", "Loss")
        _curves(above[1], unet_history, {"dice": train, "val_dice": val}, "U-Net: Dice", "Dice")
        _mark_best(above[1], unet_history, VERMILLION)
        _curves(above[2], unet_history, {"lr": ("", GREEN, "^", "-")}, "U-Net: learning rate", "Learning rate")
        above[2].yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
        control, critic = LOOKS["control"], LOOKS["adversarial"]
        losses: dict[str, Curve] = {
            "control_segmentation_loss": ("segmentation, no critic", control.on_white, control.marker, control.line),
            "adversarial_segmentation_loss": ("segmentation, critic", critic.on_white, critic.marker, critic.line),
            "adversarial_loss": ("adversarial", SKY, "^", "-."),
            "critic_loss": ("of the critic", VERMILLION, "s", "-"),
        }
        _curves(below[0], gan_history, losses, "Refiner: losses", "Loss")
        dice: dict[str, Curve] = {
            "control_val_dice": ("clean, no critic", control.on_white, control.marker, "-"),
            "adversarial_val_dice": ("clean, critic", critic.on_white, critic.marker, "-"),
            "control_val_dice_degraded": ("degraded, no critic", control.on_white, control.marker, "--"),
            "adversarial_val_dice_degraded": ("degraded, critic", critic.on_white, critic.marker, "--"),
        }
        _curves(below[1], gan_history, dice, "Refiner: validation Dice", "Dice")
        _curves(below[2], gan_history, {"critic_accuracy": ("critic", GREEN, "^", "-")}, "Refiner: critic", "Accuracy")
        below[2].axhline(0.5, color=GREY, linewidth=1.2, linestyle=":", label="guessing")
        below[2].set_ylim(-0.03, 1.03)
        for axes in (above[0], above[1], *below):
            axes.legend()


def robustness(table: pd.DataFrame, scores: Scores, path: Path | str, dpi: int) -> None:
    """Draw `OF_ARMS` against severity: a panel per degradation and one for all, a line per model, level for the average mask."""
    need(table, ["degradation", "severity", "model", *OF_ARMS], "the robustness table")
    clean, poor = table[table["severity"] == 0], table[table["severity"] > 0]
    degraded = [str(name) for name in poor["degradation"].unique()]
    if not degraded:
        raise ValueError("the robustness table has no degraded frames: every severity is 0")
    columns = min(5, len(degraded))
    bands = ceil(len(degraded) / columns)
    with canvas(path, max(5.5, 1.0 + 2.4 * columns), 0.7 + 4.2 * bands, dpi) as figure:
        grid = figure.subplots(2 * bands, columns, sharex=True, squeeze=False)
        for place, (band, column) in enumerate(np.ndindex(bands, columns)):
            for row, score in enumerate(OF_ARMS):
                axes = grid[2 * band + row, column]
                if place:
                    axes.sharey(grid[row, 0])
                if place >= len(degraded):
                    axes.set_visible(False)
                    continue
                rows = pd.concat([clean, poor[poor["degradation"] == degraded[place]]]).sort_values("severity")
                line_per_model(axes, rows, "severity", score)
                axes.set_title(titled(degraded[place]) if row == 0 else "")
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
                axes.tick_params(labelbottom=True, labelleft=column == 0)
                if column == 0:
                    axes.set_ylabel(SCORES[score].name)
        grid[0, 0].set_ylim(-0.02, 1.02)
        grid[1, 0].set_ylim(bottom=0.0)
        for axes, score in zip(grid[:2, 0], OF_ARMS, strict=True):
            for panel in axes.get_shared_y_axes().get_siblings(axes):
                _baseline(panel, scores, score)
        figure.supxlabel("Severity (0 = clean frames)", fontsize=10)
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)


def titled(degradation: str) -> str:
    return {"all": "All of them", "jpeg": "JPEG"}.get(degradation, degradation.replace("_", " ").capitalize())


def dice_distribution(cases_table: pd.DataFrame, path: Path | str, dpi: int) -> None:
    """Draw Dice of the frames with a nerve: by subject, against the nerve's area, and how many frames reach a score."""
    need(cases_table, ["frame", "subject", "model", "has_nerve", "dice", "truth_area"], "the table of cases")
    nerve = cases_table[cases_table["has_nerve"].astype(bool)]
    with canvas(path, 11.0, 7.2, dpi) as figure:
        if nerve.empty:
            figure.text(0.5, 0.5, "No frame with a nerve in this split", ha="center", color="#555555")
            return
        grid = figure.add_gridspec(2, 2)
        _by_subject(figure.add_subplot(grid[0, :]), nerve)
        by_area, reached = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
        for model in models_of(nerve):
            look, rows = LOOKS[model], nerve[nerve["model"] == model].dropna(subset=["dice"])
            named: dict[str, Any] = {"color": look.on_white, "label": look.label}
            by_area.scatter(rows["truth_area"], rows["dice"], 16, marker=look.marker, alpha=0.45, linewidth=0, **named)
            ranked = np.sort(rows["dice"].to_numpy(float))
            share = 1.0 - np.arange(len(ranked)) / len(ranked)
            reached.step([0.0, *ranked, 1.0], [1.0, *share, 0.0], linestyle=look.line, **named)
        by_area.set(title="By size of the nerve", xlabel="Annotated area (pixels)", ylabel="Dice", ylim=(-0.03, 1.03))
        reached.set(title="Frames that reach a score", xlabel="Dice", ylabel="Share of frames with at least this Dice")
        reached.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.03))
        for axes in figure.axes:  # right of the title, where it hides no point
            axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2, borderaxespad=0.2)


def threshold_curves(table: pd.DataFrame, scores: Scores, path: Path | str, dpi: int) -> None:
    """Draw `AT_THRESHOLDS` against the threshold, with the scores of the average train mask."""
    need(table, ["model", "threshold", *AT_THRESHOLDS], "the threshold table")
    with canvas(path, 9.0, 6.2, dpi) as figure:
        grid = figure.subplots(2, 2, sharex=True)
        for axes, score in zip(grid.flat, AT_THRESHOLDS, strict=True):
            line_per_model(axes, table.sort_values("threshold"), "threshold", score)
            _baseline(axes, scores, score)
            axes.set(title=SCORES[score].name, ylabel=SCORES[score].name.split(",")[0])
        for axes in grid[1]:
            axes.set_xlabel("Threshold on the probability")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)


def _baseline(axes: Axes, scores: Scores, score: str) -> None:
    """Draw a level line for the average train mask; if that is outside of the range of the curves, say where."""
    if (value := scores.value(MEAN_MASK, score)) is None:
        return
    low, high = axes.get_ylim()
    if low <= value <= high:
        axes.axhline(value, color=GREY, linewidth=1.2, linestyle=":", label="Average train mask")
    else:
        above = value > high
        told = f"average train mask: {value:.{SCORES[score].digits}f} {'↑' if above else '↓'}"
        place: dict[str, Any] = {"ha": "center", "va": "top" if above else "bottom", "transform": axes.transAxes}
        axes.text(0.5, 0.97 if above else 0.03, told, color="#555555", size=8, **place)


def need(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise ValueError if a table misses a column or has no row."""
    if missing := [column for column in columns if column not in table.columns]:
        raise ValueError(f"{what} misses {', '.join(missing)}; it has {', '.join(map(str, table)) or 'no column'}")
    if table.empty:
        raise ValueError(f"{what} has no row")


def models_of(table: pd.DataFrame) -> list[str]:
    """Return the models of a table, in the order of `LOOKS`."""
    return [model for model in LOOKS if (table["model"] == model).any()]


def _curves(axes: Axes, history: pd.DataFrame, columns: Mapping[str, Curve], title: str, label: str) -> None:
    for column, (name, colour, marker, line) in columns.items():
        shown = marker if len(history) <= CROWDED else ""
        axes.plot(history["epoch"], history[column], label=name, color=colour, linestyle=line, marker=shown)
    axes.set(title=title, xlabel="Epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def _mark_best(axes: Axes, history: pd.DataFrame, colour: str) -> None:
    known = history.dropna(subset=["val_dice"])
    if known.empty:
        return
    epoch, dice = known[["epoch", "val_dice"]].to_numpy(float)[known["val_dice"].to_numpy(float).argmax()]
    label = f"best: {dice:.3f} in epoch {epoch:.0f}"
    axes.plot(epoch, dice, "o", markersize=11, markerfacecolor="none", color=colour, label=label)


def line_per_model(axes: Axes, table: pd.DataFrame, x: str, y: str) -> None:
    """Draw a line for each model, in the order of the table, with markers unless these run into each other."""
    for model in models_of(table):
        look, rows = LOOKS[model], table[table["model"] == model]
        marker = look.marker if len(rows) <= CROWDED else ""
        axes.plot(rows[x], rows[y], color=look.on_white, linestyle=look.line, marker=marker, label=look.label)


def _by_subject(axes: Axes, nerve: pd.DataFrame) -> None:
    """Draw a point per frame and a bar at the median, for each subject and model; subjects are ordered by their median."""
    models = models_of(nerve)
    subject = nerve["subject"].astype(str)
    subjects = list(nerve.groupby(subject)["dice"].median().sort_values(kind="stable").index)
    width = 0.8 / len(models)
    for turn, model in enumerate(models):
        look, rows = LOOKS[model], nerve[nerve["model"] == model]
        offset = (turn - (len(models) - 1) / 2) * width
        places = subject[rows.index].map(subjects.index) + offset
        named: dict[str, Any] = {"color": look.on_white, "label": look.label}
        axes.scatter(places, rows["dice"], 14, marker=look.marker, alpha=0.65, linewidth=0, **named)
        medians = rows.groupby(subject)["dice"].median().reindex(subjects)
        at = np.arange(len(subjects)) + offset
        axes.hlines(medians, at - 0.4 * width, at + 0.4 * width, color=look.on_white, linewidth=1.4)
    axes.set_xticks(range(len(subjects)), subjects, rotation=90 if len(subjects) > 25 else 0)
    axes.set(
        title="By subject, from the lowest median to the highest", xlabel="Subject", ylabel="Dice", ylim=(-0.03, 1.03)
    )
    axes.set_xlim(-0.6, len(subjects) - 0.4)
    axes.grid(visible=False, axis="x")
