"""Frames with what was annotated and what was predicted.

A frame is uint8 (H, W); its masks are bool and its probabilities float, of the same shape. Frames of differing
sizes may share a picture. The annotation is yellow in all of them, the U-Net sky blue and dashed, the refiner
vermillion and dotted. A mask without a pixel is said in words: "no nerve".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isnan
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nerveseg.reporting.canvas import GREEN, LOOKS, TRUTH, VERMILLION, YELLOW, LineStyle
from nerveseg.reporting.cells import caption, cells

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

AGREEMENT = {  # code in `agreement`: what it means, and its colour
    3: ("both (true positive)", GREEN),
    2: ("only predicted (false positive)", VERMILLION),
    1: ("only annotated (false negative)", YELLOW),
}


@dataclass(frozen=True)
class Case:
    name: str
    subject: str
    frame: Frame
    truth: Mask
    probabilities: Mapping[str, npt.NDArray[np.float32]]  # by model: "unet", "gan"
    masks: Mapping[str, Mask]  # after threshold and post-processing
    dice: Mapping[str, float]

    def __post_init__(self) -> None:
        layers = {"truth": self.truth}
        layers |= {f"mask of {model}": mask for model, mask in self.masks.items()}
        shapes = {layer: mask.shape for layer, mask in layers.items()}
        shapes |= {f"probability of {model}": values.shape for model, values in self.probabilities.items()}
        for layer, shape in shapes.items():
            if shape != self.frame.shape:
                raise ValueError(f"case {self.name}: the {layer} has shape {shape}, its frame {self.frame.shape}")

    @property
    def title(self) -> str:
        return f"{self.name} · subject {self.subject}"


def comparison(cases: Sequence[Case], path: Path | str, dpi: int, *, shipped: str = "gan") -> None:
    """A row per case: frame, annotation, each model, and where the `shipped` model and the annotation differ."""
    models = _models(cases)
    heads = ["Frame", "Annotation", *(LOOKS[model].label for model in models), f"{LOOKS[shipped].label} vs annotation"]
    legend = [Patch(facecolor=colour, edgecolor="#444444", label=meaning) for meaning, colour in AGREEMENT.values()]
    rows = [[case.frame] * len(heads) for case in cases]
    with cells(path, dpi, rows, width=2.15, heads=heads, legend=legend) as placed:
        for case, (plain, annotated, *predicted, differing) in zip(cases, placed, strict=True):
            caption(plain, case.title)
            caption(annotated, f"{100 * case.truth.mean():.1f} % of the frame" if case.truth.any() else "")
            _fill(annotated, case.truth, TRUTH)
            for axes, model in zip(predicted, models, strict=True):
                caption(axes, f"Dice {_score(case.dice[model])}")
                _fill(axes, case.masks[model], LOOKS[model].on_frame)
            _differences(differing, case.truth, case.masks[shipped])


def overlays(cases: Sequence[Case], path: Path | str, dpi: int) -> None:
    """Each frame under the outlines of the annotation and of every model, with the models' Dice."""
    models = _models(cases)
    styles: dict[str, tuple[str, LineStyle]] = {"Annotation": (TRUTH, "-")}
    styles |= {LOOKS[m].label: (LOOKS[m].on_frame, LOOKS[m].outline) for m in models}
    legend = [_key(label, colour, line) for label, (colour, line) in styles.items()]
    with cells(path, dpi, _rows([case.frame for case in cases], 3), width=3.3, lines=2, legend=legend) as placed:
        for case, axes in zip(cases, chain.from_iterable(placed), strict=True):
            masks = dict(zip(styles, [case.truth, *(case.masks[model] for model in models)], strict=True))
            for name, mask in masks.items():
                _outline(axes, mask, *styles[name])
            caption(axes, case.title, "Dice: " + ", ".join(f"{LOOKS[m].label} {_score(case.dice[m])}" for m in models))
            if empty := [name for name, mask in masks.items() if not mask.any()]:
                _say(axes, f"no nerve: {', '.join(empty)}")


def heatmaps(cases: Sequence[Case], path: Path | str, dpi: int) -> None:
    """A row per case: the frame, then each model's probability over it, all with the annotation's outline."""
    models = _models(cases)
    heads = ["Frame", *(LOOKS[model].label for model in models)]
    rows = [[case.frame] * len(heads) for case in cases]
    legend = [_key("Annotation", TRUTH, "-")]
    with cells(path, dpi, rows, width=2.9, heads=heads, legend=legend, right=0.85) as placed:
        for case, row in zip(cases, placed, strict=True):
            caption(row[0], case.title)
            for axes, model in zip(row[1:], models, strict=True):
                heat = case.probabilities[model]
                axes.imshow(heat, cmap=_HEAT, vmin=0.0, vmax=1.0, interpolation="nearest")
                caption(axes, f"highest {heat.max():.2f}, Dice {_score(case.dice[model])}")
            for axes in row:
                _outline(axes, case.truth, TRUTH)
            if not case.truth.any():
                _say(row[0], "no nerve annotated")
        _colour_bar(placed[0][-1])


