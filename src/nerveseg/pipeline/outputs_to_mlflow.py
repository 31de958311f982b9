"""Copy what the stages write to MLflow: data set, facts, scores, tables, report, and the model that ships."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nerveseg.dataset.info import DatasetInfo
from nerveseg.files.atomic import read_csv
from nerveseg.registry.project_params import ProjectParams
from nerveseg.registry.registration import register
from nerveseg.tracking.mirror import StageRun

PROCESSED, METRICS, REPORTS = (Path(name) for name in ("data/processed", "metrics", "reports"))


def _dataset(context: str, run: StageRun, _params: ProjectParams) -> None:
    info, manifest = DatasetInfo.read(PROCESSED), read_csv(PROCESSED / "manifest.csv")
    manifest = manifest[manifest["split"] != ""]
    run.log_dataset(Path(info.source).name, info.digest[:32], info.source, context, manifest)


def _evaluate(run: StageRun, params: ProjectParams) -> None:
    metrics: dict[str, Any] = json.loads((METRICS / "metrics.json").read_text(encoding="utf-8"))
    run.log_scores(metrics)
    for path in sorted(METRICS.glob("*.csv")):
        run.log_artifact(path, "metrics")
    register(run, metrics, params)


Mirror = Callable[[StageRun, ProjectParams], None]
AS_IT_TRAINS: dict[str, Mirror] = {"train_unet": partial(_dataset, "training")}
AFTER: dict[str, Mirror] = {
    "preprocess": partial(_dataset, "preprocessing"),
    "evaluate": _evaluate,
    "visualize": lambda run, _: run.log_report(REPORTS),
}
