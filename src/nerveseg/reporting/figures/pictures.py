"""Pictures of frames with annotations and predictions.

A frame is uint8 (H, W); its masks are bool and its probabilities float, of the same shape. Frames of different sizes may share a
picture. The annotation is yellow, models look as in `canvas.LOOKS`. Empty masks are labelled "no nerve", with the reason if a
cut-off removed them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isnan
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.patches import Patch

from nerveseg.evaluation.model_names import SHIPPED
from nerveseg.imaging.arrays import Frame, Mask
from nerveseg.reporting.figures.canvas import LOOKS, TRUTH, LineStyle
from nerveseg.reporting.figures.cells import caption, cells
from nerveseg.reporting.figures.layers import AGREEMENT, colour_bar, differences, fill, heat, key, outline, say


@dataclass(frozen=True)
class Case:
    name: str
    subject: str
    frame: Frame
    truth: Mask
    probabilities: Mapping[str, npt.NDArray[np.float32]]  # by model
    masks: Mapping[str, Mask]  # after threshold and post-processing
    dice: Mapping[str, float]
    uncertainty: npt.NDArray[np.float32]  # of the model that ships, in bits, 0..1
    rank: str = ""  # why it is shown: "best", "median", "worst"
    withheld: frozenset[str] = frozenset()  # models that saw a nerve, and whose cut-offs left no mask

    def __post_init__(self) -> None:
        shapes = {"truth": self.truth.shape, "uncertainty": self.uncertainty.shape}
        shapes |= {f"mask of {model}": mask.shape for model, mask in self.masks.items()}
        shapes |= {f"probability of {model}": values.shape for model, values in self.probabilities.items()}
        for layer, shape in shapes.items():
            if shape != self.frame.shape:
                raise ValueError(f"case {self.name}: the {layer} has shape {shape}, its frame {self.frame.shape}")

    @property
    def title(self) -> str:
        return " · ".join(part for part in (self.rank.capitalize(), self.name, f"subject {self.subject}") if part)


def comparison(cases: Sequence[Case], path: Path | str, dpi: int) -> None:
    """Draw a row per case: frame, annotation, each model, and where the model that ships differs from the annotation."""
    models = _models(cases)
    heads = ["Frame", "Annotation", *(LOOKS[model].label for model in models), f"{LOOKS[SHIPPED].label} vs annotation"]
    legend = [Patch(facecolor=colour, edgecolor="#444444", label=meaning) for meaning, colour in AGREEMENT.values()]
    rows = [[case.frame] * len(heads) for case in cases]
    with cells(path, dpi, rows, width=2.15, heads=heads, legend=legend) as placed:
        for case, (plain, annotated, *predicted, differing) in zip(cases, placed, strict=True):
            caption(plain, case.title)
            caption(annotated, f"{100 * case.truth.mean():.1f} % of the frame" if case.truth.any() else "")
            fill(annotated, case.truth, TRUTH)
            for axes, model in zip(predicted, models, strict=True):
                caption(axes, _told(case, model))
                fill(axes, case.masks[model], LOOKS[model].on_frame)
            differences(differing, case.truth, case.masks[SHIPPED])


def overlays(cases: Sequence[Case], path: Path | str, dpi: int) -> None:
    """Draw each frame under the outlines of the annotation and of every model, with the models' Dice."""
    models = _models(cases)
    styles: dict[str, tuple[str, LineStyle]] = {"Annotation": (TRUTH, "-")}
    styles |= {LOOKS[m].label: (LOOKS[m].on_frame, LOOKS[m].outline) for m in models}
    legend = [key(label, colour, line) for label, (colour, line) in styles.items()]
    with cells(path, dpi, _rows([case.frame for case in cases], 3), width=3.3, lines=2, legend=legend) as placed:
        for case, axes in zip(cases, chain.from_iterable(placed), strict=True):
            masks = dict(zip(styles, [case.truth, *(case.masks[model] for model in models)], strict=True))
            for name, mask in masks.items():
                outline(axes, mask, *styles[name])
            caption(axes, case.title, "Dice: " + ", ".join(f"{LOOKS[m].label} {_score(case.dice[m])}" for m in models))
            withheld = {LOOKS[model].label for model in case.withheld}
            blank = [name for name, mask in masks.items() if not mask.any()]
            if empty := [f"{name} (removed by a cut-off)" if name in withheld else name for name in blank]:
                say(axes, f"no nerve: {', '.join(empty)}")


