"""The web report: one HTML page that holds everything, scores, figures and parameters.

The page makes no request and runs no script but its own (its content security policy forbids both), and has neither a time
stamp nor a path in it, so that equal results give an equal page. A score is a share, 0 to 1; None, a score that is not
defined or was not computed, is shown as "n/a".
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined

from nerveseg.evaluation.model_names import LABELS, shown
from nerveseg.measures.cases import COMMON, DISTANCES
from nerveseg.measures.intervals import Interval, caution
from nerveseg.reporting.charts import Chart
from nerveseg.reporting.embedding import document, figure, script
from nerveseg.reporting.figures.canvas import GREEN, TRUTH, VERMILLION, YELLOW, replacing
from nerveseg.reporting.figures.layers import HEAT
from nerveseg.reporting.provenance import CutoffRow
from nerveseg.text.wording import counted

MEASURES = {  # key in metrics.json: name, what it is; better the higher they are, but for `LOWER`
    "dice": ("Dice, all frames", "mean over the frames; empty against empty counts 1, as in Kaggle’s challenge"),
    "dice_nerve": ("Dice, frames with nerve", "mean over the frames in which a nerve is annotated"),
    "iou": ("IoU, all frames", "overlap over union; empty against empty counts 1"),
    "iou_nerve": ("IoU, frames with nerve", "mean over the frames in which a nerve is annotated"),
    "binary_accuracy": ("Pixel accuracy", "share of pixels labelled as annotated; high for any small target"),
    "precision": ("Precision", "share of the predicted area that is nerve, mean over frames with a prediction"),
    "recall": ("Recall", "share of the nerve’s area that is found, mean over frames with a nerve"),
    "specificity": ("Specificity", "share of the pixels that are no nerve and called so; high for any small target"),
    "frames_outlined": ("Frames outlined", "frames with a nerve in which something is drawn; distances have no others"),
    "hd95_common": (
        "HD95 (pixels)",
        "95th percentile of the distances between outlines, mean over the frames that all of the models outline",
    ),
    "assd_common": ("ASSD (pixels)", "mean distance between outlines, over the same frames"),
    "nsd": ("NSD at 2 pixels", "share of the outlines within 2 pixels of each other, mean over frames with a nerve"),
    "centroid_distance_common": (
        "Distance of centres (pixels)",
        "between the centres of mass, where a needle would be aimed at, over the frames that all of the models outline",
    ),
    "area_error_common": ("Error of the area", "as a share of the annotated area, over the same frames"),
    "presence_sensitivity": ("Presence: sensitivity", "share of the frames with a nerve in which one is predicted"),
    "presence_specificity": ("Presence: specificity", "share of the frames without a nerve in which none is predicted"),
    "presence_auc": ("Presence: ROC AUC", "a frame with a nerve is held for likelier to show one than a frame without"),
    "ece": ("Calibration error", "mean difference between probability and share of nerve, over all pixels"),
    "ece_doubtful": ("Calibration error, doubtful pixels", "likewise, of pixels with a probability of at least 0.05"),
}
OF_OWN_FRAMES = DISTANCES  # means over frames that differ from model to model: in `metrics.json`, not beside each other
LOWER = {*DISTANCES, *COMMON, "ece", "ece_doubtful"}  # is better
BESIDE = Path(__file__).parent
SCRIPTS = ("cases.js", "bundled/chart.js", "charts.js")
AGREEMENT = {"tp": GREEN, "fp": VERMILLION, "fn": YELLOW}


@dataclass(frozen=True)
class Score:
    text: str
    interval: str
    best: bool


def write_report(
    path: Path | str,
    metrics: Mapping[str, Any],
    bounds: pd.DataFrame,
    params: Mapping[str, Any],
    data: Mapping[str, Any],
    figures: Sequence[tuple[str, str, Path | str]],
    findings: Sequence[str],
    browser: Mapping[str, Any] | None = None,
    charts: Sequence[Chart] = (),
    origin: Sequence[str] = (),
    cutoffs: Mapping[str, CutoffRow] | None = None,
) -> None:
    """Write the page.

    Args:
        path: of the page, for example reports/index.html.
        metrics: the content of metrics/metrics.json.
        bounds: of the scores: the columns `model`, `score`, `low`, `high` and `no_interval` of metrics/intervals.csv.
        params: the content of params.yaml: values, and sections of values.
        data: facts on the data set, digests among them.
        figures: title, caption and PNG of each, in the order of the page.
        findings: sentences on the refiner: whether it helped, what ships, and what its training was remarked for.
        origin: sentences on the frames and the code behind the page (`origin_of`).
        cutoffs: of each model, by its label.
        browser: the document of `case_browser.Gallery`; None for a page without cases, charts and scripts.
        charts: drawn in the browser.
    """
    methods = {key: LABELS[key] for key in shown(metrics)}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((BESIDE / "page.html").read_text(encoding="utf-8"))
    intervals = {
        (str(row["model"]), str(row["score"])): Interval(float(row["low"]), float(row["high"]), row["no_interval"])
        for row in bounds.astype({"no_interval": object}).fillna({"no_interval": ""}).to_dict("records")
    }
    palette = base64.b64encode((255 * np.asarray(HEAT.colors)).round().astype("uint8").tobytes()).decode("ascii")
    documents = {
        "case-data": document({**browser, "palette": palette, "truth": TRUTH}),
        "chart-data": document(charts),
    } if browser else {}  # fmt: skip
    page = template.render(
        methods=methods,
        rows=[
            (*_named(measure), _scores(metrics, intervals, list(methods), measure))
            for measure in _measures(metrics, methods)
        ],
        counts=metrics.get("counts"),
        counted=counted,
        caution=caution(metrics["counts"]["subjects"]) if "counts" in metrics else "",
        findings=findings,
        origin=origin,
        cutoffs=cutoffs or {},
        figures=[figure(title, caption, Path(png)) for title, caption, png in figures],
        data={key: _value(value) for key, value in data.items()},
        sections=_sections(params),
        browser=browser,
        charts=charts,
        agreement=AGREEMENT,
        documents=documents,
        scripts=[script(BESIDE / name) for name in SCRIPTS] if browser else [],
    )
    with replacing(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")


def _measures(metrics: Mapping[str, Any], methods: Mapping[str, str]) -> list[str]:
    """The measures we have words for, in our order, then any others."""
    present = dict.fromkeys(measure for method in methods for measure in metrics[method])
    for measure in OF_OWN_FRAMES:
        present.pop(measure, None)
    return [measure for measure in MEASURES if measure in present] + [key for key in present if key not in MEASURES]


def _named(measure: str) -> tuple[str, str]:
    return MEASURES.get(measure, (measure, ""))


def _scores(
    metrics: Mapping[str, Any],
    intervals: Mapping[tuple[str, str], Interval],
    methods: Sequence[str],
    measure: str,
) -> list[Score]:
    values = [metrics[method].get(measure) for method in methods]
    # Equal as shown is equal: a difference in the fourth digit makes no winner. Of a measure that we have no words
    # for, we do not know whether higher is better.
    known = [_number(value) for value in values if value is not None and measure in MEASURES]
    best = (min if measure in LOWER else max)(known, key=float, default=None)
    return [
        Score(_number(value), _interval(value, intervals.get((method, measure))), _number(value) == best)
        for method, value in zip(methods, values, strict=True)
    ]


def _number(value: float | None) -> str:
    return "n/a" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def _interval(value: float | None, interval: Interval | None) -> str:
    """What stands under a score: its interval, or why there is none; nothing where there is no score either."""
    if value is None or interval is None:
        return ""
    return f"no interval: {interval.missing}" if interval.missing else interval.told().replace(" to ", "–")


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
