"""The view "Scores" of the table of runs: a tag of the experiment, as MLflow's page writes it under "Views".

MLflow has no other way to choose columns for everyone who opens the table.
"""

import json
import time

from nerveseg.evaluation.model_names import SHIPPED
from nerveseg.tracking.run_page import CHANGED_TAG, RAN_TAG

_VIEW_TAG = "mlflow.sharedViewState.scores"
_PRIMARY = {"mlflow.experiment.primaryMetric.name": f"{SHIPPED}.dice_nerve"}  # the first chart
_WIDTHS = {  # pixels, which leave room for the names and fit a laptop's screen
    f"metrics.`{SHIPPED}.dice_nerve`": 150,
    f"metrics.`{SHIPPED}.dice`": 110,
    f"tags.`{CHANGED_TAG}`": 160,
    "attributes.`Dataset`": 110,
    "attributes.`Models`": 140,
    f"tags.`{RAN_TAG}`": 100,
}


def view_tags() -> dict[str, str]:
    """Return tags for a new experiment."""
    now, columns = int(time.time() * 1000), list(_WIDTHS)
    state = {"orderByKey": "attributes.start_time", "orderByAsc": False}
    state |= {"selectedColumns": columns, "columnOrder": columns, "columnWidths": _WIDTHS}
    view = {"name": "Scores", "createdAt": now, "updatedAt": now, "state": json.dumps(state)}
    return _PRIMARY | {_VIEW_TAG: json.dumps(view)}
