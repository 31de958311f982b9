"""`metrics/scores.csv`, all scores with their intervals, and `metrics/metrics.json`, the few that `dvc metrics diff` compares.

`scores.csv` has a row for each model and score: `value`, over so many `cases` of so many `subjects`, the bounds `low` and `high`
of its 95 % interval, and `no_interval`, the reason if it has none. The scores are those of `measures.scores`.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from nerveseg.dataset.info import DatasetInfo
from nerveseg.evaluation.baselines import EMPTY, MEAN_MASK
from nerveseg.evaluation.calibration import calibration_errors
from nerveseg.evaluation.model_names import BASE, LABELS, SHIPPED
from nerveseg.evaluation.stored_predictions import ShippedModel
from nerveseg.measures.cases import outlined, presence_auc
from nerveseg.measures.intervals import Interval, interval_table
from nerveseg.measures.scores import DISTANCES, HEADLINE, OF_MODELS, OF_SHIPPED

_NO_MEAN = "no mean over frames"


def score_table(cases: pd.DataFrame, reliability: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Return `scores.csv`, from `TestSet.all_cases` and, for models but not baselines, `reliability_table`."""
    counted = []
    for model, of in cases.groupby("model", sort=False):
        found: dict[str, float | None] = {"frames_outlined": outlined(of)}
        if model not in {EMPTY, MEAN_MASK}:
            found |= {"presence_auc": presence_auc(of)} | calibration_errors(reliability[reliability["model"] == model])
        size = {"cases": len(of), "subjects": of["subject"].nunique(), "no_interval": _NO_MEAN}
        counted += [{"model": model, "score": score, "value": value, **size} for score, value in found.items()]
    return pd.concat([interval_table(cases, resamples, seed), pd.DataFrame(counted)], ignore_index=True)


class Scores:
    """The content of `scores.csv`."""

    def __init__(self, table: pd.DataFrame) -> None:
        rows = table.astype({"no_interval": object}).fillna({"no_interval": ""}).to_dict("records")
        self._rows = {(str(row["model"]), str(row["score"])): row for row in rows}

    def value(self, model: str, score: str) -> float | None:
        """Return a score, or None if it is undefined, or not one of this model."""
        row = self._rows.get((model, score))
        return None if row is None or pd.isna(row["value"]) else float(row["value"])

    def interval(self, model: str, score: str) -> Interval | None:
        """Return the interval of a score that is a mean over frames, or the reason for having none; None for other scores."""
        row = self._rows.get((model, score))
        if row is None or row["no_interval"] == _NO_MEAN:
            return None
        return Interval(float(row["low"]), float(row["high"]), str(row["no_interval"]))

    @property
    def models(self) -> list[str]:
        """The models and baselines, in the order of `LABELS`."""
        return [model for model in LABELS if (model, HEADLINE[0]) in self._rows]

    @property
    def frames(self) -> int:
        """How many test frames there are."""
        return int(self._rows[BASE, HEADLINE[0]]["cases"])

    @property
    def outlined_by_all(self) -> int:
        """How many frames all models outline, over which `..._common` are means."""
        return int(self._rows[SHIPPED, f"{DISTANCES[0]}_common"]["cases"])


def headline(
    scores: Scores,
    cases: pd.DataFrame,
    info: DatasetInfo,
    degraded: Mapping[str, float | None],
    shipped: ShippedModel,
    export: Mapping[str, Any],
) -> dict[str, Any]:
    """Return `metrics.json`: `OF_SHIPPED` with the intervals of `HEADLINE`, `OF_MODELS` of the others, and what concerns them all.

    `cases` are those of any one model, `degraded` is the Dice of each arm on degraded frames, `export` is what the export changed.
    """
    content: dict[str, Any] = {SHIPPED: {score: scores.value(SHIPPED, score) for score in OF_SHIPPED}}
    for score in HEADLINE:
        if interval := scores.interval(SHIPPED, score):
            content[SHIPPED] |= interval.as_json(score)
    for model in (model for model in scores.models if model != SHIPPED):
        content[model] = {score: scores.value(model, score) for score in OF_MODELS}
    counts = {
        "frames": len(cases),
        "frames_with_nerve": int(cases["has_nerve"].sum()),
        "subjects": cases["subject"].nunique(),
    }
    data = {"source": info.source, "simulated": info.simulated}
    return content | {
        "degraded": dict(degraded), "counts": counts, "data": data, "shipped": asdict(shipped), "export": dict(export)
    }  # fmt: skip
