"""The test cases for the report's case browser, as one JSON document that is small enough to open at once.

Frames are WebP, the best of `RUNGS` with which all of them fit. Maps of probability and uncertainty are a quarter as wide and
high: the networks see no more. Outlines are SVG paths in half pixels of the frame.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.evaluation.model_names import SHIPPED
from nerveseg.imaging.arrays import Frame, Mask
from nerveseg.measures.scores import LENGTHS, MEASURES, OF_FRAMES, Measure
from nerveseg.reporting.case_selection import KINDS, outcome
from nerveseg.reporting.figures.canvas import LOOKS
from nerveseg.reporting.figures.pictures import Case

ROOM = 17_000_000  # bytes for frames; the page with all else in it stays below 30 MB
SHRUNK = 4  # how much smaller maps are than their frame
STRAYS = 0.4  # pixels that an outline may lie from the mask's edge
SAMPLE = 24  # frames, about, from which the size of all is estimated


class Column(NamedTuple):
    """A number of each frame and model: its column in metrics/cases.csv, its name, and the decimals shown."""

    key: str
    name: str
    digits: int


class Rung(NamedTuple):
    scale: float  # of the frame
    quality: int  # of WebP


def _columns(measure: Measure) -> list[Column]:
    in_mm = Column(f"{measure.key}_mm", f"{measure.name} (mm)", measure.digits + 1)
    return [Column(measure.key, measure.title, measure.digits), *([in_mm] if measure.key in LENGTHS else [])]


COLUMNS = (
    *chain.from_iterable(_columns(MEASURES[key]) for key in OF_FRAMES),
    Column("predicted_area", "Area (pixels)", 0),
    Column("presence", "Presence", 3),
    Column("confidence", "Confidence", 3),
)
RUNGS = (Rung(1, 80), Rung(1, 60), Rung(1, 40), Rung(0.75, 40), Rung(0.5, 40), Rung(0.5, 20), Rung(0.25, 20))


class Gallery:
    """Collects cases, and keeps what the page needs; `scores` are of `metrics/cases.csv`, `rung` of `fitting_rung`."""

    def __init__(self, scores: pd.DataFrame, rung: Rung) -> None:
        self._rung = rung
        self._scores = {(row["frame"], row["model"]): row for row in scores.to_dict("records")}
        self._models: list[str] = []
        self._cases: list[dict[str, Any]] = []

    def passing(self, cases: Iterable[Case]) -> Iterator[Case]:
        """Yield the same cases, each once it is collected."""
        for case in cases:
            self._add(case)
            yield case

    def document(self) -> dict[str, Any]:
        looks = {model: {"label": LOOKS[model].label, "colour": LOOKS[model].on_frame} for model in self._models}
        return {
            "models": looks,
            "shipped": SHIPPED,
            "kinds": KINDS,
            "columns": [column._asdict() for column in COLUMNS],
            "quality": self._rung._asdict(),
            "cases": self._cases,
        }

    def _add(self, case: Case) -> None:
        self._models = list(case.masks)
        height, width = case.frame.shape
        self._cases.append(
            {
                "name": case.name,
                "subject": case.subject,
                "nerve": bool(case.truth.any()),
                "area": int(np.count_nonzero(case.truth)),
                "size": [height, width],
                "frame": _webp(case.frame, self._rung),
                "truth": svg_path(case.truth),
                "uncertainty": _map(case.uncertainty),
                "models": {model: self._of_model(case, model) for model in case.masks},
            }
        )

    def _of_model(self, case: Case, model: str) -> dict[str, Any]:
        row = self._scores[case.name, model]
        numbers = {column.key: float(row[column.key]) for column in COLUMNS}
        values = {key: None if np.isnan(value) else round(value, 4) for key, value in numbers.items()}
        kind = outcome(row["has_nerve"], row["predicted_area"], row["dice"], withheld=model in case.withheld)
        layers = {"outline": svg_path(case.masks[model]), "heat": _map(case.probabilities[model])}
        return {**values, "kind": kind, **layers}


def fitting_rung(frames: Sequence[Frame], room: int = ROOM) -> Rung:
    """Return the best of `RUNGS` with which the frames take about `room` bytes at most, estimated from a sample; else the last."""
    sample = frames[:: max(1, len(frames) // SAMPLE)]
    most = room * len(sample) / len(frames)
    return next((rung for rung in RUNGS if sum(len(_webp(frame, rung)) for frame in sample) <= most), RUNGS[-1])


def svg_path(mask: Mask) -> str:
    """Return the outlines of a mask, with its holes, as closed paths to fill by the rule `evenodd`; empty for an empty mask."""
    # OpenCV outlines pixels' centres. At twice the size these lie at the pixels' edges, to half a pixel.
    doubled = cv2.resize(mask.view(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rounded = [cv2.approxPolyDP(outline, 2 * STRAYS, closed=True)[:, 0] for outline in outlines]
    return "".join(_closed(points) for points in rounded)


def _closed(points: NDArray[np.int32]) -> str:
    """Return the first point, then the steps to each next one."""
    first, steps = points[0], np.diff(points, axis=0)
    onward = "l" + " ".join(f"{across} {down}" for across, down in steps) if len(steps) else ""
    return f"M{first[0]} {first[1]}{onward}z"


def _webp(frame: Frame, rung: Rung) -> str:
    if rung.scale < 1:
        frame = cv2.resize(frame, None, fx=rung.scale, fy=rung.scale, interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(".webp", frame, [cv2.IMWRITE_WEBP_QUALITY, rung.quality])
    return base64.b64encode(content.tobytes()).decode("ascii")


def _map(values: NDArray[np.float32]) -> str:
    """Return values of 0..1 as grey levels; empty if all are below half a level."""
    levels = np.round(255 * values).astype(np.uint8)
    if not levels.any():
        return ""
    height, width = (max(1, side // SHRUNK) for side in levels.shape)
    return _webp(cv2.resize(levels, (width, height), interpolation=cv2.INTER_AREA), Rung(1, 80))
