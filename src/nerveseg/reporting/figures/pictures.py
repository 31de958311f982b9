"""Pictures of frames with annotations and predictions.

A frame is uint8 (H, W); its masks are bool and its probabilities float, of the same shape. Frames of different sizes may share a
picture. The annotation is yellow, models look as in `canvas.LOOKS`. Empty masks are labelled "no nerve", and "withheld" if a
cut-off removed them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import isnan
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from matplotlib.patches import Patch

from nerveseg.evaluation.model_names import SHIPPED
from nerveseg.imaging.arrays import Frame, Mask
from nerveseg.reporting.figures.canvas import LOOKS, TRUTH, LineStyle
from nerveseg.reporting.figures.cells import caption, cells
from nerveseg.reporting.figures.layers import AGREEMENT, colour_bar, differences, fill, heat, key, outline, say


@dataclass(frozen=True, kw_only=True)
class Pictured:
    name: str
    subject: str
    frame: Frame
    truth: Mask
    masks: Mapping[str, Mask]  # by model, after threshold and post-processing
    dice: Mapping[str, float]
    rank: str = ""  # why it is shown: "best", "median", "worst", or how it is degraded
    withheld: frozenset[str] = frozenset()  # models that saw a nerve, and whose cut-offs left no mask

    def __post_init__(self) -> None:
        for layer, values in self.layers.items():
            if values.shape != self.frame.shape:
                raise ValueError(
                    f"case {self.name}: the {layer} has shape {values.shape}, its frame {self.frame.shape}"
                )

    @property
    def layers(self) -> dict[str, npt.NDArray[Any]]:
        return {"truth": self.truth} | {f"mask of {model}": mask for model, mask in self.masks.items()}

    @property
    def title(self) -> str:
        return f"{self.short_title} · {self.whose}"

    @property
    def short_title(self) -> str:
        rank = self.rank[:1].upper() + self.rank[1:]
        return f"{rank} · {self.name}" if rank else self.name

    @property
    def whose(self) -> str:
        return f"subject {self.subject}"

    def only(self, model: str) -> Self:
        return replace(self, masks={model: self.masks[model]})


@dataclass(frozen=True, kw_only=True)
class Case(Pictured):
    probabilities: Mapping[str, npt.NDArray[np.float32]]  # by model
    mirrored: npt.NDArray[np.float32]  # of the model that ships, for the mirror image, turned back
    uncertainty: npt.NDArray[np.float32]  # of both together, in bits, 0..1

    @property
    def layers(self) -> dict[str, npt.NDArray[Any]]:
        maps = {f"probability of {model}": values for model, values in self.probabilities.items()}
        return super().layers | maps | {"mirrored": self.mirrored, "uncertainty": self.uncertainty}


def comparison(cases: Sequence[Pictured], path: Path | str, dpi: int) -> None:
    """Draw a row per case: frame, annotation, each model, and where the model that ships differs from the annotation."""
    models = _models(cases)
    heads = ["Frame", "Annotation", *(LOOKS[model].label for model in models), f"{LOOKS[SHIPPED].label} vs annotation"]
    legend = [Patch(facecolor=colour, edgecolor="#444444", label=meaning) for meaning, colour in AGREEMENT.values()]
    rows = [[case.frame] * len(heads) for case in cases]
    with cells(path, dpi, rows, width=2.15, heads=heads, legend=legend) as placed:
        for case, (plain, annotated, *predicted, differing) in zip(cases, placed, strict=True):
            caption(plain, case.short_title)
            covered = f" · area {100 * case.truth.mean():.1f} %" if case.truth.any() else ""
            caption(annotated, case.whose + covered)
            fill(annotated, case.truth, TRUTH)
            for axes, model in zip(predicted, models, strict=True):
                caption(axes, f"Dice {_score(case, model)}")
                fill(axes, case.masks[model], LOOKS[model].on_frame)
            differences(differing, case.truth, case.masks[SHIPPED])


def overlays(cases: Sequence[Pictured], path: Path | str, dpi: int, *, columns: int = 3, width: float = 3.3) -> None:
    """Draw each frame under the outlines of the annotation and of its models, with the models' Dice."""
    models = _models(cases)
    styles: dict[str, tuple[str, LineStyle]] = {"Annotation": (TRUTH, "-")}
    styles |= {LOOKS[m].label: (LOOKS[m].on_frame, LOOKS[m].outline) for m in models}
    legend = [key(label, colour, line) for label, (colour, line) in styles.items()]
    rows = _rows([case.frame for case in cases], columns)
    with cells(path, dpi, rows, width=width, lines=2, legend=legend) as placed:
        for case, axes in zip(cases, chain.from_iterable(placed), strict=True):
            masks = {"Annotation": case.truth} | {LOOKS[m].label: case.masks[m] for m in models if m in case.masks}
            for name, mask in masks.items():
                outline(axes, mask, *styles[name])
            told = (f"{LOOKS[model].label} {_dice(case, model)}" for model in models if model in case.masks)
            caption(axes, case.title, f"Dice: {', '.join(told)}")
            withheld = [LOOKS[model].label for model in models if model in case.withheld & case.masks.keys()]
            empty = [name for name, mask in masks.items() if not mask.any() and name not in withheld]
            said = {"no nerve": empty, "withheld": withheld}
            say(axes, "; ".join(f"{what}: {', '.join(names)}" for what, names in said.items() if names))


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
                caption(axes, f"Dice {_score(case, model)}, highest {case.probabilities[model].max():.2f}")
            for axes in row:
                outline(axes, case.truth, TRUTH)
            if not case.truth.any():
                say(row[0], "no nerve annotated")
        colour_bar(placed[0][-1], "Probability of nerve")


