"""What is drawn over a frame: outlines, fills, differences of masks, heat, words. Masks are bool (H, W), as the frame."""

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.lines import Line2D

from nerveseg.imaging.arrays import Mask
from nerveseg.reporting.figures.canvas import GREEN, VERMILLION, YELLOW, LineStyle

AGREEMENT = {  # code in `agreement`: what it means, and its colour
    3: ("both (true positive)", GREEN),
    2: ("only predicted (false positive)", VERMILLION),
    1: ("only annotated (false negative)", YELLOW),
}


def agreement(truth: Mask, predicted: Mask) -> npt.NDArray[np.uint8]:
    """Return 0 where neither mask shows nerve, 1 only the truth, 2 only the prediction, 3 both."""
    return truth.astype(np.uint8) + 2 * predicted.astype(np.uint8)


def outline(axes: Axes, mask: Mask, colour: str, line: LineStyle = "-", points: float = 1.8) -> None:
    if not mask.any():
        return
    # A border of zeros closes the outline of a nerve at the frame's edge.
    height, width = mask.shape
    grid = np.arange(-1, width + 1), np.arange(-1, height + 1), np.pad(mask, 1).astype(float)
    drawn = axes.contour(*grid, [0.5], colors=colour, linewidths=points, linestyles=[line])
    drawn.set_path_effects([patheffects.withStroke(linewidth=points + 1.0, foreground="black", alpha=0.55)])
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def fill(axes: Axes, mask: Mask, colour: str) -> None:
    axes.imshow(mask[..., None] * np.array(to_rgba(colour, 0.4)))
    outline(axes, mask, colour, points=1.3)
    if not mask.any():
        say(axes, "no nerve")


def differences(axes: Axes, truth: Mask, predicted: Mask) -> None:
    paint = np.zeros((4, 4))
    for code, (_, colour) in AGREEMENT.items():
        paint[code] = to_rgba(colour, 0.8)
    axes.imshow(paint[agreement(truth, predicted)])
    if not (truth.any() or predicted.any()):
        say(axes, "no nerve in either")


def say(axes: Axes, words: str) -> None:
    around = [patheffects.withStroke(linewidth=2.5, foreground="black")]
    axes.text(0.5, 0.05, words, transform=axes.transAxes, ha="center", color="white", path_effects=around)


def key(label: str, colour: str, line: LineStyle) -> Line2D:
    around = [patheffects.withStroke(linewidth=4.0, foreground="#777777")]
    return Line2D([], [], color=colour, linestyle=line, linewidth=2.4, label=label, path_effects=around)


def heat(axes: Axes, values: npt.NDArray[np.float32]) -> None:
    """Draw a map of 0..1 over the frame."""
    axes.imshow(values, cmap=HEAT, vmin=0.0, vmax=1.0, interpolation="nearest")


def colour_bar(axes: Axes, label: str) -> None:
    """Draw the colour bar of the heat in `axes` beside it."""
    figure, box = axes.figure, axes.get_position(original=True)
    inch = figure.dpi / figure.bbox.width
    bar = figure.add_axes((box.x1 + 0.12 * inch, box.y0, 0.14 * inch, box.height), facecolor="0.3")
    figure.colorbar(axes.images[-1], cax=bar, ticks=[0.0, 0.25, 0.5, 0.75, 1.0], label=label)
    bar.grid(visible=False)


def _heat_map() -> ListedColormap:
    """Return colours that are transparent at 0, so that the frame shows where there is no nerve."""
    shares = np.linspace(0.0, 1.0, 256)
    colours = colormaps["plasma"](0.1 + 0.72 * shares)
    colours[:, 3] = 0.8 * np.clip(shares / 0.25, 0.0, 1.0)
    return ListedColormap(colours, name="nerve")


HEAT = _heat_map()
