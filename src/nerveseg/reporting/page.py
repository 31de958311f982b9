"""The report: one HTML page with all scores, figures and parameters.

Its content security policy forbids requests and scripts other than its own. It has no time stamp and no path, so equal results
give an equal page. A score of None is shown as "n/a".
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from nerveseg.evaluation.baselines import EMPTY, MEAN_MASK
from nerveseg.evaluation.model_names import LABELS, SHIPPED, shown
from nerveseg.evaluation.score_table import Scores
from nerveseg.files.atomic import write_text
from nerveseg.measures.intervals import Interval, caution
from nerveseg.measures.scores import DRAWN, HEADLINE, SCORES, Score
from nerveseg.reporting.ablation_summary import Findings
from nerveseg.reporting.charts import Chart
from nerveseg.reporting.embedding import document, figure, script
from nerveseg.reporting.figures.canvas import GREEN, TRUTH, VERMILLION, YELLOW
from nerveseg.reporting.figures.layers import HEAT
from nerveseg.reporting.provenance import CutoffRow
from nerveseg.text.wording import counted

BESIDE = Path(__file__).parent
SCRIPTS = ("case_list.js", "case_viewer.js", "case_controls.js", "bundled/chart.js", "charts.js")
FIRST = (*reversed(HEADLINE), "presence_sensitivity", "presence_specificity")  # scores of the first screen
BASELINES = (MEAN_MASK, EMPTY)
NOT_SET = "not set"  # null, or an empty list; `none` is a value of gan.critic
AGREEMENT = {"tp": GREEN, "fp": VERMILLION, "fn": YELLOW}


@dataclass(frozen=True)
class Cell:
    text: str
    interval: str  # or why there is none
    missing: bool
    best: bool


def write_report(
    path: Path | str,
    metrics: Mapping[str, Any],
    scores: Scores,
    params: Mapping[str, Any],
    data: Mapping[str, Any],
    figures: Sequence[tuple[str, str, Path | str]],
    findings: Findings,
    browser: Mapping[str, Any] | None = None,
    charts: Sequence[Chart] = (),
    remarks: Sequence[str] = (),
    cutoffs: Mapping[str, CutoffRow] | None = None,
    summary: Mapping[str, str] | None = None,
    lead: tuple[str, str, Path | str] | None = None,
) -> None:
    """Write the page.

    `metrics`, `scores` and `params` are the contents of metrics/metrics.json, metrics/scores.csv and params.yaml:
    values, and sections of values. `data` has facts about the data set, `figures` title, caption and PNG of each, in
    the order of the page. `findings` say whether the refiner helped and what ships, `remarks` are sentences about the
    frames. `browser` is the document of `case_browser.Gallery`; None makes a page without cases, `charts` and scripts.
    `cutoffs` are those of each model, by its label. `summary` and the figure `lead` stand in the first screen.
    """
    methods = {key: LABELS[key] for key in shown(metrics)}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((BESIDE / "page.html").read_text(encoding="utf-8"))
    palette = base64.b64encode((255 * np.asarray(HEAT.colors)).round().astype("uint8").tobytes()).decode("ascii")
    documents = {
        "case-data": document({**browser, "palette": palette, "truth": TRUTH}),
        "chart-data": document(charts),
    } if browser else {}  # fmt: skip
    first = {key: label for key, label in methods.items() if key == SHIPPED or key in BASELINES}
    page = template.render(
        methods=methods,
        first=first,
        first_rows=[_row(scores, list(first), SCORES[key]) for key in FIRST],
        rows=[
            _row(scores, list(methods), score)
            for score in SCORES.values()
            if score.over is not DRAWN and any(scores.value(method, score.key) is not None for method in methods)
        ],
        counts=metrics["counts"] | {"frames_outlined_by_all": scores.outlined_by_all},
        counted=counted,
        caution=caution(metrics["counts"]["subjects"]),
        findings=findings,
        remarks=remarks,
        summary=summary or {},
        lead=figure(lead[0], lead[1], Path(lead[2])) if lead else None,
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
    write_text(Path(path), page)


def _row(scores: Scores, methods: Sequence[str], score: Score) -> tuple[str, str, list[Cell]]:
    """Return name, meaning and cells. Scores that look equal share the best place; of counts none is the best."""
    values = [scores.value(method, score.key) for method in methods]
    shown = ["n/a" if value is None else f"{value:.{score.digits}f}" for value in values]
    known = [text for text in shown if text != "n/a"]
    best = (min if score.lower_is_better else max)(known, key=float, default=None) if score.digits else None
    cells = [
        Cell(text, *_interval(value, scores.interval(method, score.key), score.digits), text == best)
        for method, value, text in zip(methods, values, shown, strict=True)
    ]
    return score.name, score.explained, cells


def _interval(value: float | None, interval: Interval | None, digits: int) -> tuple[str, bool]:
    """Return what stands under a score, its interval or why there is none, and whether there is none."""
    if value is None or interval is None:
        return "", True
    if interval.missing:
        return f"no interval: {interval.missing}", True
    return interval.told(f".{digits}f").replace(" to ", "–"), False


def _sections(params: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return sections by name; values at the top level make the first one."""
    nested = {key: value for key, value in params.items() if isinstance(value, Mapping)}
    top = {key: value for key, value in params.items() if key not in nested}
    sections = ({"general": top} if top else {}) | nested
    return {name: {key: _value(value) for key, value in values.items()} for name, values in sections.items()}


def _value(value: object) -> str:
    """Return a value as one reads it: without quotes and brackets, and numbers with six digits at most."""
    match value:
        case bool() | None:
            return {True: "true", False: "false", None: NOT_SET}[value]
        case float():
            return f"{value:g}"
        case Mapping():
            return ", ".join(f"{key} {_value(each)}" for key, each in value.items()) or NOT_SET
        case list() | tuple():
            return ", ".join(map(_value, value)) or NOT_SET
    return str(value)
