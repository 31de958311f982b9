"""Tables like metrics/scores.csv, of scores that a test gives."""

import pandas as pd

from nerveseg.evaluation.score_table import Scores

COLUMNS = ["model", "score", "cases", "subjects", "value", "low", "high", "no_interval"]


def score_rows(values, bounds=(), cases=None):
    """Make the table from scores by model, with `bounds` (low, high, reason) by model and score, and `cases` by score."""
    bounds, cases = dict(bounds), dict(cases or {})
    rows = [
        (model, score, cases.get(score, 1), 1, value, *bounds.get((model, score), (None, None, "no mean over frames")))
        for model, of_model in values.items()
        for score, value in of_model.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"value": float, "low": float, "high": float})


def scores_of(values, bounds=(), cases=None):
    return Scores(score_rows(values, bounds, cases))
