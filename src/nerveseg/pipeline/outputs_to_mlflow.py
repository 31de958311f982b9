"""Copy what the stages write to MLflow: data set, facts, scores, tables, report, and the model that ships."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nerveseg.dataset.info import DatasetInfo
from nerveseg.errors import NervesegError
from nerveseg.evaluation.model_names import SHIPPED
from nerveseg.evaluation.score_table import Scores
from nerveseg.files.atomic import read_csv, read_json
from nerveseg.registry.model_card import model_card
from nerveseg.registry.packaging import save_served
from nerveseg.registry.project_params import ProjectParams
from nerveseg.registry.promotion import DRAWS_NOTHING, draws_nothing, promote_where_asked
from nerveseg.tracking.mirror import StageRun

PROCESSED, EXPORTED, METRICS, REPORTS = map(Path, ("data/processed", "models/exported", "metrics", "reports"))


def _dataset(context: str, run: StageRun, _params: ProjectParams) -> None:
    info, manifest = DatasetInfo.read(PROCESSED), read_csv(PROCESSED / "manifest.csv")
    manifest = manifest[manifest["split"] != ""]
    run.log_dataset(Path(info.source).name, info.digest[:32], info.source, context, manifest)


def _evaluate(run: StageRun, params: ProjectParams) -> None:
    metrics: dict[str, Any] = read_json(METRICS / "metrics.json")
    run.log_scores(metrics)
    _dataset("evaluation", run, params)
    for path in sorted(METRICS.glob("*.csv")):
        run.log_artifact(path, "metrics")
    _register(run, metrics, params)


def _register(run: StageRun, metrics: Mapping[str, Any], params: ProjectParams) -> None:
    """Register what ships, as the new challenger if it draws anything; NervesegError if the store cannot be used. All else is a warning."""
    cases = read_csv(METRICS / "cases.csv")
    card = model_card(SHIPPED, metrics, Scores(read_csv(METRICS / "scores.csv")), DatasetInfo.read(PROCESSED), params)
    cases = cases[cases["model"] == SHIPPED]
    flaw = DRAWS_NOTHING if draws_nothing(cases) else ""
    save = partial(save_served, predictor=EXPORTED, cases=cases, card=card)
    if flaw:
        print(f"warning: the model that ships {flaw}; it is registered, but not as the challenger", file=sys.stderr)
    try:
        version = run.log_model(save, params.tracking.model_name, card, flaw)
    except NervesegError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever MLflow, or a full disk, raises
        reason = f"the model was not registered ({error}); all scores are written"
        print(f"warning: {reason}; try again with `dvc repro -f -s evaluate`", file=sys.stderr)
    else:
        if not flaw:
            promote_where_asked(params, version)


Mirror = Callable[[StageRun, ProjectParams], None]
AS_IT_TRAINS: dict[str, Mirror] = {"train_unet": partial(_dataset, "training")}
AFTER: dict[str, Mirror] = {
    "preprocess": partial(_dataset, "preprocessing"),
    "evaluate": _evaluate,
    "visualize": lambda run, _: run.log_report(REPORTS),
}
