"""The web report: one HTML page that holds everything, scores, figures and parameters.

The page makes no request (its content security policy forbids it), runs no script, and has neither a time stamp
nor a path in it, so that equal results give an equal page. A score is a share, 0 to 1; None, a score that is not
defined or was not computed, is shown as "n/a".
"""

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from nerveseg.reporting.canvas import replacing

METHODS = {
    "unet": "U-Net",
    "gan": "Shipped",
    "baseline_mean_mask": "Average mask",
    "baseline_empty": "Empty mask",
}
MEASURES = {  # key in metrics.json: name, what it is; better the higher they are, but for `LOWER`
    "dice": ("Dice, all frames", "mean over the frames; empty against empty counts 1, as in Kaggle’s challenge"),
    "dice_nerve": ("Dice, frames with nerve", "mean over the frames in which a nerve is annotated"),
    "iou": ("IoU, all frames", "overlap over union; empty against empty counts 1"),
    "iou_nerve": ("IoU, frames with nerve", "mean over the frames in which a nerve is annotated"),
    "binary_accuracy": ("Pixel accuracy", "share of pixels labelled as annotated; high for any small target"),
    "precision": ("Precision", "share of the predicted area that is nerve, mean over frames with a prediction"),
    "recall": ("Recall", "share of the nerve’s area that is found, mean over frames with a nerve"),
    "specificity": ("Specificity", "share of the pixels that are no nerve and called so; high for any small target"),
    "hd95": (
        "HD95 (pixels)",
        "95th percentile of the distances between outlines, mean over frames in which both show a nerve",
    ),
    "assd": ("ASSD (pixels)", "mean distance between outlines, likewise"),
    "nsd": ("NSD at 2 pixels", "share of the outlines within 2 pixels of each other, mean over frames with a nerve"),
    "centroid_distance": (
        "Distance of centres (pixels)",
        "between the centres of mass, where a needle would be aimed at",
    ),
    "area_error": ("Error of the area", "as a share of the annotated area"),
    "presence_sensitivity": ("Presence: sensitivity", "share of the frames with a nerve in which one is predicted"),
    "presence_specificity": ("Presence: specificity", "share of the frames without a nerve in which none is predicted"),
    "presence_auc": ("Presence: ROC AUC", "a frame with a nerve is held for likelier to show one than a frame without"),
    "ece": ("Calibration error", "mean difference between probability and share of nerve, over all pixels"),
    "ece_doubtful": ("Calibration error, doubtful pixels", "likewise, of pixels with a probability of at least 0.05"),
}
LOWER = {"hd95", "assd", "centroid_distance", "area_error", "ece", "ece_doubtful"}  # is better
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Score:
    text: str
    interval: str
    best: bool


@dataclass(frozen=True)
class Figure:
    title: str
    caption: str
    data: str  # the PNG in base64
    width: int  # pixels
    height: int


def write_report(
    path: Path | str,
    metrics: Mapping[str, Any],
    params: Mapping[str, Any],
    figures: Sequence[tuple[str, str, Path | str]],
    findings: Sequence[str],
) -> None:
    """Write the page.

    Args:
        path: of the page, for example reports/index.html.
        metrics: the content of metrics/metrics.json.
        params: the content of params.yaml: values, and sections of values.
        figures: title, caption and PNG of each, in the order of the page.
        findings: sentences on the refiner: whether it helped, what ships, and what its training was remarked for.
    """
    methods = {key: name for key, name in METHODS.items() if key in metrics}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    page = template.render(
        methods=methods,
        rows=[(*_named(measure), _scores(metrics, list(methods), measure)) for measure in _measures(metrics, methods)],
        counts=metrics.get("counts"),
        findings=findings,
        figures=[_figure(title, caption, Path(png)) for title, caption, png in figures],
        sections=_sections(params),
    )
    with replacing(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")


def _measures(metrics: Mapping[str, Any], methods: Mapping[str, str]) -> list[str]:
    """The measures we have words for, in our order, then any others."""
    present = dict.fromkeys(measure for method in methods for measure in metrics[method] if measure != "used")
    return [measure for measure in MEASURES if measure in present] + [key for key in present if key not in MEASURES]


def _named(measure: str) -> tuple[str, str]:
    return MEASURES.get(measure, (measure, ""))


def _scores(metrics: Mapping[str, Any], methods: Sequence[str], measure: str) -> list[Score]:
    values = [metrics[method].get(measure) for method in methods]
    # Equal as shown is equal: a difference in the fourth digit makes no winner. Of a measure that we have no words
    # for, we do not know whether higher is better.
    known = [_number(value) for value in values if value is not None and measure in MEASURES]
    best = (min if measure in LOWER else max)(known, key=float, default=None)
    return [
        Score(_number(value), _interval(metrics, method, measure), _number(value) == best)
        for method, value in zip(methods, values, strict=True)
    ]


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _interval(metrics: Mapping[str, Any], method: str, measure: str) -> str:
    bounds = metrics.get("intervals", {}).get(method, {})
    low, high = bounds.get(f"{measure}_low"), bounds.get(f"{measure}_high")
    return "" if low is None or high is None else f"{_number(low)}–{_number(high)}"


def _figure(title: str, caption: str, png: Path) -> Figure:
    content = png.read_bytes()
    if not content.startswith(PNG_SIGNATURE):
        raise ValueError(f"{png} is not a PNG; the report embeds nothing else")
    width, height = struct.unpack(">II", content[16:24])
    return Figure(title, caption, base64.b64encode(content).decode("ascii"), width, height)


def _sections(params: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Sections by name; values that stand at the top level make the first one."""
    top = {key: _value(value) for key, value in params.items() if not isinstance(value, Mapping)}
    nested = {
        section: {key: _value(value) for key, value in values.items()}
        for section, values in params.items()
        if isinstance(values, Mapping)
    }
    return ({"general": top} if top else {}) | nested


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
