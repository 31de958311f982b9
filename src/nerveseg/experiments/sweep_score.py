"""The score that a sweep optimises: a number in the files that Git keeps of each experiment.

`val_dice` and the others in `ON_VAL` are the best value of a training's curve on val. A dotted name such as `gan.dice_nerve`
is a key of `metrics/metrics.json`, a score of the test frames: parameters chosen by it have seen the test set.
"""

import io
import json
import math
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from flatten_dict import flatten

from nerveseg.errors import DatasetError, ParamsError, RepositoryError
from nerveseg.files.atomic import read_csv
from nerveseg.measures.scores import SCORES
from nerveseg.repository import committed

METRICS = "metrics/metrics.json"
_OF_REFINERS = [f"{arm}_{key}" for arm in ("control", "adversarial") for key in ("val_dice", "val_dice_degraded")]
ON_VAL = {"val_dice": "metrics/unet_history.csv", **dict.fromkeys(_OF_REFINERS, "metrics/gan_history.csv")}


@dataclass(frozen=True)
class Score:
    """One number of an experiment."""

    name: str

    @property
    def on_val(self) -> bool:
        return self.name in ON_VAL

    @property
    def lower_is_better(self) -> bool:
        score = SCORES.get(self.name.rpartition(".")[2])
        return score is not None and score.lower_is_better

    def of(self, commit: str) -> float:
        """Return the score of a commit; DatasetError if it has none."""
        path = ON_VAL.get(self.name, METRICS)
        try:
            content = committed(commit, path)
        except RepositoryError as error:
            raise DatasetError(f"commit {commit[:7]} has no {path} ({error})") from None
        try:
            table = read_csv(io.StringIO(content)).max() if self.on_val else flatten(json.loads(content), reducer="dot")
            value = float(table[self.name])
        except (ValueError, KeyError, TypeError):
            raise DatasetError(f"{path} of commit {commit[:7]} has no number {self.name}") from None
        if not math.isfinite(value):
            raise DatasetError(f"{self.name} in {path} of commit {commit[:7]} is {value}")
        return value


def score_named(name: str) -> Score:
    """Return the score of that name; ParamsError if neither `ON_VAL` nor the present `metrics.json` has it."""
    known = [*ON_VAL, *_keys_here()]
    if name in known or ("." in name and len(known) == len(ON_VAL)):
        return Score(name)
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"use {', '.join(ON_VAL)} or a key of {METRICS}"
    raise ParamsError(f"--score {name} is not a score; {hint}")


def _keys_here() -> list[str]:
    try:
        content = json.loads(Path(METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [key for key, value in flatten(content, reducer="dot").items() if isinstance(value, int | float | None)]
