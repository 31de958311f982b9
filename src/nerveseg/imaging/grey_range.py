"""Which stored levels are black and white, decided once for all files of a source, and frames made with them.

Most files say it: 8 bits, or DICOM with a window or fewer than 16 bits stored. 16-bit integers, of which ultrasound machines
often use 12 bits, and floating point do not. Decided file by file, a dark frame would come out brighter than its neighbours, so
one decision (`decided`) holds for a whole data set, for all files of a prediction, and for a model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import BadFileError, ParamsError

Kind = Literal["integer", "floating"]
EIGHT_BITS = (0.0, 255.0)
LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601), as in Pillow and OpenCV
ASKED = "say which levels are black and white (data.grey_range, or --grey-range of predict and watch), or export it with 8 bits"
DIM = "nothing in it is brighter than a sixteenth of white: is it of another machine?"


@dataclass(frozen=True)
class GreyRange:
    """Black and white of integers of more than 8 bits and of floating point, None if not known."""

    integer: tuple[float, float] | None = None
    floating: tuple[float, float] | None = None
    given: bool = False  # by a person, so that levels outside are cut

    def __post_init__(self) -> None:
        for pair in (self.integer, self.floating):
            if pair is not None and not -np.inf < pair[0] < pair[1] < np.inf:
                raise ValueError(f"{list(pair)} are no black and white")

    @classmethod
    def said(cls, levels: Sequence[float] | None) -> "GreyRange":
        """Return the range that `data.grey_range` or `--grey-range` gives; raise `ParamsError` if it is none."""
        try:
            pair = (float(levels[0]), float(levels[1])) if levels else None
            return cls(pair, pair, given=pair is not None)
        except ValueError as error:
            raise ParamsError(f"{error}; give the level that is black, then a greater one that is white") from None


@dataclass(frozen=True)
class Extremes:
    """The lowest and highest level of a file that does not say which level is white."""

    kind: Kind
    low: float
    high: float


@dataclass(frozen=True)
class Stored:
    """Frames as their file stores them, (N, H, W) or in colour (N, H, W, 3)."""

    values: NDArray[Any]
    black_white: tuple[float, float] | None = None  # None if the file does not say it
    inverted: bool = False  # whether the lowest level is shown white
    remarks: tuple[str, ...] = ()

    def extremes(self, path: Path) -> Extremes:
        """Return the extremes over all frames; raise `BadFileError` if a level is infinite or not a number."""
        kind: Kind = "floating" if self.values.dtype.kind == "f" else "integer"
        low, high = float(self.values.min()), float(self.values.max())
        if not np.isfinite([low, high]).all():
            raise BadFileError(path, "pixels that are not a number or infinite", "export it with 8 bits")
        return Extremes(kind, low, high)


def decided(found: Iterable[Extremes], known: GreyRange | None = None) -> GreyRange:
    """Return the range for all files of a source; what is `known` stays. A kind of levels that fits no range stays open."""
    extremes, known = list(found), known or GreyRange()
    integer = _covering(extremes, "integer", [(0.0, 2.0**bits - 1) for bits in (8, 12, 16)])
    floating = _covering(extremes, "floating", [(0.0, 1.0), EIGHT_BITS])
    return GreyRange(known.integer or integer, known.floating or floating, given=known.given)


def frames_of(stored: Stored, grey_range: GreyRange | None, path: Path) -> tuple[NDArray[np.uint8], str]:
    """Return frames, uint8 (N, H, W), and a remark on how levels were taken; without a range, the file alone decides. If
    black and white are not known, or levels lie outside them, raise `BadFileError`.
    """
    black_white, remarks = stored.black_white, stored.remarks
    if black_white is None:
        black_white, told = _agreed(stored.extremes(path), grey_range, path)
        remarks = (*remarks, told)
    values, told = stored.values, "; ".join(filter(None, remarks))
    if values.dtype == np.uint8 and values.ndim == 3 and black_white == EIGHT_BITS and not stored.inverted:
        return values, told
    frames = np.empty(values.shape[:3], np.uint8)
    for frame, levels in zip(frames, values, strict=True):
        frame[:] = _eight_bits(levels, black_white, inverted=stored.inverted)
    return frames, told


def _covering(extremes: list[Extremes], kind: Kind, ranges: list[tuple[float, float]]) -> tuple[float, float] | None:
    """Return the first range that holds all levels of a kind."""
    of_kind = [each for each in extremes if each.kind == kind]
    low, high = min((each.low for each in of_kind), default=0.0), max((each.high for each in of_kind), default=0.0)
    return next((pair for pair in ranges if pair[0] <= low and high <= pair[1]), None) if of_kind else None


def _agreed(found: Extremes, grey_range: GreyRange | None, path: Path) -> tuple[tuple[float, float], str]:
    """Return black and white of levels, and a remark."""
    alone: tuple[float, float] | None = getattr(decided([found]), found.kind)
    pair = alone if grey_range is None else getattr(grey_range, found.kind)
    levels = f"pixels from {found.low:g} to {found.high:g}"
    if pair is None and alone == (0.0, 65535.0):  # no smaller range would hold it, whatever its source
        pair = alone
    if pair is None:
        expected = "none below 0, and 8 or 16 bits" if found.kind == "integer" else "0..1 or 0..255"
        what = "of which nothing says what is white" if alone else f"expected {expected}"
        raise BadFileError(path, f"{levels}, {what}", ASKED)
    black, white = pair
    bits = f", taken as {int(white).bit_length()} bits" if black == 0.0 and white in (255.0, 4095.0, 65535.0) else ""
    what = f"whole numbers{bits}" if found.kind == "integer" else "floating point"
    told = f"{what}: black at {black:g}, white at {white:g}"
    if not black <= found.low <= found.high <= white:
        if grey_range is None or not grey_range.given:
            what = f"{levels}, but its source was read with black at {black:g} and white at {white:g}"
            raise BadFileError(path, what, ASKED)
        return pair, f"{told}, and what lies outside is cut"
    dim = found.high <= black + (white - black) / 16.0
    return pair, f"{told}; {DIM}" if dim else told


def _eight_bits(levels: NDArray[Any], black_white: tuple[float, float], *, inverted: bool) -> NDArray[np.uint8]:
    black, white = black_white
    if levels.dtype == np.uint8 and levels.ndim == 3 and black_white == EIGHT_BITS:
        grey = cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY).astype(np.float64)
    else:
        grey = (levels @ LUMA if levels.ndim == 3 else levels.astype(np.float64)) - black
        grey = np.clip(grey * (255.0 / (white - black)), 0.0, 255.0)
    return np.round(255.0 - grey if inverted else grey).astype(np.uint8)
