"""Registers the model that ships as the new challenger once it is scored, and promotes it if `tracking.promote` says so."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nerveseg.dataset.info import DatasetInfo
from nerveseg.errors import NervesegError
from nerveseg.evaluation.model_names import SHIPPED
from nerveseg.files.atomic import read_csv
from nerveseg.registry.model_card import model_card
from nerveseg.registry.packaging import save_served
from nerveseg.registry.project_params import ProjectParams
from nerveseg.registry.promotion import promote_where_asked
from nerveseg.tracking.mirror import StageRun

PROCESSED, EXPORTED, CASES = Path("data/processed"), Path("models/exported"), Path("metrics/cases.csv")


def register(run: StageRun, metrics: Mapping[str, Any], params: ProjectParams) -> None:
    """Register the model of metrics.json; NervesegError if the store cannot be used. Any other failure is a warning."""
    cases = read_csv(CASES)
    card = model_card(SHIPPED, metrics, DatasetInfo.read(PROCESSED), params)
    save = partial(save_served, predictor=EXPORTED, cases=cases[cases["model"] == SHIPPED], card=card)
    try:
        version = run.log_model(save, params.tracking.model_name, card)
    except NervesegError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever MLflow, or a full disk, raises
        reason = f"the model was not registered ({error}); all scores are written"
        print(f"warning: {reason}; try again with `dvc repro -f -s evaluate`", file=sys.stderr)
    else:
        promote_where_asked(params, version)
