"""What every picture shares: colours, the looks of the models, fonts, and PNGs that are equal to the bit each time.

The colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), for readers with colour vision deficiencies. Line styles and
markers differ too, for grey prints. Sizes are in inches, so that text keeps its proportion at any dpi.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib.style
from matplotlib.figure import Figure

from nerveseg.evaluation.model_names import LABELS
from nerveseg.files.atomic import whole_file

BLUE, SKY, VERMILLION, YELLOW, GREEN = "#0072B2", "#56B4E9", "#D55E00", "#F0E442", "#009E73"
ORANGE, PURPLE, GREY = "#E69F00", "#CC79A7", "#777777"
TRUTH = YELLOW

LineStyle = Literal["-", "--", "-."] | tuple[float, tuple[float, ...]]  # or an offset and dashes, in points

LARGEST = 30_000_000  # pixels; drawing takes about 30 bytes for each


@dataclass(frozen=True)
class Look:
    label: str
    on_white: str  # colour in charts
    on_frame: str  # colour over the dark tissue of a frame
    outline: LineStyle
    line: LineStyle  # in charts
    marker: str


# `gan` and the ensemble share a look: a chart shows the arms and the ensemble, or the arm that val chose.
_LOOKS: dict[str, tuple[str, str, LineStyle, LineStyle, str]] = {
    "unet_untuned": (GREY, GREY, (0, (1, 2)), (0, (1, 1.5)), "x"),
    "unet": (BLUE, SKY, (0, (5, 2)), "-", "o"),
    "control": (ORANGE, ORANGE, (0, (3, 1)), "--", "D"),
    "adversarial": (PURPLE, PURPLE, (0, (2.2, 1.2)), "-.", "v"),
    "gan": (GREEN, GREEN, (0, (1, 1)), "-.", "^"),
    "ensemble": (GREEN, GREEN, (0, (1, 1)), "-.", "^"),
    "exported": (VERMILLION, VERMILLION, (0, (2.2, 1.2)), "--", "s"),
}
LOOKS = {model: Look(LABELS[model], *look) for model, look in _LOOKS.items()}

STYLE = {
    "font.size": 10,
    "text.parse_math": False,  # a frame or subject may have a $ in its name
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.handlelength": 2.4,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
}


@contextmanager
def canvas(
    path: Path | str, width: float, height: float, dpi: int, *, layout: Literal["constrained"] | None = "constrained"
) -> Iterator[Figure]:
    """Yield a figure of `width` x `height` inches, of `LARGEST` pixels at most, and then write it to `path`."""
    dpi = min(dpi, int((LARGEST / (width * height)) ** 0.5))
    # after_reset: a user's matplotlibrc must not change the figures.
    with matplotlib.style.context(STYLE, after_reset=True):
        figure = Figure(figsize=(width, height), dpi=dpi, layout=layout)
        yield figure
        with whole_file(Path(path)) as unfinished:
            figure.savefig(unfinished, format="png", dpi=dpi, metadata={"Software": None})
