"""What `nerveseg scores` prints: the scores that decide, how they compare with the last commit's, and what to do next."""

import json
from pathlib import Path
from typing import Any

import yaml

from nerveseg.errors import DatasetError, RepositoryError
from nerveseg.evaluation.baselines import EMPTY, MEAN_MASK
from nerveseg.evaluation.model_names import BASE, LABELS, SHIPPED, what_ships
from nerveseg.evaluation.score_table import Scores
from nerveseg.files.atomic import read_csv, read_json
from nerveseg.measures.scores import HEADLINE, OF_SHIPPED, SCORES
from nerveseg.repository import committed, names_its_user, repository_root
from nerveseg.text.foreign_text import on_one_line
from nerveseg.text.wording import counted

METRICS, TABLE, LOCK = (
    Path("metrics/metrics.json"),
    Path("metrics/scores.csv"),
    Path("dvc.lock"),
)
# The largest difference of one commit's scores between two kinds of processor (docs/reproducibility.md).
BETWEEN_PROCESSORS = {"dice_nerve": 0.04, "dice": 0.02}
RUNS = "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=scores"
_COMMIT = "Commit dvc.lock and metrics/: later changes are compared with them."
_ORDER = ("dice_nerve", *(score for score in OF_SHIPPED if score != "dice_nerve"))
_COLUMNS = {SHIPPED: 23, "unet": 8, MEAN_MASK: 13, EMPTY: 11}  # of the table, and their widths


def score_summary() -> str:
    """Return the text, at most 80 columns wide but for names; DatasetError if there are no scores here."""
    if not (METRICS.is_file() and TABLE.is_file()):
        raise DatasetError(f"{METRICS} was not found; run `dvc repro` first")
    metrics, scores = read_json(METRICS), Scores(read_csv(TABLE))
    counts, data = metrics["counts"], metrics["data"]
    what = f"{on_one_line(data['source'])}{' (simulated)' if data['simulated'] else ''}"
    tested = f"{counted(counts['frames'], 'test frame')} of {counted(counts['subjects'], 'subject')}"
    return "\n".join([
        f"{what}: {tested}, {counts['frames_with_nerve']} with a nerve",
        "", *_table(scores), *_degraded(metrics), "",
        f"What ships is {what_ships(metrics)}.",
        *([f"Warning: {warning}."] if (warning := metrics["export"].get("warning")) else []),
        *_against_last_commit(metrics), "",
        "report: open reports/index.html in a browser",
        "runs:   mlflow ui, then open this address:",
        RUNS,
        *_before_experiments(),
        "next:   dvc exp run -S lr=1e-3, then dvc metrics diff",
    ])  # fmt: skip


def _before_experiments() -> list[str]:
    """Return what to do first if DVC would refuse an experiment, which it commits in the user's name."""
    if not (repository_root() / ".git").exists() or names_its_user():
        return []
    return ['first:  git config user.name "YOUR NAME"; git config user.email YOUR@EMAIL']


def _table(scores: Scores) -> list[str]:
    rows = [" " * 24 + "".join(LABELS[model].rjust(width) for model, width in _COLUMNS.items())]
    for score in (SCORES[key] for key in _ORDER):
        cells = [_cell(scores, model, score.key, score.digits).rjust(width) for model, width in _COLUMNS.items()]
        rows.append(f"{score.name:24}{''.join(cells)}")
    return rows


def _degraded(metrics: dict[str, Any]) -> list[str]:
    """Return a row with the Dice that a refiner is for; none if none ships."""
    if (arm := metrics["shipped"]["arm"]) not in metrics["degraded"] or arm == BASE:
        return []
    cells = [
        f"{metrics['degraded'][model]:.3f}".rjust(_COLUMNS[head]) for head, model in ((SHIPPED, arm), (BASE, BASE))
    ]
    return [f"{'Dice, degraded frames':24}{''.join(cells)}"]


def _cell(scores: Scores, model: str, key: str, digits: int) -> str:
    value, interval = scores.value(model, key), scores.interval(model, key)
    if value is None:
        return "n/a"
    beside = f" ({interval.told(f'.{digits}f')})" if model == SHIPPED and interval and not interval.missing else ""
    return f"{value:.{digits}f}{beside}"


def _against_last_commit(metrics: dict[str, Any]) -> list[str]:
    """Compare with the scores in HEAD; nothing if it has none."""
    try:
        before, lock = (json.loads(committed("HEAD", METRICS)), yaml.safe_load(committed("HEAD", LOCK)))
        changes = {key: metrics[SHIPPED][key] - before[SHIPPED][key] for key in HEADLINE}
        other = _inputs(lock) != _inputs(yaml.safe_load(LOCK.read_text(encoding="utf-8")))
    except (
        RepositoryError,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        yaml.YAMLError,
    ):  # no run in it, or undefined scores
        return []
    if metrics == before:
        return ["These scores equal those of the last commit, bit for bit."]
    now, then, tolerance = (
        metrics[SHIPPED]["dice_nerve"],
        before[SHIPPED]["dice_nerve"],
        BETWEEN_PROCESSORS["dice_nerve"],
    )
    if other:
        told = f"dice_nerve changed by {changes['dice_nerve']:+.3f} against the last commit"
        return [
            f"{told},",
            "whose dvc.lock is of other code, parameters or data.",
            _COMMIT,
        ]
    told = f"dice_nerve {now:.3f}, in the last commit {then:.3f} ± {tolerance:g}"
    if all(abs(change) <= BETWEEN_PROCESSORS[key] for key, change in changes.items()):
        return [f"{told}: as expected on another kind of processor.", _COMMIT]
    return [f"{told}: more than between two kinds of processor.", "See docs/troubleshooting.md."]


def _inputs(lock: dict[str, Any]) -> list[object]:
    """Return params and digests of code and data behind the scores, from `dvc.lock`; what later stages read is left out."""
    stages = {name: stage for name, stage in lock["stages"].items() if name != "visualize"}
    made = {out["path"] for stage in stages.values() for out in stage["outs"]}
    given = [dep for stage in stages.values() for dep in stage["deps"] if dep["path"] not in made]
    return [stages["preprocess"]["outs"], *given, *(stage.get("params") for stage in stages.values())]
