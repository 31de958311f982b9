"""Pictures of rows of cells, with a frame in each and lines of text above it.

All cells have the same width. A row is as high as its tallest frame needs; frames keep their aspect ratio and stand in the upper
left corner of their cell. Widths and heights are in inches.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from nerveseg.reporting.figures.canvas import canvas

GAP = 0.1  # between two cells
LINE = 0.18  # one line of text above a cell
CAPTION = 9  # points
TALLEST = 1.0  # of a cell, over its width; a taller frame is shown narrower
NARROWEST = 4.2  # of a picture, so that its legend and its captions fit


@contextmanager
def cells(
    path: Path | str,
    dpi: int,
    rows: Sequence[Sequence[npt.NDArray[np.uint8]]],
    *,
    width: float,
    lines: int = 1,
    heads: Sequence[str] = (),
    legend: Sequence[Artist] = (),
    right: float = 0.0,
) -> Iterator[list[list[Axes]]]:
    """Yield the axes of each row with their frames, and write the picture to `path` when the block ends.

    `lines` of text fit above each cell, `heads` stand above the first row, and `right` stays free beside the rows.
    """
    columns = max(len(row) for row in rows)
    width = max(width, (NARROWEST - right) / columns - GAP)
    heights = [width * min(TALLEST, max(frame.shape[0] / frame.shape[1] for frame in row)) for row in rows]
    top = 0.05 + (0.24 if heads else 0.0)
    bottom = 0.36 if legend else 0.08
    total_width = GAP + columns * (width + GAP) + right
    total_height = top + sum(heights) + len(rows) * (LINE * lines + GAP) + bottom
    lower = [top + below for below in accumulate(height + LINE * lines + GAP for height in heights)]

    with canvas(path, total_width, total_height, dpi, layout=None) as figure:
        placed = [
            [
                _cell(figure, frame, (GAP + column * (width + GAP), total_height - edge + GAP, width, height))
                for column, frame in enumerate(row)
            ]
            for row, height, edge in zip(rows, heights, lower, strict=True)
        ]
        for axes, head in zip(placed[0], heads, strict=False):
            left = axes.get_position(original=True).x0
            figure.text(left, 1.0 - 0.07 / total_height, head, size=11, weight="bold", va="top")
        if legend:
            figure.legend(handles=legend, loc="lower center", ncols=len(legend), borderaxespad=0.2, columnspacing=1.6)
        yield placed


def caption(axes: Axes, *lines: str) -> None:
    """Write lines of text above a cell; a line that does not fit loses its middle."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - every cell stands in a figure
    box = axes.get_position(original=True)
    room = 0.94 * box.width * figure.get_figwidth()  # drawn glyphs are rounded to pixels, up to 5 % wider
    for above, line in enumerate(reversed(lines)):
        y = box.y1 + (0.045 + LINE * above) / figure.get_figheight()
        figure.text(box.x0, y, _fitting(line, room), size=CAPTION, color="#333333")


def _fitting(line: str, room: float) -> str:
    # Measured as a path: matplotlib would draw an empty figure to measure a text.
    fitted, kept = line, len(line)
    while kept > 3 and _width(fitted) > room:
        kept -= 1
        fitted = f"{line[: kept - kept // 2]}…{line[len(line) - kept // 2 :]}"
    return fitted


def _width(line: str) -> float:
    points, _, _ = text_to_path.get_text_width_height_descent(line, FontProperties(size=CAPTION), ismath=False)
    return float(points) / 72


def _cell(figure: Figure, frame: npt.NDArray[np.uint8], inches: tuple[float, float, float, float]) -> Axes:
    left, lower, width, height = inches
    across, up = figure.get_figwidth(), figure.get_figheight()
    axes = figure.add_axes((left / across, lower / up, width / across, height / up), anchor="NW")
    axes.set_axis_off()
    axes.imshow(frame, cmap="gray", vmin=0, vmax=255)
    return axes
