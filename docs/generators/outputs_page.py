"""The page about every file that the pipeline writes: paths and meanings from `output_files.yaml`, columns from the files.

The tables under metrics/ are kept in Git, so their columns are those that they have. Those of tables that are not kept in
Git stand in `output_files.yaml`, which a test compares with the code.
"""

import csv
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tables import code, table

MEANINGS = Path(__file__).with_name("output_files.yaml")
METRICS = Path("metrics/metrics.json")

OPENING = """# Output files

Everything that the pipeline writes. Git keeps `metrics/`, so that any two commits can be compared; DVC keeps the rest, and `dvc
pull` brings it.
"""
SCORES = """## metrics/metrics.json

`dvc metrics show` prints it. A score that is not defined is `null`.
"""
EACH_MODEL = "The scores of a model or baseline:"
PREDICTIONS = """## predictions.csv

`nerveseg predict` writes it beside the masks, a row for each frame.
"""


@cache
def described() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(MEANINGS.read_text(encoding="utf-8"))
    return found


def outputs_page() -> str:
    files = described()["files"]
    parts = [
        OPENING,
        table(["path", "stage", "what it holds"], [row for path, file in files.items() for row in _files(path, file)]),
    ]
    metrics = json.loads(METRICS.read_text(encoding="utf-8"))
    parts += [SCORES, table(["key", "holds"], [[code(key), text] for key, text in described()["metrics"].items()])]
    parts += [EACH_MODEL, _meanings(METRICS, list(metrics["exported"]))]
    for path in [*described()["columns"]]:
        if path != "predictions.csv":
            parts += [f"## {path}", _meanings(path, columns_of(path))]
    parts += [PREDICTIONS, _meanings("predictions.csv", columns_of("predictions.csv"))]
    return "\n\n".join(parts) + "\n"


def columns_of(path: str) -> list[str]:
    """Of a table: as it stands in the repository, or as it is described where it does not."""
    if not Path(path).is_file() or not path.startswith("metrics/"):
        return list(described()["columns"][path])
    with Path(path).open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def meaning(path: str | Path, name: str) -> str:
    """Say what a column of a table, or a score in metrics.json, means.

    Raises:
        KeyError: `output_files.yaml` does not say it.
    """
    own: Mapping[str, str] = described()["columns"].get(str(path), {})
    if said := own.get(name) or described()["scores"].get(name):
        return str(said)
    for ending, text in described()["endings"].items():
        if name.endswith(ending):
            score = name.removesuffix(ending)
            return str(text).format(meaning(path, score), name=score)
    raise KeyError(f"{path}: say in {MEANINGS} what {name} means")


def _meanings(path: str | Path, names: list[str]) -> str:
    return table(
        ["column" if str(path).endswith(".csv") else "score", "meaning"],
        [[code(name), meaning(path, name)] for name in names],
    )


def _files(path: str, file: Mapping[str, Any]) -> list[list[str]]:
    own = [code(path), code(file["stage"]), file["holds"]]
    inside = [
        [", ".join(code(f"{path}{name}") for name in names.split(", ")), "", text]
        for names, text in file.get("inside", {}).items()
    ]
    return [own, *inside]