def montage(
    frames: Sequence[Frame], masks: Sequence[Mask], titles: Sequence[str], columns: int, path: Path | str, dpi: int
) -> None:
    """Frames in rows of `columns`, each under the outline of its mask."""
    with cells(path, dpi, _rows(frames, columns), width=max(1.6, 10.0 / columns)) as placed:
        for mask, title, axes in zip(masks, titles, chain.from_iterable(placed), strict=True):
            caption(axes, title)
            _outline(axes, mask, TRUTH)


def agreement(truth: Mask, predicted: Mask) -> npt.NDArray[np.uint8]:
    """0 where neither has nerve, 1 only the truth, 2 only the prediction, 3 both."""
    return truth.astype(np.uint8) + 2 * predicted.astype(np.uint8)


def _models(cases: Sequence[Case]) -> list[str]:
    if not cases:
        raise ValueError("a picture of cases needs at least one case")
    return [model for model in LOOKS if model in cases[0].masks]


def _rows(frames: Sequence[Frame], columns: int) -> list[list[Frame]]:
    if not frames:
        raise ValueError("a picture of frames needs at least one frame")
    return [list(frames[start : start + columns]) for start in range(0, len(frames), columns)]


def _score(dice: float) -> str:
    return "n/a" if isnan(dice) else f"{dice:.2f}"


def _outline(axes: Axes, mask: Mask, colour: str, line: LineStyle = "-", points: float = 1.8) -> None:
    if not mask.any():
        return
    # The border of zeros closes the outline of a nerve that the frame's edge cuts.
    height, width = mask.shape
    around = np.pad(mask, 1).astype(float)
    drawn = axes.contour(
        np.arange(-1, width + 1),
        np.arange(-1, height + 1),
        around,
        [0.5],
        colors=colour,
        linewidths=points,
        linestyles=[line],
    )
    drawn.set_path_effects([patheffects.withStroke(linewidth=points + 1.0, foreground="black", alpha=0.55)])
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _fill(axes: Axes, mask: Mask, colour: str) -> None:
    axes.imshow(mask[..., None] * np.array(to_rgba(colour, 0.4)))
    _outline(axes, mask, colour, points=1.3)
    if not mask.any():
        _say(axes, "no nerve")


def _differences(axes: Axes, truth: Mask, predicted: Mask) -> None:
    paint = np.zeros((4, 4))
    for code, (_, colour) in AGREEMENT.items():
        paint[code] = to_rgba(colour, 0.8)
    axes.imshow(paint[agreement(truth, predicted)])
    if not (truth.any() or predicted.any()):
        _say(axes, "no nerve in either")


def _say(axes: Axes, words: str) -> None:
    around = [patheffects.withStroke(linewidth=2.5, foreground="black")]
    axes.text(0.5, 0.05, words, transform=axes.transAxes, ha="center", color="white", path_effects=around)


def _key(label: str, colour: str, line: LineStyle) -> Line2D:
    around = [patheffects.withStroke(linewidth=4.0, foreground="#777777")]
    return Line2D([], [], color=colour, linestyle=line, linewidth=2.4, label=label, path_effects=around)


def _colour_bar(axes: Axes) -> None:
    """A bar for the heat in `axes`, beside it."""
    figure, box = axes.figure, axes.get_position(original=True)
    inch = figure.dpi / figure.bbox.width
    bar = figure.add_axes((box.x1 + 0.12 * inch, box.y0, 0.14 * inch, box.height), facecolor="0.3")
    figure.colorbar(axes.images[-1], cax=bar, ticks=[0.0, 0.25, 0.5, 0.75, 1.0], label="Probability of nerve")
    bar.grid(visible=False)


def _heat_map() -> ListedColormap:
    """Transparent at 0, so that the frame shows where there is no nerve; the colour bar shows that, too."""
    shares = np.linspace(0.0, 1.0, 256)
    colours = colormaps["plasma"](0.1 + 0.72 * shares)
    colours[:, 3] = 0.8 * np.clip(shares / 0.25, 0.0, 1.0)
    return ListedColormap(colours, name="nerve")


_HEAT = _heat_map()