def heatmaps(cases: Sequence[Case], path: Path | str, dpi: int) -> None:
    """Draw a row per case: the frame, then each model's probability over it, with the annotation's outline."""
    models = _models(cases)
    heads = ["Frame", *(LOOKS[model].label for model in models)]
    rows = [[case.frame] * len(heads) for case in cases]
    legend = [key("Annotation", TRUTH, "-")]
    with cells(path, dpi, rows, width=2.9, heads=heads, legend=legend, right=0.85) as placed:
        for case, row in zip(cases, placed, strict=True):
            caption(row[0], case.title)
            for axes, model in zip(row[1:], models, strict=True):
                heat(axes, case.probabilities[model])
                caption(axes, f"highest {case.probabilities[model].max():.2f}, {_told(case, model)}")
            for axes in row:
                outline(axes, case.truth, TRUTH)
            if not case.truth.any():
                say(row[0], "no nerve annotated")
        colour_bar(placed[0][-1], "Probability of nerve")


def uncertainties(cases: Sequence[Case], path: Path | str, dpi: int) -> None:
    """Draw a row per case: where the model that ships is right and wrong, and its uncertainty of each pixel."""
    _need(cases)
    heads = ["Frame", f"{LOOKS[SHIPPED].label} vs annotation", "Uncertainty"]
    legend = [Patch(facecolor=colour, edgecolor="#444444", label=meaning) for meaning, colour in AGREEMENT.values()]
    rows = [[case.frame] * len(heads) for case in cases]
    with cells(path, dpi, rows, width=2.9, heads=heads, legend=legend, right=0.85) as placed:
        for case, (plain, differing, unsure) in zip(cases, placed, strict=True):
            caption(plain, case.title)
            caption(differing, _told(case, SHIPPED))
            differences(differing, case.truth, case.masks[SHIPPED])
            caption(unsure, f"highest {case.uncertainty.max():.2f} bits")
            heat(unsure, case.uncertainty)
        colour_bar(placed[0][-1], "Entropy of the probability (bits)")


def montage(
    frames: Sequence[Frame], masks: Sequence[Mask], titles: Sequence[str], columns: int, path: Path | str, dpi: int
) -> None:
    """Draw frames in rows of `columns`, each under the outline of its mask."""
    with cells(path, dpi, _rows(frames, columns), width=max(1.6, 10.0 / columns)) as placed:
        for mask, title, axes in zip(masks, titles, chain.from_iterable(placed), strict=True):
            caption(axes, title)
            outline(axes, mask, TRUTH)


def _need(cases: Sequence[Case]) -> None:
    if not cases:
        raise ValueError("a picture of cases needs at least one case")


def _models(cases: Sequence[Case]) -> list[str]:
    _need(cases)
    return [model for model in LOOKS if model in cases[0].masks]


def _rows(frames: Sequence[Frame], columns: int) -> list[list[Frame]]:
    if not frames:
        raise ValueError("a picture of frames needs at least one frame")
    return [list(frames[start : start + columns]) for start in range(0, len(frames), columns)]


def _told(case: Case, model: str) -> str:
    return f"Dice {_score(case.dice[model])}" + (", removed by a cut-off" if model in case.withheld else "")


def _score(dice: float) -> str:
    return "n/a" if isnan(dice) else f"{dice:.2f}"