def uncertainties(cases: Sequence[Case], path: Path | str, dpi: int) -> None:
    """Draw a row per case for the model that ships: the probability, that of the mirror image, and the uncertainty of both."""
    _models(cases)
    heads = [f"{LOOKS[SHIPPED].label} vs annotation", "Probability", "Of the mirror image", "Uncertainty of both"]
    legend = [Patch(facecolor=colour, edgecolor="#444444", label=meaning) for meaning, colour in AGREEMENT.values()]
    rows = [[case.frame] * len(heads) for case in cases]
    with cells(path, dpi, rows, width=2.6, lines=2, heads=heads, legend=legend, right=0.85) as placed:
        for case, (differing, *heated) in zip(cases, placed, strict=True):
            caption(differing, case.title, f"Dice {_score(case, SHIPPED)}")
            differences(differing, case.truth, case.masks[SHIPPED])
            maps = (case.probabilities[SHIPPED], case.mirrored, case.uncertainty)
            for axes, values in zip(heated, maps, strict=True):
                caption(axes, f"highest {values.max():.2f}" + (" bits" if values is case.uncertainty else ""))
                heat(axes, values)
        colour_bar(placed[0][-1], "Probability, or entropy (bits)")


def montage(
    frames: Sequence[Frame], masks: Sequence[Mask], titles: Sequence[str], columns: int, path: Path | str, dpi: int
) -> None:
    """Draw frames in rows of `columns`, each under the outline of its mask."""
    with cells(path, dpi, _rows(frames, columns), width=max(1.6, 10.0 / columns)) as placed:
        for mask, title, axes in zip(masks, titles, chain.from_iterable(placed), strict=True):
            caption(axes, title)
            outline(axes, mask, TRUTH)


def _models(cases: Sequence[Pictured]) -> list[str]:
    if not cases:
        raise ValueError("a picture of cases needs at least one case")
    return [model for model in LOOKS if any(model in case.masks for case in cases)]


def _rows(frames: Sequence[Frame], columns: int) -> list[list[Frame]]:
    if not frames:
        raise ValueError("a picture of frames needs at least one frame")
    return [list(frames[start : start + columns]) for start in range(0, len(frames), columns)]


def _score(case: Pictured, model: str) -> str:
    return _dice(case, model) + (", withheld" if model in case.withheld else "")


def _dice(case: Pictured, model: str) -> str:
    return "n/a" if isnan(case.dice[model]) else f"{case.dice[model]:.2f}"
